"""The order in which a line is shown to the operator and to the members."""

from __future__ import annotations

from tests.support.programs import Room


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
