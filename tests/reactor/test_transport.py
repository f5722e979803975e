"""A Connection and a Fanout over a transport that has bytes of its own, as TLS and WebSocket do;
and over a socket of which a call fails."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, cast

import pytest

from reactor import WRITE, Connection, SocketTransport
from tests.reactor.conftest import Loop, MakePair, Recorder, unix_pair
from tests.reactor.crowd import Crowd, Member
from tests.reactor.doubling import END, Doubling, doubled
from tests.support.faults import fault

PAYLOAD = b"to be sent"
WIRE = doubled(PAYLOAD) + END
ALL = 1000


def test_partial_send_at_every_byte_loses_none(loop: Loop) -> None:
    for first in range(len(WIRE) + 1):
        near, peer = unix_pair()
        transport, recorder = Doubling(near, first), Recorder()
        connection = Connection(loop.reactor, transport, recorder)
        connection.write(PAYLOAD)
        connection.write_eof()
        loop.turn(3)
        is_flushed = first >= len(WIRE) - len(END)
        assert recorder.calls == ["made"] + ["flushed"] * is_flushed, first
        is_waiting = bool(loop.interest_in(connection.descriptor) & WRITE)
        assert is_waiting == (first < len(WIRE)), first
        peer.send(END)
        connection.close()
        loop.turn(2)
        assert bool(recorder.lost) == (first == len(WIRE)), "it dies when all is sent"
        transport.budget = ALL
        assert loop.receive_to_end(peer) == WIRE, first
        loop.turn_until(lambda recorder=recorder: recorder.lost)  # type: ignore[misc]
        peer.close()


def test_input_behind_socket_is_read_a_piece_a_turn(loop: Loop) -> None:
    near, peer = unix_pair()
    recorder = Recorder()
    connection = Connection(loop.reactor, Doubling(near), recorder)
    peer.send(doubled(b"one two three"))
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


def test_shared_log_reaches_such_a_member_whole(loop: Loop) -> None:
    own = b"said to everyone, to you alone, and to everyone again"
    for first in range(len(doubled(own))):
        crowd = Crowd(loop, unix_pair)
        near, peer = unix_pair()
        transport, member = Doubling(near, first), Member(crowd.fanout, peer)
        Connection(loop.reactor, transport, member)
        plain = crowd.join()
        crowd.say(b"said to everyone, ")
        member.connection.write(b"to you alone, ")
        crowd.say(b"and to everyone")
        loop.turn(2)
        crowd.say(b" again")
        loop.turn(2)
        transport.budget = ALL
        member.connection.write_eof()
        assert loop.receive_to_end(peer) == doubled(own) + END, first
        assert crowd.receives(plain, b"said to everyone, and to everyone again")
        assert crowd.fanout.log.kept_bytes == 0
        for one in (member, plain):
            one.connection.abort()
            one.peer.close()


def test_page_is_kept_for_a_transport_that_is_still_sending(loop: Loop) -> None:
    crowd = Crowd(loop, unix_pair)
    near, peer = unix_pair()
    transport, member = Doubling(near, budget=1), Member(crowd.fanout, peer)
    Connection(loop.reactor, transport, member)
    crowd.say(b"a")
    loop.turn(2)
    assert transport.has_output
    assert not member.cursor.owed_bytes
    crowd.say(b"b")
    loop.turn(2)
    transport.budget = ALL
    member.connection.write_eof()
    assert loop.receive_to_end(peer) == doubled(b"ab") + END
    member.connection.abort()
    peer.close()


def test_lost_peer_ends_connection_that_has_output(loop: Loop, make_pair: MakePair) -> None:
    near, peer = make_pair()
    transport, recorder = Doubling(near, budget=1), Recorder()
    connection = Connection(loop.reactor, transport, recorder)
    connection.write(PAYLOAD)
    loop.turn(2)
    assert transport.has_output
    peer.close()
    transport.budget = ALL
    loop.turn_until(lambda: recorder.lost or "eof" in recorder.calls)
    connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert loop.is_idle()


class Failing:
    """A socket of which one call always fails."""

    def __init__(self, sock: socket.socket, call: str, number: int) -> None:
        self._sock, self._call, self._number = sock, call, number

    def __getattr__(self, call: str) -> Any:
        if call == self._call:
            raise OSError(self._number, os.strerror(self._number))
        return getattr(self._sock, call)


PASSING = {errno.EAGAIN, errno.EINTR, errno.EALREADY, errno.EINPROGRESS}


@fault(80)
@pytest.mark.parametrize("number", sorted({*errno.errorcode} - PASSING))
def test_any_error_on_a_peers_socket_costs_that_peer(loop: Loop, number: int) -> None:
    for call in ("recv", "send", "shutdown", "getsockopt", "setsockopt", "close"):
        near, peer = unix_pair()
        recorder = Recorder(eof=lambda recorder: recorder.connection.close())
        transport = SocketTransport(cast(Any, Failing(near, call, number)))
        connection = Connection(loop.reactor, transport, recorder)
        connection.write(b"x")
        peer.send(b"y")
        loop.turn(2)
        assert connection.is_lost() == (call in ("recv", "send", "getsockopt"))
        peer.close()
        loop.turn(4)
        assert len(recorder.lost) == 1
        near.close()
