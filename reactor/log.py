"""The log: a sequence of bytes with absolute positions, kept as immutable pages.

In: bytes, appended; once a turn they are sealed into a page. Out: the bytes between two positions,
without a copy. Pages in front of a position are forgotten when the owner says so.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

from reactor.outbound import Bytes

SMALL_PAGE_BYTES: Annotated[
    int,
    "A page below this is joined with the next when somebody still needs it, so that quiet "
    "talk past a slow reader costs bytes and not objects.",
] = 16 * 1024


class Log:
    """A sequence of bytes that grows at its end and is forgotten from its start."""

    __slots__ = ("_pages", "_starts", "_unsealed", "end", "sealed_end")

    def __init__(self) -> None:
        self._pages: list[bytes] = []
        self._starts: list[int] = []
        self._unsealed: list[bytes] = []
        self.end = 0
        """Position behind the last byte."""
        self.sealed_end = 0
        """Position behind the last page; what lies between it and `end` is not joined yet."""

    def append(self, data: bytes) -> None:
        self._unsealed.append(data)
        self.end += len(data)

    def seal(self) -> bytes:
        """Join what was appended since the last time into a page, and return that page."""
        page = b"".join(self._unsealed)
        if not page:
            return page
        # What takes memory comes first: where there is none, nothing has happened.
        if self._pages and len(self._pages[-1]) < SMALL_PAGE_BYTES:
            self._pages[-1] += page
        else:
            self._pages.append(page)
            self._starts.append(self.sealed_end)
        self.sealed_end = self.end
        self._unsealed.clear()
        return page

    def between(self, start: int, end: int) -> list[Bytes]:
        """The bytes from `start` to `end`, both sealed and not dropped, without copying."""
        pieces: list[Bytes] = []
        index = bisect_right(self._starts, start) - 1
        while start < end:
            page, page_start = self._pages[index], self._starts[index]
            piece = memoryview(page)[start - page_start : end - page_start]
            pieces.append(piece)
            start += len(piece)
            index += 1
        return pieces

    def drop_before(self, position: int) -> None:
        """Forget the pages that end at or before `position`."""
        count = len(self._pages)
        if position < self.sealed_end:
            count = max(0, bisect_right(self._starts, position) - 1)
        del self._pages[:count], self._starts[:count]

    @property
    def start(self) -> int:
        """Position of the first byte that is kept."""
        return self._starts[0] if self._starts else self.sealed_end

    @property
    def kept_bytes(self) -> int:
        """How many bytes of pages are kept for somebody."""
        return self.sealed_end - self._starts[0] if self._starts else 0
