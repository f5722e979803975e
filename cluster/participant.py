"""This server as a part of the room: it enters, appends, is declared dead, and enters again.

In: what happens here, and the entries of the log, one by one. Out: what is to be appended, and what
is to be shown. Where entries come from, and whether the log is still the same, is cluster.node's.

    rule      what it says
    repeat    an entry is appended again until it was read back; dedupe makes that harmless
    buried    this node was declared dead while it lived: nothing is lost. Enter with the next
              incarnation, bring everyone along, and read on
    gap       an author whose sequence has a gap is declared dead: it enters anew, with all it has
    newer     another process has or had this node's name since: the older one ends
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from cluster.outputs import Ended, Heard, Item, Lost, Minute, Output, Past, Superseded
from cluster.queue import Append, Queue, UnderWay
from cluster.records import (
    Author,
    DeadRecord,
    EnterRecord,
    JoinRecord,
    LeaveRecord,
    LinesRecord,
    Record,
    SnapshotRecord,
    State,
    format_record,
    format_state,
    parse_records,
)
from cluster.replica import Buried, Change, Entered, Entry, Joined, Left, Replica, Verdict
from cluster.snapshots import Trimming
from cluster.view import Silence, View


class Phase(Enum):
    """How far a node has come."""

    READING = "reading"
    ENTERING = "entering"
    IN = "in"
    OVER = "over"


READING, ENTERING, IN, OVER = Phase


class Participant:
    """The node `name`, in the process `token`."""

    def __init__(
        self,
        name: str,
        token: str,
        max_entry_bytes: int,
        snapshot_bytes: int,
        history_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.replica = Replica()
        self.phase = READING
        self.incarnation = 0
        self.queue = Queue(max_entry_bytes)
        self._token = token
        self._view = View(name, self.queue)
        self._trimming = Trimming(snapshot_bytes)
        self._history_bytes = history_bytes
        self._minute = 0
        self._has_entered = False
        self._is_founder = False
        self._is_leaving = False
        self._suspects: set[Author] = set()  # whose end is in the queue

    @property
    def author(self) -> Author:
        return Author(self.name, self.incarnation)

    # For Node.

    def submit(self, item: Item) -> list[Output]:
        """Something happened here. What has no record is shown at once if nothing is before it."""
        if self.phase is OVER:
            return []
        self.queue.add(item)
        return self.queue.take_local()

    def leave(self) -> None:
        """Append what is in the queue, and then that this node is dead; Ended tells of it."""
        self._is_leaving = True

    def bury(self, author: Author) -> None:
        """That node does not answer: append that it is dead."""
        if self.replica.has(author) and author not in self._suspects and author != self.author:
            self._suspects.add(author)
            self.queue.add(Item(DeadRecord(author)))

    def next_append(self) -> Append | None:
        """What is to be appended, the same until it was read back."""
        if self.queue.under_way is None:
            self.queue.under_way = self._compose()
        return self.queue.under_way.append if self.queue.under_way else None

    def stop(self) -> list[Output]:
        """The log is read again: what comes of it is not shown until there is news in it."""
        output: list[Output] = []
        if self._view.silence is None:
            self._view.silence = Silence.FORGOTTEN
            output.append(Lost())
        if self.phase is IN:
            self.queue.old = self.queue.under_way
        self.queue.under_way = None
        self.phase = READING
        return output

    def start(
        self, state: State, ids: Iterable[str], anchor: str | None, is_founder: bool
    ) -> list[Output]:
        """Begin with what the entries with these ids come to: a snapshot reached up to the last of
        them, if there is any. Those behind it follow, and then `begin_anew`. A founder creates the
        log."""
        self.replica = Replica(state, self._history_bytes)
        self._is_founder = is_founder
        self._trimming.start(ids, anchor)
        self._suspects.clear()
        return self._settle_old()

    def begin_anew(self) -> list[Output]:
        """Enter with the next incarnation, unless a newer process has or had this name."""
        latest = self.replica.latest.get(self.name, 0)
        if self._has_entered and latest > self.incarnation:
            self.phase = OVER
            return [Superseded()]
        self.incarnation = max(latest, self.incarnation) + 1
        self.queue.under_way = None
        self.phase = ENTERING
        return []

    def take(self, entry: Entry, records: list[Record]) -> list[Output]:
        """The next entry of the log."""
        self._trimming.add(entry)
        verdict = self.replica.judge(entry, records)
        if verdict is Verdict.COUNTS:
            return self._apply(entry, records)
        if verdict is Verdict.GAP:
            return self._note_gap(entry.author)
        if verdict is Verdict.STALE and entry.author == self.author and self.phase is ENTERING:
            return self.begin_anew()  # another process was faster
        return []

    # Append.

    def _compose(self) -> UnderWay | None:
        if self.phase is ENTERING:
            joins = map(JoinRecord, self._view.here.values())
            return self._make([EnterRecord(self._token), *joins], is_first=self._is_founder)
        if self.phase is not IN:
            return None
        if self._trimming.is_due:
            state = format_state(self.replica.state)
            return self._make([SnapshotRecord(self._trimming.last_id, state)])
        if self.queue.has_records:
            return self._make(*self.queue.next_batch())
        if self._is_leaving:
            return self._make([DeadRecord(self.author)])
        return None

    def _make(
        self,
        records: list[Record],
        count: int = 0,
        items: tuple[Item, ...] = (),
        is_first: bool = False,
    ) -> UnderWay:
        is_entry = self.phase is ENTERING
        sequence = 0 if is_entry else self.replica.seats[self.name].expected
        data = b"".join(map(format_record, records))
        return UnderWay(Append(self.author, sequence, data, is_first), count, items)

    # Read.

    def _apply(self, entry: Entry, records: list[Record]) -> list[Output]:
        view, queue = self._view, self.queue
        is_news = view.is_news(entry.author, entry.sequence)
        output = view.speak(self.replica) if is_news else []
        output += self._note_minute(entry, records)
        changes = self.replica.apply(entry, records)
        view.mark(entry.author, entry.sequence)
        under_way = queue.find(entry)
        if under_way is None:
            output += self._show(records, changes) if view.silence is None else []
            output += self._note_twin(entry.author)
        elif self.phase is ENTERING and under_way is queue.under_way:
            output += self._note_entered(changes)
        else:
            output += self._note_appended(under_way, records, changes)
        is_ours = under_way is not None
        return output + self._trimming.note_counted(records, is_ours, self.phase is IN)

    def _note_minute(self, entry: Entry, records: list[Record]) -> list[Output]:
        """Lines are shown in the minute of their entry, which is the same for all nodes."""
        is_said = self._view.silence is None and any(isinstance(x, LinesRecord) for x in records)
        if not is_said or entry.minute == self._minute:
            return []
        self._minute = entry.minute
        return [Minute(entry.minute)]

    def _settle_old(self) -> list[Output]:
        """What was under way may be in the part of the log that the snapshot stands for."""
        old = self.queue.old
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
        output = self._view.speak(self.replica) + self._note_appended(old, records, changes)
        return [*output, Past(tuple(self.replica.history))]  # where our lines stand already

    def _has_or_had(self, name: str, is_alive: bool) -> bool:
        """Whether our join counted. If we were declared dead since, the name may be free again: the
        guest comes along with our next `U`."""
        owner = self.replica.members.get(name.lower())
        return owner == (name, self.name) or (owner is None and not is_alive)

    # What other nodes have appended; or this one, as an older incarnation.

    def _show(self, records: list[Record], changes: list[list[Change]]) -> list[Output]:
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
                    output += self._view.show_joined(name, node)
                case Left(name, _):
                    output += self._view.show_left(name)
                case Entered(author, token):
                    output += self._note_other_entered(author, token)
                case Buried(author):
                    output += self._note_buried(author)
        return output

    def _note_gap(self, author: Author) -> list[Output]:
        if author in self._suspects:
            return []
        self.bury(author)
        return [Lost()] if self._view.silence is None else []

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
        return self.begin_anew() if author == self.author and self.phase is IN else []

    def _note_buried(self, author: Author) -> list[Output]:
        self._suspects.discard(author)
        if author != self.author or self.phase is not IN:
            return []
        if self._is_leaving:
            self.phase = OVER
            return [Ended()]
        self.queue.old = self.queue.under_way = None
        return self.begin_anew()

    # Our own.

    def _note_entered(self, changes: list[list[Change]]) -> list[Output]:
        """Our `U` is in the log, and so are the members that we brought along."""
        self.phase = IN
        self._has_entered = True
        self._is_founder = False
        self.queue.under_way = self.queue.old = None
        output: list[Output] = []
        if self._view.silence is None:
            output = self._show_changes(changes[0])
        brought = [change for its_changes in changes[1:] for change in its_changes]
        output += self._view.show_brought(brought, self.replica)
        return output + self.queue.take_local()

    def _note_appended(
        self, under_way: UnderWay, records: list[Record], changes: list[list[Change]]
    ) -> list[Output]:
        """What happened here has its place now."""
        self.queue.finish(under_way)
        pairs = zip(records, changes, strict=True)
        steps = iter([step for record, step in pairs if not isinstance(record, LinesRecord)])
        output: list[Output] = []
        for item in under_way.items:
            is_step = item.record and not isinstance(item.record, LinesRecord)
            step = next(steps) if is_step else []
            is_end = isinstance(item.record, DeadRecord)
            output += self._show_changes(step) if is_end else self._view.place(item, step)
        for step in steps:
            output += self._show_changes(step)  # our own end
        return output + self.queue.take_local()


_ROOM_RECORDS = (EnterRecord, JoinRecord, LeaveRecord, DeadRecord, SnapshotRecord)
"""What all that is to be shown of is in the changes."""
