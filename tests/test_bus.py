"""A room whose bus applies later, as it will when other machines stand between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from chat.admin import end_members
from chat.bus import LocalBus
from chat.session import HANDSHAKE_SECONDS
from codec import Event, Kind, ProtocolError
from codec.handshake import USERNAME_IN_USE
from tests.support.house import House
from tests.support.protocol import HANDSHAKE_TIMED_OUT, NAME_IN_USE, NOW, error_line


class LateBus(LocalBus):
    """Keeps what is submitted until a test asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self.submitted: list[Event] = []

    def submit(self, event: Event) -> None:
        self.submitted.append(event)


class LateHouse(House):
    def __init__(self) -> None:
        self.late = LateBus()
        super().__init__(self.late)

    def apply(self) -> None:
        """Turn, and let happen what was submitted, until nothing more is."""
        self.loop.turn(2)
        while self.late.submitted:
            events, self.late.submitted = self.late.submitted, []
            for event in events:
                LocalBus.submit(self.late, event)
            self.loop.turn(2)


@pytest.fixture
def house() -> Iterator[LateHouse]:
    with closing(LateHouse()) as house:
        yield house


@pytest.mark.parametrize("end", ["exits", "shuts its half", "is kicked"])
def test_member_reads_all_up_to_its_departure(house: LateHouse, end: str) -> None:
    bob = house.ask(b"ENTER Bob abc12\n")
    house.apply()
    bob.reads(b"OK\nActive Users: Bob\n")
    bob.send(b"hello\n:Users\n" + b":Exit\n" * (end == "exits"))
    if end == "shuts its half":
        bob.ends()
    house.loop.turn(2)
    if end == "is kicked":
        for _ in range(2):  # by two operators
            end_members((house.dispatcher, house.bus, house.room), ["Bob"], "kicked")
    bob.send(b"behind\n" * (end != "shuts its half"))
    house.apply()
    notice = b"* Bob was kicked\n" * (end == "is kicked")
    bob.reads_to_end(b"Bob: hello\nActive Users: Bob\n" + notice)
    assert house.shown().endswith(
        b"Bob: searched up active users\n%sBob left the chatroom\n" % notice
    )


def test_place_of_one_that_leaves_is_not_given_again(
    house: LateHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.keep_places(monkeypatch)
    token = b"1." + b"01" * 16
    bob = house.ask(b"ENTER Bob abc12\n")
    house.apply()
    bob.reads(b"OK %s\nActive Users: Bob\n" % token)
    bob.send(b":Exit\n")
    house.loop.turn(2)
    house.ask(b"RESUME %s 0\n" % token).reads_to_end(b"ERROR Too late\n")
    house.apply()
    assert house.shown().endswith(b"Bob left the chatroom\n")


def test_join_is_answered_when_it_is_applied(house: LateHouse) -> None:
    bob = house.ask(b"JOIN Bob abc12\nhello\n:Users\n")
    bob.reads_nothing()
    assert [event.kind for event in house.late.submitted] == [Kind.JOINED]
    house.apply()
    bob.reads(b"OK\nActive Users: Bob\n")
    assert house.shown() == b"Bob joined the chatroom\nBob: hello\nBob: searched up active users\n"
    bob.send(b"more\n")
    house.apply()
    assert house.shown() == b"Bob: more\n"


def test_claimed_name_is_refused_to_the_next(house: LateHouse) -> None:
    bob = house.ask(b"JOIN Bob abc12\n")
    second = house.ask(b"JOIN BOB abc12\n")
    second.reads_to_end(error_line(f"{NAME_IN_USE}BOB"))
    house.apply()
    bob.reads(b"OK\n")


def test_claim_that_is_not_granted_is_refused_and_free(house: LateHouse) -> None:
    bob, gone = house.ask(b"JOIN Bob abc12\n"), house.ask(b"JOIN Cid abc12\n")
    gone.spy.connection.abort()
    house.late.submitted.clear()
    for username in ("Bob", "Cid"):
        house.room.refuse_claim(username, ProtocolError(USERNAME_IN_USE, ": ", username))
    bob.reads_to_end(error_line(f"{NAME_IN_USE}Bob"))
    assert len(house.log) == 1, "one that is gone is not refused as well"
    again = house.ask(b"JOIN Bob abc12\n")
    house.apply()
    again.reads(b"OK\n")


def test_guest_gone_before_its_join_is_applied_leaves(house: LateHouse) -> None:
    ann = house.ask(b"JOIN Ann abc12\n")
    house.apply()
    ann.reads(b"OK\n")
    bob = house.ask(b"JOIN Bob abc12\n")
    bob.spy.connection.abort()
    house.apply()
    ann.reads(b"Bob joined the chatroom\nBob left the chatroom\n")
    assert house.roster.usernames == ["Ann"]


def test_member_elsewhere_is_read_and_not_written_to(house: LateHouse) -> None:
    """What is private to it is for its own server to write."""
    ann = house.ask(b"JOIN Ann abc12\n")
    house.bus.submit(house.dispatcher.join("Zed"))
    house.apply()
    ann.send(b":Msg Zed psst\n:Users\n")
    house.apply()
    ann.reads(b"OK\nZed joined the chatroom\nActive Users: Ann, Zed\n")


def test_all_read_the_order_of_the_bus(house: LateHouse) -> None:
    people = [house.connect() for _ in range(3)]
    for person, name in zip(people, (b"Ann", b"Bob", b"Cid"), strict=True):
        person.send(b"JOIN %s abc12\n" % name)
        house.apply()
    ann, bob, cid = people
    ann.reads(b"OK\nBob joined the chatroom\nCid joined the chatroom\n")
    bob.reads(b"OK\nCid joined the chatroom\n")
    cid.reads(b"OK\n")
    ann.send(b"first\n")
    bob.send(b":Msg cid second\n")
    ann.send(b"third :mytime\n")
    house.late.submitted.reverse()
    house.apply()
    said = f"Ann: third {NOW}\n".encode()
    cid.reads(said + b"[Message from Bob]: second\nAnn: first\n")
    bob.reads(said + b"Ann: first\n")
    ann.reads(said)


def test_list_is_exact_where_the_bus_puts_an_enter(house: LateHouse) -> None:
    bob, cid = house.ask(b"ENTER Bob abc12\nhello\n"), house.ask(b"ENTER Cid abc12\n")
    joins, house.late.submitted = house.late.submitted, []
    for event in (joins[0], house.dispatcher.join("Zed"), joins[1], house.dispatcher.leave("Zed")):
        house.bus.submit(event)
    house.apply()
    news = b"Zed left the chatroom\nBob: hello\n"
    bob.reads(b"OK\nActive Users: Bob\nZed joined the chatroom\nCid joined the chatroom\n" + news)
    cid.reads(b"OK\nActive Users: Bob, Zed, Cid\n" + news)


@pytest.mark.parametrize("verb", [b"JOIN", b"ENTER"])
def test_claim_without_an_answer_times_out(house: LateHouse, verb: bytes) -> None:
    bob = house.ask(verb + b" Bob abc12\n")
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    bob.reads_to_end(error_line(HANDSHAKE_TIMED_OUT))
