"""Faults 38 to 74: endings, bad links, guesses, signals, clocks, many descriptors.

What other tests prove is not proved again: here is what had no test. Sockets are real and the
clock is virtual unless a docstring says otherwise; sizes are what ends in a second or two, and are
told in the docstring.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import selectors
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from chat.gate import ATTEMPT_SECONDS, BURST_ATTEMPTS
from chat.journal import SECONDS_PER_LINE
from chat.session import HANDSHAKE_SECONDS
from codec import MAX_LINE_BYTES, Dispatcher, Join, ProtocolError, Roster
from reactor import Signals, listen, listener
from reactor.flow import SEND_QUEUE_BYTES, STALL_SECONDS
from terminal.dial import connect
from tests.end_to_end.processes import (
    CLOSED,
    DEADLINE_SECONDS,
    GOODBYE,
    ROOT,
    Program,
    Room,
    Stage,
)
from tests.rows.packets import lose_all, lose_none, lose_some, needs_filters
from tests.rows.wire import AWAY, HOME, Wire, needs_root
from tests.support.faults import fault
from tests.test_room import PASSCODE, House, Person, lines_since, local_time, numbered

MOST_SECONDS_UNNOTICED = 60


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


def house_end(person: Person) -> socket.socket:
    """A second handle on the room's socket of `person`, to be closed by whoever asked."""
    return socket.socket(fileno=os.dup(person.spy.connection.descriptor))


# Endings.


@fault(38)
@pytest.mark.parametrize("line", [b"hello", b"JOIN ann abc12", b"JOIN Bob! abc12"])
def test_a_refusal_reaches_a_stranger_whatever_it_said_besides(house: House, line: bytes) -> None:
    """40 strangers who have sent 200 KB that nobody reads."""
    house.join("Ann")
    for _ in range(40):
        stranger = house.connect()
        stranger.send(line + b"\n" + b"x" * 200_000)
        answer = house.loop.receive_to_end(stranger.socket)
        assert answer.startswith(b"ERROR ")
        assert answer.endswith(b"\n")
        stranger.send(b"more")  # it was not reset, which might have overtaken the answer
        stranger.socket.close()
    house.loop.turn_until(house.loop.is_idle)


@fault(39)
def test_who_speaks_and_is_gone_at_once_is_heard_and_then_left(house: House) -> None:
    """40 of 40, each with unread lines, so that its end is a reset, and each at the
    moment at which it is written to."""
    ann = house.join("Ann")
    names = [b"m%d" % number for number in range(40)]
    members = [house.join(name.decode()) for name in names]
    for member in members:
        member.is_deaf = True

    def speak_and_go() -> None:
        for member in members:
            member.socket.send(b"last words\n")
            member.socket.close()

    ann.socket.send(b"hello\n")
    house.loop.reactor.call_soon(speak_and_go)
    house.busy(lambda: ann.heard.count(b" left ") == len(names))
    lines = ann.heard.splitlines()
    for name in names:
        of_this_one = [line for line in lines if line.startswith((name + b" ", name + b":"))]
        assert of_this_one == [
            name + b" joined the chatroom",
            name + b": last words",
            name + b" left the chatroom",
        ]


@fault(41)
def test_one_whose_window_stays_shut_is_cut_though_nobody_speaks_any_more(house: House) -> None:
    """Owed less than makes it behind, and nothing else ever happens."""
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    deaf.is_deaf = True
    lines = numbered(900, 1_000)
    ann.types(b"".join(lines))
    house.busy(lambda: not ann.unsent and not house.loop.selector.real.select(0))
    assert 0 < deaf.spy.connection.outbound.owed_bytes < SEND_QUEUE_BYTES
    wakeups = len(house.loop.selector.waits)
    house.loop.pass_seconds(STALL_SECONDS + 0.5)
    assert len(house.loop.selector.waits) - wakeups < 10
    ann.reads(b"Deaf left the chatroom\n")
    [entry] = house.log
    assert " bytes unsent, none taken for 10." in entry
    deaf.is_deaf = False
    house.busy(lambda: deaf.socket.fileno() < 0)  # a reset, and not the end of the stream


