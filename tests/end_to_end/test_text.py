"""What a line may hold and how long it may be, from one keyboard to every screen."""

from __future__ import annotations

import signal

import pytest

from tests.support.faults import fault
from tests.support.programs import Room, numbered

LIMIT = 4096
TOO_LONG = "Message too long (limit 4096 bytes); not sent"


@fault(73)
def test_a_line_of_4096_bytes_is_shown_and_a_longer_one_refused() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        longest = "x" * (LIMIT - len("Alice: "))
        alice.types(longest, longest + "x", "next")
        room.all_show(f"Alice: {longest}", "Alice: next", but=alice)
        alice.shows(TOO_LONG)
        room.nothing_else()


def test_4096_bytes_are_counted_as_bytes() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        longest = "x" + "ü" * 2044
        assert len(f"Alice: {longest}".encode()) == LIMIT
        alice.types(longest, longest + "x")
        room.all_show(f"Alice: {longest}", but=alice)
        alice.shows(TOO_LONG)
        room.nothing_else()


@fault(73)
def test_a_typed_line_of_4096_bytes_is_obeyed_and_a_longer_one_refused() -> None:
    with Room() as room:
        (alice,) = room.join("Alice")
        alice.types(f"{':Users':{LIMIT}}", f"{':Users':{LIMIT + 1}}")
        room.server.shows("Alice: searched up active users")
        alice.shows("Active Users: Alice", TOO_LONG)
        room.nothing_else()


def test_what_grows_over_the_limit_when_it_is_translated_is_refused() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        alice.types(" ".join([":)"] * 1000), " ".join([":mytime"] * 500))
        alice.shows(TOO_LONG, TOO_LONG)
        room.nothing_else()


def test_a_private_message_has_the_same_limit_as_it_is_shown() -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        longest = "x" * (LIMIT - len("[Message from Alice]: "))
        alice.types(f":Msg Bob {longest}", f":Msg Bob {longest}x")
        room.server.shows("Alice: send message to Bob")
        bob.shows(f"[Message from Alice]: {longest}")
        alice.shows(TOO_LONG)
        room.nothing_else()


@fault(5)
@pytest.mark.parametrize("size", [LIMIT + 1, 3 * LIMIT, 300_000, 2_000_000])
def test_a_line_without_end_is_refused_once_and_its_member_stays(size: int) -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        alice.feed(b"x" * size)
        alice.shows(TOO_LONG)
        bob.types("meanwhile")
        room.all_show("Bob: meanwhile", but=bob)
        alice.feed(b"and the rest of it\nnext\n")
        room.all_show("Alice: next", but=alice)
        room.nothing_else()


def test_the_list_of_users_may_be_longer() -> None:
    with Room() as room:
        names = numbered("user", 480)
        crowd = []
        for name in names:
            raw_client = room.connect(name)
            raw_client.types(f"JOIN {name} {room.passcode}")
            raw_client.shows("OK")
            room.server.shows(f"{name} joined the chatroom")
            crowd.append(raw_client)
        (alice,) = room.join("Alice")
        alice.types(":Users")
        line = f"Active Users: {', '.join([*names, 'Alice'])}"
        assert len(line) > LIMIT
        alice.shows(line)
        room.server.shows("Alice: searched up active users")
        room.server.signal(signal.SIGTERM)
        alice.hears_goodbye()
        for raw_client in crowd:
            raw_client.close()
        room.server.exits(0)


BAD = "\N{REPLACEMENT CHARACTER}"

TEXTS = [
    (b"\xff\xfe", BAD * 2),
    (b"caf\xe9 au lait", f"caf{BAD} au lait"),
    (b"cut \xf0\x9f\x98", f"cut {BAD * 3}"),
    (b"overlong \xc0\xaf, surrogate \xed\xa0\x80", f"overlong {BAD * 2}, surrogate {BAD * 3}"),
    (b"\x1b[2J\x1b]0;title\x07", f"{BAD}[2J{BAD}]0;title{BAD}"),
    (b"\x1b[6n", f"{BAD}[6n"),
    (b"over\rwrite\x08\x7f", f"over{BAD}write{BAD * 2}"),
    (b"nul \x00, vt \x0b, ff \x0c", f"nul {BAD}, vt {BAD}, ff {BAD}"),
    ("\x85 \x9b31m \u2028 \u2029".encode(), f"{BAD} {BAD}31m {BAD} {BAD}"),
    ("\u202eevil\u202c \u2066x\u2069 \u061c\u200e\u200f".encode(), None),
    ("tab\tstays, \u200d and \u200c too".encode(), "tab\tstays, \u200d and \u200c too"),
    ("שלום, مرحبا, e\u0301, 👨‍👩‍👧".encode(), "שלום, مرحبا, e\u0301, 👨‍👩‍👧"),
]


@fault(9, 12, 15)
@pytest.mark.parametrize("server_on_terminal", [False, True], ids=["console", "terminal"])
def test_nothing_that_could_harm_a_screen_reaches_one(server_on_terminal: bool) -> None:
    with Room(on_terminal=server_on_terminal) as room:
        alice, bob = room.join("Alice", "Bob")
        (carol,) = room.join("Carol", on_terminal=True)
        dave = room.join_raw("Dave")
        for typed, text in TEXTS:
            if text is None:
                text = f"{BAD}evil{BAD} {BAD}x{BAD} {BAD * 3}"
            alice.feed(typed + b"\n:Msg Bob " + typed + b"\n")
            room.server.shows(f"Alice: {text}", "Alice: send message to Bob")
            bob.shows(f"Alice: {text}", f"[Message from Alice]: {text}")
            carol.shows(f"Alice: {text}")
            dave.shows(f"Alice: {text}")
        alice.feed(b":Msg \x1b[2J x\n")
        alice.shows(f"No such user: {BAD}[2J")
        room.nothing_else()


@fault(11)
def test_every_control_character_of_a_line_becomes_one_replacement() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        controls = [*range(0x20), *range(0x7F, 0xA0)]
        controls.remove(ord("\t"))
        controls.remove(ord("\n"))
        for control in controls:
            alice.feed(f"a{chr(control)}b\n".encode())
        room.all_show(*[f"Alice: a{BAD}b"] * len(controls), but=alice)
        room.nothing_else()


def test_a_carriage_return_before_the_line_end_belongs_to_it() -> None:
    with Room() as room:
        alice, _ = room.join("Alice", "Bob")
        alice.feed(b"one\r\n\r\n:Users\r\n")
        room.all_show("Alice: one", but=alice)
        room.server.shows("Alice: searched up active users")
        alice.shows("Active Users: Alice, Bob")
        room.nothing_else()
