"""Ends of every kind: of a connection at each of its stages, of the room, and by a signal.

tests/test_slow_readers.py has the ends of those that do not read.
"""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from chat.session import HANDSHAKE_SECONDS
from reactor import Signals
from reactor.connection import LINGER_SECONDS
from tests.support.faults import fault
from tests.support.house import House, Person
from tests.support.programs import GOODBYE, Room
from tests.support.protocol import PlainServer

# Of a connection.


JOIN = b"JOIN Bob abc12\n"
STAGES = {
    "before JOIN": b"\r",
    "inside JOIN": b"JOIN Bob",
    "before its line end": b"JOIN Bob abc12",
    "refused": b"JOIN Bob wrong\n",
    "joined": JOIN,
    "inside a line": JOIN + b"hel",
    "inside :Exit": JOIN + b":Exit",
    "after a line": JOIN + b"hi\n",
    "inside the next": JOIN + b"hi\nha",
    "exit": JOIN + b":Exit\n",
    "exit twice": JOIN + b"hi\n:exit \n:Exit\nha\n",
}


@fault(23, 34, 72)
@pytest.mark.parametrize("is_heard", [False, True], ids=["at once", "once it was heard"])
@pytest.mark.parametrize("go", [[Person.ends], [Person.resets], [Person.ends, Person.resets]])
@pytest.mark.parametrize("said", STAGES.values(), ids=STAGES)
def test_departure_at_any_stage_is_told_once_or_never(
    house: House, said: bytes, go: list[Callable[[Person], None]], is_heard: bool
) -> None:
    """By one that never closes its other half, if it does not reset both."""
    plain = PlainServer()
    for key, data in enumerate((b"JOIN Ann abc12\n", said)):
        plain.receive(key, data)
    plain.end(1)
    ann = house.join("Ann")
    bob = house.connect()
    bob.socket.send(said)
    for step in go:
        house.loop.turn(2 if is_heard else 0)
        step(bob)
    if bob.socket.fileno() >= 0:
        bob.reads_to_end(plain.peers[1].screen)
    house.loop.turn_until(lambda: len(house.room._sessions) == 1)
    house.loop.pass_seconds(HANDSHAKE_SECONDS + LINGER_SECONDS)
    ann.reads(plain.peers[0].screen.removeprefix(b"OK\n"))
    assert house.shown() == plain.console
    house.join("bob", ann)
    house.loop.turn_until(house.loop.is_idle)
    assert not [line for line in house.log if "incorrect" not in line]


@fault(39)
def test_last_lines_of_one_that_was_reset_come_before_it_left(house: House) -> None:
    ann, bob = house.join_all("Ann", "Bob")

    def speak_and_go() -> None:
        bob.socket.send(b"last\nwords\n")
        bob.resets()

    ann.socket.send(b"to Bob, who is gone\n")
    house.loop.reactor.call_soon(speak_and_go)  # when it is about to be written to
    ann.reads(b"Bob: last\nBob: words\nBob left the chatroom\n")


# Of the room.


def test_shutdown_is_told_to_every_member_and_none_has_left(house: House) -> None:
    ann, bob = house.join_all("Ann", "Bob")
    guest = house.connect()
    ann.send(b"hello\n")
    house.room.shut_down()
    bob.socket.send(b"too late\n")
    ann.reads_to_end(b"Server is shutting down\n")
    bob.reads_to_end(b"Ann: hello\nServer is shutting down\n")
    guest.reads_to_end(b"")
    ann.socket.close()
    guest.socket.close()
    house.loop.turn(3)
    assert house.empty_calls == 0
    house.room.close()
    house.loop.turn_until(lambda: house.empty_calls)
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    assert house.empty_calls == 1
    assert house.shown().endswith(b"Bob joined the chatroom\nAnn: hello\n")
    assert house.log == []


def test_shutdown_of_an_empty_room_ends_at_once(house: House) -> None:
    gone = house.join("Ann")
    gone.socket.close()
    house.loop.turn(3)
    assert house.empty_calls == 0
    house.room.shut_down()
    assert house.empty_calls == 1


def test_guest_sent_away_at_shutdown_is_not_refused_as_well(house: House) -> None:
    house.connect()
    house.loop.pass_seconds(HANDSHAKE_SECONDS - LINGER_SECONDS / 2)
    house.room.shut_down()
    house.loop.pass_seconds(2 * LINGER_SECONDS)
    assert house.empty_calls == 1
    assert house.log == []


# By a signal.


@contextmanager
def interrupts(seed: int, most_bytecodes: int) -> Iterator[None]:
    """SIGINT comes between two bytecodes, at random ones of those that run within."""
    chance = random.Random(seed)
    bytecodes_left = most_bytecodes

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal bytecodes_left
        frame.f_trace_opcodes = True
        if event == "opcode":
            bytecodes_left -= 1
            if bytecodes_left <= 0:
                bytecodes_left = chance.randint(1, most_bytecodes)
                signal.raise_signal(signal.SIGINT)
        return trace

    previous = sys.gettrace()
    # Python 3.12 looks for this once, at settrace, whatever frames say later.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    yield
    sys.settrace(previous)


@fault(59)
def test_interrupts_between_bytecodes_change_nothing(house: House) -> None:
    """Some 2,000 SIGINTs within the joining, talking and leaving of three."""
    told: list[int] = []
    ann = house.join("Ann")
    signals = Signals(house.loop.reactor, [signal.SIGINT], told.append)
    plain = PlainServer()
    plain.receive(0, b"JOIN Ann abc12\n")
    people = [house.connect() for _ in range(3)]
    for number, person in enumerate(people, 1):
        script = b"JOIN m%d abc12\nhello :)\n:Msg Ann psst\n:Users\nlast\n:Exit\n" % number
        person.socket.send(script)
        plain.receive(number, script)
    with interrupts(seed=59, most_bytecodes=60):
        house.loop.turn(20)
    house.loop.turn_until(house.loop.is_idle)
    signals.close()
    # Some may have been one: a socket holds a few hundred that were not told yet.
    assert len(told) > 300
    ann.reads(plain.peers[0].screen.removeprefix(b"OK\n"))
    for number, person in enumerate(people, 1):
        person.reads_to_end(plain.peers[number].screen)
    assert house.roster.usernames == ["Ann"]


@fault(58)
def test_second_signal_ends_the_server_at_once() -> None:
    """The first alone would let it wait for an hour for a member that does not go."""
    patch = "import reactor.connection as c; server.SHUTDOWN_SECONDS = c.LINGER_SECONDS = 3600.0"
    with Room(patch=patch) as room:
        bob = room.enter("Bob")
        room.server.shows("Bob joined the chatroom")
        room.server.signal(signal.SIGTERM)
        bob.shows(GOODBYE)
        bob.stdout.expect_end()
        assert room.server.process.poll() is None
        room.server.signal(signal.SIGTERM)
        room.server.exits(0)