@fault(72)
@pytest.mark.parametrize("cut", range(len(b":Exit\n")))
def test_an_exit_in_two_pieces_is_one(house: House, cut: int) -> None:
    """Cut between any two bytes, with another one behind it."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.send(b":Exit\n"[:cut])
    ann.reads_nothing()
    bob.send(b":Exit\n"[cut:] + b":Exit\nignored\n")
    bob.reads_to_end(b"")
    ann.reads(b"Bob left the chatroom\n")
    bob.ends()
    ann.reads_nothing()


@fault(72)
@pytest.mark.parametrize("go", [Person.ends, Person.resets])
def test_half_an_exit_and_the_end_are_one_departure(
    house: House, go: Callable[[Person], None]
) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.send(b":Exi")
    go(bob)
    ann.reads(b"Bob left the chatroom\n")
    ann.reads_nothing()
    assert house.shown().count(b"left") == 1


def room_for(command: bytes) -> bytes:
    """What fills a line to the limit behind `command`."""
    return b"x" * (MAX_LINE_BYTES - len(command))


@fault(73)
@pytest.mark.parametrize(
    ("typed", "to_bob", "to_ann"),
    [
        (b"", b"", b""),
        (b"   ", b"", b""),
        (b" \t ", b"", b""),
        (b"\r", b"", b""),
        (b"x" * 100, b"Ann: " + b"x" * 100 + b"\n", b""),
        (b"x" * 101, b"Ann: " + b"x" * 101 + b"\n", b""),
        (b"x" * 4_091, b"Ann: " + b"x" * 4_091 + b"\n", b""),
        (b"x" * 4_092, b"", b"Message too long (limit 4096 bytes); not sent\n"),
        (b"x" * 4_096, b"", b"Message too long (limit 4096 bytes); not sent\n"),
        (b":Msg No " + room_for(b":Msg No "), b"", b"No such user: No\n"),
        (
            b":Msg No " + room_for(b":Msg No ") + b"x",
            b"",
            b"Message too long (limit 4096 bytes); not sent\n",
        ),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_each_length_of_a_line_has_its_documented_answer(
    house: House, typed: bytes, to_bob: bytes, to_ann: bytes
) -> None:
    """Nothing, blanks, 100 and 101 characters, and the limit with one byte more."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    ann.send(typed + b"\n:Msg Ann next\n")
    ann.reads(to_ann + b"[Message from Ann]: next\n")
    bob.reads(to_bob) if to_bob else bob.reads_nothing()


LEAVINGS: list[Callable[[Person], object]] = [
    Person.resets,
    Person.ends,
    lambda person: person.socket.close(),
    lambda person: person.socket.send(b":Exit\n"),
]


@fault(74)
@pytest.mark.parametrize("seed", range(40))
def test_who_leaves_within_a_broadcast_costs_nobody_a_line(house: House, seed: int) -> None:
    """40 seeds; in each, 8 of 16 leave in ways of their own while all are written to."""
    chance = random.Random(seed)
    talker = house.join("Talker")
    others = [house.join(f"m{number}") for number in range(16)]
    house.busy(lambda: all(b"m15 joined" in person.heard for person in others[:-1]))
    lines = [b"%d\n" % number for number in range(60)]
    leaving = dict(zip(chance.sample(range(50), 8), chance.sample(others, 8), strict=True))
    for number, line in enumerate(lines):
        talker.socket.send(line)
        if number in leaving:
            chance.choice(LEAVINGS)(leaving[number])
        if chance.random() < 0.5:
            house.loop.turn()
    staying = [person for person in others if person not in leaving.values()]
    house.busy(lambda: all(lines[-1] in person.heard for person in staying))
    house.busy(lambda: all(person.heard.count(b" left ") == 8 for person in staying))
    for person in staying:
        said = [line for line in person.heard.splitlines(True) if line.startswith(b"Talker: ")]
        assert said == [b"Talker: " + line for line in lines]
        assert len(set(person.heard.splitlines())) == person.heard.count(b"\n"), "nothing twice"
    assert house.roster.usernames == ["Talker", *(who_is(house, person) for person in staying)]


def who_is(house: House, person: Person) -> str:
    """The name `person` joined by."""
    return f"m{house.people.index(person) - 1}"


# Links.


