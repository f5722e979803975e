"""The room on real sockets: who may come in, who hears what, who waits, and who left, once."""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.bus import LocalBus
from chat.journal import Journal
from chat.room import Room
from chat.session import HANDSHAKE_SECONDS, Guest, Member
from codec import (
    MAX_JOIN_BYTES,
    MAX_LINE_BYTES,
    Dispatcher,
    Event,
    LineDecoder,
    LineTooLongError,
    Roster,
)
from codec.commands import Command
from reactor import PAGE_BYTES, Connection, Cursor, Listener, Sink, SocketTransport, listen
from reactor.connection import LINGER_SECONDS, READ_BYTES
from reactor.flow import (
    BEHIND_SECONDS,
    DRAIN_SECONDS,
    MAX_SEND_QUEUE_BYTES,
    PAUSE_SECONDS,
    SEND_QUEUE_BYTES,
    STALL_SECONDS,
)
from tests.reactor.conftest import Loop
from tests.support.faults import fault

PASSCODE = b"abc12"
TOO_LONG = b"Message too long (limit 4096 bytes); not sent\n"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def local_time(seconds: int) -> tuple[int, ...]:
    """It is always Wed Sep 24 12:31:44 2025."""
    return (2025, 9, 24, 12 + seconds // 3600, 31, 44, 2)


class Tally(Dispatcher):
    """A Dispatcher that counts the bytes of the lines it obeyed, line ends included."""

    def __init__(self, roster: Roster) -> None:
        super().__init__(PASSCODE, local_time, roster)
        self.obeyed_bytes = 0

    def dispatch(self, username: str, line: bytes) -> Event | None:
        self.obeyed_bytes += len(line) + 1
        return super().dispatch(username, line)

    def dispatch_plain(self, username: str, lines: bytes) -> Event | None:
        event = super().dispatch_plain(username, lines)
        self.obeyed_bytes += len(lines) if event else 0
        return event


class Spy(SocketTransport):
    """The transport of a connection under watch: how much was received for its protocol."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.received_bytes = 0
        self.guest: Guest

    def recv(self, max_bytes: int) -> bytes:
        data = super().recv(max_bytes)
        if not self.connection.is_closing:  # else it is read to be dropped
            self.received_bytes += len(data)
        return data

    @property
    def connection(self) -> Connection:
        return self.guest.connection

    @property
    def session(self) -> object:
        """The guest, or the member that it has become."""
        return self.guest.connection.protocol


class Person:
    """The other end of a connection, in the hands of the test.

    While the house is `busy`, it sends of `unsent` what the kernel takes, and reads what comes
    unless it is deaf. `heard` is all that was read.
    """

    def __init__(self, house: House, sock: socket.socket) -> None:
        self.unsent = memoryview(b"")
        self.heard = b""
        self.is_deaf = False
        self.socket = sock
        self.address = "{}:{}".format(*sock.getsockname())
        self._house = house

    @property
    def spy(self) -> Spy:
        """The room's end of it."""
        return self._house.spies[self.address]

    def send(self, data: bytes) -> None:
        """Send all of it, and let the room turn meanwhile."""
        self.unsent = memoryview(data)
        self._house.loop.turn_until(self._has_sent)
        self._house.loop.turn()

    def types(self, data: bytes) -> None:
        """Have this to send, as soon as the house is busy."""
        self.unsent = memoryview(data)

    def act(self) -> None:
        """Send and read what can be sent and read now."""
        try:
            self._has_sent()
            while not self.is_deaf and (data := self.socket.recv(1 << 20)):
                self.heard += data
        except BlockingIOError:
            pass
        except ConnectionError:
            self.socket.close()

    def _has_sent(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            if self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        return not self.unsent

    def read(self, size: int) -> bytes:
        data = self._house.loop.receive(self.socket, size)
        self.heard += data
        return data

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
        self.roster = Roster()
        self.dispatcher = Tally(self.roster)
        self.bus = self.make_bus()
        self.log: list[str] = []
        self.empty_calls = 0
        self.spies: dict[str, Spy] = {}
        self.people: list[Person] = []
        self._console, write_end = os.pipe()
        os.set_blocking(self._console, False)
        self._write_end = write_end
        self.journal = Journal(self.loop.reactor, self.log.append, is_verbose)
        console = Sink(self.loop.reactor, write_end)
        self.bus.add_listener(lambda event: console.write(event.console))
        self.room = Room(
            self.loop.reactor,
            self.dispatcher,
            self.roster,
            self.bus,
            self.journal,
            self._note_empty,
        )
        door = listen("127.0.0.1", 0)
        self._address = door.getsockname()
        self._listener = Listener(
            self.loop.reactor,
            door,
            self._make_guest,
            self.room.gate.make_room,
            self.room.refuse_at_the_door,
            self._make_spy,
        )

    def make_bus(self) -> LocalBus:
        return LocalBus()

    def knock(self, source: str = "") -> Person:
        """Somebody whom the kernel has let in and the room has not seen yet; from that address."""
        sock = socket.socket()
        # As little as may be: one who does not read is to be owed something soon.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        # What is sent is to be on its way at once, or a reset would take it back.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, 0))
        sock.connect(self._address)
        sock.setblocking(False)
        person = Person(self, sock)
        self.people.append(person)
        return person

    def connect(self, source: str = "") -> Person:
        """Somebody at the door."""
        person = self.knock(source)
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

    def busy(self, is_over: Callable[[], object]) -> None:
        """Let everyone send and read while no time passes, until it is over."""

        def act() -> object:
            for person in self.people:
                if person.socket.fileno() >= 0:
                    person.act()
            return is_over()

        self.loop.turn_until(act)

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

    def _make_spy(self, sock: socket.socket) -> Spy:
        self._spy_at_the_door = Spy(sock)
        return self._spy_at_the_door

    def _make_guest(self, address: object) -> Guest:
        guest = self.room.make_guest(address)
        spy = self.spies[guest.address] = self._spy_at_the_door
        spy.guest = guest
        del self._spy_at_the_door  # or it would keep the last of them
        return guest

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


@fault(1, 38)
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
    stranger.send(line + b"\n" + b"x" * 200_000)
    stranger.reads_to_end(answer)
    stranger.send(b"more")  # it was not reset, which might have overtaken the answer
    ann.reads_nothing()
    assert house.shown() == b""
    assert house.log == []
    assert house.roster.usernames == ["Ann"]


def test_refusals_are_logged_where_that_is_asked_for() -> None:
    house = House(is_verbose=True)
    stranger = house.connect()
    stranger.send(b"JOIN Bob wrong\n")
    stranger.reads_to_end(b"ERROR Incorrect passcode\n")
    assert house.log == [f"refused {stranger.address}: incorrect passcode"]
    house.close()


@fault(45)
def test_one_connection_has_one_guess(house: House) -> None:
    stranger = house.connect()
    stranger.send(b"JOIN Bob wrong\nJOIN Bob abc12\n")
    stranger.reads_to_end(b"ERROR Incorrect passcode\n")
    assert house.roster.usernames == []


@fault(33)
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


@fault(4)
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
    stranger.socket.send(data)
    house.loop.turn()
    if is_refused:
        stranger.read(len(JOIN_EXPECTED))
        assert stranger.spy.received_bytes <= READ_BYTES
    else:
        stranger.reads_nothing()


@fault(18)
def test_a_stranger_has_so_long_to_join_however_its_bytes_drip(house: House) -> None:
    silent, dripping = house.connect(), house.connect()
    for number, byte in enumerate(b"JOIN Bob a"):
        dripping.send(bytes([byte]))
        house.loop.pass_seconds(HANDSHAKE_SECONDS / 20)
        now = house.loop.clock.now
        house.join(f"m{number}")
        assert house.loop.clock.now == now, "who joins waits for no stranger"
    house.loop.pass_seconds(HANDSHAKE_SECONDS / 2 - 1)
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
    person.send(b"still here\n")


def vanish(person: Person) -> None:
    person.resets()


@fault(23, 72)
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


@fault(39)
def test_the_last_lines_of_one_who_was_reset_are_shown_before_it_left(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)

    def speak_and_go() -> None:
        bob.socket.send(b"last\nwords\n")
        bob.resets()

    ann.socket.send(b"to Bob, who is gone\n")
    house.loop.reactor.call_soon(speak_and_go)  # when it is about to be written to
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


@fault(72)
def test_lines_after_exit_are_ignored(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.send(b"before\n:Exit\nafter\n")
    bob.send(b"long after\n")
    ann.reads(b"Bob: before\nBob left the chatroom\n")
    ann.reads_nothing()


@fault(72)
@pytest.mark.parametrize("go", [Person.ends, Person.resets])
@pytest.mark.parametrize("rest", [b"half", b":Exit"])
def test_a_line_cut_short_by_the_end_is_not_taken(
    house: House, go: Callable[[Person], None], rest: bytes
) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.socket.send(b"whole\n" + rest)
    go(bob)
    ann.reads(b"Bob: whole\nBob left the chatroom\n")
    ann.reads_nothing()


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
) | st.binary(max_size=300).map(lambda data: data.replace(b"\n", b""))


@fault(2, 10, 33)
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
        bob.send(data[:size])
        data = data[size:]
    bob.send(data + b":Exit\n")
    to_ann, to_bob = line_by_line(lines)
    ann.reads(to_ann + b"Bob left the chatroom\n")
    bob.reads_to_end(to_bob)
    house.close()


def line_by_line(lines: list[bytes]) -> tuple[bytes, bytes]:
    """What Ann and Bob read when Bob has typed `lines`, asking about each of them alone."""
    dispatcher = Dispatcher(PASSCODE, local_time, roster := Roster())
    to = {"Ann": b"", "Bob": b""}
    for username in to:
        roster.apply(dispatcher.join(username))
    decoder = LineDecoder()
    for line in lines:
        decoder.feed_data(line + b"\n")
        try:
            whole = decoder.next_line()
            assert whole is not None
            event = dispatcher.dispatch("Bob", whole)
        except LineTooLongError as error:
            event = dispatcher.refuse("Bob", error)
        if event is None:
            continue
        to["Ann"] += event.room
        to["Bob"] += event.room if event.to_origin else b""
        for username, private in event.private:
            to[username] += private
    return to["Ann"], to["Bob"]


# Many who talk at once.


def numbered(count: int, size: int) -> list[bytes]:
    return [b"%d-" % number + b"x" * size + b"\n" for number in range(count)]


@fault(32)
@pytest.mark.parametrize("size", [1, 50, 2000])
def test_talkers_who_fill_more_than_a_page_take_turns_and_nothing_is_lost(
    house: House, size: int
) -> None:
    ear = house.join("Ear")
    lines = numbered(300_000 // (size + 6), size)
    names = (b"Ann", b"Bob", b"Cid")
    for name in names:
        house.join(name.decode(), ear).types(b"".join(lines))
    spoken = {name: [name + b": " + line for line in lines] for name in names}
    count = len(names) * len(lines)
    house.busy(lambda: ear.heard.count(b"x\n") == count)
    heard = lines_since(ear, b"Cid joined the chatroom\n")
    for name in names:
        assert [line for line in heard if line.startswith(name)] == spoken[name]
        assert spoken[name][0] in heard[: len(heard) // 2], "nobody waits for another to end"


@fault(32)
def test_no_more_is_read_of_a_talker_who_has_to_wait(house: House) -> None:
    house.join("Ear")
    ann = house.join("Annabell")
    # Short lines, which fill a page soon: each is shown with a name in front of it.
    typed = b"x\n" * 600_000
    ann.types(typed)
    most_bytes = 0

    def is_over() -> bool:
        nonlocal most_bytes
        received_bytes = ann.spy.received_bytes - len(b"JOIN Annabell abc12\n")
        most_bytes = max(most_bytes, received_bytes - house.dispatcher.obeyed_bytes)
        return house.dispatcher.obeyed_bytes == len(typed)

    house.busy(is_over)
    assert most_bytes <= READ_BYTES


@fault(31)
def test_lines_that_had_to_wait_come_before_their_member_left(house: House) -> None:
    ear = house.join("Ear")
    ann = house.join("Ann", ear)
    line = b"x" * 100 + b"\n"
    ann.types(line * 10_000 + b":Exit\n" + line)
    house.busy(lambda: b"Ann left the chatroom\n" in ear.heard)
    heard = lines_since(ear, b"Ann joined the chatroom\n")
    assert heard == [b"Ann: " + line] * 10_000 + [b"Ann left the chatroom\n"]


# Those who do not read.


def lines_since(person: Person, line: bytes) -> list[bytes]:
    """All lines that `person` heard after this one, but for those that `hold` adds."""
    lines = person.heard.partition(line)[2].splitlines(keepends=True)
    return [line for line in lines if line != FOR_THE_DEAF]


BLAST = numbered(4_000, 1_000)
FOR_THE_DEAF = b"(for you alone)\n"


def hold(house: House, deaf: Person, talker: Person) -> None:
    """Let `talker` speak until `deaf`, who does not read, is so far behind that all must wait."""
    deaf.is_deaf = True
    talker.types(b"".join(BLAST))
    house.busy(lambda: house.room.fanout.is_held)
    # Much more than its kernel may find room for later: that would end the hold.
    deaf.spy.connection.write(FOR_THE_DEAF * (SEND_QUEUE_BYTES // len(FOR_THE_DEAF)))
    house.loop.turn()


@fault(32)
def test_while_the_room_is_held_talkers_wait_and_others_come_and_go(house: House) -> None:
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    bob = house.join("Bob", deaf, ann)
    cid = house.join("Cid", deaf, ann, bob)
    hold(house, deaf, ann)
    house.busy(lambda: not house.loop.selector.real.select(0))
    received_bytes = ann.spy.received_bytes

    bob.send(b"from Bob\n")
    cid.ends()
    dan = house.connect()
    dan.send(b"JOIN Dan abc12\nfrom Dan\n")
    stranger = house.connect()
    stranger.send(b"JOIN Eve wrong\n")
    stranger.reads_to_end(b"ERROR Incorrect passcode\n")
    bob.reads(b"Cid left the chatroom\nDan joined the chatroom\n")
    dan.reads(b"OK\n")
    house.loop.turn(10)
    bob.reads_nothing()
    dan.reads_nothing()
    assert ann.spy.received_bytes == received_bytes

    deaf.is_deaf = False
    last = BLAST[-1]
    house.busy(lambda: all(last in person.heard for person in (deaf, bob, dan)))
    house.busy(lambda: all(b"from Dan" in person.heard for person in (deaf, ann, bob)))
    story = lines_since(deaf, b"Cid joined the chatroom\n")
    assert [line for line in story if line.startswith(b"Ann: ")] == [b"Ann: " + x for x in BLAST]
    for name, person, first in (
        (b"Ann: ", ann, b"Cid joined the chatroom\n"),
        (b"Bob: ", bob, b"Cid joined the chatroom\n"),
        (b"Dan: ", dan, b"OK\n"),
    ):
        if person is dan:
            story = lines_since(deaf, b"Dan joined the chatroom\n")
        assert lines_since(person, first) == [line for line in story if not line.startswith(name)]


@fault(23)
@pytest.mark.parametrize("go", [Person.ends, Person.resets])
def test_the_last_lines_of_one_who_had_to_wait_are_shown_before_it_left(
    house: House, go: Callable[[Person], None]
) -> None:
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    bob = house.join("Bob", deaf, ann)
    hold(house, deaf, ann)
    bob.send(b"last\n")
    bob.socket.send(b"words\nhalf")
    go(bob)
    house.loop.turn(10)
    deaf.is_deaf = False
    house.busy(lambda: b"Bob left" in deaf.heard and BLAST[-1] in deaf.heard)
    by_bob = [line for line in lines_since(deaf, b"Bob joined the chatroom\n") if b"Bob" in line]
    assert by_bob == [b"Bob: last\n", b"Bob: words\n", b"Bob left the chatroom\n"]


def test_a_line_does_not_wait_for_the_floods_that_came_before_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactor.fanout.PAGE_BYTES", 8_192)
    ear = house.join("Ear")
    quiet = house.join("Quiet", ear)
    flooders = [house.join(f"f{number}", ear, quiet) for number in range(5)]
    log = house.room.fanout.log
    start = log.end - len(ear.heard)  # where in the log its hearing began
    for flooder in flooders:
        flooder.types((b"x" * 500 + b"\n") * 1_000)
    house.busy(lambda: all(ear.heard.count(b"f%d: " % number) > 50 for number in range(5)))
    quiet.socket.send(b"a word\n")
    said_at = log.end
    house.busy(lambda: b"Quiet: a word\n" in ear.heard)
    assert start + ear.heard.index(b"Quiet: a word\n") - said_at <= 8_192
    house.busy(lambda: ear.heard.count(b": x") == 5_000)


def test_a_held_room_does_not_spin(house: House) -> None:
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    bob = house.join("Bob", deaf, ann)
    hold(house, deaf, ann)
    bob.socket.send(b"from Bob\n")
    house.loop.turn_until(lambda: not house.loop.selector.real.select(0))
    house.loop.turn(3)
    house.loop.selector.waits.clear()
    house.loop.pass_seconds(PAUSE_SECONDS * 0.75)
    assert len(house.loop.selector.waits) <= 2


@fault(26)
def test_when_the_one_who_held_the_room_is_cut_all_go_on_and_lose_nothing(house: House) -> None:
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    bob = house.join("Bob", deaf, ann)
    hold(house, deaf, ann)
    while not house.log:
        assert house.loop.clock.now < 1000 + 2 * BEHIND_SECONDS
        house.loop.pass_seconds(DRAIN_SECONDS)
        house.busy(lambda: not house.loop.selector.real.select(0))
    house.busy(lambda: BLAST[-1] in bob.heard)
    lines = lines_since(bob, b"OK\n")
    assert lines.count(b"Deaf left the chatroom\n") == 1
    lines.remove(b"Deaf left the chatroom\n")
    assert lines == [b"Ann: " + line for line in BLAST]
    [entry] = house.log
    assert entry.startswith(f"cut {deaf.address} (Deaf): ")
    assert " bytes unsent, behind for " in entry


def test_one_who_asks_much_and_reads_nothing_waits_and_is_cut_alone(house: House) -> None:
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    bob = house.join("Bob", deaf, ann)
    deaf.is_deaf = True
    deaf.types(b":Users\n" * 200_000)
    most_bytes = 0
    for _ in range(300):
        house.busy(lambda: True)
        house.loop.turn()
        most_bytes = max(most_bytes, deaf.spy.connection.outbound.owed_bytes)
    assert deaf.spy.received_bytes < 1_000_000, "it feels that nobody reads it"
    assert PAGE_BYTES <= most_bytes < PAGE_BYTES + 100
    ann.send(b"hello\n")
    bob.reads(b"Ann: hello\n")
    house.loop.pass_seconds(STALL_SECONDS / 2)
    assert not house.log
    bob.send(b"hello too\n")
    ann.reads(b"Bob: hello too\n")
    while not house.log:
        assert house.loop.clock.now < 1000 + 3 * STALL_SECONDS
        house.loop.pass_seconds(STALL_SECONDS / 4)
    ann.reads(b"Deaf left the chatroom\n")
    [entry] = house.log
    assert entry.startswith(f"cut {deaf.address} (Deaf): ")
    assert " bytes unsent, none taken for 1" in entry


def test_one_who_asks_much_and_reads_all_gets_every_answer(house: House) -> None:
    ann = house.join("Ann")
    ann.types(b":Users\n" * 50_000 + b":Msg Ann end\n")
    house.busy(lambda: ann.heard.endswith(b"end\n"))
    assert ann.heard == b"OK\n" + b"Active Users: Ann\n" * 50_000 + b"[Message from Ann]: end\n"


def test_private_lines_to_one_who_does_not_read_are_bounded(house: House) -> None:
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    deaf.is_deaf = True
    ann.types((b":Msg Deaf " + b"x" * 4_000 + b"\n") * 8_000)
    while not house.log:
        for _ in range(20):
            house.busy(lambda: True)
            house.loop.turn()
            owed_bytes = deaf.spy.connection.outbound.owed_bytes
            assert owed_bytes <= MAX_SEND_QUEUE_BYTES + READ_BYTES
        house.loop.pass_seconds(DRAIN_SECONDS / 2)
        assert ann.unsent
    house.busy(lambda: b"Deaf left the chatroom\n" in ann.heard)
    house.busy(lambda: b"No such user: Deaf\n" in ann.heard)


# The end of the room.


def test_at_shutdown_every_member_is_told_and_nobody_has_left(house: House) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    stranger = house.connect()
    house.shown()
    ann.send(b"hello\n")
    house.room.shut_down()
    bob.socket.send(b"too late\n")
    ann.reads_to_end(b"Server is shutting down\n")
    bob.reads_to_end(b"Ann: hello\nServer is shutting down\n")
    stranger.reads_to_end(b"")
    assert house.empty_calls == 0
    ann.socket.close()
    stranger.socket.close()
    house.loop.turn(3)
    assert house.empty_calls == 0
    bob.resets()
    house.loop.turn_until(lambda: house.empty_calls)
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    assert house.empty_calls == 1
    assert house.shown() == b"Ann: hello\n"
    assert house.log == []


def test_an_empty_room_ends_at_once(house: House) -> None:
    gone = house.join("Ann")
    gone.socket.close()
    house.loop.turn(3)
    assert house.empty_calls == 0
    house.room.shut_down()
    assert house.empty_calls == 1


def test_one_who_does_not_read_delays_the_end_no_longer_than_any_close(house: House) -> None:
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    hold(house, deaf, ann)
    house.room.shut_down()
    house.busy(lambda: ann.heard.endswith(b"Server is shutting down\n"))
    ann.socket.close()
    house.loop.pass_seconds(LINGER_SECONDS + 1)
    assert house.empty_calls == 1
    assert b"left" not in house.shown()


def test_a_stranger_sent_away_at_shutdown_is_not_refused_as_well() -> None:
    house = House(is_verbose=True)
    house.connect()
    house.loop.pass_seconds(HANDSHAKE_SECONDS - LINGER_SECONDS / 2)
    house.room.shut_down()
    house.loop.pass_seconds(2 * LINGER_SECONDS)
    assert house.empty_calls == 1
    assert house.log == []
    house.close()


def count_sessions_and_cursors() -> int:
    gc.collect()
    return sum(isinstance(thing, Guest | Member | Cursor) for thing in gc.get_objects())


@fault(21)
def test_whoever_is_gone_is_forgotten(house: House) -> None:
    count = count_sessions_and_cursors()
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    bob = house.join("Bob", deaf, ann)
    hold(house, deaf, ann)
    bob.send(b"has to wait\n")
    exiting, stranger, refused = house.join("Cid"), house.connect(), house.connect()
    exiting.send(b":Exit\n")
    stranger.send(b"JOIN")
    refused.send(b"\n")
    for person in house.people:
        person.resets()
    house.loop.turn_until(lambda: house.roster.usernames == [])
    house.loop.pass_seconds(HANDSHAKE_SECONDS + STALL_SECONDS)
    house.spies.clear()
    assert count_sessions_and_cursors() == count


# A bug, which costs its owner only.


def fail(username: str, command: Command) -> Event:
    raise ZeroDivisionError


def test_a_bug_in_obeying_a_line_costs_its_sender_the_connection(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    monkeypatch.setattr(house.dispatcher, "list_users", fail)
    bob.send(b"before\n:Users\nafter\n")
    ann.reads(b"Bob: before\nBob left the chatroom\n")
    ann.send(b"still here\n:Msg Bob hello\n")
    ann.reads(b"No such user: Bob\n")
    assert [type(error) for error in house.loop.take_errors()] == [ZeroDivisionError]


def test_a_bug_in_obeying_a_line_that_had_to_wait_costs_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    bob = house.join("Bob", deaf, ann)
    cid = house.join("Cid", deaf, ann, bob)
    hold(house, deaf, ann)
    monkeypatch.setattr(house.dispatcher, "list_users", fail)
    bob.send(b"before\n:Users\nafter\n")
    cid.send(b"hello\n")
    deaf.is_deaf = False
    house.busy(lambda: b"Bob left" in ann.heard and b"Cid: hello\n" in ann.heard)
    house.busy(lambda: BLAST[-1] in cid.heard)
    assert ann.heard.count(b"Bob: before\n") == 1
    assert b"after" not in ann.heard
    assert [type(error) for error in house.loop.take_errors()] == [ZeroDivisionError]
