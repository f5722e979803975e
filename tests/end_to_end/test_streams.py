"""Standard input and output of every kind: closed, full, gone, null, a file, a pipe that ends."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.programs import (
    CLOSED,
    DEADLINE_SECONDS,
    GOODBYE,
    Program,
    Room,
    Speaker,
    free_port,
    numbered,
)


def say_much(speaker: Speaker, count: int) -> list[str]:
    """`speaker` says long lines, and so many. Gives what is shown of it."""
    lines = numbered("x" * 3000, count)
    speaker.types(*lines)
    return [f"{speaker.name}: {line}" for line in lines]


def parse_not_shown(line: str) -> int:
    """How many lines the server says that it has not shown."""
    match = re.fullmatch(r"warning: standard output: (\d+) lines not shown", line)
    assert match, line
    return int(match[1])


# The client's input.


@fault(54)
@pytest.mark.parametrize(
    ("end", "redirect"), [("\n", "< {path}"), ("", "< {path}"), ("\n", "<<EOF\n{text}EOF\n")]
)
def test_lines_of_a_file_are_typed_and_then_the_client_leaves(
    tmp_path: Path, end: str, redirect: str
) -> None:
    script = tmp_path / "script"
    text = f"Hello\n:Msg Bob psst\n:Users\nunfinished{end}"
    script.write_text(text)
    with Room() as room:
        (bob,) = room.join("Bob")
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
def test_printf_users_into_the_client_shows_the_list() -> None:
    with Room() as room:
        room.join("Bob")
        alice = room.start_member("Alice")
        alice.types(":Users")
        alice.end_input()
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}", "Active Users: Bob, Alice")
        room.all_show("Alice joined the chatroom")
        room.server.shows("Alice: searched up active users")
        room.all_show("Alice left the chatroom")
        alice.exits(0)


def test_an_empty_file_is_an_end_of_input(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with Room() as room:
        room.join("Bob")
        alice = room.start_member("Alice", redirect=f"< {empty}")
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.all_show("Alice joined the chatroom", "Alice left the chatroom")
        alice.exits(0)


@fault(54)
@pytest.mark.parametrize("redirect", ["< /dev/null", "<&-"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, None])
def test_where_nobody_can_type_the_client_stays_as_a_listener(
    redirect: str, number: int | None
) -> None:
    with Room() as room:
        listener = room.start_member("Ear", redirect=redirect)
        listener.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(listener)
        (bob,) = room.join("Bob")
        bob.types("Hello", ":Msg Ear psst")
        room.all_show("Bob: Hello", but=bob)
        room.server.shows("Bob: send message to Ear")
        listener.shows("[Message from Bob]: psst")
        if number is None:
            return  # and the server's goodbye ends it
        listener.signal(number)
        room.misses(listener)
        listener.exits(128 + number)


# The client's output.


def test_a_client_without_standard_output_can_talk() -> None:
    with Room() as room:
        (bob,) = room.join("Bob")
        alice = room.start_member("Alice", redirect=">&-")
        room.all_show("Alice joined the chatroom")
        bob.types("Hello")
        room.server.shows("Bob: Hello")
        alice.types(":Users", "Hi", ":Exit")
        room.server.shows("Alice: searched up active users")
        room.all_show("Alice: Hi", "Alice left the chatroom")
        alice.exits(0)


def test_a_client_with_nothing_open_is_a_member() -> None:
    with Room() as room:
        (bob,) = room.join("Bob")
        alice = room.start_member("Alice", redirect="<&- >&- 2>&-")
        room.all_show("Alice joined the chatroom")
        bob.types(":Users")
        room.server.shows("Bob: searched up active users")
        bob.shows("Active Users: Bob, Alice")
        alice.signal(signal.SIGTERM)
        room.all_show("Alice left the chatroom")
        alice.exits(128 + signal.SIGTERM)


@fault(55, 60)
def test_a_client_whose_reader_goes_away_leaves_quietly() -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        alice.stdout.close()
        bob.types("too much for head -1")
        room.server.shows("Bob: too much for head -1")
        room.misses(alice)
        alice.ends(128 + signal.SIGPIPE)


@fault(55)
def test_a_client_on_a_full_disk_says_so_and_leaves() -> None:
    with Room() as room:
        room.join("Bob")
        alice = room.start_member("Alice", redirect="> /dev/full")
        room.all_show("Alice joined the chatroom", "Alice left the chatroom")
        alice.exits(1, "error: cannot write to standard output: No space left on device")


@fault(55)
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipe", "terminal"])
def test_a_paused_screen_holds_nobody_up_and_loses_nothing(on_terminal: bool) -> None:
    with Room() as room:
        (alice,) = room.join("Alice", on_terminal=on_terminal)
        bob, carol = room.join("Bob", "Carol")
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


@fault(55)
def test_a_paused_screen_does_not_keep_who_leaves() -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        alice.stdout.pause()
        lines = say_much(bob, 100)
        room.server.shows(*lines)
        alice.signal(signal.SIGINT)
        room.misses(alice)
        assert re.fullmatch(r"warning: \d+ lines not shown", alice.stderr.take_line())
        alice.ends(130)
        alice.stdout.close()


# The server's streams.


@pytest.mark.parametrize("redirect", ["< /dev/null", "<&-"])
def test_the_server_never_reads_its_input(redirect: str) -> None:
    with Room(redirect=redirect) as room:
        (alice,) = room.join("Alice")
        alice.types("Hello")
        room.server.shows("Alice: Hello")
        room.nothing_else()


def test_what_is_typed_into_the_server_is_nobodys() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        room.server.types(":Exit", "Hello")
        room.server.end_input()
        alice.types("Hi")
        room.all_show("Alice: Hi", but=alice)
        room.nothing_else()


@fault(53)
@pytest.mark.parametrize("redirect", [">&-", "<&- >&-", "<&- >&- 2>&-", "> /dev/null 2> /dev/null"])
def test_a_server_without_streams_serves(redirect: str) -> None:
    port = free_port()
    with Room(port=port, redirect=redirect) as room:
        if redirect.endswith(">&-") and "2>" not in redirect:
            room.server.complains("warning: standard output is closed")
        wait_until_it_listens(port)
        alice, bob = (silently_join(room, username) for username in ("Alice", "Bob"))
        alice.shows("Bob joined the chatroom")
        alice.types("Hello", ":Users", ":Msg Bob psst")
        alice.shows("Active Users: Alice, Bob")
        bob.shows("Alice: Hello", "[Message from Alice]: psst")
        room.server.signal(signal.SIGTERM)
        alice.hears_goodbye()
        bob.hears_goodbye()
        room.server.exits(0)


@fault(53, 60)
def test_a_server_whose_reader_goes_away_serves_on() -> None:
    with Room() as room:
        room.server.stdout.close()
        alice, bob = (silently_join(room, username) for username in ("Alice", "Bob"))
        alice.shows("Bob joined the chatroom")
        alice.types("Hello", ":Users")
        alice.shows("Active Users: Alice, Bob")
        bob.shows("Alice: Hello")
        room.server.complains("warning: standard output: Broken pipe")
        room.server.signal(signal.SIGTERM)
        alice.hears_goodbye()
        bob.hears_goodbye()
        room.server.ends(0)


@fault(53)
def test_a_server_on_a_full_disk_serves_on() -> None:
    with Room(port=free_port(), redirect="> /dev/full") as room:
        room.server.complains("warning: standard output: No space left on device")
        alice, bob = (silently_join(room, username) for username in ("Alice", "Bob"))
        alice.shows("Bob joined the chatroom")
        alice.types("Hello")
        bob.shows("Alice: Hello")
        room.server.signal(signal.SIGTERM)
        alice.hears_goodbye()
        bob.hears_goodbye()
        # The banner, two who joined and one who spoke.
        room.server.exits(0, "warning: standard output: 4 lines not shown")


@fault(51)
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipe", "terminal"])
def test_a_console_nobody_reads_holds_nobody_up(on_terminal: bool) -> None:
    with Room(on_terminal=on_terminal) as room:
        alice, bob = room.join("Alice", "Bob")
        room.server.stdout.pause()
        said = say_much(alice, 500)
        bob.shows(*said)
        alice.types(":Msg Bob psst")
        bob.shows("[Message from Alice]: psst")

        # What it has kept, it prints once it can; of the rest, it says how much it was.
        room.server.stdout.resume()
        not_shown = parse_not_shown(room.server.stderr.take_line())
        room.server.shows(*said[: len(said) + 1 - not_shown])
        alice.types("Hello")
        room.server.shows("Alice: Hello")
        bob.shows("Alice: Hello")
        assert 0 < not_shown < len(said)
        room.nothing_else()


@fault(51)
def test_a_console_nobody_reads_does_not_keep_the_server() -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        room.server.stdout.pause()
        said = say_much(alice, 100)
        bob.shows(*said)
        room.server.signal(signal.SIGTERM)
        for member in (alice, bob):
            member.shows(GOODBYE)
            member.exits(1, CLOSED)
        not_shown = parse_not_shown(room.server.stderr.take_line())
        room.server.ends(0)
        room.server.stdout.resume()
        shown = "".join(f"{line}\n" for line in said).encode()
        rest = room.server.stdout.take_rest()
        assert shown.startswith(rest)
        assert rest.count(b"\n") == len(said) - not_shown


def silently_join(room: Room, username: str) -> Program:
    """Someone joins where the server cannot say so."""
    program = room.start_member(username)
    program.shows(f"Connected to 127.0.0.1 on port {room.port}")
    return program


def wait_until_it_listens(port: int) -> None:
    """A server that can say nothing has to be tried."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nobody listens on port {port}"
