"""One peer: a non-blocking socket, what it is owed, and one way to die.

In: a connected stream socket, and a protocol that says what its bytes mean. Out: the protocol's
callbacks:

    connection_made   once, before all others
    data_received     for each read, never empty
    eof_received      the peer has shut its half (FIN); at most once, nothing is received after it
    flushed           all that was written, or had to wait, is sent; it is not told of a page that
                      reactor.fanout hands over at once
    connection_lost   once, after all others, and a step after the end, so that nobody's loop
                      over connections changes under it

Writing only queues. At the end of the turn the connection sends once; what the kernel does not
take waits until it asks for more, and only meanwhile is write readiness asked for.

A failed send says that the peer is gone, but not that we have read its last words: they may lie
in our receive queue. So a failed send forgets what is owed and lets the stream end; reading goes
on to that end, and there the connection dies.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Protocol

from reactor.loop import READ, WRITE, Reactor
from reactor.outbound import Buffer, Bytes, Outbound
from reactor.timers import Timer

READ_BYTES = 64 * 1024
"""Most bytes read from one peer in one turn, so that a flood costs its sender's turn alone."""

LINGER_SECONDS = 2.0
"""Longest that `close` waits for a peer to take our last words and to end its half."""

LINGER_BYTES = 1024 * 1024
"""Most bytes read and dropped from a peer that goes on talking when we have said our last: more
than two socket buffers hold, so that what was said before our last word does not cost it."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger {on, 0 seconds}: socket(7), SO_LINGER


class StreamProtocol(Protocol):
    """What one connection's bytes mean. The module's docstring gives the order of the calls."""

    def connection_made(self, connection: Connection) -> None:
        """`connection` may be written to."""

    def data_received(self, data: bytes) -> None:
        """The next bytes of the stream, 1 to READ_BYTES of them."""

    def eof_received(self) -> None:
        """The peer will send no more. Our half is still open: `close` when all is said."""

    def flushed(self) -> None:
        """The kernel has taken all that was written, or was left waiting for it to ask for more."""

    def connection_lost(self, error: Exception | None) -> None:
        """It is over. None after `close`, or after an `abort` without a reason; otherwise why: an
        OSError from the network, or what was given to `abort`."""


class Connection:
    """A connected socket under a Reactor.

    `outbound` is what the peer is owed. It may be replaced while it is empty.
    """

    __slots__ = (
        "_drained_bytes",
        "_has_eof",
        "_interest",
        "_is_closed",
        "_is_flush_queued",
        "_is_half_shut",
        "_is_reading",
        "_is_waiting",
        "_linger_timer",
        "_protocol",
        "_reactor",
        "_socket",
        "descriptor",
        "is_closing",
        "is_ending",
        "outbound",
    )

    def __init__(self, reactor: Reactor, sock: socket.socket, protocol: StreamProtocol) -> None:
        """Take over `sock`, connected and non-blocking; nobody else may touch it from here on."""
        self.outbound: Outbound = Buffer()
        self.descriptor = sock.fileno()
        self.is_closing = False
        self._reactor = reactor
        self._socket = sock
        self._protocol = protocol
        self._interest = 0
        self._is_reading = True
        self._has_eof = False
        self._is_flush_queued = False
        self._is_waiting = False  # until the kernel asks for more
        self.is_ending = False  # our half is to be shut once nothing is owed
        self._is_half_shut = False
        self._is_closed = False
        self._linger_timer: Timer | None = None
        self._drained_bytes = 0
        try:
            protocol.connection_made(self)
            self._update_interest()
        except Exception:
            reactor.report()
            self.handle_error()

    # For the protocol.

    def write(self, data: bytes) -> None:
        """Queue `data` behind all that was written before; it is sent when the turn ends."""
        self.outbound.append(data)
        self._queue_flush()

    def write_eof(self) -> None:
        """Send what is owed and then FIN. The peer is heard as before; `close` comes later."""
        self.is_ending = True
        self._queue_flush()

    def pause_reading(self) -> None:
        """Receive nothing until `resume_reading`; the peer will feel it as back-pressure. That
        the peer is lost may be noticed only then."""
        self._is_reading = self.is_closing  # what still comes is dropped, not kept
        self._update_interest()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        self._is_reading = True
        self._update_interest()

    def close(self) -> None:
        """End politely: send what is owed, shut our half, drop what still comes until the peer
        has shut its half too, go. `connection_lost` is the only callback after it.

        Dropping matters: to close a socket with unread input is to reset it, and a reset takes
        from the peer what it has not read yet (RFC 1122, 4.2.2.13; RFC 2525, 2.17). All of it
        may take LINGER_SECONDS; then the connection is aborted.
        """
        if self.is_closing:
            return
        self.is_closing = True
        self._linger_timer = self._reactor.call_later(LINGER_SECONDS, self.abort)
        self._is_reading = True
        self._update_interest()
        self.write_eof()

    def abort(self, error: Exception | None = None) -> None:
        """End now, by a reset: the kernel lets go of whatever was not acknowledged."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._die(error)

    def is_lost(self) -> bool:
        """Whether the peer is known to be gone (SO_ERROR): for whoever has not been reading."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def close_at_once(self) -> None:
        """Send what the kernel takes now, and close without waiting for the peer, so that the
        descriptor is free on return. What the peer has said and nobody has read makes it a reset,
        which may take our last words with it."""
        self.close()
        self.flush()
        self._die(None)

    # For whoever sends to many at once (reactor.fanout).

    def send(self, pieces: list[Bytes]) -> int:
        """Hand `pieces`, at least one, to the kernel: how many bytes it took, 0 if none."""
        try:
            return (
                self._socket.send(pieces[0]) if len(pieces) == 1 else self._socket.sendmsg(pieces)
            )
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._let_stream_end(error)
            return 0

    def flush(self) -> None:
        """Send what the kernel takes of what is owed, unless it has yet to ask for more."""
        self._is_flush_queued = False
        try:
            if not self._is_waiting:
                self._send_owed()
        except Exception:
            self._reactor.report()
            self.handle_error()

    def wait_until_writable(self) -> None:
        """The kernel did not take all: go on when it asks for more, if something is owed still."""
        self._is_waiting = self.outbound.owed_bytes > 0
        self._update_interest()

    # For the loop.

    def handle_events(self, events: int) -> None:
        if events & self._interest & READ:
            self._read()
        if events & self._interest & WRITE:
            self._send_owed()

    def handle_error(self) -> None:
        self.abort()

    # Details.

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._die(None if self.is_closing else error)
            return
        if not data:
            self._has_eof = True
            self._update_interest()
            if not self.is_closing:
                self._protocol.eof_received()
            elif self._is_half_shut:
                self._die(None)
        elif not self.is_closing:
            self._protocol.data_received(data)
        elif self._is_half_shut:
            self._drained_bytes += len(data)
            if self._drained_bytes > LINGER_BYTES:
                self._die(None)

    def _queue_flush(self) -> None:
        if not self._is_flush_queued and not self._is_closed:
            self._is_flush_queued = True
            self._reactor.call_at_end(self.flush)

    def _send_owed(self) -> None:
        if self._is_closed:
            return
        outbound = self.outbound
        while pieces := outbound.pieces():
            sent_bytes = self.send(pieces)
            outbound.advance(sent_bytes)
            if sent_bytes < sum(map(len, pieces)):
                self.wait_until_writable()
                return
        self._is_waiting = False
        self._update_interest()
        if outbound.owed_bytes:
            return  # and not sent yet: the turn has not ended for all of it (reactor.fanout)
        if not self.is_closing:
            self._protocol.flushed()
        if self.is_ending and not self.outbound.owed_bytes:  # nothing was written when told
            self._shut_half()

    def _shut_half(self, how: int = socket.SHUT_WR) -> None:
        if not self._is_half_shut:
            self._is_half_shut = True
            with contextlib.suppress(OSError):  # ENOTCONN: the peer was faster
                self._socket.shutdown(how)
        if self.is_closing and self._has_eof:
            self._die(None)

    def _let_stream_end(self, error: OSError) -> None:
        """Nobody takes what we send. What has been received can still be read, and then EOF."""
        self.outbound.discard()
        self._shut_half(socket.SHUT_RDWR)
        if self._has_eof:
            self._die(None if self.is_closing else error)

    def _update_interest(self) -> None:
        if self._is_closed:
            return
        interest = READ if self._is_reading and not self._has_eof else 0
        if self._is_waiting:
            interest |= WRITE
        if interest != self._interest:
            self._interest = interest
            try:
                self._reactor.set_interest(self.descriptor, interest, self)
            except OSError as error:
                self._die(error)

    def _die(self, error: Exception | None) -> None:
        """The one way out: forget the socket at once, tell the protocol a step later."""
        if self._is_closed:
            return
        self._is_closed = self.is_closing = True
        self._interest = 0
        self._reactor.set_interest(self.descriptor, 0, self)
        self.outbound.discard()
        if self._linger_timer:
            self._linger_timer.cancel()
        with contextlib.suppress(OSError):
            self._socket.close()
        self._reactor.call_soon(lambda: self._protocol.connection_lost(error))
