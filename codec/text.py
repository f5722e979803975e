"""What a line of chat may hold, and what its shortcuts stand for.

In: the bytes of one line. Out: text that is safe on any terminal, with `:)`, `:(`, `:mytime` and
`:+1hr` translated and protected words left alone (the assignment, "Chat Shortcuts", and its
"`\\` overrides the next word"). Nothing is raised: every input has a text.

The time comes in as an argument. This module knows neither a clock nor a locale.

What is typed is shown as it is, so that some lines can pass for somebody else's, or for a command.
At the end are functions that tell such lines, for an interface that draws: it can ask before it
sends one, and isolate what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

BLANKS = " \t"
"""What separates words. No other white space does: U+00A0 and its kin are part of a word."""

LocalTime = Callable[[int], Sequence[int]]
"""Seconds from now -> local time then: year, month, day, hour, minute, second, weekday (Monday
is 0), as in the first seven fields of `time.localtime`."""

# C0 but TAB, DEL and C1 move cursors, clear screens and answer back; U+2028 and U+2029 break
# lines; the twelve bidi controls reorder what is read (CVE-2021-42574). A lone surrogate is a
# byte that was no UTF-8, as `surrogateescape` hands it over: one for each byte.
# Patterns are kept as text: `re` compiles each when it is first needed, and remembers it.
_UNSAFE = (
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"
    "\u2028\u2029"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff]"
)
_CONTROL_OR_LINE_END = "[\x00-\x1f\x7f-\x9f\u2028\u2029]"

_PLAIN_ASCII = bytes(byte for byte in range(0x20, 0x7F)) + b"\n"

_BETWEEN_WORDS = r"([ \t]+)"
# An empty line, one that may be blank, and a first word like a command, a shortcut or protected.
_SPECIAL_LINE = rb"\n[\n :\\]"
_SPECIAL_MARKS = (b":", b"\\")
_FACES = {":)": "[feeling happy]", ":(": "[feeling sad]"}
_TIMES = {":mytime": 0, ":+1hr": 3600}
SHORTCUTS = _FACES | {":mytime": "the server's time", ":+1hr": "the time an hour later"}
"""Word -> what it becomes, for people."""

_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_ISOLATES = "\u2066\u2067" + _FIRST_STRONG_ISOLATE

_TAB_COLUMNS = 8

# Each is drawn like a colon, or nearly so: confusables.txt of UTS 39. A compatibility form, such
# as the full-width one, becomes one by NFKC.
_COLONS = (
    ":\u02d0\u02f8\u0589\u05c3\u0703\u0704\u0903\u0a83\u16ec\u1803\u1809\u205a\u2236\ua4fd\ua789"
    "\ufe13\ufe30\ufe55\uff1a"
)
# And these like the letters of our commands, once they are small.
_LETTERS = str.maketrans(
    "\u043c\u03bc\u0455\u0261\u0581\u03c5\u057d\u0435\u03b5\u0433\u0445\u03c7\u0456\u03b9\u0131\u0442\u03c4",
    "mmsgguueerxxiiitt",
)
# Letters and marks that are drawn as a blank, or not at all: fillers and variation selectors.
_BLANK_LETTERS = "\u115f\u2800\u3164\uffa0"
_INVISIBLE_LETTERS = (
    "[\u034f\u1160\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)

# What begins a line of the room: somebody's words, a private message, a coming or going, a reply.
_LINE_START = (
    rf"[\w.-]+[{_COLONS}](\s|$)|\[Message from |[\w.-]+ (joined|left) the chatroom"
    r"|(Active Users|No such user): |Message too long \(|Server is shutting down|Connected to "
)

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Translation(NamedTuple):
    """A text with its shortcuts replaced. `tells_time`: one of them was a time."""

    text: str
    tells_time: bool


def decode_text(line: bytes) -> str:
    """The text of a line, with U+FFFD for each byte that is not UTF-8 and for each character
    that could move a cursor, break a line or reorder it. TAB, ZWJ and ZWNJ pass."""
    text = line.decode("utf-8", "surrogateescape")
    # Everything unsafe is unprintable, and isprintable() takes half the time of the search.
    return text if text.isprintable() else re.sub(_UNSAFE, "\ufffd", text)


def are_plain(lines: bytes) -> bool:
    """Whether each of `lines`, ended by LF, is shown as it was typed: it is not blank, nothing in
    it is unsafe, and it has no command, no shortcut and no protected word. May be False for
    lines that are: this looks at all of them at once, at a small part of the cost of each."""
    lines = b"\n" + lines
    # To seek two bytes takes a look at nearly each place; the pattern stops at line ends alone.
    if re.search(_SPECIAL_LINE, lines):
        return False
    for mark in _SPECIAL_MARKS:
        if mark in lines and b" " + mark in lines:
            return False
    if not lines.translate(None, _PLAIN_ASCII):
        return True
    try:
        text = lines.decode()
    except UnicodeDecodeError:
        return False
    return text.replace("\n", " ").isprintable()


def has_control_or_line_end(text: str) -> bool:
    """Whether `text` holds C0 (TAB too), DEL, C1, U+2028 or U+2029."""
    return not text.isprintable() and re.search(_CONTROL_OR_LINE_END, text) is not None


def translate(text: str, local_time: LocalTime) -> Translation:
    """Replace the shortcuts that stand as whole words; unprotect protected words.

    Shortcuts match whatever their letter case; blanks are kept as typed. A word `\\:...` or
    `\\\\...` loses its first backslash and is otherwise left alone; any other backslash stays.
    """
    if ":" not in text and "\\" not in text:
        return Translation(text, False)
    words = re.split(_BETWEEN_WORDS, text)
    tells_time = any(word.lower() in _TIMES for word in words)
    return Translation("".join(_translate_word(word, local_time) for word in words), tells_time)


def format_time(time: Sequence[int]) -> str:
    """`%a %b %d %H:%M:%S %Y` in English, whatever the locale: `Wed Sep 24 12:31:44 2025`."""
    year, month, day, hour, minute, second, weekday = time[:7]
    date = f"{_WEEKDAYS[weekday]} {_MONTHS[month - 1]} {day:02}"
    return f"{date} {hour:02}:{minute:02}:{second:02} {year}"


def _translate_word(word: str, local_time: LocalTime) -> str:
    if word.startswith(("\\:", "\\\\")):
        return word[1:]
    shortcut = word.lower()
    if shortcut in _TIMES:
        return format_time(local_time(_TIMES[shortcut]))
    return _FACES.get(shortcut, word)


# For interfaces that draw. Python's own table of characters is only loaded when it is asked.


def is_forged_when_wrapped(line: str, columns: int) -> bool:
    """Whether a terminal of so many `columns` would show in `line`, which is one line with its
    sender's name, a row that reads like the beginning of another line. Blanks in front of that do
    not count, nor what is drawn as nothing."""
    rows = [_as_drawn(row).replace("\u200b", "").lstrip() for row in wrap(line, columns)]
    return any(re.match(_LINE_START, row) for row in rows[1:])


def wrap(line: str, columns: int) -> list[str]:
    """The rows in which a terminal of so many `columns` shows `line`: as many characters as fit, at
    least one, whatever they are. A wide character takes two columns (UAX 11), a combining or
    invisible one none, a TAB all up to the next multiple of 8 or to the last column."""
    rows = [""]
    column = 0
    for character in line:
        width = _width(character, column, columns)
        if column + width > columns and column:
            rows.append("")
            column = 0
            width = _width(character, column, columns)
        rows[-1] += character
        column += width
    return rows


def is_drawn_from_right(line: str) -> bool:
    """Whether a terminal that finds the direction by itself would turn `line` around: its first
    letter, outside of isolates, is one that is written from right to left (UAX 9, P2 and P3). With
    a name that has no letter in it, the text decides."""
    import unicodedata

    depth = 0
    for character in line:
        if character in _ISOLATES:
            depth += 1
        elif character == _POP_ISOLATE:
            depth = max(0, depth - 1)
        elif not depth and (kind := unicodedata.bidirectional(character)) in {"L", "R", "AL"}:
            return kind != "L"
    return False


def isolate(text: str) -> str:
    """`text`, which has come through `decode_text`, so that its direction is its own and turns
    nothing around that stands beside it (UAX 9, FSI and PDI)."""
    return _FIRST_STRONG_ISOLATE + text + _POP_ISOLATE


def resembles_command(text: str, words: Iterable[str]) -> bool:
    """Whether `text` begins like one of `words`, such as `:Msg`: letter case, blanks in front of it
    or behind its colon, look-alikes of its colon and letters, and what is drawn as nothing do not
    matter. The commands themselves do, too: ask about a line that is said to the room."""
    import unicodedata

    drawn = _as_drawn(unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS))
    return any(re.match(_pattern_of(word), drawn) for word in words)


def _pattern_of(word: str) -> str:
    name = "\u200b*".join(map(re.escape, word.casefold().lstrip(":")))
    return rf"[ \u200b]*[{_COLONS}][ \u200b]*{name}(?!\w)"


def _as_drawn(text: str) -> str:
    """The same with a space for each blank, and U+200B for each character that is not drawn."""
    import unicodedata

    def drawn(character: str) -> str:
        if character.isspace() or character in _BLANK_LETTERS:
            return " "
        is_format = unicodedata.category(character) == "Cf"
        return "\u200b" if is_format or re.match(_INVISIBLE_LETTERS, character) else character

    return "".join(map(drawn, text))


def _width(character: str, column: int, columns: int) -> int:
    import unicodedata

    if character == "\t":
        return min(_TAB_COLUMNS - column % _TAB_COLUMNS, max(0, columns - 1 - column))
    if unicodedata.category(character) in {"Mn", "Me", "Cf"} or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
