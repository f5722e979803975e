"""Servers that read more slowly than others talk: a late one has the others wait for it.

In: what this server has read, and what others order. Out: its own orders, `wait` and `go`, and how
much a member may say meanwhile. What a late server has not read yet must stay in the log; without
this the log would grow past it, and lines would be missing there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

from reactor import Reactor, Timer

LATE_BYTES: Annotated[
    int,
    "Bytes of entries, for each other server, from which on this one is late, if they come at once "
    "or before it has read to the end: talkers of others wait for it.",
] = 512 * 1024

MAX_LATE_BYTES: Annotated[
    int,
    "The most of that: its place in the log is deleted after twice as much.",
] = 2 * 1024 * 1024

LATE_SECONDS: Annotated[
    float,
    "Longest time that talkers wait for a server that is late: it may have been stopped.",
] = 20.0

SHORT_BYTES: Annotated[
    int,
    "What may be said here meanwhile, and was not read back: a single line passes, a flood waits.",
] = 1024

WAIT, GO_ON = "wait", "go"


class Lateness:
    """Whether this server is late, and which others are. `order` takes one of the two words;
    `is_there` tells whether another server is in the room; `on_change` is called when others become
    late or are not any more."""

    def __init__(
        self,
        reactor: Reactor,
        order: Callable[[str], object],
        is_there: Callable[[str], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._order = order
        self._is_there = is_there
        self._on_change = on_change
        self._behind_bytes = 0  # that came since the end of the log was reached
        self._is_late = False  # and the others were asked to wait
        self._others: dict[str, Timer] = {}

    def note_read(self, read_bytes: int, is_end: bool, others: int, is_in: bool) -> None:
        """So many bytes of entries were read, of so many other servers. A server that is not in
        the room yet (`is_in`) reads all that there is, and is not late."""
        self._behind_bytes += read_bytes
        late_bytes = min(MAX_LATE_BYTES, LATE_BYTES * max(1, others))
        if self._behind_bytes > late_bytes and is_in and not self._is_late:
            self._is_late = True
            self._order(WAIT)
        if is_end:
            self._behind_bytes = 0

    def note_own_wait(self) -> None:
        """Our own `wait` was read, and so all that was before it."""
        self._is_late = False
        self._order(GO_ON)

    def note_other(self, node: str, verb: str) -> None:
        """What the server called `node` has ordered."""
        if timer := self._others.pop(node, None):
            timer.cancel()
        if verb == WAIT and self._is_there(node):
            go_on = partial(self.note_other, node, GO_ON)
            self._others[node] = self._reactor.call_later(LATE_SECONDS, go_on)
        self._on_change()

    def drop_gone(self) -> None:
        """No server is waited for that is not in the room any more."""
        for node in [node for node in self._others if not self._is_there(node)]:
            self.note_other(node, GO_ON)

    def limit(self, free_bytes: int, queued_bytes: int, pending_bytes: int) -> int:
        """How much of `free_bytes` a member may say that has `pending_bytes` to say, where
        `queued_bytes` were said and not read back."""
        if not self._others:
            return free_bytes
        return SHORT_BYTES - queued_bytes if pending_bytes <= SHORT_BYTES else 0
