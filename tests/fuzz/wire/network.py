"""Connections to the server under attack, none of which ever blocks.

In: steps. Out: lines that were received, without LF, and then why a connection ended. Raised:
FindingError if the server cannot be reached.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol

from tests.fuzz.wire.steps import CLOSE, DEAF, FIN, RESET, SEND, URGENT, Step
from tests.fuzz.wire.witness import FindingError

CONNECT_SECONDS = 10.0

RECEIVE_BYTES = 256 * 1024

_GRACE_SECONDS = 0.5  # a pause that is longer was ours: we were stopped, or starved

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Hears = Callable[[bytes], None]
"""Called for each line."""

Ends = Callable[[OSError | None], None]
"""Called once, when the server has ended the connection: None for a clean end, which is one that
does not cut a line."""


class Peer:
    """Our end of one connection."""

    def __init__(self, hears: Hears, ends: Ends) -> None:
        self.is_open = True
        self._hears = hears
        self._ends = ends
        self._unended = b""

    def act(self, step: Step) -> None:
        """Do it, unless the connection has ended."""
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        *lines, self._unended = (self._unended + data).split(b"\n")
        for line in lines:
            self._hears(line)

    def ended(self, error: OSError | None) -> None:
        self.is_open = False
        cut = ConnectionError(f"cut in {self._unended!r}") if self._unended else None
        self._ends(error or cut)


class Network(Protocol):
    """The way to one server. `seconds` have passed on it."""

    seconds: float

    def open(self, source: str, hears: Hears, ends: Ends) -> Peer:
        """Connect from `source`, "" for any address of ours."""

    def pump(self, seconds: float) -> None:
        """Send and receive what can be, for as long as `seconds`."""

    def close(self) -> None:
        """All connections have been closed."""


class TcpNetwork:
    """The real one."""

    def __init__(self, host: str, port: int) -> None:
        self.seconds = 0.0
        self._address = (host, port)
        self._selector = selectors.DefaultSelector()
        self._looked_at = time.monotonic()

    def open(self, source: str, hears: Hears, ends: Ends) -> Peer:
        address = (source, 0) if source else None
        try:
            sock = socket.create_connection(self._address, CONNECT_SECONDS, address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise FindingError(f"cannot connect: {error}") from error
            self.pump(1)  # our own ports are used up: some come back each second
            return self.open(source, hears, ends)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return SocketPeer(self._selector, sock, hears, ends)

    def pump(self, seconds: float) -> None:
        for key, events in self._selector.select(seconds):
            key.data.handle(events)
        now = time.monotonic()
        self.seconds += min(now - self._looked_at, _GRACE_SECONDS)
        self._looked_at = now

    def close(self) -> None:
        self._selector.close()


class SocketPeer(Peer):
    """A connection of the TcpNetwork."""

    def __init__(
        self, selector: selectors.BaseSelector, sock: socket.socket, hears: Hears, ends: Ends
    ) -> None:
        super().__init__(hears, ends)
        sock.setblocking(False)
        self._selector = selector
        self._socket = sock
        self._unsent = bytearray()
        self._ends_half = False  # once all is sent
        self._reads = True
        self._watch(selectors.EVENT_READ)

    def act(self, step: Step) -> None:
        if not self.is_open:
            return
        if step.verb == SEND:
            self._unsent += step.data
        elif step.verb == URGENT and not self._unsent:  # out of band, if nothing is in its way
            with contextlib.suppress(OSError):
                self._socket.send(step.data, socket.MSG_OOB)
        elif step.verb == DEAF:
            self._reads = False
        elif step.verb == FIN:
            self._ends_half = True
        elif step.verb == RESET:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if step.verb in (RESET, CLOSE):
            self._close()
        else:
            self._send()

    def handle(self, events: int) -> None:
        if events & selectors.EVENT_WRITE and self.is_open:
            self._send()
        if events & selectors.EVENT_READ and self.is_open:
            self._receive()

    def _send(self) -> None:
        """Send what can be, and ask to be told when more can."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
            if self._ends_half:
                self._socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            # What was said before that may still be there to be read.
            self._unsent.clear()
        events = selectors.EVENT_READ if self._reads else 0
        if self._unsent:
            events |= selectors.EVENT_WRITE
        self._watch(events)

    def _watch(self, events: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._socket)
        if events:
            self._selector.register(self._socket, events, self)

    def _close(self) -> None:
        self.is_open = False
        self._watch(0)
        self._socket.close()

    def _receive(self) -> None:
        data, why = b"", None
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            why = error
        self.received(data)
        if not data:
            self._close()
            self.ended(why)
