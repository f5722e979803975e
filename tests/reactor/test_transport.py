"""A Connection and a Fanout over a transport that has bytes of its own, as TLS and WebSocket do."""

from __future__ import annotations

from reactor import WRITE, Connection
from tests.reactor.conftest import Loop, MakePair, Recorder, unix_pair
from tests.reactor.crowd import Crowd, Member
from tests.reactor.framed import END, Framed, frame, unframed

PAYLOAD = bytes(range(1, 24))
FRAME_BYTES = 10
WIRE_BYTES = len(PAYLOAD) + 2 * 3 + len(END)  # three frames, and the one that ends the stream
ALL = 1000


def test_partial_send_at_every_byte_loses_none(loop: Loop) -> None:
    for first in range(WIRE_BYTES + 1):
        near, peer = unix_pair()
        transport, recorder = Framed(near, FRAME_BYTES), Recorder()
        connection = Connection(loop.reactor, transport, recorder)
        transport.budget = first
        connection.write(PAYLOAD)
        connection.write_eof()
        loop.turn(3)
        is_flushed = first >= WIRE_BYTES - len(END)
        assert recorder.calls == ["made"] + ["flushed"] * is_flushed, first
        is_waiting = bool(loop.interest_in(connection.descriptor) & WRITE)
        assert is_waiting == (first < WIRE_BYTES), first
        peer.send(END)
        connection.close()
        loop.turn(2)
        assert bool(recorder.lost) == (first == WIRE_BYTES), "it dies before all is sent"
        transport.budget = ALL
        assert unframed(loop.receive_to_end(peer)) == (PAYLOAD, True), first
        loop.turn_until(lambda recorder=recorder: recorder.lost)  # type: ignore[misc]
        peer.close()


def test_input_behind_socket_is_read_a_frame_a_turn(loop: Loop) -> None:
    near, peer = unix_pair()
    recorder = Recorder()
    connection = Connection(loop.reactor, Framed(near, FRAME_BYTES), recorder)
    peer.send(frame(b"one ") + frame(b"two ") + frame(b"three"))
    loop.turn()
    assert recorder.received == b"one two "  # what came, and one step more of what it left
    connection.pause_reading()
    loop.turn(3)
    assert recorder.received == b"one two "
    connection.resume_reading()
    loop.turn(2)
    assert recorder.received == b"one two three"
    assert loop.is_idle()
    connection.abort()
    peer.close()


def test_shared_log_reaches_framed_member_whole(loop: Loop) -> None:
    for first in range(70):
        crowd = Crowd(loop, unix_pair)
        near, peer = unix_pair()
        transport, member = Framed(near, FRAME_BYTES), Member(crowd.fanout, peer)
        Connection(loop.reactor, transport, member)
        plain = crowd.join()
        transport.budget = first
        crowd.say(b"said to everyone, ")
        member.connection.write(b"to you alone, ")
        crowd.say(b"and to everyone")
        loop.turn(2)
        crowd.say(b" again")
        loop.turn(2)
        transport.budget = ALL
        member.connection.write_eof()
        expected = b"said to everyone, to you alone, and to everyone again"
        assert unframed(loop.receive_to_end(peer)) == (expected, True), first
        assert crowd.receives(plain, b"said to everyone, and to everyone again")
        assert crowd.fanout.log.kept_bytes == 0
        for one in (member, plain):
            one.connection.abort()
            one.peer.close()


def test_lost_peer_ends_connection_that_has_output(loop: Loop, make_pair: MakePair) -> None:
    near, peer = make_pair()
    transport, recorder = Framed(near, FRAME_BYTES), Recorder()
    connection = Connection(loop.reactor, transport, recorder)
    transport.budget = 1
    connection.write(PAYLOAD)
    loop.turn(2)
    assert transport.has_output
    peer.close()
    transport.budget = ALL
    loop.turn_until(lambda: recorder.lost or "eof" in recorder.calls)
    connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert loop.is_idle()
