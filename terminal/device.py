"""The terminal of standard input and output, as a device: its size, its modes, its reports.

What every screen that draws needs beside its own drawing. Nothing blocks for longer than
DRAIN_SECONDS; a terminal that is gone is no error here.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
from typing import Any

from reactor import discard_typed

DRAIN_SECONDS = 0.2
"""Longest wait at the end for reports that the terminal still sends."""

_ASK_STATUS, _STATUS = b"\x1b[5n", b"\x1b[0n"  # DSR: it is answered behind all that was reported
_FALLBACK_SIZE = os.terminal_size((80, 24))


def window_size() -> os.terminal_size:
    """Columns and lines; those of a common terminal where they are not known."""
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(1)
        if size.columns:
            return size
    return _FALLBACK_SIZE


def write_now(data: bytes) -> None:
    """Write modes of the terminal at once, before output that waits, or drop them if it takes
    nothing."""
    with contextlib.suppress(OSError):
        if select.select([], [1], [], 0)[1]:
            os.write(1, data)


def take_interrupt(modes: list[Any]) -> None:
    """Let Ctrl-C be a key, in `modes` for tcsetattr(3). A signal would overtake the keys typed
    before it, or come behind those typed after it: then Ctrl-D finds a line that is not empty."""
    modes[6][termios.VINTR] = bytes([os.fpathconf(0, "PC_VDISABLE")])


def discard_input(has_reported: bool) -> None:
    """Forget what was typed and not read. With `has_reported` the terminal has sent reports, which
    are switched off by now: those that are still on their way are read first."""
    if has_reported:
        write_now(_ASK_STATUS)
        _read_until_status()
    discard_typed(0)


def _read_until_status() -> None:
    seen = b""
    with contextlib.suppress(OSError):
        while _STATUS not in seen and select.select([0], [], [], DRAIN_SECONDS)[0]:
            data = os.read(0, 4096)
            if not data:
                break
            seen += data
