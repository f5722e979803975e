"""A Transport that changes what it sends, over a socket that takes few bytes at a time.

It does what TLS and WebSocket do: it has bytes of its own under way when the payload is taken, its
end of the stream is a mark, and one read of the socket may hold more than one `recv` gives.
"""

from __future__ import annotations

import socket

from reactor import SocketTransport
from reactor.outbound import Bytes

END = b"\x00\x00"
"""A doubled zero, which is no payload: the end of the stream."""

RECV_BYTES = 4
"""Most payload that one `recv` gives."""


class Doubling:
    """Every byte of payload goes over the wire twice. `budget` is how many bytes the socket takes
    until it is raised."""

    plain_socket: socket.socket | None = None

    def __init__(self, sock: socket.socket, budget: int = 0) -> None:
        self.budget = budget
        self._socket = SocketTransport(sock)
        self._own = b""  # of a pair, or the end; unsent
        self._shuts = False
        self._input = b""
        self.is_lost = self._socket.is_lost
        self.count_unacknowledged = self._socket.count_unacknowledged
        self.close = self._socket.close

    @property
    def descriptor(self) -> int:
        return self._socket.descriptor

    @property
    def has_output(self) -> bool:
        return bool(self._own)

    @property
    def has_input(self) -> bool:
        return len(self._input) >= len(END)

    def recv(self, max_bytes: int) -> bytes:
        if not self.has_input:
            self._input += self._socket.recv(max_bytes)
            if not self.has_input:
                raise BlockingIOError
        payload = self._input[: 2 * RECV_BYTES : 2].partition(END[:1])[0]
        self._input = self._input[2 * len(payload) :]
        return payload

    def send(self, pieces: list[Bytes]) -> int:
        data = b"".join(pieces)
        taken = 0
        while self._own or taken < len(data):
            if not self._own:
                self._own = doubled(data[taken : taken + 1])
                taken += 1
            self._send_own()
            if self._own:
                return taken
        if self._shuts:
            self._shuts = False
            self._socket.shut(socket.SHUT_WR)
        return taken

    def shut(self, how: int) -> None:
        if how == socket.SHUT_RDWR:
            self._own = b""
            self._socket.shut(how)
            return
        self._own += END
        self._shuts = True
        self.send([])

    def _send_own(self) -> None:
        own, self._own = self._own, b""  # none is left where the send fails
        sent = self._socket.send([own[: self.budget]]) if self.budget else 0
        self.budget -= sent
        self._own = own[sent:]


def doubled(payload: bytes) -> bytes:
    return bytes(byte for byte in payload for _ in range(2))
