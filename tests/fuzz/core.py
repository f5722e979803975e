"""One entry for every fuzzer: bytes are played to the pure core as a session, and looked at.

In: any bytes, read as a script (docs/FUZZING.md):

    <1> to <4>      what follows is the next piece that this connection sends
    <1/> to <4/>    this connection ends; what it sends afterwards comes from a new one

All other bytes are sent as they stand; what comes before the first mark is sent by connection 1.
Out: nothing. Raised: AssertionError with the reason when a property does not hold, and whatever
the codec raises that it should not.

The script is played several times: as it stands, each line taken alone and in blocks; in one piece
and in single bytes; with small limits, which a short script can reach, and with the real ones. What
everyone reads must each time be what tests/support/protocol.py says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from codec import (
    MAX_JOIN_BYTES,
    MAX_LINE_BYTES,
    Dispatcher,
    Event,
    Kind,
    LineDecoder,
    LineTooLongError,
    ProtocolError,
    Roster,
    decode_text,
    encode_line,
    format_join,
    format_refusal,
    has_control_or_line_end,
    is_exit,
    parse_answer,
    parse_join,
)
from tests.support.protocol import (
    DOCUMENTED_LIMITS,
    EXPECTED_JOIN,
    NAME,
    PASSCODE,
    REPLY,
    UNSAFE,
    USERS,
    Limits,
    PlainServer,
    joined,
    left,
    local_time,
)

SMALL_LIMITS = Limits(40, 64)
"""Few enough to be met by short scripts; every line of fixed text is shorter."""

BLOCK_BYTES = 16 * 1024
"""Most bytes of lines that are taken at once, as the room has it."""

CONSOLE = -1
"""Whose screen the server prints on."""

_MARK = re.compile(rb"<([1-4])(/?)>")


class Piece(NamedTuple):
    """Bytes that a connection sends, or None: it ends."""

    who: int
    data: bytes | None


def core(data: bytes) -> None:
    """Play `data`, and raise if anything about it is not as documented."""
    script = read_script(data)
    assert DOCUMENTED_LIMITS == (MAX_JOIN_BYTES, MAX_LINE_BYTES)
    for limits in (SMALL_LIMITS, DOCUMENTED_LIMITS):
        plain = PlainServer(limits)
        singly, in_blocks = Core(limits, takes_blocks=False), Core(limits, takes_blocks=True)
        for piece in script:
            for server in (plain, singly, in_blocks):
                _play(server, [piece])
            expected = {key: bytes(peer.screen) for key, peer in plain.peers.items()}
            expected[CONSOLE] = plain.console
            for core_ in (singly, in_blocks):
                _compare(core_.screens, expected, f"after {piece}")
        for name, pieces in (("whole", merged(script)), ("in bytes", in_bytes(script))):
            core_ = Core(limits, takes_blocks=True)
            _play(core_, pieces)
            _compare(core_.screens, in_blocks.screens, name)


def read_script(data: bytes) -> list[Piece]:
    """What a script says is to happen, in order."""
    pieces: list[Piece] = []
    first, *rest = _MARK.split(data)
    if first:
        pieces.append(Piece(1, first))
    for digit, slash, content in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        if slash:
            pieces.append(Piece(int(digit), None))
        if content or not slash:
            pieces.append(Piece(int(digit), content))
    return pieces


def merged(script: Iterable[Piece]) -> list[Piece]:
    """The same with neighbouring pieces of one connection in one."""
    pieces: list[Piece] = []
    for who, data in script:
        last = pieces[-1] if pieces else None
        if data is not None and last and last.who == who and last.data is not None:
            pieces[-1] = Piece(who, last.data + data)
        else:
            pieces.append(Piece(who, data))
    return pieces


def in_bytes(script: Iterable[Piece]) -> list[Piece]:
    """The same with a piece for each byte."""
    return [
        Piece(who, part)
        for who, data in script
        for part in ([None] if data is None else [bytes([byte]) for byte in data] or [b""])
    ]


class Peer:
    """One connection: a stranger, a member, or one who is not heard any more."""

    def __init__(self, limits: Limits) -> None:
        self.decoder = LineDecoder(limits.join_bytes)
        self.username = ""
        self.is_closed = False


class Core:
    """The codec as a server uses it, without a server: what is in `screens` has been read."""

    def __init__(self, limits: Limits, takes_blocks: bool) -> None:
        self.screens: dict[int, bytes] = {CONSOLE: b""}
        self._limits = limits
        self._takes_blocks = takes_blocks
        self._roster = Roster()
        self._dispatcher = Dispatcher(PASSCODE, local_time, self._roster, limits.line_bytes)
        self._peers: dict[int, Peer] = {}
        self._members: dict[str, int] = {}

    def receive(self, who: int, data: bytes) -> None:
        peer = self._peer(who)
        if peer.is_closed:
            return
        peer.decoder.feed_data(data)
        takes = 0
        while not peer.is_closed and self._take(who, peer):
            takes += 1
            assert takes <= data.count(b"\n") + 1, "takes more lines than were sent"

    def end(self, who: int) -> None:
        """What comes from it next is a new connection, whose screen goes on."""
        peer = self._peer(who)
        if peer.username:
            self._part(who, peer, self._dispatcher.leave(peer.username))
        del self._peers[who]

    def _peer(self, who: int) -> Peer:
        self.screens.setdefault(who, b"")
        return self._peers.setdefault(who, Peer(self._limits))

    def _take(self, who: int, peer: Peer) -> bool:
        """Take the next line, or a block of them; False if none is complete."""
        if self._takes_blocks and peer.username:
            lines = peer.decoder.peek_lines(BLOCK_BYTES)
            assert lines == b"" or lines.endswith(b"\n")
            event = self._dispatcher.dispatch_plain(peer.username, lines) if lines else None
            if event is not None:
                assert event.kind is Kind.SAID
                peer.decoder.drop(len(lines))
                self._show(who, peer.username, event)
                return True
        try:
            line = peer.decoder.next_line()
        except LineTooLongError as error:
            self._refuse(who, peer, error)
            return True
        if line is None:
            return False
        assert b"\n" not in line
        assert len(line) <= peer.decoder.max_line_bytes
        _look_at_line(line)
        if peer.username:
            self._obey(who, peer, line)
        else:
            self._join(who, peer, line)
        return True

    def _refuse(self, who: int, peer: Peer, error: LineTooLongError) -> None:
        if peer.username:
            self._show(who, peer.username, self._dispatcher.refuse(peer.username, error))
        else:
            self._turn_away(who, peer, EXPECTED_JOIN)

    def _join(self, who: int, peer: Peer, line: bytes) -> None:
        before = self._roster.usernames
        try:
            join = parse_join(line)
            self._dispatcher.check(join)
            self._roster.claim(join.username)
        except ProtocolError as error:
            assert self._roster.usernames == before
            self._turn_away(who, peer, str(error))
            return
        event = self._dispatcher.join(join.username)
        assert event.kind is Kind.JOINED
        assert self._roster.usernames == before
        self._members[join.username] = who
        self._show(who, join.username, event)
        assert self._roster.usernames == [*before, join.username]
        peer.username = join.username
        peer.decoder.max_line_bytes = self._limits.line_bytes

    def _obey(self, who: int, peer: Peer, line: bytes) -> None:
        event = self._dispatcher.dispatch(peer.username, line)
        if event is None:
            assert not line.strip(b" \t"), f"nothing comes of {line!r}"
            return
        assert (event.kind is Kind.LEFT) == is_exit(line)
        if event.kind is Kind.LEFT:
            self._part(who, peer, event)
            peer.is_closed = True
        else:
            self._show(who, peer.username, event)

    def _turn_away(self, who: int, peer: Peer, reason: str) -> None:
        line = encode_line(format_refusal(ProtocolError(reason)))
        _look_at_lines(line, self._limits)
        self.screens[who] += line
        peer.is_closed = True

    def _part(self, who: int, peer: Peer, event: Event) -> None:
        assert event.kind is Kind.LEFT
        del self._members[peer.username]
        self._show(who, peer.username, event)
        assert peer.username not in self._roster.usernames
        peer.username = ""

    def _show(self, origin: int, username: str, event: Event) -> None:
        _look_at_lines(event.console, self._limits)
        _look_at_lines(event.room, self._limits)
        _look_at_kind(event)
        _look_for_sender(username, event)
        self._roster.apply(event)
        self.screens[CONSOLE] += event.console
        for who in self._members.values():
            if who != origin or event.to_origin:
                self.screens[who] += event.room
        for name, line in event.private:
            _look_at_lines(line, self._limits)
            assert line.count(b"\n") == 1
            self.screens[self._members[name]] += line


def _play(server: Core | PlainServer, pieces: Iterable[Piece]) -> None:
    for who, data in pieces:
        if data is None:
            server.end(who)
        else:
            server.receive(who, data)


def _compare(screens: dict[int, bytes], expected: dict[int, bytes], when: str) -> None:
    for who, lines in expected.items():
        assert screens[who] == lines, (
            f"{when}: {'the console' if who == CONSOLE else who} reads {screens[who][-300:]!r} "
            f"and not {lines[-300:]!r}"
        )
    assert screens.keys() == expected.keys(), when


def _look_at_lines(lines: bytes, limits: Limits) -> None:
    """What leaves the core is safe, whole, and within its limit."""
    assert lines == b"" or lines.endswith(b"\n"), f"not ended: {lines!r}"
    for line in lines[:-1].split(b"\n"):
        text = line.decode()  # raises for what is not UTF-8
        assert not UNSAFE & set(text), f"unsafe: {line!r}"
        assert decode_text(line) == text, f"a client would show another text: {line!r}"
        assert has_control_or_line_end(text) == ("\t" in text)
        is_short = len(line) <= limits.line_bytes or text.startswith(USERS)
        assert is_short, f"too long: {len(line)} bytes"


def _look_at_kind(event: Event) -> None:
    """An event has the lines of its kind and no others."""
    if event.kind in (Kind.PRIVATE, Kind.NOTICE):
        assert not event.room
        assert len(event.private) == 1
        assert event.console or event.kind is Kind.NOTICE
    else:
        assert event.room == event.console != b""
        assert len(event.private) == (event.kind is Kind.JOINED)
    assert event.kind is Kind.SAID or not event.to_origin


def _look_for_sender(username: str, event: Event) -> None:
    """Nothing is shown as somebody else's, and nothing has an undocumented form."""
    assert event.origin == username
    news = {joined(username).to_room, left(username).to_room}
    for lines in (event.console, event.room):
        for line in lines.decode().removesuffix("\n").split("\n") if lines else []:
            assert line.startswith(f"{username}: ") or line in news, f"forged: {line!r}"
    for name, data in event.private:
        text = data.decode().removesuffix("\n")
        is_reply = name == username and (text == "OK" or REPLY.fullmatch(text))
        is_message = text.startswith(f"[Message from {username}]: ")
        assert is_reply or is_message, f"to {name}: {text!r}"
        assert is_message == (event.kind is Kind.PRIVATE), f"{event.kind} holds {text!r}"


def _look_at_line(line: bytes) -> None:
    """What any line at all may do to the functions that read one."""
    reason = reason_of(lambda: parse_answer(line))
    assert (decode_text(line) == "OK") if reason is None else not UNSAFE & set(reason)
    if reason := reason_of(lambda: parse_join(line)):
        assert reason == EXPECTED_JOIN
        return
    join = parse_join(line)
    if re.fullmatch(NAME, join.username):
        reason = reason_of(lambda: format_join(join))
        is_too_long = len(join.passcode) > MAX_JOIN_BYTES - len("JOIN  12345678")
        assert reason if is_too_long else format_join(join) == line


def reason_of(call: Callable[[], object]) -> str | None:
    """Why the codec says no, or None if it does not."""
    try:
        call()
    except ProtocolError as error:
        return str(error)
    return None
