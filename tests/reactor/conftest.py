"""What the tests of the reactor share: a clock they move, selectors, real socket pairs."""

from __future__ import annotations

import random
import selectors
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeAlias, cast

import pytest

from reactor import Connection, Reactor

SELECTORS: list[type[selectors.BaseSelector]] = [
    getattr(selectors, f"{name}Selector")
    for name in ("Select", "Poll", "Epoll", "Devpoll", "Kqueue")
    if hasattr(selectors, f"{name}Selector")
]

MOST_TURNS = 10_000
"""More turns than any wait here needs: a loop that takes more of them is spinning."""

POLL_SECONDS = 0.001
"""How long the kernel is given to deliver before the loop looks again."""

PATTERN = random.Random(0).randbytes(400_000)
"""Bytes that tell when one of them is lost, doubled or out of place. No socket takes them all."""

Pair: TypeAlias = tuple[socket.socket, socket.socket]
MakePair: TypeAlias = Callable[[], Pair]


class Clock:
    """Seconds that pass only when a test, or a selector with nothing ready, says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class WatchedSelector:
    """A real selector that never sleeps: what it would have slept passes on the clock at once.

    All else `real` does. `waits` holds how long each `select` was asked to wait; None is for ever.
    """

    def __init__(self, real: selectors.BaseSelector, clock: Clock) -> None:
        self.real = real
        self.waits: list[float | None] = []
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waits.append(timeout)
        ready = self.real.select(0)
        if not ready and timeout:
            self._clock.advance(timeout)
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Loop:
    """A Reactor in the hands of a test: on its clock, and with its errors noted."""

    def __init__(self, real: selectors.BaseSelector) -> None:
        self.clock, self.cpu_clock = Clock(), Clock()
        self.selector = WatchedSelector(real, self.clock)
        clocks = {"clock": self.clock, "cpu_clock": self.cpu_clock}
        self.reactor = Reactor(cast(Any, self.selector), report=self._note_error, **clocks)
        self._errors: list[BaseException] = []

    def _note_error(self) -> None:
        error = sys.exc_info()[1]
        assert error is not None, "report was called outside of an except clause"
        self._errors.append(error)

    def take_errors(self) -> list[BaseException]:
        """What was reported so far. What is not taken fails the test when it ends."""
        errors, self._errors = self._errors, []
        return errors

    def takes_one_bug(self) -> bool:
        """Whether a ValueError, and nothing else, was reported so far: that of `fail`."""
        return [repr(error) for error in self.take_errors()] == ["ValueError('a bug')"]

    def turn(self, turns: int = 1) -> None:
        """Turn without waiting; no time passes."""
        for _ in range(turns):
            self.reactor.run_once(0)

    def turn_until(self, condition: Callable[[], object]) -> None:
        """Turn, with no time passing, until the kernel has delivered what makes it true."""
        for _ in range(MOST_TURNS):
            if condition():
                return
            self.reactor.run_once(0)
            if not condition():
                self.selector.real.select(POLL_SECONDS)
        pytest.fail("what was waited for did not come")

    def pass_seconds(self, seconds: float) -> None:
        """Turn while so much time passes, from deadline to deadline as a loop that sleeps."""
        end = self.clock.now + seconds
        for _ in range(MOST_TURNS):
            if self.clock.now >= end:
                self.reactor.run_once(0)
                return
            self.reactor.run_once(end - self.clock.now)
        pytest.fail("the loop spins: no time passes")

    def receive(self, peer: socket.socket, count: int) -> bytes:
        """Turn until `peer` has received `count` bytes, or less if the stream ends there."""
        received = bytearray()

        def has_all() -> bool:
            with suppress(BlockingIOError):
                while data := peer.recv(min(count - len(received), 1 << 16)):
                    received.extend(data)
                return True
            return False

        self.turn_until(has_all)
        return bytes(received)

    def receive_to_end(self, peer: socket.socket) -> bytes:
        """Turn until `peer` has received everything up to the end of the stream."""
        return self.receive(peer, sys.maxsize)

    def interest_in(self, descriptor: int) -> int:
        """Which events of `descriptor` are watched, 0 for none."""
        key = self.selector.get_map().get(descriptor)
        return key.events if key else 0

    def is_idle(self) -> bool:
        """Whether a real loop would now sleep for ever: nothing ready, queued or scheduled."""
        if self.selector.real.select(0):
            return False
        self.reactor.run_once()
        return self.selector.waits[-1] is None


def nothing(*_: object) -> None:
    """A callback that is only there to be called."""


def fail(*_: object) -> None:
    """A callback with a bug; `Loop.takes_one_bug` tells that it was reported."""
    raise ValueError("a bug")


class Recorder:
    """A protocol that notes what it is told, in order, and then does the deed that a test has
    given it for that call: made, data, eof, flushed or lost."""

    def __init__(self, **deeds: Callable[[Any], object]) -> None:
        self.calls: list[str] = []
        self.received = bytearray()
        self.lost: list[Exception | None] = []
        self.deeds = deeds

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._note("data")

    def eof_received(self) -> None:
        self._note("eof")

    def flushed(self) -> None:
        self._note("flushed")

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)
        self._note("lost")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if deed := self.deeds.get(call):
            deed(self)


def tcp_pair() -> Pair:
    """Two ends of a TCP connection over loopback, non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    for end in (near, far):
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


def unix_pair() -> Pair:
    """Two ends of an AF_UNIX stream, non-blocking."""
    near, far = socket.socketpair(socket.AF_UNIX)
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def reset(peer: socket.socket) -> None:
    """Close at once, with RST in place of FIN."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@contextmanager
def new_loop(selector: type[selectors.BaseSelector] = selectors.DefaultSelector) -> Iterator[Loop]:
    """A Loop that has reported no error when it ends."""
    loop = Loop(selector())
    try:
        yield loop
    finally:
        loop.reactor.close()
    assert loop.take_errors() == []


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """A Loop on the selector that a server has, or on each one under EACH_SELECTOR."""
    with new_loop(getattr(request, "param", selectors.DefaultSelector)) as loop:
        yield loop


@pytest.fixture
def make_pair(request: pytest.FixtureRequest) -> Iterator[MakePair]:
    """Makes connected pairs, and closes them in the end: of TCP, which alone knows resets, or of
    both kinds under EACH_PAIR."""
    with ExitStack() as stack:

        def make() -> Pair:
            near, far = getattr(request, "param", tcp_pair)()
            return stack.enter_context(near), stack.enter_context(far)

        yield make


# For those tests alone where the selector, or the kind of socket, can matter.
EACH_SELECTOR = pytest.mark.parametrize(
    "loop", SELECTORS, indirect=True, ids=lambda selector: selector.__name__
)
EACH_PAIR = pytest.mark.parametrize(
    "make_pair", [tcp_pair, unix_pair], indirect=True, ids=["tcp", "unix"]
)
