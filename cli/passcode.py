"""The passcode's file: `-passcode-file`, for a passcode that is not to show in `ps`.

In: the name of a file. Out: its first line, without the line end. It may be a pipe (a shell's
`<(...)`), a FIFO, or standard input, which is read no further than its first line.
"""

from __future__ import annotations

import os
import select
import stat

MAX_PASSCODE_LINE_BYTES = 64 * 1024
"""Most that is read of a first line which does not end."""

_STANDARD_INPUT = frozenset({"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})

_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


def read_first_line(path: str) -> tuple[str, bool]:
    """The first line of the file, as the system would give it on a command line; and whether
    others than its owner may read the file. Raises OSError, and ValueError for what is no line.

    Standard input is the descriptor itself: opened by its name, a redirected file would begin
    again, and the passcode would be the first thing that a client says to the room.
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
    return os.fsdecode(line), is_readable_by_others(status)


def is_readable_by_others(status: os.stat_result) -> bool:
    """Whether it is a file, and its owner's group or everybody may read it."""
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & _READABLE_BY_OTHERS)


def _read_line(descriptor: int) -> bytes:
    """Byte by byte: what stands behind the line belongs to the next reader."""
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
