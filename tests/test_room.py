"""The room on real sockets: who may come in, who hears what, who waits, and who left, once."""

from __future__ import annotations

import os
import selectors
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import (
    MAX_JOIN_BYTES,
    MAX_LINE_BYTES,
    Deliveries,
    Dispatcher,
    Join,
    LineDecoder,
    LineTooLongError,
)
from codec.commands import LIST_USERS, Command
from reactor import PAGE_BYTES, Connection, Listener, Sink, listen
from reactor.connection import LINGER_SECONDS, READ_BYTES
from reactor.flow import (
    BEHIND_SECONDS,
    DRAIN_SECONDS,
    MAX_SEND_QUEUE_BYTES,
    SEND_QUEUE_BYTES,
    STALL_SECONDS,
)
from room import HANDSHAKE_SECONDS, Room, Session
from tests.reactor.conftest import Loop

PASSCODE = b"abc12"
TOO_LONG = b"Message too long (limit 4096 bytes); not sent\n"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def local_time(seconds: int) -> tuple[int, ...]:
    """It is always Wed Sep 24 12:31:44 2025."""
    return (2025, 9, 24, 12 + seconds // 3600, 31, 44, 2)


class Spy:
    """A session under watch: how much it was given, and what it owes."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.received_bytes = 0
        self.connection_made = session.connection_made
        self.eof_received = session.eof_received
        self.flushed = session.flushed
        self.connection_lost = session.connection_lost

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self.session.data_received(data)

    @property
    def connection(self) -> Connection:
        return self.session.connection


class Person:
    """The other end of a connection, in the hands of the test."""

    def __init__(self, house: House, sock: socket.socket) -> None:
        self.socket = sock
        self.address = "{}:{}".format(*sock.getsockname())
        self._house = house

    @property
    def spy(self) -> Spy:
        """The room's end of it."""
        return self._house.spies[self.address]

    def send(self, data: bytes) -> None:
        """Send all of it, and let the room turn meanwhile."""
        unsent = memoryview(data)

        def is_sent() -> bool:
            nonlocal unsent
            try:
                unsent = unsent[self.socket.send(unsent) :]
            except BlockingIOError:
                pass
            return not unsent

        self._house.loop.turn_until(is_sent)
        self._house.loop.turn()

    def send_what_fits(self, data: bytes) -> int:
        """Send what the kernel takes, and let the room turn once."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        finally:
            self._house.loop.turn()

    def read(self, size: int) -> bytes:
        return self._house.loop.receive(self.socket, size)

    def reads(self, data: bytes) -> None:
        """Just this comes next."""
        assert self.read(len(data)) == data

    def reads_nothing(self) -> None:
        """Nothing is on its way."""
        self._house.loop.turn(2)
        with pytest.raises(BlockingIOError):
            self.socket.recv(1)

    def reads_to_end(self, data: bytes) -> None:
        """Just this comes next, and then the end."""
        assert self._house.loop.receive_to_end(self.socket) == data

    def ends(self) -> None:
        """Send no more."""
        self.socket.shutdown(socket.SHUT_WR)

    def resets(self) -> None:
        """Be gone at once, with RST in place of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.socket.close()


class House:
    """A Room with all it needs: a clock, a door on loopback, a console on a pipe."""

    def __init__(self, is_verbose: bool = False) -> None:
        self.loop = Loop(selectors.DefaultSelector())
        self.dispatcher = Dispatcher(PASSCODE, local_time)
        self.log: list[str] = []
        self.empty_calls = 0
        self.spies: dict[str, Spy] = {}
        self.people: list[Person] = []
        self._console, write_end = os.pipe()
        os.set_blocking(self._console, False)
        self._write_end = write_end
        self.room = Room(
            self.loop.reactor,
            self.dispatcher,
            Sink(self.loop.reactor, write_end),
            self.log.append,
            self._note_empty,
            is_verbose,
        )
        door = listen("127.0.0.1", 0)
        self._address = door.getsockname()
        self._listener = Listener(self.loop.reactor, door, self._make_spy)

    def connect(self) -> Person:
        """Somebody at the door."""
        sock = socket.socket()
        # As little as may be: one who does not read is to be owed something soon.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sock.connect(self._address)
        sock.setblocking(False)
        person = Person(self, sock)
        self.people.append(person)
        self.loop.turn_until(lambda: person.address in self.spies)
        return person

    def join(self, username: str, *others: Person) -> Person:
        """A new member; the `others`, who are in the room already, read that it joined."""
        person = self.connect()
        person.send(b"JOIN %s %s\n" % (username.encode(), PASSCODE))
        person.reads(b"OK\n")
        for other in others:
            other.reads(b"%s joined the chatroom\n" % username.encode())
        return person

    def shown(self) -> bytes:
        """What the console shows that was not asked for yet."""
        self.loop.turn(2)
        shown = b""
        while True:
            try:
                shown += os.read(self._console, 1 << 16)
            except BlockingIOError:
                return shown
            self.loop.turn()

    def close(self) -> None:
        for person in self.people:
            person.socket.close()
        for spy in self.spies.values():
            spy.connection.abort()
        self._listener.close()
        self.loop.turn(2)
        self.loop.reactor.close()
        os.close(self._console)
        os.close(self._write_end)
        assert self.loop.take_errors() == []

    def _make_spy(self, address: object) -> Spy:
        session = self.room.make_session(address)
        self.spies[session.address] = spy = Spy(session)
        return spy

    def _note_empty(self) -> None:
        self.empty_calls += 1


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


# Coming in.


def test_a_newcomer_reads_ok_and_the_others_and_the_console_that_it_joined(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    ann.send(b"hello\n")
    bob.reads(b"Ann: hello\n")
    bob.reads_nothing()
    ann.reads_nothing()
    assert house.shown() == b"Ann joined the chatroom\nBob joined the chatroom\nAnn: hello\n"
    assert house.log == []


JOIN_EXPECTED = b"ERROR Expected: JOIN <username> <passcode>\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"JOIN Bob wrong", b"ERROR Incorrect passcode\n"),
        (b"JOIN Bob abc12 ", b"ERROR Incorrect passcode\n"),
        (b"JOIN Bob ", b"ERROR Incorrect passcode\n"),
        (b"JOIN ANN wrong", b"ERROR Incorrect passcode\n"),
        (b"JOIN ann abc12", b"ERROR Username already in use: ann\n"),
        (b"JOIN  abc12", b"ERROR Invalid username: it is empty\n"),
        (b"JOIN Bob! abc12", b"ERROR Invalid username: only A-Z a-z 0-9 _ - . are allowed\n"),
        (b"JOIN TooLong89 abc12", b"ERROR Invalid username: longer than 8 characters\n"),
        (b"JOIN Bob", JOIN_EXPECTED),
        (b"join Bob abc12", JOIN_EXPECTED),
        (b"", JOIN_EXPECTED),
        (b"hello", JOIN_EXPECTED),
        (b"GET / HTTP/1.1", JOIN_EXPECTED),
        (b"\xff\x00\x1b[2J", JOIN_EXPECTED),
        (b"J" * (MAX_JOIN_BYTES + 1), JOIN_EXPECTED),
    ],
)
def test_one_who_may_not_come_in_is_told_why_and_nobody_else_hears_of_it(
    house: House, line: bytes, answer: bytes
) -> None:
    ann = house.join("Ann")
    house.shown()
    stranger = house.connect()
    stranger.send(line + b"\n")
    stranger.reads_to_end(answer)
    ann.reads_nothing()
    assert house.shown() == b""
    assert house.log == []
    assert house.dispatcher.usernames == ["Ann"]


