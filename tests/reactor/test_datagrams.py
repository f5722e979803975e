"""Datagrams on real UDP sockets: one answer each at most, and a bound on what a flood costs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reactor.datagrams import DATAGRAMS_PER_TURN, PAUSE_SECONDS, Datagrams
from tests.reactor.conftest import Loop, nothing


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A bound socket, and one that sends to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        near.bind(("127.0.0.1", 0))
        far.connect(near.getsockname())
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


Pair = tuple[socket.socket, socket.socket]


def test_each_datagram_gets_at_most_one_answer(loop: Loop, pair: Pair) -> None:
    near, far = pair
    read: list[bytes] = []

    def answer(data: bytes, address: object) -> bytes:
        assert address == far.getsockname()
        read.append(data)
        return data.upper() if data != b"quiet" else b""

    Datagrams(loop.reactor, near, answer, max_bytes=5, on_broken=nothing)
    for data in (b"first", b"quiet", b"longer", b"", b"last"):
        far.send(data)
    loop.pass_seconds(PAUSE_SECONDS)
    loop.turn_until(lambda: len(read) == 4)
    assert read == [b"first", b"quiet", b"", b"last"]
    assert far.recv(100) == b"FIRST"
    assert far.recv(100) == b"LAST"
    with pytest.raises(BlockingIOError):
        far.recv(100)
    loop.pass_seconds(PAUSE_SECONDS)
    assert loop.is_idle()


def test_flood_of_datagrams_is_read_at_a_bounded_pace(loop: Loop, pair: Pair) -> None:
    near, far = pair
    read: list[bytes] = []

    def answer(data: bytes, address: object) -> bytes:
        read.append(data)
        return b""

    Datagrams(loop.reactor, near, answer, 64, nothing)
    seconds = 1.0
    end = loop.clock.now + seconds
    while loop.clock.now < end:
        with suppress(BlockingIOError):
            for _ in range(10 * DATAGRAMS_PER_TURN):
                far.send(b"?")
        loop.reactor.run_once(end - loop.clock.now)
    assert 0 < len(read) <= DATAGRAMS_PER_TURN * (seconds / PAUSE_SECONDS + 1)


class Broken(socket.socket):
    def recvfrom(self, *_: object) -> tuple[bytes, object]:
        raise OSError(errno.EBADF, "Bad file descriptor")


def test_datagram_socket_that_breaks_is_told_once_and_closed(loop: Loop, pair: Pair) -> None:
    near, far = pair
    broken: list[OSError] = []
    sock = Broken(fileno=near.detach())
    datagrams = Datagrams(loop.reactor, sock, lambda *_: b"", 64, broken.append)
    far.send(b"?")
    loop.turn_until(lambda: broken)
    assert [error.errno for error in broken] == [errno.EBADF]
    assert sock.fileno() < 0
    datagrams.close()
    assert loop.is_idle()


def test_socket_that_cannot_be_watched_is_tried_again(
    loop: Loop, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = pair
    datagrams = Datagrams(loop.reactor, near, lambda data, _: data, 64, nothing)
    far.send(b"one")
    loop.turn(3)
    with monkeypatch.context() as patch:
        patch.setattr(loop.reactor, "set_interest", no_memory)
        loop.pass_seconds(PAUSE_SECONDS)
    far.send(b"two")
    loop.pass_seconds(2 * PAUSE_SECONDS)
    assert [far.recv(9), far.recv(9)] == [b"one", b"two"]
    loop.turn(3)
    datagrams.close()
    loop.pass_seconds(PAUSE_SECONDS)
    assert loop.is_idle()


def no_memory(*_: object) -> None:
    raise OSError(errno.ENOMEM, "epoll_ctl")


def test_answer_that_fails_costs_one_datagram(loop: Loop, pair: Pair) -> None:
    near, far = pair
    Datagrams(loop.reactor, near, lambda data, _: bytes([1 // data[0]]), 64, nothing)
    far.send(b"\0")
    far.send(b"\1")
    loop.turn_until(lambda: len(loop._errors) == 1)
    assert isinstance(loop.take_errors()[0], ZeroDivisionError)
    loop.pass_seconds(PAUSE_SECONDS)
    assert far.recv(100) == b"\1"
