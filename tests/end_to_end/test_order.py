"""Many lines: none is lost, doubled, cut or out of order."""

from __future__ import annotations

from tests.support.faults import fault
from tests.support.programs import Room

COUNT = 10_000


@fault(31)
def test_ten_thousand_lines_reach_every_screen() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        room.join("Carol", on_terminal=True)
        alice.types(*[rf"{number} grüße :) \:) and 😀" for number in range(COUNT)])
        alice.end_input()
        shown = [f"Alice: {number} grüße [feeling happy] :) and 😀" for number in range(COUNT)]
        room.all_show(*shown, but=alice)
        room.misses(alice)
        alice.exits(0)


def test_console_shows_a_line_before_a_member_reads_it() -> None:
    with Room() as room:
        alice, bob = room.join_raw("Alice"), room.join_raw("Bob")
        for number in range(50):
            line = f"Alice: line {number}"
            alice.types(f"line {number}")
            bob.shows(line)
            room.pump.turn(0)
            assert room.server.stdout.unread == f"{line}\n".encode()
            room.server.shows(line)
