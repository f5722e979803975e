"""A network, a kernel and a clock in memory: what the reactor sees of the world, under one seed.

Behaves as Linux does with TCP over loopback, as far as a server can tell: bounded buffers each way,
partial sends and receives, EAGAIN, EOF after FIN, resets (which take unread data with them), RST when
a socket is closed with unread input or with SO_LINGER 0, the lowest free number for each new
descriptor, EMFILE, spurious readiness. Whatever is left to chance is drawn from `random`.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

FIRST_DESCRIPTOR = 100
"""Numbers below are left to the real kernel."""


class Stream:
    """One direction of a connection: bytes on their way, at most `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data = bytearray()
        self.is_ended = False  # FIN follows the last byte

    @property
    def room(self) -> int:
        return max(0, self.capacity - len(self.data))


class Kernel:
    """Descriptors, time, and what goes wrong.

    `failures` are the errors that the next calls of a name meet, first come first served:
    {"recv": [errno.EINTR]}. With `is_unsteady` sends and receives are cut short at random.
    """

    def __init__(self, random: Random, max_descriptors: int = 10_000) -> None:
        self.random = random
        self.now = 1000.0
        self.max_descriptors = max_descriptors
        self.is_unsteady = True
        self.failures: dict[str, list[int]] = {}
        self.calls: Counter[str] = Counter()
        self.bytes_moved = 0
        self._open: dict[int, Endpoint | Door] = {}

    def clock(self) -> float:
        return self.now

    @property
    def descriptors(self) -> set[int]:
        return set(self._open)

    def has_descriptor(self) -> bool:
        return len(self._open) < self.max_descriptors

    def open(self, thing: Endpoint | Door) -> int:
        number = FIRST_DESCRIPTOR
        while number in self._open:
            number += 1
        self._open[number] = thing
        return number

    def close(self, descriptor: int) -> None:
        if descriptor not in self._open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        del self._open[descriptor]

    def lookup(self, descriptor: int) -> Endpoint | Door:
        return self._open[descriptor]

    def enter(self, call: str) -> None:
        """A system call begins: it may fail."""
        self.calls[call] += 1
        waiting = self.failures.get(call)
        if waiting:
            number = waiting.pop(0)
            raise OSError(number, os.strerror(number))

    def some(self, most: int) -> int:
        """How much of `most` bytes, at least one, is moved by one call."""
        if most > 1 and self.is_unsteady and self.random.random() < 0.3:
            return self.random.randint(1, most)
        return most


class Endpoint:
    """The server's end of a connection, with the methods of a socket that the reactor uses."""

    def __init__(self, kernel: Kernel, peer: Peer) -> None:
        self._kernel = kernel
        self._peer = peer
        self._descriptor = kernel.open(self)
        self.is_shut = False
        self.error = 0  # pending: SO_ERROR
        self._resets_on_close = False

    def fileno(self) -> int:
        return self._descriptor

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._resets_on_close = True

    def recv(self, max_bytes: int) -> bytes:
        self._kernel.enter("recv")
        inbound = self._peer.to_server
        if self.error:
            number, self.error = self.error, 0
            self.is_shut = True
            inbound.is_ended = True
            raise OSError(number, os.strerror(number))
        if inbound.data:
            count = self._kernel.some(min(max_bytes, len(inbound.data)))
            data = bytes(inbound.data[:count])
            del inbound.data[:count]
            self._kernel.bytes_moved += count
            return data
        if inbound.is_ended:
            return b""
        raise BlockingIOError(errno.EAGAIN, "nothing there")

    def send(self, data: bytes | memoryview) -> int:
        return self.sendmsg([data])

    def sendmsg(self, pieces: list[bytes | memoryview]) -> int:
        assert pieces
        self._kernel.enter("send")
        if self.error:
            number, self.error = self.error, 0
            self.is_shut = True
            raise OSError(number, os.strerror(number))
        if self.is_shut:
            raise BrokenPipeError(errno.EPIPE, "shut")
        if self._peer.is_gone:  # it answers with a reset, which the next call meets
            self.error = errno.ECONNRESET
            return sum(map(len, pieces))
        outbound = self._peer.to_peer
        if not outbound.room:
            raise BlockingIOError(errno.EAGAIN, "full")
        data = b"".join(pieces)
        count = self._kernel.some(min(len(data), outbound.room))
        outbound.data += data[:count]
        self._kernel.bytes_moved += count
        return count

    def shutdown(self, how: int) -> None:
        self._kernel.enter("shutdown")
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self.is_shut = True
            self._peer.to_peer.is_ended = True
        if how == socket.SHUT_RDWR:
            self._peer.to_server.is_ended = True

    def close(self) -> None:
        self._kernel.close(self._descriptor)
        if self._resets_on_close or self._peer.to_server.data:
            self._peer.to_peer.data.clear()
            self._peer.was_reset = True
        self._peer.to_peer.is_ended = True
        self._peer.is_unserved = True

    def events(self) -> int:
        """What it is ready for (poll(2))."""
        ready = 0
        inbound, outbound = self._peer.to_server, self._peer.to_peer
        if inbound.data or inbound.is_ended or self.error:
            ready |= READ
        # Linux asks for more when a third of the buffer is free.
        if outbound.room * 3 >= outbound.capacity or self.error or self.is_shut:
            ready |= WRITE
        return ready


class Peer:
    """The far end of a connection, in the hands of the world. `name` is for its address."""

    def __init__(self, kernel: Kernel, source: str, port: int, capacity: int) -> None:
        self.address = (source, port)
        self.to_server = Stream(capacity)
        self.to_peer = Stream(capacity)
        self.is_gone = False  # closed or reset by its owner
        self.was_reset = False  # by the server
        self.is_unserved = False  # the server has closed its end
        self.received = bytearray()
        self._kernel = kernel
        self._endpoint: Endpoint | None = None

    def accept(self) -> Endpoint:
        self._endpoint = Endpoint(self._kernel, self)
        if self.is_gone:
            self._endpoint.error = errno.ECONNRESET if self.was_rude else 0
        return self._endpoint

    was_rude = False

    def send(self, data: bytes) -> int:
        """Hand over what there is room for."""
        if self.is_gone or self.is_unserved or self.to_server.is_ended:
            return len(data)  # nobody takes it
        count = min(len(data), self.to_server.room)
        self.to_server.data += data[:count]
        self._kernel.bytes_moved += count
        return count

    def read(self, max_bytes: int) -> None:
        data = self.to_peer.data[:max_bytes]
        del self.to_peer.data[: len(data)]
        self._kernel.bytes_moved += len(data)
        self.received += data

    def shut(self) -> None:
        """FIN: no more from here."""
        self.to_server.is_ended = True

    def leave(self, rudely: bool) -> None:
        """Close (unread data makes it a reset), or reset."""
        if self.is_gone:
            return
        self.is_gone = True
        self.was_rude = rudely or bool(self.to_peer.data)
        if self.was_rude:
            self.to_server.data.clear()
            if self._endpoint:
                self._endpoint.error = errno.ECONNRESET
        self.to_peer.data.clear()
        self.to_server.is_ended = True

    @property
    def has_ended(self) -> bool:
        """Whether the server has said its last word, and it was read."""
        return self.to_peer.is_ended and not self.to_peer.data


class Door:
    """The listening socket. `waiting` is the backlog."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._descriptor = kernel.open(self)
        self.waiting: list[Peer] = []

    def fileno(self) -> int:
        return self._descriptor

    def accept(self) -> tuple[Endpoint, tuple[str, int]]:
        if not self.waiting:
            raise BlockingIOError(errno.EAGAIN, "nobody waits")
        self._kernel.enter("accept")
        if not self._kernel.has_descriptor():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        peer = self.waiting.pop(0)
        return peer.accept(), peer.address

    def close(self) -> None:
        self._kernel.close(self._descriptor)
        for peer in self.waiting:
            peer.was_reset = peer.is_unserved = peer.to_peer.is_ended = True

    def events(self) -> int:
        return READ if self.waiting else 0


class Selector(selectors.BaseSelector):
    """Level-triggered, as epoll without EPOLLET. Its sleep is what moves the clock."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._keys: dict[int, selectors.SelectorKey] = {}
        self.last_wait: float | None = 0.0
        self.last_ready = 0
        self.oversleep_seconds = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._kernel.enter("register")
        assert fileobj not in self._keys
        self._kernel.lookup(fileobj)
        return self._set(fileobj, events, data)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys.pop(fileobj)  # the selectors module forgets it, too, if this fails
        self._kernel.enter("modify")
        return self._set(key.fd, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.last_wait = timeout
        ready = self.ready()
        self.last_ready = len(ready)
        if not ready and timeout:
            self._kernel.now += timeout
        self._kernel.now += self.oversleep_seconds
        self.oversleep_seconds = 0.0
        if self._kernel.is_unsteady and self._kernel.random.random() < 0.05 and self._keys:
            key = self._kernel.random.choice(list(self._keys.values()))
            if all(key is not one for one, _ in ready):
                ready.append((key, key.events))  # readiness that is none
        self._kernel.random.shuffle(ready)
        return ready

    def ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        for descriptor, key in self._keys.items():
            events = self._kernel.lookup(descriptor).events() & key.events
            if events:
                found.append((key, events))
        return found

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def close(self) -> None:
        self._keys.clear()

    def _set(self, fileobj: int, events: int, data: Any) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._keys[fileobj] = key
        return key
