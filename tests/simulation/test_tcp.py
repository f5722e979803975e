"""The simulated connection does what the kernel's does: each test runs against both."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections.abc import Callable

import pytest

from reactor import READ, WRITE
from tests.reactor import conftest
from tests.simulation.tcp import End, connect_ends

MOST_BYTES = 1 << 26
"""More than the buffers of two sockets hold."""


class RealSide(socket.socket):
    """A socket whose calls wait until the kernel has nothing under way (loopback delivers in the
    call that sends, but for what a timer or a full queue delays)."""

    def take_error(self) -> int:
        return self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def reset(self) -> None:
        conftest.reset(self)

    def events(self) -> int:
        poll = select.poll()
        poll.register(self, select.POLLIN | select.POLLOUT)
        events = poll.poll(0)[0][1] if poll.poll(0) else 0
        if events & (select.POLLHUP | select.POLLERR):
            return READ | WRITE
        return (READ if events & select.POLLIN else 0) | (WRITE if events & select.POLLOUT else 0)


Side = End | RealSide
"""One end of a connection."""


def simulated() -> tuple[Side, Side]:
    return connect_ends([4096] * 4)


def real() -> tuple[Side, Side]:
    near, far = conftest.tcp_pair()
    return RealSide(fileno=near.detach()), RealSide(fileno=far.detach())


EACH = pytest.mark.parametrize("make", [simulated, real])


def fill(side: Side) -> int:
    """Send until EAGAIN, and until it is not ready for more: how many bytes it took. On a busy
    machine what was under way makes room after the call that found none."""
    taken = 0
    while taken < MOST_BYTES:
        try:
            taken += side.send(b"x" * 1024)
        except BlockingIOError:
            if not side.events() & WRITE:
                break
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
    "a full buffer is EAGAIN and not ready": "near fill -> full",
    "a reset takes back what did not arrive": (
        "near fill -> full, near reset, far drain -> ECONNRESET"
    ),
    "calls on a closed end are EBADF": (
        "near close, near close, near recv 1 -> EBADF, near send x -> EBADF"
    ),
}
"""The calls of two ends, in order, each with what it answers, if anything."""


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
            case "fill":
                return "full" if fill(side) < MOST_BYTES else ""
            case "drain":
                read_all(side)
            case "events":
                return {READ: "r", WRITE: "w", READ | WRITE: "rw"}.get(side.events(), "")
            case _:
                getattr(side, call)()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


@EACH
@pytest.mark.parametrize("steps", SCENARIOS.values(), ids=SCENARIOS)
def test_each_call_is_answered_as_the_kernel_does(
    make: Callable[[], tuple[Side, Side]], steps: str
) -> None:
    sides = dict(zip(("near", "far"), make(), strict=True))
    for step in steps.split(", "):
        call, _, answer = step.partition(" -> ")
        who, verb, argument = f"{call} ".split(" ", 2)
        assert answer_of(sides[who], verb, argument.strip()) == answer, step
    for side in sides.values():
        side.close()


@EACH
@pytest.mark.parametrize("is_closed", [False, True])
def test_what_filled_the_buffers_arrives(
    make: Callable[[], tuple[Side, Side]], is_closed: bool
) -> None:
    near, far = make()
    left = fill(near)
    assert 0 < left < MOST_BYTES
    if is_closed:
        near.close()
    while left:  # the kernel opens its window in steps
        left -= read_all(far)
    assert is_closed or near.events() == WRITE
    assert answer_of(far, "recv", "1") == ("end" if is_closed else "EAGAIN")
    near.close()
    far.close()


def test_a_network_that_gives_up_tells_one_end_alone() -> None:
    near, far = connect_ends([8] * 4)
    near.fail(errno.ETIMEDOUT)
    assert (near.take_error(), far.take_error()) == (errno.ETIMEDOUT, 0)
