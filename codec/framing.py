"""Bytes in any pieces become lines; a line becomes bytes.

In: whatever `recv` gave, cut and joined by TCP as it pleased. Out: complete lines, in order,
without their line ends. A line ends with LF, and one CR before that LF belongs to the line end
(docs/PROTOCOL.md, section 3). No other character ends a line: `str.splitlines` knows ten, and
each of the other nine would let one member forge a line of another.

The decoder remembers how far it has searched and refuses a line over its limit as soon as that is
certain, so a line end that comes late, or never, costs nothing.
"""

from __future__ import annotations

from typing import Annotated

from codec.errors import ProtocolError

MAX_LINE_BYTES: Annotated[
    int,
    "Bytes of one line of chat, typed or shown, without its line end: 40 times the 100 "
    "characters that the assignment asks for, so that no one meets it by talking.",
] = 4096

LINE_TOO_LONG = "Message too long"


class LineTooLongError(ProtocolError):
    """A line over the limit. What is left of it will be skipped; the stream goes on after it."""

    def __init__(self, max_line_bytes: int) -> None:
        super().__init__(LINE_TOO_LONG, f" (limit {max_line_bytes} bytes); not sent")


class LineDecoder:
    """Finds the lines in a stream of bytes.

    `max_line_bytes`, by default MAX_LINE_BYTES, counts neither the LF nor a CR before it, and may
    be changed between two lines: it is applied to each line as that line is taken, not as its
    bytes arrive.
    """

    __slots__ = ("_buffer", "_searched_bytes", "_skipping", "max_line_bytes")

    def __init__(self, max_line_bytes: int | None = None) -> None:
        self.max_line_bytes = MAX_LINE_BYTES if max_line_bytes is None else max_line_bytes
        self._buffer = bytearray()
        self._searched_bytes = 0
        self._skipping = False

    def feed_data(self, data: bytes) -> None:
        """Take the next bytes of the stream, any number of them."""
        self._buffer += data

    def next_line(self) -> bytes | None:
        """The next complete line without its line end, or None until more bytes arrive.

        Raises LineTooLongError once for each line over the limit, in that line's place; the call
        after that goes on with the line behind it.
        """
        if self._skipping and not self._skip_line():
            return None
        buffer = self._buffer
        end = buffer.find(b"\n", self._searched_bytes)
        if end < 0:
            self._searched_bytes = len(buffer)
            if self._is_over(buffer):
                self._skipping = True
                raise LineTooLongError(self.max_line_bytes)
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self._searched_bytes = 0
        if self._is_over(line):
            raise LineTooLongError(self.max_line_bytes)
        return line[:-1] if line.endswith(b"\r") else line

    def peek_lines(self, max_bytes: int) -> bytes:
        """The complete lines among the next `max_bytes`, with their line ends and however long.

        They are not taken: the caller takes all of them by `drop`, or each by `next_line`. b""
        when there is none yet, or while the rest of a refused line is skipped.
        """
        if self._skipping:
            return b""
        end = self._buffer.rfind(b"\n", 0, max_bytes) + 1
        return bytes(memoryview(self._buffer)[:end])

    def drop(self, line_bytes: int) -> None:
        """Take what `peek_lines` gave, `line_bytes` of it, as read."""
        del self._buffer[:line_bytes]
        self._searched_bytes = 0

    @property
    def rest(self) -> bytes:
        """A copy of all that was fed and not taken. What was skipped of a long line is gone."""
        return bytes(self._buffer)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that was fed."""
        return not self._buffer

    @property
    def pending_bytes(self) -> int:
        """How many bytes were fed and not taken."""
        return len(self._buffer)

    def _is_over(self, line: bytes | bytearray) -> bool:
        excess = len(line) - self.max_line_bytes
        return excess > 1 or (excess == 1 and not line.endswith(b"\r"))

    def _skip_line(self) -> bool:
        """Drop the rest of a line that was refused; False while its end has not come."""
        end = self._buffer.find(b"\n", self._searched_bytes)
        self._skipping = end < 0
        del self._buffer[: len(self._buffer) if end < 0 else end + 1]
        self._searched_bytes = 0
        return end >= 0


def has_longer_line(lines: bytes, max_line_bytes: int) -> bool:
    """Whether one of `lines`, each ended by LF, has more bytes than that before its LF. Looks at
    one place in `max_line_bytes`, not at each byte."""
    start = 0
    while start < len(lines):
        start = lines.rfind(b"\n", start, start + max_line_bytes + 1) + 1
        if not start:
            return True
    return False


def encode_line(text: str) -> bytes:
    """One line of text as it travels: UTF-8, ended by LF. The text holds no LF of its own."""
    return text.encode() + b"\n"