@pytest.fixture
def impatient_house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A House whose kernel asks and waits for one second where it would be for 25, 10 and 50."""
    monkeypatch.setattr(listener, "KEEPALIVE_IDLE_SECONDS", 1)
    monkeypatch.setattr(listener, "KEEPALIVE_INTERVAL_SECONDS", 1)
    monkeypatch.setattr(listener, "UNANSWERED_SECONDS", 1)
    house = House()
    yield house
    house.close()


@fault(40)
@needs_filters
@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_a_host_that_vanishes_without_a_word_has_left(
    impatient_house: House, is_busy: bool
) -> None:
    """Real seconds, two of them; the kernel's timers are set to one second each."""
    house = impatient_house
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    lose_all(bob.socket)
    if is_busy:
        ann.send(b"are you there?\n")
    ann.reads(b"Bob left the chatroom\n")
    assert house.roster.usernames == ["Ann"]
    house.join("Bob", ann)
    assert house.shown().count(b"left") == 1
    with pytest.raises(BlockingIOError):
        bob.socket.recv(1)  # it was not told


def seconds_unnoticed(sock: socket.socket) -> tuple[float, float]:
    """How long a vanished peer stays unnoticed: while nothing is said, and while something is."""
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, probes, unanswered = (
        sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"))
        for name in ("KEEPIDLE", "KEEPINTVL", "KEEPCNT", "USER_TIMEOUT")
    )
    return idle + interval * probes, unanswered / 1000


@fault(40, 56)
@pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="NOT TESTED: this system has no such options"
)
def test_a_host_that_vanishes_is_noticed_within_a_minute_on_either_side(house: House) -> None:
    """The options as the kernel has them, for a member and for a client."""
    with house_end(house.join("Ann")) as sock:
        assert max(seconds_unnoticed(sock)) <= MOST_SECONDS_UNNOTICED
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        connect(*door.getsockname()) as sock,
    ):
        assert max(seconds_unnoticed(sock)) <= MOST_SECONDS_UNNOTICED


@fault(42)
@needs_filters
@pytest.mark.parametrize("percent", [5, 20])
def test_lost_packets_cost_time_and_no_line(house: House, percent: int) -> None:
    """One packet in 20, and in 5, is lost in every direction; 3 say 200 lines each."""
    names = (b"Ann", b"Bob", b"Cid")
    members = [house.join(name.decode()) for name in names]
    for member in members:
        lose_some(member.socket, percent)
        with house_end(member) as sock:
            lose_some(sock, percent)
    lines = numbered(200, 50)
    for number in range(0, 200, 20):
        for member in members:
            member.types(b"".join(lines[number : number + 20]))
        house.busy(lambda: not any(member.unsent for member in members))
    house.busy(lambda: all(member.heard.count(b"x\n") == 400 for member in members))
    orders = {}
    for name, member in zip(names, members, strict=True):
        heard = lines_since(member, b"Cid joined the chatroom\n" if name != b"Cid" else b"OK\n")
        for other in names:
            said = [line for line in heard if line.startswith(other)]
            assert said == ([other + b": " + line for line in lines] if other != name else [])
        orders[name] = heard
    by_cid = [line for line in orders[b"Ann"] if not line.startswith(b"Bob")]
    assert by_cid == [line for line in orders[b"Bob"] if not line.startswith(b"Ann")]


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(seed=42)
    yield wire
    wire.close()


