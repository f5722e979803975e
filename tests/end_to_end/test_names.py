"""Who may come in, and under which name. Names and answers are in tests/codec, one by one."""

from __future__ import annotations

from tests.support.faults import fault
from tests.support.programs import Room
from tests.support.protocol import INCORRECT_PASSCODE, LONG_NAME, NAME_IN_USE, STRANGE_NAME

REFUSED = [
    ("Alice", "wrong", INCORRECT_PASSCODE),
    ("Mallory", "x" * 100_000, INCORRECT_PASSCODE),
    ("Alexander", "abc12", LONG_NAME),
    ("Al ice", "abc12", STRANGE_NAME),
    ("Zoë", "abc12", STRANGE_NAME),
    ("alice", "abc12", f"{NAME_IN_USE}alice"),
]


@fault(16, 17, 49)
def test_refused_client_shows_the_reason_and_no_one_else_does() -> None:
    with Room() as room:
        room.join_raw("Alice")
        clients = [room.start_client(room.port, name, passcode=word) for name, word, _ in REFUSED]
        for client, (_, _, reason) in zip(clients, REFUSED, strict=True):
            client.shows(reason)
            client.exits(1)
        room.nothing_else()
