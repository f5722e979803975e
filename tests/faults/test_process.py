"""What can befall a whole process: no descriptors, no memory, no reader, a stop, an end."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.programs import (
    DEADLINE_SECONDS,
    GOODBYE,
    PASSCODE,
    ROOT,
    Program,
    RawClient,
    Room,
    free_port,
    numbered,
)

DESCRIPTORS = 40
"""Of the server: its own and some thirty."""

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="no other system limits a process that runs"
)


def set_limit(program: Program, kind: int, limit: int) -> None:
    """From now on. It may be raised again."""
    _, hard = resource.prlimit(program.process.pid, kind)
    resource.prlimit(program.process.pid, kind, (limit, hard))


def address_space_bytes(program: Program) -> int:
    """What RLIMIT_AS limits."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    match = re.search(r"^VmSize:\s+(\d+) kB$", status, re.MULTILINE)
    assert match
    return int(match[1]) * 1024


def talk_without_end(speaker: RawClient) -> None:
    """Until what is said finds no room."""
    for _ in range(1000):
        speaker.types(*long_lines(20))


def long_lines(count: int) -> list[str]:
    return numbered("x" * 3000, count)


# Descriptors.


@on_linux
def test_strangers_who_take_every_descriptor_keep_no_newcomer_out() -> None:
    with Room() as room:
        alice, bob = (room.join_raw(name) for name in ("Alice", "Bob"))
        set_limit(room.server, resource.RLIMIT_NOFILE, DESCRIPTORS)
        strangers = [room.connect() for _ in range(2 * DESCRIPTORS)]
        # The oldest of them has to go; whoever came last is still there.
        strangers[0].shows("ERROR Server full")
        carol = room.join_raw("Carol")
        for speaker in (alice, bob, carol):
            speaker.types("Hello")
            room.all_show(f"{speaker.name}: Hello", but=speaker)
        for stranger in strangers:
            stranger.close()
        room.join_raw("Dave")
        room.nothing_else()


@on_linux
def test_where_members_have_every_descriptor_a_newcomer_is_told_and_may_come_later() -> None:
    with Room() as room:
        alice = room.join_raw("Alice")
        set_limit(room.server, resource.RLIMIT_NOFILE, DESCRIPTORS)
        while True:
            # It finds the request with the newcomer: nobody is a stranger, who would have to go.
            room.server.signal(signal.SIGSTOP)
            newcomer = room.connect(f"user{len(room.members)}")
            newcomer.types(f"JOIN {newcomer.name} {PASSCODE}")
            room.server.signal(signal.SIGCONT)
            answer = newcomer.stdout.take_line()
            if answer != "OK":
                break
            room.welcomes(newcomer)
        assert answer == "ERROR Server full"
        assert len(room.members) > DESCRIPTORS // 2
        alice.types("Hello")
        room.all_show("Alice: Hello", but=alice)

        leaver = room.members[-1]
        leaver.types(":Exit")
        room.misses(leaver)
        leaver.goes_home()
        room.join_raw("Later")
        room.nothing_else()


# Memory.


@fault(63)
@on_linux
def test_two_hundred_talk_in_64_mebibytes() -> None:
    with Room() as room:
        limit = address_space_bytes(room.server) + 64 * 1024 * 1024
        set_limit(room.server, resource.RLIMIT_AS, limit)
        for number in range(200):
            room.join_raw(f"u{number}")
        for member in room.members:
            member.types(*numbered(f"{'x' * 200} ", 5))
        said = [room.server.stdout.take_line() for _ in range(5 * len(room.members))]
        for member in room.members:
            member.shows(*(line for line in said if not line.startswith(f"{member.name}: ")))
        room.nothing_else()


@fault(63)
@on_linux
def test_without_memory_the_server_lives_and_recovers() -> None:
    with Room() as room:
        alice = room.connect("Alice")
        alice.types(f"JOIN Alice {PASSCODE}")
        alice.shows("OK")
        room.server.shows("Alice joined the chatroom")
        bob = room.join_raw("Bob")
        set_limit(room.server, resource.RLIMIT_AS, address_space_bytes(room.server))
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            talk_without_end(alice)
        set_limit(room.server, resource.RLIMIT_AS, resource.RLIM_INFINITY)
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
        room.server.stdout.take_rest()
        room.server.stderr.take_rest()  # which tells of the errors, with tracebacks
        room.server.ends(0)


# Standard streams that are not read: those that tests/end_to_end has not.


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Shell redirections of standard error to where nothing is taken."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ours, theirs = os.openpty()
    termios.tcflow(theirs, termios.TCOOFF)  # as Ctrl-S does
    with ExitStack() as stack:
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        for descriptor in (reader, writer, ours, theirs):
            stack.callback(os.close, descriptor)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            pass
        yield {
            "a full disk": "2> /dev/full",
            "closed": "2>&-",
            "a full pipe": f"2> {fifo}",
            "a paused terminal": f"2> {os.ttyname(theirs)}",
        }


@pytest.mark.parametrize("kind", ["a full disk", "closed", "a full pipe", "a paused terminal"])
def test_a_server_whose_complaints_nobody_reads_serves_on(
    kind: str, unread: dict[str, str]
) -> None:
    with Room("-verbose", redirect=unread[kind]) as room:
        be_refused_and_talk(room)


