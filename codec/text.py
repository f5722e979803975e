"""What a line of chat may hold, and what its shortcuts stand for.

In: the bytes of one line. Out: text that is safe on any terminal, with `:)`, `:(`, `:mytime` and
`:+1hr` translated and protected words left alone (the assignment, "Chat Shortcuts", and its
"`\\` overrides the next word"). Nothing is raised: every input has a text.

The time comes in as an argument. This module knows neither a clock nor a locale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
# An empty line, one that may be blank, and words that begin like a command or a shortcut.
_SPECIAL_STARTS = (b"\n\n", b"\n ", b"\n:", b" :", b"\n\\", b" \\")
_FACES = {":)": "[feeling happy]", ":(": "[feeling sad]"}
_TIMES = {":mytime": 0, ":+1hr": 3600}

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
    lines that are: this looks at all of them at once, and costs a tenth of looking at each."""
    lines = b"\n" + lines
    for start in _SPECIAL_STARTS:
        if start in lines:
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
