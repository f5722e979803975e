"""More than can be taken: nothing is lost, one who does not read delays and costs only itself, and
no program keeps more than a few mebibytes of it.

Deadlines are tested on a clock that the test moves (tests/reactor/test_flow.py); here they pass.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.kernel import status_of
from tests.support.programs import (
    CLOSED,
    DEADLINE_SECONDS,
    HAS_PROC,
    FakeServer,
    Program,
    RawClient,
    Room,
    Speaker,
)

pytestmark = [
    pytest.mark.usefixtures("in_earnest"),  # memory is measured, which a fork inherits
    pytest.mark.skipif(not HAS_PROC, reason="NOT TESTED: the kernel tells of no memory"),
]

MIB = 1024 * 1024

MAX_RISE_MIB = 12
"""What a program may keep, whatever it is given: the tests that need to know give it more."""

LINE_BYTES = 4_000
PIECE_BYTES = 100 * LINE_BYTES
"""Less than a server keeps for its console."""

CUT = re.compile(r"cut 127\.0\.0\.1:\d+ \((\S+)\): (\d+) bytes unsent, behind for (\d+\.\d) s")
CUT_MORE = re.compile(r"cut (\d+) more: slow reader")


@contextlib.contextmanager
def keeping_little(program: Program) -> Iterator[None]:
    """The most that the program has ever kept rises little within the block."""
    start = status_of(program.pid, "VmHWM")
    yield
    rise_mib = (status_of(program.pid, "VmHWM") - start) / 1024
    assert rise_mib < MAX_RISE_MIB, f"{program.name} keeps {rise_mib:.1f} MiB"


def story(mib: int) -> bytes:
    """So many mebibytes of numbered lines."""
    text = b"x" * (LINE_BYTES - len(b"0000000 \n"))
    return b"".join(b"%07d %s\n" % (number, text) for number in range(mib * MIB // LINE_BYTES))


def said_by(name: str, lines: bytes) -> bytes:
    """What the others are shown of it."""
    prefix = f"{name}: ".encode()
    return prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n"


def pour(room: Room, talker: RawClient, lines: bytes, ears: list[Speaker]) -> None:
    """`talker` says all of it, no faster than `ears` are shown it: none waits for a console, and
    what it was not shown would be missed."""
    for start in range(0, len(lines), PIECE_BYTES):
        talker.feed(lines[start : start + PIECE_BYTES])
        for ear in ears:
            await_bytes(room, ear, min(start + PIECE_BYTES, len(lines)))


def await_bytes(room: Room, speaker: Speaker, count: int) -> None:
    room.pump.wait(lambda: len(speaker.stdout.unread) >= count)


def shows_all(speaker: Speaker, shown: bytes) -> None:
    """`shown` comes next; compared piece by piece, since there may be much of it."""
    for start in range(0, len(shown), MIB):
        speaker.stdout.expect(shown[start : start + MIB])


def shows_among(room: Room, speaker: Speaker, shown: bytes, names: list[str]) -> None:
    """`shown` comes next, and among its lines, wherever, that each of `names` left, once."""
    lefts = [f"{name} left the chatroom\n".encode() for name in names]
    size = len(shown) + sum(map(len, lefts))
    await_bytes(room, speaker, size)
    unread = speaker.stdout.unread
    lines = bytes(unread[:size]).splitlines(keepends=True)
    del unread[:size]
    assert Counter(line for line in lines if line.endswith(b" left the chatroom\n")) == Counter(
        lefts
    )
    assert b"".join(line for line in lines if line not in lefts) == shown


def complains_of_cuts(room: Room, names: list[str]) -> None:
    """The server tells next that so many were cut: some with name and numbers, others in sum."""
    told = 0
    while told < len(names):
        line = room.server.stderr.take_line()
        if more := CUT_MORE.fullmatch(line):
            told += int(more[1])
            continue
        match = CUT.fullmatch(line)
        assert match, line
        assert match[1] in names
        assert int(match[2]) > MIB
        told += 1
    assert told == len(names)


def join_deaf(room: Room, name: str) -> socket.socket:
    """A member joins for which no one reads, and everyone sees it."""
    sock = socket.create_connection(("127.0.0.1", room.port), DEADLINE_SECONDS)
    sock.sendall(f"JOIN {name} {room.passcode}\n".encode())
    assert sock.recv(3, socket.MSG_WAITALL) == b"OK\n"
    room.all_show(f"{name} joined the chatroom")
    return sock


def fill(descriptor: int, data: bytes, program: Program) -> int:
    """Write of `data` what is taken until `program` has gone to sleep over it: how much that is.

    With something to read, and in want of it, the program would not sleep.
    """
    taken_bytes = 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while taken_bytes < len(data) and time.monotonic() < deadline:
        is_asleep = program.status("State").startswith("S")
        try:
            taken_bytes += os.write(descriptor, data[taken_bytes : taken_bytes + MIB])
        except BlockingIOError:
            if is_asleep:
                break
    return taken_bytes


# The server.


@contextlib.contextmanager
def trickling(sock: socket.socket) -> Iterator[bytearray]:
    """Within the block, a few bytes each 100 ms are read, until there are no more: these."""
    heard = bytearray()
    is_over = threading.Event()

    def read() -> None:
        with contextlib.suppress(ConnectionError):
            while not is_over.wait(0.1) and (data := sock.recv(4096)):
                heard.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield heard
    finally:
        is_over.set()
        reader.join()


@fault(26, 27, 28)
def test_members_that_do_not_read_are_cut_and_cost_no_one_a_line() -> None:
    """Forty never read, a client is stopped, and one member reads at a trickle."""
    lines = story(4)
    shown = said_by("Talker", lines)
    deaf = [f"deaf{number}" for number in range(40)]
    names = [*deaf, "Stopped", "Trickler"]
    with Room() as room, contextlib.ExitStack() as stack:
        talker, ear = room.join_raw("Talker"), room.join_raw("Ear")
        for name in deaf:
            stack.enter_context(join_deaf(room, name))
        (stopped,) = room.join("Stopped")
        trickler = stack.enter_context(join_deaf(room, "Trickler"))
        heard = stack.enter_context(trickling(trickler))
        stopped.signal(signal.SIGSTOP)
        with keeping_little(room.server):
            pour(room, talker, lines, [room.server, ear])
            room.members.remove(stopped)
            for speaker in (room.server, ear):
                shows_among(room, speaker, shown, names)
        shows_among(room, talker, b"", names)
        complains_of_cuts(room, names)
        room.nothing_else()

        assert heard
        assert shown.startswith(heard)
        stopped.signal(signal.SIGCONT)
        assert shown.startswith(stopped.stdout.take_rest())
        stopped.exits(1, CLOSED)


@fault(51)
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipe", "terminal"])
def test_paused_console_keeps_little_and_counts_what_it_drops(on_terminal: bool) -> None:
    # More than the server may keep, in pieces that fit the test's own memory.
    rounds = 2 * MAX_RISE_MIB
    lines = story(1)
    shown = said_by("Talker", lines)
    with Room(on_terminal=on_terminal) as room:
        talker, ear = room.join_raw("Talker"), room.join_raw("Ear")
        room.server.stdout.pause()
        if on_terminal:
            room.server.feed(b"\x13")  # Ctrl-S
        with keeping_little(room.server):
            for _ in range(rounds):
                talker.feed(lines)
                shows_all(ear, shown)
        if on_terminal:
            room.server.feed(b"\x11")  # Ctrl-Q
        room.server.stdout.resume()
        shown_lines = rounds * lines.count(b"\n") - room.server.counts_not_shown()
        all_lines = (shown * rounds).splitlines(keepends=True)
        shows_all(room.server, b"".join(all_lines[:shown_lines]))
        room.nothing_else()


# The client.


def test_client_takes_no_more_than_its_server_does(tmp_path: Path) -> None:
    lines = story(2 * MAX_RISE_MIB)
    keyboard = tmp_path / "keyboard"
    os.mkfifo(keyboard)
    with FakeServer(redirect=f"<> {keyboard}") as fake:
        voice = os.open(keyboard, os.O_WRONLY | os.O_NONBLOCK)  # `<>` has not waited for it
        try:
            fake.lets_in()
            with keeping_little(fake.client):
                fake.peer.stdout.pause()
                taken_bytes = fill(voice, lines, fake.client)
                assert taken_bytes < MAX_RISE_MIB * MIB
                fake.peer.stdout.resume()
                fake.pump.write(voice, lines[taken_bytes:])
                shows_all(fake.peer, lines)
        finally:
            os.close(voice)
        fake.goes_away()


def test_client_takes_no_more_than_its_screen_does() -> None:
    lines = story(2 * MAX_RISE_MIB)
    with FakeServer() as fake:
        fake.lets_in()
        with keeping_little(fake.client):
            fake.client.stdout.pause()
            taken_bytes = fill(fake.peer.fileno(), lines, fake.client)
            assert taken_bytes < MAX_RISE_MIB * MIB
            fake.client.stdout.resume()
            fake.peer.feed(lines[taken_bytes:])
            shows_all(fake.client, lines)
        fake.goes_away()
