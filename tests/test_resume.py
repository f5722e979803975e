"""Members that lose their connection and come back, or do not. tests/simulation/resume.py loses
many at every byte; here is what is done at the edges."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import gate
from chat.bans import Bans
from chat.resume import make_block
from codec.handshake import NOT_HERE, TOO_LATE
from reactor import SlowReaderError, flow, keeper
from tests.support.faults import fault
from tests.support.house import House, Person
from tests.support.protocol import TOO_MANY_ATTEMPTS, PlainServer, error_line
from tests.support.size import examples

SECONDS = 30.0
TOKENS = [f"{number:02x}" * 16 for number in range(256)]


@pytest.fixture
def kept(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house, and it keeps places."""
    house.keep_places(monkeypatch, SECONDS)
    return house


def enter(house: House, name: str, place: int, *others: str) -> Person:
    """Its token is the one with the same number."""
    person = house.ask(f"ENTER {name} abc12\n".encode())
    person.reads(f"OK {place}.{TOKENS[place]}\n{users(*others, name)}".encode())
    return person


def users(*names: str) -> str:
    return f"Active Users: {', '.join(names)}\n"


def resume(house: House, place: int, token: int, received: int) -> Person:
    return house.ask(f"RESUME {place}.{TOKENS[token]} {received}\n".encode())


@fault(89)
@pytest.mark.parametrize("how", ["ends", "resets"])
def test_absence_is_no_departure_until_its_time_is_up(kept: House, how: str) -> None:
    bob = kept.join("Bob")
    alice = enter(kept, "Alice", 1, "Bob")
    bob.reads(b"Alice joined the chatroom\n")
    getattr(alice, how)()
    kept.loop.turn(3)
    kept.loop.pass_seconds(SECONDS - 1)
    bob.send(b":Users\n")
    bob.reads(users("Bob", "Alice").encode())
    kept.ask(b"JOIN alice abc12\n").reads_to_end(b"ERROR Username already in use: alice\n")
    kept.loop.pass_seconds(1.1)
    bob.reads(b"Alice left the chatroom\n")
    resume(kept, 1, 1, 0).reads_to_end(error_line(TOO_LATE))
    kept.join("Alice", bob)


@fault(89)
def test_second_connection_takes_over_from_the_first(kept: House) -> None:
    alice = enter(kept, "Alice", 1)
    alice.send(b"one\nhal")
    alice.reads(b"Alice: one\n")
    again = resume(kept, 1, 1, 20)
    again.reads(b"OK 1.%s %d\nAlice: one\n" % (TOKENS[2].encode(), 7))
    again.send(b"f\n")
    again.reads(b"Alice: half\n")
    resume(kept, 1, 1, 20).reads_to_end(error_line(TOO_LATE))
    with pytest.raises(ConnectionResetError):
        alice.socket.recv(1)


STEPS = st.tuples(
    st.sampled_from(["alice", "alice", "bob", "end", "reset", "resume", "old token"]),
    st.integers(0, 200),
)
TYPED = b"one\n:Users\n:Msg alice psst\n\ntwo :)\n:mytime\n:Msg Bob x\n" * 9
SAID = [b"hello\n", b":Msg Alice psst\n", b":Users\n", b"x" * 300 + b"\n"]


@fault(89)
@examples(30, 200)
@given(st.lists(STEPS, max_size=25))
def test_both_streams_go_on_wherever_they_break(steps: list[tuple[str, int]]) -> None:
    """As the model says it. A token is good until a byte comes by the one that was given for it."""
    with closing(House()) as house, pytest.MonkeyPatch.context() as patch:
        house.keep_places(patch, SECONDS)
        plain = PlainServer(tokens=iter(TOKENS[1:]))
        both = Both(house, plain)
        both.open(b"JOIN Bob abc12\n")
        both.open(b"ENTER Alice abc12\n")
        for verb, number in steps:
            both.do(verb, number)
        both.check()


