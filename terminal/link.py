"""A connection to one room that is made again when it is lost.

In: lines to send. Out: the calls of a LinkOwner. It dials without ever blocking, asks to come in by
ENTER, or by JOIN where the server does not know that, and after a loss tries again, with longer and
longer rests between. Where the server keeps our place it asks for that by RESUME: both streams go
on at the byte where they broke. For that it keeps what was sent and not answered, and nothing else
for later: its owner tells what was lost where there is no place.

    RESTING -> DIALLING -> JOINING -> TALKING -> RESTING ...    until it is OVER

Where a room has several servers, each is tried in turn: the one that may keep our place first,
otherwise the one behind that which was lost.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from codec import (
    EXPECTED_JOIN,
    INCORRECT_PASSCODE,
    NOT_HERE,
    SHUTTING_DOWN,
    TOO_LATE,
    Join,
    LineDecoder,
    LineTooLongError,
    ProtocolError,
    RefusedError,
    Resume,
    decode_text,
    format_join,
    format_resume,
    parse_answer,
    parse_resumed,
)
from codec.handshake import USERNAME_IN_USE
from reactor import WRITE, Connection, Reactor, Timer, Transport, notice_vanished_peers
from terminal.dial import CONNECT_SECONDS, dial
from terminal.outbox import Outbox
from terminal.session import ANSWER_SECONDS, GOODBYE_SECONDS, MAX_SERVER_LINE_BYTES

REST_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""How long it rests before it dials again, after each loss in a row; the last one repeats."""

PATIENT_LOSSES = 3
"""After so many losses in a row, some seven seconds, it dials the other servers too. Until
then it dials the one that may keep its place, and no other."""


class LinkOwner(Protocol):
    """What a Link tells its owner."""

    def link_up(self, has_echo: bool) -> None:
        """We are in the room. With `has_echo` each line has an answer (codec.kinds)."""

    def link_resumed(self) -> None:
        """We have our place again: nothing is lost, and what the server lacked is sent again."""

    def place_lost(self) -> None:
        """The server has not kept our place. What was said meanwhile is lost, and lines without an
        answer may be lost; `link_up` or `link_down` follows."""

    def lines_received(self, texts: list[str]) -> None:
        """Lines of the room, at least one, that came together."""

    def link_down(self, reason: str, rest_seconds: float) -> None:
        """The connection could not be made or is lost, and is tried again after so long. Unless the
        server keeps our place (`has_place`), lines that are not answered may be lost."""

    def link_over(self, error: LinkError | None) -> None:
        """The link has ended: because of `error`, or because we have left."""


class LinkError(Exception):
    """Why there will be no link. `is_for_the_user`: it is ordinary output (codec.handshake)."""

    def __init__(self, reason: str, is_for_the_user: bool = False) -> None:
        super().__init__(reason)
        self.is_for_the_user = is_for_the_user


class Server(NamedTuple):
    """One of the room: `port` of the first of `addresses` that answers, or a UNIX socket. `name` is
    for messages, `host` is what the user typed; `make_transport` puts a Transport over a connected
    socket."""

    name: str
    host: str
    port: int | None
    addresses: list[str]
    make_transport: Callable[[socket.socket], Transport]


class State(Enum):
    """How far a link has come."""

    RESTING = 0
    DIALLING = 1
    JOINING = 2  # the answer is due
    TALKING = 3
    OVER = 4