@pytest.fixture
def house_at_home(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A House with its door at the HOME end of the wire."""
    monkeypatch.setattr("tests.test_room.listen", lambda host, port: listen(HOME, port))
    with wire.at(HOME):
        house = House()
    yield house
    house.close()


@fault(42)
@needs_root
def test_a_bad_wire_costs_time_and_no_line(house_at_home: House, wire: Wire) -> None:
    """Of 100 packets 5 are lost, 3 doubled, 10 swapped and 2 damaged; two at the far end
    of the wire and one at the near end say 400 lines each."""
    house = house_at_home
    with wire.at(HOME):
        members = [house.join("Ann")]
    with wire.at(AWAY):
        members += [house.join("Bob"), house.join("Cid")]
    wire.is_bad = True
    lines = numbered(400, 200)
    for number in range(0, 400, 10):
        for member in members:
            member.types(b"".join(lines[number : number + 10]))
        house.busy(lambda: not any(member.unsent for member in members))
    house.busy(lambda: all(member.heard.count(b"x\n") == 800 for member in members))
    for member, name in zip(members, (b"Ann", b"Bob", b"Cid"), strict=True):
        heard = [line for line in member.heard.splitlines(True) if b": " in line]
        for other in (b"Ann", b"Bob", b"Cid"):
            said = [line for line in heard if line.startswith(other)]
            assert said == ([other + b": " + line for line in lines] if other != name else [])
    assert min(wire.faults.values()) > 0, "it was a bad wire"


@fault(43)
@needs_root
def test_a_wire_that_was_unplugged_for_a_while_costs_nobody_the_seat(
    house_at_home: House, wire: Wire
) -> None:
    """The device goes down at one end and comes up again, about a second later."""
    house = house_at_home
    with wire.at(HOME):
        ann = house.join("Ann")
    with wire.at(AWAY):
        bob = house.join("Bob", ann)
    wire.set_link("down")
    bob.socket.send(b"from Bob\n")
    ann.send(b"from Ann\n")
    with house_end(bob) as sock:
        house.busy(lambda: retransmissions(sock) >= 2)
    house.loop.pass_seconds(5)
    ann.reads_nothing()
    wire.set_link("up")
    ann.reads(b"Bob: from Bob\n")
    bob.reads(b"Ann: from Ann\n")
    assert house.log == []
    assert house.roster.usernames == ["Ann", "Bob"]


def retransmissions(sock: socket.socket) -> int:
    """How often in a row the kernel has sent the same again in vain (tcp_info.tcpi_retransmits)."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[2]


@fault(43)
@needs_filters
def test_a_link_that_was_down_for_a_while_costs_nobody_the_seat(house: House) -> None:
    """Down until the kernel has tried twice in vain, and five seconds of the clock."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    with house_end(bob) as sock:
        lose_all(bob.socket)
        lose_all(sock)
        bob.socket.send(b"from Bob\n")
        ann.send(b"from Ann\n")
        house.busy(lambda: min(retransmissions(end) for end in (sock, bob.socket)) >= 2)
        house.loop.pass_seconds(5)
        ann.reads_nothing()
        lose_none(bob.socket)
        lose_none(sock)
    ann.reads(b"Bob: from Bob\n")
    bob.reads(b"Ann: from Ann\n")
    bob.send(b"still here\n")
    ann.reads(b"Bob: still here\n")
    assert house.log == []
    assert house.roster.usernames == ["Ann", "Bob"]


# Guesses, and what is told of them.


class Neighbourhood(House):
    """A House with more than one address in front of its door."""

    def ask(self, line: bytes, source: str) -> Person:
        """Somebody from there has said this."""
        sock = socket.socket()
        sock.bind((source, 0))
        sock.connect(self._address)
        sock.setblocking(False)
        person = Person(self, sock)
        self.people.append(person)
        person.send(line)
        return person


@fault(44)
@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="NOT TESTED: 127.0.0.1 is all of loopback here"
)
def test_who_guesses_without_pause_is_answered_no_faster_and_others_join() -> None:
    """8 sources with 3 guesses each second for 30 seconds of the clock; every guess that
    was judged is one whose answer came."""
    house = Neighbourhood()
    seconds = 30
    ann = house.join("Ann")
    guessers: dict[str, list[Person]] = {f"127.0.0.{number}": [] for number in range(2, 10)}
    joined = 0
    for second in range(seconds):
        for source, people in guessers.items():
            people += [house.ask(b"JOIN Eve wrong\n", source) for _ in range(3)]
        if second % 5 == 4:
            house.join(f"m{second}", ann)
            joined += 1
        house.busy(lambda: not house.loop.selector.real.select(0))
        house.loop.pass_seconds(1)
    most = BURST_ATTEMPTS + int(seconds / ATTEMPT_SECONDS) + 1
    for people in guessers.values():
        judged = sum(b"Incorrect passcode" in person.heard for person in people)
        assert BURST_ATTEMPTS <= judged <= most
    in_total = house.journal.counts["refused", "incorrect passcode"]
    assert in_total <= most * len(guessers)
    assert len(house.roster.usernames) == 1 + joined
    house.close()


@fault(46)
@pytest.mark.parametrize("username", ["Ann", "Bob", "", "not valid", "\u0410nn", "x" * 200])
@pytest.mark.parametrize("passcode", [b"", b"abc1", b"abc12", b"bbc12", b"\xff", b"x" * 200])
def test_each_request_costs_one_comparison_whatever_it_says(
    username: str, passcode: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The passcode is compared once and in whole for every name, valid, taken or not.

    That it takes the same time is for `hmac.compare_digest` to promise."""
    import hmac

    compared = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        compared.append({one, other})
        return one == other

    dispatcher = Dispatcher(PASSCODE, local_time, roster := Roster())
    roster.apply(dispatcher.join("Ann"))
    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    with contextlib.suppress(ProtocolError):
        dispatcher.check(Join(username, passcode))
    assert compared == [{passcode, PASSCODE}]


FORGERIES = [
    b"Bob joined the chatroom",
    b"Bob left the chatroom",
    b"Bob: I am Bob",
    b"[Message from Bob]: I am Bob",
    b"Active Users: Mal",
    b"No such user: Bob",
    b"Server is shutting down",
    b"Server started on port 1. Accepting connections",
    b"ERROR Incorrect passcode",
    b"OK",
]


@fault(49)
@pytest.mark.parametrize(
    "break_",
    [b"", b"\r", b"\x0b", b"\x0c", b"\x1b[2K\r", b"\x08" * 9, b"\xc2\x85", b"\xe2\x80\xa8"],
)
def test_whatever_is_said_stands_behind_the_name_of_who_said_it(
    house: House, break_: bytes
) -> None:
    """Ten lines of other kinds, each behind eight ways to begin a line anew."""
    ann = house.join("Ann")
    mal = house.join("Mal", ann)
    house.shown()
    for forgery in FORGERIES:
        mal.send(b"x" + break_ + forgery + b"\n")
        ann.heard = b""
        house.busy(lambda: ann.heard.endswith(b"\n"))
        for shown in (ann.heard, house.shown()):
            assert shown.startswith(b"Mal: x")
            assert shown.endswith(forgery + b"\n")
            assert len(shown.decode().splitlines()) == 1


@fault(50)
def test_a_flood_of_refusals_is_a_line_a_second() -> None:
    """300 strangers of two kinds at once, and 300 more who say nothing."""
    house = House(is_verbose=True)
    for number in range(300):
        stranger = house.connect()
        stranger.send(b"hello\n" if number % 3 else b"JOIN ! abc12\n")
        house.loop.receive_to_end(stranger.socket)
        stranger.socket.close()
        house.connect().socket.close()
    house.loop.turn(3)
    assert len(house.log) == 2
    house.loop.pass_seconds(SECONDS_PER_LINE)
    assert house.log[2:] == [
        "refused 99 more: invalid username: only A-Z a-z 0-9 _ - . are allowed",
        "refused 199 more: expected: JOIN <username> <passcode>",
    ]
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    assert len(house.log) == 4
    house.close()


# Signals.


class Interrupter:
    """Raises SIGINT between two bytecodes, at random ones of those that run under it."""

    def __init__(self, seed: int, most_bytecodes: int) -> None:
        self.raised = 0
        self._chance = random.Random(seed)
        self._most_bytecodes = most_bytecodes
        self._bytecodes_left = most_bytecodes

    def __enter__(self) -> Interrupter:
        self._previous = sys.gettrace()
        # Python 3.12 looks for this once, at settrace, whatever frames say later.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(self._trace)
        return self

    def __exit__(self, *details: object) -> None:
        sys.settrace(self._previous)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._bytecodes_left -= 1
            if self._bytecodes_left <= 0:
                self._bytecodes_left = self._chance.randint(1, self._most_bytecodes)
                self.raised += 1
                signal.raise_signal(signal.SIGINT)
        return self._trace


@fault(59)
def test_an_interrupt_between_any_two_bytecodes_changes_nothing(house: House) -> None:
    """Some 2,000 SIGINTs within the joining, talking and leaving of three."""
    told = 0

    def note(number: int) -> None:
        nonlocal told
        told += 1

    ann = house.join("Ann")
    signals = Signals(house.loop.reactor, [signal.SIGINT], note)
    interrupter = Interrupter(seed=59, most_bytecodes=60)
    people = [house.connect() for _ in range(3)]
    for number, person in enumerate(people):
        script = b"JOIN m%d abc12\nhello :)\n:Msg Ann psst\n:Users\nlast\n:Exit\n" % number
        person.socket.send(script)
    with interrupter:
        house.loop.turn(20)
    house.loop.turn_until(house.loop.is_idle)
    signals.close()
    # Some may have been one: a socket holds a few hundred that were not told yet.
    assert 300 < told <= interrupter.raised
    for number in range(3):
        name = b"m%d" % number
        ann.reads(
            name + b" joined the chatroom\n"
            + name + b": hello [feeling happy]\n[Message from " + name + b"]: psst\n"
            + name + b": last\n" + name + b" left the chatroom\n"
        )  # fmt: skip
        people[number].reads_to_end(b"OK\nActive Users: Ann, " + name + b"\n")
    assert house.roster.usernames == ["Ann"]


# Many descriptors.


@contextlib.contextmanager
def descriptors_beyond(number: int) -> Iterator[None]:
    """What is opened within has a higher number."""
    if listener.raise_descriptor_limit() < number + 100:
        pytest.skip(f"NOT TESTED: fewer than {number} descriptors are allowed here")
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < number:
        fillers.append(os.dup(fillers[0]))
    try:
        yield
    finally:
        for filler in fillers:
            os.close(filler)


@fault(67)
@pytest.mark.parametrize("kind", ["DefaultSelector", "PollSelector"])
def test_members_with_descriptors_beyond_1024_are_members_like_any_other(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 members with numbers above 1,100; `select` alone could not watch them."""
    monkeypatch.setattr(selectors, "DefaultSelector", getattr(selectors, kind))
    house = House()
    with descriptors_beyond(1_100):
        members = [house.join(f"m{number}") for number in range(20)]
        assert min(member.spy.connection.descriptor for member in members) > 1_100
        for number, member in enumerate(members):
            member.send(b"from %d\n" % number)
        house.busy(lambda: all(member.heard.count(b": from ") == 19 for member in members))
        assert house.shown().count(b": from ") == 20
        for member in members:
            member.resets()
        house.loop.turn_until(lambda: house.roster.usernames == [])
    house.close()


# The programs themselves.


def start_patched(stage: Stage, script: str, patch: str, *flags: str) -> Program:
    """Run server.py or client.py after `patch`, a few statements."""
    module = script.removesuffix(".py")
    code = f"import sys, {module}; {patch}; sys.exit({module}.main())"
    return stage.run(Program, script, [sys.executable, "-c", code, *flags])


def port_of(server: Program) -> int:
    """Where it says that it listens."""
    banner = re.fullmatch(r"Server started on port (\d+)\..*", server.stdout.take_line())
    assert banner
    return int(banner[1])


def client_flags(port: int, passcode: str = "abc12", host: str = "127.0.0.1") -> list[str]:
    flags = ["-join", "-host", host, "-port", str(port)]
    return [*flags, "-username", "Alice", "-passcode", passcode]


@fault(40, 56)
@needs_filters
def test_a_client_notices_that_its_server_has_vanished() -> None:
    """Two real seconds, with the kernel's timers set to one."""
    patch = "import reactor.listener as l; l.KEEPALIVE_IDLE_SECONDS = l.UNANSWERED_SECONDS = 1"
    patch += "; l.KEEPALIVE_INTERVAL_SECONDS = 1"
    with Stage() as stage, socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        alice = start_patched(stage, "client.py", patch, *client_flags(port))
        sock, _ = door.accept()
        with sock:
            sock.send(b"OK\n")
            alice.shows(f"Connected to 127.0.0.1 on port {port}")
            lose_all(sock)
            alice.exits(1, CLOSED)


BROKEN_COMPARISON = """
import hmac

def compare_digest(one, other):
    raise ValueError("no comparison today")

hmac.compare_digest = compare_digest
"""


@fault(48)
def test_the_passcode_is_in_no_traceback_no_complaint_and_no_environment(tmp_path: Path) -> None:
    """(That it is in no other output is seen wherever outputs are compared in whole, and
    in tests/test_journal.py. It shows in `ps`, as README.md says, and in a core of the process.)"""
    secret = "S3cr3"
    (tmp_path / "sitecustomize.py").write_text(BROKEN_COMPARISON)
    with Stage() as stage:
        env = {"PYTHONPATH": str(tmp_path)}
        server = stage.start("server.py", "-start", "-port=0", "-passcode", secret, env=env)
        port = port_of(server)
        alice = stage.start("client.py", *client_flags(port, secret))
        alice.exits(1, CLOSED)
        if Path("/proc/self/environ").exists():
            environment = Path(f"/proc/{server.process.pid}/environ").read_bytes()
            assert environment
            assert secret.encode() not in environment
        server.signal(signal.SIGTERM)
        told = server.stderr.take_rest()
        assert b"Traceback" in told
        assert b"no comparison today" in told
        assert secret.encode() not in told
        server.exits(0)

        for wrong in (["-port", "x"], ["-port", "1", "-nosuch"], ["-passcode", secret + "\x1b"]):
            hasty = stage.start("server.py", "-start", "-passcode", secret, *wrong)
            assert secret not in hasty.stderr.take_line()
            hasty.exits(2)


@fault(54)
def test_a_here_document_is_typed_and_then_the_client_leaves() -> None:
    """The fifth kind; tests/end_to_end/test_streams.py has the other four."""
    with Room() as room:
        (bob,) = room.join("Bob")
        alice = room.start_member("Alice", redirect="<<EOF\nHello\n:Users\nlast\nEOF\n")
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}", "Active Users: Bob, Alice")
        room.all_show("Alice joined the chatroom", "Alice: Hello", but=room.server)
        room.server.shows("Alice joined the chatroom", "Alice: Hello")
        room.server.shows("Alice: searched up active users")
        room.all_show("Alice: last", "Alice left the chatroom")
        bob.types("?")
        room.server.shows("Bob: ?")
        alice.exits(0)


def modes_of(terminal: int) -> tuple[list[Any], int]:
    """All that a program could leave behind on a terminal that it shares."""
    return termios.tcgetattr(terminal), fcntl.fcntl(terminal, fcntl.F_GETFL)


ENDS_OF_A_SERVER: dict[str, Callable[[socket.socket], object]] = {
    "closed": lambda sock: sock.close(),
    "reset": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0" * 2),
    "no server": lambda sock: sock.sendall(b"\x1b[?1049h\x1b[?25l\x00\xff" * 100 + b"\n"),
    "an endless line": lambda sock: sock.sendall(b"OK\n" + b"x" * (3 << 20)),
}


@fault(56)
@pytest.mark.parametrize("end", ENDS_OF_A_SERVER)
def test_whatever_becomes_of_the_server_the_terminal_is_left_as_it_was(end: str) -> None:
    """Its modes, and that it does not block for whoever shares it."""
    ours, theirs = os.openpty()
    before = modes_of(theirs)
    with socket.create_server(("127.0.0.1", 0)) as door:
        command = [sys.executable, "client.py", *client_flags(door.getsockname()[1])]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
        )
        sock, _ = door.accept()
        with sock, contextlib.suppress(ConnectionError):
            sock.settimeout(DEADLINE_SECONDS)
            ENDS_OF_A_SERVER[end](sock)
    _, complaint = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert complaint.startswith(b"error: ")
    assert complaint.count(b"\n") == 1
    assert modes_of(theirs) == before
    os.close(ours)
    os.close(theirs)


