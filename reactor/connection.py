"""One peer: a Transport, what is owed to it, and one way to die.

In: a transport over a connected socket, and a protocol that says what its bytes mean. Out: the
protocol's callbacks:

    connection_made   once, before all others
    data_received     for each read, never empty
    eof_received      the peer has shut its half (FIN); at most once, nothing is received after it
    flushed           all that was written, or had to wait, has been sent just now; it is not told
                      of a page that reactor.fanout hands over at once
    connection_lost   once, after all others, and a step after the end, so that a loop over
                      connections does not change while it runs

Writing only queues. At the end of the turn the connection sends once; what the kernel does not
take waits until it asks for more, and only meanwhile is write readiness asked for.

A failed send says that the peer is gone, but not that we have read its last words: they may lie
in our receive queue. So a failed send forgets what is owed and lets the stream end; reading goes
on to that end, and there the connection dies.

Each half of the stream has a state of its own:

    sending     OPEN -> ENDING -> SHUT -> CLOSED     forward only; any of them may be left out
    receiving   PAUSED <-> READING -> ENDED
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Annotated, Protocol

from reactor.loop import READ, WRITE, Reactor
from reactor.outbound import Buffer, Bytes, Outbound
from reactor.timers import Timer
from reactor.transport import Transport

READ_BYTES: Annotated[
    int,
    "Most bytes read from one peer in one turn, so that a flood costs its sender's turn alone.",
] = 64 * 1024

LINGER_SECONDS: Annotated[
    float,
    "Longest that `close` waits for a peer to end its half, once it has taken our last words.",
] = 2.0

LINGER_QUIET_SECONDS: Annotated[
    float,
    "How long it waits for one that has not, without a byte taken: a pager is read by a person.",
] = 10.0

LINGER_TOTAL_SECONDS: Annotated[
    float,
    "How long at most, so that one who takes a byte now and then is not kept for ever.",
] = 300.0

LINGER_BYTES: Annotated[
    int,
    "Most bytes read and dropped from a peer that goes on talking when we have said our last: "
    "more than two socket buffers hold, so that what was said before our last word does not "
    "cost it.",
] = 1024 * 1024


class Sending(IntEnum):
    """How far our half of the stream has come."""

    OPEN = 0  # more may be written
    ENDING = 1  # to be shut once nothing is owed
    SHUT = 2  # the peer has our FIN, or takes nothing any more
    CLOSED = 3  # the socket is gone


class Receiving(Enum):
    """What is done with the peer's half of the stream."""

    READING = 0
    PAUSED = 1
    ENDED = 2  # it has sent FIN


OPEN, ENDING, SHUT, CLOSED = Sending
READING, PAUSED, ENDED = Receiving


class StreamProtocol(Protocol):
    """What one connection's bytes mean. The module's docstring gives the order of the calls."""

    def connection_made(self, connection: Connection) -> None:
        """`connection` may be written to."""

    def data_received(self, data: bytes) -> None:
        """The next bytes of the stream, 1 to READ_BYTES of them."""

    def eof_received(self) -> None:
        """The peer will send no more. Our half is still open: `close` when all is said."""

    def flushed(self) -> None:
        """The last of what was written, or was left waiting for the kernel, has been taken."""

    def connection_lost(self, error: Exception | None) -> None:
        """It is over. `error` says why it was aborted: what was given to `abort`, or an OSError
        from the network before `close` was called. Otherwise None."""


class Linger:
    """The time that a closing connection is given. It looks every LINGER_SECONDS whether the peer
    has taken something: that costs less than to be told of each byte."""

    __slots__ = ("_began_at", "_connection", "_moved_at", "_reactor", "_untaken_bytes", "timer")

    def __init__(self, reactor: Reactor, connection: Connection) -> None:
        self._reactor = reactor
        self._connection = connection
        self._began_at = self._moved_at = reactor.now
        self._untaken_bytes = 0
        self.timer: Timer = reactor.call_later(LINGER_SECONDS, self._look)

    def _look(self) -> None:
        untaken_bytes = self._connection.count_untaken()
        now = self._reactor.now
        if untaken_bytes != self._untaken_bytes:
            self._untaken_bytes, self._moved_at = untaken_bytes, now
        patience = LINGER_QUIET_SECONDS if untaken_bytes else LINGER_SECONDS
        deadline = min(self._moved_at + patience, self._began_at + LINGER_TOTAL_SECONDS)
        if now >= deadline:
            self._connection.abort()
        else:
            self.timer = self._reactor.call_at(min(deadline, now + LINGER_SECONDS), self._look)


