"""One person in one room: the protocol between a server, a keyboard and a screen.

Sends what is typed and prints what comes, in one loop. What a line means is the server's to say;
the client knows `:Exit` only to tell an end it asked for from one it did not.
"""

from __future__ import annotations

import math
import signal
import socket

from codec import (
    LineDecoder,
    LineTooLongError,
    ProtocolError,
    RefusedError,
    decode_text,
    is_exit,
    parse_answer,
)
from reactor import (
    Connection,
    Reactor,
    Signals,
    Sink,
    SocketTransport,
    Source,
    drain,
    ending_signals,
    format_exception,
    is_null_device,
)

ANSWER_SECONDS = 30.0
"""Longest that is waited for the answer to JOIN: a server may take its time with a stranger."""

GOODBYE_SECONDS = 2.0
"""Longest that is waited, once all is sent, for what still comes and for the screen to take it."""

MAX_SERVER_LINE_BYTES = 1024 * 1024
"""Longest line taken from a server: a list of some 100,000 members."""

HIGH_WATER_BYTES = 64 * 1024
"""Unsent bytes at which no more is read from the keyboard, and unwritten bytes at which no more
is read from the server, until all of them are gone."""

_GONE = "connection closed by the server"


class Client:
    """One person in one room: the protocol between a server, a keyboard and a screen.

    `join_line` is what to send first. `exit_status` is for the process, once `run` has returned.
    """

    def __init__(self, host: str, port: int, sock: socket.socket, join_line: bytes) -> None:
        self.exit_status = 1
        self._host = host
        self._port = port
        self._join_line = join_line
        self._has_joined = False
        self._is_leaving = False
        self._has_sent_all = False
        self._has_server_ended = False
        self._deadline: float | None = None  # for what still comes, once we are leaving
        self._ends_in_line = True
        self._typed_lines = LineDecoder()
        self._server_lines = LineDecoder(MAX_SERVER_LINE_BYTES)
        self._reactor = Reactor(report=lambda: self._log(format_exception()))
        self._keyboard: Source | None = None
        self._stderr = Sink(self._reactor, 2)
        self._screen = Sink(
            self._reactor,
            1,
            max_bytes=math.inf,
            on_flushed=self._screen_flushed,
            on_error=self._screen_failed,
        )
        self._connection = Connection(self._reactor, SocketTransport(sock), self)
        self._answer_timer = self._reactor.call_later(ANSWER_SECONDS, self._answer_overdue)
        Signals(self._reactor, ending_signals(), self._signal_received)

    def run(self) -> None:
        """Stay until the person or the server ends it, and all of it is on the screen."""
        self._reactor.run()
        deadline = self._deadline or self._reactor.now + GOODBYE_SECONDS
        drain(self._reactor, [self._screen, self._stderr], deadline)
        if self._screen.unwritten_lines and not self._screen.is_failing:
            self._log(f"warning: {self._screen.unwritten_lines} lines not shown")
            self._stderr.flush()

    # What the server does.

    def connection_made(self, connection: Connection) -> None:
        connection.write(self._join_line + b"\n")

    def data_received(self, data: bytes) -> None:
        self._server_lines.feed_data(data)
        try:
            while not self._connection.is_closing:
                line = self._server_lines.next_line()
                if line is None:
                    break
                self._take_server_line(line)
        except LineTooLongError:
            self._fail(f"the server sent a line longer than {MAX_SERVER_LINE_BYTES} bytes")
        if self._screen.owed_bytes > HIGH_WATER_BYTES:
            self._connection.pause_reading()

    def eof_received(self) -> None:
        self._has_server_ended = True
        if not self._is_leaving or self._has_sent_all:
            self._connection.close()

    def flushed(self) -> None:
        if not self._is_leaving:
            self._resume_keyboard()
        elif not self._has_sent_all:
            self._note_all_sent()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._has_sent_all:
            self._fail(_GONE)
        self._reactor.stop()

    # What the person does.

    def _typed(self, data: bytes) -> None:
        # All of it goes out as it was typed, too long a line included: the server answers for
        # it, and what it answers keeps its place among the rest.
        self._connection.write(data)
        self._ends_in_line = data.endswith(b"\n")
        if self._connection.outbound.owed_bytes > HIGH_WATER_BYTES and self._keyboard:
            self._keyboard.pause()
        self._typed_lines.feed_data(data)
        if self._has_typed_exit():
            self._leave(0)

    def _typed_end(self) -> None:
        if not self._ends_in_line:
            self._connection.write(b"\n")
        self._leave(0)

    def _signal_received(self, number: int) -> None:
        if self._has_joined and not self._is_leaving:
            self._leave(128 + number)
            self._stop_later()
        else:
            self.exit_status = 128 + number
            self._reactor.stop()

    # What the screen does.

    def _screen_flushed(self) -> None:
        self._connection.resume_reading()

    def _screen_failed(self, error: OSError) -> None:
        self._connection.resume_reading()
        if self._is_leaving or self._connection.is_closing:
            return
        if isinstance(error, BrokenPipeError):
            self._leave(128 + signal.SIGPIPE)
        else:
            self._fail(f"cannot write to standard output: {error.strerror}")

    # Details.

    def _take_server_line(self, line: bytes) -> None:
        if self._has_joined:
            self._show(decode_text(line))
            return
        self._answer_timer.cancel()
        try:
            parse_answer(line)
        except RefusedError as refused:
            if refused.is_for_the_user:
                self._show(str(refused))
                self._end(1)
            else:
                self._fail(str(refused))
        except ProtocolError as error:
            self._fail(f"{self._host} port {self._port} is no chat room: {error}")
        else:
            self._has_joined = True
            self._show(f"Connected to {self._host} on port {self._port}")
            # Where there is nobody to type, there is nobody to end it either.
            if not is_null_device(0):
                self._keyboard = Source(self._reactor, 0, self._typed, self._typed_end)

    def _show(self, text: str) -> None:
        if text:
            self._screen.write(text.encode("utf-8", "surrogateescape") + b"\n")

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

    def _resume_keyboard(self) -> None:
        if self._keyboard:
            self._keyboard.resume()

    def _leave(self, exit_status: int) -> None:
        """Send what is left, shut our half, and show what still comes."""
        self.exit_status = exit_status
        self._is_leaving = True
        if self._keyboard:
            self._keyboard.pause()
        self._connection.write_eof()
        if not self._connection.outbound.owed_bytes:
            self._note_all_sent()

    def _note_all_sent(self) -> None:
        self._has_sent_all = True
        self._stop_later()
        if self._has_server_ended:
            self._connection.close()

    def _stop_later(self) -> None:
        if self._deadline is None:
            self._deadline = self._reactor.now + GOODBYE_SECONDS
            self._reactor.call_at(self._deadline, self._reactor.stop)

    def _answer_overdue(self) -> None:
        self._fail(f"no answer from {self._host} port {self._port}")

    def _fail(self, reason: str) -> None:
        self._log(f"error: {reason}")
        self._end(1)

    def _end(self, exit_status: int) -> None:
        self.exit_status = exit_status
        self._has_sent_all = True
        self._connection.abort()

    def _log(self, text: str) -> None:
        self._stderr.write(text.encode("utf-8", "backslashreplace") + b"\n")