@fault(58)
def test_a_second_signal_ends_the_server_at_once() -> None:
    """The first alone would let it wait for an hour for a member who does not go."""
    patch = "import reactor.connection as c; server.SHUTDOWN_SECONDS = c.LINGER_SECONDS = 3600.0"
    with Stage() as stage:
        server = start_patched(
            stage, "server.py", patch, "-start", "-port", "0", "-passcode", "abc12"
        )
        port = port_of(server)
        bob = stage.take_over(socket.create_connection(("127.0.0.1", port)), "Bob")
        bob.types("JOIN Bob abc12")
        bob.shows("OK")
        server.shows("Bob joined the chatroom")
        server.signal(signal.SIGTERM)
        bob.shows(GOODBYE)
        bob.stdout.expect_end()
        assert server.process.poll() is None
        server.signal(signal.SIGTERM)
        server.exits(0)


@fault(60)
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="NOT TESTED: the kernel does not tell"
)
def test_no_program_can_be_ended_by_a_broken_pipe() -> None:
    """SIGPIPE is ignored, says the kernel, though whoever starts them does not do so."""
    with Room() as room:
        for program in (room.server, *room.join("Alice")):
            status = Path(f"/proc/{program.process.pid}/status").read_text()
            [ignored] = re.findall(r"SigIgn:\t([0-9a-f]+)", status)
            assert int(ignored, 16) & 1 << signal.SIGPIPE - 1


