"""Who may come in, and under which name."""

from __future__ import annotations

import signal

import pytest

from tests.support.faults import fault
from tests.support.programs import Room

VALID = ["A", "12345678", "a_b-c.d", "...", "_", "Exit"]

CHARACTERS = "Invalid username: only A-Z a-z 0-9 _ - . are allowed"
LENGTH = "Invalid username: longer than 8 characters"

INVALID = {
    "Alexander": LENGTH,
    "x" * 300: LENGTH,
    "Al ice": CHARACTERS,
    " Alice": CHARACTERS,
    "Alice ": CHARACTERS,
    " ": CHARACTERS,
    "Al,ice": CHARACTERS,
    "Alice:": CHARACTERS,
    "+-+": CHARACTERS,
    "Zoë": CHARACTERS,
    "Аlice": CHARACTERS,  # its first letter is Cyrillic
    "ａlice": CHARACTERS,  # full width
    "alice²": CHARACTERS,
    "\u202ealice": CHARACTERS,
    "Al\u200dice": CHARACTERS,
    "Αλίκη " * 100: CHARACTERS,
}


def test_a_name_is_1_to_8_of_the_allowed_characters() -> None:
    with Room() as room:
        (alice,) = room.join("Alice")
        members = room.join(*VALID)
        for member in members:
            member.types("me")
            room.all_show(f"{member.name}: me", but=member)
            alice.types(f":Msg {member.name.swapcase()} you")
            room.server.shows(f"Alice: send message to {member.name}")
            member.shows("[Message from Alice]: you")
        alice.types(":Users")
        room.server.shows("Alice: searched up active users")
        alice.shows(f"Active Users: {', '.join(['Alice', *VALID])}")


@fault(16, 49)
def test_any_other_name_is_invalid_and_seen_by_nobody_else() -> None:
    with Room() as room:
        room.join("Bob")
        refused = [room.start_member(username) for username in INVALID]
        for client in refused:
            client.shows(INVALID[client.name])
            client.exits(1)
        room.nothing_else()


@fault(17)
def test_a_name_in_the_room_is_in_use_whatever_its_letter_case() -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        refused = [room.start_member(username) for username in ("Alice", "alice", "ALICE")]
        for client in refused:
            client.shows(f"Username already in use: {client.name}")
            client.exits(1)
        bob.types(":Msg alice still here?")
        room.server.shows("Bob: send message to Alice")
        alice.shows("[Message from Bob]: still here?")
        room.nothing_else()


@pytest.mark.parametrize("how", ["exit", "end of input", "killed"])
def test_a_name_is_free_again_once_left_was_announced(how: str) -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        if how == "exit":
            alice.types(":Exit")
        elif how == "end of input":
            alice.end_input()
        else:
            alice.signal(signal.SIGKILL)
        room.misses(alice)
        alice.exits(-signal.SIGKILL if how == "killed" else 0)
        (again,) = room.join("ALICE")
        bob.types(":Users")
        room.server.shows("Bob: searched up active users")
        bob.shows("Active Users: Bob, ALICE")
        again.types("back")
        room.all_show("ALICE: back", but=again)


def test_without_the_passcode_nothing_about_the_room_is_learned() -> None:
    with Room() as room:
        room.join("Alice")
        refused = [
            room.start_client(room.port, username, passcode="abc1")
            for username in ("Alice", "alice", "Alexander", "Zoë", "nobody")
        ]
        for client in refused:
            client.shows("Incorrect passcode")
            client.exits(1)
        room.nothing_else()
