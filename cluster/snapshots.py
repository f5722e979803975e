"""When a snapshot is due, which one counts, and what may be deleted behind it.

In: the entries of the log, as they are read. Out: whether this node owes a snapshot; ids to delete.

    upto      a snapshot counts only if the entry that it reaches up to is in this log
    late      a place in the log may have been deleted only if more than SNAPSHOT_BYTES are behind
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Annotated

from cluster.outputs import Delete, Output
from cluster.records import Record, SnapshotRecord, State, parse_state
from cluster.replica import Entry

SNAPSHOT_BYTES: Annotated[
    int,
    "Bytes of entries behind a snapshot after which the next one is due: a start reads twice that.",
] = 4 * 1024 * 1024

ENTRY_BYTES: Annotated[
    int,
    "What an entry takes beside its records, about: so that a log of tiny ones is bounded too.",
] = 100


class Trimming:
    """How long the log is. `is_due`: this node owes a snapshot."""

    def __init__(self, snapshot_bytes: int) -> None:
        self.is_due = False
        self._snapshot_bytes = snapshot_bytes
        self._ids: deque[str] = deque()  # of the entries in the log
        self._anchor: str | None = None  # what the last snapshot reaches up to
        self._log_bytes = 0  # behind it

    @property
    def last_id(self) -> str:
        """Of the entry that was added last."""
        return self._ids[-1]

    def start(self, ids: Iterable[str], anchor: str | None) -> None:
        """The log has these entries up to the last snapshot; what is behind it follows."""
        self._ids = deque(ids)
        self._anchor = anchor
        self._log_bytes = 0
        self.is_due = False

    def add(self, entry: Entry) -> None:
        """The next entry of the log."""
        self._ids.append(entry.id)
        self._log_bytes += ENTRY_BYTES + len(entry.records)

    def note_counted(self, records: list[Record], is_ours: bool, may_owe: bool) -> list[Output]:
        """An entry counts. Who writes past the bound owes a snapshot; what is older than the one
        before is deleted, so that a node that is a little late finds all it needs. Nothing is
        deleted if two snapshots were written at nearly the same time."""
        for record in records:
            if isinstance(record, SnapshotRecord) and self._reaches_further(record.upto):
                is_long = self._log_bytes > self._snapshot_bytes
                self._log_bytes, self.is_due = 0, False
                before, self._anchor = self._anchor, record.upto
                ids = self._forget_before(before) if is_long else ()
                return [Delete(ids)] if is_ours and ids else []
            if isinstance(record, SnapshotRecord) and is_ours:
                self.is_due = False  # another has gone further
        if is_ours and self._log_bytes > self._snapshot_bytes and may_owe:
            self.is_due = True
        return []

    def _reaches_further(self, upto: str) -> bool:
        """Whether this entry is in the log, and behind the one of the last snapshot."""
        if upto not in self._ids:
            return False
        ids = self._ids
        return self._anchor not in ids or ids.index(upto) > ids.index(self._anchor or "")

    def _forget_before(self, id: str | None) -> tuple[str, ...]:
        ids: list[str] = []
        if id in self._ids:
            while self._ids[0] != id:
                ids.append(self._ids.popleft())
        return tuple(ids)


def may_be_late(entries: Sequence[Entry], is_end: bool, snapshot_bytes: int) -> bool:
    """Rule late. Whether the entries before these may have been deleted, because a reader took its
    time: `is_end` says that these are all that were there."""
    log_bytes = sum(ENTRY_BYTES + len(entry.records) for entry in entries)
    return not is_end or log_bytes > snapshot_bytes


def find_snapshot(entries: list[tuple[Entry, list[Record]]]) -> tuple[int, State, str | None]:
    """Rule upto. Which entry is the first behind the last snapshot that counts, its state, and the
    id that it reaches up to; the first of all where there is none."""
    places = {entry.id: place for place, (entry, _) in enumerate(entries)}
    first, state, upto = 0, State(), None
    for _, records in entries:
        for record in records:
            # One that was long under way reaches less far than one before it.
            if isinstance(record, SnapshotRecord) and places.get(record.upto, -1) >= first:
                first, upto = places[record.upto] + 1, record.upto
                state = parse_state(record.state)
    return first, state, upto
