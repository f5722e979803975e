"""What the operator is told of those who were refused or cut, and how many there were.

In: what happened to whom, and why. Out: lines without line ends, at most one a second of each kind
however many come: the first in full, then how many more there were of it. All of them are counted.
A line holds an address, a checked username and words of ours; never a passcode, and no byte that
was not checked.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import Annotated

from codec import ProtocolError
from reactor import Reactor

SECONDS_PER_LINE: Annotated[
    float,
    "Time between two lines of one kind: a flood of refusals fills no disk.",
] = 1.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -verbose."""
    parser.add_argument(
        *("-verbose", "--verbose"),
        action="store_true",
        help="tell on standard error who is refused and why",
    )


class Journal:
    """Counts everything that is noted, and writes cuts, and with `is_verbose` refusals too."""

    def __init__(
        self, reactor: Reactor, write: Callable[[str], None], is_verbose: bool = False
    ) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """(event, kind) -> how many there were."""
        self._reactor = reactor
        self._write = write
        self._is_verbose = is_verbose
        self._more: dict[tuple[str, str], int] = {}  # since the last line of that kind

    def note_refusal(self, address: str, error: ProtocolError) -> None:
        """A guest at `address` was not let in. Told with -verbose alone."""
        line = f"refused {address}: {_begin_small(str(error))}"
        self._note("refused", _begin_small(error.kind), line)

    def note_cut(self, address: str, username: str, reason: str) -> None:
        """A member was cut, and the others read that it `left`. Told with and without -verbose."""
        self._note("cut", "slow reader", f"cut {address} ({username}): {reason}", is_told=True)

    def note_end(self, kind: str) -> None:
        """Somebody is gone for a reason of its own. Counted, not told."""
        self.counts["gone", kind] += 1

    def tell_totals(self) -> None:
        """What no line has told yet; and with `is_verbose` one line for each kind there was."""
        for event, kind in list(self._more):
            self._tell_more(event, kind)
        if self._is_verbose:
            for (event, kind), count in sorted(self.counts.items()):
                self._write(f"total {event} {count}: {kind}")

    def _note(self, event: str, kind: str, line: str, is_told: bool = False) -> None:
        self.counts[event, kind] += 1
        if not (is_told or self._is_verbose):
            return
        if (event, kind) in self._more:
            self._more[event, kind] += 1
            return
        self._write(line)
        self._begin_second(event, kind)

    def _begin_second(self, event: str, kind: str) -> None:
        self._more[event, kind] = 0
        self._reactor.call_later(SECONDS_PER_LINE, lambda: self._tell_more(event, kind))

    def _tell_more(self, event: str, kind: str) -> None:
        more = self._more.pop((event, kind), 0)
        if more:
            self._write(f"{event} {more} more: {kind}")
            self._begin_second(event, kind)


def _begin_small(text: str) -> str:
    return text[:1].lower() + text[1:]