CLOCK_IN_A_FILE = """
import os, time

def read_clock():
    with open(os.environ["CLOCK"]) as file:
        return float(file.read())

time.time = read_clock
"""


@fault(62)
def test_no_timer_heeds_the_time_of_day(tmp_path: Path) -> None:
    """The clock of both programs jumps by days, into 2038 and across a change of the
    hour, while a stranger has 20 seconds to join."""
    clock = tmp_path / "clock"
    (tmp_path / "sitecustomize.py").write_text(CLOCK_IN_A_FILE)
    env = {"PYTHONPATH": str(tmp_path), "CLOCK": str(clock), "TZ": "EST5EDT,M3.2.0,M11.1.0"}
    spring_forward = 1741501800  # 2025-03-09 06:30 UTC
    clock.write_text(str(spring_forward))
    with Room(env=env) as room:
        alice = room.start_member("Alice", env=env)
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(alice)
        stranger = room.connect("Bob")
        stranger.feed(b"JOIN Bob ")
        for seconds, now, in_an_hour in (
            (spring_forward, "Sun Mar 09 01:30:00 2025", "Sun Mar 09 03:30:00 2025"),
            (spring_forward - 86_400, "Sat Mar 08 01:30:00 2025", "Sat Mar 08 02:30:00 2025"),
            (spring_forward + 86_400, "Mon Mar 10 02:30:00 2025", "Mon Mar 10 03:30:00 2025"),
            (2**31 - 1, "Mon Jan 18 22:14:07 2038", "Mon Jan 18 23:14:07 2038"),
            (0, "Wed Dec 31 19:00:00 1969", "Wed Dec 31 20:00:00 1969"),
        ):
            clock.write_text(str(seconds))
            alice.types(":mytime :+1hr")
            room.all_show(f"Alice: {now} {in_an_hour}")
        stranger.types("abc12")
        stranger.shows("OK")
        room.welcomes(stranger)
        room.nothing_else()


