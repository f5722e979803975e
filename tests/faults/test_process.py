"""What can befall a whole process: no memory, no reader of its complaints, a stop.

No descriptors, a console that is not read, a port that is still in use and an end at any moment
are cheaper to set up elsewhere: tests/test_gate.py, tests/reactor/test_stdio.py,
tests/reactor/test_listener.py and tests/simulation/.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from reactor.loop import GRACE_SECONDS
from tests.support.faults import fault
from tests.support.programs import GOODBYE, PASSCODE, Program, RawClient, Room, numbered
from tests.support.protocol import INCORRECT_PASSCODE
from tests.support.size import IS_LONG

MEMBERS = 200 if IS_LONG else 50

INVALID = os.strerror(errno.EINVAL)
BLIND = f"error: cannot wait for events: {os.strerror(errno.EBADF)}"

pytestmark = pytest.mark.usefixtures("in_earnest")
on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="no other system limits a process that runs"
)


# Memory.


def limit_memory(program: Program, limit_bytes: int = resource.RLIM_INFINITY) -> None:
    """From now on, of all that it has. The limit may be raised again."""
    _, hard = resource.prlimit(program.pid, resource.RLIMIT_AS)
    resource.prlimit(program.pid, resource.RLIMIT_AS, (limit_bytes, hard))


@fault(63)
@on_linux
def test_two_hundred_members_talk_in_64_mebibytes() -> None:
    """The interpreter included. Fewer members, while time is short."""
    with Room() as room:
        limit_memory(room.server, 64 * 1024 * 1024)
        for number in range(MEMBERS):
            room.join_raw(f"u{number}")
        for member in room.members:
            member.types(*numbered(f"{'x' * 200} ", 5))
        said = [room.server.stdout.take_line() for _ in range(5 * MEMBERS)]
        for member in room.members:
            member.shows(*(line for line in said if not line.startswith(f"{member.name}: ")))
        room.nothing_else()


def talk_without_end(speaker: RawClient) -> None:
    """Until what is said finds no room."""
    for _ in range(1000):
        speaker.types(*numbered("x" * 3000, 20))


@fault(63)
@on_linux
def test_without_memory_the_server_lives_and_recovers() -> None:
    with Room() as room:
        alice, bob = room.join_raw("Alice"), room.join_raw("Bob")
        limit_memory(room.server, 0)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            talk_without_end(alice)
        limit_memory(room.server)
        carol = room.connect("Carol")
        carol.types(f"JOIN Carol {PASSCODE}")
        carol.shows("OK")
        carol.types("Hello")
        room.server.signal(signal.SIGTERM)
        heard = bob.stdout.take_rest().decode().splitlines()
        assert [line for line in heard if not line.startswith("Alice: ")] == [
            "Alice left the chatroom",
            "Carol joined the chatroom",
            "Carol: Hello",
            GOODBYE,
        ]
        bob.close()
        carol.hears_goodbye()
        for output in (room.server.stdout, room.server.stderr):
            output.take_rest()  # standard error tells of the errors, with tracebacks
        room.server.ends(0)


# Complaints that no one reads. What else a standard stream may be is tests/reactor/test_stdio.py.


def be_refused_and_talk(room: Room) -> None:
    """A stranger is refused, of which a verbose server complains, and two members talk."""
    alice, bob = room.join_raw("Alice"), room.join_raw("Bob")
    stranger = room.connect()
    stranger.types("JOIN Mallory wrong")
    stranger.shows(f"ERROR {INCORRECT_PASSCODE}")
    stranger.goes_home()
    for speaker in (alice, bob):
        speaker.types("Hello")
        room.all_show(f"{speaker.name}: Hello", but=speaker)
    room.nothing_else()


def test_server_serves_on_while_no_one_reads_its_complaints(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ours = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    os.write(ours, b"x" * (1 << 20))  # more than it holds
    with Room("-verbose", redirect=f"2> {fifo}") as room:
        be_refused_and_talk(room)
        os.close(ours)  # or it would try for two seconds to be rid of the last ones


@fault(53)
def test_server_serves_on_when_the_reader_of_its_complaints_is_gone(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # The shell is a reader of it, until it has opened it to write.
    with Room("-verbose", redirect=f"3<> {fifo} 2> {fifo} 3<&-") as room:
        be_refused_and_talk(room)


# The door, and the loop itself.


@fault(80)
def test_server_that_cannot_listen_any_more_says_so_and_ends() -> None:
    """Its socket was shut down, as another process can that has it, whenever somebody comes."""
    patch = "import socket, reactor.listener; reactor.listener.REOPENINGS = 1; "
    patch += "socket.socket.accept = lambda sock: sock.shutdown(2) or sock._accept()"
    with Room(patch=patch) as room:
        with contextlib.suppress(ConnectionError):  # it may be reset while it connects
            room.connect()
        room.server.complains(f"warning: accept: {INVALID}; opening port {room.port} anew")
        with contextlib.suppress(ConnectionError):
            room.connect()
        room.server.exits(1, f"error: cannot listen on port {room.port} any more: {INVALID}")


@fault(80)
def test_program_that_cannot_wait_for_events_says_so_and_ends() -> None:
    patch = "import os, selectors; selectors.DefaultSelector.select = lambda *_: os.read(99, 1)"
    with Room() as room:
        room.start_client(room.port, patch=patch).exits(1, BLIND)
        with Room(patch=patch) as other:
            other.server.exits(1, BLIND)


@fault(66)
def test_server_is_started_again_and_again_on_one_port_under_load() -> None:
    """100 times at full size."""
    port = 0
    for _ in range(100 if IS_LONG else 3):
        with Room(port=port) as room:
            if port:
                room.server.shows(f"Server started on port {port}. Accepting connections")
            port = room.port
            talkers = [room.enter(f"u{number}") for number in range(10)]
            for talker in (*talkers, room.connect(), room.connect("JOIN")):
                talker.types(*["x" * 1_000] * 100)
            room.server.signal(signal.SIGINT)  # and the second one ends it at once
            assert room.server.terminate() == 0


# A stop.


@fault(61)
def test_time_of_a_stop_is_not_held_against_a_stranger() -> None:
    with Room(patch="import chat.session; chat.session.HANDSHAKE_SECONDS = 1.0") as room:
        room.join_raw("Alice")
        stranger = room.connect("Bob")
        room.nothing_else()
        room.server.suspend()
        time.sleep(1.0 + GRACE_SECONDS + 0.1)  # which is the fault
        room.server.signal(signal.SIGCONT)
        room.nothing_else()
        stranger.types(f"JOIN Bob {PASSCODE}")
        stranger.shows("OK")
        room.welcomes(stranger)
