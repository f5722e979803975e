"""What the log comes to: the same for every node that has read as far.

In: entries, in the order of the log. Out: what each of them changes. There is no clock here and no
vote: the place of an entry in the log decides, and every reader decides alike.

    rule      what it says
    latest    U counts only above the highest incarnation that its node has ever had
    fence     an entry of an incarnation that is not alive does not count
    dedupe    an entry below the expected sequence has been read before and does not count
    gap       an entry above it does not count either: the log has lost what came before

Because of dedupe, a node may append its entry again until it has read it. Because of fence, an
entry that is under way when its author is declared dead does no harm. Because of latest, a process
that was declared dead needs no clock to enter again.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Annotated, NamedTuple

from cluster.records import (
    Author,
    DeadRecord,
    EnterRecord,
    JoinRecord,
    LeaveRecord,
    LinesRecord,
    NodeState,
    Record,
    Said,
    State,
)

HISTORY_BYTES: Annotated[
    int,
    "Bytes of lines that a snapshot keeps of what was said: as many as those who come late are "
    "shown at most.",
] = 64 * 1024

FIRST_ID = "0-0"
"""Where a log begins: no entry has this id."""

EMPTY = State()


class Entry(NamedTuple):
    """One entry of the log as it was read."""

    id: str
    author: Author
    sequence: int
    records: bytes

    @property
    def minute(self) -> int:
        """When it was appended, by the engine's clock: ids begin with its milliseconds."""
        return int(self.id.partition("-")[0]) // 60_000


class Verdict(Enum):
    """Whether an entry counts, and why it does not."""

    COUNTS = "counts"
    STALE = "latest"
    FENCED = "fence"
    REPEATED = "dedupe"
    GAP = "gap"


class Joined(NamedTuple):
    """`name` is a member from here on, on `node`."""

    name: str
    node: str


class Left(NamedTuple):
    """`name` is no longer a member. Its node may be dead."""

    name: str
    node: str


class NameTaken(NamedTuple):
    """A join of `node` came too late: another has the name."""

    name: str
    node: str


class Entered(NamedTuple):
    """A node has entered, perhaps in place of an older one of its name."""

    author: Author
    token: str


class Buried(NamedTuple):
    """This incarnation is over, and its members have left."""

    author: Author


Change = Joined | Left | NameTaken | Entered | Buried


class Seat:
    """A node that is alive: `expected` is the sequence of its next entry."""

    __slots__ = ("expected", "incarnation", "token")

    def __init__(self, incarnation: int, token: str, expected: int) -> None:
        self.incarnation = incarnation
        self.token = token
        self.expected = expected


class Replica:
    """The room as one node knows it: who is alive, and who is a member where.

    `seats` has the nodes that are alive, in the order in which they entered; `members` has
    (username, node) under the username in small letters, in join order; `history` has what was
    said last, `history_bytes` of it if there was so much.
    """

    def __init__(self, state: State = EMPTY, history_bytes: int | None = None) -> None:
        self.latest = {node.node: node.incarnation for node in state.nodes}
        """Node -> its highest incarnation ever, alive or dead."""
        self.seats = {
            node.node: Seat(node.incarnation, node.token, node.expected)
            for node in state.nodes
            if node.token
        }
        self._ends = {node.node: node.expected for node in state.nodes if not node.token}
        self.members = {name.lower(): (name, node) for name, node in state.members}
        self.history = deque(state.history)
        self._max_history_bytes = history_bytes or HISTORY_BYTES
        self._history_bytes = sum(len(said.lines) for said in state.history)

    @property
    def state(self) -> State:
        """All of it as a value: those alive first, in their order."""
        alive = [
            NodeState(node, seat.incarnation, seat.token, seat.expected)
            for node, seat in self.seats.items()
        ]
        dead = [
            NodeState(node, incarnation, "", self._ends[node])
            for node, incarnation in sorted(self.latest.items())
            if node not in self.seats
        ]
        return State((*alive, *dead), tuple(self.members.values()), tuple(self.history))

    def has(self, author: Author) -> bool:
        """Whether this incarnation is alive."""
        seat = self.seats.get(author.node)
        return seat is not None and seat.incarnation == author.incarnation

    def expected_of(self, author: Author) -> int:
        """The sequence that was last expected of the latest incarnation of a node, which may be
        dead; 0 for an older incarnation and for one that never entered."""
        if self.latest.get(author.node) != author.incarnation:
            return 0
        return self.seats[author.node].expected if self.has(author) else self._ends[author.node]

    def judge(self, entry: Entry, records: list[Record]) -> Verdict:
        """Whether `entry`, whose records these are, counts as the next one of the log."""
        node, incarnation = entry.author
        if records and isinstance(records[0], EnterRecord):
            is_latest = incarnation > self.latest.get(node, 0) and entry.sequence == 0
            return Verdict.COUNTS if is_latest else Verdict.STALE
        if not self.has(entry.author):
            return Verdict.FENCED
        expected = self.seats[node].expected
        if entry.sequence == expected:
            return Verdict.COUNTS
        return Verdict.REPEATED if entry.sequence < expected else Verdict.GAP

    def apply(self, entry: Entry, records: list[Record]) -> list[list[Change]]:
        """Take in an entry that counts: what each of its records changes."""
        author = entry.author
        if records and isinstance(records[0], EnterRecord):
            entered = self._enter(author, records[0].token)
            records = records[1:]
        else:
            entered = None
        self.seats[author.node].expected = entry.sequence + 1
        changes = [self._change(entry, record) for record in records]
        return changes if entered is None else [entered, *changes]

    # Details.

    def _enter(self, author: Author, token: str) -> list[Change]:
        changes = self._bury(author.node)
        self._ends.pop(author.node, None)
        self.latest[author.node] = author.incarnation
        self.seats[author.node] = Seat(author.incarnation, token, 0)
        return [*changes, Entered(author, token)]

    def _change(self, entry: Entry, record: Record) -> list[Change]:
        author = entry.author
        if not self.has(author):
            return []  # it has declared itself dead further up
        match record:
            case LinesRecord(lines):
                self._remember(Said(entry.minute, lines))
            case JoinRecord(name):
                return [self._join(name, author.node)]
            case LeaveRecord(name):
                return self._leave(name, author.node)
            case DeadRecord(dead) if self.has(dead):
                return self._bury(dead.node)
        return []

    def _remember(self, said: Said) -> None:
        self.history.append(said)
        self._history_bytes += len(said.lines)
        while self._history_bytes - len(self.history[0].lines) >= self._max_history_bytes:
            self._history_bytes -= len(self.history.popleft().lines)

    def _join(self, name: str, node: str) -> Change:
        if name.lower() in self.members:
            return NameTaken(name, node)
        self.members[name.lower()] = name, node
        return Joined(name, node)

    def _leave(self, name: str, node: str) -> list[Change]:
        if self.members.get(name.lower()) != (name, node):
            return []
        del self.members[name.lower()]
        return [Left(name, node)]

    def _bury(self, node: str) -> list[Change]:
        seat = self.seats.pop(node, None)
        if seat is None:
            return []
        self._ends[node] = seat.expected
        gone = [name for name, owner in self.members.values() if owner == node]
        left: list[Change] = [change for name in gone for change in self._leave(name, node)]
        return [*left, Buried(Author(node, seat.incarnation))]