NO_PERMISSION = """
import errno, os, socket

def bind(sock, address):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

socket.socket.bind = bind
"""


@fault(65)
def test_a_port_that_may_not_be_had_is_one_line(tmp_path: Path) -> None:
    """A privileged port. `bind` is made to fail: the user may have the privilege."""
    (tmp_path / "sitecustomize.py").write_text(NO_PERMISSION)
    with Stage() as stage:
        env = {"PYTHONPATH": str(tmp_path)}
        server = stage.start("server.py", "-start", "-port=80", "-passcode=abc12", env=env)
        server.exits(1, "error: cannot listen on port 80: Permission denied")


SILENT_NAME_SERVICE = """
import os, socket, threading

real = socket.getaddrinfo

def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    if flags & socket.AI_NUMERICHOST:
        return real(host, port, family, type, proto, flags)
    os.write(2, b"asked\\n")
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo
"""


@fault(68)
def test_a_client_can_be_interrupted_while_it_waits_for_the_name_service(tmp_path: Path) -> None:
    """Ctrl-C, while no name server answers. tests/test_resolve.py has the rest."""
    (tmp_path / "sitecustomize.py").write_text(SILENT_NAME_SERVICE)
    with Stage() as stage:
        flags = client_flags(1, host="room.example")
        alice = stage.start("client.py", *flags, env={"PYTHONPATH": str(tmp_path)})
        alice.complains("asked")
        alice.signal(signal.SIGINT)
        alice.exits(-signal.SIGINT)
