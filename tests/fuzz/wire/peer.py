"""One end of a connection to the server under attack, never blocking.

In: bytes to send. Out: lines that were received, without LF, and then why it ended.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
from collections.abc import Callable

RECEIVE_BYTES = 256 * 1024

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Peer:
    """`hears` is called for each line, and `ends` once, when the server has ended the connection:
    None for a clean end, which is one that does not cut a line."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sock: socket.socket,
        hears: Callable[[bytes], None],
        ends: Callable[[OSError | None], None],
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_open = True
        self._selector = selector
        self._socket = sock
        self._hears = hears
        self._ends = ends
        self._unended = b""
        self._unsent = bytearray()
        self._is_broken = False  # nobody takes what is sent
        self._ends_half = False  # once all is sent
        self._reads = True
        selector.register(sock, selectors.EVENT_READ, self)

    @property
    def unsent_bytes(self) -> int:
        return len(self._unsent)

    def send(self, data: bytes) -> None:
        if self.is_open and not self._is_broken:
            self._unsent += data
            self._send()

    def send_urgent(self, data: bytes) -> None:
        """Out of band, if nothing is in its way."""
        if self.is_open and not self._unsent:
            with contextlib.suppress(OSError):
                self._socket.send(data, socket.MSG_OOB)

    def stop_reading(self) -> None:
        self._reads = False
        self._update_interest()

    def end_half(self) -> None:
        self._ends_half = True
        self._send()

    def reset(self) -> None:
        if self.is_open:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close()

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._socket)
            self._socket.close()

    def handle(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._send()
        if events & selectors.EVENT_READ and self.is_open:
            self._receive()

    def _send(self) -> None:
        if not self.is_open:
            return
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
            if self._ends_half:
                self._socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            # What was said before that may still be there to be read.
            self._is_broken = True
            self._unsent.clear()
        self._update_interest()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            self._ends(error)
            return
        *lines, self._unended = (self._unended + data).split(b"\n")
        for line in lines:
            self._hears(line)
        if not data:
            self.close()
            self._ends(ConnectionError(f"cut in {self._unended!r}") if self._unended else None)

    def _update_interest(self) -> None:
        if not self.is_open:
            return
        events = selectors.EVENT_READ if self._reads else 0
        if self._unsent:
            events |= selectors.EVENT_WRITE
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._socket)
        if events:
            self._selector.register(self._socket, events, self)
