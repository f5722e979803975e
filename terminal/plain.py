"""The plain screen: standard streams of any kind, exact to the byte.

Standard input is sent as it is typed, standard output carries what the assignment names and nothing
else, and complaints go to standard error.
"""

from __future__ import annotations

import math

from reactor import Reactor, Sink, Source, discard_typed, drain, is_null_device
from terminal.cut_lines import CANONICAL_BYTES, CutLines
from terminal.screen import ScreenOwner


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
    def owed_bytes(self) -> int:
        return 0 if self._stdout.is_failing else self._stdout.owed_bytes

    @property
    def owed_lines(self) -> int:
        return 0 if self._stdout.is_failing else self._stdout.unwritten_lines

    @property
    def taken_at(self) -> float:
        return self._stdout.taken_at

    def open(self, owner: ScreenOwner) -> None:
        self._owner = owner

    def start_typing(self) -> None:
        # No person typed the end of the null device: a client without a keyboard stays.
        if not is_null_device(0):
            typed = CutLines(0, self._owner.typed, self._complain_of_cut_line)
            self._keyboard = Source(self._reactor, 0, typed.take, self._owner.typing_ended)

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
        self._stderr.flush()
        drain(self._reactor, [self._stderr], deadline)

    # Details.

    def _complain_of_cut_line(self) -> None:
        limit = f"limit {CANONICAL_BYTES - 1} bytes on this terminal"
        self.complain(f"warning: line too long ({limit}); not sent")
