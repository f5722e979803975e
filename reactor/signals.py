"""A signal becomes an ordinary readable event.

The C handler writes the signal's number to a pipe (`signal.set_wakeup_fd`); the loop reads it
in its turn and calls back. No work is ever done between two bytecodes, and a `select` that sleeps
wakes at once, which it would not otherwise: PEP 475 retries it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import NoReturn

from reactor.errors import naming
from reactor.loop import READ, Reactor

RELOAD_SIGNAL = signal.SIGUSR1
"""Asks a server to read again what it has read from files at its start. SIGHUP ends it."""


def ending_signals() -> list[int]:
    """The signals that ask a program to end: SIGTERM, and SIGINT and SIGHUP unless it was started
    with those ignored, as by a shell's `&` and by nohup(1)."""
    return [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN
    ]


def end_by_signal(number: int) -> NoReturn:
    """End this process as the signal does to one that does not listen for it, so that a shell
    which runs it in a loop learns of the signal and ends the loop (wait(2), WIFSIGNALED)."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # process 1 survives its own signal, and so does one that blocks it


class Signals:
    """Calls `on_signal` with the number of each of `signals` that arrives, from the loop; and for
    each RELOAD_SIGNAL all of `reloaders`, which read their files again. Without any of these that
    signal does what it did before.

    For the main thread (signal(7) leaves no choice in Python). One of these at a time.
    """

    def __init__(
        self,
        reactor: Reactor,
        signals: Iterable[int],
        on_signal: Callable[[int], None],
        reloaders: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._reactor = reactor
        self._on_signal = on_signal
        self._reloaders = reloaders
        self._reload_signals = [RELOAD_SIGNAL] if reloaders else []
        with naming("pipe"):  # and no pair of sockets, which a sandbox may forbid
            self._read_end, self._write_end = os.pipe()
        with naming("set_wakeup_fd"):
            os.set_blocking(self._read_end, False)
            os.set_blocking(self._write_end, False)
            self._previous_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        with naming("sigaction"):
            self._previous = {
                number: signal.signal(number, _wake_only) or signal.SIG_DFL
                for number in [*signals, *self._reload_signals]
            }
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._reload_signals)  # a parent's doing
        with naming("epoll_ctl"):
            reactor.set_interest(self._read_end, READ, self)

    def close(self) -> None:
        """Let the signals do what they did before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        self._reactor.set_interest(self._read_end, 0, self)
        for end in (self._read_end, self._write_end):
            with contextlib.suppress(OSError):  # close(2): the descriptor is free all the same
                os.close(end)

    # For the loop.

    def handle_events(self, events: int) -> None:
        try:
            numbers = os.read(self._read_end, 256)
        except (BlockingIOError, InterruptedError):
            return
        for number in numbers:
            if number in self._previous and number not in self._reload_signals:
                self._on_signal(number)
        if RELOAD_SIGNAL in numbers:
            self._reload()

    def handle_error(self) -> None:
        """One signal was lost to a bug; the next may do better."""

    # Details.

    def _reload(self) -> None:
        for reload in self._reloaders:
            try:
                reload()
            except Exception:  # which costs the others nothing
                self._reactor.report()


def _wake_only(number: int, frame: FrameType | None) -> None:
    """Python wants a handler, or the signal's own action is taken; the byte does the work."""
