"""A passcode that does not show in `ps`: from a file (`-passcode-file`) or typed at a terminal.

In: the name of a file, or a terminal. Out: its first line, without the line end. The file may be a
pipe (a shell's `<(...)`), a FIFO, or standard input, which is read no further than its first line.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import termios

from reactor import (
    READ,
    Reactor,
    Signals,
    end_by_signal,
    ending_signals,
    set_terminal,
    stop_process,
)

MAX_PASSCODE_LINE_BYTES = 64 * 1024
"""Most bytes that are read of a first line without an end."""

_STANDARD_INPUT = frozenset({"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})

_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


def read_first_line(path: str) -> tuple[str, bool]:
    """The first line of the file, as the system would give it on a command line; and whether
    others than its owner may read the file. Raises OSError, and ValueError for what is no line.

    For standard input the descriptor itself is read. Opened by its name, a redirected file would
    start at its beginning again, and the client would say the passcode to the room.
    """
    is_given = path in _STANDARD_INPUT
    descriptor = 0 if is_given else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        line = _read_line(descriptor).rstrip(b"\r\n")
    finally:
        if not is_given:
            os.close(descriptor)
    if not line:
        raise ValueError("its first line is empty")
    return os.fsdecode(line), is_readable_by_others(path, status)


def ask(prompt: str) -> str:
    """A line that is typed at the terminal of standard input and not shown; "" at its end. A signal
    that ends or stops the process does so, and the terminal is left as it was found.
    """
    question = _Question(prompt)
    question.ask()
    if question.signal_received:
        end_by_signal(question.signal_received)
    return os.fsdecode(bytes(question.typed).rstrip(b"\r\n"))


class _Question:
    def __init__(self, prompt: str) -> None:
        self._prompt = prompt.encode()
        self._as_found = termios.tcgetattr(0)
        self._reactor = Reactor()
        self.typed = bytearray()
        self.signal_received = 0

    def ask(self) -> None:
        numbers = [*ending_signals(), signal.SIGQUIT, signal.SIGTSTP]
        signals = Signals(self._reactor, numbers, self._obey)
        self._reactor.set_interest(0, READ, self)
        try:
            self._begin()
            self._reactor.run()
        finally:
            self._end()
            signals.close()
            self._reactor.close()

    def handle_events(self, events: int) -> None:
        piece = b""
        with contextlib.suppress(OSError):  # EIO: the terminal is gone
            piece = os.read(0, MAX_PASSCODE_LINE_BYTES)
        self.typed += piece
        if not piece or piece.endswith(b"\n"):
            self._reactor.stop()

    def handle_error(self) -> None:
        self._reactor.stop()

    def _obey(self, number: int) -> None:
        if number != signal.SIGTSTP:
            self.signal_received = number
            self._reactor.stop()
            return
        self._end()
        stop_process()
        self.typed.clear()
        self._begin()

    def _begin(self) -> None:
        silent = [*self._as_found]
        silent[3] &= ~termios.ECHO
        set_terminal(0, silent, termios.TCSAFLUSH)
        self._write(self._prompt)

    def _end(self) -> None:
        """Discard half a passcode: the next program would show it, or take it for a command."""
        is_whole = self.typed.endswith(b"\n")
        set_terminal(0, self._as_found, termios.TCSADRAIN if is_whole else termios.TCSAFLUSH)
        self._write(b"\n")  # the typed one is not shown either

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(1, data)


def is_readable_by_others(path: str, status: os.stat_result) -> bool:
    """Whether it is a file, and its owner's group or everybody may read it. Of a credential of
    systemd the mode does not tell: it may have an access list, and the mode shows the list's mask.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    is_credential = folder and os.path.dirname(path) == folder
    is_open = stat.S_ISREG(status.st_mode) and bool(status.st_mode & _READABLE_BY_OTHERS)
    return is_open and not is_credential


def _read_line(descriptor: int) -> bytes:
    """Read byte by byte: what follows the line belongs to the next reader."""
    line = bytearray()
    while not line.endswith(b"\n"):
        try:
            byte = os.read(descriptor, 1)
        except BlockingIOError:  # a pipe or terminal that another process has set so
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.poll()
            continue
        if not byte:
            break
        line += byte
        if len(line) > MAX_PASSCODE_LINE_BYTES:
            raise ValueError(f"its first line is longer than {MAX_PASSCODE_LINE_BYTES} bytes")
    return bytes(line)