class Both:
    """The house and the model; Bob's connection is the first, Alice's the last."""

    def __init__(self, house: House, plain: PlainServer) -> None:
        self._house, self._plain = house, plain
        self._people: list[Person] = []
        self._read = self._heard = 0  # of Alice's stream: at most, and as she has said

    def open(self, line: bytes) -> None:
        self._people.append(self._house.connect())
        self._send(len(self._people) - 1, line)

    def do(self, verb: str, number: int) -> None:
        alice, last = self._plain.members.get("Alice"), len(self._people) - 1
        assert alice
        is_there = alice is self._plain.peers[last]
        self._read = len(alice.stream) if is_there else self._read
        if verb == "bob":
            self._send(0, SAID[number % len(SAID)])
        elif verb == "alice" and is_there:
            self._send(last, TYPED[alice.received_bytes :][:number])
        elif verb in ("end", "reset") and is_there:
            self.check()
            getattr(self._people[last], f"{verb}s")()
            self._house.loop.turn(3)
            self._plain.end(last)
        elif verb in ("resume", "old token"):
            token = alice.tokens[-1 if verb == "old token" else 0]
            self._heard = max(self._heard, self._read - number)
            self.check()
            rest = TYPED[alice.received_bytes :][: number % 3]
            self.open(b"RESUME %s %d\n%s" % (token.encode(), self._heard, rest))

    def check(self) -> None:
        """What either is to read, it reads; and nothing else."""
        for key, person in enumerate(self._people):
            screen = self._plain.peers[key].screen
            if screen:
                person.reads(screen)
                screen.clear()
        self._people[0].reads_nothing()

    def _send(self, key: int, data: bytes) -> None:
        if data:
            self._people[key].send(data)
            self._plain.receive(key, data)


def test_token_of_another_server_is_told_and_is_no_guess(kept: House) -> None:
    kept.keep_places(pytest.MonkeyPatch(), block=7)
    person = kept.ask(b"ENTER Alice abc12\n")
    person.reads(f"OK 7000000001.{TOKENS[1]}\n{users('Alice')}".encode())
    assert 0 < make_block() < 10**6
    for _ in range(gate.BURST_ATTEMPTS):
        resume(kept, 8 * 10**9 + 1, 1, 0).reads_to_end(error_line(NOT_HERE))
    resume(kept, 7 * 10**9 + 1, 9, 0).reads_to_end(error_line(TOO_LATE))


@fault(90)
def test_wrong_token_counts_as_a_wrong_passcode(kept: House) -> None:
    enter(kept, "Alice", 1).send(b":Exit\n")
    for _ in range(gate.BURST_ATTEMPTS):  # a place that was given up is no guess
        resume(kept, 1, 1, 0).reads_to_end(error_line(TOO_LATE))
    enter(kept, "Alice", 2)
    for number in range(gate.BURST_ATTEMPTS):
        resume(kept, 2 + 7 * (number % 2), 9, 0).reads_to_end(error_line(TOO_LATE))
    late = resume(kept, 2, 2, 0)
    late.reads_nothing()
    waiting = [resume(kept, 2, 9, 0) for _ in range(gate.MAX_WAITING_REQUESTS)]
    waiting[-1].reads_to_end(error_line(TOO_MANY_ATTEMPTS))
    kept.loop.pass_seconds(gate.ATTEMPT_SECONDS)
    late.reads(b"OK 2.%s 0\n%s" % (TOKENS[3].encode(), users("Alice").encode()))


@fault(91)
def test_bytes_that_are_kept_no_more_are_too_late(
    kept: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "KEPT_BYTES", 1000)
    bob = kept.join("Bob")
    alice = enter(kept, "Alice", 1, "Bob")
    bob.reads(b"Alice joined the chatroom\n")
    line = b"Bob: %s\n" % (b"x" * 1000)

    def hear(person: Person) -> None:
        for _ in range(40):  # pages are dropped whole
            bob.send(line[5:])
            person.reads(line)

    hear(alice)
    alice.resets()
    count = 25 + 38 * len(line)
    again = resume(kept, 1, 1, count)
    again.reads(b"OK 1.%s 0\n" % TOKENS[2].encode() + 2 * line)
    hear(again)
    resume(kept, 1, 1, count).reads_to_end(error_line(TOO_LATE))
    bob.reads(b"Alice left the chatroom\n")