class Link:
    """A member's connection to one of `servers`, all of the same room."""

    def __init__(
        self, reactor: Reactor, servers: Sequence[Server], join: Join, owner: LinkOwner
    ) -> None:
        self.server = servers[0]
        """The server that is tried, or was last."""
        self._reactor = reactor
        self._servers = [*servers]  # the one to begin with is the first
        self._join = join
        self._owner = owner
        self.state = State.RESTING
        self._untried: list[tuple[Server, str]] = []
        self._sock: socket.socket | None = None  # while it is dialled
        self._connection: Connection | None = None
        self._answer = LineDecoder(MAX_SERVER_LINE_BYTES)  # to our request
        self._lines = LineDecoder(MAX_SERVER_LINE_BYTES)
        self._token = ""  # of our place
        self._received_bytes = 0  # of the room's stream
        self._outbox = Outbox()
        self._failures: dict[str, str] = {}  # of each server, the first
        self._has_echo = True
        self._was_in = False  # once we were in the room, a refusal is tried again
        self._losses = 0  # in a row
        self._is_leaving = False
        self._timer: Timer | None = None
        reactor.call_soon(self._begin)

    @property
    def is_up(self) -> bool:
        """Whether what is sent now goes to the room."""
        return self.state is State.TALKING and not self._is_leaving

    @property
    def has_been_up(self) -> bool:
        """Whether we have been in the room, even if we are not now."""
        return self._was_in

    @property
    def is_answer_due(self) -> bool:
        """Whether we wait for the server or the network to answer."""
        return self.state in (State.DIALLING, State.JOINING)

    @property
    def has_place(self) -> bool:
        """Whether the server may keep our place while there is no connection."""
        return bool(self._token)

    def send(self, text: str) -> None:
        """Send a line, if `is_up`."""
        if self._connection:
            self._write_line(text.encode("utf-8", "surrogateescape"))

    def note_answer(self) -> None:
        """The oldest line that waits for an answer (codec.kinds) has it."""
        self._outbox.note_answer()

    def leave(self) -> None:
        """Send what is left, show what still comes, and end."""
        self._is_leaving = True
        if self.state is not State.TALKING or not self._connection:
            self._end(None)
            return
        self._connection.resume_reading()
        self._say_exit()
        self._connection.write_eof()
        self._set_timer(GOODBYE_SECONDS, lambda: self._end(None))

    def close(self) -> None:
        """End now. Nothing is told."""
        if self.state is State.TALKING:
            self._say_exit()
        self.state = State.OVER
        self._stop_waiting()
        if self._connection:
            self._connection.close_at_once()

    def pause(self) -> None:
        """Receive nothing until `resume`."""
        if self._connection:
            self._connection.pause_reading()

    def resume(self) -> None:
        """Undo `pause`."""
        if self._connection:
            self._connection.resume_reading()

    # For the loop: a socket that is being connected.

    def handle_events(self, events: int) -> None:
        sock = self._sock
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if sock else 0
        if not sock or error:
            self._dial_failed(os.strerror(error))
            return
        self._reactor.set_interest(sock.fileno(), 0, self)
        self._sock = None
        notice_vanished_peers(sock)
        self.state = State.JOINING
        self._answer = LineDecoder(MAX_SERVER_LINE_BYTES)
        self._set_timer(ANSWER_SECONDS, lambda: self._lose(f"no answer from {self.server.name}"))
        self._connection = Connection(self._reactor, self.server.make_transport(sock), self)

    def handle_error(self) -> None:
        self._dial_failed("a bug")

    # For the connection.

    def connection_made(self, connection: Connection) -> None:
        request = format_resume(Resume(self._token, self._received_bytes))
        if not self._token:
            request = format_join(self._join._replace(echo=self._has_echo))
        connection.write(request + b"\n")

    def data_received(self, data: bytes) -> None:
        try:
            if self.state is State.JOINING:
                self._answer.feed_data(data)
                line = self._answer.next_line()
                if line is None:
                    return
                data = self._answer.rest
                self._take_answer(line)
            if self.state is State.TALKING:
                self._take_lines(data)
        except LineTooLongError:
            self._token = ""  # we cannot go on within this stream
            self._lose(f"the server sent a line longer than {MAX_SERVER_LINE_BYTES} bytes")

    def eof_received(self) -> None:
        self._lose("connection closed by the server")

    def flushed(self) -> None:
        """What a person types is little: no one waits for this."""

    def connection_lost(self, error: Exception | None) -> None:
        reason = getattr(error, "strerror", None) or str(error or "")
        self._lose(f"connection lost: {reason}" if reason else "connection closed by the server")

    # Details.

    def _begin(self) -> None:
        """Dial each address in turn; that of the server that may keep our place alone at first."""
        self._failures = {}
        is_patient = self._token and self._losses < PATIENT_LOSSES
        servers = self._servers[:1] if is_patient else self._servers
        self._untried = [(server, address) for server in servers for address in server.addresses]
        self._dial_next()

    def _dial_next(self) -> None:
        if not self._untried:
            reasons = [f"{name}: {reason}" for name, reason in self._failures.items()]
            self.server = self._servers[0]
            self._lose(f"cannot connect to {'; '.join(reasons)}")
            return
        self.state = State.DIALLING
        self.server, address = self._untried.pop(0)
        try:
            self._sock = dial(address, self.server.port or 0)
            self._reactor.set_interest(self._sock.fileno(), WRITE, self)
        except OSError as error:
            self._dial_failed(error.strerror or str(error))
        else:
            self._set_timer(CONNECT_SECONDS, lambda: self._dial_failed("timed out"))

    def _dial_failed(self, reason: str) -> None:
        self._stop_waiting()
        question = " (is the server running?)" if reason == os.strerror(errno.ECONNREFUSED) else ""
        self._failures.setdefault(self.server.name, reason + question)
        self._dial_next()

    def _take_lines(self, data: bytes) -> None:
        self._received_bytes += len(data)
        self._lines.feed_data(data)
        texts: list[str] = []
        if b"\n" in data:  # many at once, none of which can be too long
            whole = self._lines.peek_lines(MAX_SERVER_LINE_BYTES)
            self._lines.drop(len(whole))
            texts = [decode_text(line.removesuffix(b"\r")) for line in whole.split(b"\n")[:-1]]
        try:
            while (line := self._lines.next_line()) is not None:
                texts.append(decode_text(line))
        finally:  # lines before one that is too long are shown
            if SHUTTING_DOWN in texts:
                self._token = ""
            if texts:
                self._owner.lines_received(texts)

    def _take_answer(self, line: bytes) -> None:
        try:
            if self._token:
                self._take_place(parse_resumed(line))
            else:
                self._come_in(parse_answer(line, self._has_echo))
        except RefusedError as refused:
            self._take_refusal(refused)
        except ProtocolError:
            self._lose(f"{self.server.name} is not a chat server (is the port right?)")

    def _take_refusal(self, refused: RefusedError) -> None:
        is_unknown = refused.code.startswith(EXPECTED_JOIN.partition(" <")[0])
        if self._token and (is_unknown or refused.code in (TOO_LATE, NOT_HERE)):
            self._give_place_up()
        elif self._has_echo and is_unknown:
            self._has_echo = False
            self._dial_again()
        elif refused.code == USERNAME_IN_USE:
            # The name may be our own: that of a client of ours that was killed, or of a place at a
            # server that is dead, which the others have not noticed yet.
            self._begin_with(self.server)
            self._rest(str(refused))
        else:
            is_final = refused.code == INCORRECT_PASSCODE or not self._was_in
            error = LinkError(str(refused), refused.is_for_the_user)
            self._lose(str(refused), error if is_final else None)

    def _come_in(self, token: str) -> None:
        self._token = token
        self._received_bytes = 0
        self._lines = LineDecoder(MAX_SERVER_LINE_BYTES)
        self._outbox = Outbox()
        self._begin_talking()
        self._owner.link_up(self._has_echo)

    def _take_place(self, place: Resume) -> None:
        """Send what the server has not received."""
        unsent = self._outbox.since(place.received_bytes)
        if unsent is None:
            self._give_place_up()
            return
        self._token = place.token
        self._begin_talking()
        if unsent and self._connection:
            self._connection.write(unsent)
        else:
            self._write_line(b"")  # any byte makes the token that was presented useless
        self._owner.link_resumed()

    def _begin_talking(self) -> None:
        self._stop_waiting()
        self.state = State.TALKING
        self._was_in = True
        self._losses = 0

    def _write_line(self, line: bytes) -> None:
        if self._connection:
            self._connection.write(line + b"\n")
        if self._token:
            self._outbox.append(line)

    def _say_exit(self) -> None:
        """Leave by a line: where our place is kept, the end of the connection is no departure."""
        if self._token and not self._outbox.has_exit:
            self._write_line(b":Exit")

    def _give_place_up(self) -> None:
        """Join again by ENTER."""
        self._token = ""
        self._owner.place_lost()
        self._dial_again()

    def _dial_again(self) -> None:
        self._drop_connection()
        self._begin_with(self.server)
        self._begin()

    def _begin_with(self, server: Server) -> None:
        """Try this server first, and then those behind it."""
        number = self._servers.index(server)
        self._servers = self._servers[number:] + self._servers[:number]

    def _lose(self, reason: str, error: LinkError | None = None) -> None:
        if self.state is State.OVER:
            return
        if not self._was_in and not error:
            if self._untried and not self._is_leaving:
                # This one takes connections and does not serve them.
                self._drop_connection()
                self._dial_failed(reason)
                return
            error = LinkError(reason)
        if error or self._is_leaving:
            self._drop_connection()
            self._end(None if self._is_leaving else error)
            return
        if self.state is not State.DIALLING:
            has_place = self._token and self.state is State.TALKING
            number = self._servers.index(self.server) + (0 if has_place else 1)
            self._begin_with(self._servers[number % len(self._servers)])
        self._rest(reason)

    def _rest(self, reason: str) -> None:
        """Try again later."""
        self._drop_connection()
        self.state = State.RESTING
        self._has_echo = True  # another server may be there by then
        rest_seconds = REST_SECONDS[min(self._losses, len(REST_SECONDS) - 1)]
        self._losses += 1
        self._set_timer(rest_seconds, self._begin)
        self._owner.link_down(reason, rest_seconds)

    def _end(self, error: LinkError | None) -> None:
        if self.state is not State.OVER:
            self.state = State.OVER
            self._stop_waiting()
            self._owner.link_over(error)

    def _drop_connection(self) -> None:
        """Close it. Its last callbacks go to _Gone: it is not ours any more."""
        self._stop_waiting()
        connection, self._connection = self._connection, None
        if connection:
            connection.protocol = _Gone()
            connection.close_at_once()

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._reactor.call_later(seconds, callback)

    def _stop_waiting(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._sock:
            self._reactor.set_interest(self._sock.fileno(), 0, self)
            self._sock.close()
            self._sock = None


class _Gone:
    """The protocol of a connection that was dropped."""

    def connection_made(self, connection: Connection) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> None: ...

    def flushed(self) -> None: ...

    def connection_lost(self, error: Exception | None) -> None: ...
