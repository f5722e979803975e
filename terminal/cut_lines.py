"""Withholds what a terminal has cut short.

A terminal that hands over whole lines (canonical mode) keeps 4,095 bytes of one and drops the rest,
without a word (termios(3); Linux, N_TTY_BUF_SIZE). What is left is not what the person typed, so it
must not be sent. A line that had exactly this length looks the same.
"""

from __future__ import annotations

import contextlib
import termios
from collections.abc import Callable

CANONICAL_BYTES = 4095
"""Most bytes of one line that a terminal hands over, without the line end."""


class CutLines:
    """Passes to `on_data` what is read from a terminal; for a line that it has cut calls `on_cut`.

    Each read is one line, with its LF, or what was typed before a Ctrl-D.
    """

    def __init__(
        self, descriptor: int, on_data: Callable[[bytes], None], on_cut: Callable[[], None]
    ) -> None:
        self._descriptor = descriptor
        self._on_data = on_data
        self._on_cut = on_cut
        self._has_begun = False  # to pass on the line that is typed now
        self._is_withholding = False

    def take(self, data: bytes) -> None:
        """One read."""
        line = data.removesuffix(b"\n")
        has_ended = line != data
        if len(line) == CANONICAL_BYTES and not self._is_withholding and self._is_canonical():
            if self._has_begun:
                # Its start is already sent. The server says that the line is too long.
                data = line + b" " + data[len(line) :]
            else:
                self._is_withholding = True
                self._on_cut()
        if not self._is_withholding:
            self._on_data(data)
        self._has_begun = not has_ended and not self._is_withholding
        self._is_withholding = self._is_withholding and not has_ended

    def _is_canonical(self) -> bool:
        """Whether it hands over whole lines; raw, it drops nothing. Else it is no terminal."""
        with contextlib.suppress(OSError, termios.error):
            return bool(termios.tcgetattr(self._descriptor)[3] & termios.ICANON)
        return False