def test_refusals_are_logged_where_that_is_asked_for() -> None:
    house = House(is_verbose=True)
    stranger = house.connect()
    stranger.send(b"JOIN Bob wrong\n")
    stranger.reads_to_end(b"ERROR Incorrect passcode\n")
    assert house.log == [f"refused {stranger.address}: incorrect passcode"]
    house.close()


def test_one_connection_has_one_guess(house: House) -> None:
    stranger = house.connect()
    stranger.send(b"JOIN Bob wrong\nJOIN Bob abc12\n")
    stranger.reads_to_end(b"ERROR Incorrect passcode\n")
    assert house.dispatcher.usernames == []


def test_a_join_may_come_in_any_pieces_and_with_lines_behind_it(house: House) -> None:
    ann = house.join("Ann")
    bob = house.connect()
    for byte in b"JOIN Bob abc12\r":
        bob.send(bytes([byte]))
    bob.send(b"\nfirst\nsecond\nhal")
    bob.reads(b"OK\n")
    ann.reads(b"Bob joined the chatroom\nBob: first\nBob: second\n")
    bob.send(b"f\n")
    ann.reads(b"Bob: half\n")


def test_a_member_may_say_more_in_one_line_than_a_stranger(house: House) -> None:
    ann = house.join("Ann")
    bob = house.connect()
    text = b"x" * (MAX_LINE_BYTES - len(b"Bob: "))
    bob.send(b"JOIN Bob abc12\n" + text + b"\n")
    ann.reads(b"Bob joined the chatroom\nBob: " + text + b"\n")


