"""One person in one room: the protocol between a server and a screen.

Sends what is typed and shows what comes, in one loop. The server decides what a line means; the
client knows `:Exit` only to tell an end that it asked for from one that it did not.

    JOINING -> TALKING -> LEAVING -> SENT     forward only; any of them may be left out
"""

from __future__ import annotations

import errno
import signal
from enum import IntEnum

from codec import (
    LineDecoder,
    LineTooLongError,
    ProtocolError,
    RefusedError,
    decode_text,
    is_exit,
    parse_answer,
)
from reactor import Connection, Reactor, Signals, Transport, TransportError, ending_signals
from reactor.connection import SHUT
from terminal.screen import Screen

ANSWER_SECONDS = 30.0
"""Longest wait for the answer to JOIN: a server may make a guest wait."""

GOODBYE_SECONDS = 2.0
"""Longest wait after a signal for what still comes and for the screen to take it."""

QUIET_SECONDS = 10.0
"""After any other end, once all is sent, the client ends when no byte came or was shown for so
long. It is long because a person reads the pager."""

MAX_SERVER_LINE_BYTES = 1024 * 1024
"""Longest line taken from a server: a list of some 100,000 members."""

HIGH_WATER_BYTES = 64 * 1024
"""Unsent bytes at which no more is read from the keyboard, until all of them are sent; and bytes
not shown yet at which no more is read from the server, until all of them are shown."""

LEAVING_BYTES = 16 * 1024 * 1024
"""The bound of bytes not shown once we are leaving, so that all lines can be counted: more than a
server keeps for one member (8 MiB) and the kernels hold."""

_GONE = "connection closed by the server"

_OURS = frozenset({errno.ENOSPC, errno.ENOMEM, errno.ENOBUFS})
"""Errors that the server has no part in: epoll_ctl(2), send(2)."""


class Phase(IntEnum):
    """How far a session has come."""

    JOINING = 0  # the answer to JOIN is due
    TALKING = 1
    LEAVING = 2  # nothing more is typed; what was, is being sent
    SENT = 3  # nothing more will be sent; what still comes is shown


JOINING, TALKING, LEAVING, SENT = Phase


