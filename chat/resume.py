"""Places that are kept while a connection is lost: an absence is no departure (`-resume SECONDS`).

In: members that came by ENTER, the ends of their connections, and requests to RESUME. Out: answers,
members that go on where their connection broke, in both directions, and the departure of those that
do not come back in time. reactor.keeper keeps what was sent to them.

A member's token names its place by a number and proves it by 128 random bits. Each resume brings a
new token. The token that was presented stays good until the member sends a byte, which shows that
it has read the answer: the answer may be lost, too.
"""

from __future__ import annotations

import re

# As in codec.dispatcher.
from _operator import _compare_digest as compare_digest
from collections.abc import Callable
from os import urandom
from typing import TYPE_CHECKING, Annotated, Any, cast

from chat.session import Guest, Member
from codec import (
    NOT_HERE,
    TOO_LATE,
    LineDecoder,
    ProtocolError,
    Resume,
    encode_line,
    format_resumed,
)
from codec.handshake import OK
from reactor import Connection, Cursor, Reactor, SlowReaderError, Timer
from reactor.keeper import Keeper, KeptCursor

if TYPE_CHECKING:
    from chat.room import Room

TOKEN_BYTES: Annotated[int, "Random bytes of a token: 128 bits cannot be guessed."] = 16


class ResumableMember(Member):
    """A Member that outlives its connection. `number` and `token` are those of its place in
    `places`; Places sets all three."""

    __slots__ = (
        "_asked_from",
        "absence",
        "number",
        "old_token",
        "places",
        "received_bytes",
        "token",
    )

    cursor: KeptCursor
    places: Places

    def __init__(self, host: Room, guest: Guest, decoder: LineDecoder, *rest: Any) -> None:
        super().__init__(host, guest, decoder, *rest)
        self.received_bytes = len(decoder.rest)
        """How many bytes have come from it, from behind the LF of its first line."""
        self.number = 0
        self.token = self.old_token = ""
        self.absence: Timer | None = None
        """The timer that ends its absence, while it has no connection."""
        self._asked_from = 0  # the byte of its stream at which it goes on, once the answer is sent

    # For the connection.

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self.old_token = ""  # it sends nothing before it has read the new one
        super().data_received(data)

    def eof_received(self) -> None:
        connection = self.connection
        self._be_absent()
        connection.protocol = GONE
        connection.close()

    def flushed(self) -> None:
        if self.cursor.is_attached or self._has_left:
            return
        if not self.cursor.attach(self.connection, self._asked_from):
            self.connection.abort()  # the answer took too long to be sent

    def connection_lost(self, error: Exception | None) -> None:
        if self._has_left:
            super().connection_lost(error)
            return
        if isinstance(error, SlowReaderError):
            self._host.note_cut(self, error)
        self._be_absent()

    # For Places.

    @property
    def is_absent(self) -> bool:
        """Whether it has no connection."""
        return self.absence is not None

    def take_over(self, guest: Guest, request: Resume) -> None:
        """Go on with the connection of `guest`. A connection before it is taken for dead."""
        if self.absence:
            self.absence.cancel()
            self.absence = None
        else:
            self.connection.protocol = GONE
            self.connection.abort()
        answer = Resume(self.places.renew_token(self, request.token), self.received_bytes)
        self._source, self._port = guest.source, guest.port
        self._asked_from = request.received_bytes
        self.connection = guest.connection
        rest = guest.hand_over(self)
        self.connection.write(encode_line(format_resumed(answer)))
        self.connection.flush()  # which calls `flushed`, mostly at once
        if self.places.is_waiting(self):
            self.connection.pause_reading()  # lines from the connection before come first
        else:
            self.connection.resume_reading()
        if rest:
            self.data_received(rest)

    def leave(self, why: str) -> None:
        """Leave the room, unless it has left."""
        self._leave(why)

    def end(self, why: str) -> None:
        """The same, and end its connection if it has one."""
        self._leave(why)
        self.connection.abort()

    # Details.

    def _be_absent(self) -> None:
        self.cursor.discard()
        self.connection = self.places.begin_absence(self)