@fault(92)
def test_longest_absent_leaves_first_for_want_of_room(
    kept: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MAX_ABSENT_MEMBERS", 1)
    bob = kept.join("Bob")
    for name in ("Ann", "Cid"):
        person = kept.ask(f"ENTER {name} abc12\n".encode())
        bob.reads(f"{name} joined the chatroom\n".encode())
        person.resets()
        kept.loop.turn(3)
    bob.reads(b"Ann left the chatroom\n")
    line = b":Msg Cid %s\n" % (b"x" * 4000)
    for _ in range(flow.SEND_QUEUE_BYTES // 4000 + 1):
        bob.send(line)
    bob.reads(b"Cid left the chatroom\n")
    assert not kept.room.fanout.log.kept_bytes


def test_server_ends_although_somebody_is_absent(kept: House) -> None:
    enter(kept, "Alice", 1).resets()
    kept.loop.turn(3)
    kept.room.shut_down()
    assert kept.empty_calls
    assert kept.wakeups(SECONDS * 2) == 2  # to sleep, and to look


def test_lines_that_were_received_are_said_in_an_absence(kept: House) -> None:
    bob = kept.join("Bob")
    alice = enter(kept, "Alice", 1, "Bob")
    bob.reads(b"Alice joined the chatroom\n")
    alice.send(b"\n" * 1000 + b"last\n:Exit\n")
    kept.loop.turn(1)
    kept.room.members["Alice"].connection.abort()  # as a slow reader's, while her lines wait
    bob.reads(b"Alice: last\nAlice left the chatroom\n")


@fault(89)
def test_member_that_is_cut_for_slowness_is_absent(kept: House) -> None:
    alice = enter(kept, "Alice", 1)
    kept.room.members["Alice"].connection.abort(SlowReaderError("9 bytes unsent"))
    kept.loop.turn(3)
    assert any("9 bytes unsent" in line for line in kept.log)
    alice.socket.close()
    kept.room.bans = Bans(kept.loop.reactor)  # which holds none
    resume(kept, 1, 1, 20).reads(b"OK 1.%s 0\n" % TOKENS[2].encode())


def test_answer_that_took_too_long_to_be_sent_is_given_again(
    kept: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(kept, "Alice", 1).ends()
    kept.loop.turn(3)
    with monkeypatch.context() as patch:
        patch.setattr(keeper.KeptCursor, "attach", lambda *_: False)  # its bytes are gone by now
        again = resume(kept, 1, 1, 20)
        kept.loop.turn(3)
        again.socket.close()
    resume(kept, 1, 1, 20).reads(b"OK 1.%s 0\n" % TOKENS[3].encode())


def test_bug_in_an_absence_costs_that_member(kept: House) -> None:
    bob = kept.join("Bob")
    alice = enter(kept, "Alice", 1, "Bob")
    bob.reads(b"Alice joined the chatroom\n")
    alice.resets()
    kept.loop.turn(3)
    member = kept.room.members["Alice"]
    member.connection.call(lambda: [][0])
    bob.reads(b"Alice left the chatroom\n")
    assert isinstance(kept.loop.take_errors()[0], IndexError)


def test_member_that_came_back_in_time_is_not_given_up(kept: House) -> None:
    alice = enter(kept, "Alice", 1)
    places, cursor = kept.room.places, kept.room.members["Alice"].cursor
    assert places
    assert isinstance(cursor, keeper.KeptCursor)
    for line in (b"still here\n", b":Exit\n"):
        places._give_up(cursor)
        alice.send(line)
        kept.loop.turn(3)
    alice.reads(b"Alice: still here\n")
    places._give_up(cursor)  # it has left
    kept.loop.turn(3)


def test_lines_of_the_connection_before_come_first(
    kept: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(kept, "Alice", 1).ends()
    kept.loop.turn(3)
    monkeypatch.setattr(kept.room, "is_waiting", lambda member: True)
    again = resume(kept, 1, 1, 20)
    again.reads(b"OK 1.%s 0\n" % TOKENS[2].encode())
    again.send(b"later\n")
    again.reads_nothing()
    kept.room.members["Alice"].go_on()  # as when those were taken
    again.reads(b"Alice: later\n")
