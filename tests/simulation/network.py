"""The kernel of a simulated machine: time, descriptors, a listening socket, a selector, and faults.

In: what a script does to it, and the system calls of the product. Out: an account of everything
that the product was told or gave, to a witness (model.Model). All chance comes from numbers that
were fixed before: each connection has its own, so that what befalls one does not hang on others.
"""

from __future__ import annotations

import errno
import math
import os
import random
import selectors
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from reactor import READ, WRITE
from reactor.loop import GRACE_SECONDS
from tests.simulation.tcp import End, connect_ends, error

Address = tuple[str, int]
Ready = list[tuple[selectors.SelectorKey, int]]

FIRST_DESCRIPTOR = 4
"""Below are the standard streams and the selector's own."""

FATAL_ERRORS = (errno.ENOBUFS, errno.ENOMEM, errno.EHOSTUNREACH, errno.ETIMEDOUT)
"""What a call on a connection may fail with out of the blue."""


class Faults(NamedTuple):
    """How likely each fault is at each call, from 0 to 1."""

    short: float = 0.0  # fewer bytes than could be had
    again: float = 0.0  # EAGAIN or EINTR, though the call could have been served
    spurious: float = 0.0  # ready, and yet there is nothing
    fatal: float = 0.0  # an error that costs the connection
    interrupted: float = 0.0  # `select` returns early and empty, as after EINTR


class Clock:
    """Seconds of the simulated machine. `stopped_seconds` is how many of them the process cannot
    be blamed for: it was stopped, beyond what it meant to sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stopped_seconds = 0.0

    def __call__(self) -> float:
        return self.now

    @property
    def awake(self) -> float:
        """Seconds of the process's own time."""
        return self.now - self.stopped_seconds


class Watchable(Protocol):
    """What a selector may be told of."""

    def check_watchable(self) -> None:
        """Raises OSError where epoll_ctl(2) may."""

    def tell(self, events: int) -> int:
        """Which of `events`, those asked for, the product is told."""


class Network:
    """All that the product's sockets have in common, its door and its selector."""

    def __init__(self, witness: Any, faults: Faults, seed: int = 0, max_pieces: int = 1024) -> None:
        self.clock = Clock()
        self.faults = faults
        self.seed = seed
        self.max_pieces = max_pieces
        self.witness = witness
        self.owners: dict[int, Watchable | None] = {}
        self.max_descriptors = 1 << 16
        self.cpu_seconds = 0.0
        """How long the process has worked: all of it on sends, at a pace of the seed's choice."""
        self.seconds_of_a_byte = 10 ** -random.Random(seed).uniform(5, 8)
        self.is_calm = False
        """Whether no more faults happen."""
        self.progress = 0
        """Grows with all that a turn of the loop may be good for, faults included."""
        self.door = ListeningSocket(self)
        self.selector = SimulatedSelector(self)

    def allocate(self, owner: Watchable | None) -> int:
        """The lowest free number, as POSIX has it. Raises OSError (EMFILE) at the limit."""
        if not self.has_free_descriptor():
            raise error(errno.EMFILE)
        number = FIRST_DESCRIPTOR
        while number in self.owners:
            number += 1
        self.owners[number] = owner
        return number

    def has_free_descriptor(self) -> bool:
        return len(self.owners) < self.max_descriptors

    # In place of the module `os`, for the descriptor that a Listener keeps in reserve.

    devnull = os.devnull
    O_RDONLY = os.O_RDONLY

    def open(self, path: str, flags: int) -> int:
        return self.allocate(None)

    def close(self, descriptor: int) -> None:
        if self.owners.pop(descriptor, self) is not None:
            raise error(errno.EBADF)


