"""Clients that are none of ours: `nc`, telnet and a socket. Rude ones are in tests/test_room.py."""

from __future__ import annotations

import shutil

import pytest

from tests.support.programs import PASSCODE, Netcat, RawClient, Room
from tests.support.protocol import INCORRECT_PASSCODE

needs_nc = pytest.mark.skipif(not shutil.which("nc"), reason="NOT TESTED: there is no nc here")

KINDS = [
    pytest.param("nc", "\n", marks=needs_nc),
    pytest.param("socket", "\r\n"),
]


@pytest.mark.parametrize(("kind", "line_end"), KINDS)
def test_plain_connection_is_a_client(kind: str, line_end: str) -> None:
    with Room() as room:
        alice = room.join_raw("Alice")
        nick: Netcat | RawClient
        nick = room.start_nc("Nick") if kind == "nc" else room.connect("Nick")
        nick.feed(f"JOIN Nick {PASSCODE}{line_end}".encode())
        nick.shows("OK")
        room.welcomes(nick)
        nick.feed(f"Hello :){line_end}".encode())
        room.all_show("Nick: Hello [feeling happy]", but=nick)
        alice.types("Hi", ":Msg Nick psst")
        room.server.shows("Alice: Hi", "Alice: send message to Nick")
        nick.shows("Alice: Hi", "[Message from Alice]: psst")
        nick.feed(f":Users{line_end}:Msg Zed x{line_end}".encode())
        room.server.shows("Nick: searched up active users")
        nick.shows("Active Users: Alice, Nick", "No such user: Zed")
        room.nothing_else()
        nick.feed(f":Exit{line_end}".encode())
        room.misses(nick)
        nick.goes_home()


@needs_nc
def test_script_in_one_burst_gets_all_its_answers() -> None:
    with Room() as room:
        alice = room.join_raw("Alice")
        nick = room.start_nc("Nick")
        nick.types(f"JOIN Nick {PASSCODE}", "one", "two", ":Users", ":Exit")
        nick.shows("OK", "Active Users: Alice, Nick")
        nick.goes_home()
        alice.shows("Nick joined the chatroom", "Nick: one", "Nick: two", "Nick left the chatroom")
        room.server.shows("Nick joined the chatroom", "Nick: one", "Nick: two")
        room.server.shows("Nick: searched up active users", "Nick left the chatroom")


@needs_nc
def test_plain_connection_without_the_passcode_is_refused() -> None:
    with Room() as room:
        nick = room.start_nc("Nick")
        nick.types("JOIN Nick wrong")
        nick.shows(f"ERROR {INCORRECT_PASSCODE}")
        nick.goes_home()
