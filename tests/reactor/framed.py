"""A Transport that frames what it sends, over a socket that takes few bytes at a time.

It does what TLS and WebSocket do: bytes of its own go out before and behind the payload, its end of
the stream is a frame, and one read of the socket may hold several frames.
"""

from __future__ import annotations

import socket

from reactor import SocketTransport
from reactor.outbound import Bytes

HEADER_BYTES = 2
END = b"\x00\x00"
"""A frame without payload: the end of the stream."""


class Framed:
    """A frame is two bytes of length and the payload, at most `frame_bytes` of it.

    `budget` is how many bytes the socket takes until it is raised.
    """

    def __init__(self, sock: socket.socket, frame_bytes: int) -> None:
        self.budget = 0
        self._socket = SocketTransport(sock)
        self._frame_bytes = frame_bytes
        self._own = b""  # of a header, or the end; unsent
        self._left_in_frame = 0  # payload of a frame whose header is sent
        self._shuts = False
        self._input = bytearray()

    @property
    def descriptor(self) -> int:
        return self._socket.descriptor

    @property
    def has_output(self) -> bool:
        return bool(self._own)

    @property
    def has_input(self) -> bool:
        return len(self._input) >= HEADER_BYTES + int.from_bytes(self._input[:HEADER_BYTES], "big")

    def recv(self, max_bytes: int) -> bytes:
        if not self.has_input:
            self._input += self._socket.recv(max_bytes)
            if not self.has_input:
                raise BlockingIOError
        count = int.from_bytes(self._input[:HEADER_BYTES], "big")
        payload = bytes(self._input[HEADER_BYTES : HEADER_BYTES + count])
        del self._input[: HEADER_BYTES + count]
        return payload

    def send(self, pieces: list[Bytes]) -> int:
        data = b"".join(pieces)
        taken = 0
        while self._own or taken < len(data):
            if not (self._own or self._left_in_frame):
                self._left_in_frame = min(len(data) - taken, self._frame_bytes)
                self._own = self._left_in_frame.to_bytes(HEADER_BYTES, "big")
            if self._own:
                self._own = self._own[self._write(self._own) :]
                if self._own:
                    return taken
            sent = self._write(data[taken : taken + self._left_in_frame])
            self._left_in_frame -= sent
            taken += sent
            if self._left_in_frame:
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

    def is_lost(self) -> bool:
        return self._socket.is_lost()

    def close(self, is_reset: bool) -> None:
        self._socket.close(is_reset)

    def _write(self, data: Bytes) -> int:
        try:
            sent = self._socket.send([data[: self.budget]]) if self.budget and data else 0
        except OSError:
            self._own = b""
            raise
        self.budget -= sent
        return sent


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


def unframed(data: bytes) -> tuple[bytes, bool]:
    """(payload, whether the stream was ended by a frame) of whole frames."""
    payload = b""
    while data:
        count = int.from_bytes(data[:HEADER_BYTES], "big")
        payload += data[HEADER_BYTES : HEADER_BYTES + count]
        data = data[HEADER_BYTES + count :]
        if not count:
            assert not data, "bytes behind the end"
            return payload, True
    return payload, False
