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
    repeat    an entry is appended again until it was read back; dedupe makes that harmless
    anew      the last entry that was applied is not in the log any more: the log has forgotten.
              Read all of it again and enter with the next incarnation. Members keep what they have
              read, learn that lines may be missing, and then who is there now. An entry that they
              have been shown is not shown again: marks tell, by incarnation and sequence
    check     before a `U` is applied that is not awaited, ask whether the last entry is still
              there: a node that creates a deleted log enters it, and no connection breaks for that
    buried    this node was declared dead while it lived: nothing is lost. Enter with the next
              incarnation, bring everyone along, and read on
    upto      a snapshot counts only if the entry that it reaches up to is in this log
    gap       an author whose sequence has a gap is declared dead: it enters anew, with all it has
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, NamedTuple

from cluster import records as words
from cluster.records import (
    Author,
    DeadRecord,
    EnterRecord,
    JoinRecord,
    LeaveRecord,
    LinesRecord,
    Record,
    RecordError,
    SnapshotRecord,
    State,
    format_record,
    format_state,
    parse_records,
    parse_state,
)
from cluster.replica import (
    FIRST_ID,
    Buried,
    Change,
    Entered,
    Entry,
    Joined,
    Left,
    NameTaken,
    Replica,
    Verdict,
)

SNAPSHOT_BYTES: Annotated[
    int,
    "Bytes of entries behind a snapshot after which the next one is due: a start reads twice that.",
] = 4 * 1024 * 1024

ENTRY_BYTES: Annotated[
    int,
    "What an entry takes beside its records, about: so that a log of tiny ones is bounded too.",
] = 100

NEVER = 1 << 62
"""A sequence that no entry has."""


class Item:
    """One thing that happened here. `record` is what is appended for it: None if it concerns this
    node alone, and has to keep its place. `name` is the member's, "" if it is of the operator;
    `payload` is the driver's."""

    __slots__ = ("is_dropped", "name", "payload", "record")

    def __init__(self, record: Record | None, name: str = "", payload: object = None) -> None:
        self.record = record
        self.name = name
        self.payload = payload
        self.is_dropped = False


class Append(NamedTuple):
    """An entry to append. With `is_first` it may create the log; otherwise a log that is not there
    is not to be created, and that it is not there is to be told."""

    author: Author
    sequence: int
    records: bytes
    is_first: bool


# What is to be shown, beside replica.Joined and replica.Left.


class Applied(NamedTuple):
    """What happened here is in the log; this is its place."""

    item: Item


class Refused(NamedTuple):
    """This join came too late: another guest has the name."""

    item: Item


class Heard(NamedTuple):
    """What another node has said: LinesRecord, PrivateRecord, ListRecord or OrderRecord."""

    record: Record


class Present(NamedTuple):
    """A member that was there before this node was: no news to anyone."""

    name: str


class Evicted(NamedTuple):
    """A member of ours was declared dead with this node, and another has its name now."""

    name: str


class Lost(NamedTuple):
    """The log has forgotten: lines may be missing."""


class Superseded(NamedTuple):
    """A newer process has this node's name."""


class Ended(NamedTuple):
    """This node has left; all that it has submitted is in the log."""


class Delete(NamedTuple):
    """These entries are not needed any more."""

    ids: tuple[str, ...]


Output = (
    Applied
    | Refused
    | Heard
    | Joined
    | Left
    | Present
    | Evicted
    | Lost
    | Superseded
    | Ended
    | Delete
)


class Phase(Enum):
    """How far a node has come."""

    READING = "reading"
    ENTERING = "entering"
    IN = "in"
    OVER = "over"


READING, ENTERING, IN, OVER = Phase


class Silence(Enum):
    """Why members are not shown what is read: it is older than this process, or they have read it
    before the log forgot."""

    FRESH = "fresh"
    FORGOTTEN = "forgotten"


class _UnderWay(NamedTuple):
    """What is appended: the first `item_count` of the queue, of which `items` are in it."""

    append: Append
    item_count: int
    items: tuple[Item, ...]


