"""One TCP connection as Linux shows it to its two ends, without a network in between.

In: what each end does with its socket. Out: what the calls return or raise, and which events the
end is ready for. Bytes travel at once, as far as buffers have room; nothing is lost but by a reset.
test_tcp.py runs the same tests against this and against the kernel.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from reactor import READ, WRITE


class End:
    """One end of a connection. `error` is what the kernel has to report, once (sk_err)."""

    def __init__(self, send_limit: int, receive_limit: int) -> None:
        self.peer: End
        self.unsent = bytearray()
        self.unread = bytearray()
        self.error = 0
        self.has_fin = False  # and nothing behind it
        self.is_dead = False  # by a reset, or because the network gave up
        self.is_closed = False
        self.will_reset = False  # SO_LINGER with 0 seconds
        self.is_shut_write = False
        self.is_shut_read = False
        self._send_limit = send_limit
        self._receive_limit = receive_limit

    # System calls.

    def recv(self, size: int) -> bytes:
        """What has been received comes first, then the end or the error."""
        self.check_open()
        if self.unread:
            data = bytes(self.unread[:size])
            del self.unread[:size]
            if self.peer.unsent:
                self.peer._deliver()
            return data
        if self.has_fin:
            return b""
        if self.error:
            raise error(self.take_error())
        if self.is_dead or self.is_shut_read:
            return b""
        raise error(errno.EAGAIN)

    def send(self, data: bytes | bytearray | memoryview) -> int:
        self.check_open()
        if self.error or self.is_dead or self.is_shut_write:
            self.error = self.error or errno.EPIPE
            raise error(self.take_error())
        size = min(len(data), self.free_bytes)
        if not size:
            raise error(errno.EAGAIN)
        self.unsent += data[:size]
        self._deliver()
        return size

    def shutdown(self, how: int) -> None:
        self.check_open()
        if self.is_dead:
            raise error(errno.ENOTCONN)
        self.is_shut_read |= how in (socket.SHUT_RD, socket.SHUT_RDWR)
        self.is_shut_write |= how in (socket.SHUT_WR, socket.SHUT_RDWR)
        self._deliver()

    def take_error(self) -> int:
        """What the kernel has to report, 0 for nothing; it is reported once (SO_ERROR)."""
        self.check_open()
        number, self.error = self.error, 0
        return number

    def close(self) -> None:
        """With unread input, or told to by SO_LINGER, this is a reset; otherwise what was sent
        still arrives, and a FIN behind it."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.is_dead:
            return
        if self.will_reset or self.unread:
            self._die(0)
            self.peer._die_of_reset()
        else:
            self.is_shut_write = True
            self._deliver()

    def reset(self) -> None:
        """Close, and have the other end told at once."""
        self.will_reset = True
        self.close()

    def events(self) -> int:
        """What a selector that asks for READ and WRITE is told. A hang-up and an error come as
        both (EPOLLHUP, EPOLLERR)."""
        is_over = self.is_shut_write and (self.has_fin or self.is_shut_read)
        if self.error or self.is_dead or is_over:
            return READ | WRITE
        is_readable = self.unread or self.has_fin or self.is_shut_read
        # Linux asks for half as much room as is in use (sk_stream_min_wspace).
        is_writable = self.is_shut_write or self.free_bytes * 2 >= len(self.unsent)
        return (READ if is_readable else 0) | (WRITE if is_writable else 0)

    # The network.

    @property
    def free_bytes(self) -> int:
        """How many bytes the send buffer takes."""
        return max(0, self._send_limit - len(self.unsent))

    def fail(self, number: int) -> None:
        """The network gives this end up: nothing was heard of the other (ETIMEDOUT and its kin).
        The other end hears nothing of it."""
        if not self.is_dead:
            self._die(number)
            self.peer._die(0)

    # Details.

    def _deliver(self) -> None:
        peer = self.peer
        if self.is_dead:
            return
        if self.unsent and (peer.is_closed or (peer.is_shut_read and peer.is_shut_write)):
            # It will never be read: RFC 1122, 4.2.2.13.
            if not peer.is_dead:
                peer._die_of_reset()
            self._die_of_reset()
            return
        size = min(len(self.unsent), max(0, peer._receive_limit - len(peer.unread)))
        peer.unread += self.unsent[:size]
        del self.unsent[:size]
        if self.is_shut_write and not self.unsent:
            peer.has_fin = True

    def _die_of_reset(self) -> None:
        if not self.is_dead:
            self._die(errno.EPIPE if self.has_fin else errno.ECONNRESET)

    def _die(self, number: int) -> None:
        self.is_dead = True
        self.error = number
        self.unsent.clear()

    def check_open(self) -> None:
        if self.is_closed:
            raise error(errno.EBADF)


def connect_ends(limits: Sequence[int]) -> tuple[End, End]:
    """Two ends of one connection; `limits`: the first one's send and receive buffer, and the
    other's, in bytes."""
    near, far = End(limits[0], limits[1]), End(limits[2], limits[3])
    near.peer, far.peer = far, near
    return near, far


def error(number: int) -> OSError:
    """As a system call raises it: of the subclass that belongs to the number."""
    return OSError(number, os.strerror(number))
