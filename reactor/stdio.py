"""Standard streams that never stall the loop.

`Source` reads whatever standard input may be: a terminal, a pipe, a file, a device. `Sink` writes
whatever standard output may be, and keeps what that does not take.

Others share these streams, and may fill them or read them empty at any moment; reactor.descriptors
knows how to read and write them all the same without ever waiting.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import termios
from collections.abc import Callable, Iterable
from typing import Annotated, Protocol

from reactor.descriptors import open_reader, open_writer
from reactor.loop import READ, Reactor

READ_BYTES: Annotated[int, "Most bytes read from a Source in one turn."] = 64 * 1024

SINK_BYTES: Annotated[
    int,
    "Bytes that a Sink keeps for a reader that has stopped: some 20,000 lines of chat.",
] = 1024 * 1024

_MAY_PASS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM})


def is_null_device(descriptor: int) -> bool:
    """Whether nothing will ever be read from it, nor anything written to it be seen."""
    status = os.fstat(descriptor)
    with contextlib.suppress(OSError):  # a sandbox may have nothing of that name
        return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev
    return False


def discard_typed(descriptor: int) -> None:
    """Forget what was typed at a terminal and not read, half a line included: it was not meant
    for the shell, which reads there next. In the foreground alone: tcflush(3) would stop a
    background process (SIGTTOU), and what is typed is not for it."""
    with contextlib.suppress(OSError, termios.error):  # ENOTTY: no terminal, or not ours
        if os.tcgetpgrp(descriptor) == os.getpgrp():
            termios.tcflush(descriptor, termios.TCIFLUSH)


class Source:
    """Reads a descriptor until its end; then `on_end`, once. A read that fails is an end too."""

    def __init__(
        self,
        reactor: Reactor,
        descriptor: int,
        on_data: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._reader = open_reader(descriptor)
        self._on_data = on_data
        self._on_end = on_end
        self._is_reading = False
        self._has_ended = False
        self._is_always_ready = False
        self._is_read_queued = False
        self.resume()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if self._is_reading:
            self._is_reading = False
            if not self._is_always_ready:
                self._reactor.set_interest(self._descriptor, 0, self)

    def resume(self) -> None:
        """Go on reading, unless the end has come."""
        if self._is_reading or self._has_ended:
            return
        self._is_reading = True
        if not self._is_always_ready:
            try:
                self._reactor.set_interest(self._descriptor, READ, self)
            except OSError:
                # epoll_ctl(2), EPERM: a plain file is not watched, since it is always ready.
                self._is_always_ready = True
        if self._is_always_ready:
            self._queue_read()

    # For the loop.

    def handle_events(self, events: int) -> None:
        self._read()

    def handle_error(self) -> None:
        self._end()

    # Details.

    def _queue_read(self) -> None:
        if not self._is_read_queued:
            self._is_read_queued = True
            self._reactor.call_soon(self._read_queued)

    def _read_queued(self) -> None:
        self._is_read_queued = False
        if self._is_reading:
            try:
                self._read()
            except Exception:
                self._reactor.report()
                self.handle_error()
        if self._is_reading:
            self._queue_read()

    def _read(self) -> None:
        try:
            data = self._reader.read(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # EIO: the terminal is gone, or not ours to read
            data = b""
        if data:
            self._on_data(data)
        else:
            self._end()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.pause()
            self._reader.close()
            self._on_end()


class Sink:
    """Writes whole lines to a descriptor, in order, as fast as it takes them and no faster.

    What it does not take is kept, up to `max_bytes`, by default SINK_BYTES; beyond that, lines are
    dropped until half of it has been taken, and then `on_dropped` is told how many. Where it is
    `math.inf` nothing is dropped, and the writer looks at `owed_bytes`. `on_flushed` is called
    when nothing is owed any more.

    `on_error` is told when a write fails, once until one succeeds. A full disk may have room again
    later, so what it did not take is kept like the rest; after any other error nothing more is
    written, and `is_broken`.
    """

    def __init__(
        self,
        reactor: Reactor,
        descriptor: int,
        *,
        max_bytes: float | None = None,
        on_dropped: Callable[[int], None] | None = None,
        on_flushed: Callable[[], None] | None = None,
        on_error: Callable[[OSError], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._writer = open_writer(descriptor)
        self._max_bytes = SINK_BYTES if max_bytes is None else max_bytes
        self._on_dropped = on_dropped
        self._on_flushed = on_flushed
        self._on_error = on_error
        self._queue = bytearray()
        self._dropped_lines = 0
        self.is_failing = False
        """Whether the last write failed."""
        self.taken_at = reactor.now
        """When, by the loop's clock, the descriptor last took a byte; first, when this was made."""
        self._is_waiting = False
        self._is_flush_queued = False
        self.is_broken = False

    @property
    def owed_bytes(self) -> int:
        """Bytes kept because the descriptor has not taken them yet."""
        return len(self._queue)

    @property
    def unwritten_lines(self) -> int:
        """Lines kept, and lines dropped that `on_dropped` was not told of yet."""
        return self._queue.count(b"\n") + self._dropped_lines

    def write(self, lines: bytes) -> None:
        """Queue `lines`, each with its LF, perhaps none; they are written when the turn ends."""
        if self.is_broken or not lines:
            return
        is_full = len(self._queue) + len(lines) > self._max_bytes
        if is_full or self._dropped_lines:
            self._dropped_lines += lines.count(b"\n")
        else:
            self._queue += lines
        if not self._is_flush_queued and not self._is_waiting:
            self._is_flush_queued = True
            self._reactor.call_at_end(self.flush)

    def flush(self) -> None:
        """Write what the descriptor takes now; wait for it if that is not all."""
        self._is_flush_queued = False
        if self.is_broken:
            return
        try:
            self._set_waiting(not self._write_what_fits())
        except OSError as error:
            self._break(error)
        if self._dropped_lines and len(self._queue) * 2 <= self._max_bytes:
            dropped_lines, self._dropped_lines = self._dropped_lines, 0
            if self._on_dropped:
                self._on_dropped(dropped_lines)
        if not self._queue and self._on_flushed:
            self._on_flushed()

    def close(self) -> None:
        """Write no more. The descriptor is left open unless it is the Sink's own."""
        if not self.is_broken:
            self._set_waiting(False)
            self.is_broken = True
            self._writer.close()

    # For the loop.

    def handle_events(self, events: int) -> None:
        self.flush()

    def handle_error(self) -> None:
        self.close()

    # Details.

    def _write_what_fits(self) -> bool:
        """False if it has to be waited for; that a disk is full is not waited for."""
        queue = self._queue
        try:
            while queue:
                del queue[: self._writer.write(bytes(queue[: self._writer.piece_bytes]))]
                self.is_failing = False
                self.taken_at = self._reactor.now
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno not in _MAY_PASS:
                raise
            self._tell(error)
        except MemoryError:
            self._tell(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))
        return True

    def _set_waiting(self, is_waiting: bool) -> None:
        if is_waiting != self._is_waiting:
            event = self._writer.ready_event if is_waiting else 0
            self._reactor.set_interest(self._writer.watched, event, self)
            self._is_waiting = is_waiting

    def _break(self, error: OSError) -> None:
        self._queue.clear()
        self._tell(error)
        self.close()

    def _tell(self, error: OSError) -> None:
        if not self.is_failing:
            self.is_failing = True
            if self._on_error:
                self._on_error(error)


class Owing(Protocol):
    """What may be drained: a Sink, or a reactor.appender.Appender."""

    @property
    def owed_bytes(self) -> int: ...

    is_broken: bool
    is_failing: bool


def drain(reactor: Reactor, sinks: Iterable[Owing], deadline: float) -> None:
    """Turn the loop until nothing is owed by `sinks` that they could still write, or until
    `deadline` on its clock."""
    while reactor.now < deadline and any(
        sink.owed_bytes for sink in sinks if not (sink.is_broken or sink.is_failing)
    ):
        reactor.run_once(deadline - reactor.now)
