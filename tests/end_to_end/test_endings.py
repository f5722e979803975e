"""How it ends: by a signal, by Ctrl-C or Ctrl-D, by a window that is closed."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.faults import fault
from tests.support.programs import CLOSED, GOODBYE, Program, Room


@fault(58)
@pytest.mark.parametrize("on_terminal", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_signal_to_the_server_is_told_to_every_member(on_terminal: bool) -> None:
    with Room(on_terminal=on_terminal) as room:
        alice, bob = room.join("Alice", "Bob", on_terminal=on_terminal)
        dave = room.join_raw("Dave")
        alice.types("last words")
        room.all_show("Alice: last words", but=alice)
        if on_terminal:
            room.server.feed(b"\x03")
        else:
            room.server.signal(signal.SIGTERM)
        for member in (alice, bob):
            member.shows(GOODBYE)
            member.exits(1, CLOSED)
        dave.hears_goodbye()
        # And it has announced no departures: this was all that it printed.
        room.server.exits(0)


@fault(51, 58)
def test_neither_deaf_member_nor_unread_console_keeps_the_server() -> None:
    with Room(patch="server.SHUTDOWN_SECONDS = 0.1") as room:
        alice, deaf = room.join_raw("Alice"), room.join_raw("Deaf")
        (bob,) = room.join("Bob")
        for output in (deaf.stdout, room.server.stdout):
            output.pause()
        said = [f"Alice: {number} {'x' * 4000}" for number in range(200)]
        alice.types(*[line.removeprefix("Alice: ") for line in said])
        bob.shows(*said)
        room.server.signal(signal.SIGTERM)
        for member in (alice, bob):
            member.hears_goodbye()
        not_shown = room.server.counts_not_shown()
        room.server.ends(0)
        room.server.stdout.resume()
        rest = room.server.stdout.take_rest()
        assert "".join(f"{line}\n" for line in said).encode().startswith(rest)
        assert rest.count(b"\n") == len(said) - not_shown


@pytest.mark.parametrize("on_terminal", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_signal_to_the_client_is_a_departure(on_terminal: bool) -> None:
    with Room() as room:
        (alice,) = room.join("Alice", on_terminal=on_terminal)
        alice.types("Bye")
        room.server.shows("Alice: Bye")
        if on_terminal:
            alice.feed(b"half a line\x03")
        else:
            alice.signal(signal.SIGTERM)
        room.misses(alice)
        alice.exits(-(signal.SIGINT if on_terminal else signal.SIGTERM))


def test_ctrl_d_after_half_a_line_sends_the_half_and_leaves() -> None:
    with Room() as room:
        (alice,) = room.join("Alice", on_terminal=True)
        alice.feed(b"half\x04 a line\x04\x04")
        room.server.shows("Alice: half a line")
        room.misses(alice)
        alice.exits(0)


def test_closed_window_is_a_departure() -> None:
    with Room() as room:
        (alice,) = room.join("Alice", on_terminal=True)
        alice.hang_up()
        room.misses(alice)
        alice.ends(-signal.SIGHUP)


def in_a_shell(script: str) -> list[str]:
    """A shell that goes on reading the terminal when its program has ended."""
    script += '; echo "the shell goes on"; read -r line; echo "it reads: $line"'
    return ["/bin/sh", "-c", script, "sh"]


def join_in_a_shell(room: Room, script: str) -> Program:
    """Alice joins from a terminal on which the shell goes on."""
    shell = room.start_member("Alice", prefix=in_a_shell(script), on_terminal=True)
    shell.shows(f"Connected to 127.0.0.1 on port {room.port}")
    room.server.shows("Alice joined the chatroom")
    return shell


@pytest.mark.parametrize("ended_by", ["server", "signal"])
def test_half_a_line_never_becomes_a_command_of_the_shell(ended_by: str) -> None:
    with Room() as room:
        shell = join_in_a_shell(room, 'trap : INT; "$@"')
        shell.feed(b"hi\nrm -rf ")
        room.server.shows("Alice: hi")
        if ended_by == "server":
            room.server.signal(signal.SIGTERM)
            shell.shows(GOODBYE)
            shell.complains(CLOSED)
        else:
            # A terminal that is told Ctrl-C forgets by itself.
            os.killpg(shell.pid, signal.SIGINT)
            room.server.shows("Alice left the chatroom")
            room.server.signal(signal.SIGTERM)
        room.server.exits(0)
        shell.shows("the shell goes on")
        shell.feed(b"\n")
        shell.shows("it reads: ")
        shell.exits(0)


def test_line_behind_exit_is_the_shells() -> None:
    with Room() as room:
        shell = join_in_a_shell(room, '"$@"')
        shell.types(":Exit", "ls")
        room.server.shows("Alice left the chatroom")
        shell.shows("the shell goes on", "it reads: ls")
        shell.exits(0)


def test_background_client_leaves_what_is_typed_to_the_shell() -> None:
    with Room() as room:
        shell = join_in_a_shell(room, 'set -m; "$@" & wait')
        shell.feed(b"half ")
        room.server.signal(signal.SIGTERM)
        room.server.exits(0)
        shell.shows(GOODBYE)
        shell.complains(CLOSED)
        shell.shows("the shell goes on")
        shell.feed(b"a line\n")
        shell.shows("it reads: half a line")
        shell.exits(0)


def test_servers_terminal_keeps_nothing_for_the_shell_either() -> None:
    with Room(prefix=in_a_shell('trap : TERM; "$@"'), on_terminal=True) as room:
        room.server.feed(b"rm -rf ")
        room.connect().close()
        os.killpg(room.server.pid, signal.SIGTERM)
        room.server.shows("the shell goes on")
        room.server.feed(b"\n")
        room.server.shows("it reads: ")
        room.server.exits(0)
