"""Hides what is secret in a stream of lines: passcodes, tokens, and texts for one member alone.

In: the bytes of one direction of a connection, in any pieces. Out: the start of each piece, with
`***` in place of what is hidden. If TCP cuts a secret, each part is hidden, since a piece is judged
by the start of its line. What is hidden (docs/PROTOCOL.md, sections 4 and 5):

    JOIN <username> ***       and ENTER; a username is shown once the blank behind it has come,
                              since it may be a passcode whose username was forgotten
    RESUME ***                OK ***
    :Msg <name> ***           [Message from <name>]: ***, and "to"
    what follows RESUME       and its answer, up to the next line end: a line that the connection
                              before has cut goes on there

A client's first line that begins with another word is hidden whole. So is all that it sends before
the server has answered OK: it may be a second guess. With `is_lenient` this does not hold: the
protocol may be another one, whose secrets we do not know, and each line that looks like a request
is treated as one.
"""

from __future__ import annotations

import re

HIDDEN = b"***"

_LINE_BYTES = 512  # of an unfinished line, to judge what follows: longer than any form above

_WITH_USERNAME = (b"JOIN", b"ENTER")
_WORDS = (*_WITH_USERNAME, b"RESUME")
_USERNAME = re.compile(rb"[^ ]* ")
_TYPED_PRIVATE = re.compile(rb":msg[ \t]+[^ \t]+[ \t]+", re.IGNORECASE)
_RESUMES = re.compile(rb"RESUME |OK [^ ]+ [0-9]")
_SHOWN_PRIVATE = re.compile(rb"\[Message (?:from|to) [^ ]+\]: ")


class Mask:
    """One direction of one connection. `answered`: in the mask of the server's direction, the mask
    of the client's direction."""

    __slots__ = (
        "_answered",
        "_is_lenient",
        "_is_of_client",
        "_is_resumed",
        "_line",
        "_lines",
        "is_joined",
    )

    def __init__(
        self, is_of_client: bool, is_lenient: bool = False, answered: Mask | None = None
    ) -> None:
        self.is_joined = False
        """Whether the server has answered the client OK."""
        self._is_of_client = is_of_client
        self._answered = answered
        self._is_lenient = is_lenient
        self._lines = 0  # that have ended
        self._is_resumed = False
        self._line = b""  # the unfinished line, or as much of it as decides

    def show(self, data: bytes, max_bytes: int) -> bytes:
        """The first `max_bytes` of `data`, the next bytes of the stream, with secrets hidden."""
        shown, line, is_resumed = [], self._line, self._is_resumed
        for number, piece in enumerate(data[:max_bytes].split(b"\n"), self._lines):
            if number > self._lines:
                is_resumed = is_resumed or (number == 1 and bool(_RESUMES.match(line)))
                line = b""
            whole = line + piece
            count = 0 if is_resumed and number == 1 else self._count_visible(whole, not number)
            visible = max(0, count - len(line))
            line = whole
            shown.append(piece if visible >= len(piece) else piece[:visible] + HIDDEN)
        self._remember(data)
        return b"\n".join(shown)

    def _remember(self, data: bytes) -> None:
        first, line_end, rest = data.rpartition(b"\n")
        if not self._lines and line_end:
            whole = (self._line + first).split(b"\n")[0]
            self._is_resumed = bool(_RESUMES.match(whole))
            if self._answered:
                self._answered.is_joined = whole.split(b" ")[0].rstrip(b"\r") == b"OK"
        self._line = ((b"" if line_end else self._line) + rest)[:_LINE_BYTES]
        self._lines += data.count(b"\n")

    def _count_visible(self, line: bytes, is_first: bool) -> int:
        """How many bytes at the start of `line`, which may be unfinished, are not secret."""
        if is_first and not self._is_of_client:
            return _count_of_answer(line)
        if self._is_of_client and (is_first or self._is_lenient):
            visible = self._count_of_request(line)
            if is_first or visible < len(line):
                return visible
        if self._is_of_client and not (self.is_joined or self._is_lenient):
            return 0
        secret = (_TYPED_PRIVATE if self._is_of_client else _SHOWN_PRIVATE).match(line)
        return secret.end() if secret else len(line)

    def _count_of_request(self, line: bytes) -> int:
        word, blank, rest = line.partition(b" ")
        if not blank and any(known.startswith(word.upper()) for known in _WORDS):
            return len(line)
        if word.upper() not in _WORDS:
            return len(line) if self._is_lenient else 0
        username = _USERNAME.match(rest) if word.upper() in _WITH_USERNAME else None
        return len(word) + 1 + (username.end() if username else 0)


def _count_of_answer(line: bytes) -> int:
    return len(b"OK ") if line.startswith(b"OK ") else len(line)
