"""TLS under a Connection and a Fanout: real sessions over real socket pairs."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from reactor import WRITE, Connection, SlowReaderError, TransportError
from reactor.tls import (
    HANDSHAKE_BYTES,
    LARGE_PORTION_BYTES,
    PORTION_BYTES,
    RECORD_BYTES,
    Tls,
    make_client_context,
    portions_of,
)
from tests.reactor.conftest import PATTERN, Loop, MakePair, Recorder, unix_pair
from tests.reactor.crowd import Crowd, Member
from tests.reactor.key_update import key_updater
from tests.support.tls import TlsPeer, server_tls

EACH_VERSION = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


class Ends:
    """A connection over TLS, and its peer."""

    def __init__(
        self, loop: Loop, version: ssl.TLSVersion | None = None, **deeds: Callable[[Any], object]
    ) -> None:
        self.loop = loop
        near, far = unix_pair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 13)
        self.transport = server_tls(b"TLS, please\n").accept(near)
        self.recorder = Recorder(**deeds)
        self.connection = Connection(loop.reactor, self.transport, self.recorder)
        self.peer = TlsPeer(far, version)

    def until(self, condition: Callable[[], object]) -> None:
        """Let both ends act until it is true."""
        self.loop.turn_until(self.peer.sees(condition))

    def shake_hands(self) -> None:
        self.peer.say(b"hello")
        self.until(lambda: self.recorder.received == b"hello")

    def close(self) -> None:
        self.connection.abort()
        self.peer.socket.close()
        self.loop.turn(2)


@EACH_VERSION
def test_records_cut_at_every_byte_are_whole(loop: Loop, version: ssl.TLSVersion) -> None:
    ends = Ends(loop, version)
    ends.peer.say(b"one two")
    ends.connection.write(b"before the handshake")
    while ends.recorder.received != b"one two":
        ends.peer.act()
        while ends.peer.unsent:
            ends.peer.send(1)
            loop.turn()
        loop.turn()
    ends.until(lambda: ends.peer.heard == b"before the handshake")
    assert loop.is_idle()
    ends.close()


@EACH_VERSION
def test_each_half_ends_by_itself(loop: Loop, version: ssl.TLSVersion) -> None:
    ends = Ends(loop, version)
    ends.shake_hands()
    ends.connection.write(PATTERN)
    ends.connection.write_eof()
    ends.until(lambda: ends.peer.has_ended)
    assert ends.peer.heard == PATTERN, "partial sends"
    assert "flushed" in ends.recorder.calls
    ends.peer.say(b" and more")
    ends.until(lambda: ends.recorder.received == b"hello and more")
    ends.peer.end()
    ends.until(lambda: "eof" in ends.recorder.calls)
    ends.connection.close()
    ends.until(lambda: ends.recorder.lost)
    assert ends.recorder.lost == [None]
    ends.peer.socket.close()


def test_end_without_close_notify_is_a_lost_connection(loop: Loop) -> None:
    ends = Ends(loop)
    ends.shake_hands()
    ends.peer.say(b" last")
    ends.until(lambda: ends.recorder.received == b"hello last")
    ends.peer.socket.shutdown(socket.SHUT_WR)
    ends.until(lambda: ends.recorder.lost)
    assert isinstance(ends.recorder.lost[0], ConnectionResetError)
    assert "eof" not in ends.recorder.calls
    ends.peer.socket.close()


def test_rest_of_a_read_is_input_though_the_socket_is_empty(loop: Loop) -> None:
    ends = Ends(loop)
    ends.shake_hands()
    ends.connection.pause_reading()
    ends.peer.say(b"0123456789")
    ends.peer.send(0)
    ends.peer.send(len(ends.peer.unsent) - 1)
    with pytest.raises(BlockingIOError):
        ends.transport.recv(1000)
    assert not ends.transport.has_input
    ends.peer.end()
    received = [ends.transport.recv(4)]  # what its few bytes complete is longer
    while ends.transport.has_input:
        received.append(ends.transport.recv(4))
    assert received == [b"0123", b"4567", b"89"]
    ends.close()


def test_wrong_byte_costs_that_connection(loop: Loop) -> None:
    ends, other = Ends(loop), Ends(loop)
    ends.shake_hands()
    other.shake_hands()
    ends.peer.say(b"forged")
    ends.peer.send(0)
    ends.peer.unsent[-1] ^= 1
    ends.peer.send()
    loop.turn_until(lambda: ends.recorder.lost)
    assert isinstance(ends.recorder.lost[0], TransportError)
    assert ends.recorder.received == b"hello"
    other.peer.say(b" again")
    other.until(lambda: other.recorder.received == b"hello again")
    ends.close()
    other.close()


def test_plain_text_is_answered_in_plain_text(loop: Loop) -> None:
    ends = Ends(loop)
    ends.peer.socket.send(b"JOIN Alice abc12\n")
    assert loop.receive_to_end(ends.peer.socket) == b"TLS, please\n"
    assert str(ends.recorder.lost[0]) == "plain text instead of TLS"
    ends.peer.socket.close()


def test_handshake_without_end_is_cut_short(loop: Loop) -> None:
    ends = Ends(loop)
    record = b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xff" + bytes(RECORD_BYTES - 4)
    for at in range(0, 3 * len(record), 1000):
        if not ends.recorder.lost:
            ends.peer.socket.send((record * 3)[at : at + 1000])
            loop.turn()
    assert ends.recorder.lost
    assert 3 * len(record) > HANDSHAKE_BYTES
    ends.peer.socket.close()


def test_wrong_certificate_is_told_nothing(loop: Loop) -> None:
    def refuse(certificate: bytes) -> None:
        raise TransportError("not the one")

    near, far = unix_pair()
    server = Recorder()
    Connection(loop.reactor, server_tls().accept(near), server)
    client = Recorder()
    shared = Tls(lambda: make_client_context(is_pinned=True))
    connection = Connection(loop.reactor, shared.connect(far, "", refuse), client)
    connection.write(b"the passcode")
    loop.turn_until(lambda: client.lost and server.lost)
    assert (str(client.lost[0]), bytes(server.received)) == ("not the one", b"")


def test_deaf_member_is_cut_in_mid_record(loop: Loop, make_pair: MakePair) -> None:
    crowd = Crowd(loop, make_pair)
    near, far = make_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 12)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    member, peer = Member(crowd.fanout, far), TlsPeer(far)
    Connection(loop.reactor, server_tls().accept(near), member)
    peer.say(b"here")
    loop.turn_until(peer.sees(lambda: member.received == b"here"))
    reader = crowd.join()
    crowd.say(PATTERN)
    crowd.read(reader, len(PATTERN))
    assert loop.interest_in(member.connection.descriptor) & WRITE
    loop.pass_seconds(15)
    assert isinstance(member.lost[0], SlowReaderError)
    crowd.say(b"and on")
    assert crowd.receives(reader, b"and on")
    assert crowd.fanout.log.kept_bytes == 0
    crowd.close()


def test_pages_and_private_lines_pass_in_order(loop: Loop, make_pair: MakePair) -> None:
    crowd = Crowd(loop, make_pair)
    near, far = make_pair()
    member, peer = Member(crowd.fanout, far), TlsPeer(far)
    Connection(loop.reactor, server_tls().accept(near), member)
    peer.say(b"here")
    loop.turn_until(peer.sees(lambda: member.received == b"here"))
    crowd.say(PATTERN)
    member.connection.write(b"to you alone")
    crowd.say(b"to all")
    due = PATTERN + b"to you alone" + b"to all"
    loop.turn_until(peer.sees(lambda: len(peer.heard) == len(due)))
    assert peer.heard == due
    member.connection.abort()
    peer.socket.close()
    crowd.close()


@pytest.mark.parametrize(
    "sizes", [[], [1], [PORTION_BYTES], [PORTION_BYTES + 1, 5], [3, 90_000, 7]]
)
def test_portions_are_all_pieces_in_order(sizes: list[int]) -> None:
    data = PATTERN[: sum(sizes)]
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    pieces: Any = [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    portions = list(map(bytes, portions_of(pieces, PORTION_BYTES)))
    assert b"".join(portions) == data
    assert all(len(portion) == PORTION_BYTES for portion in portions[:-1])
    assert all(portions)


def test_portion_is_large_until_the_kernel_is_full(loop: Loop) -> None:
    ends = Ends(loop)
    ends.shake_hands()
    ends.connection.write(b"short")
    ends.until(lambda: ends.peer.heard == b"short")
    ends.connection.write(bytes(2 * LARGE_PORTION_BYTES))
    loop.turn()
    outbound = ends.connection.outbound
    assert outbound.owed_bytes == LARGE_PORTION_BYTES
    ends.until(lambda: outbound.owed_bytes < LARGE_PORTION_BYTES)
    assert outbound.owed_bytes == LARGE_PORTION_BYTES - PORTION_BYTES
    ends.close()


def test_peer_that_asks_for_keys_and_reads_none_is_cut(loop: Loop) -> None:
    ends, other = Ends(loop), Ends(loop)
    other.shake_hands()
    ask = key_updater(ends.peer.socket)
    while not ends.recorder.lost:
        for _ in range(50):
            ask()
        loop.turn()
    assert str(ends.recorder.lost[0]) == "it asks for more than it reads"
    other.peer.say(b" and on")
    other.until(lambda: other.recorder.received == b"hello and on")
    other.close()
    ends.close()
