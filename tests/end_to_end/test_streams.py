"""Standard input and output of every kind: closed, full, gone, null, a file, a pipe that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.programs import DEADLINE_SECONDS, Room, Speaker, Stage, free_port, numbered


def say_much(speaker: Speaker, count: int) -> list[str]:
    """`speaker` says long lines, and so many. Gives what is shown of it."""
    lines = numbered("x" * 3000, count)
    speaker.types(*lines)
    return [f"{speaker.name}: {line}" for line in lines]


@pytest.fixture
def full_pipe(tmp_path: Path) -> Iterator[str]:
    """A pipe, by its name, that is full and that no one reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read_end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_end = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 4096)
    yield str(path)
    os.close(read_end)
    os.close(write_end)


# The client's input.


@fault(54)
@pytest.mark.parametrize("redirect", ["< {path}", "<<EOF\n{text}\nEOF\n"], ids=["file", "document"])
def test_lines_of_a_file_are_typed_and_then_the_client_leaves(
    tmp_path: Path, redirect: str
) -> None:
    script = tmp_path / "script"
    text = "Hello\n:Msg Bob psst\n:Users\nunfinished"
    script.write_text(text)
    with Room() as room:
        bob = room.join_raw("Bob")
        alice = room.start_member("Alice", redirect=redirect.format(path=script, text=text))
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(alice)
        room.server.shows("Alice: Hello", "Alice: send message to Bob")
        room.server.shows("Alice: searched up active users", "Alice: unfinished")
        bob.shows("Alice: Hello", "[Message from Alice]: psst", "Alice: unfinished")
        alice.shows("Active Users: Bob, Alice")
        room.misses(alice)
        alice.exits(0)


@fault(54)
@pytest.mark.parametrize("redirect", ["< /dev/null", "<&-"])
def test_client_that_cannot_be_typed_to_stays_as_a_listener(redirect: str) -> None:
    with Room() as room:
        listener = room.start_member("Ear", redirect=redirect)
        listener.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(listener)
        bob = room.join_raw("Bob")
        bob.types("Hello", ":Msg Ear psst")
        room.all_show("Bob: Hello", but=bob)
        room.server.shows("Bob: send message to Ear")
        listener.shows("[Message from Bob]: psst")
        if redirect == "<&-":
            return  # and the server's goodbye ends it
        listener.signal(signal.SIGTERM)
        room.misses(listener)
        listener.exits(-signal.SIGTERM)


# The client's output.


def test_client_without_standard_output_can_talk() -> None:
    with Room() as room:
        bob = room.join_raw("Bob")
        alice = room.start_member("Alice", redirect=">&-")
        room.all_show("Alice joined the chatroom")
        bob.types("Hello")
        room.server.shows("Bob: Hello")
        alice.types(":Users", "Hi", ":Exit")
        room.server.shows("Alice: searched up active users")
        room.all_show("Alice: Hi", "Alice left the chatroom")
        alice.exits(0)


def test_client_with_nothing_open_is_a_member() -> None:
    with Room() as room:
        room.join_raw("Bob")
        alice = room.start_member("Alice", redirect="<&- >&- 2>&-")
        room.all_show("Alice joined the chatroom")
        alice.signal(signal.SIGTERM)
        room.all_show("Alice left the chatroom")
        alice.exits(-signal.SIGTERM)


@fault(55, 60)
def test_client_whose_reader_goes_away_leaves_quietly() -> None:
    with Room() as room:
        bob = room.join_raw("Bob")
        (alice,) = room.join("Alice")
        alice.stdout.close()
        bob.types("too much for head -1")
        room.server.shows("Bob: too much for head -1")
        room.misses(alice)
        alice.ends(128 + signal.SIGPIPE)


@fault(55)
def test_client_on_a_full_disk_says_so_and_leaves() -> None:
    with Room() as room:
        room.join_raw("Bob")
        alice = room.start_member("Alice", redirect="> /dev/full")
        room.all_show("Alice joined the chatroom", "Alice left the chatroom")
        alice.exits(1, "error: cannot write to standard output: No space left on device")


