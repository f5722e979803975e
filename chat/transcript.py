"""The transcript: what the console shows, with the time, in a file for each day.

In: the room's events. Out: lines `HH:MM:SS ` and a line of the console, in `DIR/2026-11-25.log`, by
the local time at which they were applied. The console has no private text, so neither has this.

A line that begins with `* ` behind the time is the operator's or the transcript's own, since no
username holds a `*`: how many lines are missing here, or that the clock went back.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from codec import Event
from codec.text import LocalTime
from reactor import Reactor
from reactor.appender import Appender
from reactor.file_writer import open_to_append

MODE = 0o640
"""Read and written by the server's user, read by its group; less the umask."""


class Transcript:
    """Writes the files of one transcript, in a directory that exists."""

    def __init__(
        self,
        reactor: Reactor,
        directory: str,
        local_time: LocalTime,
        warn: Callable[[str], None],
    ) -> None:
        """Raises OSError where today's file cannot be appended to, and RuntimeError where there is
        no thread to be had."""
        self._directory = directory
        self._local_time = local_time
        self._warn = warn
        self._last = self._now()
        os.close(open_to_append(self._path(self._last), MODE))
        self.appender = Appender(reactor, MODE, self._tell, self._note_missing)

    def apply(self, event: Event) -> None:
        """Write what the console shows of `event`."""
        if event.console:
            self.write(event.console)

    def write(self, lines: bytes) -> None:
        """Write `lines`, each ended by LF."""
        now = self._now()
        last, self._last = self._last, now
        if now < last:  # daylight saving time is over, or the clock was set
            self._append(now, b"* The clock went back from %d-%02d-%02d %02d:%02d:%02d\n" % last)
        self._append(now, lines)

    def close(self) -> None:
        """Try once more to write what waits, and warn how many lines are in no file."""
        self.appender.flush()
        if lines := self.appender.unwritten_lines:
            self._warn(f"transcript in {self._directory}: {lines} lines not written")
        self.appender.close()

    # Details.

    def _now(self) -> tuple[int, ...]:
        """Year, month, day, hour, minute and second."""
        return tuple(self._local_time(0)[:6])

    def _append(self, now: tuple[int, ...], lines: bytes) -> None:
        stamp = b"%02d:%02d:%02d " % now[3:]
        stamped = stamp + lines[:-1].replace(b"\n", b"\n" + stamp) + b"\n"
        self.appender.write(self._path(now), stamped)

    def _path(self, now: tuple[int, ...]) -> str:
        year, month, day, *_ = now
        return os.path.join(self._directory, f"{year:04d}-{month:02d}-{day:02d}.log")

    def _note_missing(self, lines: int) -> None:
        self.write(b"* %d lines are missing here\n" % lines)

    def _tell(self, error: OSError) -> None:
        self._warn(f"transcript in {self._directory}: {error.strerror}")
