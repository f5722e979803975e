"""The protocol once more, as plainly as it can be said: an independent witness.

In: bytes that connections send, in any pieces, and their ends. Out: the bytes that each of them,
and the console, is to read. Written from docs/PROTOCOL.md alone; nothing of the codec, the reactor
or the room is used, so that a mistake has to be made twice to go unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

PASSCODE = b"abc12"

UNSAFE = frozenset(
    chr(code)
    for code in (
        *range(0x09),
        *range(0x0A, 0x20),
        *range(0x7F, 0xA0),
        *(0x2028, 0x2029),
        *(0x061C, 0x200E, 0x200F),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
)
"""What may not reach a terminal: C0 but TAB, DEL and C1, two line ends, twelve bidi controls."""

NAME = "[A-Za-z0-9_.-]{1,8}"

EXPECTED = "Expected: JOIN <username> <passcode>"
USAGE = "Usage: :Msg <username> <message>"
NOW = "Wed Sep 24 12:31:44 2025"
IN_AN_HOUR = "Wed Sep 24 13:31:44 2025"


class Limits(NamedTuple):
    """Most bytes of a line without its line end: the first of a connection, and all others."""

    join_bytes: int
    line_bytes: int


DOCUMENTED_LIMITS = Limits(256, 4096)


class PlainServer:
    """A server without a network. It is always 12:31:44 on September 24, 2025."""

    def __init__(self, limits: Limits = DOCUMENTED_LIMITS, passcode: bytes = PASSCODE) -> None:
        self.console = b""
        self.peers: dict[int, PlainPeer] = {}
        self.members: list[PlainPeer] = []
        self._limits = limits
        self._passcode = passcode

    def receive(self, key: int, data: bytes) -> None:
        """`data` comes from the connection `key`, which is made if there is none."""
        peer = self.peers.setdefault(key, PlainPeer())
        for line in self._lines(peer, data):
            if not peer.is_member:
                self._join(peer, line)
            elif line is None:
                self._refuse(peer)
            else:
                self._obey(peer, line)

    def end(self, key: int) -> None:
        """The connection `key` has ended."""
        peer = self.peers.setdefault(key, PlainPeer())
        if peer.is_member:
            self._leave(peer)
        peer.is_closed = True

    def _lines(self, peer: PlainPeer, data: bytes) -> Iterator[bytes | None]:
        """The lines that end in `data`; None for each, ended or not, that is found too long."""
        *ended, rest = data.split(b"\n")
        for part, is_ended in [*((part, True) for part in ended), (rest, False)]:
            if peer.is_closed:
                return
            peer.unended += part
            line = bytes(peer.unended).removesuffix(b"\r")
            most = self._limits.line_bytes if peer.is_member else self._limits.join_bytes
            is_refused = peer.is_skipping
            if not is_refused and len(line) > most:
                peer.is_skipping = True
                yield None
            elif is_ended and not is_refused:
                yield line
            if is_ended:
                peer.is_skipping = False
            if is_ended or peer.is_skipping:
                peer.unended.clear()

    def _join(self, peer: PlainPeer, line: bytes | None) -> None:
        if reason := self._reason_to_refuse(line):
            self._show([peer], f"ERROR {reason}")
            peer.is_closed = True
            return
        assert line is not None
        peer.username = line.split(b" ")[1].decode()
        self._announce(f"{peer.username} joined the chatroom", self.members)
        peer.is_member = True
        self.members.append(peer)
        self._show([peer], "OK")

    def _reason_to_refuse(self, line: bytes | None) -> str:
        if line is None or not line.startswith(b"JOIN ") or line.count(b" ") < 2:
            return EXPECTED
        _, name, passcode = line.split(b" ", 2)
        if passcode != self._passcode:
            return "Incorrect passcode"
        if not name:
            return "Invalid username: it is empty"
        if not re.fullmatch(rb"[A-Za-z0-9_.-]+", name):
            return "Invalid username: only A-Z a-z 0-9 _ - . are allowed"
        if len(name) > 8:
            return "Invalid username: longer than 8 characters"
        if self._member(name.decode()):
            return f"Username already in use: {name.decode()}"
        return ""

    def _obey(self, peer: PlainPeer, line: bytes) -> None:
        text = safe_text(line)
        if text.strip(" \t") == "":
            return
        first = re.split("[ \t]", text)[0].lower()
        is_alone = text.rstrip(" \t").lower() == first
        if first == ":users" and is_alone:
            self.console += f"{peer.username}: searched up active users\n".encode()
            self._show([peer], "Active Users: " + ", ".join(m.username for m in self.members))
        elif first == ":exit" and is_alone:
            self._leave(peer)
            peer.is_closed = True
        elif first == ":msg":
            self._message(peer, text[len(":msg") :].lstrip(" \t"))
        else:
            shown = f"{peer.username}: {translated(text)}"
            if self._is_too_long(shown):
                self._refuse(peer)
                return
            readers = [m for m in self.members if m is not peer or tells_time(text)]
            self._announce(shown, readers)

    def _message(self, peer: PlainPeer, argument: str) -> None:
        name = re.split("[ \t]", argument)[0]
        text = argument[len(name) :].lstrip(" \t")
        reader = self._member(name)
        if not text:
            self._show([peer], USAGE)
        elif reader is None:
            unknown = f"No such user: {name}"
            if self._is_too_long(unknown):
                self._refuse(peer)
            else:
                self._show([peer], unknown)
        else:
            shown = f"[Message from {peer.username}]: {translated(text)}"
            if self._is_too_long(shown):
                self._refuse(peer)
                return
            self.console += f"{peer.username}: send message to {reader.username}\n".encode()
            self._show([reader], shown)

    def _leave(self, peer: PlainPeer) -> None:
        self.members.remove(peer)
        peer.is_member = False
        self._announce(f"{peer.username} left the chatroom", self.members)

    def _refuse(self, peer: PlainPeer) -> None:
        limit = self._limits.line_bytes
        self._show([peer], f"Message too long (limit {limit} bytes); not sent")

    def _is_too_long(self, shown: str) -> bool:
        return len(shown.encode()) > self._limits.line_bytes

    def _member(self, name: str) -> PlainPeer | None:
        if not name.isascii():
            return None
        return next((m for m in self.members if m.username.lower() == name.lower()), None)

    def _announce(self, text: str, readers: list[PlainPeer]) -> None:
        self.console += f"{text}\n".encode()
        self._show(readers, text)

    def _show(self, readers: list[PlainPeer], text: str) -> None:
        for reader in readers:
            reader.screen += f"{text}\n".encode()


class PlainPeer:
    """One connection. `screen` is all that it is to read; `is_closed`: nothing more is taken."""

    def __init__(self) -> None:
        self.screen = bytearray()
        self.username = ""
        self.is_member = False
        self.is_closed = False
        self.is_skipping = False  # the rest of a line that was too long
        self.unended = bytearray()


def safe_text(line: bytes) -> str:
    """What a screen shows of `line`: U+FFFD for each byte that is not UTF-8, and for each
    character that is unsafe."""
    text = line.decode("utf-8", "surrogateescape")
    return "".join("\ufffd" if c in UNSAFE or "\ud800" <= c <= "\udfff" else c for c in text)


def words_and_blanks(text: str) -> list[str]:
    return re.findall("[ \t]+|[^ \t]+", text)


def tells_time(text: str) -> bool:
    return any(word.lower() in (":mytime", ":+1hr") for word in words_and_blanks(text))


def translated(text: str) -> str:
    return "".join(map(_translated_word, words_and_blanks(text)))


def _translated_word(word: str) -> str:
    if word[:2] in ("\\:", "\\\\"):
        return word[1:]
    shortcuts = {
        ":)": "[feeling happy]",
        ":(": "[feeling sad]",
        ":mytime": NOW,
        ":+1hr": IN_AN_HOUR,
    }
    return shortcuts.get(word.lower(), word)