@pytest.mark.parametrize(
    ("data", "is_refused"),
    [
        (b"J" * MAX_JOIN_BYTES, False),
        (b"J" * MAX_JOIN_BYTES + b"\r", False),
        (b"J" * (MAX_JOIN_BYTES + 1), True),
        (b"J" * MAX_JOIN_BYTES + b"\r\r", True),
        (b"J" * 1_000_000, True),
    ],
)
def test_a_stranger_is_refused_as_soon_as_its_line_is_too_long(
    house: House, data: bytes, is_refused: bool
) -> None:
    stranger = house.connect()
    stranger.send_what_fits(data)
    if is_refused:
        stranger.read(len(JOIN_EXPECTED))
        assert stranger.spy.received_bytes <= READ_BYTES
    else:
        stranger.reads_nothing()


def test_a_stranger_has_so_long_to_join_however_its_bytes_drip(house: House) -> None:
    silent, dripping = house.connect(), house.connect()
    for byte in b"JOIN Bob a":
        dripping.send(bytes([byte]))
        house.loop.pass_seconds((HANDSHAKE_SECONDS - 1) / 10)
    silent.reads_nothing()
    dripping.reads_nothing()
    house.loop.pass_seconds(1)
    silent.reads_to_end(b"ERROR Handshake timed out\n")
    dripping.reads_to_end(b"ERROR Handshake timed out\n")


def test_a_deadline_ends_with_what_it_was_for(house: House) -> None:
    refused, gone = house.connect(), house.connect()
    refused.send(b"\n")
    refused.reads_to_end(JOIN_EXPECTED)
    refused.socket.close()
    gone.resets()
    ann = house.join("Ann")
    house.loop.turn_until(house.loop.is_idle)
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    ann.reads_nothing()


def test_an_end_before_join_is_no_news(house: House) -> None:
    ann = house.join("Ann")
    stranger = house.connect()
    stranger.send(b"JOIN Bob abc12")
    stranger.ends()
    stranger.reads_to_end(b"")
    ann.reads_nothing()


# Going.


def exit_politely(person: Person) -> None:
    person.send(b":Exit\n")
    person.reads_to_end(b"")


def end_the_stream(person: Person) -> None:
    person.ends()
    person.reads_to_end(b"")


def exit_and_end(person: Person) -> None:
    person.socket.send(b":exit \n")
    person.ends()
    person.reads_to_end(b"")


def exit_twice(person: Person) -> None:
    person.send(b":Exit\n:Exit\n")
    person.reads_to_end(b"")


def exit_and_vanish(person: Person) -> None:
    person.socket.send(b":Exit\n")
    person.resets()


def exit_and_stay(person: Person) -> None:
    person.send(b":Exit\n")
    person.reads_to_end(b"")
    person.send_what_fits(b"still here\n")


def vanish(person: Person) -> None:
    person.resets()


@pytest.mark.parametrize(
    "go",
    [
        exit_politely,
        end_the_stream,
        exit_and_end,
        exit_twice,
        exit_and_vanish,
        exit_and_stay,
        vanish,
    ],
)
def test_whichever_way_somebody_goes_it_left_once(
    house: House, go: Callable[[Person], None]
) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    go(bob)
    ann.reads(b"Bob left the chatroom\n")
    bob.socket.close()
    house.loop.pass_seconds(2 * LINGER_SECONDS)
    ann.send(b":Users\n")
    ann.reads(b"Active Users: Ann\n")
    assert house.shown().count(b"left") == 1
    assert house.log == []


def test_one_who_comes_speaks_and_vanishes_in_one_turn_did_all_three(house: House) -> None:
    ann = house.join("Ann")
    house.shown()
    bob = house.connect()
    bob.socket.send(b"JOIN Bob abc12\nhello\n")
    bob.resets()
    expected = b"Bob joined the chatroom\nBob: hello\nBob left the chatroom\n"
    ann.reads(expected)
    assert house.shown() == expected


