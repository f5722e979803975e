"""What a line may hold and how long it may be, from one keyboard to every screen."""

from __future__ import annotations

from tests.support.faults import fault
from tests.support.programs import Room
from tests.support.protocol import safe_text

TEXTS = [
    b"caf\xe9 au lait",
    b"\x1b[2J\x1b]0;title\x07\x1b[6n",
    b"over\rwrite\x08\x7f",
    "\x85 \x9b31m \u2028 \u2029".encode(),
    "\u202eevil\u202c \u2066x\u2069 \u061c\u200e\u200f".encode(),
    "tab\tstays, \u200d and \u200c too".encode(),
]


@fault(9, 12, 15)
def test_nothing_harmful_reaches_a_screen() -> None:
    """Neither a terminal of the server or of a member, nor a pipe, nor a socket."""
    with Room(on_terminal=True) as room:
        alice = room.join_raw("Alice")
        (bob,) = room.join("Bob")
        (carol,) = room.join("Carol", on_terminal=True)
        dave = room.join_raw("Dave")
        for typed in TEXTS:
            text = safe_text(typed)
            alice.feed(typed + b"\n:Msg Bob " + typed + b"\n")
            room.server.shows(f"Alice: {text}", "Alice: send message to Bob")
            bob.shows(f"Alice: {text}", f"[Message from Alice]: {text}")
            carol.shows(f"Alice: {text}")
            dave.shows(f"Alice: {text}")
        room.nothing_else()
