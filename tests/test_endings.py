"""Ends of every kind: of a connection at each of its stages, of a server, of a client.

On real sockets and a virtual clock, as in tests/test_room.py, or with the programs themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
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

from chat.session import HANDSHAKE_SECONDS
from reactor import Signals
from reactor.connection import LINGER_SECONDS
from tests.support.faults import fault
from tests.support.programs import DEADLINE_SECONDS, GOODBYE, ROOT, Stage, free_port
from tests.test_room import House, Person, numbered


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


# Of a connection.


def end_at_once(person: Person, said: bytes) -> None:
    person.socket.send(said or b"\r")
    person.ends()


def end(person: Person, said: bytes) -> None:
    person.send(said)
    person.ends()


def reset(person: Person, said: bytes) -> None:
    person.send(said)
    person.resets()


def end_and_reset(person: Person, said: bytes) -> None:
    end(person, said)
    person.send(b"")  # and a turn
    person.resets()


JOIN = b"JOIN Bob abc12\n"
CAME, LEFT = b"Bob joined the chatroom\n", b"Bob left the chatroom\n"


@fault(23, 34)
@pytest.mark.parametrize("go", [end_at_once, end, reset, end_and_reset])
@pytest.mark.parametrize(
    ("said", "answer", "shown"),
    [
        pytest.param(b"", b"", b"", id="before JOIN"),
        pytest.param(b"JOIN Bob", b"", b"", id="inside JOIN"),
        pytest.param(JOIN[:-1], b"", b"", id="before its line end"),
        pytest.param(b"JOIN Bob wrong\n", b"ERROR Incorrect passcode\n", b"", id="refused"),
        pytest.param(JOIN, b"OK\n", CAME + LEFT, id="joined"),
        pytest.param(JOIN + b"hel", b"OK\n", CAME + LEFT, id="inside a line"),
        pytest.param(JOIN + b":Exi", b"OK\n", CAME + LEFT, id="inside :Exit"),
        pytest.param(JOIN + b"hi\n", b"OK\n", CAME + b"Bob: hi\n" + LEFT, id="after a line"),
        pytest.param(JOIN + b"hi\nha", b"OK\n", CAME + b"Bob: hi\n" + LEFT, id="inside the next"),
        pytest.param(JOIN + b":Exit\n", b"OK\n", CAME + LEFT, id="exit"),
    ],
)
def test_departure_at_any_stage_is_told_once_or_never(
    house: House, said: bytes, answer: bytes, shown: bytes, go: Callable[[Person, bytes], None]
) -> None:
    """By one who never closes its other half, if it does not reset both."""
    ann = house.join("Ann")
    bob = house.connect()
    house.shown()
    go(bob, said)
    if bob.socket.fileno() >= 0:
        bob.reads_to_end(answer)
    house.loop.turn_until(lambda: list(house.room._sessions) == [ann.spy.session])
    house.loop.pass_seconds(HANDSHAKE_SECONDS + LINGER_SECONDS)
    ann.reads(shown)
    assert house.shown() == shown
    house.join("bob", ann)
    house.loop.turn_until(house.loop.is_idle)
    assert house.log == []


@fault(34)
def test_half_closed_member_who_reads_nothing_wakes_no_loop(house: House) -> None:
    """It is owed a quarter of a megabyte, until it is aborted for it."""
    ann = house.join("Ann")
    deaf = house.join("Deaf", ann)
    deaf.is_deaf = True
    ann.types(b"".join(numbered(500, 1_000)))
    house.busy(lambda: deaf.spy.connection.outbound.owed_bytes > 200_000)
    house.busy(lambda: not ann.unsent)
    deaf.ends()
    ann.reads(b"Deaf left the chatroom\n")
    house.loop.turn_until(lambda: not house.loop.selector.real.select(0))
    house.loop.turn(2)
    house.loop.selector.waits.clear()
    house.loop.pass_seconds(LINGER_SECONDS / 2)
    assert len(house.loop.selector.waits) <= 2
    assert deaf.spy.connection.outbound.owed_bytes > 0
    house.loop.pass_seconds(LINGER_SECONDS)
    assert list(house.room._sessions) == [ann.spy.session]
    house.loop.turn_until(house.loop.is_idle)


# By a signal.


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
def test_interrupts_between_bytecodes_change_nothing(house: House) -> None:
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


@fault(58)
def test_second_signal_ends_the_server_at_once() -> None:
    """The first alone would let it wait for an hour for a member who does not go."""
    patch = "import reactor.connection as c; server.SHUTDOWN_SECONDS = c.LINGER_SECONDS = 3600.0"
    with Stage() as stage:
        port = free_port()
        flags = ["-start", "-port", str(port), "-passcode", "abc12"]
        server = stage.start("server.py", *flags, patch=patch)
        server.shows(f"Server started on port {port}. Accepting connections")
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
def test_client_can_be_interrupted_while_no_name_server_answers(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SILENT_NAME_SERVICE)
    with Stage() as stage:
        env = {"PYTHONPATH": str(tmp_path)}
        alice = stage.start_client(1, host="room.example", env=env)
        alice.complains("asked")
        alice.signal(signal.SIGINT)
        alice.exits(-signal.SIGINT)


# Of the server, seen from the client.


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
def test_terminal_is_left_as_it_was_by_every_end_of_a_server(end: str) -> None:
    """Its modes, and that it does not block for those who share it."""
    ours, theirs = os.openpty()
    before = modes_of(theirs)
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = str(door.getsockname()[1])
        flags = ["-join", "-host=127.0.0.1", "-port", port, "-username=Alice", "-passcode=abc12"]
        command = [sys.executable, "client.py", *flags]
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
