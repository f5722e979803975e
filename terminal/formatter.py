"""Rows become rows of a terminal: widths, words that wrap, colours, directions of scripts.

In: a Row and how many columns there are. Out: texts with our control sequences (ECMA-48, SGR), each
shorter than a row of the terminal, so that the terminal never wraps. Nothing is raised. What others
wrote has come through codec.text.decode_text.

    12:13      bob │ the text, and where it is longer
                   ┆ than a row, its rest
               bob » to the reader alone
"""

from __future__ import annotations

from codec.text import isolate
from terminal.conversation import Row, RowKind
from terminal.measure import is_from_right, wrap_words
from terminal.palette import Palette

NAME_COLUMNS = 8
"""The longest username (codec.handshake)."""

TIME_COLUMNS = 6
"""Of `12:13` and a blank."""

_WIDE, _NARROW = 50, 24
"""Columns from which there is a column of times, and one of names."""

_TAB = "    "
_BOLD, _ITALIC, _REVERSE = "1", "3", "7"
_STYLES = {
    RowKind.MENTION: _BOLD,
    RowKind.OWN: _BOLD,
    RowKind.PRIVATE: _ITALIC,
    RowKind.SENT: _ITALIC,
}
_ASCII = str.maketrans("│┆»─→←·❯…“”", '|:>-><.>.""')


class Formatter:
    """Formats in the colours of `palette`. Our own signs are ASCII unless `is_unicode`."""

    def __init__(self, palette: Palette, is_unicode: bool = True) -> None:
        self._palette = palette
        self._quiet = palette.quiet
        self._colours = {RowKind.GOOD: palette.good, RowKind.BAD: palette.bad}
        self._colours |= dict.fromkeys((RowKind.PRIVATE, RowKind.SENT), palette.private)
        self._colours |= dict.fromkeys(
            (RowKind.COMING, RowKind.HISTORY, RowKind.NOTICE), palette.quiet
        )
        self._is_unicode = is_unicode

    def format(self, row: Row, columns: int) -> list[str]:
        """The rows of the terminal, at least one, each of at most `columns` - 1 columns."""
        columns = max(2, columns - 1)
        if row.kind is RowKind.UNREAD:
            line = f"── {row.text} ".ljust(columns, "─")[:columns]
            return [self._painted(self._own(line), self._palette.bad)]
        heads = self._heads(row, columns)
        room = max(1, columns - self._gutter_columns(row, columns))
        pieces = wrap_words(row.text.replace("\t", _TAB), room)
        return [heads[min(place, 1)] + self._text(row, piece) for place, piece in enumerate(pieces)]

    def format_prompt(self, username: str, members: int, is_online: bool) -> list[tuple[str, str]]:
        """What stands before the typed line: texts, each with its SGR parameters. With members and
        not `is_online`, the server keeps the reader's place."""
        if not is_online:
            state = "away" if members else "offline"
            return [(username, self._quiet), (self._own(f"·{state}❯ "), self._quiet)]
        count = f"·{members}" if members else ""
        return [(username, _BOLD), (self._own(f"{count}❯ "), "")]

    def paint(self, text: str, style: str = "", colour: str = "") -> str:
        """A text of ours, with its SGR parameters."""
        return self._painted(self._own(text), style, colour)

    # Details.

    def _heads(self, row: Row, columns: int) -> tuple[str, str]:
        """What stands in front of the first row, and of the others."""
        mark = "»" if row.kind in (RowKind.PRIVATE, RowKind.SENT) else "│"
        first, other = (self._painted(self._own(x), self._quiet) for x in (mark, "┆"))
        if columns < _NARROW:
            label = row.label[: columns // 2]
            return self._label(row, label) + first, other
        time = ""
        if columns >= _WIDE:
            time = self._painted(row.time, self._quiet) + " " * (TIME_COLUMNS - len(row.time))
        blank = " " * NAME_COLUMNS
        label = self._label(row, row.label)
        label = " " * (NAME_COLUMNS - len(row.label)) + label
        rest = blank if columns < _WIDE else blank + " " * TIME_COLUMNS
        return f"{time}{label} {first} ", f"{rest} {other} "

    def _gutter_columns(self, row: Row, columns: int) -> int:
        if columns < _NARROW:
            return min(len(row.label), columns // 2) + 1
        return NAME_COLUMNS + 3 + (TIME_COLUMNS if columns >= _WIDE else 0)

    def _label(self, row: Row, label: str) -> str:
        if not row.speaker:
            return self._painted(self._own(label), self._quiet)
        if row.kind is RowKind.HISTORY:
            return self._painted(label, self._quiet)
        if row.kind in (RowKind.OWN, RowKind.SENT):
            return self._painted(label, _BOLD)
        style = _REVERSE if row.kind is RowKind.MENTION else ""
        return self._painted(label, style, self._palette.colour_of(row.speaker))

    def _text(self, row: Row, text: str) -> str:
        """`text`, isolated so that a script from right to left turns only its own piece around."""
        text = isolate(text) if is_from_right(text) else text
        if not row.speaker:
            text = self._own(text)
        return self._painted(text, _STYLES.get(row.kind, ""), self._colours.get(row.kind, ""))

    def _painted(self, text: str, style: str, colour: str = "") -> str:
        parameters = ";".join(filter(None, (style, colour)))
        return f"\x1b[{parameters}m{text}\x1b[m" if parameters and text else text

    def _own(self, text: str) -> str:
        return text if self._is_unicode else text.translate(_ASCII)
