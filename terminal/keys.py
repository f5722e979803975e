"""Tells keys from what a terminal reports by itself.

In: bytes as a terminal sends them, in any pieces. Out: keys, in pieces that an editor of lines can
take without waiting for more, INTERRUPT as a piece of its own, and changes of the focus. Nothing is
raised.

xterm's control sequences: `CSI I` and `CSI O` are sent when the window gains and loses the focus
(mode 1004); a paste stands between `CSI 200 ~` and `CSI 201 ~` (mode 2004).
"""

from __future__ import annotations

import re
from enum import Enum

FOCUS_ON, FOCUS_OFF = b"\x1b[?1004h", b"\x1b[?1004l"
PASTE_ON, PASTE_OFF = b"\x1b[?2004h", b"\x1b[?2004l"

INTERRUPT = b"\x03"
"""Ctrl-C, on a terminal that makes no signal of it (device.take_interrupt)."""

MAX_PASTE_BYTES = 1024 * 1024
"""Longest paste that is held until it is whole: if its end never comes, keys still pass."""

_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
_EVENT = re.compile(rb"\x1b\[([IO])|" + INTERRUPT + b"|" + re.escape(_PASTE_BEGINS))


class Focus(Enum):
    """The window has it, or has lost it."""

    GAINED = b"I"
    LOST = b"O"


class KeyDecoder:
    """Cuts what a terminal sends. A paste is handed over whole: readline waits for its end."""

    def __init__(self) -> None:
        self._data = b""

    def feed_data(self, data: bytes) -> list[bytes | Focus]:
        """What is complete now, in order."""
        data, self._data = self._data + data, b""
        parts: list[bytes | Focus] = []
        while event := _EVENT.search(data):
            if keys := data[: event.start()]:
                parts.append(keys)
            data = data[event.start() :]
            if event[0] != _PASTE_BEGINS:
                parts.append(Focus(event[1]) if event[1] else INTERRUPT)
                data = data[len(event[0]) :]
                continue
            end = data.find(_PASTE_ENDS) + len(_PASTE_ENDS)
            if end < len(_PASTE_ENDS):
                if len(data) <= MAX_PASTE_BYTES:
                    self._data = data
                    return parts
                data, end = data + _PASTE_ENDS, len(data) + len(_PASTE_ENDS)
            parts.append(data[:end])
            data = data[end:]
        kept = _unfinished(data)
        self._data = data[len(data) - kept :]
        return [*parts, data[: len(data) - kept]] if len(data) > kept else parts


def _unfinished(data: bytes) -> int:
    """How many bytes at the end belong to a character or sequence that has not come whole. A lone
    ESC is a key."""
    for length in range(2, min(len(data), len(_PASTE_BEGINS) - 1) + 1):
        if _PASTE_BEGINS.startswith(data[-length:]):
            return length
    for length in range(1, min(len(data), 3) + 1):
        first = data[-length]
        if first >= 0xC0:  # RFC 3629: the first byte tells how many there are
            whole = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return length if length < whole else 0
        if first < 0x80:
            return 0
    return 0