@fault(55)
def test_paused_screen_delays_no_one_and_loses_nothing() -> None:
    with Room() as room:
        (alice,) = room.join("Alice", on_terminal=True)
        bob, carol = room.join_raw("Bob"), room.join_raw("Carol")
        alice.stdout.pause()
        lines = say_much(bob, 100)
        room.server.shows(*lines)
        carol.shows(*lines)
        alice.types("I can still talk")
        for speaker in (room.server, bob, carol):
            speaker.shows("Alice: I can still talk")
        alice.stdout.resume()
        alice.shows(*lines)
        room.nothing_else()


def test_unread_warning_does_not_keep_a_client_that_leaves(full_pipe: str) -> None:
    """It warns of what it could not show, or would."""
    patch = "import terminal.session as s; s.QUIET_SECONDS = s.GOODBYE_SECONDS = 0"
    with Room() as room:
        mute = room.start_member("Mute", patch=patch, redirect=f"> {full_pipe} 2>&1")
        room.server.shows("Mute joined the chatroom")
        mute.types(":Exit")
        room.server.shows("Mute left the chatroom")
        mute.exits(0)


# The server's streams.


def test_what_is_typed_into_the_server_is_ignored() -> None:
    with Room() as room:
        alice = room.join_raw("Alice")
        room.server.types(":Exit", "Hello")
        room.server.end_input()
        alice.types("Hi")
        room.server.shows("Alice: Hi")
        room.nothing_else()


@fault(53)
@pytest.mark.parametrize("redirect", [">&-", "<&- >&- 2>&-"])
def test_server_without_streams_serves(redirect: str) -> None:
    port = free_port()
    with Room(port=port, redirect=redirect) as room:
        if redirect == ">&-":
            room.server.complains("warning: standard output is closed")
        wait_until_it_listens(port)
        talk_and_hear_goodbye(room)
        room.server.exits(0)


@fault(53, 60)
def test_server_whose_reader_goes_away_serves_on() -> None:
    with Room() as room:
        room.server.stdout.close()
        talk_and_hear_goodbye(room)
        room.server.complains("warning: standard output: Broken pipe")
        room.server.ends(0)


@fault(53)
def test_server_on_a_full_disk_serves_on() -> None:
    with Room(port=free_port(), redirect="> /dev/full") as room:
        room.server.complains("warning: standard output: No space left on device")
        talk_and_hear_goodbye(room)
        # The banner, two who joined, and what they said.
        assert room.server.counts_not_shown() == 6
        room.server.exits(0)


def talk_and_hear_goodbye(room: Room) -> None:
    """Two members of a server that cannot say what it would."""
    alice = room.enter("Alice")
    bob = room.enter("Bob")
    alice.shows("Bob joined the chatroom")
    alice.types("Hello", ":Users", ":Msg Bob psst")
    alice.shows("Active Users: Alice, Bob")
    bob.shows("Alice: Hello", "[Message from Alice]: psst")
    room.server.signal(signal.SIGTERM)
    alice.hears_goodbye()
    bob.hears_goodbye()


def wait_until_it_listens(port: int) -> None:
    """A server that can say nothing has to be tried."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"no one listens on port {port}"


# Words of a program that no loop runs in.

BAD_NAME = ["-join", "-host", "h", "-port", "1", "-username", "a b", "-passcode", "x"]


@pytest.mark.parametrize(
    ("script", "flags", "redirect", "status"),
    [
        ("server.py", ["-limits"], "> /dev/full", 0),
        ("server.py", ["-limits"], ">&-", 0),
        ("client.py", ["-help"], "> /dev/full", 0),
        ("client.py", BAD_NAME, "> /dev/full", 1),
        ("server.py", ["-nosuch"], "2> {full_pipe}", 2),
    ],
)
def test_words_that_cannot_be_said_are_no_error(
    script: str, flags: list[str], redirect: str, status: int, full_pipe: str
) -> None:
    with Stage() as stage:
        program = stage.start(script, *flags, redirect=redirect.format(full_pipe=full_pipe))
        program.exits(status)


def test_words_to_a_reader_that_is_gone_are_no_error() -> None:
    with Stage() as stage:
        server = stage.start("server.py", "-limits")
        server.stdout.close()
        server.ends(0)
