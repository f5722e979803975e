"""What was sent to a server that keeps our place, and may not have arrived.

In: lines in the order in which they are sent, and how many of them are answered. Out: what must be
sent again, from the byte that the server names. A line that is answered was received, and dropped.
"""

from __future__ import annotations

from collections import deque

from codec import is_exit
from codec.kinds import has_answer


class Outbox:
    """Lines that were sent and may not have arrived."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()  # with their LF
        self._start = 0  # the byte of our stream that the first of them begins at
        self.has_exit = False
        """Whether `:Exit` is among them."""

    def append(self, line: bytes) -> None:
        """Keep `line`, given without its line end, which is sent now."""
        self._lines.append(line + b"\n")
        self.has_exit |= is_exit(line)

    def note_answer(self) -> None:
        """Drop the first line that has an answer, and the lines before it, which have none."""
        while self._lines:
            line = self._lines.popleft()
            self._start += len(line)
            if has_answer(line[:-1]):
                return

    def since(self, received_bytes: int) -> bytes | None:
        """What the server lacks if it has received so many bytes since the beginning; None if that
        number is impossible."""
        lines = b"".join(self._lines)
        missing_bytes = self._start + len(lines) - received_bytes
        if not 0 <= missing_bytes <= len(lines):
            return None
        return lines[len(lines) - missing_bytes :]
