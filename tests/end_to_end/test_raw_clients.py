"""Clients that are none of ours: `nc`, telnet, a socket, and peers that are rude."""

from __future__ import annotations

import shutil

import pytest

from tests.support.faults import fault
from tests.support.programs import PASSCODE, Netcat, RawClient, Room

EXPECTED = "ERROR Expected: JOIN <username> <passcode>"
CLIENTS = ["socket"] + (["nc"] if shutil.which("nc") else [])


def connect(room: Room, kind: str) -> Netcat | RawClient:
    """Someone at the end of a plain connection who has said nothing yet."""
    if kind == "socket":
        return room.connect("Nick")
    return room.start_nc("Nick")


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_plain_connection_is_a_client(kind: str, line_end: str) -> None:
    with Room() as room:
        (alice,) = room.join("Alice")
        nick = connect(room, kind)
        nick.feed(f"JOIN Nick {PASSCODE}{line_end}".encode())
        nick.shows("OK")
        room.welcomes(nick)
        nick.feed(f"Hello :){line_end}".encode())
        room.all_show("Nick: Hello [feeling happy]", but=nick)
        alice.types("Hi", ":Msg Nick psst")
        room.server.shows("Alice: Hi", "Alice: send message to Nick")
        nick.shows("Alice: Hi", "[Message from Alice]: psst")
        nick.feed(f":Users{line_end}:Msg Nobody x{line_end}".encode())
        room.server.shows("Nick: searched up active users")
        nick.shows("Active Users: Alice, Nick", "No such user: Nobody")
        room.nothing_else()
        nick.feed(f":Exit{line_end}".encode())
        room.misses(nick)
        nick.goes_home()


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_script_in_one_burst_gets_all_its_answers(kind: str) -> None:
    with Room() as room:
        (alice,) = room.join("Alice")
        nick = connect(room, kind)
        nick.types(f"JOIN Nick {PASSCODE}", "one", "two", ":Users", ":Exit")
        nick.shows("OK", "Active Users: Alice, Nick")
        nick.goes_home()
        alice.shows("Nick joined the chatroom", "Nick: one", "Nick: two", "Nick left the chatroom")
        room.server.shows("Nick joined the chatroom", "Nick: one", "Nick: two")
        room.server.shows("Nick: searched up active users", "Nick left the chatroom")


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_plain_connection_without_the_passcode_is_refused(kind: str) -> None:
    with Room() as room:
        nick = connect(room, kind)
        nick.types("JOIN Nick wrong")
        nick.shows("ERROR Incorrect passcode")
        nick.goes_home()


REFUSED = {
    f"JOIN Alice {PASSCODE}": "ERROR Username already in use: Alice",
    f"JOIN ALICE {PASSCODE}": "ERROR Username already in use: ALICE",
    "JOIN Alice wrong": "ERROR Incorrect passcode",
    "JOIN Alice ": "ERROR Incorrect passcode",
    f"JOIN Nick {PASSCODE} ": "ERROR Incorrect passcode",
    f"JOIN  {PASSCODE}": "ERROR Invalid username: it is empty",
    f"JOIN Nicholas1 {PASSCODE}": "ERROR Invalid username: longer than 8 characters",
    f"JOIN N\x1bck {PASSCODE}": "ERROR Invalid username: only A-Z a-z 0-9 _ - . are allowed",
    "JOIN Nick": EXPECTED,
    "JOIN": EXPECTED,
    f"join Nick {PASSCODE}": EXPECTED,
    f" JOIN Nick {PASSCODE}": EXPECTED,
    "": EXPECTED,
    "GET / HTTP/1.1": EXPECTED,
}


@fault(45)
def test_a_refusal_is_one_line_and_the_end() -> None:
    with Room() as room:
        room.join("Alice")
        for line, answer in REFUSED.items():
            nick = room.connect(f"whoever says {line!r}")
            nick.types(line, f"JOIN Nick {PASSCODE}", "Hello")
            nick.shows(answer)
            nick.goes_home()
        room.nothing_else()


