"""The two protocols of a connection: Guest until it has joined, Member from then on.

In: what one connection receives, and that it comes and goes. Out: requests to join and lines, one
at a time or in blocks, handed to the room. Both know the room as a Host, and nothing behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Protocol

from codec import (
    EXPECTED_JOIN,
    HANDSHAKE_TIMED_OUT,
    TOO_MANY_ATTEMPTS,
    Join,
    LineDecoder,
    LineTooLongError,
    ProtocolError,
    Resume,
    encode_line,
    format_refusal,
    handshake,
)
from reactor import (
    Connection,
    Cursor,
    SlowReaderError,
    StreamProtocol,
    Timer,
    TransportError,
)

HANDSHAKE_SECONDS: Annotated[
    float,
    "From accept to the answer to JOIN, however the bytes drip; enough for a person to type it "
    "into `nc`.",
] = 20.0

BLOCK_BYTES: Annotated[
    int,
    "Most bytes of lines that are taken at once: more would overfill a page, since each line "
    "grows by the name in front of it.",
] = 16 * 1024

WAITING_PAGES: Annotated[
    int,
    "How much of a turn is for members that had to wait, in pages.",
] = 1

ALL_PAGES: Annotated[
    int,
    "How much of a turn is for these and for members that speak meanwhile, in pages: a single line "
    "does not wait for floods that came before it, nor a flood for lines without end.",
] = 2

FLOOD_BYTES: Annotated[
    int,
    "Who has more than this to say at once floods, and has to wait while the room is held: a paste "
    "is less.",
] = 16 * 1024

LINES_PER_TURN: Annotated[
    int,
    "Most lines of one member that are taken one by one before the others have their turn. "
    "Lines that fill no page, blank ones and private ones, would otherwise keep them waiting "
    "for a whole read.",
] = 256


def format_address(source: str, port: int) -> str:
    """For people: `127.0.0.1:50000`, `[::1]:50000` (RFC 3986), or `unix`, which has no port."""
    if not port:
        return source
    return f"[{source}]:{port}" if ":" in source else f"{source}:{port}"


class Host(Protocol):
    """What a guest or a member asks of the room."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call once, after so many seconds."""

    def note_end(self, kind: str) -> None:
        """A guest or a member is gone for a reason of its own."""

    def forget(self, gone: Guest | Member) -> None:
        """A connection is gone."""

    def arrive(self, guest: Guest) -> None:
        """A connection has been made."""

    def parse_request(self, line: bytes) -> Join | Resume:
        """The first line of a guest. Raises ProtocolError for one that is no request."""

    def ask(self, guest: Guest) -> bool:
        """Whether the request of this guest may be judged now. If not, its `go_on` is called when
        its turn has come, unless it is turned away."""

    def join(self, guest: Guest, request: Join | Resume) -> None:
        """Judge a request. The answer, at once or later, is `become_member`, `hand_over` or
        `turn_away`."""

    def is_entering(self, guest: Guest) -> bool:
        """Whether this guest was accepted and becomes a member when this turn ends."""

    def note_refusal(self, guest: Guest, error: ProtocolError) -> None:
        """A guest was told why it is not let in."""

    def free_bytes(self, max_pages: int, pending_bytes: int) -> int:
        """How many bytes of lines may still be taken in this turn, if the turn is to send at most
        `max_pages`. While the room is held they are fewer, and none for one that floods: by what it
        has to say now, `pending_bytes`."""

    def wait_to_talk(self, member: Member) -> None:
        """Call the member's `go_on` once it may talk, after those that wait already."""

    def take_plain(self, member: Member, lines: bytes) -> bool:
        """Take all of `lines` at once, if they are plain; False if one of them is not."""

    def take_line(self, member: Member, line: bytes) -> bool:
        """Take one line; whether it was the member's last word."""

    def refuse_line(self, member: Member) -> None:
        """Tell a member that its line was too long."""

    def leave(self, member: Member) -> None:
        """A member is gone without a word."""

    def end(self, member: Member) -> None:
        """Close the connection of a member that leaves, once it has read all up to there."""

    def note_cut(self, member: Member, error: SlowReaderError) -> None:
        """A member was cut."""


