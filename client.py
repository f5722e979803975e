"""The chat client: `python3 client.py -join -host <host> -port <port> -username <u> -passcode <p>`.

Sends what is typed and prints what comes, in one loop. What a line means is the server's to say;
the client knows `:Exit` only to tell an end it asked for from one it did not. Standard output
carries what the assignment names and nothing else; the rest goes to standard error.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # First of all: until the loop listens to it, Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import errno
import math
import socket
import sys

from codec import (
    Join,
    LineDecoder,
    LineTooLongError,
    ProtocolError,
    RefusedError,
    decode_text,
    format_join,
    is_exit,
    parse_answer,
)
from flags import ClientFlags, complain, parse_client_flags, say
from reactor import (
    Connection,
    Reactor,
    Signals,
    Sink,
    Source,
    drain,
    ending_signals,
    format_exception,
    is_null_device,
    notice_vanished_peers,
    reserve_standard_descriptors,
)

LOOKUP_SECONDS = 5.0
"""Longest that is waited for the addresses of a host's name."""

CONNECT_SECONDS = 10.0
"""Longest that each address of the host is tried."""

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

    def __init__(self, flags: ClientFlags, sock: socket.socket, join_line: bytes) -> None:
        self.exit_status = 1
        self._flags = flags
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
        self._connection = Connection(self._reactor, sock, self)
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
            self._has_sent_all = True
            self._stop_later()
            if self._has_server_ended:
                self._connection.close()

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
            self._fail(f"{self._flags.host} port {self._flags.port} is no chat room: {error}")
        else:
            self._has_joined = True
            self._show(f"Connected to {self._flags.host} on port {self._flags.port}")
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

    def _stop_later(self) -> None:
        if self._deadline is None:
            self._deadline = self._reactor.now + GOODBYE_SECONDS
            self._reactor.call_at(self._deadline, self._reactor.stop)

    def _answer_overdue(self) -> None:
        self._fail(f"no answer from {self._flags.host} port {self._flags.port}")

    def _fail(self, reason: str) -> None:
        self._log(f"error: {reason}")
        self._end(1)

    def _end(self, exit_status: int) -> None:
        self.exit_status = exit_status
        self._has_sent_all = True
        self._connection.abort()

    def _log(self, text: str) -> None:
        self._stderr.write(text.encode("utf-8", "backslashreplace") + b"\n")


def connect(host: str, port: int) -> socket.socket:
    """A non-blocking connection to the first address of `host` that takes one. Raises OSError,
    and UnicodeError for what cannot be a host's name."""
    failure: OSError | None = None
    for address in resolve(host):
        try:
            sock = socket.create_connection((address, port), CONNECT_SECONDS)
        except OSError as error:
            failure = failure or error
            continue
        notice_vanished_peers(sock)
        sock.setblocking(False)
        return sock
    raise failure or OSError("it has no address")


def resolve(host: str) -> list[str]:
    """The addresses of `host`, in the order in which to try them: an address is its own.

    Nothing bounds getaddrinfo(3), which may wait for a silent name server for a minute, so that it
    is asked in a thread that is left alone after LOOKUP_SECONDS. Raises OSError and UnicodeError.
    """
    with contextlib.suppress(socket.gaierror):
        return _look_up(host, socket.AI_NUMERICHOST)
    import threading  # for names alone

    outcome: list[list[str] | Exception] = []

    def look_up() -> None:
        try:
            outcome.append(_look_up(host))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads for this user
        return _look_up(host)
    thread.join(LOOKUP_SECONDS)
    if not outcome:
        raise TimeoutError(errno.ETIMEDOUT, "the name service does not answer")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _look_up(host: str, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM, 0, flags)
    return [_as_text(*socket_address) for *_, socket_address in found]


def _as_text(address: str, port: int, flow: int = 0, scope: int = 0) -> str:
    return f"{address}%{scope}" if scope else address  # fe80::1%eth0 (RFC 4007, section 11)


def main() -> int:
    reserve_standard_descriptors()
    flags = parse_client_flags()
    try:
        join_line = format_join(Join(flags.username, flags.passcode))
    except ProtocolError as refusal:
        say(1, str(refusal))
        return 1
    try:
        sock = connect(flags.host, flags.port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        complain(f"error: cannot connect to {flags.host} port {flags.port}: {reason}")
        return 1
    client = Client(flags, sock, join_line)
    client.run()
    return client.exit_status


if __name__ == "__main__":
    sys.exit(main())
