"""Two to five servers on a simulated engine, one schedule from each seed, under invariants.

    python -m tests.cluster.world 0-199        these seeds; what fails is told

The engine keeps entries, and all that an engine and a network may do to them happens by chance:
appends are lost, delayed, doubled and refused, readers wait and are cut off, and in half of the
seeds the log forgets its end, or is deleted, perhaps with its clock set back. Nodes crash, leave,
are cut off, are declared dead while they live, and meet others of their own name. Then all heals.

Numbers in complaints are those of the invariants in docs/CLUSTER.md.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from random import Random

from cluster.node import Node
from cluster.outputs import (
    Applied,
    Delete,
    Ended,
    Evicted,
    Heard,
    Item,
    Lost,
    Output,
    Past,
    Present,
    Refused,
    Superseded,
)
from cluster.participant import ENTERING, IN, OVER
from cluster.queue import Append
from cluster.records import (
    Author,
    JoinRecord,
    LeaveRecord,
    LinesRecord,
    ListRecord,
    OrderRecord,
    PrivateRecord,
    Record,
)
from cluster.replica import FIRST_ID, Entry, Joined, Left
from cluster.snapshots import may_be_late
from tests.cluster.model import Outcome, outcome_of

STEPS = 300

NAMES = ("Ann", "ANN", "Bob", "Cid", "Dan", "Eve")
"""Two of them are one name."""

MAX_ENTRY_BYTES, SNAPSHOT_BYTES, HISTORY_BYTES = 120, 2500, 20
"""Small enough to be met all the time."""

DAY = 100_000
"""By which a clock is set back: more entries than a schedule has."""

MOST_ROUNDS = 300
"""In which all that is under way has come to its end, once nothing goes wrong any more."""


class Engine:
    """The log. `history` has what was trimmed, too: all that the log has not forgotten."""

    def __init__(self) -> None:
        self.history: list[Entry] = []
        self.numbers: list[int] = []  # of the ids of these, which ascend
        self.trimmed: set[str] = set()
        self.is_there = False
        self.has_forgotten = False
        self.clock = 100 * DAY

    @property
    def log(self) -> list[Entry]:
        return [entry for entry in self.history if entry.id not in self.trimmed]

    def append(self, append: Append) -> bool:
        """False: the log is not there, and this one may not create it."""
        if not self.is_there and not append.is_first:
            return False
        self.is_there = True
        self.clock += 1
        self.history.append(Entry(f"{self.clock}-0", *append[:3]))
        self.numbers.append(self.clock)
        return True

    def has(self, id: str, author: Author | None = None, sequence: int = 0) -> bool:
        place = bisect_left(self.numbers, _number(id))
        found = self.history[place : place + 1] if id not in self.trimmed else []
        return id == FIRST_ID or any(
            entry.id == id and author in (None, entry.author) and sequence in (0, entry.sequence)
            for entry in found
        )

    def read(self, after: str, count: int) -> list[Entry]:
        start = bisect_right(self.numbers, _number(after))
        entries = (self.history[place] for place in range(start, len(self.history)))
        return [*islice((x for x in entries if x.id not in self.trimmed), count)]

    def forget(self, chance: Random) -> None:
        self.has_forgotten = True
        what = chance.random()
        if what < 0.5:  # a replica was promoted that had not got all
            count = chance.randint(1, 6)
            del self.history[-count:], self.numbers[-count:]
        else:  # the key was deleted or evicted
            self.history.clear()
            self.numbers.clear()
            self.is_there = False
            if chance.random() < 0.2:
                self.clock -= DAY  # and its clock was set back


def _number(id: str) -> int:
    return int(id.partition("-")[0])


class Server:
    """One process: its node, its people, and what they are shown."""

    def __init__(self, world: World, name: str, token: str) -> None:
        self.world = world
        self.node = Node(name, token, MAX_ENTRY_BYTES, SNAPSHOT_BYTES, HISTORY_BYTES)
        self.is_alive = True
        self.is_cut_off = False
        self.is_waiting = False  # its reader, at the end of the log
        self.has_looked = False  # whether its place is there, since it was connected
        self.is_told = False
        self.late: list[Append] = []  # on their way
        self.sent: Append | None = None
        self.members: set[str] = set()
        self.leaving: set[str] = set()
        self.claims: set[str] = set()
        self.submitted: list[Item] = []
        self.present: dict[str, str] = {}
        self.lines: list[bytes] = []  # that it has shown
        self.history: list[bytes] = []  # for those who come late

    @property
    def is_at_rest(self) -> bool:
        is_at_end = self.is_waiting and not self.world.engine.read(self.node.position, 1)
        return is_at_end and self.node.is_quiet

    # What people do.

    def submit(self, record: Record | None, name: str) -> None:
        item = Item(record, name)
        self.submitted.append(item)
        self.show(self.node.submit(item))

    def join(self, name: str) -> None:
        folded = name.lower()
        if folded not in self.present and folded not in {claim.lower() for claim in self.claims}:
            self.claims.add(name)
            self.submit(JoinRecord(name), name)

    def talk(self, chance: Random) -> None:
        if not (talkers := sorted(self.members - self.leaving)):
            return
        name = chance.choice(talkers)
        kind = chance.random()
        if kind < 0.2:
            self.leaving.add(name)
            self.submit(LeaveRecord(name), name)
        elif kind < 0.3:
            self.submit(chance.choice([None, ListRecord(name), OrderRecord("say", b"x")]), name)
        elif kind < 0.4:
            self.submit(PrivateRecord(name, "Bob", self.world.make_line(self, name)), name)
        else:
            self.submit(LinesRecord(self.world.make_line(self, name)), name)

    # What comes of it.

    def show(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Applied(item):
                    self._place(item)
                case Refused(item):
                    self._pop(item)
                    self.claims.remove(item.name)
                case Heard(LinesRecord(lines)):
                    self.lines += lines.splitlines(keepends=True)
                    self.history += lines.splitlines(keepends=True)
                case Past(history):
                    self.history = b"".join(x.lines for x in history).splitlines(keepends=True)
                case Heard(PrivateRecord(_, _, line)):
                    self.lines.append(line)
                case Present(name) | Joined(name, _):
                    self._join(name)
                    self.world.look(
                        name not in self.members, "3: a member's name was granted again"
                    )
                case Left(name, _):
                    self._leave(name)
                case Evicted(name):
                    self.members.discard(name)  # a refused guest is none
                    self.world.evicted.add((self.node, name))
                    self.submitted = [item for item in self.submitted if item.name != name]
                    self._leave(name)
                case Lost():
                    self.is_told = True
                case Delete(ids):
                    self.world.engine.trimmed.update(ids)
                case Superseded() | Ended():
                    self.is_alive = False

    def _pop(self, item: Item) -> None:
        """What was submitted first has its answer first; a refusal may come early."""
        if item in self.submitted:
            is_early = isinstance(item.record, JoinRecord) and item.is_dropped
            self.world.look(is_early or self.submitted[0] is item, "5: an item overtook another")
            self.submitted.remove(item)

    def _place(self, item: Item) -> None:
        self._pop(item)
        match item.record:
            case JoinRecord(name):
                if not item.is_dropped:
                    self.claims.remove(name)
                    self.members.add(name)
                self._join(name)
            case LeaveRecord(name):
                self.members.discard(name)
                self.leaving.discard(name)
                self._leave(name)
            case LinesRecord(line):
                self.lines.append(line)
                self.history.append(line)
            case PrivateRecord(_, _, line):
                self.lines.append(line)

    def _join(self, name: str) -> None:
        self.world.look(name.lower() not in self.present, "4: joined, and was there")
        claimed = {claim.lower() for claim in self.claims}
        self.world.look(name.lower() not in claimed, "3: joined where a guest waits for the name")
        self.present[name.lower()] = name

    def _leave(self, name: str) -> None:
        self.world.look(self.present.pop(name.lower(), None) == name, "4: left, and was not there")

    # The driver.

    def append(self, fate: float) -> None:
        append = self.node.next_append()
        if append is None or self.is_cut_off:
            return
        if append is self.sent:
            self.node.doubt()  # not read back for long
        self.sent = append
        if fate < 0.2:
            self.late.append(append)
            return
        if fate < 0.3:
            return  # lost on its way, or refused for want of memory
        is_there = self.world.engine.append(append)
        if not is_there and fate > 0.4:
            self.show(self.node.note_lost())

    def read(self, count: int) -> None:
        engine, node = self.world.engine, self.node
        if self.is_cut_off or node.phase is OVER:
            return
        if asked := node.check:
            is_there = engine.has(asked.id, asked.author, asked.sequence)
            if not is_there:
                self.world.note_missing(self)
            self.show(node.note_checked(is_there))
            return
        entries = engine.read(node.position, count)
        is_late = may_be_late(entries, len(entries) < count, SNAPSHOT_BYTES)
        looks = is_late or node.is_reading or not self.has_looked
        if looks and not engine.has(node.position):
            self.world.note_missing(self)
            self.has_looked = False
            self.show(node.note_lost())
            return
        self.has_looked = True
        self.is_waiting = not entries and not node.is_reading
        if entries or node.is_reading:
            self.show(node.take(entries, is_end=len(entries) < count))

    def ask(self) -> None:
        """Whether the predecessor is alive; and, since that takes a call anyway, the log."""
        if not self.is_cut_off and (author := self.node.predecessor):
            if author not in self.world.subscribed:
                self.node.bury(author)
            self.node.doubt()


class World:
    """One schedule."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.engine = Engine()
        self.servers: list[Server] = []
        self.evicted: set[tuple[Node, str]] = set()
        self.said: dict[bytes, tuple[Server, str]] = {}
        self.is_slow_allowed = False
        self.complaints: list[str] = []
        self.forgets = bool(seed % 2)
        self.names = [f"n{number}" for number in range(self.chance.randint(2, 5))]
        for name in self.names:
            self.start(name)

    def start(self, name: str) -> None:
        self.servers.append(Server(self, name, f"{len(self.servers):x}"))

    @property
    def alive(self) -> list[Server]:
        return [server for server in self.servers if server.is_alive]

    @property
    def subscribed(self) -> set[Author]:
        return {
            server.node.author
            for server in self.alive
            if not server.is_cut_off and server.node.phase in (ENTERING, IN)
        }

    def make_line(self, server: Server, name: str) -> bytes:
        line = b"%d\n" % len(self.said)
        self.said[line] = server, name
        return line

    def look(self, holds: bool, complaint: str) -> None:
        if not holds:
            self.complaints.append(complaint)

    def note_missing(self, server: Server) -> None:
        """A reader's place is gone: it was trimmed before it came to read on, or forgotten."""
        self.is_slow_allowed = True

    # A schedule.

    def run(self) -> list[str]:
        """Play it: what did not hold."""
        for _ in range(STEPS):
            self.step()
            if self.complaints:
                return self.complaints
        self.heal()
        if not self.complaints:
            self.judge()
        return self.complaints

    def step(self) -> None:
        chance = self.chance
        if alive := self.alive:
            server = chance.choice(alive)
            what = chance.random()
            if what < 0.08:
                server.join(chance.choice(NAMES))
            elif what < 0.3:
                server.talk(chance)
            elif what < 0.55:
                server.append(chance.random())
            elif what < 0.9:
                server.read(chance.randint(1, 4))
            elif what < 0.93:
                server.ask()
            else:
                self.disturb(server)
        else:
            self.start(chance.choice(self.names))

    def disturb(self, server: Server) -> None:
        """Something goes wrong."""
        chance = self.chance
        deeds: list[tuple[float, Callable[[], object]]] = [
            (4, lambda: server.late and self.engine.append(chance.choice(server.late))),
            (2, lambda: setattr(server, "is_cut_off", not server.is_cut_off)),
            (2, lambda: setattr(server, "has_looked", False)),
            (1, lambda: setattr(server, "is_alive", False)),
            (1, lambda: self.start(chance.choice(self.names))),
            (0.5, server.node.leave),
            (1 if self.forgets else 0, self.forget),
        ]
        weights = [weight for weight, _ in deeds]
        chance.choices([deed for _, deed in deeds], weights)[0]()

    def forget(self) -> None:
        had_log = self.engine.is_there
        self.engine.forget(self.chance)
        if had_log and self.engine.is_there:
            for server in self.servers:
                server.has_looked = False  # a promoted replica is another server

    def heal(self) -> None:
        """Nothing goes wrong any more, and each has something to say."""
        for server in self.alive:
            server.submit(OrderRecord("say", b"x"), "")
        for server in self.servers:
            server.is_cut_off = False
            for append in server.late:
                if self.chance.random() < 0.5:
                    self.engine.append(append)
        for _ in range(MOST_ROUNDS):
            for server in self.alive:
                if server.is_waiting or server.node.next_append() is not server.sent:
                    server.append(1)  # again only if it is not behind what was not read yet
                server.read(3)
                server.read(3)
            if all(server.is_at_rest for server in self.alive) and not self.ask_all():
                return
        self.look(False, "6: no rest")

    def ask_all(self) -> bool:
        """The question of each, once all is quiet; whether anything comes of it."""
        for server in self.alive:
            server.ask()
        is_busy = False
        for server in self.alive:
            while server.node.check and server.is_alive:
                server.read(3)
            is_busy |= not (server.node.is_quiet and server.is_alive)
            is_busy |= server.node.next_append() is not None
        return is_busy

    # What holds at the end.

    def judge(self) -> None:
        outcome = outcome_of(self.engine.history)
        alive = {server.node.name: server for server in self.alive}
        self.look(len(alive) == len(self.alive), "6: two of one name")
        if self.alive:
            self.look(outcome.alive.keys() == alive.keys(), "6: who is alive")
        states = {server.node.replica.state for server in self.alive}
        self.look(len(states) <= 1, "6: replicas differ")
        for state in states:
            self.look([*state.members] == outcome.members, "6: not what the log says")
        for server in self.alive:
            self._judge_server(server, outcome)
        if not self.engine.has_forgotten:
            self._judge_lines(outcome)
        # What was appended again and again counts once.
        size = sum(100 + len(records) for *_, records in {entry[1:] for entry in self.engine.log})
        self.look(size < 3 * SNAPSHOT_BYTES or self.engine.has_forgotten, "the log is not trimmed")

    def _judge_server(self, server: Server, outcome: Outcome) -> None:
        node = server.node
        present = sorted(server.present.values())
        self.look(present == sorted(name for name, _ in outcome.members), "4: who is shown")
        own = {name for name, owner in outcome.members if owner == node.name}
        self.look(own == server.members, "3: who is here")
        self.look(not server.submitted and not server.claims, "6: something has no answer")
        is_suffix = outcome.lines[len(outcome.lines) - len(server.lines) :] == server.lines
        self.look(
            is_suffix or server.is_told,
            "1: not a suffix of the one order, and not told",
        )
        count = self._judge_history(node, outcome)
        is_same = server.history[-count:] == outcome.said[-count:] or not count
        self.look(is_same, "6: another history is shown")
        lines = iter(outcome.lines)
        is_part = all(line in lines for line in server.lines)
        self.look(is_part or self.engine.has_forgotten, "2: shown twice, or in another order")
        is_excused = self.engine.has_forgotten or self.is_slow_allowed
        self.look(is_excused or not server.is_told, "7: told of a loss, and nothing is lost")

    def _judge_history(self, node: Node, outcome: Outcome) -> int:
        """How many lines of it have to be the same everywhere."""
        kept = b"".join(said.lines for said in node.replica.history)
        lines = kept.splitlines(keepends=True)
        is_suffix = b"".join(outcome.said).endswith(kept)
        is_enough = len(kept) >= HISTORY_BYTES or len(lines) == len(outcome.said)
        self.look(is_suffix and is_enough, "6: not the history of the log")
        return len(lines)

    def _judge_lines(self, outcome: Outcome) -> None:
        counts = Counter(outcome.lines)
        last: dict[tuple[Node, str], int] = {}
        for line, (server, name) in self.said.items():
            is_gone = not server.is_alive or (server.node, name) in self.evicted
            self.look(counts[line] == 1 or (is_gone and not counts[line]), "2: lost or doubled")
        for line in outcome.lines:
            server, name = self.said[line]
            self.look(last.get((server.node, name), -1) < int(line), "5: out of order")
            last[server.node, name] = int(line)


def failures(seeds: Iterable[int]) -> dict[int, str]:
    """Seed -> what did not hold in it."""
    return {seed: "; ".join(complaints) for seed in seeds if (complaints := World(seed).run())}


if __name__ == "__main__":
    first, _, last = sys.argv[1].partition("-")
    failed = failures(range(int(first), int(last or first) + 1))
    for seed, complaint in failed.items():
        print(f"seed {seed}: {complaint}")
    sys.exit(bool(failed))
