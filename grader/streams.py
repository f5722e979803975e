"""What a program has printed on one of its streams.

Everything is kept, up to a bound, with a mark up to which it has been looked at. A terminal turns
LF into CR LF on its way out; that is undone here, and only for a terminal.
"""

from __future__ import annotations

import contextlib
import os

MAX_BYTES = 256 * 1024
"""Kept of one stream. A solution that prints more in one case has lost its way."""

_CHUNK_BYTES = 64 * 1024


class Stream:
    """A non-blocking descriptor that is read from, and what has come out of it."""

    def __init__(self, descriptor: int, is_terminal: bool = False) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.has_ended = False
        self.is_flooded = False
        self._is_terminal = is_terminal
        self._data = bytearray()
        self._mark = 0
        self._end: int | None = None

    def read(self) -> bool:
        """Take what there is. True if there was anything."""
        if self.has_ended:
            return False
        try:
            data = os.read(self.descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose other end is closed
            data = b""
        if not data:
            self.has_ended = True
            return False
        self._data += data
        if self._is_terminal:
            # A CR may be the last byte of what came so far.
            self._data = self._data.replace(b"\r\n", b"\n")
        if len(self._data) > MAX_BYTES:
            del self._data[MAX_BYTES:]
            self.is_flooded = True
        return True

    @property
    def everything(self) -> str:
        return self._decode(0)

    @property
    def unseen(self) -> str:
        """What came since `forget`, up to the line that `cut` has found."""
        return self._decode(self._mark, self._end)

    def has(self, text: str) -> bool:
        """Whether `text` came since `forget`."""
        return text.encode() in self._data[self._mark :]

    def cut(self, text: str) -> None:
        """A line with `text` in it is ours: what was before it is all that is to be looked at."""
        found = self._data.find(text.encode(), self._mark)
        if found >= 0 and self._end is None:
            self._end = max(self._data.rfind(b"\n", 0, found) + 1, self._mark)

    def forget(self) -> None:
        """What came so far has been looked at."""
        self._mark = len(self._data)
        self._end = None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)
        self.has_ended = True

    def _decode(self, start: int, end: int | None = None) -> str:
        return self._data[start:end].decode("utf-8", "backslashreplace")
