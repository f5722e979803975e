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


class RealSide(socket.socket):
    """A socket whose calls wait until the kernel has nothing under way (loopback delivers in the
    call that sends, but for what a timer or a full queue delays)."""

    def take_error(self) -> int:
        return self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def reset(self) -> None:
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def events(self) -> int:
        poll = select.poll()
        poll.register(self, select.POLLIN | select.POLLOUT)
        events = poll.poll(0)[0][1] if poll.poll(0) else 0
        if events & (select.POLLHUP | select.POLLERR):
            return READ | WRITE
        return (READ if events & select.POLLIN else 0) | (WRITE if events & select.POLLOUT else 0)


Side = End | RealSide
"""One end of a connection."""

Sides = tuple[Side, Side]


def simulated() -> Sides:
    return connect_ends([4096] * 4)


def real() -> Sides:
    near, far = (RealSide(fileno=sock.detach()) for sock in tcp_pair())
    near.setblocking(False)
    far.setblocking(False)
    return near, far


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


SCENARIOS = {
    "nothing to read is EAGAIN and not ready": "near recv 1 -> EAGAIN, near events -> w",
    "bytes arrive in order and are read in any pieces": (
        "far send ab -> 2, far send cd -> 2, near events -> rw, "
        "near recv 3 -> abc, near recv 3 -> d, near events -> w"
    ),
    "the end of a half comes behind its bytes and stays": (
        "far send last -> 4, far shutdown WR, "
        "near recv 9 -> last, near recv 9 -> end, near recv 9 -> end, near events -> rw, "
        "near send heard -> 5, far recv 9 -> heard"
    ),
    "both halves ended are a hang-up": (
        "far shutdown WR, near shutdown WR, near events -> rw, far events -> rw, "
        "near send x -> EPIPE, near recv 1 -> end, far recv 1 -> end"
    ),
    "a reset comes behind what was received and once": (
        "far send last -> 4, far reset, near events -> rw, "
        "near recv 9 -> last, near recv 9 -> ECONNRESET, near recv 9 -> end, "
        "near send x -> EPIPE, near shutdown WR -> ENOTCONN"
    ),
    "a reset is told once to the one that asks": (
        "near take_error -> none, far reset, "
        "near take_error -> ECONNRESET, near take_error -> none, "
        "near events -> rw, near recv 1 -> end"
    ),
    "a send after a reset reports it and then EPIPE": (
        "far reset, near send x -> ECONNRESET, near send x -> EPIPE, near recv 1 -> end"
    ),
    "a reset behind a FIN is EPIPE to the sender alone": (
        "far shutdown WR, far reset, near recv 1 -> end, near send x -> EPIPE"
    ),
    "a close with unread input is a reset": (
        "far send unread -> 6, near send answer -> 6, near close, "
        "far recv 9 -> answer, far recv 9 -> ECONNRESET"
    ),
    "a send to a closed end is reset": (
        "near close, far recv 1 -> end, far send x -> 1, far send x -> EPIPE, far recv 1 -> end"
    ),
    "an end shut both ways reads the end and resets its peer": (
        "far send before -> 6, near shutdown RDWR, near events -> rw, "
        "near recv 9 -> before, near recv 9 -> end, "
        "far send after -> 5, far send x -> EPIPE, near shutdown WR -> ENOTCONN"
    ),
    "calls on a closed end are EBADF": (
        "near close, near close, near recv 1 -> EBADF, near send x -> EBADF"
    ),
}
"""The calls of two ends, in order, each with what it answers."""


def answer_of(side: Side, call: str, argument: str) -> str:
    """Bytes, a count, "r" and "w" for events, or the name of an error; "" for nothing."""
    try:
        match call:
            case "recv":
                return side.recv(int(argument)).decode() or "end"
            case "send":
                return f"{side.send(argument.encode())}"
            case "shutdown":
                side.shutdown(getattr(socket, f"SHUT_{argument}"))
            case "take_error":
                return errno.errorcode.get(side.take_error(), "none")
            case "events":
                return {READ: "r", WRITE: "w", READ | WRITE: "rw"}.get(side.events(), "")
            case _:
                getattr(side, call)()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


@pytest.mark.parametrize("steps", SCENARIOS.values(), ids=SCENARIOS)
def test_each_call_is_answered_as_the_kernel_does(sides: Sides, steps: str) -> None:
    for step in steps.split(", "):
        call, _, answer = step.partition(" -> ")
        who, verb, argument = f"{call} ".split(" ", 2)
        side = sides[0 if who == "near" else 1]
        assert answer_of(side, verb, argument.strip()) == answer, step


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


def test_a_network_that_gives_up_tells_one_end_alone() -> None:
    near, far = connect_ends([8, 8, 8, 8])
    near.fail(errno.ETIMEDOUT)
    assert error_of(lambda: near.recv(1)) == errno.ETIMEDOUT
    assert near.recv(1) == b""
    assert far.recv(1) == b""