class SimulatedSocket:
    """The product's end of a connection, and the faults of its calls."""

    def __init__(self, network: Network, end: End, address: Address) -> None:
        self.address = address
        self.faults = network.faults
        self.chance = random.Random(f"{network.seed} {address}")
        self.stop_seconds = 0.0
        """For how long the process is stopped in the next call."""
        self.is_wrapped = False
        """Whether a transport tells the witness of the payload."""
        # A Listener reads at once; later, only one that was said to be ready may.
        self._is_told = True
        self._network = network
        self._end = end
        self._descriptor = -1

        self.reset = end.reset
        self.events = end.events

    def install(self) -> None:
        """Give it a descriptor: it has been accepted. Raises OSError (EMFILE)."""
        self._descriptor = self._network.allocate(self)

    # System calls.

    def fileno(self) -> int:
        return self._descriptor

    def setblocking(self, is_blocking: bool) -> None:
        assert not is_blocking

    def setsockopt(self, level: int, option: int, value: object) -> None:
        self._end.check_open()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._end.will_reset = True

    def getsockopt(self, level: int, option: int) -> int:
        self._end.check_open()
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR)
        number = self._end.take_error()
        if number:
            self._fail()
        return number

    def count_unacknowledged(self, own_bytes: int = 0) -> int:
        """`own_bytes`: how many more a transport keeps."""
        size = len(self._end.unsent)
        self._network.witness.looked(self.address, size + own_bytes)
        return size + self._end.is_shut_write

    def recv(self, size: int) -> bytes:
        self._end.check_open()
        assert self._is_told, "a read of one that was not said to be ready"
        self._is_told = False
        self._begin_call()
        if self._happens(self.faults.short):
            size = self.chance.randint(1, min(size, max(1, len(self._end.unread))))
        with self._failure_told():
            data = self._end.recv(size)
        if data:
            self._network.progress += 1
        if not self.is_wrapped:
            self.tell_received(data)
        return data

    def tell_received(self, payload: bytes) -> None:
        """The witness learns what was read, or that the stream has ended."""
        tell = self._network.witness
        tell.received(self.address, payload) if payload else tell.ended(self.address)

    def send(self, data: bytes | memoryview) -> int:
        return self.sendmsg([data])

    def sendmsg(self, pieces: list[bytes | memoryview]) -> int:
        self._end.check_open()
        assert all(pieces), "an empty piece was sent"
        assert len(pieces) <= self._network.max_pieces, "more pieces than one call takes"
        size = sum(map(len, pieces))
        # Until it is known better.
        self._network.witness.left_owing(self.address)
        self._begin_call(is_send=True)
        if self._happens(self.faults.short):
            size = self.chance.randint(1, size)
        # No more of it is joined than there is room for: of megabytes, that is little.
        data = _first(pieces, min(size, max(1, self._end.free_bytes)))
        with self._failure_told(is_send=True):
            size = self._end.send(data)
        self._network.progress += 1
        self._network.cpu_seconds += size * self._network.seconds_of_a_byte
        if not self.is_wrapped:
            self._network.witness.taken(self.address, data[:size])
        return size

    def shutdown(self, how: int) -> None:
        self._network.progress += 1
        self._end.shutdown(how)

    def close(self) -> None:
        if self._descriptor < 0:
            return
        del self._network.owners[self._descriptor]
        self._descriptor = -1
        self._network.progress += 1
        is_reset = self._end.will_reset
        self._network.witness.closed(self.address, is_reset, bool(self._end.unread))
        self._end.close()
        if self._happens(self.faults.fatal):
            raise error(errno.EIO)

    def __enter__(self) -> SimulatedSocket:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # For the selector.

    def check_watchable(self) -> None:
        """Raises OSError where epoll_ctl(2) may."""
        if self._happens(self.faults.fatal):
            self._fail()
            raise error(self.chance.choice((errno.ENOSPC, errno.ENOMEM)))

    def tell(self, events: int) -> int:
        """Which of `events`, those asked for, the product is told."""
        told = self.events() & events
        if told != events and self._happens(self.faults.spurious):
            self._network.progress += 1
            told = events
        self._is_told = bool(told & READ)
        return told

    # Details.

    def _begin_call(self, is_send: bool = False) -> None:
        clock = self._network.clock
        clock.now += self.stop_seconds
        clock.stopped_seconds += self.stop_seconds
        self.stop_seconds = 0.0
        if self._happens(self.faults.again):
            self._network.progress += 1
            raise error(self.chance.choice((errno.EAGAIN, errno.EINTR)))
        if self._happens(self.faults.fatal):
            self._fail(is_send)
            raise error(self.chance.choice(FATAL_ERRORS))

    @contextmanager
    def _failure_told(self, is_send: bool = False) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:
            raise
        except OSError:
            self._fail(is_send)
            raise

    def _fail(self, is_send: bool = False) -> None:
        self._network.progress += 1
        self._network.witness.failed(self.address, is_send)

    def _happens(self, likelihood: float) -> bool:
        return self.chance.random() < likelihood and not self._network.is_calm


