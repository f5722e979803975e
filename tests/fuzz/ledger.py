"""The reactor's one log with many cursors, against a list of bytes for each reader.

In: a script of Steps. Raised: AssertionError when a cursor is owed, or gives, anything but what a
queue of its own would hold. Only the arithmetic is played here, at any sizes and in any order;
tests/reactor plays whole turns of the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast
from unittest.mock import patch

from reactor import Connection, Cursor, Fanout, Reactor
from reactor.outbound import Outbound

SMALL_PAGE_BYTES = 8
"""In place of 16 KiB, so that pages are joined, and are not, in a script of a few bytes."""


class Step(NamedTuple):
    """`verb` is a method of Ledger; it concerns the reader `who` of those there are."""

    verb: str
    who: int = 0
    size: int = 1


class Holder:
    """What the fan-out asks of a connection that is never sent anything by a loop."""

    outbound: Outbound


class Reader:
    """A cursor, and what it is owed: in `sealed` what may be sent, in `unsealed` the rest.

    What is written to it alone is sealed as soon as all that stands before it is."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.sealed = bytearray()
        self.unsealed: list[tuple[bytes, bool]] = []  # (data, whether it is from the log)
        self.is_subscribed = True

    def owe(self, data: bytes, is_logged: bool) -> None:
        self.unsealed.append((data, is_logged))
        self._seal_own()

    def seal(self) -> None:
        self.sealed += b"".join(data for data, _ in self.unsealed)
        self.unsealed.clear()

    def _seal_own(self) -> None:
        while self.unsealed and not self.unsealed[0][1]:
            self.sealed += self.unsealed.pop(0)[0]

    @property
    def owed_bytes(self) -> int:
        return len(self.sealed) + sum(len(data) for data, _ in self.unsealed)


class Ledger:
    """The log, its readers, and what each is owed."""

    def __init__(self, reactor: Reactor) -> None:
        self._fanout = Fanout(reactor, after_turn=lambda: None)
        self._readers: list[Reader] = []
        self._count = 0

    def play(self, script: Iterable[Step]) -> None:
        for step in script:
            getattr(self, step.verb)(step.who, step.size)
            self._check()
        self.seal()
        for reader in self._readers:
            self._take(reader, len(reader.sealed))
        self._check()
        assert all(not reader.owed_bytes for reader in self._readers)
        self.drop()
        assert self._fanout.log.kept_bytes == 0

    def join(self, who: int = 0, size: int = 0) -> None:
        connection = cast(Connection, Holder())
        reader = Reader(self._fanout.subscribe(connection))
        if self._fanout.log.end > self._fanout.log.sealed_end:
            reader.owe(b"", is_logged=True)  # it stands behind what is not sealed yet
        self._readers.append(reader)

    def say(self, who: int, size: int) -> None:
        """Everybody is to read it."""
        self._say(size, None)

    def say_to_others(self, who: int, size: int) -> None:
        for reader in self._some(who):
            self._say(size, reader)

    def tell(self, who: int, size: int) -> None:
        """One reader alone is to read it."""
        for reader in self._some(who):
            data = self._data(size)
            reader.cursor.append(data)
            reader.owe(data, is_logged=False)

    def send(self, who: int, size: int) -> None:
        """The kernel takes so many bytes of what it is given."""
        for reader in self._some(who):
            self._take(reader, min(size, len(reader.sealed)))

    def stop(self, who: int, size: int = 0) -> None:
        for reader in self._some(who):
            self._fanout.unsubscribe(reader.cursor)
            reader.is_subscribed = False

    def discard(self, who: int, size: int = 0) -> None:
        for reader in self._some(who):
            reader.cursor.discard()
            self._readers.remove(reader)
            assert reader.cursor.owed_bytes == 0
            assert reader.cursor.pieces() == []

    def seal(self, who: int = 0, size: int = 0) -> None:
        """The turn ends: what was said becomes a page."""
        self._fanout.log.seal()
        for reader in self._readers:
            reader.seal()

    def drop(self, who: int = 0, size: int = 0) -> None:
        """Forget what nobody needs, as at the end of a turn."""
        self.seal()
        log = self._fanout.log
        needed = (reader.cursor.needed_from for reader in self._readers)
        log.drop_before(min(needed, default=log.sealed_end))

    def _say(self, size: int, skip: Reader | None) -> None:
        data = self._data(size)
        is_skipping = skip is not None and skip.is_subscribed
        self._fanout.broadcast(data, skip.cursor if skip and is_skipping else None)
        for reader in self._readers:
            if reader.is_subscribed and reader is not skip:
                reader.owe(data, is_logged=True)
            elif is_skipping and reader is skip:
                reader.owe(b"", is_logged=True)

    def _take(self, reader: Reader, size: int) -> None:
        given = b"".join(reader.cursor.pieces())
        assert given.startswith(reader.sealed[:size])
        reader.cursor.advance(size)
        del reader.sealed[:size]

    def _check(self) -> None:
        log = self._fanout.log
        for reader in self._readers:
            cursor, owed = reader.cursor, bytes(reader.sealed)
            assert cursor.owed_bytes == reader.owed_bytes
            pieces = cursor.pieces()
            assert all(pieces), "an empty piece"
            assert b"".join(pieces) == owed, f"gives {b''.join(pieces)!r} and owes {owed!r}"
            assert cursor.needed_from <= log.end
            assert cursor.kept_bytes >= cursor.owed_bytes >= 0

    def _some(self, who: int) -> list[Reader]:
        """The reader that is meant, if there are any."""
        return [self._readers[who % len(self._readers)]] if self._readers else []

    def _data(self, size: int) -> bytes:
        self._count += 1
        return (b"%d." % self._count * size)[:size]


def play(script: Iterable[Step]) -> None:
    """Play a script on a log of small pages."""
    reactor = Reactor(clock=lambda: 0.0)
    try:
        with patch("reactor.log.SMALL_PAGE_BYTES", SMALL_PAGE_BYTES):
            Ledger(reactor).play(script)
    finally:
        reactor.close()
