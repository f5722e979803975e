"""The room: where bytes from the reactor meet the words of the codec.

In: what connections receive, and that they come and go. Out: what members read, through a Fanout;
what the server prints, through the console. What a line means is the Dispatcher's to say, and
when bytes move is the reactor's; this file only brings one to the other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from chat.gate import Gate
from chat.journal import Journal
from codec import (
    EXPECTED_JOIN,
    HANDSHAKE_TIMED_OUT,
    INCORRECT_PASSCODE,
    SERVER_FULL,
    SHUTTING_DOWN,
    TOO_MANY_ATTEMPTS,
    Deliveries,
    Dispatcher,
    Join,
    LineDecoder,
    LineTooLongError,
    ProtocolError,
    encode_line,
    format_refusal,
    handshake,
    parse_join,
)
from reactor import Connection, Cursor, Fanout, Reactor, Sink, SlowReaderError

HANDSHAKE_SECONDS = 20.0
"""From accept to JOIN, however the bytes drip; enough for a person to type it into `nc`."""

BLOCK_BYTES = 16 * 1024
"""Most bytes of lines that are taken at once: more would overfill a page, since each line grows by
the name in front of it."""

WAITING_PAGES = 1
"""How much of a turn is for those who had to wait for it, in pages."""

ALL_PAGES = 2
"""And how much for them and for whoever speaks up meanwhile: a line does not have to wait for the
floods that came before it, nor they for lines without end."""

LINES_PER_TURN = 256
"""Most lines of one member that are taken one by one before the others have their turn. Lines that
fill no page, blank ones and private ones, would otherwise keep them waiting for a whole read."""


class Room:
    """Everyone who is connected, and what they have to do with each other.

    `on_empty` is called when the last connection is gone after `shut_down`.
    """

    def __init__(
        self,
        reactor: Reactor,
        dispatcher: Dispatcher,
        console: Sink,
        journal: Journal,
        on_empty: Callable[[], None],
    ) -> None:
        self.reactor = reactor
        self.dispatcher = dispatcher
        self.journal = journal
        self.gate = Gate(reactor)
        self.fanout = Fanout(reactor, after_turn=self._let_waiting_talk)
        self._console = console
        self._on_empty = on_empty
        self._is_shutting_down = False
        self._sessions: dict[Session, None] = {}
        self._members: dict[str, Session] = {}
        self._waiting: dict[Session, None] = {}  # in the order they are to go on

    # For the server.

    def make_session(self, address: object) -> Session:
        """A protocol for a new connection from `address`, an IPv4 (host, port)."""
        return Session(self, *_split_address(address))

    def refuse_at_the_door(self, address: object) -> bytes:
        """The last words to a newcomer for whom there is not even a descriptor."""
        host, port = _split_address(address)
        self.journal.note_refusal(f"{host}:{port}", SERVER_FULL, SERVER_FULL)
        return encode_line(format_refusal(ProtocolError(SERVER_FULL)))

    def shut_down(self) -> None:
        """Tell every member, and end all connections once that is sent. Nobody has `left`."""
        self._is_shutting_down = True
        self.fanout.broadcast(encode_line(SHUTTING_DOWN))
        self._members.clear()
        for session in list(self._sessions):
            session.dismiss()
        self._look_whether_empty()

    # For sessions.

    def enter(self, session: Session) -> None:
        """A connection has been made."""
        self._sessions[session] = None
        self.gate.admit(session)

    def join(self, session: Session, username: str, deliveries: Deliveries) -> Cursor:
        """A connection becomes a member, who hears all that comes after its own `joined`."""
        self.gate.release(session)
        self._members[username] = session
        self._print_and_broadcast(deliveries, skip=None)
        cursor = self.fanout.subscribe(session.connection)
        self._write_private(deliveries)
        return cursor

    def deliver(self, deliveries: Deliveries, sender: Cursor) -> None:
        """Carry out what came of a member's line."""
        self._print_and_broadcast(deliveries, None if deliveries.room_and_self else sender)
        self._write_private(deliveries)

    def part(self, username: str, cursor: Cursor, deliveries: Deliveries) -> None:
        """A member becomes a connection like any other, and hears no more."""
        del self._members[username]
        self.fanout.unsubscribe(cursor)
        self._print_and_broadcast(deliveries, skip=None)

    def leave(self, session: Session) -> None:
        """A connection is gone."""
        self._sessions.pop(session, None)
        self._waiting.pop(session, None)
        self.gate.release(session)
        self._look_whether_empty()

    def may_talk(self, cursor: Cursor, max_pages: int) -> bool:
        """Whether another line of this member may be taken now."""
        is_full = self.fanout.free_bytes(max_pages) <= 0
        return not (self.fanout.is_held or is_full or cursor.has_private_backlog)

    def wait_to_talk(self, session: Session) -> None:
        """Let `session` go on, after those who wait already, once it may talk."""
        self._waiting[session] = None
        self.fanout.queue_turn()

    # Details.

    def _print_and_broadcast(self, deliveries: Deliveries, skip: Cursor | None) -> None:
        if deliveries.console:
            self._console.write(deliveries.console)
        if deliveries.room:
            self.fanout.broadcast(deliveries.room, skip)

    def _write_private(self, deliveries: Deliveries) -> None:
        for username, line in deliveries.private:
            self._members[username].connection.write(line)

    def _let_waiting_talk(self) -> None:
        for session in list(self._waiting):
            if self.fanout.is_held or self.fanout.free_bytes(WAITING_PAGES) <= 0:
                return
            if session.may_talk(WAITING_PAGES):
                del self._waiting[session]
                session.go_on()

    def _look_whether_empty(self) -> None:
        if self._is_shutting_down and not self._sessions:
            self._on_empty()