class Node:
    """One server in the room. `name` is unique in the room, `token` unlike that of any other
    process. The engine's calls are made by the driver, and their answers come in here."""

    def __init__(
        self,
        name: str,
        token: str,
        max_entry_bytes: int | None = None,
        snapshot_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.replica = Replica()
        self.phase = READING
        self.incarnation = 0
        self.position = FIRST_ID
        """The id of the last entry that was read."""
        self.check: Entry | None = None
        """An entry, without its records: whether it is in the log is to be asked now."""
        self._token = token
        self._max_entry_bytes = max_entry_bytes or words.MAX_ENTRY_BYTES
        self._snapshot_bytes = snapshot_bytes or SNAPSHOT_BYTES
        self._queue: deque[Item] = deque()
        self._claims: dict[str, Item] = {}  # joins in the queue, by their names in small letters
        self._under_way: _UnderWay | None = None
        self._old: _UnderWay | None = None  # of an incarnation that may still be heard
        self._here: dict[str, str] = {}  # our members, whatever the log says of this node
        self._shown: dict[str, str] = {}  # who is there, by what our members have read
        self._silence: Silence | None = Silence.FRESH
        self._marks: dict[str, tuple[int, int]] = {}  # what was shown up to
        self._pages: list[Entry] = []
        self._held: deque[Entry] = deque()  # read, and not applied
        self._is_checked = False  # the first of them
        self._last: Entry | None = None
        self._has_entered = False
        self._is_founder = False
        self._is_leaving = False
        self._suspects: set[Author] = set()  # whose end is in the queue
        self._ids: deque[str] = deque()  # of the entries in the log
        self._anchor: str | None = None  # what the last snapshot reaches up to
        self._log_bytes = 0
        self._owes_snapshot = False

    # For the server.

    @property
    def author(self) -> Author:
        return Author(self.name, self.incarnation)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits here to be appended or read back."""
        return not self._queue and self._under_way is None and self.phase in (IN, OVER)

    def submit(self, item: Item) -> list[Output]:
        """Something happened here. What has no record is shown at once if nothing is before it."""
        if self.phase is OVER:
            return []
        self._queue.append(item)
        if isinstance(item.record, JoinRecord):
            self._claims[item.record.name.lower()] = item
        return self._show_local()

    def leave(self) -> None:
        """Append what is in the queue, and then that this node is dead; Ended tells of it."""
        self._is_leaving = True

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
        if self._under_way is None:
            self._under_way = self._compose()
        return self._under_way.append if self._under_way else None

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
        output: list[Output] = []
        if self._silence is None:
            self._silence = Silence.FORGOTTEN
            output.append(Lost())
        if self.phase is IN:
            self._old = self._under_way
        self._under_way = self._last = self.check = None
        self._pages = []
        self._held.clear()
        self.position = FIRST_ID
        self.phase = READING
        return output

    def bury(self, author: Author) -> None:
        """That node does not answer: append that it is dead."""
        if self.replica.has(author) and author not in self._suspects and author != self.author:
            self._suspects.add(author)
            self._queue.append(Item(DeadRecord(author)))

    # Append.

    def _compose(self) -> _UnderWay | None:
        if self.phase is ENTERING:
            return self._compose_entry()
        if self.phase is not IN:
            return None
        if self._owes_snapshot:
            state = format_state(self.replica.state)
            return self._make([SnapshotRecord(self.position, state)], 0, ())
        if any(item.record and not item.is_dropped for item in self._queue):
            return self._compose_items()
        if self._is_leaving:
            return self._make([DeadRecord(self.author)], 0, ())
        return None

    def _compose_entry(self) -> _UnderWay:
        joins = map(JoinRecord, self._here.values())
        return self._make([EnterRecord(self._token), *joins], 0, (), self._is_founder)

    def _compose_items(self) -> _UnderWay:
        """As many of the queue as one entry holds; lines that follow each other are one record."""
        records: list[Record] = []
        items: list[Item] = []
        free_bytes = self._max_entry_bytes
        count = 0
        for item in self._queue:
            if item.record and not item.is_dropped:
                free_bytes -= len(format_record(item.record))
                if records and free_bytes < 0:
                    break
                records.append(item.record)
                items.append(item)
            elif item.record is None:
                items.append(item)
            count += 1
        return self._make(_merged(records), count, tuple(items))

    def _make(
        self, records: list[Record], count: int, items: tuple[Item, ...], is_first: bool = False
    ) -> _UnderWay:
        is_entry = self.phase is ENTERING
        sequence = 0 if is_entry else self.replica.seats[self.name].expected
        data = b"".join(map(format_record, records))
        return _UnderWay(Append(self.author, sequence, data, is_first), count, items)

    # Read.

    def _start(self) -> list[Output]:
        """The log was read to its end: begin with its last snapshot, and enter."""
        entries, self._pages = [(entry, _parse(entry)) for entry in self._pages], []
        first, state, self._anchor = _find_snapshot(entries)
        self.replica = Replica(state)
        self._is_founder = not entries
        self._ids = deque(entry.id for entry, _ in entries[:first])
        self._log_bytes = 0
        self._owes_snapshot = False
        self._suspects.clear()
        output = self._settle_old()
        for entry, records in entries[first:]:
            output += self._take_one(entry, records)
        return output + self._begin_anew() if self.phase is not OVER else output

    def _settle_old(self) -> list[Output]:
        """What was under way may be in the part of the log that the snapshot stands for."""
        old = self._old
        if not old or self.replica.expected_of(old.append.author) <= old.append.sequence:
            return []
        is_alive = self.replica.has(old.append.author)
        records = parse_records(old.append.records)
        changes: list[list[Change]] = []
        for record in records:
            match record:
                case JoinRecord(name) if self._has_or_had(name, is_alive):
                    changes.append([Joined(name, self.name)])
                case _:
                    changes.append([])
        return self._speak() + self._note_appended(old, records, changes)

    def _has_or_had(self, name: str, is_alive: bool) -> bool:
        """Whether our join counted. If we were declared dead since, the name may be free again: the
        guest comes along with our next `U`."""
        owner = self.replica.members.get(name.lower())
        return owner == (name, self.name) or (owner is None and not is_alive)

    def _begin_anew(self) -> list[Output]:
        """Enter with the next incarnation, unless a newer process has or had this name."""
        latest = self.replica.latest.get(self.name, 0)
        if self._has_entered and latest > self.incarnation:
            self.phase = OVER
            return [Superseded()]
        self.incarnation = max(latest, self.incarnation) + 1
        self._under_way = None
        self.phase = ENTERING
        return []

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
        return output + self._show_local()

    def _needs_check(self, entry: Entry, records: list[Record]) -> bool:
        if self._is_checked or self._last is None or not records:
            return False
        under_way = self._find_under_way(entry)  # by its token, too
        # Our own `U` may have created a log anew, behind what was read of one that is gone.
        is_awaited = under_way is not None and not under_way.append.is_first
        return isinstance(records[0], EnterRecord) and not is_awaited

    def _take_one(self, entry: Entry, records: list[Record]) -> list[Output]:
        """The next entry of the log."""
        self.position = entry.id
        self._last = entry._replace(records=b"")
        self._ids.append(entry.id)
        self._log_bytes += ENTRY_BYTES + len(entry.records)
        verdict = self.replica.judge(entry, records)
        if verdict is Verdict.COUNTS:
            return self._apply(entry, records)
        if verdict is Verdict.GAP:
            return self._note_gap(entry.author)
        if verdict is Verdict.STALE and entry.author == self.author and self.phase is ENTERING:
            return self._begin_anew()  # another process was faster
        return []

    def _apply(self, entry: Entry, records: list[Record]) -> list[Output]:
        node, incarnation = entry.author
        mark = incarnation, entry.sequence + 1
        output: list[Output] = []
        if self._silence is Silence.FORGOTTEN and mark > self._marks.get(node, (0, 0)):
            output = self._speak()
        changes = self.replica.apply(entry, records)
        self._marks[node] = max(mark, self._marks.get(node, mark))
        under_way = self._find_under_way(entry)
        if under_way is None:
            output += self._show(records, changes) if self._silence is None else []
            output += self._note_twin(entry.author)
        elif self.phase is ENTERING and under_way is self._under_way:
            output += self._note_entered(changes)
        else:
            output += self._note_appended(under_way, records, changes)
        return output + self._note_snapshots(entry, records, under_way is not None)

    def _find_under_way(self, entry: Entry) -> _UnderWay | None:
        """Which of ours has been read back, if one has."""
        for under_way in (self._under_way, self._old):
            if under_way and under_way.append[:3] == entry[1:]:
                return under_way
        return None

    def _note_gap(self, author: Author) -> list[Output]:
        if author in self._suspects:
            return []
        self.bury(author)
        return [Lost()] if self._silence is None else []

    # Show.

    def _speak(self) -> list[Output]:
        """The silence is over: tell who has come and gone in it."""
        if self._silence is Silence.FRESH:
            output: list[Output] = []
            for name, _ in self.replica.members.values():
                output += [*self._refuse_claim(name), Present(name)]
                self._shown[name.lower()] = name
        else:
            output = self._show_difference()
        self._silence = None
        for node, incarnation in self.replica.latest.items():
            seat = self.replica.seats.get(node)
            mark = incarnation, seat.expected if seat else NEVER
            self._marks[node] = max(mark, self._marks.get(node, mark))
        return output

    def _show_difference(self) -> list[Output]:
        """From what our members have read to what the log comes to. What it says of our own is
        over with our next `U`. A name that is spelled in another way is another member's."""
        others = {x: member for x, member in self.replica.members.items() if member[1] != self.name}
        output: list[Output] = []
        for folded, name in list(self._shown.items()):
            if folded not in others or others[folded][0] != name:
                output += self._show_left(name)
        for name, node in others.values():
            output += self._show_joined(name, node)
        return output

    def _show(self, records: list[Record], changes: list[list[Change]]) -> list[Output]:
        """What another node has appended; or this one, as an older incarnation."""
        output: list[Output] = []
        for record, its_changes in zip(records, changes, strict=True):
            output += self._show_changes(its_changes)
            if not isinstance(record, _ROOM_RECORDS):
                output.append(Heard(record))
        return output

    def _show_changes(self, changes: list[Change]) -> list[Output]:
        output: list[Output] = []
        for change in changes:
            match change:
                case Joined(name, node):
                    output += self._show_joined(name, node)
                case Left(name, _):
                    output += self._show_left(name)
                case Entered(author, token):
                    output += self._note_other_entered(author, token)
                case Buried(author):
                    output += self._note_buried(author)
        return output

    def _show_joined(self, name: str, node: str) -> list[Output]:
        folded = name.lower()
        output = self._refuse_claim(name)
        if node != self.name and folded in self._here:
            mine = self._here.pop(folded)
            del self._shown[folded]
            self._drop(mine)
            output.append(Evicted(mine))
        if folded not in self._shown:
            self._shown[folded] = name
            output.append(Joined(name, node))
        return output

    def _show_left(self, name: str) -> list[Output]:
        folded = name.lower()
        if folded in self._here:
            return []  # declared dead with us: it comes along with our next `U`
        return [Left(name, "")] if self._shown.pop(folded, None) else []

    def _refuse_claim(self, name: str) -> list[Output]:
        """A guest of ours may be waiting for the name that another has got."""
        item = self._claims.pop(name.lower(), None)
        if item is None or item.is_dropped:
            return []
        item.is_dropped = True
        return [Refused(item)]

    def _drop(self, name: str) -> None:
        """What this member of ours has said, and was not read back, is not its own any more."""
        for item in self._queue:
            if item.name == name:
                item.is_dropped = True

    def _show_local(self) -> list[Output]:
        """What stands first in the queue and has no record is in its place already."""
        output: list[Output] = []
        if any(under_way and under_way.item_count for under_way in (self._under_way, self._old)):
            return output
        while self._queue and (self._queue[0].record is None or self._queue[0].is_dropped):
            item = self._queue.popleft()
            if item.record is None:
                output.append(Applied(item))
        return output

    # Our own.

    def _note_entered(self, changes: list[list[Change]]) -> list[Output]:
        """Our `U` is in the log, and so are the members that we brought along."""
        self.phase = IN
        self._has_entered = True
        self._is_founder = False
        self._under_way = self._old = None
        output: list[Output] = []
        if self._silence is None:
            output = self._show_changes(changes[0])
        for change in (change for its_changes in changes[1:] for change in its_changes):
            if isinstance(change, NameTaken) and change.name.lower() in self._here:
                output += self._show_joined(*self.replica.members[change.name.lower()])
        ghosts = [
            change.name
            for change in (change for its_changes in changes[1:] for change in its_changes)
            if isinstance(change, Joined) and change.name.lower() not in self._here
        ]
        if self._silence:
            output += self._speak()
        for name in ghosts:
            output += self._show_ghost(name)
        return output + self._show_local()

    def _show_ghost(self, name: str) -> list[Output]:
        """This member lost its name to another while our `U` was under way, which then got it back
        for us: nobody is there."""
        self._queue.append(Item(LeaveRecord(name), name))
        return self._show_joined(name, self.name)

    def _note_appended(
        self, under_way: _UnderWay, records: list[Record], changes: list[list[Change]]
    ) -> list[Output]:
        """What happened here has its place now."""
        for _ in range(under_way.item_count):
            self._queue.popleft()
        self._under_way = self._old = None
        pairs = zip(records, changes, strict=True)
        steps = iter([step for record, step in pairs if not isinstance(record, LinesRecord)])
        output: list[Output] = []
        for item in under_way.items:
            is_step = item.record and not isinstance(item.record, LinesRecord)
            output += self._place(item, next(steps) if is_step else [])
        for step in steps:
            output += self._show_changes(step)  # our own end
        return output + self._show_local()

    def _place(self, item: Item, changes: list[Change]) -> list[Output]:
        match item.record:
            case JoinRecord(name):
                return self._place_join(name, item, changes)
            case LeaveRecord(name):
                is_ours = any(isinstance(change, Left) for change in changes)
                if not item.is_dropped:
                    is_ours = self._here.pop(name.lower(), "") != "" or is_ours
                return [Applied(item)] if is_ours and self._show_left(name) else []
            case DeadRecord():
                return self._show_changes(changes)
        return [Applied(item)]

    def _place_join(self, name: str, item: Item, changes: list[Change]) -> list[Output]:
        if self._claims.get(name.lower()) is item:
            del self._claims[name.lower()]
        if not any(isinstance(change, Joined) for change in changes):
            return [] if item.is_dropped else [Refused(item)]
        self._here[name.lower()] = self._shown[name.lower()] = name
        if not item.is_dropped:
            return [Applied(item)]
        # Its guest was refused already, and then the name became free: nobody is there.
        self._queue.append(Item(LeaveRecord(name), name))
        return [*self._refuse_claim(name), Applied(item)]

    def _note_other_entered(self, author: Author, token: str) -> list[Output]:
        if author.node != self.name or token == self._token or not self._has_entered:
            return []
        if self.phase is OVER:
            return []  # as the older one was buried
        self.phase = OVER
        return [Superseded()]

    def _note_twin(self, author: Author) -> list[Output]:
        """What counts as ours was not ours: a log that has forgotten gave another process of this
        name the same incarnation."""
        return self._begin_anew() if author == self.author and self.phase is IN else []

    def _note_buried(self, author: Author) -> list[Output]:
        self._suspects.discard(author)
        if author != self.author or self.phase is not IN:
            return []
        if self._is_leaving:
            self.phase = OVER
            return [Ended()]
        self._old = self._under_way = None
        return self._begin_anew()

    def _note_snapshots(self, entry: Entry, records: list[Record], is_ours: bool) -> list[Output]:
        """Who writes past the bound owes a snapshot; what is older than the one before is deleted,
        so that a node that is a little late finds all it needs."""
        for record in records:
            if isinstance(record, SnapshotRecord) and self._reaches_further(record.upto):
                self._log_bytes, self._owes_snapshot = 0, False
                before, self._anchor = self._anchor, record.upto
                ids = self._forget_before(before)
                return [Delete(ids)] if is_ours and ids else []
            if isinstance(record, SnapshotRecord) and is_ours:
                self._owes_snapshot = False  # another has gone further
        if is_ours and self._log_bytes > self._snapshot_bytes and self.phase is IN:
            self._owes_snapshot = True
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


_ROOM_RECORDS = (EnterRecord, JoinRecord, LeaveRecord, DeadRecord, SnapshotRecord)
"""What all that is to be shown of is in the changes."""


def _parse(entry: Entry) -> list[Record]:
    """The records of an entry; one that cannot be read, of a later version say, has none."""
    try:
        return parse_records(entry.records)
    except RecordError:
        return []


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


def _find_snapshot(entries: list[tuple[Entry, list[Record]]]) -> tuple[int, State, str | None]:
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
