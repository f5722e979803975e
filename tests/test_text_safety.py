"""Bytes on their way to a screen: forged lines, urgent bytes, lines without end.

tests/codec/test_text.py has each character, tests/end_to_end/test_text.py what programs show.
"""

from __future__ import annotations

import socket
import tracemalloc

import pytest

from reactor.connection import READ_BYTES
from tests.support.faults import fault
from tests.support.house import House
from tests.support.protocol import EXPECTED_JOIN, UNSAFE, error_line, too_long

FORGERIES = [
    b"Bob joined the chatroom",
    b"Bob left the chatroom",
    b"Bob: I am Bob",
    b"[Message from Bob]: I am Bob",
    b"Active Users: Mal",
    b"No such user: Bob",
    b"Server is shutting down",
    b"Server started on port 1. Accepting connections",
    b"ERROR Incorrect passcode",
    b"OK",
]
SENDER = ("Mal: x", "Mal: plain", "Mal: send message to Ann", "[Message from Mal]: x")


@fault(13, 14, 49)
@pytest.mark.parametrize(
    "line_end", ["", *"\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\r\r", "\b" * 9, "\x1b[2K\r"]
)
def test_forged_lines_stand_behind_the_name_of_their_sender(house: House, line_end: str) -> None:
    """Ten lines of other kinds, each behind one way to begin a line anew, said and sent."""
    ann, mal = house.join_all("Ann", "Mal")
    house.shown()
    for forgery in FORGERIES:
        typed = b"x" + line_end.encode() + forgery
        among_others = b"plain\n" + typed + b"\n:Msg Ann " + typed + b"\n"
        for lines, times_shown in ((typed + b"\n", 2), (among_others, 3)):
            mal.send(lines)
            ann.heard = b""
            count = lines.count(b"\n")
            house.busy(lambda count=count: ann.heard.count(b"\n") == count)  # type: ignore[misc]
            shown = (house.shown() + ann.heard).decode().split("\n")
            for line in filter(None, shown):
                assert line.startswith(SENDER)
                assert line.splitlines() == [line]
                assert not UNSAFE & set(line)
            assert sum(line.endswith(forgery.decode()) for line in shown) == times_shown


@fault(8)
def test_urgent_bytes_harm_no_line(house: House) -> None:
    """An out-of-band byte before and inside JOIN, before, inside and after a line."""
    ann = house.join("Ann")
    bob = house.connect()
    for piece in (b"", b"JOIN B"):
        bob.send(piece)
        bob.socket.send(b"!", socket.MSG_OOB)
        house.loop.turn(2)
    for piece in (b"ob abc12\n", b"hel", b"lo\n"):
        bob.send(piece)
        bob.socket.send(b"!", socket.MSG_OOB)
        house.loop.turn_until(house.loop.is_idle)
    ann.reads(b"Bob joined the chatroom\nBob: hello\n")
    bob.reads(b"OK\n")
    ann.send(b"hi\n")
    bob.reads(b"Ann: hi\n")
    house.loop.turn_until(house.loop.is_idle)


@fault(4, 5)
@pytest.mark.parametrize("is_member", [False, True], ids=["guest", "member"])
def test_line_of_16_mib_is_refused_and_kept_nowhere(house: House, is_member: bool) -> None:
    ann = house.join("Ann")
    bob = house.join("Bob", ann) if is_member else house.connect()
    before = bob.spy.received_bytes
    data = memoryview(b"x" * (16 << 20))
    tracemalloc.start()
    try:
        idle_bytes, _ = tracemalloc.get_traced_memory()
        bob.unsent = data[bob.socket.send(data) :]
        bob.reads(
            f"{too_long(4096 - len('Bob: '))}\n".encode()
            if is_member
            else error_line(EXPECTED_JOIN)
        )
        ann.is_deaf = bob.is_deaf = True
        house.busy(lambda: not bob.unsent or bob.socket.fileno() < 0)
        house.loop.turn_until(lambda: not house.loop.selector.real.select(0))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes - idle_bytes < 4 * READ_BYTES
    if is_member:
        bob.reads_nothing()
        bob.send(b"\nafter\n")
        ann.reads(b"Bob: after\n")
    else:
        assert bob.spy.received_bytes - before <= READ_BYTES
        assert len(bob.unsent) > 8 << 20, "it feels that none reads it"
