"""How many columns a text takes on a terminal, and where it can be cut.

Terminals disagree about emoji that are joined, coloured or made of two characters. There we count
the most that any terminal takes: a row that is shorter than we think does no harm. A row that is
longer would be wrapped by the terminal, and its rest would begin where names stand.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_WIDE_MARKS = "\ufe0f\u20e3"  # the emoji form of the character before it; a keycap around it
_JOINERS = "\u200d"
_NOT_DRAWN = frozenset({"Mn", "Me", "Cf"})
_FROM_RIGHT = frozenset({"R", "AL", "AN"})


def width_of(text: str) -> int:
    """The most columns that a terminal takes for `text`, which holds no control character."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def is_from_right(text: str) -> bool:
    """Whether `text` has a letter or number of a script that is written from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(x) in _FROM_RIGHT for x in text)


def wrap_words(text: str, columns: int) -> list[str]:
    """The rows, at least one, in which `text` fits into so many `columns`: cut at blanks, which are
    dropped there, and within a word that is longer than a row."""
    rows: list[str] = []
    row, used, blanks = "", 0, ""
    for word in re.findall(" +|[^ ]+", text):
        if word[0] == " ":
            blanks = word
            continue
        width = width_of(word)
        if used + len(blanks) + width > columns and (row or len(blanks) >= columns):
            if row:
                rows.append(row)
            row, used, blanks = "", 0, ""
        *full, word = _cut(blanks + word, columns) if not row else [blanks + word]
        rows += full
        row, used, blanks = row + word, used + width_of(word), ""
    return [*rows, row] if row or not rows else rows


def _cut(text: str, columns: int) -> list[str]:
    """`text` in pieces of at most so many columns, each at least one character."""
    pieces, used = [""], 0
    for part in _undivided(text):
        width = width_of(part)
        if used + width > columns and pieces[-1]:
            pieces.append("")
            used = 0
        pieces[-1] += part
        used += width
    return pieces


def _undivided(text: str) -> Iterator[str]:
    """`text` in characters, each with what is drawn onto it or joined to it."""
    part = ""
    for character in text:
        is_apart = character.isascii() or unicodedata.category(character) not in _NOT_DRAWN
        if part and is_apart and part[-1] not in _JOINERS:
            yield part
            part = ""
        part += character
    if part:
        yield part


def _character_width(character: str) -> int:
    if character in _WIDE_MARKS:
        return 1
    category = unicodedata.category(character)
    if category in _NOT_DRAWN or "\u1160" <= character <= "\u11ff":
        return 0
    is_flag = "\U0001f1e6" <= character <= "\U0001f1ff"
    is_wide = unicodedata.east_asian_width(character) in {"W", "F"}
    return 2 if is_wide or is_flag or category == "Cn" else 1  # Cn: newer than Python's table
