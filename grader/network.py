"""A network between a client and its server that treats TCP as the stream it is.

A proxy listens on a port of its own. What it takes from either side it passes on in other pieces:

    cuts    byte by byte, and the next one only when the last has been read
    joins   all at once, and only when nothing else in the session is about to happen

Both are what a real network may do at any time, and never what an innocent test sees.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable

_CHUNK_BYTES = 64 * 1024


class _Pipe:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.held = bytearray()
        self.has_ended = False

    def read(self) -> None:
        try:
            data = self.source.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.held += data
        self.has_ended = not data

    def pass_on(self, count: int) -> None:
        with contextlib.suppress(OSError):
            self.target.sendall(self.held[:count])
        del self.held[:count]

    def pass_end_on(self) -> None:
        with contextlib.suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)


class Proxy:
    """Listens on `port`, which may be asked for as 0, and connects all that come to `server_port`
    on the same host. `cuts` says how it treats what it carries. Raises OSError."""

    def __init__(
        self, selector: selectors.BaseSelector, host: str, server_port: int, cuts: bool
    ) -> None:
        self._selector = selector
        self._address = (host, server_port)
        self._cuts = cuts
        self._listener = socket.create_server((host, 0))
        self._listener.setblocking(False)
        self._pipes: list[_Pipe] = []
        self._sockets: list[socket.socket] = [self._listener]
        self.port: int = self._listener.getsockname()[1]
        self._watch(self._listener, self._accept)

    def release(self) -> bool:
        """Everybody else is at rest, and has read what was passed on. True if that changes now."""
        waiting = [pipe for pipe in self._pipes if pipe.held or pipe.has_ended]
        for pipe in waiting:
            if pipe.held:
                pipe.pass_on(1 if self._cuts else len(pipe.held))
            else:
                pipe.pass_end_on()
                self._pipes.remove(pipe)
        return bool(waiting)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(self._address, timeout=5)
        except OSError:
            near.close()
            return
        self._sockets += [near, far]
        for source, target in ((near, far), (far, near)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source.setblocking(False)
            pipe = _Pipe(source, target)
            self._pipes.append(pipe)
            self._watch(source, lambda pipe=pipe: self._readable(pipe))  # type: ignore[misc]

    def _readable(self, pipe: _Pipe) -> None:
        pipe.read()
        if pipe.has_ended:
            self._selector.unregister(pipe.source)

    def _watch(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, callback)
