"""What was said, kept to be scrolled back to and searched.

In: Rows in order, and a function that formats them. Out: the lines that a window of so many columns
and lines shows. A row is formatted only when it is shown, so that a row that scrolls by unseen
costs next to nothing. Nothing is raised.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import NamedTuple

from terminal.conversation import Row, RowKind

KEPT_ROWS = 100_000
"""Most rows that are kept."""

KEPT_BYTES = 24 * 1024 * 1024
"""Most memory for their texts: 100,000 rows of chat take less than half of it."""

_DROPPED_ROWS = 1000  # at once, since to drop rows moves all others
_FORMATTED_ROWS = 500  # kept as they were formatted last


class Place(NamedTuple):
    """One line of the terminal: of a row, counted from the first that is kept."""

    row: int
    line: int


class ShownRow(NamedTuple):
    """One line of the terminal, and the row that it belongs to. `is_found`: by a search."""

    row: Row
    text: str
    is_found: bool


class Scrollback:
    """Rows, and a window on them: it shows the newest, unless it was scrolled back."""

    def __init__(self, format_row: Callable[[Row, int], list[str]]) -> None:
        self._format_row = format_row
        self._rows: list[Row] = []
        self._bytes = 0
        self._formatted: dict[int, list[str]] = {}
        self._columns, self._lines = 80, 24
        self._top: Place | None = None  # the first line shown; None follows the newest
        self._found = -1
        self._mark = -1  # the row above which all was read

    @property
    def follows(self) -> bool:
        """Whether the newest row is shown."""
        return self._top is None

    def add(self, row: Row) -> None:
        """Keep `row`, the newest. There is one unread mark at most, the newest."""
        if row.kind is RowKind.UNREAD:
            self.remove_mark()
            self._mark = len(self._rows)
        if row.replaces_last and self._rows:
            last = self._rows.pop()
            self._bytes -= sys.getsizeof(last.text)
            self._formatted.pop(len(self._rows), None)
        self._rows.append(row)
        self._bytes += sys.getsizeof(row.text)
        if len(self._rows) >= KEPT_ROWS + _DROPPED_ROWS or self._bytes > KEPT_BYTES:
            self._forget(0, max(1, min(_DROPPED_ROWS, len(self._rows) // 2)))

    def remove_mark(self) -> None:
        """All was read."""
        if self._mark >= 0:
            mark, self._mark = self._mark, -1
            self._forget(mark, 1)

    def show(self, columns: int, lines: int) -> list[ShownRow]:
        """What a window of this size shows: at most `lines`, fewer only if there are no more."""
        if columns != self._columns:
            self._formatted.clear()
        self._columns, self._lines = columns, lines
        end = Place(len(self._rows), 0)
        bottom = self._moved(end, -lines)
        top = bottom
        if self._top is not None:
            top = Place(self._top.row, min(self._top.line, self._height(self._top.row) - 1))
            if top >= bottom:
                top, self._top = bottom, None
        shown: list[ShownRow] = []
        for place in range(top.row, len(self._rows)):
            skipped = top.line if place == top.row else 0
            row, is_found = self._rows[place], place == self._found
            shown += [ShownRow(row, text, is_found) for text in self._texts(place)[skipped:]]
            if len(shown) >= lines:
                break
        return shown[:lines]

    def scroll(self, lines: int) -> None:
        """Towards the oldest by so many lines, towards the newest if that is negative."""
        bottom = self._moved(Place(len(self._rows), 0), -self._lines)
        top = self._moved(self._top or bottom, -lines)
        self._top = top if top < bottom else None

    def scroll_page(self, pages: int) -> None:
        """The same in pages, each of which keeps a line of the one before."""
        self.scroll(pages * max(1, self._lines - 1))

    def scroll_to_oldest(self) -> None:
        self._top = Place(0, 0)

    def follow(self) -> None:
        """Show the newest from now on. What was found is forgotten."""
        self._top, self._found = None, -1

    def find(self, text: str, towards_oldest: bool = True, is_next: bool = False) -> bool:
        """Show the next row that holds `text`, whatever the letter case, from the newest on; or,
        with `is_next`, from the last one found on. False, and nothing moves, if there is none."""
        start = self._found if is_next and self._found >= 0 else len(self._rows)
        older, newer = range(start - 1, -1, -1), range(start + 1, len(self._rows))
        pattern = re.compile(re.escape(text), re.IGNORECASE)
        for place in older if towards_oldest else newer:
            if pattern.search(self._rows[place].text):
                self._found = place
                self._top = self._moved(Place(place, 0), -self._lines // 2)
                return True
        return False

    # Details.

    def _texts(self, place: int) -> list[str]:
        if place not in self._formatted:
            if len(self._formatted) >= _FORMATTED_ROWS:
                self._formatted.clear()
            self._formatted[place] = self._format_row(self._rows[place], self._columns)
        return self._formatted[place]

    def _height(self, place: int) -> int:
        return len(self._texts(place)) if place < len(self._rows) else 0

    def _moved(self, place: Place, lines: int) -> Place:
        """`place` so many lines further down, or as far as there are some."""
        row, line = place.row, place.line + lines
        while line < 0 and row > 0:
            row -= 1
            line += self._height(row)
        while 0 <= row < len(self._rows) - 1 and line >= self._height(row):
            line -= self._height(row)
            row += 1
        return Place(row, max(0, line))

    def _forget(self, first: int, count: int) -> None:
        gone = self._rows[first : first + count]
        self._bytes -= sum(sys.getsizeof(row.text) for row in gone)
        del self._rows[first : first + count]
        self._formatted.clear()
        if self._top:
            self._top = self._top._replace(row=max(0, self._shifted(self._top.row, first, count)))
        self._found = self._shifted(self._found, first, count)
        self._mark = self._shifted(self._mark, first, count)

    def _shifted(self, place: int, first: int, count: int) -> int:
        """Where the row at `place` is now; -1 if it is gone."""
        if place < first:
            return place
        return place - count if place >= first + count else -1
