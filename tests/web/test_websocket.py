"""WebSocket under a Connection and a Fanout: real socket pairs, and wsproto at the other end."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

import pytest

from reactor import Connection, SlowReaderError, SocketTransport
from reactor.outbound import Bytes
from tests.reactor.conftest import PATTERN, Loop, Recorder, loop, make_pair, unix_pair  # noqa: F401
from tests.reactor.crowd import Crowd, Member
from tests.support.size import IS_LONG
from tests.web.peer import BINARY, CLOSE, CONTINUATION, PING, TEXT, Peer, frame, header
from web.limits import CONTROL_BYTES, FRAGMENTS, MESSAGE_BYTES, RECEIVE_BYTES
from web.websocket import WebSocketTransport


class Stingy(SocketTransport):
    """Takes any number of bytes, as a kernel may."""

    def __init__(self, sock: socket.socket, chance: random.Random) -> None:
        super().__init__(sock)
        self._chance = chance

    def send(self, pieces: list[Bytes]) -> int:
        data = b"".join(pieces)
        size = self._chance.choice((0, 1, 2, 3, 7, self._chance.randrange(300), len(data)))
        return super().send([data[:size]]) if data[:size] else 0


@pytest.mark.parametrize("seed", range(400 if IS_LONG else 40))
def test_frames_end_where_lines_end_whatever_is_taken(
    loop: Loop,  # noqa: F811
    seed: int,
) -> None:
    chance = random.Random(seed)
    crowd = Crowd(loop, unix_pair)
    near, far = unix_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 12)
    member, peer, due = Member(crowd.fanout, far), Peer(), ""
    transport = WebSocketTransport(Stingy(near, chance))
    Connection(loop.reactor, transport, member)
    pings = []
    for number in range(60):
        line = f"{number} é{'x' * chance.choice((0, 5, 130, 3000))}\n"
        deed = chance.randrange(5)
        if deed < 3:  # said by others, or by the member itself
            crowd.say(line.encode(), skip=member if deed == 2 else None)
        elif deed == 3:
            member.connection.write(line.encode())
        else:
            pings.append(b"%d" % number)
            far.send(frame(PING, pings[-1]))
        due += line if deed in (0, 1, 3) else ""
        loop.turn(chance.randrange(3))
        if chance.random() < 0.3:
            with suppress(BlockingIOError):
                peer.feed(far.recv(chance.randrange(1, 5000)))

    def has_all() -> bool:
        with suppress(BlockingIOError):
            peer.feed(far.recv(1 << 16))
        return len(peer.heard) >= len(due) and len(peer.pongs) >= len(pings)

    loop.turn_until(has_all)
    assert peer.heard == due
    assert all(message.endswith("\n") for message in peer.messages)
    assert peer.pongs == pings
    member.connection.close()
    loop.turn_until(lambda: has_all() and peer.codes)
    assert peer.codes == [1000]
    far.close()
    loop.turn_until(lambda: member.lost)
    crowd.close()


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 10_000])
def test_messages_however_cut_are_one_stream(loop: Loop, piece: int) -> None:  # noqa: F811
    near, far = unix_pair()
    recorder, peer = Recorder(), Peer()
    Connection(loop.reactor, WebSocketTransport(SocketTransport(near)), recorder)
    fragments = (
        frame(TEXT, b"fr\xc3", fin=False) + frame(PING, b"?") + frame(CONTINUATION, b"\xa9\n")
    )
    wire = (
        peer.say("one\ntwo ") + fragments + frame(TEXT) + peer.say("x" * 70 + "\n") + frame(CLOSE)
    )
    for at in range(0, len(wire), piece):
        far.send(wire[at : at + piece])
        loop.turn()
    loop.turn_until(lambda: "eof" in recorder.calls)
    assert recorder.received.decode() == "one\ntwo fr\u00e9\n" + "x" * 70 + "\n"
    recorder.connection.close()
    peer.feed(loop.receive_to_end(far))
    assert (peer.pongs, peer.codes) == ([b"?"], [1000])
    loop.turn_until(lambda: recorder.lost)
    assert loop.is_idle()
    far.close()


TOO_MANY = frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * FRAGMENTS
SUM_TOO_LONG = frame(TEXT, b"x" * 9, fin=False) + header(CONTINUATION, MESSAGE_BYTES)

BREACHES = {
    "unmasked": (frame(TEXT, b"x", mask=False), 1002),
    "reserved bit, as of compression": (frame(TEXT, b"x", rsv=4), 1002),
    "unknown opcode": (frame(3, b"x"), 1002),
    "unknown control opcode": (frame(11), 1002),
    "long ping": (header(PING, 126), 1002),
    "fragmented ping": (frame(PING, fin=False), 1002),
    "binary": (header(BINARY, 5), 1003),
    "too long by its header alone": (header(TEXT, MESSAGE_BYTES + 1), 1009),
    "2**63 - 1 bytes": (header(TEXT, 2**63 - 1), 1009),
    "length with its highest bit": (header(TEXT, 2**63 + 5), 1002),
    "too long in sum": (SUM_TOO_LONG, 1009),
    "too many fragments": (TOO_MANY, 1008),
    "continues nothing": (frame(CONTINUATION, b"x"), 1002),
    "begins in another": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
    "no UTF-8": (frame(TEXT, b"\xff"), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "half a character": (frame(TEXT, b"\xc3"), 1007),
    "close of one byte": (frame(CLOSE, b"x"), 1002),
    "close with a reserved code": (frame(CLOSE, b"\x03\xed"), 1002),
    "close with no UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_breach_has_its_code_and_costs_that_peer(loop: Loop, breach: str) -> None:  # noqa: F811
    wire, code = BREACHES[breach]
    near, far = unix_pair()
    recorder, peer = Recorder(), Peer()
    Connection(loop.reactor, WebSocketTransport(SocketTransport(near)), recorder)
    far.send(peer.say("before\n") + wire + peer.say("behind\n"))
    peer.feed(loop.receive_to_end(far))
    assert peer.codes == [code]
    loop.turn_until(lambda: "eof" in recorder.calls)
    assert recorder.received.startswith(b"before\n")
    assert b"behind" not in recorder.received
    recorder.connection.close()
    loop.turn_until(lambda: recorder.lost)
    far.close()


def test_pings_that_are_not_read_are_answered_to_a_bound() -> None:
    near, far = unix_pair()
    transport = WebSocketTransport(SocketTransport(near))
    transport.take(frame(PING, b"x" * 100) * 10_000)
    assert transport.count_unacknowledged() < 2 * CONTROL_BYTES
    near.close()
    far.close()


def test_smallest_frames_have_a_bounded_part_of_a_turn() -> None:
    near, far = unix_pair()
    sent_bytes = far.send(frame(TEXT) * 20_000)
    with suppress(BlockingIOError):
        WebSocketTransport(SocketTransport(near)).recv(1 << 16)
    left_bytes = 0
    with suppress(BlockingIOError):
        while True:
            left_bytes += len(near.recv(1 << 20))
    assert sent_bytes - left_bytes == RECEIVE_BYTES
    near.close()
    far.close()


def test_browser_that_does_not_read_is_cut_as_a_member_is(loop: Loop) -> None:  # noqa: F811
    crowd = Crowd(loop, unix_pair)
    near, far = unix_pair()
    deaf, other = Member(crowd.fanout, far), crowd.join()
    Connection(loop.reactor, WebSocketTransport(SocketTransport(near)), deaf)
    crowd.say(PATTERN)
    crowd.read(other, len(PATTERN))
    loop.pass_seconds(15)
    assert isinstance(deaf.lost[0], SlowReaderError)
    assert (other.heard, crowd.fanout.log.kept_bytes) == (crowd.said, 0)
    far.close()
    crowd.close()


def test_end_without_a_close_frame_is_a_lost_connection(loop: Loop) -> None:  # noqa: F811
    near, far = unix_pair()
    recorder = Recorder()
    Connection(loop.reactor, WebSocketTransport(SocketTransport(near)), recorder)
    far.close()
    loop.turn_until(lambda: recorder.lost)
    assert isinstance(recorder.lost[0], ConnectionResetError)
    assert "eof" not in recorder.calls
