"""Which rooms are up: what a room answers, how often, and what the asker makes of it."""

from __future__ import annotations

import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chat.presence
import terminal.find
from chat.presence import BURST_REPLIES, REPLY_SECONDS, Presence, announce, open_group
from codec import Event, Kind, Roster
from codec.presence import REQUEST_BYTES, RoomReply, format_reply, format_request
from terminal.find import Finder, find_rooms
from tests.reactor.conftest import Loop, nothing
from tests.reactor.conftest import loop as loop
from tests.support.faults import fault
from tests.support.size import examples

NONCE = b"0123456789abcdef"


def roster_of(members: int) -> Roster:
    roster = Roster()
    for number in range(members):
        roster.apply(Event(Kind.JOINED, f"m{number}"))
    return roster


@fault(69)
def test_flood_of_requests_gets_few_short_replies(loop: Loop) -> None:
    presence = Presence(loop.reactor, roster_of(3), 65432)
    request = format_request(NONCE)
    start, replies = loop.reactor.now, []
    for _ in range(20_000):
        loop.clock.advance(0.000_25)
        loop.turn()
        replies.append(presence.answer(request, None))
    sent = list(filter(None, replies))
    assert set(sent) == {b"ROOM 0123456789abcdef 65432 3"}
    in_time = (loop.reactor.now - start) / REPLY_SECONDS
    assert len(sent) == pytest.approx(BURST_REPLIES + in_time, abs=2)
    assert sum(map(len, sent)) <= REQUEST_BYTES * len(sent)


@given(st.data())
@examples(50, 1_000)
def test_lost_doubled_late_and_forged_replies_are_told_apart(data: st.DataObject) -> None:
    """Each room that was heard is there once, with what it said last; a forger is not heard."""
    finder = Finder.__new__(Finder)
    finder.rooms, finder._nonce = {}, NONCE
    replies = st.builds(
        RoomReply, st.sampled_from([NONCE, b"f" * 16]), st.integers(1, 3), st.integers(0, 9)
    )
    heard = data.draw(st.lists(st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.2"]), replies)))
    for address, reply in heard:
        finder._note(format_reply(reply), (address, 21500))
    assert finder.rooms == {
        (address, reply.port): reply.members for address, reply in heard if reply.nonce == NONCE
    }


def test_rooms_of_this_machine_are_found(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(chat.presence, "PORT", port)
    monkeypatch.setattr(terminal.find, "PORT", port)
    said: list[str] = []
    complaints: list[str] = []
    assert find_rooms(said.append, complaints.append) == 1
    assert (said, complaints) == ([], ["no room answered (a server answers with -announce)"])

    rooms = [
        announce(loop.reactor, roster_of(members), ["127.0.0.1"], number, nothing)
        for members, number in ((1, 1002), (2, 1001))
    ]
    finder = Finder(loop.reactor)
    loop.turn_until(lambda: len(finder.rooms) == 2)
    assert finder.rooms == {("127.0.0.1", 1002): 1, ("127.0.0.1", 1001): 2}
    for room in rooms:
        room.close()
    finder.close()


def test_room_without_an_ipv4_address_cannot_announce(loop: Loop) -> None:
    with pytest.raises(OSError, match="needs an IPv4 address"):
        announce(loop.reactor, Roster(), [], 1, nothing)


def test_failing_call_is_named_and_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat.presence, "GROUP", "203.0.113.1")  # an address of no interface here
    with pytest.raises(OSError, match="-announce: bind"):
        open_group(["127.0.0.1"])


def test_room_for_all_interfaces_joins_the_group_on_each() -> None:
    interfaces = socket.if_nameindex()
    memberships = chat.presence._memberships(["0.0.0.0"])  # noqa: S104
    assert [member[8:] for member in memberships] == [
        index.to_bytes(4, sys.byteorder) for index, _ in interfaces
    ]
