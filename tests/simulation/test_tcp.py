"""The simulated connection does what the kernel's does: each test runs against both."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from reactor import READ, WRITE
from tests.reactor.conftest import tcp_pair
from tests.simulation.tcp import End, connect_ends

MOST_BYTES = 1 << 26
"""More than the buffers of two sockets hold."""


class SimulatedSide(End):
    def reset(self) -> None:
        self.will_reset = True
        self.close()


class RealSide:
    """A socket whose calls wait until the kernel has nothing under way (loopback delivers in the
    call that sends, but for what a timer or a full queue delays)."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.recv = sock.recv
        self.send = sock.send
        self.shutdown = sock.shutdown
        self.close = sock.close

    def take_error(self) -> int:
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def events(self) -> int:
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | select.POLLOUT)
        events = poll.poll(0)[0][1] if poll.poll(0) else 0
        if events & (select.POLLHUP | select.POLLERR):
            return READ | WRITE
        return (READ if events & select.POLLIN else 0) | (WRITE if events & select.POLLOUT else 0)


Side = SimulatedSide | RealSide
"""One end of a connection."""

Sides = tuple[Side, Side]


def simulated() -> Sides:
    near, far = SimulatedSide(4096, 4096), SimulatedSide(4096, 4096)
    near.peer, far.peer = far, near
    return near, far


def real() -> Sides:
    near, far = tcp_pair()
    return RealSide(near), RealSide(far)


@pytest.fixture(params=[simulated, real])
def sides(request: pytest.FixtureRequest) -> Iterator[Sides]:
    make: Callable[[], Sides] = request.param
    near, far = make()
    yield near, far
    near.close()
    far.close()


def error_of(call: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  The number is the subject.
        call()
    return caught.value.errno


def fill(side: Side) -> int:
    """Send until the kernel takes no more: how many bytes it took."""
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while taken < MOST_BYTES:
            taken += side.send(b"x" * 1024)
    return taken


def read_all(side: Side) -> int:
    """Read what is there: how many bytes."""
    size = 0
    with contextlib.suppress(BlockingIOError):
        while data := side.recv(1 << 16):
            size += len(data)
    return size


def test_nothing_to_read_is_eagain_and_not_ready(sides: Sides) -> None:
    near, _ = sides
    assert error_of(lambda: near.recv(1)) == errno.EAGAIN
    assert near.events() == WRITE


def test_bytes_arrive_in_order_and_are_read_in_any_pieces(sides: Sides) -> None:
    near, far = sides
    assert far.send(b"ab") == 2
    assert far.send(b"cd") == 2
    assert near.events() == READ | WRITE
    assert [near.recv(3), near.recv(3)] == [b"abc", b"d"]
    assert near.events() == WRITE


def test_full_buffer_is_eagain_until_the_peer_has_read(sides: Sides) -> None:
    near, far = sides
    taken = fill(near)
    assert error_of(lambda: near.send(b"x")) == errno.EAGAIN
    assert not near.events() & WRITE
    assert 0 < taken < MOST_BYTES
    read = 0
    while read < taken:  # the kernel opens its window in steps
        read += read_all(far)
    assert near.events() == WRITE


def test_the_end_of_a_half_comes_behind_its_bytes_and_stays(sides: Sides) -> None:
    near, far = sides
    far.send(b"last")
    far.shutdown(socket.SHUT_WR)
    assert [near.recv(9), near.recv(9), near.recv(9)] == [b"last", b"", b""]
    assert near.events() == READ | WRITE
    near.send(b"heard")
    assert far.recv(9) == b"heard"


def test_both_halves_ended_are_a_hang_up(sides: Sides) -> None:
    near, far = sides
    far.shutdown(socket.SHUT_WR)
    near.shutdown(socket.SHUT_WR)
    assert near.events() == far.events() == READ | WRITE
    assert error_of(lambda: near.send(b"x")) == errno.EPIPE
    assert near.recv(1) == far.recv(1) == b""


def test_a_reset_comes_behind_what_was_received_and_once(sides: Sides) -> None:
    near, far = sides
    far.send(b"last")
    far.reset()
    assert near.events() == READ | WRITE
    assert near.recv(9) == b"last"
    assert error_of(lambda: near.recv(9)) == errno.ECONNRESET
    assert near.recv(9) == b""
    assert error_of(lambda: near.send(b"x")) == errno.EPIPE
    assert error_of(lambda: near.shutdown(socket.SHUT_WR)) == errno.ENOTCONN


def test_reset_is_told_once_to_who_asks(sides: Sides) -> None:
    near, far = sides
    assert near.take_error() == 0
    far.reset()
    assert near.take_error() == errno.ECONNRESET
    assert near.take_error() == 0
    assert near.events() == READ | WRITE
    assert near.recv(1) == b""


def test_a_send_after_a_reset_reports_it_and_then_epipe(sides: Sides) -> None:
    near, far = sides
    far.reset()
    assert error_of(lambda: near.send(b"x")) == errno.ECONNRESET
    assert error_of(lambda: near.send(b"x")) == errno.EPIPE
    assert near.recv(1) == b""


def test_a_reset_behind_a_fin_is_epipe_to_the_sender_alone(sides: Sides) -> None:
    near, far = sides
    far.shutdown(socket.SHUT_WR)
    far.reset()
    assert near.recv(1) == b""
    assert error_of(lambda: near.send(b"x")) == errno.EPIPE


def test_a_close_with_unread_input_is_a_reset(sides: Sides) -> None:
    near, far = sides
    far.send(b"unread")
    near.send(b"answer")
    near.close()
    assert far.recv(9) == b"answer"
    assert error_of(lambda: far.recv(9)) == errno.ECONNRESET


def test_a_reset_takes_back_what_did_not_arrive(sides: Sides) -> None:
    near, far = sides
    taken = fill(near)
    near.reset()
    assert error_of(lambda: read_all(far)) == errno.ECONNRESET
    assert taken > 0


def test_a_close_lets_what_was_sent_arrive_and_then_a_fin(sides: Sides) -> None:
    near, far = sides
    taken = fill(near)
    near.close()
    read = 0
    while read < taken:
        read += read_all(far)
    assert read == taken
    assert far.recv(1) == b""


def test_who_sends_to_a_closed_end_is_reset(sides: Sides) -> None:
    near, far = sides
    near.close()
    assert far.recv(1) == b""
    far.send(b"x")
    assert error_of(lambda: far.send(b"x")) == errno.EPIPE
    assert far.recv(1) == b""


def test_end_shut_both_ways_reads_the_end_and_resets_its_peer(sides: Sides) -> None:
    near, far = sides
    far.send(b"before")
    near.shutdown(socket.SHUT_RDWR)
    assert near.events() == READ | WRITE
    assert [near.recv(9), near.recv(9)] == [b"before", b""]
    far.send(b"after")
    assert error_of(lambda: far.send(b"x")) == errno.EPIPE
    assert error_of(lambda: near.shutdown(socket.SHUT_WR)) == errno.ENOTCONN


def test_calls_on_a_closed_end_are_ebadf(sides: Sides) -> None:
    near, _ = sides
    near.close()
    near.close()
    assert error_of(lambda: near.recv(1)) == errno.EBADF
    assert error_of(lambda: near.send(b"x")) == errno.EBADF


def test_a_network_that_gives_up_tells_one_end_alone() -> None:
    near, far = connect_ends([8, 8, 8, 8])
    near.fail(errno.ETIMEDOUT)
    assert error_of(lambda: near.recv(1)) == errno.ETIMEDOUT
    assert near.recv(1) == b""
    assert far.recv(1) == b""
