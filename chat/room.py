"""The room: where bytes from the reactor meet the words of the codec.

In: guests and members, their requests and lines. Out: events, submitted to the bus; and, when the
bus applies them, what members read, through a Fanout. What a line means is the Dispatcher's to say,
who is in the room is the Roster's, and when bytes move is the reactor's: this file brings one to
the other.

    lines      Member -> Room.take_plain, or take_line for one that needs a closer look
               -> Dispatcher -> Event -> Bus -> Room.apply -> Fanout
    a join     Guest -> Room.join -> check, claim -> Event -> Bus -> Room.apply -> Member
    an ENTER   the same, but the event is submitted when the turn ends
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, cast

from chat import session
from chat.bus import Bus
from chat.gate import Gate
from chat.journal import Journal
from chat.session import Guest, Member, format_address
from codec import (
    INCORRECT_PASSCODE,
    SERVER_FULL,
    SHUTTING_DOWN,
    Dispatcher,
    Event,
    Join,
    Kind,
    ProtocolError,
    Resume,
    Roster,
    encode_line,
    format_refusal,
    parse_join,
    parse_request,
)
from reactor import Fanout, Reactor, SlowReaderError, Timer

if TYPE_CHECKING:
    from chat.bans import Bans
    from chat.resume import Places


class Room:
    """Everyone who is connected, and what they have to do with each other.

    `on_empty` is called when the last connection is gone after `shut_down`.
    """

    def __init__(
        self,
        reactor: Reactor,
        dispatcher: Dispatcher,
        roster: Roster,
        bus: Bus,
        journal: Journal,
        on_empty: Callable[[], None],
    ) -> None:
        self.gate = Gate(reactor)
        self.fanout = Fanout(reactor, after_turn=self._let_waiting_talk)
        self._reactor = reactor
        self._dispatcher = dispatcher
        self._roster = roster
        self._bus = bus
        self._journal = journal
        self._on_empty = on_empty
        self.greet: Callable[[], Iterable[bytes]] = tuple
        """What those who ENTER read in front of the list of members: lines, as few objects."""
        self.bans: Bans | None = None
        """Who may not join, if there is somebody to ban."""
        self.places: Places | None = None
        """Those that are kept while a connection is lost, if any are."""
        self._is_shutting_down = False
        self._sessions: dict[Guest | Member, None] = {}
        self._claims: dict[str, Guest] = {}  # username -> who has claimed it
        self._joining: Guest | None = None  # whose event is being submitted
        self._entering: dict[Guest, str] = {}  # whose event is submitted when the turn ends
        self._is_submitting = False  # those events
        self._entered: list[tuple[Guest, Event]] = []  # applied, and the guest is not let in yet
        self._members: dict[str, Member] = {}
        self._waiting: dict[Member, None] = {}  # in the order they are to go on
        self._ending: set[Member] = set()  # whose departure is submitted, and not applied
        bus.add_listener(roster.apply)
        bus.add_listener(self.apply)

    # For the server.

    @property
    def members(self) -> Mapping[str, Member]:
        """Username -> member, of those on this server."""
        return self._members

    def make_guest(self, address: object) -> Guest:
        """A protocol for a new connection from `address`, as the socket's family spells it."""
        return Guest(self, *_split_address(address))

    def refuse_at_the_door(self, address: object) -> bytes:
        """The last words to a newcomer for which there is not even a descriptor."""
        error = ProtocolError(SERVER_FULL)
        self._journal.note_refusal(format_address(*_split_address(address)), error)
        return encode_line(format_refusal(error))

    def shut_down(self) -> None:
        """Tell every member, and end all connections once that is sent. No member has `left`."""
        self._is_shutting_down = True
        self.fanout.broadcast(encode_line(SHUTTING_DOWN))
        for member in self._members.values():
            self.fanout.unsubscribe(member.cursor)
        self._members.clear()
        for guest_or_member in list(self._sessions):
            guest_or_member.dismiss()
        self._look_whether_empty()

    def close(self) -> None:
        """Close the connections that are left when `shut_down` has had its time."""
        for guest_or_member in list(self._sessions):
            guest_or_member.connection.close_at_once()

    # For the bus.

    def apply(self, event: Event) -> None:
        """Let everyone read what is theirs to read; members come and go here."""
        if event.kind is Kind.LEFT:
            self._remove(event.origin)
        if event.room:
            origin = None if event.to_origin else self._members.get(event.origin)
            self.fanout.broadcast(event.room, origin.cursor if origin else None)
        if event.kind is Kind.JOINED:
            self._admit(event)
            return
        for username, line in event.private:
            if member := self._members.get(username):
                member.cursor.append(line)  # which the end of the turn sends

    def refuse_claim(self, username: str, error: ProtocolError) -> None:
        """The claim of one of our guests came to nothing: a guest of another machine has the name.
        To be called before that one's join is applied."""
        self._roster.free(username)
        guest = self._claims.pop(username)
        if not guest.connection.is_closing:
            guest.turn_away(error)

    # For guests and members (chat.session, Host).

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self._reactor.call_later(seconds, callback)

    def note_end(self, kind: str) -> None:
        self._journal.note_end(kind)

    def forget(self, gone: Guest | Member) -> None:
        self._sessions.pop(gone, None)
        if isinstance(gone, Guest):
            self.gate.release(gone)
        else:
            self._waiting.pop(gone, None)
        self._look_whether_empty()

    def arrive(self, guest: Guest) -> None:
        self._sessions[guest] = None
        self.gate.arrive(guest)

    def ask(self, guest: Guest) -> bool:
        return self.gate.ask(guest)

    def parse_request(self, line: bytes) -> Join | Resume:
        return parse_request(line) if self.places else parse_join(line)

    def join(self, guest: Guest, request: Join | Resume) -> None:
        try:
            if self.bans:
                self.bans.check("", guest.source)
            if isinstance(request, Resume):  # which is parsed where places are kept
                cast("Places", self.places).resume(guest, request)
                return
            self._dispatcher.check(request)
            if self.bans:  # which names are, only one with the passcode learns
                self.bans.check(request.username, "")
            self._roster.claim(request.username)
        except ProtocolError as error:
            if error.code == INCORRECT_PASSCODE:
                self.gate.note_wrong_passcode(guest.source)
            guest.turn_away(error)
            return
        self._claims[request.username] = guest
        if request.echo:
            self._queue_entry(guest, request.username)
            return
        self._joining = guest
        try:
            self._bus.submit(self._dispatcher.join(request.username))
        finally:
            self._joining = None
        if member := self._members.get(request.username):
            member.begin()

    def is_entering(self, guest: Guest) -> bool:
        return guest in self._entering

    def note_refusal(self, guest: Guest, error: ProtocolError) -> None:
        self.gate.withdraw(guest)
        self._journal.note_refusal(guest.address, error)

    def free_bytes(self, max_pages: int, pending_bytes: int) -> int:
        floods = self.fanout.held_pages and pending_bytes > session.FLOOD_BYTES
        return 0 if floods else self.fanout.free_bytes(max_pages)

    def wait_to_talk(self, member: Member) -> None:
        self._waiting[member] = None
        self.fanout.queue_turn()

    def take_plain(self, member: Member, lines: bytes) -> bool:
        event = self._dispatcher.dispatch_plain(member.username, lines, member.has_echo)
        if event:
            self._bus.submit(event)
        return event is not None

    def take_line(self, member: Member, line: bytes) -> bool:
        event = self._dispatcher.dispatch(member.username, line, member.has_echo)
        if event:
            self._bus.submit(event)
        return event is not None and event.kind is Kind.LEFT

    def refuse_line(self, member: Member) -> None:
        self._bus.submit(self._dispatcher.refuse_line(member.username, member.has_echo))

    def leave(self, member: Member) -> None:
        self._bus.submit(self._dispatcher.leave(member.username))

    def end(self, member: Member) -> None:
        if self._members.get(member.username) is member:  # the bus takes its time
            member.connection.pause_reading()
            self._ending.add(member)
        else:
            member.connection.close()

    def note_cut(self, member: Member, error: SlowReaderError) -> None:
        self._journal.note_cut(member.address, member.username, str(error))

    # For Places (chat.resume).

    def release_guest(self, guest: Guest) -> None:
        """Its connection is a member's from here on."""
        self.gate.admit(guest)
        del self._sessions[guest]

    def is_waiting(self, member: Member) -> bool:
        """Whether lines of this member wait for their turn."""
        return member in self._waiting

    # Details.

    def _queue_entry(self, guest: Guest, username: str) -> None:
        """Those who ENTER in one turn come in together when it ends: no one else speaks, comes or
        goes in between, so that one list of members is exact for all of them."""
        self.gate.release(guest)  # as if it were a member
        if not self._entering:
            self._reactor.call_at_end(self._submit_entries)
            self.fanout.queue_turn()  # behind that, unless it was queued before
        self._entering[guest] = username

    def _submit_entries(self) -> None:
        entering, self._entering = self._entering, {}
        self._is_submitting = True
        try:
            for guest, username in entering.items():
                if guest.connection.is_closing:
                    del self._claims[username]
                    self._roster.free(username)
                else:
                    event = self._dispatcher.join(username)
                    guest.connection.call(partial(self._bus.submit, event))
        finally:
            self._is_submitting = False
        self._let_in_entered()

    def _admit(self, event: Event) -> None:
        """The guest that claimed this name, if it is one of ours, becomes a member."""
        guest = self._claims.pop(event.origin, None)
        if guest is None:
            return
        if not guest.has_echo:
            self._let_in(guest, event)
            return
        self._entered.append((guest, event))
        if not self._is_submitting:
            self._let_in_entered()  # the bus has taken its time

    def _let_in_entered(self) -> None:
        """From here on they read everything, and before it who is in the room."""
        entered, self._entered = self._entered, []
        if entered:
            first = [*filter(None, self.greet()), self._roster.users_line]
        for guest, event in entered:
            guest.connection.call(partial(self._let_in, guest, event, first))

    def _let_in(self, guest: Guest, event: Event, first: Sequence[bytes] = ()) -> None:
        """It reads what comes from here on; when it has gone meanwhile, its departure follows."""
        username = event.origin
        if guest.connection.is_closing:
            self._reactor.call_soon(lambda: self._bus.submit(self._dispatcher.leave(username)))
            return
        self.release_guest(guest)
        max_line_bytes = self._dispatcher.max_line_bytes
        if self.places and guest.has_echo:
            member, ok = self.places.let_in(guest, username, max_line_bytes)
        else:
            cursor = self.fanout.subscribe(guest.connection)
            member = guest.become_member(username, cursor, max_line_bytes)
            ok = b"".join(line for _, line in event.private)
        self._sessions[member] = None
        self._members[username] = member
        for line in (ok, *first):
            member.cursor.append(line)  # which the end of the turn sends
        if guest is not self._joining:
            self._reactor.call_soon(member.begin)  # what came behind the request had to wait

    def _remove(self, username: str) -> None:
        if member := self._members.pop(username, None):
            self.fanout.unsubscribe(member.cursor)
            if self.places:
                self.places.release(member)
            if member in self._ending:
                self._ending.remove(member)
                member.connection.close()

    def _let_waiting_talk(self) -> None:
        for member in list(self._waiting):
            if self.fanout.free_bytes(session.WAITING_PAGES) <= 0:
                return
            is_free = self.free_bytes(session.WAITING_PAGES, member.pending_bytes) > 0
            if is_free and not member.cursor.has_private_backlog:
                del self._waiting[member]
                member.go_on()

    def _look_whether_empty(self) -> None:
        if self._is_shutting_down and not self._sessions:
            self._on_empty()


def _split_address(address: object) -> tuple[str, int]:
    """(host, port) of an IPv4 or IPv6 address; one that comes through a UNIX socket has none."""
    host, port = address[:2] if isinstance(address, tuple) else ("unix", 0)
    return _shared(str(host)), int(port)


@lru_cache(maxsize=64)  # thousands of members, a few hosts; `sys.intern` keeps all that ever came
def _shared(host: str) -> str:
    """The same text, one object for all who come from there at about the same time."""
    return host
