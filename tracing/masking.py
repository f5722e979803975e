"""Hides what is secret in a stream of lines: passcodes, tokens, and texts for one member alone.

In: the bytes of one direction of a connection, in any pieces. Out: the start of each piece, with
`***` in place of what is hidden. A secret that TCP cuts is hidden in each of its parts, so that a
line is looked at from its start. What is hidden (docs/PROTOCOL.md, sections 4 and 5):

    JOIN <username> ***       and ENTER; a username is shown once the blank behind it has come,
                              since it may be a passcode whose username was forgotten
    RESUME ***                OK ***
    :Msg <name> ***           [Message from <name>]: ***

A first line of a client that begins with another word is hidden whole, unless `is_lenient`: then
the protocol may be another one, whose secrets are not known.
"""

from __future__ import annotations

import re

HIDDEN = b"***"

_LINE_BYTES = 512  # of an unfinished line, to judge what follows: longer than any form above

_WITH_USERNAME = (b"JOIN", b"ENTER")
_WORDS = (*_WITH_USERNAME, b"RESUME")
_USERNAME = re.compile(rb"[^ ]* ")
_TYPED_PRIVATE = re.compile(rb":msg[ \t]+[^ \t]+[ \t]+", re.IGNORECASE)
_SHOWN_PRIVATE = re.compile(rb"\[Message from [^ ]+\]: ")


class Mask:
    """One direction of one connection."""

    __slots__ = ("_is_first", "_is_lenient", "_is_of_client", "_line")

    def __init__(self, is_of_client: bool, is_lenient: bool = False) -> None:
        self._is_of_client = is_of_client
        self._is_lenient = is_lenient
        self._is_first = True
        self._line = b""  # the unfinished line, or as much of it as decides

    def show(self, data: bytes, max_bytes: int) -> bytes:
        """The first `max_bytes` of `data`, the next bytes of the stream, without what is secret."""
        shown, line, is_first = [], self._line, self._is_first
        for place, piece in enumerate(data[:max_bytes].split(b"\n")):
            if place:
                line, is_first = b"", False
            whole = line + piece
            visible = max(0, self._count_visible(whole, is_first) - len(line))
            shown.append(piece if visible >= len(piece) else piece[:visible] + HIDDEN)
        self._remember(data)
        return b"\n".join(shown)

    def _remember(self, data: bytes) -> None:
        _, line_end, rest = data.rpartition(b"\n")
        self._line = ((b"" if line_end else self._line) + rest)[:_LINE_BYTES]
        self._is_first = self._is_first and not line_end

    def _count_visible(self, line: bytes, is_first: bool) -> int:
        """How many bytes at the start of `line`, which may be unfinished, are not secret."""
        if is_first:
            return self._count_of_request(line) if self._is_of_client else _count_of_answer(line)
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