@pytest.mark.parametrize("garbage", [b"\xff" * 257, b"\x16\x03\x01" * 100, b"x" * 30_000])
def test_a_stranger_who_never_ends_a_line_is_answered_all_the_same(garbage: bytes) -> None:
    with Room() as room:
        room.join("Alice")
        stranger = room.connect()
        stranger.feed(garbage)
        stranger.shows(EXPECTED)
        stranger.goes_home()
        room.nothing_else()


@fault(33)
def test_who_sends_byte_by_byte_is_understood() -> None:
    with Room() as room:
        (alice,) = room.join("Alice")
        nick = room.connect("Nick")
        for byte in f"JOIN Nick {PASSCODE}\r\ngrüße 😀 :)\r\n:Users\r\n".encode():
            nick.feed(bytes([byte]))
        nick.shows("OK")
        room.welcomes(nick)
        room.all_show("Nick: grüße 😀 [feeling happy]", but=nick)
        room.server.shows("Nick: searched up active users")
        nick.shows("Active Users: Alice, Nick")
        alice.types("Hi")
        room.all_show("Alice: Hi", but=alice)
        room.nothing_else()


@fault(10)
def test_a_character_cut_between_two_packets_is_whole() -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        nick = room.join_raw("Nick")
        line = "é€😀\n".encode()
        for cut in range(1, len(line)):
            nick.feed(line[:cut])
            alice.types("between")  # the first piece has been read before the second is sent
            room.all_show("Alice: between", but=alice)
            nick.feed(line[cut:])
            room.all_show("Nick: é€😀", but=nick)
        bob.types("?")
        room.all_show("Bob: ?", but=bob)


@fault(34)
def test_who_half_closes_still_gets_all_answers() -> None:
    with Room() as room:
        (alice,) = room.join("Alice")
        nick = room.connect("Nick")
        nick.types(f"JOIN Nick {PASSCODE}", "Hello", ":Users")
        nick.end_input()
        nick.shows("OK", "Active Users: Alice, Nick")
        nick.goes_home()
        alice.shows("Nick joined the chatroom", "Nick: Hello", "Nick left the chatroom")
        room.server.shows("Nick joined the chatroom", "Nick: Hello")
        room.server.shows("Nick: searched up active users", "Nick left the chatroom")


@fault(39)
def test_the_last_words_of_who_closes_at_once_are_heard() -> None:
    with Room() as room:
        room.join("Alice")
        for number in range(20):
            nick = room.join_raw("Nick")
            nick.types(f"and {number}")
            nick.close()
            room.members.remove(nick)
            room.all_show(f"Nick: and {number}", "Nick left the chatroom")


@pytest.mark.parametrize("said", [b"", b"half a line", b"Hello\n"])
def test_who_resets_the_connection_has_left_once(said: bytes) -> None:
    with Room() as room:
        alice, bob = room.join("Alice", "Bob")
        nick = room.join_raw("Nick")
        nick.feed(said)
        if said.endswith(b"\n"):
            room.all_show(f"Nick: {said.decode().strip()}", but=nick)
        nick.reset()
        room.misses(nick)
        alice.types("anybody else?")
        room.all_show("Alice: anybody else?", but=alice)
        room.join_raw("Nick")
        bob.types(":Users")
        room.server.shows("Bob: searched up active users")
        bob.shows("Active Users: Alice, Bob, Nick")
        room.nothing_else()


def test_strangers_who_come_and_go_are_no_news() -> None:
    with Room() as room:
        room.join("Alice")
        for number in range(30):
            stranger = room.connect()
            stranger.feed(b"JOIN Nick abc12"[: number % 15])
            if number % 2:
                stranger.reset()
            else:
                stranger.close()
        room.nothing_else()
