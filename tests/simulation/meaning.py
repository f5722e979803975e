"""What bytes and lines mean, from docs/PROTOCOL.md, written as it reads and with no regard to cost.

In: the bytes of one client. Out: its lines, and for each what ought to come of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

TIME = "Wed Sep 24 12:31:44 2025"
"""The simulated server's local time, for ever."""

HOUR_LATER = "Wed Sep 24 13:31:44 2025"

TOO_LONG = None
"""In place of a line: it is over the limit."""

Line = bytes | None

EXPECTED = "Expected: JOIN <username> <passcode>"

_REPLACED = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029} - {0x09}
_REPLACED |= {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_NAME_CHARACTERS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")


class Said(NamedTuple):
    """What comes of one line of a member: lines of text, "" for none.

    `to_room` for all others, and with `and_sender` for its sender too; `to_sender` for its sender,
    `to_name` for whoever has that name.
    """

    console: str = ""
    to_room: str = ""
    and_sender: bool = False
    to_sender: str = ""
    to_name: tuple[str, str] | None = None
    leaves: bool = False


class LineReader:
    """The lines of one client, however its bytes come."""

    def __init__(self, max_first_bytes: int, max_bytes: int) -> None:
        self.lines: list[Line] = []
        """Those that nobody has taken yet."""
        self._max_bytes = max_first_bytes
        self._max_later_bytes = max_bytes
        self._rest = b""
        self._is_skipping = False

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._is_skipping:
                self._add(TOO_LONG if self._is_over(line) else line.removesuffix(b"\r"))
            self._is_skipping = False
        if not self._is_skipping and self._is_over(self._rest):
            self._is_skipping = True
            self._add(TOO_LONG)
        if self._is_skipping:
            self._rest = b""

    def _add(self, line: Line) -> None:
        self.lines.append(line)
        self._max_bytes = self._max_later_bytes

    def _is_over(self, line: bytes) -> bool:
        return len(line.removesuffix(b"\r")) > self._max_bytes


@lru_cache  # a flood is one line many times
def decode(line: bytes) -> str:
    """As it may be shown: U+FFFD for what may not."""
    text = line.decode("utf-8", "surrogateescape")
    return "".join(
        "\ufffd" if ord(c) in _REPLACED or 0xD800 <= ord(c) <= 0xDFFF else c for c in text
    )


def split_join(line: bytes) -> tuple[str, bytes] | None:
    """(username, passcode) of a request to join, None if the line is none."""
    parts = line.split(b" ", 2)
    if len(parts) < 3 or parts[0] != b"JOIN":
        return None
    return decode(parts[1]), parts[2]


def fault_of_name(username: str) -> str:
    """Why this is no username, "" if it is one."""
    if not username:
        return "Invalid username: it is empty"
    if not set(username) <= _NAME_CHARACTERS:
        return "Invalid username: only A-Z a-z 0-9 _ - . are allowed"
    if len(username) > 8:
        return "Invalid username: longer than 8 characters"
    return ""


def meaning_of(line: bytes, sender: str, names: list[str], max_bytes: int) -> Said:
    """What comes of `line`, typed by `sender`, when `names` are in the room in this order."""
    said = _meaning_of(decode(line), sender, names)
    shown = [said.to_room, said.to_name[1] if said.to_name else ""]
    if not said.console.endswith("searched up active users"):
        shown.append(said.to_sender)
    if any(len(text.encode()) > max_bytes for text in shown):
        return Said(to_sender=too_long(max_bytes))
    return said


def too_long(max_bytes: int) -> str:
    return f"Message too long (limit {max_bytes} bytes); not sent"


def _meaning_of(text: str, sender: str, names: list[str]) -> Said:
    if not text.strip(" \t"):
        return Said()
    words = [word for word in re.split("[ \t]+", text) if word]
    command = "" if text[0] in " \t" else words[0].lower()
    if command == ":users" and len(words) == 1:
        console = f"{sender}: searched up active users"
        return Said(console, to_sender=f"Active Users: {', '.join(names)}")
    if command == ":exit" and len(words) == 1:
        left = f"{sender} left the chatroom"
        return Said(left, left, leaves=True)
    if command == ":msg":
        return _message(text, words, sender, names)
    line = f"{sender}: {_translate(text)}"
    tells_time = any(word.lower() in (":mytime", ":+1hr") for word in words)
    return Said(line, line, tells_time)


def _message(text: str, words: list[str], sender: str, names: list[str]) -> Said:
    if len(words) < 3:
        return Said(to_sender="Usage: :Msg <username> <message>")
    for name in names:
        if name.lower() == words[1].lower() and words[1].isascii():
            rest = re.split("[ \t]+", text, maxsplit=2)[2]
            private = f"[Message from {sender}]: {_translate(rest)}"
            return Said(f"{sender}: send message to {name}", to_name=(name, private))
    return Said(to_sender=f"No such user: {words[1]}")


@lru_cache
def _translate(text: str) -> str:
    return "".join(_translate_word(word) for word in re.split("([ \t]+)", text))


def _translate_word(word: str) -> str:
    if word.startswith(("\\:", "\\\\")):
        return word[1:]
    shortcuts = {
        ":)": "[feeling happy]",
        ":(": "[feeling sad]",
        ":mytime": TIME,
        ":+1hr": HOUR_LATER,
    }
    return shortcuts.get(word.lower(), word)
