"""What was said last, for newcomers (`server.py -history LINES`).

In: the room's events. Out: a page of the last lines that were said to all, each with the minute in
which it was said. The page is the same object until more is said, so that a thousand newcomers
share it.

    * History
    * 12:31 Alice: text
    * End of history
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Annotated, NamedTuple

from codec import Event, Kind
from codec.text import LocalTime

HISTORY_BYTES: Annotated[
    int,
    "Bytes of lines that a newcomer is shown at most, whatever -history says: what a send buffer "
    "takes at once.",
] = 64 * 1024

_BEGIN, _END = b"* History\n", b"* End of history\n"


class _Block(NamedTuple):
    """Lines that were said at one time, as all read them."""

    stamp: bytes
    lines: bytes
    number: int


class History:
    """The last `max_lines` that were said, or as many of them as HISTORY_BYTES hold."""

    def __init__(self, max_lines: int, local_time: LocalTime) -> None:
        self._max_lines = max_lines
        self._local_time = local_time
        self._blocks: deque[_Block] = deque()  # so few that each has a line that may be shown
        self._count = 0
        self._bytes = 0
        self._page = b""  # made when first asked for, until more is said
        self.minute: int | None = None
        """When what is said from here on was said, in minutes from 1970; None: as it is applied."""

    def apply(self, event: Event) -> None:
        """Remember lines that are said to all. Joins, departures and private lines are left out."""
        if event.kind is Kind.SAID:
            self._add(self.minute, event.room)

    def restart(self, past: Iterable[tuple[int, bytes]]) -> None:
        """Forget all: this is what was said before, with the minutes of it."""
        self._blocks.clear()
        self._count = self._bytes = 0
        self._page = b""
        for minute, lines in past:
            self._add(minute, lines)

    @property
    def page(self) -> bytes:
        """The lines, or b"" as long as there are none."""
        if self._blocks and not self._page:
            self._page = self._make_page()
        return self._page

    def _add(self, minute: int | None, lines: bytes) -> None:
        seconds = 0 if minute is None else 60 * minute - int(time.time())
        stamp = b"* %02d:%02d " % tuple(self._local_time(seconds)[3:5])
        count = lines.count(b"\n")
        self._blocks.append(_Block(stamp, lines, count))
        self._count += count
        self._bytes += len(lines)
        self._page = b""
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        while True:
            oldest = self._blocks[0]
            is_enough = self._count - oldest.number >= self._max_lines
            if not is_enough and self._bytes - len(oldest.lines) < HISTORY_BYTES:
                return
            self._blocks.popleft()
            self._count -= oldest.number
            self._bytes -= len(oldest.lines)

    def _make_page(self) -> bytes:
        lines = [
            block.stamp + line + b"\n"
            for block in self._blocks
            for line in block.lines[:-1].split(b"\n")
        ]
        kept: deque[bytes] = deque()
        free_bytes = HISTORY_BYTES
        for line in reversed(lines[-self._max_lines :]):
            free_bytes -= len(line)
            if free_bytes < 0:
                break
            kept.appendleft(line)
        return b"".join([_BEGIN, *kept, _END])
