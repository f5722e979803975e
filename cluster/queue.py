"""What happened here and was not read back yet, in the order in which it happened.

In: items, as they happen, and entries, as they are read. Out: records for the next entry, as many
as it holds. What is appended stays first in the queue until it was read back: an entry is appended
again and again, always the same, and dedupe makes that harmless.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from cluster.outputs import Applied, Item, Output, Refused
from cluster.records import Author, JoinRecord, LinesRecord, Record, format_record
from cluster.replica import Entry


class Append(NamedTuple):
    """An entry to append. With `is_first` it may create the log; otherwise a log that is not there
    is not to be created, and that it is not there is to be told."""

    author: Author
    sequence: int
    records: bytes
    is_first: bool


class UnderWay(NamedTuple):
    """What is appended: the first `item_count` of the queue, of which `items` are in it."""

    append: Append
    item_count: int
    items: tuple[Item, ...]


class Batch(NamedTuple):
    """What goes into one entry, and how much of the queue that is."""

    records: list[Record]
    item_count: int
    items: tuple[Item, ...]


class Queue:
    """`under_way` is appended now; `old` was, by an incarnation that may still be heard: the node
    sets both."""

    def __init__(self, max_entry_bytes: int) -> None:
        self.under_way: UnderWay | None = None
        self.old: UnderWay | None = None
        self._max_entry_bytes = max_entry_bytes
        self._items: deque[Item] = deque()
        self._claims: dict[str, Item] = {}  # joins in the queue, by their names in small letters

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be appended or read back."""
        return not self._items and self.under_way is None

    @property
    def has_records(self) -> bool:
        """Whether there is anything to append."""
        return any(item.record and not item.is_dropped for item in self._items)

    def add(self, item: Item) -> None:
        """It happened behind all others."""
        self._items.append(item)
        if isinstance(item.record, JoinRecord):
            self._claims[item.record.name.lower()] = item

    def next_batch(self) -> Batch:
        """As many of the queue as one entry holds; lines that follow each other are one record."""
        records: list[Record] = []
        items: list[Item] = []
        free_bytes = self._max_entry_bytes
        count = 0
        for item in self._items:
            if item.record and not item.is_dropped:
                free_bytes -= len(format_record(item.record))
                if records and free_bytes < 0:
                    break
                records.append(item.record)
                items.append(item)
            elif item.record is None:
                items.append(item)
            count += 1
        return Batch(_merged(records), count, tuple(items))

    def find(self, entry: Entry) -> UnderWay | None:
        """Which of ours has been read back, if one has."""
        for under_way in (self.under_way, self.old):
            if under_way and under_way.append[:3] == entry[1:]:
                return under_way
        return None

    def finish(self, under_way: UnderWay) -> None:
        """It has been read back: its items are done."""
        for _ in range(under_way.item_count):
            self._items.popleft()
        self.under_way = self.old = None

    def take_local(self) -> list[Output]:
        """What stands first in the queue and has no record is in its place already."""
        output: list[Output] = []
        if any(under_way and under_way.item_count for under_way in (self.under_way, self.old)):
            return output
        while self._items and (self._items[0].record is None or self._items[0].is_dropped):
            item = self._items.popleft()
            if item.record is None:
                output.append(Applied(item))
        return output

    def refuse_claim(self, name: str) -> list[Output]:
        """A guest of ours may be waiting for the name that another has got."""
        item = self._claims.pop(name.lower(), None)
        if item is None or item.is_dropped:
            return []
        item.is_dropped = True
        return [Refused(item)]

    def end_claim(self, name: str, item: Item) -> None:
        """This join has its place."""
        if self._claims.get(name.lower()) is item:
            del self._claims[name.lower()]

    def drop(self, name: str) -> None:
        """What this member of ours has said, and was not read back, is not its own any more."""
        for item in self._items:
            if item.name == name:
                item.is_dropped = True


def _merged(records: list[Record]) -> list[Record]:
    """The same with lines that follow each other in one record."""
    merged: list[Record] = []
    lines: list[bytes] = []
    for record in records:
        if isinstance(record, LinesRecord):
            lines.append(record.lines)
            continue
        if lines:
            merged.append(LinesRecord(b"".join(lines)))
            lines = []
        merged.append(record)
    return [*merged, LinesRecord(b"".join(lines))] if lines else merged
