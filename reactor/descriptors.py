"""Reads and writes of descriptors that other processes share, which never wait.

That poll(2) says ready is no promise: a process that shares a pipe may fill it, or read it empty,
between our look and our call. And O_NONBLOCK is not ours to set: it belongs to the open file
description, which the shell and the other end of a `2>&1` share, a dup(2) included, and would
outlive us there. So each kind has a way of its own:

    a pipe or terminal       is opened anew, for a description of our own (proc(5), /proc/PID/fd)
    a socket                 MSG_DONTWAIT: it cannot be opened anew (ENXIO)
    a file, to be written    a thread that does nothing else (reactor.file_writer)
    a file, to be read       as it is: opened anew it would have an offset of its own
    any other                as it is, when poll says ready: a device, the pipe of another user
                             (EACCES), and whatever it is where there is no /proc
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
from collections.abc import Iterator
from typing import Protocol

from reactor.file_writer import FileWriter
from reactor.loop import WRITE

_DEVICE_PIECE_BYTES = 64 * 1024
_TERMINAL_PIECE_BYTES = 64

_MASTER_OF_TERMINALS = os.makedev(5, 2)  # Linux: to open /dev/ptmx anew is to make a new terminal


class Reader(Protocol):
    """Where to read."""

    def read(self, max_bytes: int) -> bytes:
        """1 to `max_bytes`, or b"" at the end. Raises BlockingIOError when there is none now, and
        another OSError."""

    def close(self) -> None:
        """Read no more. What was given stays open."""


class Writer(Protocol):
    """Where to write."""

    watched: int
    """The descriptor that tells when `write` had better be tried again."""

    ready_event: int
    """READ or WRITE: which event of it."""

    piece_bytes: int
    """Most bytes that may be given to one `write`."""

    def write(self, data: bytes) -> int:
        """How many bytes of `data` were taken. Raises BlockingIOError when it takes none now: the
        same bytes have to come first in the next call. Raises another OSError."""

    def close(self) -> None:
        """Write no more. What was given stays open."""


def open_reader(descriptor: int) -> Reader:
    """How to read `descriptor`. Raises OSError (EBADF)."""
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return _Socket(descriptor)
    own = _open_anew(descriptor, os.O_RDONLY)
    return _Given(descriptor) if own is None else _Own(descriptor, own)


def open_writer(descriptor: int) -> Writer:
    """How to write to `descriptor`. Raises OSError (EBADF)."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return _Socket(descriptor)
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
        with contextlib.suppress(OSError, RuntimeError):  # no more descriptors, no more threads
            return FileWriter(descriptor)
    own = _open_anew(descriptor, os.O_WRONLY)
    return _Given(descriptor) if own is None else _Own(descriptor, own)


class _Given:
    """As it was given: read and written to when poll says ready, no more than surely fits."""

    ready_event = WRITE

    def __init__(self, descriptor: int) -> None:
        self.watched = descriptor
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        self.piece_bytes = select.PIPE_BUF if is_pipe else _DEVICE_PIECE_BYTES  # pipe(7)
        if os.isatty(descriptor):
            self.piece_bytes = _TERMINAL_PIECE_BYTES  # for which no size is promised

    def read(self, max_bytes: int) -> bytes:
        self._look(select.POLLIN)
        return os.read(self.watched, max_bytes)

    def write(self, data: bytes) -> int:
        self._look(select.POLLOUT)
        return os.write(self.watched, data)

    def close(self) -> None:
        pass

    def _look(self, event: int) -> None:
        poller = select.poll()  # select(2) knows no descriptor above 1,023
        poller.register(self.watched, event)
        if not poller.poll(0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


class _Own:
    """Read and written to by a description of our own, which does not block.

    What was given is watched all the same: one that was opened anew is never told of the end of a
    FIFO whose writers were gone by then (fifo(7)).
    """

    ready_event = WRITE

    def __init__(self, descriptor: int, own: int) -> None:
        self.watched = descriptor
        self._own = own
        # A pipe takes this whole or not at all, so that no other's words come in between.
        self.piece_bytes = _DEVICE_PIECE_BYTES if os.isatty(own) else select.PIPE_BUF

    def read(self, max_bytes: int) -> bytes:
        return os.read(self._own, max_bytes)

    def write(self, data: bytes) -> int:
        return os.write(self._own, data)

    def close(self) -> None:
        os.close(self._own)


class _Socket:
    """A socket of another's making: journald's, or that of a runtime which has started us."""

    ready_event = WRITE
    piece_bytes = select.PIPE_BUF  # which fits into a datagram, too

    def __init__(self, descriptor: int) -> None:
        self.watched = descriptor

    def read(self, max_bytes: int) -> bytes:
        with self._borrowed() as sock:
            return sock.recv(max_bytes, socket.MSG_DONTWAIT)

    def write(self, data: bytes) -> int:
        with self._borrowed() as sock:
            return sock.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        pass

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[socket.socket]:
        sock = socket.socket(fileno=self.watched)
        try:
            yield sock
        finally:
            sock.detach()  # it is not ours to close


def _open_anew(descriptor: int, flags: int) -> int | None:
    """A description of our own that never blocks, of a pipe or terminal; None where that cannot
    be had: ENXIO (a pipe that is not read), EACCES (another user's), no /proc, no descriptor."""
    status = os.fstat(descriptor)
    is_terminal = os.isatty(descriptor) and status.st_rdev != _MASTER_OF_TERMINALS
    if not is_terminal and not stat.S_ISFIFO(status.st_mode):
        return None
    flags |= os.O_NONBLOCK | os.O_NOCTTY
    with contextlib.suppress(OSError):
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    with contextlib.suppress(OSError):
        return os.open(os.ttyname(descriptor), flags)
    return None