class Client:
    """A session with one server. `host` and `port`, if it has one, are for messages; `join_line` is
    sent first."""

    def __init__(
        self,
        reactor: Reactor,
        screen: Screen,
        transport: Transport,
        join_line: bytes,
        host: str,
        port: int | None,
    ) -> None:
        self._reactor = reactor
        self._screen = screen
        self._join_line = join_line
        self._place = host if port is None else f"{host} port {port}"
        self._server_in_words = host if port is None else f"{host} on port {port}"
        self._phase = JOINING
        self._exit_status = 1
        self.signal_received = 0
        """The number of the signal that asked to end, if one did."""
        self._has_server_ended = False
        self._deadline: float | None = None  # for what still comes, after a signal
        self._received_at: float | None = None  # last, once nothing more is sent
        self._is_over = False  # the connection is gone
        self._ends_in_line = True
        self._typed_lines = LineDecoder()
        self._server_lines = LineDecoder(MAX_SERVER_LINE_BYTES)
        screen.open(self)
        self._connection = Connection(reactor, transport, self)
        self._answer_timer = reactor.call_later(ANSWER_SECONDS, self._answer_overdue)
        self._signals = Signals(reactor, ending_signals(), self._signal_received)

    def run(self) -> int:
        """Stay until the person or the server ends it, and all of it is on the screen. Returns the
        exit status of the process."""
        self._reactor.run()
        self._tell_what_is_missing()
        self._screen.close(self._deadline or self._reactor.now + GOODBYE_SECONDS)
        if self._exit_status:  # it did not end because the person was done
            self._screen.discard_typing()
        self._connection.close_at_once()
        self._signals.close()
        return self._exit_status

    # For the connection.

    def connection_made(self, connection: Connection) -> None:
        connection.write(self._join_line + b"\n")

    def data_received(self, data: bytes) -> None:
        self._server_lines.feed_data(data)
        if self._received_at is not None:
            self._received_at = self._reactor.now
        try:
            while not self._connection.is_closing:
                line = self._server_lines.next_line()
                if line is None:
                    break
                self._take_server_line(line)
        except LineTooLongError:
            self._fail(f"the server sent a line longer than {MAX_SERVER_LINE_BYTES} bytes")
        most_bytes = HIGH_WATER_BYTES if self._phase < LEAVING else LEAVING_BYTES
        if self._screen.owed_bytes > most_bytes:
            self._connection.pause_reading()

    def eof_received(self) -> None:
        self._has_server_ended = True
        # Our half is shut before all was sent: a send has failed, and none will succeed.
        has_failed = self._connection.sending is SHUT
        if self._phase is not LEAVING or has_failed:
            self._connection.close()

    def flushed(self) -> None:
        if self._phase < LEAVING:
            self._screen.resume_typing()
        elif self._phase is LEAVING:
            self._note_all_sent()

    def connection_lost(self, error: Exception | None) -> None:
        if self._phase < SENT:
            if isinstance(error, TransportError):
                self._fail(f"{self._place}: {error}")
            elif isinstance(error, OSError) and error.errno in _OURS:
                self._fail(f"connection lost: {error.strerror}")
            else:
                self._fail(_GONE)
        self._is_over = True
        self._wait_until_quiet()
        self._stop_if_all_is_shown()

    # For the screen.

    def typed(self, data: bytes) -> None:
        # All of it goes out as it was typed, too long a line included: the server answers for
        # it, and what it answers keeps its place among the rest.
        self._connection.write(data)
        self._ends_in_line = data.endswith(b"\n")
        if self._connection.outbound.owed_bytes > HIGH_WATER_BYTES:
            self._screen.pause_typing()
        self._typed_lines.feed_data(data)
        if self._has_typed_exit():
            self._leave(0)

    def typing_ended(self) -> None:
        if not self._ends_in_line:
            self._connection.write(b"\n")
        self._leave(0)

    def screen_flushed(self) -> None:
        self._connection.resume_reading()
        self._stop_if_all_is_shown()

    def screen_failed(self, error: OSError) -> None:
        self._connection.resume_reading()
        self._stop_if_all_is_shown()
        is_leaving = self._phase >= LEAVING or self._connection.is_closing
        reason = f"cannot write to standard output: {error.strerror}"
        if isinstance(error, BrokenPipeError):
            self._leave(128 + signal.SIGPIPE)
        elif is_leaving:
            self._screen.complain(f"error: {reason}")
            self._exit_status = self._exit_status or 1
        else:
            self._fail(reason)

    # Details.

    def _signal_received(self, number: int) -> None:
        self.signal_received = number
        if self._phase is TALKING:
            self._deadline = self._reactor.now + GOODBYE_SECONDS
            self._reactor.call_at(self._deadline, self._reactor.stop)
            self._leave(128 + number)
        else:
            self._exit_status = 128 + number
            self._reactor.stop()

    def _take_server_line(self, line: bytes) -> None:
        if self._phase is not JOINING:
            self._screen.show(decode_text(line))
            return
        self._answer_timer.cancel()
        try:
            parse_answer(line)
        except RefusedError as refused:
            if refused.is_for_the_user:
                self._screen.show(str(refused))
                self._end(1)
            else:
                self._fail(str(refused))
        except ProtocolError:
            self._fail(f"{self._place} is not a chat server (is the port right?)")
        else:
            self._phase = TALKING
            self._screen.show(f"Connected to {self._server_in_words}")
            self._screen.start_typing()

    def _has_typed_exit(self) -> bool:
        while True:
            try:
                line = self._typed_lines.next_line()
            except LineTooLongError:
                continue
            if line is None:
                return False
            if is_exit(line):
                return True

    def _leave(self, exit_status: int) -> None:
        """Send what is left, shut our half, and show what still comes."""
        if self._phase >= LEAVING:
            return
        self._exit_status = exit_status
        self._phase = LEAVING
        self._screen.pause_typing()
        self._connection.resume_reading()
        self._connection.write_eof()
        if not self._connection.outbound.owed_bytes:  # and `flushed` will not be told
            self._reactor.call_at_end(self._note_nothing_to_send)

    def _note_nothing_to_send(self) -> None:
        if self._phase is LEAVING and not self._connection.is_closing:
            self._note_all_sent()

    def _note_all_sent(self) -> None:
        self._phase = SENT
        self._wait_until_quiet()
        if self._has_server_ended:
            self._connection.close()

    def _wait_until_quiet(self) -> None:
        """Stop when nothing has come and nothing was shown for QUIET_SECONDS, from now on."""
        if self._deadline is None and self._received_at is None:
            self._received_at = self._reactor.now
            self._stop_if_quiet()

    def _stop_if_quiet(self) -> None:
        deadline = max(self._received_at or 0.0, self._screen.taken_at) + QUIET_SECONDS
        if self._reactor.now < deadline:
            self._reactor.call_at(deadline, self._stop_if_quiet)
        else:
            self._reactor.stop()

    def _stop_if_all_is_shown(self) -> None:
        if self._is_over and not self._screen.owed_bytes:
            self._reactor.stop()

    def _tell_what_is_missing(self) -> None:
        lines = self._screen.owed_lines
        if lines and self._has_server_ended:
            self._screen.complain(f"warning: {lines} lines not shown")
        elif lines:
            self._screen.complain("warning: lines not shown; how many is not known")
        elif self._exit_status == 0 and not self._has_server_ended:
            self._screen.complain("warning: lines may be missing: the server did not end")

    def _answer_overdue(self) -> None:
        self._fail(f"no answer from {self._place}")

    def _fail(self, reason: str) -> None:
        self._screen.complain(f"error: {reason}")
        self._end(1)

    def _end(self, exit_status: int) -> None:
        self._exit_status = exit_status
        self._phase = SENT
        self._connection.abort()
