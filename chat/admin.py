"""A word with the room: commands for the operator, on a UNIX socket (`server.py -admin PATH`).

In: lines that the operator's programs send. Out: answers, a line or more each, and what they bring
about. The permissions of the socket's file decide who may connect. One line is obeyed in each turn
of the loop, and a client that does not read its answers is not read: a silent or hostile client
costs at most its own connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, NamedTuple

from chat.bans import FOR_EVER, Bans
from chat.bus import Bus
from chat.metrics import Metrics
from chat.room import Room
from codec import Dispatcher, LineDecoder, LineTooLongError, ProtocolError, Roster, decode_text
from reactor import Connection, Reactor

MAX_ADMIN_CONNECTIONS: Annotated[
    int,
    "Connections of the operator; one more takes the place of the oldest.",
] = 8

MAX_UNSENT_ANSWER_BYTES: Annotated[
    int,
    "Bytes of answers that one of them may leave unread before it is not obeyed any more.",
] = 64 * 1024

MAX_BAN_MINUTES: Annotated[int, "Longest ban that has an end: a year."] = 366 * 24 * 60

OK = "ok\n"


class AdminRow(NamedTuple):
    """One command. `verb` is the name of the method of Admin that obeys it, given what stands
    behind the word; `arguments` and `help` are for people."""

    word: str
    arguments: str
    verb: str
    help: str


COMMANDS = (
    AdminRow("members", "", "list_members", "name, address and unsent bytes of each member"),
    AdminRow("say", "TEXT", "say", "all read: * TEXT"),
    AdminRow("kick", "NAME [WHY]", "kick", "end the member's connection, and tell all"),
    AdminRow("ban", "NAME|ADDRESS [MINUTES]", "ban", "kick, and let in no more, or not so soon"),
    AdminRow("unban", "NAME|ADDRESS", "unban", "let in again"),
    AdminRow("bans", "", "list_bans", "who is banned, and for how many minutes more"),
    AdminRow("status", "", "status", "numbers, in the text format of Prometheus"),
    AdminRow("help", "", "help", "this"),
)
"""All of them. A new one is a row here and a method of Admin."""

_ROWS = {row.word: row for row in COMMANDS}


class Admin:
    """Obeys the operator."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        roster: Roster,
        bus: Bus,
        room: Room,
        metrics: Metrics,
        bans: Bans,
    ) -> None:
        self._dispatcher = dispatcher
        self._roster = roster
        self._bus = bus
        self._room = room
        self._metrics = metrics
        self._bans = bans
        self._parts = dispatcher, bus, room

    def obey(self, line: bytes) -> str:
        """Obey a line, given without its line end. Returns the answer: lines, each with its LF, or
        "" to a line of blanks. A line that has no effect is answered by one line, `error: ...`."""
        word, _, rest = decode_text(line).strip().partition(" ")
        if not word:
            return ""
        row = _ROWS.get(word.lower())
        if row is None:
            return f"error: unknown command: {word}; help lists all\n"
        arguments = rest.strip()
        if not row.arguments.startswith("[") and bool(arguments) != bool(row.arguments):
            return f"error: usage: {row.word} {row.arguments}".rstrip() + "\n"
        obey: Callable[[str], str] = getattr(self, row.verb)
        try:
            return obey(arguments)
        except ProtocolError as error:
            return f"error: {_begin_small(str(error))}\n"

    # One method for each verb.

    def list_members(self, _: str) -> str:
        return "".join(map(self._describe, self._roster.usernames))

    def say(self, text: str) -> str:
        self._bus.submit(self._dispatcher.announce(text))
        return OK

    def kick(self, arguments: str) -> str:
        name, _, why = arguments.partition(" ")
        username = self._roster.find(name)
        if username is None:
            return f"error: no such user: {name}\n"
        if username in self._room.members:
            end_members(self._parts, [username], "kicked", why.strip())
        elif not self._bus.order("kick", f"{username} {why.strip()}"):
            return f"error: {username} is on another server\n"
        return OK

    def ban(self, arguments: str) -> str:
        who, _, minutes = arguments.partition(" ")
        seconds = _seconds_of(minutes.strip())
        ban(self._parts, self._bans, who, seconds)
        self._bus.order("ban", f"{who} {seconds}")
        return OK

    def unban(self, who: str) -> str:
        is_removed = self._bans.remove(who)
        self._bus.order("unban", who)
        return OK if is_removed else f"error: not banned: {who}\n"

    def list_bans(self, _: str) -> str:
        return "".join(f"{_place(who)} {_minutes(left)}\n" for who, left in self._bans)

    def status(self, _: str) -> str:
        return self._metrics.format()

    def help(self, _: str) -> str:
        return "".join(f"{f'{row.word} {row.arguments}':<30}{row.help}\n" for row in COMMANDS)

    # Details.

    def _describe(self, username: str) -> str:
        member = self._room.members.get(username)
        if member is None:
            return f"{username} elsewhere 0\n"
        where = "away" if member.is_absent else member.address
        return f"{username} {where} {member.cursor.unsent_bytes}\n"