def test_the_last_lines_of_one_who_was_reset_are_shown_before_it_left(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    ann.socket.send(b"to Bob, who is gone\n")
    bob.socket.send(b"last\nwords\n")
    bob.resets()
    ann.reads(b"Bob: last\nBob: words\nBob left the chatroom\n")


def test_a_name_is_free_as_soon_as_its_owner_left(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.socket.send(b":Exit\n")
    other = house.connect()
    other.socket.send(b"JOIN bob abc12\n")
    ann.reads(b"Bob left the chatroom\nbob joined the chatroom\n")
    other.reads(b"OK\n")
    bob.reads_to_end(b"")
    ann.send(b":msg BOB hi\n")
    other.reads(b"[Message from Ann]: hi\n")


def test_lines_after_exit_are_ignored(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.send(b"before\n:Exit\nafter\n")
    bob.send_what_fits(b"long after\n")
    ann.reads(b"Bob: before\nBob left the chatroom\n")
    ann.reads_nothing()


@pytest.mark.parametrize("go", [Person.ends, Person.resets])
def test_a_line_cut_short_by_the_end_is_not_taken(
    house: House, go: Callable[[Person], None]
) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.socket.send(b"whole\nhalf")
    go(bob)
    ann.reads(b"Bob: whole\nBob left the chatroom\n")


# Talking.


def test_everyone_hears_one_order_private_lines_included(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    cid = house.join("Cid", ann, bob)
    ann.send(b"1\n:Msg Bob 2\n:mytime\n:Msg ann 3\n:users\n4\n:Msg nobody x\n:Msg\n  \n5\n")
    time = b"Ann: Wed Sep 24 12:31:44 2025\n"
    ann.reads(
        time
        + b"[Message from Ann]: 3\nActive Users: Ann, Bob, Cid\n"
        + b"No such user: nobody\nUsage: :Msg <username> <message>\n"
    )
    bob.reads(b"Ann: 1\n[Message from Ann]: 2\n" + time + b"Ann: 4\nAnn: 5\n")
    cid.reads(b"Ann: 1\n" + time + b"Ann: 4\nAnn: 5\n")
    for person in house.people:
        person.reads_nothing()


def test_a_line_too_long_is_refused_to_its_sender_who_stays(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.send(b"before\n" + b"x" * 100_000)
    bob.send(b"y" * 100_000 + b"\nafter\n")
    ann.reads(b"Bob: before\nBob: after\n")
    bob.reads(TOO_LONG)
    bob.reads_nothing()


LINES = st.sampled_from(
    [
        b"plain text",
        b"more of it",
        b"",
        b"  blanks",
        b"smile :)",
        b":mytime",
        b"\\:Users",
        b":Users",
        b":Msg Ann psst",
        b":Msg Bob psst",
        b":Msg",
        b"\xff\x1b[2J",
        b"line end\r",
        b"x" * MAX_LINE_BYTES,
        b"x" * (MAX_LINE_BYTES - 5),
        b"y" * (3 * MAX_LINE_BYTES),
    ]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(LINES, max_size=30), st.lists(st.integers(1, 30_000), max_size=8))
def test_however_lines_are_cut_and_joined_they_mean_the_same(
    lines: list[bytes], sizes: list[int]
) -> None:
    house = House()
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    data = b"".join(line + b"\n" for line in lines)
    for size in sizes:
        bob.send(data[:size]) if data[:size] else None
        data = data[size:]
    bob.send(data + b":Exit\n")
    to_ann, to_bob = line_by_line(lines)
    ann.reads(to_ann + b"Bob left the chatroom\n")
    bob.reads_to_end(to_bob)
    house.close()


def line_by_line(lines: list[bytes]) -> tuple[bytes, bytes]:
    """What Ann and Bob read when Bob has typed `lines`, asking about each of them alone."""
    dispatcher = Dispatcher(PASSCODE, local_time)
    to = {"Ann": b"", "Bob": b""}
    for username in to:
        dispatcher.join(Join(username, PASSCODE))
    decoder = LineDecoder()
    for line in lines:
        decoder.feed_data(line + b"\n")
        try:
            whole = decoder.next_line()
            assert whole is not None
            deliveries = dispatcher.dispatch("Bob", whole)
        except LineTooLongError as error:
            deliveries = dispatcher.refuse("Bob", error)
        to["Ann"] += deliveries.room
        to["Bob"] += deliveries.room if deliveries.room_and_self else b""
        for username, private in deliveries.private:
            to[username] += private
    return to["Ann"], to["Bob"]