@fault(53)
def test_a_server_whose_reader_of_complaints_goes_away_serves_on() -> None:
    with Room("-verbose") as room:
        room.server.stderr.close()
        be_refused_and_talk(room)
        room.server.signal(signal.SIGTERM)
        for member in room.members:
            member.hears_goodbye()
        room.server.stdout.expect_end()
        assert room.server.process.wait(DEADLINE_SECONDS) == 0
        room.server.has_ended = True


def be_refused_and_talk(room: Room) -> None:
    """Some who are refused, of which a verbose server complains, and two who talk."""
    alice, bob = (room.join_raw(name) for name in ("Alice", "Bob"))
    for request, answer in (
        ("JOIN Mallory wrong", "ERROR Incorrect passcode"),
        ("GET / HTTP/1.1", "ERROR Expected: JOIN <username> <passcode>"),
        (f"JOIN Alice {PASSCODE}", "ERROR Username already in use: Alice"),
    ):
        stranger = room.connect()
        stranger.types(request)
        stranger.shows(answer)
        stranger.goes_home()
    alice.types("Hello")
    bob.shows("Alice: Hello")
    bob.types("Hello")
    alice.shows("Bob: Hello")
    room.server.shows("Alice: Hello", "Bob: Hello")
    room.nothing_else()


@fault(52)
def test_a_console_paused_by_control_s_keeps_neither_members_nor_the_server() -> None:
    with Room(on_terminal=True) as room:
        alice, bob = (room.join_raw(name) for name in ("Alice", "Bob"))
        room.server.feed(b"\x13")
        lines = long_lines(500)
        alice.types(*lines)
        bob.shows(*(f"Alice: {line}" for line in lines))
        room.server.signal(signal.SIGTERM)
        for member in (alice, bob):
            member.hears_goodbye()
        complaint = room.server.stderr.take_line()
        assert re.fullmatch(r"warning: standard output: \d+ lines not shown", complaint)
        room.server.ends(0)


# A stop.


@fault(61)
def test_nobody_is_cut_because_the_server_was_stopped(tmp_path: Path) -> None:
    # One who is behind is cut after a little less than the stop takes, so that only a clock that
    # stands still meanwhile saves Bob.
    patch = "import reactor.flow\nreactor.flow.BEHIND_SECONDS = 1.9\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    with Room(env={"PYTHONPATH": f"{tmp_path}:{ROOT}"}) as room:
        alice, bob, carol = (room.join_raw(name) for name in ("Alice", "Bob", "Carol"))
        lines = long_lines(1000)
        said = [f"Alice: {line}" for line in lines]
        bob.stdout.pause()
        alice.types(*lines)
        carol.shows(*said)
        room.server.signal(signal.SIGSTOP)
        carol.types("meanwhile")
        time.sleep(2)  # which is the fault
        room.server.signal(signal.SIGCONT)
        bob.stdout.resume()
        bob.shows(*said, "Carol: meanwhile")
        alice.shows("Carol: meanwhile")
        room.server.signal(signal.SIGTERM)
        for member in room.members:
            member.hears_goodbye()
        # So much talk may be too much for the console, which is another subject.
        room.server.stdout.take_rest()
        assert b"cut" not in room.server.stderr.take_rest()
        room.server.ends(0)


# An end.


@fault(58)
@pytest.mark.parametrize("seed", range(50))
def test_whenever_the_signal_comes_members_are_told(seed: int) -> None:
    chance = random.Random(seed)
    with Room() as room:
        here: list[RawClient] = []
        gone: list[RawClient] = []
        for number in range(chance.randrange(60)):
            act = chance.choice(["join", "go", *["say"] * 8])
            if act == "join" or not here:
                here.append(room.connect(f"u{number}"))
                here[-1].types(f"JOIN u{number} {PASSCODE}")
            elif act == "say":
                chance.choice(here).types(*numbered("line ", chance.randrange(1, 300)), ":Users")
            else:
                gone.append(here.pop(chance.randrange(len(here))))
                gone[-1].types(":Exit")
        room.server.signal(signal.SIGTERM)
        for person in [*here, *gone]:
            heard = person.stdout.take_rest().decode().splitlines()
            person.close()
            is_told = heard[-1:] == [GOODBYE]
            # Whoever was not let in before the signal is a stranger, and told nothing.
            assert is_told or not heard or person in gone, (person.name, heard[-3:])
            assert heard.count(GOODBYE) == is_told
        room.server.stdout.take_rest()
        room.server.ends(0)


@fault(66)
def test_the_port_can_be_had_again_at_once_ten_times_under_load() -> None:
    port = free_port()
    for _ in range(10):
        with Room(port=port) as room:
            room.server.shows(f"Server started on port {port}. Accepting connections")
            members = [room.join_raw(name) for name in numbered("u", 5)]
            for member in members:
                member.types(*numbered("line ", 200))
            room.server.signal(signal.SIGTERM)
            for member in members:
                assert member.stdout.take_rest().decode().splitlines()[-1] == GOODBYE
                member.close()
            room.server.stdout.take_rest()
            room.server.ends(0)
    assert not sys.platform.startswith("linux") or has_connections_in_time_wait(port)


def has_connections_in_time_wait(port: int) -> bool:
    """Without which nothing would be in the way of the next server."""
    table = Path("/proc/net/tcp").read_text()
    return bool(re.search(rf" [0-9A-F]{{8}}:{port:04X} [0-9A-F]{{8}}:[0-9A-F]{{4}} 06 ", table))
