"""Idle means idle: while nobody says anything, no program runs for an instant."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.programs import DEADLINE_SECONDS, Program, Room

PROC = Path("/proc")


def status_of(program: Program) -> dict[str, str]:
    text = (PROC / str(program.process.pid) / "status").read_text()
    return dict(line.split(":\t", maxsplit=1) for line in text.splitlines())


def switches_once_asleep(program: Program) -> list[str]:
    """How often it has given up the processor, or had to; asked when it has come to rest."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (status := status_of(program))["State"].startswith("S"):
        assert time.monotonic() < deadline, f"{program.name} never sleeps"
    return [status["voluntary_ctxt_switches"], status["nonvoluntary_ctxt_switches"]]


@fault(36)
@pytest.mark.skipif(not (PROC / "self/status").exists(), reason="the kernel does not tell")
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipes", "terminals"])
def test_with_nothing_to_do_nobody_wakes_up(on_terminal: bool) -> None:
    with Room(on_terminal=on_terminal) as room:
        members = room.join("Alice", "Bob", "Carol", on_terminal=on_terminal)
        stranger = room.connect()
        stranger.feed(b"JOIN Mall")
        members[0].types("Hello", ":Msg Bob psst", "x" * 4000)
        room.all_show("Alice: Hello", but=members[0])
        room.server.shows("Alice: send message to Bob")
        members[1].shows("[Message from Alice]: psst")
        room.all_show(f"Alice: {'x' * 4000}", but=members[0])
        room.nothing_else()

        programs = [room.server, *members]
        before = [switches_once_asleep(program) for program in programs]
        # The while of it: three other programs start, speak and end.
        for _ in range(3):
            passer_by = room.start("client.py", "-version")
            passer_by.stdout.take_line()
            passer_by.exits(0)
        assert [switches_once_asleep(program) for program in programs] == before
        stranger.close()
