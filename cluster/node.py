"""What one server does about the log: what it appends, what it shows, when it begins anew.

In: what happens here (`submit`), entries that were read (`take`), and what the engine answered.
Out: what is to be shown, in order, as plain values; and what is wanted of the engine, in
`next_append`, `position` and `check`. The driver carries bytes, keeps time and repeats; it decides
nothing.

    READING   all of the log is read, to learn what it comes to
    ENTERING  `U` was appended, with a `J` for each member that is here, and was not read back yet
    IN        what happens here is appended, one entry under way at a time
    OVER      this node has left, or a newer process has its name

Nothing that happens here is shown before its entry was read back: that is what makes the order the
same for all. Until then its items wait in a queue; those that are under way are its first ones.

    rule      what it says
    anew      the last entry that was applied is not in the log any more: the log has forgotten.
              Read all of it again and enter with the next incarnation. Members keep what they have
              read, learn that lines may be missing, and then who is there now. An entry that they
              have been shown is not shown again: marks tell, by incarnation and sequence
    check     before a `U` is applied that is not awaited, ask whether the last entry is still
              there: a node that creates a deleted log enters it, and no connection breaks for that
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from cluster import records as words
from cluster import snapshots
from cluster.outputs import (
    Item,
    Output,
)
from cluster.participant import ENTERING, IN, OVER, READING, Participant, Phase
from cluster.queue import Append
from cluster.records import Author, EnterRecord, Record, RecordError, parse_records
from cluster.replica import FIRST_ID, Entry, Replica
from cluster.snapshots import find_snapshot


class Node:
    """One server in the room. `name` is unique in the room, `token` unlike that of any other
    process. The engine's calls are made by the driver, and their answers come in here."""

    def __init__(
        self,
        name: str,
        token: str,
        max_entry_bytes: int | None = None,
        snapshot_bytes: int | None = None,
        history_bytes: int | None = None,
    ) -> None:
        self.position = FIRST_ID
        """The id of the last entry that was read."""
        self.check: Entry | None = None
        """An entry, without its records: whether it is in the log is to be asked now."""
        self._part = Participant(
            name,
            token,
            max_entry_bytes or words.MAX_ENTRY_BYTES,
            snapshot_bytes or snapshots.SNAPSHOT_BYTES,
            history_bytes,
        )
        self._pages: list[Entry] = []
        self._held: deque[Entry] = deque()  # read, and not applied
        self._is_checked = False  # the first of them
        self._last: Entry | None = None

    # For the server.

    @property
    def name(self) -> str:
        return self._part.name

    @property
    def author(self) -> Author:
        return self._part.author

    @property
    def phase(self) -> Phase:
        return self._part.phase

    @property
    def replica(self) -> Replica:
        return self._part.replica

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits here to be appended or read back."""
        return self._part.queue.is_empty and self.phase in (IN, OVER)

    def submit(self, item: Item) -> list[Output]:
        """Something happened here. What has no record is shown at once if nothing is before it."""
        return self._part.submit(item)

    def leave(self) -> None:
        """Append what is in the queue, and then that this node is dead; Ended tells of it."""
        self._part.leave()

    # For the driver: what it wants.

    @property
    def is_reading(self) -> bool:
        """Whether a read is to answer at once, empty where the log ends."""
        return self.phase is READING

    @property
    def predecessor(self) -> Author | None:
        """The node that this one asks about: the one that entered before it, in a ring."""
        seats = self.replica.seats
        if self.phase is not IN or len(seats) < 2:
            return None
        names = [*seats]
        before = names[names.index(self.name) - 1]
        return Author(before, seats[before].incarnation)

    def next_append(self) -> Append | None:
        """What is to be appended, the same until it was read back."""
        return self._part.next_append()

    # For the driver: what it learned.

    def take(self, entries: Iterable[Entry], is_end: bool = False) -> list[Output]:
        """The log has these entries behind `position`, which is in it; `is_end`: and no more."""
        if self.phase is not READING:
            self._held.extend(entries)
            return self._go_on()
        self._pages += entries
        if self._pages:
            self.position = self._pages[-1].id
        return self._start() if is_end else []

    def note_checked(self, is_there: bool) -> list[Output]:
        """Whether `check` is in the log."""
        self.check = None
        if not is_there:
            return self.note_lost()
        self._is_checked = bool(self._held)
        return self._go_on()

    def doubt(self) -> None:
        """Ask whether the last entry is there, now and then: a log that was created anew on a
        machine whose clock is behind wakes no reader."""
        if self.phase in (ENTERING, IN) and not self._held:
            self.check = self._last

    def note_lost(self) -> list[Output]:
        """Rule anew. What was read last, or the whole log, is not there."""
        if self.phase is OVER:
            return []
        self._last = self.check = None
        self._pages = []
        self._held.clear()
        self.position = FIRST_ID
        return self._part.stop()

    def bury(self, author: Author) -> None:
        """That node does not answer: append that it is dead."""
        self._part.bury(author)

    # Read.

    def _start(self) -> list[Output]:
        """The log was read to its end: begin with its last snapshot, and enter."""
        entries, self._pages = [(entry, _parse(entry)) for entry in self._pages], []
        first, state, anchor = find_snapshot(entries)
        ids = [entry.id for entry, _ in entries[:first]]
        output = self._part.start(state, ids, anchor, is_founder=not entries)
        for entry, records in entries[first:]:
            output += self._take_one(entry, records)
        return output + self._part.begin_anew() if self.phase is not OVER else output

    def _go_on(self) -> list[Output]:
        """Apply what was read, up to where something has to be asked first."""
        output: list[Output] = []
        while self._held and self.phase in (ENTERING, IN):
            entry = self._held[0]
            records = _parse(entry)
            if self._needs_check(entry, records):
                self.check = self._last
                break
            self._is_checked = False
            self._held.popleft()
            output += self._take_one(entry, records)
        return output + self._part.queue.take_local()

    def _needs_check(self, entry: Entry, records: list[Record]) -> bool:
        if self._is_checked or self._last is None or not records:
            return False
        under_way = self._part.queue.find(entry)  # by its token, too
        # Our own `U` may have created a log anew, behind what was read of one that is gone.
        is_awaited = under_way is not None and not under_way.append.is_first
        return isinstance(records[0], EnterRecord) and not is_awaited

    def _take_one(self, entry: Entry, records: list[Record]) -> list[Output]:
        """The next entry of the log."""
        self.position = entry.id
        self._last = entry._replace(records=b"")
        return self._part.take(entry, records)


def _parse(entry: Entry) -> list[Record]:
    """The records of an entry; one that cannot be read, of a later version say, has none."""
    try:
        return parse_records(entry.records)
    except RecordError:
        return []
