"""Many lines: none is lost, doubled, cut or out of order, whoever talks and whoever listens."""

from __future__ import annotations

import pytest

from tests.support.faults import fault
from tests.support.programs import PASSCODE, Room, numbered

COUNT = 10_000

SCRIPTS = {
    "text": "line {}",
    "long": "{} " + "x" * 90,
    "shortcuts": r"{} :) \:) and :(",
    "utf-8": "{} grüße, 😀",
}
SHOWN = {**SCRIPTS, "shortcuts": "{} [feeling happy] :) and [feeling sad]"}


@fault(31)
@pytest.mark.parametrize("script", SCRIPTS)
def test_ten_thousand_lines_reach_three_others_and_the_console(script: str) -> None:
    with Room() as room:
        alice, *_ = room.join("Alice", "Bob", "Carol")
        room.join("Dave", on_terminal=True)
        alice.types(*[SCRIPTS[script].format(number) for number in range(COUNT)])
        alice.end_input()
        room.all_show(*[f"Alice: {SHOWN[script].format(n)}" for n in range(COUNT)], but=alice)
        room.misses(alice)
        alice.exits(0)


def test_console_shows_a_line_before_a_member_reads_it() -> None:
    with Room() as room:
        alice, bob = room.join_raw("Alice"), room.join_raw("Bob")
        for number in range(50):
            line = f"Alice: line {number}"
            alice.types(f"line {number}")
            bob.shows(line)
            assert room.server.stdout.has_come(line)
            room.server.shows(line)


def test_all_who_talk_at_once_are_heard_in_one_order() -> None:
    count = 1500
    with Room() as room:
        members = room.join("Alice", "Bob", "Carol")
        ear = room.join_raw("Ear")
        for member in members:
            member.types(*numbered("line ", count), ":Msg Ear done")
        order = []
        done = 0
        while done < len(members):
            line = room.server.stdout.take_line()
            done += line.endswith(": send message to Ear")
            order.append(line)
        said = [line for line in order if ": line " in line]
        for member in members:
            own = f"{member.name}: "
            assert [line for line in said if line.startswith(own)] == numbered(f"{own}line ", count)
            member.shows(*[line for line in said if not line.startswith(own)])
        for line in order:
            name, _, text = line.partition(": ")
            ear.shows(line if text.startswith("line ") else f"[Message from {name}]: done")
        room.nothing_else()


def test_private_lines_keep_their_place_among_the_others() -> None:
    count = 500
    with Room() as room:
        alice, bob, carol = room.join("Alice", "Bob", "Carol")
        for number in range(count):
            alice.types(f"say {number}", f":Msg Bob tell {number}", ":Msg", "time is :mytime")
        for number in range(count):
            room.server.shows(f"Alice: say {number}", "Alice: send message to Bob")
            time = room.server.stdout.take_line()
            bob.shows(f"Alice: say {number}", f"[Message from Alice]: tell {number}", time)
            carol.shows(f"Alice: say {number}", time)
            alice.shows("Usage: :Msg <username> <message>", time)
        room.nothing_else()


def test_crowds_who_come_and_go_are_announced_in_one_order() -> None:
    names = numbered("user", 40)
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        crowd = [room.connect(name) for name in names]
        for nick in crowd:
            nick.types(f"JOIN {nick.name} {PASSCODE}")
        for nick in crowd:
            nick.types(":Exit")
        lines = [room.server.stdout.take_line() for _ in range(2 * len(names))]
        for name in names:
            joined, left = f"{name} joined the chatroom", f"{name} left the chatroom"
            assert lines.count(joined) == lines.count(left) == 1
            assert lines.index(joined) < lines.index(left)
        for member in (alice, bob):
            member.shows(*lines)
        for nick in crowd:
            nick.close()
        room.nothing_else()