class Guest:
    """A connection that has not joined: its one request, and the time it has for it."""

    __slots__ = (
        "_deadline",
        "_decoder",
        "_host",
        "_is_queued",
        "_request",
        "connection",
        "port",
        "source",
    )

    def __init__(self, host: Host, source: str, port: int) -> None:
        self.connection: Connection
        self.source = source
        self.port = port
        self._host = host
        self._decoder = LineDecoder(handshake.MAX_JOIN_BYTES)
        self._request: Join | Resume | None = None  # which has no answer yet
        self._is_queued = False  # it waits for the gate, and not for the name
        self._deadline = host.call_later(HANDSHAKE_SECONDS, self._time_out)

    # For the connection.

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection
        self._host.arrive(self)

    def data_received(self, data: bytes) -> None:
        self._decoder.feed_data(data)
        try:
            line = self._decoder.next_line()
            if line is None:
                return
            self._request = self._host.parse_request(line)
        except ProtocolError:
            self.turn_away(ProtocolError(EXPECTED_JOIN))
            return
        self._is_queued = not self._host.ask(self)
        if not self._is_queued:
            self._host.join(self, self._request)
        if self._request:  # the answer comes later, to an ENTER at the end of the turn
            self.connection.pause_reading()  # what comes behind the request waits with it

    def eof_received(self) -> None:
        self.connection.close()

    def flushed(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline.is_pending:
            self._deadline.cancel()
            if isinstance(error, TransportError):
                self._host.note_refusal(self, ProtocolError("No TLS", ": ", str(error)))
            else:
                self._host.note_end("never joined")
        self._host.forget(self)

    # For the room.

    @property
    def address(self) -> str:
        """Where it comes from, for people."""
        return format_address(self.source, self.port)

    def go_on(self) -> None:
        """Its request may be judged now."""
        self.connection.call(self._go_on)

    @property
    def has_echo(self) -> bool:
        """Whether its request, which has no answer yet, is an ENTER."""
        return isinstance(self._request, Join) and self._request.echo

    def become_member(
        self, username: str, cursor: Cursor, max_line_bytes: int, make: type[Member] | None = None
    ) -> Member:
        """It is let in: a Member, of the kind `make`, takes over the connection, and what was
        received behind JOIN."""
        has_echo = self.has_echo
        self._request = None
        self._deadline.cancel()
        self._decoder.max_line_bytes = max_line_bytes
        make = make or Member
        member = make(self._host, self, self._decoder, username, cursor, has_echo)
        self.connection.protocol = member
        return member

    def hand_over(self, protocol: StreamProtocol) -> bytes:
        """It is a member that was lost, whose `protocol` has the connection from here on. Returns
        what was received behind the request."""
        self._request = None
        self._deadline.cancel()
        self.connection.protocol = protocol
        return self._decoder.rest

    def turn_away(self, error: ProtocolError) -> None:
        """Say why it is not let in, and end politely."""
        self._deadline.cancel()
        self._host.note_refusal(self, error)
        self.connection.write(encode_line(format_refusal(error)))
        self.dismiss()

    def drop(self, error: ProtocolError) -> None:
        """The same, at once; a guest that was turned away before has heard why."""
        if not self.connection.is_closing:
            self.turn_away(error)
        self.connection.close_at_once()

    def dismiss(self) -> None:
        """End the connection without a word."""
        self._request = None
        self._decoder = LineDecoder()  # what it has said is not worth the memory any more
        self.connection.close()

    # Details.

    def _go_on(self) -> None:
        if self._request is None:
            return
        if self.connection.is_lost():
            self.connection.abort()  # it was not read while it waited
            return
        self._is_queued = False
        self._host.join(self, self._request)

    def _time_out(self) -> None:
        if self._host.is_entering(self):
            self._deadline = self._host.call_later(0, self._time_out)  # for a bus that takes longer
        elif not self.connection.is_closing:
            reason = TOO_MANY_ATTEMPTS if self._is_queued else HANDSHAKE_TIMED_OUT
            self.turn_away(ProtocolError(reason))


class Member:
    """A connection that has joined: what it types, as fast as the room takes it."""

    __slots__ = (
        "_decoder",
        "_has_left",
        "_host",
        "_port",
        "_source",
        "connection",
        "cursor",
        "has_echo",
        "username",
    )

    def __init__(
        self,
        host: Host,
        guest: Guest,
        decoder: LineDecoder,
        username: str,
        cursor: Cursor,
        has_echo: bool,
    ) -> None:
        self.connection = guest.connection
        self.username = username
        self.cursor = cursor
        self.has_echo = has_echo
        self._host = host
        self._source = guest.source
        self._port = guest.port
        self._decoder = decoder
        self._has_left = False

    # For the connection.

    def connection_made(self, connection: Connection) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        self._decoder.feed_data(data)
        self._take_lines(ALL_PAGES)

    def eof_received(self) -> None:
        # An unfinished line is not taken: it may have been cut short.
        self._leave("end of stream")
        self._host.end(self)

    def flushed(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        if isinstance(error, SlowReaderError):
            self._host.note_cut(self, error)
            self._leave()
        else:
            self._leave("connection lost")
        self._host.forget(self)

    # For the room.

    @property
    def source(self) -> str:
        """Its address without the port."""
        return self._source

    @property
    def address(self) -> str:
        """Where it comes from, for people."""
        return format_address(self._source, self._port)

    @property
    def is_absent(self) -> bool:
        """Whether it has lost its connection, and its place is kept."""
        return False

    @property
    def pending_bytes(self) -> int:
        """What it has sent and was not heard."""
        return self._decoder.pending_bytes

    def begin(self) -> None:
        """Take what came in one piece with the request to join."""
        self.connection.call(lambda: self._resume(ALL_PAGES))

    def go_on(self) -> None:
        """Take the lines that had to wait."""
        self.connection.call(lambda: self._resume(WAITING_PAGES))

    @property
    def has_left(self) -> bool:
        """Whether its departure is submitted. Where the bus takes its time, it is still in the
        room."""
        return self._has_left

    def dismiss(self) -> None:
        """End the connection without a word to the others."""
        self._has_left = True
        self._host.end(self)

    # Details.

    def _resume(self, max_pages: int) -> None:
        if self._take_lines(max_pages) and not self._has_left:
            self.connection.resume_reading()

    def _take_lines(self, max_pages: int) -> bool:
        """Take every line that is complete; False if some have to wait."""
        singly = 0  # how many lines are known to be not all plain
        lines_left = LINES_PER_TURN
        while not (self._decoder.is_empty or self._has_left or self.connection.is_closing):
            free_bytes = self._host.free_bytes(max_pages, self.pending_bytes)
            if not lines_left or free_bytes <= 0 or self.cursor.has_private_backlog:
                self.connection.pause_reading()
                self._host.wait_to_talk(self)
                return False
            if not singly:
                lines = self._decoder.peek_lines(min(BLOCK_BYTES, free_bytes))
                if lines and self._host.take_plain(self, lines):
                    self._decoder.drop(len(lines))
                    continue
                singly = lines.count(b"\n")
            if not self._take_line():
                break
            singly = max(0, singly - 1)
            lines_left -= 1
        return True

    def _take_line(self) -> bool:
        """Take the next line; False if none is complete."""
        try:
            line = self._decoder.next_line()
        except LineTooLongError:
            self._host.refuse_line(self)
            return True
        if line is None:
            return False
        if self._host.take_line(self, line):
            self._has_left = True
            self._host.note_end(":Exit")
            self._host.end(self)
        return True

    def _leave(self, why: str = "") -> None:
        if self._has_left:
            return
        self._has_left = True
        if why:
            self._host.note_end(why)
        self._host.leave(self)