class Session:
    """One connection's part of the conversation: a stranger until JOIN, a member after it."""

    __slots__ = (
        "_cursor",
        "_deadline",
        "_decoder",
        "_port",
        "_request",
        "_room",
        "_username",
        "connection",
        "source",
    )

    def __init__(self, room: Room, host: str, port: int) -> None:
        self.source = host
        self.connection: Connection
        self._room = room
        self._port = port
        self._request: Join | None = None  # which waits to be judged
        self._decoder = LineDecoder(handshake.MAX_JOIN_BYTES)
        self._username = ""
        self._cursor: Cursor | None = None
        self._deadline = room.reactor.call_later(HANDSHAKE_SECONDS, self._time_out)

    # For the connection.

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection
        self._room.enter(self)

    def data_received(self, data: bytes) -> None:
        self._decoder.feed_data(data)
        self._take_lines(ALL_PAGES)

    def eof_received(self) -> None:
        # An unfinished line is not taken: nobody can tell it from one that was cut short.
        if self._cursor:
            self._room.journal.note_end("end of stream")
        self._part()
        self.connection.close()

    def flushed(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline.is_pending:
            self._room.journal.note_end("never joined")
            self._deadline.cancel()
        if isinstance(error, SlowReaderError):
            self._room.journal.note_cut(self.address, self._username, str(error))
        elif self._cursor:
            self._room.journal.note_end("connection lost")
        self._part()
        self._room.leave(self)

    # For the gate.

    def turn_away(self, error: ProtocolError) -> None:
        """Say why this one is not let in, and end politely."""
        self._request = None
        self._decoder = LineDecoder()  # what it has said is not worth the memory any more
        self._deadline.cancel()
        self._room.gate.withdraw(self)
        self._room.journal.note_refusal(self.address, str(error), error.kind)
        self.connection.write(encode_line(format_refusal(error)))
        self.connection.close()

    def drop(self, error: ProtocolError) -> None:
        """The same, at once; whoever was turned away before has heard why."""
        if not self.connection.is_closing:
            self.turn_away(error)
        self.connection.close_at_once()

    # For the room.

    @property
    def address(self) -> str:
        """Where it comes from, for people."""
        return f"{self.source}:{self._port}"

    def may_talk(self, max_pages: int) -> bool:
        """Whether the next line may be taken now. A stranger's always may."""
        return self._cursor is None or self._room.may_talk(self._cursor, max_pages)

    def go_on(self) -> None:
        """Take what had to wait: the request to join, or lines."""
        try:
            if self._request and self.connection.is_lost():
                self.connection.abort()  # it waited for its turn, and was not read meanwhile
                return
            if self._request:
                self._judge(self._request)
            if self._take_lines(WAITING_PAGES):
                self.connection.resume_reading()
        except Exception:
            self._room.reactor.report()
            self.connection.abort()

    def dismiss(self) -> None:
        """End the connection without a word to the others."""
        if self._cursor:
            self._room.fanout.unsubscribe(self._cursor)
            self._cursor = None
        self._request = None
        self._room.gate.withdraw(self)
        self.connection.close()

    # Details.

    def _take_lines(self, max_pages: int) -> bool:
        """Take every line that is complete; False if some have to wait."""
        singly = 0  # how many lines are known to be not all plain
        lines_left = LINES_PER_TURN
        while not self.connection.is_closing:
            if self._request:
                self.connection.pause_reading()
                return False
            if not lines_left or not self.may_talk(max_pages):
                self.connection.pause_reading()
                self._room.wait_to_talk(self)
                return False
            if not singly and self._cursor:
                free_bytes = self._room.fanout.free_bytes(max_pages)
                lines = self._decoder.peek_lines(min(BLOCK_BYTES, free_bytes))
                if lines and self._take_plain(lines, self._cursor):
                    continue
                singly = lines.count(b"\n")
            try:
                line = self._decoder.next_line()
            except LineTooLongError as error:
                self._refuse_line(error)
                lines_left -= 1
                continue
            if line is None:
                break
            self._take_line(line)
            singly = max(0, singly - 1)
            lines_left -= 1
        return True

    def _take_plain(self, lines: bytes, cursor: Cursor) -> bool:
        """Take all of `lines` at once, if they are plain."""
        deliveries = self._room.dispatcher.dispatch_plain(self._username, lines)
        if deliveries is None:
            return False
        self._decoder.drop(len(lines))
        self._room.deliver(deliveries, cursor)
        return True

    def _take_line(self, line: bytes) -> None:
        if self._cursor is None:
            self._ask(line)
            return
        deliveries = self._room.dispatcher.dispatch(self._username, line)
        if deliveries.leaves:
            self._room.journal.note_end(":Exit")
            self._end_membership(self._cursor, deliveries)
            self.connection.close()
        else:
            self._room.deliver(deliveries, self._cursor)

    def _refuse_line(self, error: LineTooLongError) -> None:
        if self._cursor is None:
            self.turn_away(ProtocolError(EXPECTED_JOIN))
        else:
            deliveries = self._room.dispatcher.refuse(self._username, error)
            self._room.deliver(deliveries, self._cursor)

    def _ask(self, line: bytes) -> None:
        try:
            request = self._request = parse_join(line)
        except ProtocolError as error:
            self.turn_away(error)
            return
        if self._room.gate.ask(self):
            self._judge(request)

    def _judge(self, request: Join) -> None:
        self._request = None
        try:
            deliveries = self._room.dispatcher.join(request)
        except ProtocolError as error:
            if str(error) == INCORRECT_PASSCODE:
                self._room.gate.note_wrong_passcode(self.source)
            self.turn_away(error)
            return
        self._deadline.cancel()
        self._decoder.max_line_bytes = self._room.dispatcher.max_line_bytes
        self._username = request.username
        self._cursor = self._room.join(self, request.username, deliveries)

    def _time_out(self) -> None:
        if not self.connection.is_closing:
            reason = TOO_MANY_ATTEMPTS if self._request else HANDSHAKE_TIMED_OUT
            self.turn_away(ProtocolError(reason))

    def _part(self) -> None:
        if self._cursor:
            self._end_membership(self._cursor, self._room.dispatcher.leave(self._username))

    def _end_membership(self, cursor: Cursor, deliveries: Deliveries) -> None:
        self._cursor = None
        self._room.part(self._username, cursor, deliveries)


def _split_address(address: object) -> tuple[str, int]:
    """(host, port) of an IPv4 or IPv6 address, and of another family whatever it has."""
    host, port = address[:2] if isinstance(address, tuple) else (address, 0)
    return sys.intern(str(host)), int(port)  # thousands of members, a few hosts
