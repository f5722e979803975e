"""One entry for every fuzzer: bytes are played to the pure core as a session, and looked at.

In: any bytes, read as a script (docs/FUZZING.md):

    <1> to <4>      what follows is the next piece that this connection sends
    <1/> to <4/>    this connection ends; what it sends afterwards comes from a new one

All other bytes are sent as they stand; what comes before the first mark is sent by connection 1.
Out: nothing. Raised: AssertionError with the reason when a property does not hold, and whatever
the codec raises that it should not.

The script is played several times: as it stands, each line taken alone and in blocks; in one piece
and in single bytes; with small limits, which a short script can reach, and with the real ones. What
is on each screen must each time be what tests/support/protocol.py says. For one that came by ENTER,
each line must tell by itself what it is, who comes or goes, and whether it is an answer; and each
line that it typed must have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

import codec
from codec import Event, Kind, LineDecoder, LineTooLongError, ProtocolError, decode_text
from codec.kinds import LineKind, has_answer, parse_shown
from tests.support import protocol
from tests.support.protocol import PASSCODE, Limits, PlainServer

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
    assert protocol.DOCUMENTED_LIMITS == (codec.MAX_JOIN_BYTES, codec.MAX_LINE_BYTES)
    ways = [(script, False), (script, True), (merged(script), True), (in_bytes(script), True)]
    for limits in (SMALL_LIMITS, protocol.DOCUMENTED_LIMITS):
        plain = PlainServer(limits)
        _play(plain, script)
        expected = {who: bytes(peer.screen) for who, peer in plain.peers.items()}
        expected[CONSOLE] = plain.console
        for screen in expected.values():
            _look_at_lines(screen, limits)
        for pieces, takes_blocks in ways:
            server = Core(limits, takes_blocks)
            _play(server, pieces)
            assert server.screens == expected, f"{server.screens} and not {expected} of {pieces}"
            assert server.roster.usernames == [*plain.members]


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
    for (who, is_end), group in groupby(script, lambda piece: (piece.who, piece.data is None)):
        data = [piece.data or b"" for piece in group]
        pieces += [Piece(who, None)] * len(data) if is_end else [Piece(who, b"".join(data))]
    return pieces


def in_bytes(script: Iterable[Piece]) -> list[Piece]:
    """The same with a piece for each byte."""
    return [
        Piece(who, part)
        for who, data in script
        for part in ([None] if data is None else [bytes([byte]) for byte in data] or [b""])
    ]


class Peer:
    """One connection: a stranger, a member, or one that is not heard any more."""

    def __init__(self, who: int, limits: Limits) -> None:
        self.who = who
        self.decoder = LineDecoder(limits.join_bytes)
        self.username = ""
        self.is_closed = False
        self.has_echo = False
        self.usernames: list[str] = []  # who is in the room, by what it has read since its ENTER

    def read(self, lines: bytes) -> int:
        """Take in lines that follow the OK to its ENTER: how many of them are answers."""
        answers = 0
        for text in lines.decode().split("\n")[:-1]:
            shown = parse_shown(text)
            assert shown, f"of no kind: {text!r}"
            if shown.kind is LineKind.JOINED:
                self.usernames.append(shown.name)
            elif shown.kind is LineKind.LEFT:
                self.usernames.remove(shown.name)
            elif shown.kind is LineKind.USERS:
                assert shown.usernames == self.usernames
            answers += shown.answers(self.username)
        return answers


class Core:
    """The codec as a server uses it, without a server: what is in `screens` has been read."""

    def __init__(self, limits: Limits, takes_blocks: bool) -> None:
        self.screens: dict[int, bytes] = {CONSOLE: b""}
        self._limits = limits
        self._takes_blocks = takes_blocks
        self.roster = codec.Roster()
        self._dispatcher = codec.Dispatcher(
            PASSCODE, protocol.local_time, self.roster, limits.line_bytes
        )
        self._peers: dict[int, Peer] = {}

    def receive(self, who: int, data: bytes) -> None:
        peer = self._peer(who)
        peer.decoder.feed_data(data)
        takes = 0
        while not peer.is_closed and self._take(peer):
            takes += 1
            assert takes <= data.count(b"\n") + 1, "takes more lines than were sent"

    def end(self, who: int) -> None:
        """What comes from it next is a new connection, whose screen goes on."""
        peer = self._peer(who)
        if peer.username:
            self._show(peer, self._dispatcher.leave(peer.username))
        del self._peers[who]

    def _peer(self, who: int) -> Peer:
        self.screens.setdefault(who, b"")
        return self._peers.setdefault(who, Peer(who, self._limits))

    def _take(self, peer: Peer) -> bool:
        """Take the next line, or a block of them; False if none is complete."""
        if self._takes_blocks and peer.username:
            lines = peer.decoder.peek_lines(BLOCK_BYTES)
            event = None
            if lines:
                event = self._dispatcher.dispatch_plain(peer.username, lines, peer.has_echo)
            if event is not None:
                peer.decoder.drop(len(lines))
                self._show(peer, event, lines.count(b"\n"))
                return True
        try:
            line = peer.decoder.next_line()
        except LineTooLongError:
            if peer.username:
                self._show(peer, self._dispatcher.refuse_line(peer.username, peer.has_echo), 1)
            else:
                self._turn_away(peer, protocol.EXPECTED_JOIN)
            return True
        if line is None:
            return False
        if not peer.username:
            self._join(peer, line)
            return True
        event = self._dispatcher.dispatch(peer.username, line, peer.has_echo)
        if event is None:
            assert not has_answer(line)
        else:
            assert codec.is_exit(line) == (event.kind is Kind.LEFT)
            self._show(peer, event, has_answer(line))
        return True

    def _join(self, peer: Peer, line: bytes) -> None:
        try:
            join = codec.parse_join(line)
            self._dispatcher.check(join)
            self.roster.claim(join.username)
        except ProtocolError as error:
            self._turn_away(peer, str(error))
            return
        peer.username = join.username
        peer.decoder.max_line_bytes = self._limits.line_bytes
        self._show(peer, self._dispatcher.join(join.username))
        if join.echo:
            self.screens[peer.who] += self.roster.users_line
            peer.usernames = self.roster.usernames
            peer.has_echo = True

    def _turn_away(self, peer: Peer, reason: str) -> None:
        self.screens[peer.who] += codec.encode_line(codec.format_refusal(ProtocolError(reason)))
        peer.is_closed = True

    def _show(self, origin: Peer, event: Event, answers: int = 0) -> None:
        """`answers`: how many lines of it answer the origin, if that has an echo."""
        assert event.origin == origin.username
        self.roster.apply(event)
        if event.kind is Kind.LEFT:
            origin.username, origin.is_closed = "", True
        private: dict[str, bytes] = {}
        for name, line in event.private:
            private[name] = private.get(name, b"") + line
        self.screens[CONSOLE] += event.console
        for who, peer in self._peers.items():
            shown = b""
            if peer.username and (peer is not origin or event.to_origin):
                shown += event.room
            shown += private.pop(peer.username, b"")
            self.screens[who] += shown
            if peer.has_echo:
                assert peer.read(shown) == (answers if peer is origin else 0)
        assert not private, "a line for one that is not there"


def _play(server: Core | PlainServer, pieces: Iterable[Piece]) -> None:
    for who, data in pieces:
        if data is None:
            server.end(who)
        else:
            server.receive(who, data)


def _look_at_lines(lines: bytes, limits: Limits) -> None:
    """What all agree on is safe and within its limit, and a client shows it as it is."""
    for line in lines.split(b"\n"):
        text = line.decode()  # raises for what is not UTF-8
        assert not protocol.UNSAFE & set(text), f"unsafe: {line!r}"
        assert decode_text(line) == text, f"a client would show another text: {line!r}"
        assert len(line) <= limits.line_bytes or text.startswith(protocol.USERS), (
            f"too long: {line!r}"
        )
