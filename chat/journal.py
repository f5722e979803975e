"""What the operator reads about guests that were refused and members that were cut, with counts.

In: each refusal, cut and end, and why. Out: lines without line ends, at most one a second of each
kind: the first in full, then how many more there were. All are counted. A line holds an address, a
checked username and our own words; never a passcode, and no byte that was not checked.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import Annotated, NamedTuple

from codec import ProtocolError
from reactor import Reactor

SECONDS_PER_LINE: Annotated[
    float,
    "Time between two lines of one kind: a flood of refusals fills no disk.",
] = 1.0


SOURCES_PER_SECOND: Annotated[
    int,
    "With -log json, sources that get a line of their own in one second, for programs that ban "
    "them (fail2ban).",
] = 20


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -log and -verbose."""
    parser.add_argument(
        *("-log", "--log"),
        choices=("plain", "json"),
        help="tell on standard error who is refused and why, as lines or as JSON objects",
    )
    parser.add_argument(
        *("-verbose", "--verbose"),
        dest="log",
        action="store_const",
        const="plain",
        help="the same as -log plain",
    )


class Entry(NamedTuple):
    """What one line tells: of one connection if there is an address, with the reason; otherwise of
    `number` more, or with `is_total` of all there were."""

    event: str
    kind: str
    number: int = 1
    address: str = ""
    username: str = ""
    reason: str = ""
    is_total: bool = False


class Style(NamedTuple):
    """How entries and other texts are formatted as lines, and whether each source that was refused
    gets a line of its own."""

    format: Callable[[Entry], str]
    format_text: Callable[[str], str]
    tells_sources: bool


def _format(entry: Entry) -> str:
    if entry.is_total:
        return f"total {entry.event} {entry.number}: {entry.kind}"
    if not entry.address:
        return f"{entry.event} {entry.number} more: {entry.kind}"
    who = f" ({entry.username})" if entry.username else ""
    return f"{entry.event} {entry.address}{who}: {entry.reason}"


PLAIN = Style(_format, str, tells_sources=False)


class Journal:
    """Counts everything that is noted, and writes cuts, and with `is_verbose` refusals too."""

    def __init__(
        self,
        reactor: Reactor,
        write: Callable[[str], None],
        is_verbose: bool = False,
        style: Style = PLAIN,
    ) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """(event, kind) -> how many there were."""
        self._reactor = reactor
        self._write = write
        self._is_verbose = is_verbose
        self._style = style
        # Event, kind, and "" or the source that has a line of its own -> how many since its last
        # line. Each stays for a second at least.
        self._more: dict[tuple[str, str, str], int] = {}

    def note_refusal(self, address: str, error: ProtocolError) -> None:
        """A guest at `address` was not let in. Told with -log alone."""
        kind, reason = _begin_small(error.kind), _begin_small(str(error))
        source = (address.rpartition(":")[0] or address) if self._style.tells_sources else ""
        self.counts["refused", kind] += 1
        if self._is_verbose:
            self._note(Entry("refused", kind, address=address, reason=reason), source)

    def note_cut(self, address: str, username: str, reason: str) -> None:
        """A member was cut, and the others read that it `left`. Told with and without -log."""
        self.counts["cut", "slow reader"] += 1
        self._note(Entry("cut", "slow reader", 1, address, username, reason))

    def note_end(self, kind: str) -> None:
        """A guest or a member is gone for its own reason. Counted, not written."""
        self.counts["gone", kind] += 1

    def tell_totals(self) -> None:
        """Write what no line has told yet; with `is_verbose` also one line for each kind."""
        for key in list(self._more):
            self._tell_more(key)
        if self._is_verbose:
            for (event, kind), count in sorted(self.counts.items()):
                self._tell(Entry(event, kind, count, is_total=True))

    def _note(self, entry: Entry, source: str = "") -> None:
        key = (entry.event, entry.kind, source)
        if key in self._more:
            self._more[key] += 1
        elif source and sum(bool(key[2]) for key in self._more) >= SOURCES_PER_SECOND:
            self._note_without_source(entry)
        else:
            self._tell(entry)
            self._begin_second(key)

    def _note_without_source(self, entry: Entry) -> None:
        """Counted, and told in a second."""
        key = (entry.event, entry.kind, "")
        if key not in self._more:
            self._begin_second(key)
        self._more[key] += 1

    def _begin_second(self, key: tuple[str, str, str]) -> None:
        self._more[key] = 0
        self._reactor.call_later(SECONDS_PER_LINE, lambda: self._tell_more(key))

    def _tell_more(self, key: tuple[str, str, str]) -> None:
        event, kind, source = key
        more = self._more.pop(key, 0)
        if more:
            self._tell(Entry(event, kind, more, source))
            self._begin_second(key)

    def _tell(self, entry: Entry) -> None:
        self._write(self._style.format(entry))


def _begin_small(text: str) -> str:
    return text[:1].lower() + text[1:]
