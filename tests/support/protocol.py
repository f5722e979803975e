"""The plain model of the protocol, with which all tests compare the product.

In: bytes that connections send, in any pieces, and their ends. Out: what each line means, and the
bytes that each member, and the console, is to read. It is written from docs/PROTOCOL.md alone, slow
and simple, and uses nothing of the product: a mistake has to be made in both to pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

PASSCODE = b"abc12"

NOW = "Wed Sep 24 12:31:44 2025"
"""The local time of every server in the tests."""

IN_AN_HOUR = "Wed Sep 24 13:31:44 2025"


def local_time(seconds: int) -> tuple[int, ...]:
    """The local time `seconds` later, as the product asks for it."""
    return (2025, 9, 24, 12 + seconds // 3600, 31, 44, 2)


EXPECTED_JOIN = "Expected: JOIN <username> <passcode>"
INCORRECT_PASSCODE = "Incorrect passcode"
EMPTY_NAME = "Invalid username: it is empty"
STRANGE_NAME = "Invalid username: only A-Z a-z 0-9 _ - . are allowed"
LONG_NAME = "Invalid username: longer than 8 characters"
NAME_IN_USE = "Username already in use: "  # and the name
HANDSHAKE_TIMED_OUT = "Handshake timed out"
TOO_MANY_ATTEMPTS = "Too many attempts, try again later"
TOO_MANY_CONNECTIONS = "Too many connections"
SERVER_FULL = "Server full"
TOO_LATE = "Too late"
NOT_HERE = "Not a place of this server"

NOTICE = "* "  # and a reply, to one that came by ENTER
USAGE = "Usage: :Msg <username> <message>"
USERS = "Active Users: "  # and the names
NO_SUCH_USER = "No such user: "  # and the name
SHUTTING_DOWN = "Server is shutting down"

SHORTCUTS = {
    ":)": "[feeling happy]",
    ":(": "[feeling sad]",
    ":mytime": NOW,
    ":+1hr": IN_AN_HOUR,
}

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

REPLY = re.compile(
    rf"{USERS}{NAME}(, {NAME})*|(\* )?({NO_SUCH_USER}[^ \t]+|{re.escape(USAGE)}"
    r"|Message too long \(limit \d+ bytes\); not sent)"
)
"""What the server says to one member alone."""


def error_line(reason: str) -> bytes:
    """What a guest that is refused reads."""
    return f"ERROR {reason}\n".encode()


Line = bytes | None
TOO_LONG = None
"""Stands in place of a line that is over the limit."""


class Limits(NamedTuple):
    """Most bytes of a line without its line end: of the first one, and of all later ones."""

    join_bytes: int = 256
    line_bytes: int = 4096


DOCUMENTED_LIMITS = Limits()


class LineReader:
    """Finds the lines of one client in its bytes. `lines` are those that no one has taken yet."""

    def __init__(self, max_first_bytes: int, max_later_bytes: int) -> None:
        self.lines: list[Line] = []
        self._max_bytes = max_first_bytes
        self._max_later_bytes = max_later_bytes
        self._rest = b""
        self._is_skipping = False

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.removesuffix(b"\r"))
            self._is_skipping = False
        if len(self._rest.removesuffix(b"\r")) > self._max_bytes:
            self._take(self._rest)
            self._is_skipping = True
        if self._is_skipping:
            self._rest = b""

    def _take(self, line: bytes) -> None:
        if not self._is_skipping:
            self.lines.append(line if len(line) <= self._max_bytes else TOO_LONG)
            self._max_bytes = self._max_later_bytes


def lines_of(data: bytes, limit: int) -> list[Line]:
    """All lines of a member that has sent `data`."""
    reader = LineReader(limit, limit)
    reader.feed(data)
    return reader.lines


@lru_cache  # a flood is one line many times
def safe_text(line: bytes) -> str:
    """What a screen shows of `line`: U+FFFD for each byte that is not UTF-8, and for each
    character that is unsafe."""
    text = line.decode("utf-8", "surrogateescape")
    return "".join("\ufffd" if c in UNSAFE or "\ud800" <= c <= "\udfff" else c for c in text)


@lru_cache
def translated(text: str) -> str:
    return "".join(map(_translated_word, re.split("([ \t]+)", text)))


def _translated_word(word: str) -> str:
    is_protected = word.startswith(("\\:", "\\\\"))
    return word[1:] if is_protected else SHORTCUTS.get(word.lower(), word)


@lru_cache
def tells_time(text: str) -> bool:
    return any(word.lower() in (":mytime", ":+1hr") for word in re.split("[ \t]", text))


def split_join(line: Line) -> tuple[str, bytes, bool] | None:
    """(username, passcode, whether by ENTER) of a request to join, None if the line is none."""
    word, *rest = (line or b"").split(b" ", 2)
    if word not in (b"JOIN", b"ENTER") or len(rest) != 2:
        return None
    return safe_text(rest[0]), rest[1], word == b"ENTER"


def split_resume(line: Line) -> tuple[str, int] | None:
    """(token, bytes received) of a request for a place, None if the line is none."""
    match = re.fullmatch(rb"RESUME ([\x21-\x7e]+) ([0-9]{1,18})", line or b"")
    return (match[1].decode(), int(match[2])) if match else None


def fault_of_join(
    username: str, passcode: bytes, names: Iterable[str], right: bytes = PASSCODE
) -> str:
    """Why a guest may not join while `names` are in the room; "" if it may."""
    if passcode != right:
        return INCORRECT_PASSCODE
    if not username:
        return EMPTY_NAME
    if not re.fullmatch("[A-Za-z0-9_.-]+", username):
        return STRANGE_NAME
    if len(username) > 8:
        return LONG_NAME
    return f"{NAME_IN_USE}{username}" if find(username, names) else ""


def find(name: str, names: Iterable[str]) -> str:
    """The member of that name, as it spells itself, or "" if there is none."""
    return next((n for n in names if name.isascii() and n.lower() == name.lower()), "")


class Said(NamedTuple):
    """What one thing that happened makes the server say: lines of text, "" for none.

    All members but the sender read `to_room`, and the sender too if `to_sender`. `private` are
    names, each with the line that this member alone reads.
    """

    console: str = ""
    to_room: str = ""
    to_sender: bool = False
    private: tuple[tuple[str, str], ...] = ()
    leaves: bool = False

    def screens(self, sender: str, names: Iterable[str]) -> dict[str, bytes]:
        """The line for each member that reads one; `sender` may be about to join."""
        readers = [name for name in names if name != sender or self.to_sender]
        shown = {**dict.fromkeys(readers, self.to_room), **dict(self.private)}
        return {name: f"{text}\n".encode() for name, text in shown.items() if text}


def joined(username: str, token: str = "") -> Said:
    news = f"{username} joined the chatroom"
    return Said(news, news, private=((username, f"OK {token}".rstrip()),))


def left(username: str) -> Said:
    news = f"{username} left the chatroom"
    return Said(news, news, leaves=True)


def too_long(max_bytes: int) -> str:
    """`max_bytes`: the most text that could have been shown."""
    return f"Message too long (limit {max_bytes} bytes); not sent"


def users(names: Iterable[str]) -> str:
    """Who is in the room: the answer to `:Users`, and the first line behind the OK to ENTER."""
    return USERS + ", ".join(names)


def meaning_of(
    line: Line, sender: str, names: Iterable[str], max_bytes: int, echo: bool = False
) -> Said:
    """What comes of a line of `sender`; `names` are the members in the order they joined. `echo`:
    it came by ENTER."""
    mark = NOTICE if echo else ""
    if line is TOO_LONG:
        return _refusal(mark, f"{sender}: ", sender, max_bytes)
    said = _meaning_of(safe_text(line), sender, names)
    if echo:
        said = _echoed(said, sender)
    shown = max((said.to_room, *(text for _, text in said.private)), key=len)
    if len(shown.encode()) > max_bytes and not shown.startswith(USERS):
        return _refusal(mark, shown[: shown.index(": ") + 2], sender, max_bytes)
    return said


def _refusal(mark: str, prefix: str, sender: str, max_bytes: int) -> Said:
    return Said(private=((sender, mark + too_long(max_bytes - len(prefix))),))


def _echoed(said: Said, sender: str) -> Said:
    """The same to a sender that came by ENTER."""
    if said.to_room:
        return said._replace(to_sender=not said.leaves)
    for reader, text in said.private:
        start, _, rest = text.partition("]: ")
        if start == f"[Message from {sender}":
            own = (sender, f"[Message to {reader}]: {rest}")
            return said._replace(private=tuple(dict([(reader, text), own]).items()))
        if not text.startswith(USERS):
            return said._replace(private=((sender, NOTICE + text),))
    return said


@lru_cache
def _words(text: str) -> list[str]:
    return re.findall("[^ \t]+", text)


def _meaning_of(text: str, sender: str, names: Iterable[str]) -> Said:
    words = _words(text)
    if not words:
        return Said()
    command = "" if text[0] in " \t" else words[0].lower()
    if command == ":users" and len(words) == 1:
        return Said(f"{sender}: searched up active users", private=((sender, users(names)),))
    if command == ":exit" and len(words) == 1:
        return left(sender)
    if command == ":msg":
        return _message(text, words, sender, names)
    line = f"{sender}: {translated(text)}"
    return Said(line, line, tells_time(text))


def _message(text: str, words: list[str], sender: str, names: Iterable[str]) -> Said:
    if len(words) < 3:
        return Said(private=((sender, USAGE),))
    reader = find(words[1], names)
    if not reader:
        return Said(private=((sender, NO_SUCH_USER + words[1]),))
    rest = translated(re.split("[ \t]+", text, maxsplit=2)[2])
    shown = f"[Message from {sender}]: {rest}"
    return Said(f"{sender}: send message to {reader}", private=((reader, shown),))


@dataclass(eq=False)
class Peer:
    """One connection. `screen` is all that it is to read; `is_closed`: its bytes are ignored.

    A member whose place is kept has a token, the first of `tokens`; a second is good, too, until it
    sends something. `stream` is all that it is to read behind its OK, on all of its connections,
    and `received_bytes` how much it has sent on them."""

    reader: LineReader
    screen: bytearray = field(default_factory=bytearray)
    username: str = ""
    echo: bool = False
    is_closed: bool = False
    tokens: list[str] = field(default_factory=list)
    stream: bytearray = field(default_factory=bytearray)
    received_bytes: int = 0

    def show(self, lines: bytes) -> None:
        self.screen += lines
        self.stream += lines


class PlainServer:
    """A server without a network. With `tokens` it keeps places."""

    def __init__(
        self,
        limits: Limits = DOCUMENTED_LIMITS,
        passcode: bytes = PASSCODE,
        tokens: Iterator[str] | None = None,
    ) -> None:
        self.console = b""
        self.peers: dict[int, Peer] = {}
        self.members: dict[str, Peer] = {}
        self._limits = limits
        self._passcode = passcode
        self._tokens = tokens
        self._places = 0

    def receive(self, key: int, data: bytes) -> None:
        """Take `data` from the connection `key`, which is made if there is none."""
        peer = self.peers.setdefault(key, Peer(LineReader(*self._limits)))
        if peer.is_closed:
            return
        if peer.username:
            peer.received_bytes += len(data)
            del peer.tokens[1:]
        peer.reader.feed(data)
        while peer.reader.lines and not peer.is_closed:
            line = peer.reader.lines.pop(0)
            if peer.username:
                self._show(peer, self._meaning_of(peer, line))
            elif self._tokens and (request := split_resume(line)):
                self._resume(peer, *request)
                rest = data[data.index(b"\n") + 1 :]
                if peer.username and rest:
                    self.receive(key, rest)
            else:
                self._answer(peer, line)
                peer.received_bytes = len(data) - data.index(b"\n") - 1 if peer.username else 0

    def end(self, key: int) -> None:
        """The connection `key` ends. More bytes from it are a new one with the same screen."""
        peer = self.peers.setdefault(key, Peer(LineReader(*self._limits)))
        screen = peer.screen
        if peer.tokens:
            peer.screen = bytearray()  # which nobody sees
        elif self.members.get(peer.username) is peer:
            self._show(peer, left(peer.username))
        self.peers[key] = Peer(LineReader(*self._limits), screen)

    def _resume(self, peer: Peer, token: str, received_bytes: int) -> None:
        """Go on with `peer` where another connection of the member was, or refuse it."""
        assert self._tokens
        member = next((m for m in self.members.values() if token in m.tokens), None)
        if member is None or received_bytes > len(member.stream):
            peer.screen += error_line(TOO_LATE)
            peer.is_closed = True
            if member:
                self._show(member, left(member.username))
            return
        for key, other in self.peers.items():
            if other is member:
                self.end(key)
        place = token.partition(".")[0]
        peer.tokens = [f"{place}.{next(self._tokens)}", token]
        peer.username, peer.echo, peer.reader = member.username, True, member.reader
        peer.stream, peer.received_bytes = member.stream, member.received_bytes
        self.members[peer.username] = peer
        peer.screen += f"OK {peer.tokens[0]} {peer.received_bytes}\n".encode()
        peer.screen += peer.stream[received_bytes:]

    def _answer(self, peer: Peer, line: Line) -> None:
        """Let a guest in, or refuse it."""
        join = split_join(line)
        fault = self._fault_of_join(*join[:2]) if join else EXPECTED_JOIN
        if fault:
            peer.screen += error_line(fault)
            peer.is_closed = True
        elif join:
            peer.username, _, peer.echo = join
            self.members[peer.username] = peer
            if peer.echo and self._tokens:
                self._places += 1
                peer.tokens = [f"{self._places}.{next(self._tokens)}"]
            self._show(peer, joined(peer.username, *peer.tokens))
            peer.stream.clear()
            if peer.echo:
                peer.show(f"{users(self.members)}\n".encode())

    def _fault_of_join(self, username: str, passcode: bytes) -> str:
        return fault_of_join(username, passcode, self.members, self._passcode)

    def _meaning_of(self, peer: Peer, line: Line) -> Said:
        return meaning_of(line, peer.username, self.members, self._limits.line_bytes, peer.echo)

    def _show(self, peer: Peer, said: Said) -> None:
        if said.leaves:
            del self.members[peer.username]
            peer.is_closed = True
            peer.tokens = []
        self.console += f"{said.console}\n".encode() if said.console else b""
        for name, lines in said.screens(peer.username, self.members).items():
            self.members[name].show(lines)
