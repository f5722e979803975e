"""Clients that are none of ours: `nc`, telnet and a socket. Rude ones are in tests/test_room.py."""

from __future__ import annotations

import shutil

import pytest

from tests.support.programs import PASSCODE, Netcat, RawClient, Room

needs_nc = pytest.mark.skipif(not shutil.which("nc"), reason="NOT TESTED: there is no nc here")


@pytest.mark.parametrize(
    ("kind", "line_end"), [pytest.param("nc", "\n", marks=needs_nc), ("socket", "\r\n")]
)
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