class ListeningSocket:
    """The product's door. `failures` are what the next calls of `accept` end with."""

    def __init__(self, network: Network) -> None:
        self.failures: deque[int] = deque()
        self.backlog: deque[SimulatedSocket] = deque()
        self.calls_of_turn: list[int] = []
        """How each `accept` of this turn ended: 0, or with which error."""
        self.is_closed = False
        self._network = network
        self._descriptor = network.allocate(self)

    def connect(self, address: Address, limits: list[int]) -> End | None:
        """Somebody connects, from `address`; the other end, or None if the door is closed."""
        if self.is_closed:
            return None
        near, far = connect_ends(limits)
        self.backlog.append(SimulatedSocket(self._network, near, address))
        return far

    # System calls.

    def fileno(self) -> int:
        return self._descriptor

    def accept(self) -> tuple[SimulatedSocket, Address]:
        number = self._error_of_accept()
        self.calls_of_turn.append(number)
        if number:
            raise error(number)
        sock = self.backlog.popleft()
        sock.install()
        self._network.witness.accepted(sock.address)
        return sock, sock.address

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            del self._network.owners[self._descriptor]
            while self.backlog:
                self.backlog.popleft().reset()

    # For the selector.

    def check_watchable(self) -> None:
        """It always is: without its door a server is none."""

    def events(self) -> int:
        return READ if self.backlog else 0

    def tell(self, events: int) -> int:
        return self.events() & events

    # Details.

    def _error_of_accept(self) -> int:
        if not self._network.has_free_descriptor():  # accept(2) looks for one first
            self._network.progress += 1
            return errno.EMFILE
        if not self.backlog:
            return errno.EAGAIN
        self._network.progress += 1
        number = self.failures.popleft() if self.failures else 0
        if number in (errno.ECONNABORTED, errno.EPROTO, errno.EPERM):
            self.backlog.popleft().reset()
        return number


class SimulatedSelector(selectors.BaseSelector):
    """Level-triggered, as epoll; the order of what is ready is chance. It never sleeps: what it
    would sleep passes on the clock at once, but no more than `longest_sleep`."""

    def __init__(self, network: Network) -> None:
        self.longest_sleep = 0.0
        self.turn_seconds = 0.0
        """What a turn costs, over and above what the product sleeps."""
        self.stop_seconds = 0.0
        """For how long the process is stopped in the next `select`."""
        self.asked_wait: float | None = None
        """How long the last `select` was to wait; None is for ever."""
        self.told = 0
        """How many were ready then; -1 if the kernel did not look, as after a signal."""
        self._network = network
        self._chance = random.Random(f"order {network.seed}")
        self._keys: dict[int, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> Ready:
        self.asked_wait = timeout
        self._network.clock.now += self.turn_seconds
        if self._chance.random() < self._network.faults.interrupted and not self._network.is_calm:
            self._network.progress += 1
            ready, self.told = [], -1
        else:
            ready = self._ready()
            self._sleep(timeout, bool(ready))
            self.told = len(ready)
        self._network.witness.woke(self._network.clock.awake)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        assert fileobj not in self._keys, "registered twice"
        return self._watch(fileobj, events, data)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        del self._keys[fileobj]
        return self._watch(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        assert fileobj in self._network.owners, "closed before it was forgotten"
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def interest_in(self, descriptor: int) -> int:
        """Which events of it are watched, 0 for none."""
        key = self._keys.get(descriptor)
        return key.events if key else 0

    def _watch(self, descriptor: int, events: int, data: Any) -> selectors.SelectorKey:
        assert events in (READ, WRITE, READ | WRITE)
        owner = self._network.owners.get(descriptor)
        if owner is None:
            raise error(errno.EBADF)
        owner.check_watchable()
        key = selectors.SelectorKey(descriptor, descriptor, events, data)
        self._keys[descriptor] = key
        return key

    def _sleep(self, timeout: float | None, is_ready: bool) -> None:
        clock = self._network.clock
        slept, asleep_at = 0.0, clock.now
        if not is_ready:
            slept = min(self.longest_sleep, math.inf if timeout is None else timeout)
            clock.now += math.ceil(slept * 1000) / 1000  # as epoll_wait(2)
        if self.stop_seconds:
            # It is not known when in its sleep the process was stopped: none of that sleep counts.
            excess = self.stop_seconds - (math.inf if timeout is None else timeout - slept)
            clock.now += self.stop_seconds
            clock.stopped_seconds += clock.now - asleep_at if excess > GRACE_SECONDS else 0.0
            self.stop_seconds = 0.0

    def _ready(self) -> Ready:
        ready = []
        for key in self._keys.values():
            owner = self._network.owners[key.fd]
            if owner is not None and (events := owner.tell(key.events)):
                ready.append((key, events))
        self._chance.shuffle(ready)
        return ready


def _first(pieces: list[bytes | memoryview], size: int) -> bytes:
    """So many of their bytes."""
    data = bytearray()
    for piece in pieces:
        if len(data) == size:
            break
        data += piece[: size - len(data)]
    return bytes(data)
