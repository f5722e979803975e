"""How it ends: by a signal, by a lost server, by a window that is closed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.programs import CLOSED, GOODBYE, PASSCODE, Room, Stage

in_both_modes = pytest.mark.parametrize("on_terminal", [False, True], ids=["pipes", "terminals"])


@fault(58)
@in_both_modes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_server_is_told_to_every_member(number: int, on_terminal: bool) -> None:
    with Room(on_terminal=on_terminal) as room:
        members = room.join("Alice", "Bob", on_terminal=on_terminal)
        dave = room.join_raw("Dave")
        members[0].types("last words")
        room.all_show("Alice: last words", but=members[0])
        room.server.signal(number)
        for member in members:
            member.shows(GOODBYE)
            member.exits(1, CLOSED)
        dave.hears_goodbye()
        # And it has announced no departures: this was all that it printed.
        room.server.exits(0)


def test_an_empty_server_ends_at_a_signal() -> None:
    with Room() as room:
        room.server.signal(signal.SIGINT)
        room.server.exits(0)


def test_a_signal_to_the_server_ends_strangers_without_a_goodbye() -> None:
    with Room() as room:
        silent, halfway = room.connect(), room.connect()
        halfway.feed(b"JOIN Alice ab")
        room.join("Bob")  # who came after them, so that they have been accepted
        room.server.signal(signal.SIGTERM)
        for stranger in (silent, halfway):
            stranger.stdout.expect_end()
            stranger.close()
        for member in room.members:
            member.hears_goodbye()
        room.server.exits(0)


@fault(58)
def test_a_member_who_takes_nothing_does_not_keep_the_server() -> None:
    with Room() as room:
        (alice,) = room.join("Alice")
        deaf = room.join_raw("Deaf")
        deaf.stdout.pause()
        lines = ["x" * 4000] * 200
        alice.types(*lines)
        room.server.shows(*[f"Alice: {line}" for line in lines])
        room.server.signal(signal.SIGTERM)
        alice.hears_goodbye()
        room.server.exits(0)


def test_ctrl_c_on_the_servers_terminal_ends_it() -> None:
    with Room(on_terminal=True) as room:
        (alice,) = room.join("Alice")
        room.server.feed(b"\x03")
        alice.hears_goodbye()
        room.server.exits(0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_client_is_a_departure(number: int) -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        alice.types("Bye")
        room.all_show("Alice: Bye", but=alice)
        alice.signal(number)
        room.misses(alice)
        alice.exits(128 + number)


def test_ctrl_c_on_the_clients_terminal_is_a_departure_with_status_130() -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob", on_terminal=True)
        alice.types("Bye")
        room.all_show("Alice: Bye", but=alice)
        alice.feed(b"half a line\x03")
        room.misses(alice)
        alice.exits(130)
        bob.feed(b"\x03")
        room.misses(bob)
        bob.exits(130)


def test_ctrl_d_after_half_a_line_sends_the_half_and_leaves() -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob", on_terminal=True)
        alice.feed(b"half\x04 a line\x04\x04")
        room.all_show("Alice: half a line", but=alice)
        room.misses(alice)
        alice.exits(0)
        bob.feed(b"\x04")
        room.misses(bob)
        bob.exits(0)


INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "codec":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
"""


@fault(59)
@pytest.mark.parametrize("script", ["server.py", "client.py"])
def test_ctrl_c_while_a_program_starts_is_no_traceback(script: str, tmp_path: Path) -> None:
    # The longest part of a start is the reading of our own modules: it comes in the midst of it.
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_IMPORT)
    with Stage() as stage:
        program = stage.start(script, "-version", env={"PYTHONPATH": str(tmp_path)})
        program.exits(-signal.SIGINT)


def test_a_closed_window_is_a_departure() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob", on_terminal=True)
        alice.hang_up()
        room.misses(alice)
        alice.ends(128 + signal.SIGHUP)


def test_a_killed_client_is_announced_once() -> None:
    with Room() as room:
        alice, bob, carol = room.join("Alice", "Bob", "Carol")
        alice.signal(signal.SIGKILL)
        room.misses(alice)
        alice.exits(-signal.SIGKILL)
        bob.types("who is left?", ":Msg Alice x", ":Users")
        room.server.shows("Bob: who is left?", "Bob: searched up active users")
        bob.shows("No such user: Alice", "Active Users: Bob, Carol")
        carol.shows("Bob: who is left?")
        room.nothing_else()


@in_both_modes
def test_a_killed_server_is_an_error_of_every_client(on_terminal: bool) -> None:
    with Room() as room:
        members = room.join("Alice", "Bob", on_terminal=on_terminal)
        room.server.signal(signal.SIGKILL)
        for member in members:
            member.exits(1, CLOSED)
        room.server.exits(-signal.SIGKILL)


def test_the_last_words_of_who_leaves_are_all_heard() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        alice.feed(b"".join(b"line %d\n" % number for number in range(2000)) + b":Users\nlast")
        alice.end_input()
        room.server.shows(*[f"Alice: line {number}" for number in range(2000)])
        room.server.shows("Alice: searched up active users", "Alice: last")
        room.members[1].shows(*[f"Alice: line {number}" for number in range(2000)], "Alice: last")
        alice.shows("Active Users: Alice, Bob")
        room.misses(alice)
        alice.exits(0)


@fault(72)
def test_what_follows_exit_is_not_obeyed() -> None:
    with Room() as room:
        (bob,) = room.join("Bob")
        raw = room.connect("Alice")
        raw.types(f"JOIN Alice {PASSCODE}", "one", ":Exit", "two", ":Users", ":Exit")
        raw.shows("OK")
        raw.stdout.expect_end()
        raw.close()
        lines = ["Alice joined the chatroom", "Alice: one", "Alice left the chatroom"]
        room.all_show(*lines)
        bob.types("?")
        room.server.shows("Bob: ?")
        room.nothing_else()
