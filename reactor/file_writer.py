"""Writes to a regular file, or to a disk, from a thread that does nothing else.

write(2) to a regular file waits for as long as its disk does: one that is frozen for a backup
(fsfreeze(8)), throttled, or behind a network that is down. O_NONBLOCK has no effect there
(open(2)), and poll(2) always says ready. This is the one exception to the rule of one thread: the
loop hands over one piece at a time, and the thread touches nothing else.

Where the thread is stuck in the kernel, the process cannot end before its disk goes on: nothing
interrupts such a write, a SIGKILL included.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import time
from typing import Annotated

from reactor.loop import READ

PROMPT_SECONDS: Annotated[
    float,
    "Longest that the loop waits for a write to a file, so that a line stands there before a "
    "member reads it. After a slower one it does not wait until the disk is prompt again.",
] = 0.05

_PIECE_BYTES = 256 * 1024


class FileWriter:
    """A Writer (reactor.descriptors) for a descriptor that may wait for a disk."""

    ready_event = READ
    piece_bytes = _PIECE_BYTES

    def __init__(self, descriptor: int) -> None:
        """Raises OSError or RuntimeError where there is no descriptor, or no thread, to be had."""
        # Loaded for files alone, and here: later there may be no descriptor left to load with.
        from queue import SimpleQueue
        from threading import Thread

        self._descriptor = descriptor
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[int | OSError, float]] = SimpleQueue()
        self._is_busy = False
        self._is_prompt = True
        self.watched, self._wake_end = os.pipe()
        thread = Thread(target=self._run, name="file writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._close_pipe()
            raise

    # For the loop's thread.

    def write(self, data: bytes) -> int:
        """How many bytes of `data` are in the file. BlockingIOError: not yet known; the same data
        has to come first in the next call, once `watched` is ready."""
        if not self._is_busy:
            self._is_busy = True
            self._pieces.put(data)
        if not self._has_result():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        os.read(self.watched, 1)
        result, seconds = self._results.get()
        self._is_busy = False
        self._is_prompt = seconds < PROMPT_SECONDS
        if isinstance(result, OSError):
            raise result
        return result

    def close(self) -> None:
        """Hand over no more. What was handed over is still written."""
        self._pieces.put(None)

    def _has_result(self) -> bool:
        poller = select.poll()
        poller.register(self.watched, select.POLLIN)
        return bool(poller.poll(PROMPT_SECONDS * 1000 if self._is_prompt else 0))

    # In the other thread.

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            started = time.monotonic()
            result = self._write(piece)
            self._results.put((result, time.monotonic() - started))
            os.write(self._wake_end, b"\0")  # behind the result, which is there when this is read
        self._close_file()
        self._close_pipe()

    def _write(self, piece: bytes) -> int | OSError:
        try:
            self._prepare()
            return os.write(self._descriptor, piece)
        except OSError as error:
            return error
        except MemoryError:
            return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def _prepare(self) -> None:
        """Before each write. May raise OSError."""

    def _close_file(self) -> None:
        """After the last. What was given stays open."""

    def _close_pipe(self) -> None:
        os.close(self.watched)
        os.close(self._wake_end)


class PathWriter(FileWriter):
    """A FileWriter for files that it names and opens itself, to append to them.

    open(2) waits for a disk as write(2) does, so the thread opens them too: when another path is
    asked for, and when the path no longer leads to the file that is open, because that was moved
    (logrotate(8)) or removed, alone or with its directory.
    """

    def __init__(self, mode: int) -> None:
        """A file that is made gets `mode`, less the umask. Raises as FileWriter does."""
        super().__init__(-1)
        self._mode = mode
        self._path = ""  # read by the thread between the two queues alone

    def write_to(self, path: str, data: bytes) -> int:
        """As `write`, in the file at `path`."""
        if not self._is_busy:
            self._path = path
        return self.write(data)

    # In the other thread.

    def _prepare(self) -> None:
        if not self._is_open_at_path():
            self._close_file()
            self._descriptor = open_to_append(self._path, self._mode)

    def _is_open_at_path(self) -> bool:
        if self._descriptor < 0:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self._path))
        except FileNotFoundError:
            return False

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # EIO: what it is about was written before
                os.close(descriptor)


def open_to_append(path: str, mode: int) -> int:
    """A descriptor of the regular file at `path`, which is made if there is none. Raises OSError.

    A symbolic link is refused, and so is a FIFO: either may have been put there by another user.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, "Not a regular file", path)
    return descriptor