class Connection:
    """A peer under a Reactor.

    `outbound` is what the peer is owed. It may be replaced while it is empty. `protocol` is told
    what happens, and may be replaced at any time. `is_closing`: it is told of the end alone.
    """

    __slots__ = (
        "_drained_bytes",
        "_interest",
        "_is_flush_queued",
        "_is_read_queued",
        "_is_waiting",
        "_linger",
        "_reactor",
        "_receiving",
        "descriptor",
        "is_closing",
        "outbound",
        "protocol",
        "sending",
        "transport",
    )

    def __init__(self, reactor: Reactor, transport: Transport, protocol: StreamProtocol) -> None:
        """Take over `transport`, which is this connection's alone from here on."""
        self.outbound: Outbound = Buffer()
        self.protocol = protocol
        self.descriptor = transport.descriptor
        self.sending = OPEN
        self.is_closing = False
        self._receiving = READING
        self._reactor = reactor
        self.transport = transport
        self._interest = 0
        self._is_waiting = False  # until the kernel asks for more
        self._is_flush_queued = False
        self._is_read_queued = False
        self._linger: Linger | None = None
        self._drained_bytes = 0
        self.call(self._begin)

    # For the protocol.

    def write(self, data: bytes) -> None:
        """Queue `data` behind all that was written before; it is sent when the turn ends."""
        self.outbound.append(data)
        self._queue_flush()

    def write_eof(self) -> None:
        """Send what is owed and then FIN. The peer is heard as before; `close` comes later."""
        self.sending = max(self.sending, ENDING)
        self._queue_flush()

    def pause_reading(self) -> None:
        """Receive nothing until `resume_reading`; the peer will feel it as back-pressure. That
        the peer is lost may be noticed only then."""
        if self._receiving is READING and not self.is_closing:  # what still comes is dropped
            self._receiving = PAUSED
            self._update_interest()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if self._receiving is PAUSED:
            self._receiving = READING
            self._update_interest()
            if self.transport.has_input:
                self._queue_read()

    def close(self) -> None:
        """End politely: send what is owed, shut our half, drop what still comes until the peer
        has shut its half too, go. `connection_lost` is the only callback after it.

        Dropping matters: to close a socket with unread input is to reset it, and a reset takes
        from the peer what it has not read yet (RFC 1122, 4.2.2.13; RFC 2525, 2.17). A peer that
        is too slow is aborted: see LINGER_SECONDS and those that follow it.
        """
        if not self.is_closing:
            self.resume_reading()
        if self.is_closing:  # before, or now: it could not be watched any more
            return
        self.is_closing = True
        self._linger = Linger(self._reactor, self)
        self.write_eof()

    def abort(self, error: Exception | None = None) -> None:
        """End now, by a reset: the kernel drops what was not acknowledged."""
        self._die(error, is_reset=True)

    def count_untaken(self) -> int:
        """How many bytes the peer has not taken: those that are owed, and those that the kernel
        keeps. It counts FIN as one, which may be acknowledged late and is not waited for."""
        kept_bytes = self.transport.count_unacknowledged() - (self.sending is SHUT)
        return self.outbound.owed_bytes + max(0, kept_bytes)

    def is_lost(self) -> bool:
        """Whether the peer is known to be gone: a connection that is not read is not told."""
        return self.sending is CLOSED or self.transport.is_lost()

    def close_at_once(self) -> None:
        """Send what the kernel takes now, and close without waiting for the peer, so that the
        descriptor is free on return. What the peer has said and we have not read makes it a reset,
        which may take our last words with it."""
        self.close()
        self.flush()
        self._die(None)

    def call(self, callback: Callable[[], None]) -> None:
        """Run a step that belongs to this connection: a bug in it is reported and costs this
        connection alone."""
        try:
            callback()
        except Exception:
            self._reactor.report()
            self.handle_error()

    # For those who send to many at once (reactor.fanout).

    def send(self, pieces: list[Bytes]) -> int:
        """Hand `pieces` to the transport: how many bytes it took, 0 if none."""
        try:
            sent_bytes = self.transport.send(pieces)
        except OSError as error:
            self.end_stream(error)
            return 0
        if self.transport.has_output:
            self.wait_until_writable()  # which fails where the kernel has no memory to watch it
        return sent_bytes if self.sending is not CLOSED else 0

    def end_stream(self, error: OSError) -> None:
        """A send failed: the peer takes nothing any more. What it has sent can still be read, and
        then EOF."""
        self.outbound.discard()
        self._shut_half(socket.SHUT_RDWR)
        if self._receiving is ENDED:
            self._die(None if self.is_closing else error)

    def flush(self) -> None:
        """Send what the kernel takes of what is owed, unless it has yet to ask for more."""
        self._is_flush_queued = False
        if not self._is_waiting:
            self.call(self._send_owed)

    def wait_until_writable(self) -> None:
        """The kernel did not take all: go on when it asks for more, if anything is left to send."""
        self._is_waiting = self.outbound.owed_bytes > 0 or self.transport.has_output
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

    def _begin(self) -> None:
        self.protocol.connection_made(self)
        self._update_interest()

    def _read(self) -> None:
        try:
            data = self.transport.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            data = None
        except OSError as error:
            self._die(None if self.is_closing else error)
            return
        if self.transport.has_output:
            self._queue_flush()  # an answer of the transport's own
        if self.transport.has_input:
            self._queue_read()
        if data is not None:
            self._take(data)

    def _take(self, data: bytes) -> None:
        if not data:
            self._receiving = ENDED
            self._update_interest()
            if not self.is_closing:
                self.protocol.eof_received()
            else:
                self._die_if_done()
        elif not self.is_closing:
            self.protocol.data_received(data)
        elif self.sending is SHUT:
            self._drained_bytes += len(data)
            if self._drained_bytes > LINGER_BYTES:
                self._die(None)

    def _queue_read(self) -> None:
        if not self._is_read_queued:
            self._is_read_queued = True
            self._reactor.call_soon(self._read_queued)

    def _read_queued(self) -> None:
        self._is_read_queued = False
        is_read = self._receiving is READING and self.sending is not CLOSED
        if is_read and self.transport.has_input:  # no event has come first
            self.call(self._read)

    def _queue_flush(self) -> None:
        if not self._is_flush_queued and self.sending is not CLOSED:
            self._is_flush_queued = True
            self._reactor.call_at_end(self.flush)

    def _send_owed(self) -> None:
        if self.sending is CLOSED:
            return
        outbound = self.outbound
        is_news = self._is_waiting
        while (pieces := outbound.pieces()) or self.transport.has_output:
            sent_bytes = self.send(pieces)
            outbound.advance(sent_bytes)
            if sent_bytes < sum(map(len, pieces)) or self.transport.has_output:
                self.wait_until_writable()
                return
            is_news = True
        self._is_waiting = False
        self._update_interest()
        if outbound.owed_bytes:
            return  # and not sent yet: the turn has not ended for all of it (reactor.fanout)
        if is_news and not self.is_closing and self.sending < SHUT:
            self.protocol.flushed()
        if self.sending is not OPEN and not self.outbound.owed_bytes:  # nor has `flushed` written
            self._shut_half(socket.SHUT_WR)
            self._die_if_done()

    def _shut_half(self, how: int) -> None:
        if self.sending < SHUT:
            self.sending = SHUT
            with contextlib.suppress(OSError):  # ENOTCONN: the peer was faster
                self.transport.shut(how)
            if self.transport.has_output:
                self.wait_until_writable()

    def _die_if_done(self) -> None:
        """Both halves have ended, and the protocol has said its last word."""
        is_over = self.sending is SHUT and self._receiving is ENDED
        if self.is_closing and is_over and not self.transport.has_output:
            self._die(None)

    def _update_interest(self) -> None:
        if self.sending is CLOSED:
            return
        interest = READ if self._receiving is READING else 0
        if self._is_waiting:
            interest |= WRITE
        if interest != self._interest:
            self._interest = interest
            try:
                self._reactor.set_interest(self.descriptor, interest, self)
            except OSError as error:
                self._die(error)

    def _die(self, error: Exception | None, is_reset: bool = False) -> None:
        """The one way out: forget the socket at once, tell the protocol a step later."""
        if self.sending is CLOSED:
            return
        self.sending = CLOSED
        self.is_closing = True
        self._interest = 0
        self._reactor.set_interest(self.descriptor, 0, self)
        self.outbound.discard()
        if self._linger:
            self._linger.timer.cancel()
        self.transport.close(is_reset)
        self._reactor.call_soon(lambda: self.protocol.connection_lost(error))