EndingParts = tuple[Dispatcher, Bus, Room]
"""What is needed to end a membership."""


def end_members(parts: EndingParts, usernames: Iterable[str], how: str, why: str = "") -> None:
    """Tell all members, these included, `how` their membership ends, and end it."""
    dispatcher, bus, room = parts
    for username in usernames:
        member = room.members[username]
        if member.has_left:
            continue
        text = f"{username} was {how}: {why}" if why else f"{username} was {how}"
        bus.submit(dispatcher.announce(text))
        bus.submit(dispatcher.leave(username))
        member.dismiss()
        room.note_end(how)


def ban(parts: EndingParts, bans: Bans, who: str, seconds: float) -> None:
    """Refuse a name or an address for so long, and end members who have it. Raises
    ProtocolError."""
    bans.add(who, seconds)
    members = parts[2].members.values()
    found = [x.username for x in members if bans.holds(x.username, x.source)]
    end_members(parts, found, "banned")


class AdminSession:
    """The protocol of one connection of the operator."""

    def __init__(self, door: AdminDoor) -> None:
        self.connection: Connection
        self._door = door
        self._decoder = LineDecoder()
        self._is_queued = False
        self._has_ended = False  # the other side's half

    # For the connection.

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection
        self._door.note_made(self)

    def data_received(self, data: bytes) -> None:
        self._decoder.feed_data(data)
        self.connection.pause_reading()
        self._queue()

    def eof_received(self) -> None:
        self._has_ended = True
        self._queue()

    def flushed(self) -> None:
        self._queue()

    def connection_lost(self, error: Exception | None) -> None:
        self._door.forget(self)

    # Details.

    def _queue(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self._door.reactor.call_soon(lambda: self.connection.call(self._take_line))

    def _take_line(self) -> None:
        """Obey one line. The next line waits until all others have had their turn."""
        self._is_queued = False
        unsent_bytes = self.connection.outbound.owed_bytes
        if self.connection.is_closing or unsent_bytes >= MAX_UNSENT_ANSWER_BYTES:
            return  # `flushed` goes on
        try:
            line = self._decoder.next_line()
        except LineTooLongError as error:
            answer = f"error: {_begin_small(str(error))}\n"
        else:
            if line is None:
                self._wait_for_more()
                return
            answer = self._door.admin.obey(line)
        if answer:
            self.connection.write(answer.encode())
        self._queue()

    def _wait_for_more(self) -> None:
        self.connection.resume_reading()
        if self._has_ended:
            if not self._decoder.is_empty:
                self.connection.write(b"error: the last line has no end; not obeyed\n")
            self.connection.close()


class AdminDoor:
    """All connections of the operator."""

    def __init__(self, reactor: Reactor, admin: Admin) -> None:
        self.reactor = reactor
        self.admin = admin
        self._sessions: dict[AdminSession, None] = {}  # in the order they came

    def make_session(self, address: object) -> AdminSession:
        """A protocol for a new connection."""
        return AdminSession(self)

    def drop_oldest(self) -> bool:
        """End the oldest connection at once. False if there is none."""
        for session in self._sessions:
            session.connection.abort()
            del self._sessions[session]
            return True
        return False

    def close(self) -> None:
        """End all connections, and send what the kernel takes of the last answers."""
        for session in list(self._sessions):
            session.connection.close_at_once()

    # For AdminSession.

    def note_made(self, session: AdminSession) -> None:
        self._sessions[session] = None
        if len(self._sessions) > MAX_ADMIN_CONNECTIONS:
            self.drop_oldest()

    def forget(self, session: AdminSession) -> None:
        self._sessions.pop(session, None)


def _place(who: str) -> str:
    return f"{who}/64" if who.endswith("::") else who


def _minutes(seconds: float) -> str:
    return "until the server ends" if seconds == FOR_EVER else f"{seconds / 60:.1f}"


def _seconds_of(minutes: str) -> float:
    """Raises ProtocolError."""
    if not minutes:
        return FOR_EVER
    if not (minutes.isascii() and minutes.isdigit() and 0 < int(minutes[:9]) <= MAX_BAN_MINUTES):
        raise ProtocolError("Not a number of minutes", f" from 1 to {MAX_BAN_MINUTES}: ", minutes)
    return int(minutes) * 60.0


def _begin_small(text: str) -> str:
    return text[:1].lower() + text[1:]
