"""What a connection still owes its peer.

A Connection sends from an Outbound and knows nothing else about it. `Buffer` is the ordinary one,
bytes in the order they were written; `reactor.fanout` has another, which shares one log among
thousands.
"""

from __future__ import annotations

import os
from collections import deque
from itertools import islice
from typing import Protocol

MAX_PIECES = os.sysconf("SC_IOV_MAX")
"""Most pieces that one `sendmsg` takes (IOV_MAX; 1,024 on Linux and macOS)."""

Bytes = bytes | memoryview


class Outbound(Protocol):
    """A queue of bytes, read from its front by what sends them."""

    @property
    def owed_bytes(self) -> int:
        """How many bytes are queued."""

    def append(self, data: bytes) -> None:
        """Queue `data` behind all the rest."""

    def pieces(self) -> list[Bytes]:
        """The front of the queue, at most MAX_PIECES pieces, none empty; [] when nothing can be
        sent now. Nothing is taken out by this."""

    def advance(self, sent_bytes: int) -> None:
        """Take out the first `sent_bytes` of what `pieces` gave."""

    def discard(self) -> None:
        """Forget all of it, and all that is yet to come: no one is there any more."""


class Buffer:
    """Bytes in the order they were written. Its bound is its owner's: a protocol that may write
    more than its peer reads looks at `owed_bytes` and stops reading."""

    __slots__ = ("_is_discarded", "_pieces", "owed_bytes")

    def __init__(self) -> None:
        self._pieces: deque[Bytes] = deque()
        self._is_discarded = False
        self.owed_bytes = 0

    def append(self, data: bytes) -> None:
        if data and not self._is_discarded:
            self._pieces.append(data)
            self.owed_bytes += len(data)

    def pieces(self) -> list[Bytes]:
        return list(islice(self._pieces, MAX_PIECES))

    def advance(self, sent_bytes: int) -> None:
        self.owed_bytes -= sent_bytes
        pieces = self._pieces
        while sent_bytes and len(pieces[0]) <= sent_bytes:
            sent_bytes -= len(pieces.popleft())
        if sent_bytes:
            pieces[0] = memoryview(pieces[0])[sent_bytes:]

    def discard(self) -> None:
        self._pieces.clear()
        self._is_discarded = True
        self.owed_bytes = 0
