"""What a Connection receives and sends through.

`SocketTransport` is the socket itself. Another Transport may stand between the socket and the
connection and encrypt or frame what passes: then what it moves over the wire is not the payload
that the connection sees, and it may have bytes of its own under way. `has_output` and `has_input`
say so.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
from typing import Protocol

from reactor.outbound import Bytes

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger {on, 0 seconds}: socket(7), SO_LINGER


def count_unacknowledged(sock: socket.socket) -> int:
    """How many bytes the kernel keeps until the peer's has taken them (tcp(7), SIOCOUTQ); 0 where
    that is not told."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0


class TransportError(OSError):
    """The peer does not keep to the transport's protocol. Its text says how, in words of ours."""


class Transport(Protocol):
    """A stream of payload in both directions, over one non-blocking socket. Nothing blocks."""

    @property
    def descriptor(self) -> int:
        """The number that a selector watches."""

    @property
    def has_output(self) -> bool:
        """Whether bytes of the transport's own are unsent: the rest of a frame, a record, an
        answer of its protocol. `send`, with or without pieces, goes on with them."""

    @property
    def has_input(self) -> bool:
        """Whether `recv` has payload although the socket may not be readable."""

    @property
    def plain_socket(self) -> socket.socket | None:
        """The socket, if all that passes it is payload, or what takes a page as its `send` does:
        who has the same for thousands may send there without asking. Otherwise None."""

    def recv(self, max_bytes: int) -> bytes:
        """1 to `max_bytes` of payload, or b"" at the end of the stream.

        Raises BlockingIOError or InterruptedError when there is none now, and another OSError when
        the connection is lost.
        """

    def send(self, pieces: list[Bytes]) -> int:
        """How many bytes of the payload `pieces` were taken, perhaps 0.

        What was not taken has to come first in the next call, with or without more behind it. A
        socket that takes no more raises nothing: the rest is sent once it is writable. Raises
        OSError when the connection is lost; there is no output from then on.
        """

    def shut(self, how: int) -> None:
        """shutdown(2), behind all that was taken. Raises OSError."""

    def is_lost(self) -> bool:
        """Whether the peer is known to be gone, read or not (SO_ERROR)."""

    def count_unacknowledged(self) -> int:
        """How many of the bytes that were taken have not come to the peer yet, 0 if unknown."""

    def close(self, is_reset: bool) -> None:
        """Close the socket; `is_reset`: by RST, and the kernel drops what is not acknowledged."""


class SocketTransport:
    """The plain socket: every byte is payload, and nothing is kept here."""

    __slots__ = ("plain_socket",)

    has_output = False
    has_input = False

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`, connected and non-blocking."""
        self.plain_socket = sock

    @property
    def descriptor(self) -> int:
        return self.plain_socket.fileno()

    def recv(self, max_bytes: int) -> bytes:
        return self.plain_socket.recv(max_bytes)

    def send(self, pieces: list[Bytes]) -> int:
        try:
            if len(pieces) == 1:
                return self.plain_socket.send(pieces[0])
            return self.plain_socket.sendmsg(pieces)
        except (BlockingIOError, InterruptedError):
            return 0

    def shut(self, how: int) -> None:
        self.plain_socket.shutdown(how)

    def is_lost(self) -> bool:
        try:
            return self.plain_socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        except OSError:
            return True  # a socket that cannot tell is of no use to its peer

    def count_unacknowledged(self) -> int:
        return count_unacknowledged(self.plain_socket)

    def close(self, is_reset: bool) -> None:
        with contextlib.suppress(OSError):
            if is_reset:
                self.plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        with contextlib.suppress(OSError):
            self.plain_socket.close()
