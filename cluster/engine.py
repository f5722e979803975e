"""What a room asks of the engine that keeps its log: five calls, and a sign of life.

An engine appends entries in one order for all, gives them out in that order, and keeps all of them
as long as it keeps its promise. It makes its connections itself, and makes them again after a loss.
A call whose connection is lost has no answer; `note_up` tells when to ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

from cluster.queue import Append
from cluster.records import Author
from cluster.replica import Entry

TROUBLE_SECONDS: Annotated[float, "Time before what the engine refused is asked again."] = 0.5


class EngineUser(Protocol):
    """Is told the state of the engine."""

    def note_up(self) -> None:
        """Connections were made. Earlier calls without an answer never get one; ask them again."""

    def note_down(self, reason: str) -> None:
        """The connections are lost."""

    def note_silent(self, is_silent: bool) -> None:
        """An answer is late; or the engine answers again."""

    def note_trouble(self, reason: str) -> None:
        """The engine refuses to append, for now."""


class Engine(Protocol):
    """Keeps the log of one room."""

    def start(self, user: EngineUser) -> None:
        """Connect."""

    def append(self, append: Append, answer: Callable[[bool], None]) -> None:
        """Put an entry at the end of the log. False: there is no log, and `append` may not create
        it. Refusals are told to the user and have no answer."""

    def read(
        self, after: str, waits: bool, answer: Callable[[Sequence[Entry] | None, bool], None]
    ) -> None:
        """Some entries behind that id, and whether the log ends there. With `waits` the answer
        comes when there is an entry. None: the entry with that id is not in the log; this is
        looked for without `waits`, by the first read after `note_up`, and where the reader may be
        late (cluster.snapshots)."""

    def ask(self, entry: Entry, answer: Callable[[bool], None]) -> None:
        """Whether this entry, by id, author and sequence, is in the log."""

    def delete(self, ids: Sequence[str]) -> None:
        """These entries are not needed any more."""

    def is_alive(self, author: Author, answer: Callable[[bool], None]) -> None:
        """Whether that node gives a sign of life."""

    def live(self, author: Author) -> None:
        """Give a sign of life as this node from here on, until the process ends."""

    def stop_reading(self) -> None:
        """Forget a `read` that waits."""

    def close(self) -> None:
        """Let go of all connections."""