class Absence:
    """Stands in for the connection of a member that has none, while the lines that were received
    from it are still taken."""

    is_closing = False

    def __init__(self, reactor: Reactor, on_end: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_end = on_end

    def call(self, callback: Callable[[], None]) -> None:
        """As Connection.call: a bug costs this member."""
        try:
            callback()
        except Exception:
            self._reactor.report()
            self._on_end()

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """The member has left."""
        self._on_end()

    close_at_once = abort = close


class Gone:
    """The protocol of a connection that no longer belongs to a member."""

    def connection_made(self, connection: Connection) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> None: ...

    def flushed(self) -> None: ...

    def connection_lost(self, error: Exception | None) -> None: ...


GONE = Gone()


class Places:
    """All places of a room's members on this server."""

    def __init__(self, reactor: Reactor, room: Room, seconds: float, block: int = 0) -> None:
        """A place is kept for so many `seconds` without a connection. The servers of one room have
        a `block` of numbers each, from `make_block`, to know the tokens of the others."""
        self._reactor = reactor
        self._room = room
        self._seconds = seconds
        self._keeper = Keeper(room.fanout, self._give_up)
        self._block = block
        self._last_number = block * _BLOCK
        self._members: dict[int, ResumableMember] = {}  # by the number of their place
        self._by_cursor: dict[Cursor, ResumableMember] = {}

    # For the room.

    def let_in(self, guest: Guest, username: str, max_line_bytes: int) -> tuple[Member, bytes]:
        """A guest that came by ENTER becomes a member. Returns it, and the line that it reads
        first."""
        self._last_number += 1
        token = _make_token(self._last_number)
        ok = encode_line(f"{OK} {token}")
        cursor = KeptCursor(self._keeper, guest.connection, len(ok))
        self._room.fanout.subscribe(guest.connection, cursor)
        made = guest.become_member(username, cursor, max_line_bytes, ResumableMember)
        member = cast(ResumableMember, made)
        member.places, member.number, member.token = self, self._last_number, token
        self._members[member.number] = self._by_cursor[cursor] = member
        return member, ok

    def resume(self, guest: Guest, request: Resume) -> None:
        """Answer a request for a place. Raises ProtocolError to refuse it."""
        member = self._find(guest, request.token)
        if member.has_left:
            raise ProtocolError(TOO_LATE)
        if self._room.bans:
            self._room.bans.check(member.username, guest.source)
        if member.cursor.find(request.received_bytes) is None:
            member.end("too late to resume")  # its client comes back by ENTER
            raise ProtocolError(TOO_LATE)
        self._room.release_guest(guest)
        member.take_over(guest, request)

    def release(self, member: Member) -> None:
        """Keep no place for `member`, which has left."""
        if isinstance(member, ResumableMember):
            self._members.pop(member.number, None)
            self._by_cursor.pop(member.cursor, None)
            member.cursor.release()
            if member.absence:
                member.absence.cancel()

    # For ResumableMember.

    def begin_absence(self, member: ResumableMember) -> Connection:
        """Wait for `member` to come back. Returns what stands in for its connection."""
        why = "did not come back"
        member.absence = self._reactor.call_later(self._seconds, lambda: member.end(why))
        return cast(Connection, Absence(self._reactor, lambda: self._end(member)))

    def is_waiting(self, member: ResumableMember) -> bool:
        """Whether lines of `member` wait for their turn."""
        return self._room.is_waiting(member)

    def renew_token(self, member: ResumableMember, presented: str) -> str:
        """The token for the next time."""
        member.old_token, member.token = presented, _make_token(member.number)
        return member.token

    # Details.

    def _find(self, guest: Guest, token: str) -> ResumableMember:
        """The member with that token. Raises ProtocolError for a wrong one, which counts as a wrong
        passcode unless it belongs to a place that was given up."""
        number = int(token.partition(".")[0]) if _TOKEN.fullmatch(token) else 0
        member = self._members.get(number)
        if member:
            is_right = compare_digest(token, member.token)
            if is_right | compare_digest(token, member.old_token):  # `|` always compares both
                return member
        if self._block and number and number // _BLOCK != self._block:
            raise ProtocolError(NOT_HERE)  # where no guess can be right
        if member or not 0 < number <= self._last_number:
            self._room.gate.note_wrong_passcode(guest.source)
        raise ProtocolError(TOO_LATE)

    def _give_up(self, cursor: KeptCursor) -> None:
        """The keeper calls this at the end of a turn."""
        if member := self._by_cursor.get(cursor):
            self._reactor.call_soon(lambda: self._end_absent(member))

    def _end_absent(self, member: ResumableMember) -> None:
        if member.is_absent:  # it may have come back meanwhile
            member.end("absent for too many lines")

    def _end(self, member: ResumableMember) -> None:
        """End the membership of one that will not come back."""
        member.leave("a bug")  # unless it has left
        self.release(member)
        self._room.forget(member)


def make_block() -> int:
    """One of a million, by chance."""
    return 1 + int.from_bytes(urandom(4), "big") % (_BLOCKS - 1)


def _make_token(number: int) -> str:
    return f"{number}.{urandom(TOKEN_BYTES).hex()}"


_BLOCK, _BLOCKS = 10**9, 10**6  # numbers of places, and how many times that
_TOKEN = re.compile(r"[1-9][0-9]{0,14}\.[0-9a-f]{32}")
