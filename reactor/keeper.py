"""Members that may lose their connection and go on at the byte where it broke.

In: a Fanout, and KeptCursors that are subscribed to it. Out: cursors that outlive their
connections. Bytes that were sent may not have been received: a KeptCursor can go back to any of the
last KEPT_BYTES that were sent, and further if nothing was dropped yet. Nothing is copied for that:

- The log, which all members share, is kept KEPT_BYTES longer than it is needed, and for a cursor
  without a connection from KEPT_BYTES before its position.
- A cursor remembers the splices that it has passed. Between two splices it counts nothing: its
  position tells how far the stream has come.

The limits below bound all of it. A cursor that would exceed them is given up, and its owner is
told; the cursor that was without a connection for the longest goes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Annotated, NamedTuple

from reactor import fanout as limits
from reactor import flow
from reactor.connection import Connection
from reactor.fanout import Cursor, Fanout, Splice
from reactor.outbound import Buffer

KEPT_BYTES: Annotated[
    int,
    "Bytes that are kept after they were sent to a member that may resume: kernels and relays may "
    "have taken and lost them.",
] = 256 * 1024

MAX_ABSENT_MEMBERS: Annotated[
    int,
    "Members without a connection whose places are kept; for one more, the one that was absent "
    "longest leaves. An absent member also leaves when it would be behind if it came back "
    "(reactor.flow).",
] = 1024


class Place(NamedTuple):
    """A point in what was sent: the byte of the stream, the log's `position` there, and the splices
    behind it that were passed."""

    sent_bytes: int
    position: int
    passed: list[Splice]


class KeptCursor(Cursor):
    """A Cursor that can go back, and is kept when its connection is gone.

    The first `uncounted_bytes` that are written to it are not part of the stream: they are the
    answer that lets the member in. `skip` of a broadcast must not name it: each of its splices adds
    bytes, and none leaves bytes out.
    """

    __slots__ = (
        "_base",
        "_keeper",
        "_passed",
        "is_attached",
        "passed_private_bytes",
    )

    def __init__(self, keeper: Keeper, connection: Connection, uncounted_bytes: int = 0) -> None:
        super().__init__(keeper.fanout, connection)
        self._keeper = keeper
        self._base = Place(-uncounted_bytes, self.position, [])  # the first it can go back to
        self._passed: deque[Splice] = deque()  # since then
        self.passed_private_bytes = 0
        """How many bytes that were written to this member alone are sent and still kept."""
        self.is_attached = True
        """Whether it has a connection."""
        keeper.cursors[self] = None

    # For its owner.

    @property
    def sent_bytes(self) -> int:
        """How many bytes of the stream were sent."""
        log_bytes = self.position - self._base.position
        return self._base.sent_bytes + log_bytes + self.passed_private_bytes

    @property
    def unsent_bytes(self) -> int:
        """How many bytes are queued, with or without a connection."""
        return self._end - self.position + self._splice_bytes

    def find(self, sent_bytes: int) -> Place | None:
        """The place behind so many bytes of the stream; None if they were not sent, or if the bytes
        behind them are no longer kept."""
        at, position, _ = self._base
        if not at <= sent_bytes <= self.sent_bytes:
            return None
        passed = list(self._passed)
        while passed:
            splice = passed[0]
            at += splice.start - position
            if sent_bytes <= at:
                position = splice.start - (at - sent_bytes)
                break
            position = splice.start
            rest = at + len(splice.data) - sent_bytes
            if rest > 0:
                passed[0] = splice._replace(data=memoryview(splice.data)[-rest:])
                break
            at += len(splice.data)
            del passed[0]
        else:
            position += sent_bytes - at
        return Place(sent_bytes, position, passed) if position >= self._fanout.log.start else None

    def attach(self, connection: Connection, sent_bytes: int) -> bool:
        """Go on behind so many bytes of the stream on a new connection, to which nothing may be
        owed. What came before is no longer kept. False if that is not possible (`find`)."""
        place = self.find(sent_bytes)
        if place is None:
            return False
        self._keeper.note_attached(self)
        self.forget_passed()
        self._base = Place(place.sent_bytes, place.position, [])
        self.position = place.position
        splices = deque([*place.passed, *self.splices])
        self.splices = deque()
        self._splice_bytes = self.private_bytes = 0
        for splice in splices:
            self._add_splice(splice)
        self.is_attached = True
        self.connection = connection
        connection.outbound = self
        self._fanout.resubscribe(self)
        return True

    def release(self) -> None:
        """Keep nothing for a later connection: this member has left."""
        self._keeper.cursors.pop(self, None)
        self.forget_passed()
        if not self.is_attached:
            self._keeper.note_attached(self)
            super().discard()

    def forget_passed(self) -> None:
        """Forget what was sent to this member alone: from now on it cannot go back past it."""
        self._keeper.passed.pop(self, None)
        while self._passed:
            self._forget_first()

    # For the connection and the fan-out.

    @property
    def owed_bytes(self) -> int:
        return self.unsent_bytes if self.is_attached else 0

    def append(self, data: bytes) -> None:
        if self.is_attached:
            super().append(data)
        elif self in self._keeper.cursors:
            self._add_splice(Splice(self._end, self._end, data))
            self._keeper.note_written()

    def advance(self, sent_bytes: int) -> None:
        if not self.is_attached:
            return  # the send has failed
        if not self.splices or self not in self._keeper.cursors:
            super().advance(sent_bytes)
        elif sent_bytes == self.owed_bytes:
            self._remember(list(self.splices))
            super().advance(sent_bytes)
        else:
            self._advance_by_splices(sent_bytes)

    def stop(self) -> None:
        self.release()
        super().stop()

    def discard(self) -> None:
        """The connection is gone, and what is owed is kept."""
        if self not in self._keeper.cursors:
            super().discard()
        elif self.is_attached:
            self._fanout.forget(self)
            self.is_attached = False
            self.connection.outbound = gone = Buffer()
            gone.discard()
            self._keeper.note_detached(self)

    # Details.

    def _advance_by_splices(self, sent_bytes: int) -> None:
        """Remember each splice on the way, the last perhaps in part."""
        while self.splices:
            splice = self.splices[0]
            gap_bytes = splice.start - self.position
            if sent_bytes <= gap_bytes:
                break
            part = splice.data[: sent_bytes - gap_bytes]
            self._remember([splice._replace(data=part)])
            super().advance(gap_bytes + len(part))
            sent_bytes -= gap_bytes + len(part)
            if not sent_bytes:
                return
        super().advance(sent_bytes)

    def _remember(self, splices: list[Splice]) -> None:
        """Note that these were passed, and forget those before the last KEPT_BYTES."""
        if self not in self._keeper.cursors:
            return
        for splice in splices:
            self._passed.append(splice)
            self.passed_private_bytes += len(splice.data)
        self._keeper.note_passed(self, sum(len(splice.data) for splice in splices))
        floor = self.sent_bytes - KEPT_BYTES
        while self._passed and self._first_passed_end() <= floor:
            self._forget_first()

    def _first_passed_end(self) -> int:
        """How far the stream had come behind the first that is remembered."""
        splice = self._passed[0]
        return self._base.sent_bytes + splice.start - self._base.position + len(splice.data)

    def _forget_first(self) -> None:
        sent_bytes = self._first_passed_end()
        splice = self._passed.popleft()
        self._base = Place(sent_bytes, splice.start, [])
        self.passed_private_bytes -= len(splice.data)
        self._keeper.passed_private_bytes -= len(splice.data)


class Keeper:
    """All KeptCursors of one Fanout. `on_given_up` is called at the end of a turn for each that can
    no longer be kept; the owner releases it then or later."""

    def __init__(self, fanout: Fanout, on_given_up: Callable[[KeptCursor], None]) -> None:
        self.fanout = fanout
        fanout.find_floor = self._find_floor
        self._on_given_up = on_given_up
        self.cursors: dict[KeptCursor, None] = {}
        """All that are kept."""
        self.detached: dict[KeptCursor, None] = {}
        """Those without a connection; the one that was without it longest comes first."""
        self.passed: dict[KeptCursor, None] = {}
        """Those that remember splices; the one that passed its last splice longest ago comes
        first."""
        self.passed_private_bytes = 0
        self._is_review_due = False
        self._lowest_position = 0  # of those without a connection
        self._review_end = 0  # the log's end at which one of them may first be owed too much

    # For KeptCursor.

    def note_detached(self, cursor: KeptCursor) -> None:
        self.detached[cursor] = None
        self.note_written()

    def note_attached(self, cursor: KeptCursor) -> None:
        self.detached.pop(cursor, None)
        self._is_review_due = True

    def note_written(self) -> None:
        """Something was written to one without a connection, or one is new among them."""
        self._is_review_due = True
        self.fanout.queue_turn()

    def note_passed(self, cursor: KeptCursor, private_bytes: int) -> None:
        """If too much is kept, forget the oldest: a member that passed its splices long ago has
        most likely received them."""
        self.passed.pop(cursor, None)
        self.passed[cursor] = None
        self.passed_private_bytes += private_bytes
        if self.passed_private_bytes > limits.MAX_PRIVATE_BYTES:
            self._forget_oldest()

    # Details.

    def _find_floor(self, floor: int) -> int:
        if not self.cursors:
            return floor
        if self.detached:
            if self._is_review_due or self.fanout.log.end > self._review_end:
                self._review()
            floor = min(floor, self._lowest_position)
        return floor - KEPT_BYTES

    def _review(self) -> None:
        """Give up cursors that are owed too much; and while all together are owed too much, the one
        that was absent longest."""
        self._is_review_due = False
        log_end = self.fanout.log.end
        kept: deque[KeptCursor] = deque()
        most_kept_bytes = 0  # the most that waits for one of them
        for cursor in self.detached:
            unsent_bytes = max(log_end - cursor.position, cursor.unsent_bytes)
            if unsent_bytes > _most_unsent_bytes():
                self._on_given_up(cursor)
            else:
                kept.append(cursor)
                most_kept_bytes = max(most_kept_bytes, unsent_bytes)
        private_bytes = sum(x.private_bytes + x.passed_private_bytes for x in kept)
        while len(kept) > MAX_ABSENT_MEMBERS or private_bytes > limits.MAX_PRIVATE_BYTES:
            cursor = kept.popleft()
            private_bytes -= cursor.private_bytes + cursor.passed_private_bytes
            self._on_given_up(cursor)
        self.detached = dict.fromkeys(kept)
        self._lowest_position = min((x.position for x in kept), default=log_end)
        self._review_end = log_end + _most_unsent_bytes() - most_kept_bytes

    def _forget_oldest(self) -> None:
        for cursor in list(self.passed):
            if cursor.is_attached:
                cursor.forget_passed()
                if self.passed_private_bytes <= limits.MAX_PRIVATE_BYTES:
                    return


def _most_unsent_bytes() -> int:
    """What may wait for a cursor without a connection. With this bound it is not behind when it is
    back, even if KEPT_BYTES have to be sent again."""
    return flow.SEND_QUEUE_BYTES - KEPT_BYTES
