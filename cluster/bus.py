"""The bus of a room that is on several servers: an event is applied when it was read from the log.

In: events of this server, and what the node of cluster.node says is to be shown. Out: events, for
the listeners of the bus, in the order of the log; calls to the engine, as the node wants them.
There is a timer only while something is awaited: an answer, or a sign of life of another node.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from chat import session
from chat.bans import Bans
from chat.bus import Bus, LocalBus
from chat.journal import Journal
from chat.room import Room
from cluster import engine as engines
from cluster.engine import Engine
from cluster.lateness import GO_ON, WAIT, Lateness
from cluster.node import Node
from cluster.outputs import (
    Applied,
    Delete,
    Ended,
    Evicted,
    Heard,
    Item,
    Lost,
    Minute,
    Output,
    Past,
    Present,
    Refused,
    Superseded,
)
from cluster.participant import IN, OVER
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
from cluster.replica import Entry, Joined, Left
from codec import Dispatcher, Event, Kind, ProtocolError, Roster, encode_line
from codec.handshake import USERNAME_IN_USE
from reactor import Reactor, Timer, connection

if TYPE_CHECKING:
    from chat.history import History

TELL_SECONDS: Annotated[
    float,
    "How long the engine may be out of reach before members are told.",
] = 2.0

REPEAT_SECONDS: Annotated[
    float,
    "After which an entry that was taken and not read back is appended again, once it is sure that "
    "the log is the same.",
] = 5.0

LIFE_SECONDS: Annotated[
    float,
    "Time between two questions whether the node before this one is alive.",
] = 15.0

SECOND_LIFE_SECONDS: Annotated[
    float,
    "Time before it is asked again: it may just be connecting anew.",
] = 10.0

QUEUED_BYTES: Annotated[
    int,
    "What members may have said here that was not read back: one entry that is under way, and "
    "another that is full by then.",
] = 512 * 1024

NOT_CONNECTED = "* connection to the other servers lost; what you type is kept"
CONNECTED_AGAIN = "* connected again"
LINES_MISSING = "* the servers' log was lost; lines may be missing here"

NAME_GONE = "* your name was given to another while this server was cut off"


class ClusterBus(LocalBus):
    """The order of the log. `warn` takes one line for the operator; `on_end` is called when this
    server cannot stay in the room, with the reason."""

    def __init__(
        self,
        reactor: Reactor,
        engine: Engine,
        node: Node,
        warn: Callable[[str], None],
        on_end: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._engine = engine
        self._node = node
        self._warn = warn
        self._on_end = on_end
        self._room: ClusterRoom
        self._on_done: Callable[[], None]
        self._is_empty = False
        self._has_ended = False
        self._dispatcher: Dispatcher
        self._roster: Roster
        self.queued_bytes = 0
        """Bytes of what was submitted and was not read back."""
        self._outputs: deque[Output] = deque()
        self._is_drive_queued = False
        self._is_showing_later = False  # at the end of a turn
        self._sent: Append | None = None  # and has no answer, or was not read back
        self._is_sent = False
        self._is_reading = False
        self._is_asking = False
        self._round = 0  # of reads, of which a stopped one may be answered late
        self._repeat: Timer | None = None
        self._tell: Timer | None = None
        self._life: Timer | None = None
        self._absent: Author | None = None
        self._is_told = False
        self._trouble = ""
        self._is_closed = False
        self._lateness = Lateness(
            reactor,
            lambda verb: self.order(verb, node.name),
            lambda other: other in node.replica.seats,
            self._let_talk,
        )
        self._history: History | None = None

    def make_room(
        self,
        reactor: Reactor,
        dispatcher: Dispatcher,
        roster: Roster,
        bus: Bus,
        journal: Journal,
        on_empty: Callable[[], None],
    ) -> ClusterRoom:
        """The room on this bus. `on_empty` is called when it is empty and the others know that."""
        self._on_done = on_empty
        self._dispatcher, self._roster = dispatcher, roster
        parts = (reactor, dispatcher, roster, bus, journal)
        self._room = ClusterRoom(*parts, self._note_empty)
        self._room.cluster_bus = self
        self._room.bans = Bans(reactor)
        return self._room

    def start(self) -> None:
        """Enter the room."""
        self._engine.start(self)

    def leave(self) -> None:
        """Tell the other servers that this one is over."""
        self._node.leave()
        self._queue_drive()

    def close(self) -> None:
        """Let go of the engine."""
        self._is_closed = True
        self._engine.close()

    # For the room.

    def submit(self, event: Event) -> None:
        item = Item(_record_of(event), event.origin, event)
        self.queued_bytes += _cost(event)
        self._show(self._node.submit(item))

    def add_history(self, history: History) -> None:
        super().add_history(history)
        self._history = history

    def order(self, verb: str, text: str) -> bool:
        self._show(self._node.submit(Item(OrderRecord(verb, text.encode()))))
        return True

    def free_bytes(self, pending_bytes: int) -> int:
        """How much more a member may say that has so much to say now."""
        free_bytes = QUEUED_BYTES - self.queued_bytes
        return self._lateness.limit(free_bytes, self.queued_bytes, pending_bytes)

    def note_turn_end(self) -> None:
        """The room may take more, of what was read first."""
        if self._is_showing_later:
            self._show_on()

    # For the engine.

    def note_up(self) -> None:
        if self._tell:
            self._tell.cancel()
            self._tell = None
        self.note_silent(False)
        self._round += 1
        self._is_sent = self._is_reading = self._is_asking = False
        self._queue_drive()

    def note_down(self, reason: str) -> None:
        if not (self._tell or self._is_told or self._is_closed):
            self._tell = self._reactor.call_later(TELL_SECONDS, lambda: self._tell_down(reason))

    def note_silent(self, is_silent: bool) -> None:
        if is_silent and not self._is_told:
            self._tell_down("no answer")
        elif self._is_told and not is_silent:
            self._is_told = False
            self._warn("cluster: connected again")
            self._tell_all(CONNECTED_AGAIN)

    def note_trouble(self, reason: str) -> None:
        word = reason.split(" ", 1)[0]
        if word != self._trouble:
            self._trouble = word
            self._warn(f"cluster: {reason}; it is tried again")
        self._reactor.call_later(engines.TROUBLE_SECONDS, self._call_again)

    def _call_again(self) -> None:
        self._is_sent = self._is_asking = False
        self._queue_drive()

    # Drive.

    def _queue_drive(self) -> None:
        if not (self._is_drive_queued or self._is_closed):
            self._is_drive_queued = True
            self._reactor.call_at_end(self._drive)

    def _drive(self) -> None:
        """Make the calls that the node wants: one of each kind at a time."""
        self._is_drive_queued = False
        node = self._node
        append = node.next_append()
        if append and not (self._is_sent and append is self._sent):
            self._append(append)
        if check := node.check:
            if not self._is_asking:
                self._is_asking = True
                self._engine.ask(check, lambda is_there: self._note_checked(check, is_there))
        elif not (self._is_reading or self._outputs or node.phase is OVER):
            self._is_reading = True
            number = self._round
            self._engine.read(
                node.position,
                not node.is_reading,
                lambda entries, is_end: self._note_read(number, entries, is_end),
            )
        if node.predecessor and self._life is None:
            self._life = self._reactor.call_later(LIFE_SECONDS, self._ask_for_life)

    def _append(self, append: Append) -> None:
        self._sent, self._is_sent = append, True
        self._engine.live(append.author)
        self._engine.append(append, lambda is_there: self._note_appended(append, is_there))

    def _note_appended(self, append: Append, is_there: bool) -> None:
        self._trouble = ""
        if not is_there:
            if append is self._node.next_append():
                self._note_lost()
        elif append is self._node.next_append() and self._repeat is None:
            self._watch_append(append)

    def _watch_append(self, append: Append) -> None:
        """What was taken should soon be read."""

        def look() -> None:
            self._repeat = None
            awaited = self._node.next_append()
            if awaited is append:
                self._is_sent = False
                self._node.doubt()
                self._queue_drive()
            elif awaited:
                self._watch_append(awaited)

        self._repeat = self._reactor.call_later(REPEAT_SECONDS, look)

    def _note_read(self, number: int, entries: Sequence[Entry] | None, is_end: bool) -> None:
        if number != self._round:
            return
        self._is_reading = False
        if entries is None:
            self._note_lost()
            return
        read_bytes = sum(len(entry.records) for entry in entries)
        others, is_in = len(self._node.replica.seats) - 1, self._node.phase is IN
        self._lateness.note_read(read_bytes, is_end, others, is_in)
        self._show(self._node.take(entries, is_end))
        self._lateness.drop_gone()

    def _note_checked(self, check: Entry, is_there: bool) -> None:
        self._is_asking = False
        if check is not self._node.check:
            self._queue_drive()
        elif is_there:
            self._show(self._node.note_checked(True))
        else:
            self._note_lost()

    def _note_lost(self) -> None:
        self._round += 1
        self._engine.stop_reading()
        self._is_sent = self._is_reading = False
        self._show(self._node.note_lost())

    def _ask_for_life(self) -> None:
        self._life = None
        author = self._node.predecessor
        if author:
            self._engine.is_alive(author, lambda is_alive: self._note_life(author, is_alive))
            self._life = self._reactor.call_later(
                SECOND_LIFE_SECONDS if self._absent else LIFE_SECONDS, self._ask_for_life
            )

    def _note_life(self, author: Author, is_alive: bool) -> None:
        """Absent twice is dead."""
        if is_alive:
            self._absent = None
        elif author == self._absent:
            self._absent = None
            self._node.bury(author)
        else:
            self._absent = author
            if self._life:
                self._life.cancel()
            self._life = self._reactor.call_later(SECOND_LIFE_SECONDS, self._ask_for_life)
        self._node.doubt()
        self._queue_drive()

    def _note_empty(self) -> None:
        self._is_empty = True
        self._look_whether_done()

    def _look_whether_done(self) -> None:
        if self._is_empty and (self._has_ended or self._node.phase is OVER):
            self._on_done()

    # Show.

    def _show(self, outputs: list[Output]) -> None:
        self._outputs.extend(outputs)
        self._queue_drive()
        if not self._is_showing_later:
            self._show_on()

    def _show_on(self) -> None:
        """Apply what fits into this turn; the rest when it has ended, or one of the next: a turn
        that is full ends, and so does one in which a held room is looked at again."""
        self._is_showing_later = False
        fanout = self._room.fanout
        while self._outputs:
            # As much as a read brings: sockets would take a part of a whole entry, and each member
            # would be sent the rest apart.
            shown_bytes = fanout.log.end - fanout.log.sealed_end
            free_bytes = min(
                fanout.free_bytes(session.ALL_PAGES), connection.READ_BYTES - shown_bytes
            )
            if free_bytes <= 0:
                self._is_showing_later = True
                return
            output = self._outputs.popleft()
            if isinstance(output, Heard) and isinstance(output.record, LinesRecord):
                lines = output.record.lines
                end = lines.rfind(b"\n", 0, max(free_bytes, 4096)) + 1
                if 0 < end < len(lines):
                    self._outputs.appendleft(Heard(LinesRecord(lines[end:])))
                    output = Heard(LinesRecord(lines[:end]))
            self._show_one(output)
        if self.queued_bytes and self._node.is_quiet:  # what an evicted member said is dropped
            self.queued_bytes = 0
            self._let_talk()
        self._queue_drive()

    def _show_one(self, output: Output) -> None:
        match output:
            case Applied(item):
                self._place(item)
            case Refused(item):
                self._forget(item)
                self._room.refuse_name(item.name)
            case Heard(record):
                if event := self._event_of(record):
                    super().submit(event)
            case Joined(name, _):
                self._room.refuse_name(name)
                super().submit(self._dispatcher.join(name)._replace(private=()))
            case Left(name, _):
                super().submit(self._dispatcher.leave(name))
            case Present(name):
                self._room.refuse_name(name)
                super().submit(Event(Kind.JOINED, name))
            case Evicted(name):
                self._room.evict(name, self._dispatcher.leave(name), super().submit)
            case Past(history) if self._history:
                self._history.restart(history)
            case Minute(number) if self._history:
                self._history.minute = number
            case Lost():
                self._warn(f"cluster: {LINES_MISSING[2:]}")
                self._tell_all(LINES_MISSING)
            case Delete(ids):
                self._engine.delete(ids)
            case Superseded():
                self._on_end(f"another server has entered the room as {self._node.name}")
            case Ended():
                self._has_ended = True
                self._look_whether_done()

    def _place(self, item: Item) -> None:
        """An event of ours, in its place."""
        self._forget(item)
        event = item.payload
        if isinstance(item.record, OrderRecord) and event is None:
            if item.record.verb == WAIT:
                self._lateness.note_own_wait()
            return  # obeyed here already
        if not isinstance(event, Event):  # the departure of a guest that was refused in between
            super().submit(self._dispatcher.leave(item.name))
            return
        is_ghost = event.kind is Kind.JOINED and not self._room.has_claim(event.origin)
        if event.kind is Kind.NOTICE and event.console:  # the list is that of this place
            users = tuple((name, self._roster.users_line) for name, _ in event.private)
            event = event._replace(private=users)
        super().submit(event)
        if is_ghost and not item.is_dropped:
            self.submit(self._dispatcher.leave(event.origin))

    def _forget(self, item: Item) -> None:
        if isinstance(item.payload, Event):
            self.queued_bytes -= _cost(item.payload)
        self._let_talk()

    def _let_talk(self) -> None:
        self._room.fanout.queue_turn()  # members may wait for room in the batch

    def _event_of(self, record: Record) -> Event | None:
        match record:
            case LinesRecord(lines):
                return Event(Kind.SAID, "", lines, lines)
            case PrivateRecord(origin, to, line):
                console = encode_line(f"{origin}: send message to {to}")
                return Event(Kind.PRIVATE, origin, console, private=((to, line),))
            case ListRecord(name):
                return Event(Kind.NOTICE, name, encode_line(f"{name}: searched up active users"))
            case OrderRecord("say", text):
                return Event(Kind.ANNOUNCED, "", text, text)
            case OrderRecord(verb, text):  # which submits, so it has to wait for a step
                self._reactor.call_soon(lambda: self._obey(verb, text.decode("utf-8", "replace")))
        return None

    def _obey(self, verb: str, text: str) -> None:
        """What the operator of another server said: to those who are here, and come here."""
        if verb in (WAIT, GO_ON):
            self._lateness.note_other(text, verb)
            return
        from chat.admin import ban, end_members

        parts = self._dispatcher, self, self._room
        bans = self._room.bans
        who, _, rest = text.partition(" ")
        if verb == "kick" and who in self._room.members:
            end_members(parts, [who], "kicked", rest)
        with contextlib.suppress(ProtocolError, ValueError):
            if verb == "ban" and bans is not None:
                ban(parts, bans, who, float(rest))
            elif verb == "unban" and bans is not None:
                bans.remove(who)

    def _tell_down(self, reason: str) -> None:
        if self._tell:
            self._tell.cancel()
            self._tell = None
        self._is_told = True
        self._warn(f"cluster: {reason}")
        self._tell_all(NOT_CONNECTED)

    def _tell_all(self, text: str) -> None:
        """Members of this server alone read it."""
        self._room.fanout.broadcast(encode_line(text))


class ClusterRoom(Room):
    """A room whose names others may get, and whose talkers wait while a batch is full."""

    cluster_bus: ClusterBus

    def free_bytes(self, max_pages: int, pending_bytes: int) -> int:
        free_bytes = super().free_bytes(max_pages, pending_bytes)
        return min(free_bytes, self.cluster_bus.free_bytes(pending_bytes))

    def _let_waiting_talk(self) -> None:
        self.cluster_bus.note_turn_end()
        super()._let_waiting_talk()

    def has_claim(self, username: str) -> bool:
        """Whether a guest of ours waits for this name, just as it is spelled."""
        return username in self._claims

    def refuse_name(self, username: str) -> None:
        """Another guest has got this name: one of ours that has claimed it is told."""
        folded = username.lower()
        for name in [name for name in self._claims if name.lower() == folded]:
            self._entering.pop(self._claims[name], None)
            self.refuse_claim(name, ProtocolError(USERNAME_IN_USE, ": ", name))

    def evict(self, username: str, left: Event, apply: Callable[[Event], None]) -> None:
        """A member of ours has lost its name: it is told, and the others read that it `left`."""
        member = self._members.get(username)
        if member:
            member.cursor.append(encode_line(NAME_GONE))
        apply(left)
        if member:
            member.dismiss()


def _record_of(event: Event) -> Record | None:
    """What is appended for an event; None if it concerns this server alone."""
    match event.kind:
        case Kind.JOINED:
            return JoinRecord(event.origin)
        case Kind.LEFT:
            return LeaveRecord(event.origin)
        case Kind.SAID:
            return LinesRecord(event.room)
        case Kind.PRIVATE:
            to, line = event.private[0]
            return PrivateRecord(event.origin, to, line)
        case Kind.ANNOUNCED:
            return OrderRecord("say", event.room)
    return ListRecord(event.origin) if event.console else None


def _cost(event: Event) -> int:
    return len(event.room) + sum(len(line) for _, line in event.private)
