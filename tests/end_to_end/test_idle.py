"""Idle means idle: while no one says anything, no program runs for an instant."""

from __future__ import annotations

import pytest

from tests.support.faults import fault
from tests.support.programs import HAS_PROC, Program, Room


def switches_once_asleep(program: Program) -> list[str]:
    """How often it has given up the processor, or had to; asked when it has come to rest."""
    program.rest()
    return [program.status(f"{how}_ctxt_switches") for how in ("voluntary", "nonvoluntary")]


@fault(36)
@pytest.mark.usefixtures("in_earnest")
@pytest.mark.skipif(not HAS_PROC, reason="NOT TESTED: the kernel does not tell")
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipes", "terminals"])
def test_program_with_nothing_to_do_does_not_wake_up(on_terminal: bool) -> None:
    with Room(on_terminal=on_terminal) as room:
        alice, bob = room.join("Alice", "Bob", on_terminal=on_terminal)
        stranger = room.connect()
        stranger.feed(b"JOIN Mall")
        alice.types("Hello", ":Msg Bob psst", "x" * 4000)
        room.server.shows("Alice: Hello", "Alice: send message to Bob", f"Alice: {'x' * 4000}")
        bob.shows("Alice: Hello", "[Message from Alice]: psst", f"Alice: {'x' * 4000}")
        room.nothing_else()

        programs = [room.server, alice, bob]
        before = [switches_once_asleep(program) for program in programs]
        # The while of it: two other programs start, speak and end.
        for _ in range(2):
            passer_by = room.start("client.py", "-version")
            passer_by.stdout.take_line()
            passer_by.exits(0)
        assert [switches_once_asleep(program) for program in programs] == before
        stranger.close()
