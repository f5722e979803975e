"""The plain screen: standard streams of any kind, exact to the byte.

Standard input is sent as it is typed, standard output carries what the assignment names and nothing
else, and complaints go to standard error.
"""

from __future__ import annotations

import math

from reactor import Reactor, Sink, Source, discard_typed, drain, is_null_device
from terminal.screen import ScreenOwner

HIGH_WATER_BYTES = 64 * 1024
"""Unwritten bytes at which no more is read from the server, until all of them are written."""


class PlainScreen:
    """A Screen on standard input, output and error."""

    def __init__(self, reactor: Reactor) -> None:
        self._owner: ScreenOwner
        self._reactor = reactor
        self._keyboard: Source | None = None
        self._stderr = Sink(reactor, 2)
        self._stdout = Sink(
            reactor,
            1,
            max_bytes=math.inf,
            on_flushed=lambda: self._owner.screen_flushed(),
            on_error=lambda error: self._owner.screen_failed(error),
        )

    @property
    def is_full(self) -> bool:
        return self._stdout.owed_bytes > HIGH_WATER_BYTES

    def open(self, owner: ScreenOwner) -> None:
        self._owner = owner

    def start_typing(self) -> None:
        # The null device has an end that no one typed: a client without a keyboard stays.
        if not is_null_device(0):
            owner = self._owner
            self._keyboard = Source(self._reactor, 0, owner.typed, owner.typing_ended)

    def pause_typing(self) -> None:
        if self._keyboard:
            self._keyboard.pause()

    def resume_typing(self) -> None:
        if self._keyboard:
            self._keyboard.resume()

    def discard_typing(self) -> None:
        discard_typed(0)

    def show(self, text: str) -> None:
        if text:
            self._stdout.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def complain(self, text: str) -> None:
        self._stderr.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def close(self, deadline: float) -> None:
        drain(self._reactor, [self._stdout, self._stderr], deadline)
        if self._stdout.unwritten_lines and not self._stdout.is_failing:
            self.complain(f"warning: {self._stdout.unwritten_lines} lines not shown")
            self._stderr.flush()
