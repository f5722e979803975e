"""What the members of this node have read of who is there, and when they read on.

In: what the log comes to, and our own items once they have their place. Out: what is to be shown.
While a node reads all of the log, nothing of it is shown: its members have read it before, or were
not there. Marks tell how far they have read, by node, incarnation and sequence.
"""

from __future__ import annotations

from enum import Enum

from cluster.outputs import Applied, Evicted, Item, Output, Past, Present, Refused
from cluster.queue import Queue
from cluster.records import Author, JoinRecord, LeaveRecord
from cluster.replica import Change, Joined, Left, NameTaken, Replica

NEVER = 1 << 62
"""A sequence that no entry has."""


class Silence(Enum):
    """Why members are not shown what is read: it is older than this process, or they have read it
    before the log forgot."""

    FRESH = "fresh"
    FORGOTTEN = "forgotten"


class View:
    """Of the members of `node`. What they have said is in `queue`. `silence` is None while they are
    shown what is read; `here` has our members, whatever the log says of this node."""

    def __init__(self, node: str, queue: Queue) -> None:
        self.silence: Silence | None = Silence.FRESH
        self.here: dict[str, str] = {}  # by their names in small letters, as is `_shown`
        self._node = node
        self._queue = queue
        self._shown: dict[str, str] = {}  # who is there, by what our members have read
        self._marks: dict[str, tuple[int, int]] = {}  # what was shown up to

    # Silence.

    def is_news(self, author: Author, sequence: int) -> bool:
        """Whether an entry with this sequence is the end of a silence."""
        mark = author.incarnation, sequence + 1
        return self.silence is Silence.FORGOTTEN and mark > self._marks.get(author.node, (0, 0))

    def mark(self, author: Author, sequence: int) -> None:
        """An entry with this sequence counts."""
        self._mark(author.node, author.incarnation, sequence + 1)

    def speak(self, replica: Replica) -> list[Output]:
        """The silence is over: tell who has come and gone in it, and what was said before."""
        if self.silence is Silence.FRESH:
            output: list[Output] = []
            for name, _ in replica.members.values():
                output += [*self._queue.refuse_claim(name), Present(name)]
                self._shown[name.lower()] = name
        else:
            output = self._show_difference(replica)
        self.silence = None
        for node, incarnation in replica.latest.items():
            seat = replica.seats.get(node)
            self._mark(node, incarnation, seat.expected if seat else NEVER)
        return [*output, Past(tuple(replica.history))]

    def _mark(self, node: str, incarnation: int, end: int) -> None:
        mark = incarnation, end
        self._marks[node] = max(mark, self._marks.get(node, mark))

    def _show_difference(self, replica: Replica) -> list[Output]:
        """From what our members have read to what the log comes to. What it says of our own is
        over with our next `U`. A name that is spelled in another way is another member's."""
        others = {x: member for x, member in replica.members.items() if member[1] != self._node}
        output: list[Output] = []
        for folded, name in list(self._shown.items()):
            if folded not in others or others[folded][0] != name:
                output += self.show_left(name)
        for name, node in others.values():
            output += self.show_joined(name, node)
        return output

    # Who comes and goes.

    def show_joined(self, name: str, node: str) -> list[Output]:
        """`name` is a member on `node`, which may be ours."""
        folded = name.lower()
        output = self._queue.refuse_claim(name)
        if node != self._node and folded in self.here:
            mine = self.here.pop(folded)
            del self._shown[folded]
            self._queue.drop(mine)
            output.append(Evicted(mine))
        if folded not in self._shown:
            self._shown[folded] = name
            output.append(Joined(name, node))
        return output

    def show_left(self, name: str) -> list[Output]:
        """`name` is no member any more."""
        folded = name.lower()
        if folded in self.here:
            return []  # declared dead with us: it comes along with our next `U`
        return [Left(name, "")] if self._shown.pop(folded, None) else []

    # Our own.

    def place(self, item: Item, changes: list[Change]) -> list[Output]:
        """An item of ours is in the log, where its record changes this."""
        match item.record:
            case JoinRecord(name):
                return self._place_join(name, item, changes)
            case LeaveRecord(name):
                is_ours = any(isinstance(change, Left) for change in changes)
                if not item.is_dropped:
                    is_ours = self.here.pop(name.lower(), "") != "" or is_ours
                return [Applied(item)] if is_ours and self.show_left(name) else []
        return [Applied(item)]

    def _place_join(self, name: str, item: Item, changes: list[Change]) -> list[Output]:
        self._queue.end_claim(name, item)
        if not any(isinstance(change, Joined) for change in changes):
            return [] if item.is_dropped else [Refused(item)]
        self.here[name.lower()] = self._shown[name.lower()] = name
        if not item.is_dropped:
            return [Applied(item)]
        # Its guest was refused already, and then the name became free: nobody is there.
        self._queue.add(Item(LeaveRecord(name), name))
        return [*self._queue.refuse_claim(name), Applied(item)]

    def show_brought(self, changes: list[Change], replica: Replica) -> list[Output]:
        """Our `U` is in the log, and so are the members that we brought along, with these changes.
        A name that was taken meanwhile is another's. The silence is over, if there was one."""
        output: list[Output] = []
        for change in changes:
            if isinstance(change, NameTaken) and change.name.lower() in self.here:
                output += self.show_joined(*replica.members[change.name.lower()])
        ghosts = [
            change.name
            for change in changes
            if isinstance(change, Joined) and change.name.lower() not in self.here
        ]
        if self.silence:
            output += self.speak(replica)
        for name in ghosts:
            output += self._show_ghost(name)
        return output

    def _show_ghost(self, name: str) -> list[Output]:
        """This member lost its name to another while our `U` was under way, which then got it back
        for us: nobody is there."""
        self._queue.add(Item(LeaveRecord(name), name))
        return self.show_joined(name, self._node)
