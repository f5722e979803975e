"""Appends lines to files by their paths, and keeps what the disk does not take.

In: whole lines, each for the file at a path. Out: the files. The loop never waits for more than
file_writer.PROMPT_SECONDS, whatever the disk does: full, removed, read-only, or standing still.

Lines are kept in order, up to a bound; beyond it they are dropped and counted, until half of what
is kept has been written. A write that failed is tried again every RETRY_SECONDS, for as long as
something is kept.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Annotated

from reactor.file_writer import PathWriter
from reactor.loop import Reactor
from reactor.timers import Timer

KEPT_BYTES: Annotated[
    int,
    "Bytes that an Appender keeps for a disk that takes none: some 20,000 lines of chat.",
] = 1024 * 1024

RETRY_SECONDS: Annotated[
    float,
    "Time between two attempts at a file that could not be written.",
] = 2.0

STILL_SECONDS: Annotated[
    float,
    "How long a disk may take for one write before it is told that it stands still.",
] = 5.0


class Appender:
    """Appends to files, one after the other, by a thread that does nothing else.

    `on_error` is told why nothing is written, once until a write succeeds. `on_dropped` is told how
    many lines were dropped, behind all that was kept before them and before all that comes: what it
    writes stands in their place.
    """

    def __init__(
        self,
        reactor: Reactor,
        mode: int,
        on_error: Callable[[OSError], None],
        on_dropped: Callable[[int], None],
    ) -> None:
        """A file that is made gets `mode`. Raises OSError or RuntimeError where there is no
        descriptor, or no thread, to be had."""
        self._reactor = reactor
        self._writer = PathWriter(mode)
        self._on_error = on_error
        self._on_dropped = on_dropped
        self._queue: deque[tuple[str, bytearray]] = deque()  # neighbours have different paths
        self.owed_bytes = 0
        """Bytes kept because they are in no file yet."""
        self._dropped_lines = 0
        self.is_failing = False
        """Whether the last write failed, or has not returned for STILL_SECONDS."""
        self.is_broken = False
        self._is_waiting = False  # for the thread
        self._is_flush_queued = False
        self._timer: Timer | None = None  # to try again, or to tell that the disk stands still

    @property
    def unwritten_lines(self) -> int:
        """Lines kept, and lines dropped that `on_dropped` was not told of yet."""
        return sum(lines.count(b"\n") for _, lines in self._queue) + self._dropped_lines

    def write(self, path: str, lines: bytes) -> None:
        """Queue `lines`, each with its LF, for the file at `path`; they are written when the turn
        ends."""
        if self._dropped_lines or self.owed_bytes + len(lines) > KEPT_BYTES:
            self._dropped_lines += lines.count(b"\n")
        else:
            if not self._queue or self._queue[-1][0] != path:
                self._queue.append((path, bytearray()))
            self._queue[-1][1].extend(lines)
            self.owed_bytes += len(lines)
        if not (self._is_flush_queued or self._is_waiting or self.is_failing):
            self._is_flush_queued = True
            self._reactor.call_at_end(self.flush)

    def flush(self) -> None:
        """Write what the disk takes now."""
        self._is_flush_queued = False
        if self.is_broken:
            return
        self._set_timer(None)
        try:
            self._write_all()
            self._set_waiting(False)
        except (BlockingIOError, InterruptedError):
            self._set_waiting(True)
            if not self.is_failing:
                self._set_timer(self._reactor.call_later(STILL_SECONDS, self._tell_still))
        except OSError as error:
            self._set_waiting(False)
            self._tell(error)
            self._set_timer(self._reactor.call_later(RETRY_SECONDS, self.flush))
        if self._dropped_lines and self.owed_bytes * 2 <= KEPT_BYTES:
            dropped_lines, self._dropped_lines = self._dropped_lines, 0
            self._on_dropped(dropped_lines)

    def close(self) -> None:
        """Write no more, but for what the thread has been given."""
        if not self.is_broken:
            self._set_timer(None)
            self._set_waiting(False)
            self.is_broken = True
            self._writer.close()

    # For the loop.

    def handle_events(self, events: int) -> None:
        self.flush()

    def handle_error(self) -> None:
        self.close()

    # Details.

    def _write_all(self) -> None:
        while self._queue:
            path, lines = self._queue[0]
            written_bytes = self._writer.write_to(path, bytes(lines[: self._writer.piece_bytes]))
            del lines[:written_bytes]
            self.owed_bytes -= written_bytes
            self.is_failing = False
            if not lines:
                self._queue.popleft()

    def _set_waiting(self, is_waiting: bool) -> None:
        if is_waiting != self._is_waiting:
            event = self._writer.ready_event if is_waiting else 0
            self._reactor.set_interest(self._writer.watched, event, self)
            self._is_waiting = is_waiting

    def _set_timer(self, timer: Timer | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = timer

    def _tell_still(self) -> None:
        self._tell(OSError(errno.ETIMEDOUT, "the disk stands still"))

    def _tell(self, error: OSError) -> None:
        if not self.is_failing:
            self.is_failing = True
            self._on_error(error)
