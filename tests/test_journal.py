"""The operator is told of refusals and cuts: few lines, whole counts, nothing a guest wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.journal import SECONDS_PER_LINE, SOURCES_PER_SECOND, Journal
from chat.json_log import JSON
from codec import ProtocolError
from codec.handshake import USERNAME_IN_USE
from reactor.connection import LINGER_SECONDS
from reactor.transport import TransportError
from tests.reactor.conftest import Loop, new_loop
from tests.support.faults import fault
from tests.support.house import House
from tests.support.protocol import EXPECTED_JOIN, INCORRECT_PASSCODE, SERVER_FULL, PlainServer
from tests.support.size import examples

ADDRESS = "127.0.0.1:4321"
FIRST = f"refused {ADDRESS}: incorrect passcode"


class Book:
    """A Journal, its clock, and what it wrote since it was looked at last."""

    def __init__(self, loop: Loop, **options: Any) -> None:
        self.loop = loop
        self.lines: list[str] = []
        self.address = ADDRESS
        self.journal = Journal(loop.reactor, self.lines.append, **options)

    def refuse(self, *reason: str, count: int = 1) -> None:
        for _ in range(count):
            self.journal.note_refusal(self.address, ProtocolError(*reason or [INCORRECT_PASSCODE]))

    def cut(self, *usernames: str) -> None:
        for username in usernames:
            self.journal.note_cut(ADDRESS, username, "9 bytes unsent")

    def take_lines(self) -> list[str]:
        lines = self.lines[:]
        self.lines.clear()
        return lines


@pytest.fixture
def book(request: pytest.FixtureRequest) -> Iterator[Book]:
    """One that tells all, unless a test asks for a quiet one."""
    with new_loop() as loop:
        yield Book(loop, **getattr(request, "param", {"is_verbose": True}))


# How much is told.


@fault(50)
def test_first_of_a_kind_is_told_in_full_and_more_once_a_second(book: Book) -> None:
    book.refuse()
    assert book.take_lines() == [FIRST]
    book.refuse(count=999)
    book.loop.pass_seconds(0.75)
    book.refuse()
    assert book.take_lines() == []
    book.loop.pass_seconds(0.25)
    assert book.take_lines() == ["refused 1000 more: incorrect passcode"]


@fault(50)
def test_after_a_quiet_second_the_next_is_told_in_full_again(book: Book) -> None:
    book.refuse(count=2)
    book.loop.pass_seconds(1.5 * SECONDS_PER_LINE)
    book.take_lines()
    book.refuse()
    assert book.take_lines() == [], "the second after a summary counts as well"
    book.loop.pass_seconds(1.5 * SECONDS_PER_LINE)
    assert book.take_lines() == ["refused 1 more: incorrect passcode"]
    book.loop.pass_seconds(SECONDS_PER_LINE)
    book.refuse()
    assert book.take_lines() == [FIRST]


@fault(50)
def test_each_kind_has_its_own_second(book: Book) -> None:
    """Whatever name is in use, that is one kind."""
    for reason in (EXPECTED_JOIN, INCORRECT_PASSCODE, SERVER_FULL):
        book.refuse(reason, count=3)
    for username in ("Ann", "ANN", "Bob"):
        book.refuse(USERNAME_IN_USE, ": ", username)
    kinds = ["expected: JOIN <username> <passcode>", "incorrect passcode", "server full"]
    in_use = "username already in use"
    assert book.take_lines() == [f"refused {ADDRESS}: {x}" for x in (*kinds, f"{in_use}: Ann")]
    book.loop.pass_seconds(SECONDS_PER_LINE)
    assert book.take_lines() == [f"refused 2 more: {kind}" for kind in (*kinds, in_use)]
    assert book.journal.counts == {("refused", kind): 3 for kind in (*kinds, in_use)}


@fault(50)
@pytest.mark.parametrize("book", [{"is_verbose": True, "style": JSON}], indirect=True, ids=["json"])
def test_objects_tell_of_each_source_that_was_refused(book: Book) -> None:
    """Of so many at once; the others of the same kind together."""
    for host in range(SOURCES_PER_SECOND + 5):
        book.address = f"10.0.0.{host}:4321"
        book.refuse(count=2)
    lines = [json.loads(line) for line in book.take_lines()]
    assert [line["address"] for line in lines] == [f"10.0.0.{x}" for x in range(SOURCES_PER_SECOND)]
    del lines[0]["time"]
    assert lines[0] == {
        "event": "refused",
        "kind": "incorrect passcode",
        "count": 1,
        "address": "10.0.0.0",
        "port": 4321,
        "reason": "incorrect passcode",
    }
    book.loop.pass_seconds(SECONDS_PER_LINE)
    more = [json.loads(line) for line in book.take_lines()]
    assert [line["count"] for line in more] == [1] * SOURCES_PER_SECOND + [10]
    assert [line.get("address") for line in more] == [
        *(f"10.0.0.{x}" for x in range(SOURCES_PER_SECOND)),
        None,
    ]
    book.address = "[2001:db8::1]:5"
    book.loop.pass_seconds(SECONDS_PER_LINE)
    book.refuse()
    book.address = "unix"
    book.refuse()
    book.cut("Ann")
    book.journal.tell_totals()
    lines = [json.loads(line) for line in book.take_lines()]
    assert [line.get("address") for line in lines] == [
        "2001:db8::1",
        "unix",
        ADDRESS[:9],
        None,
        None,
    ]
    assert lines[2]["name"] == "Ann"
    assert lines[3]["event"] == "total"


def test_other_lines_are_objects_with_a_level() -> None:
    for text, level, rest in [
        ("warning: standard output: x", "warning", "standard output: x"),
        ("error: x", "error", "x"),
        ("room for 3 members", "info", "room for 3 members"),
        ("Traceback (most recent call last):\nx", "bug", "Traceback (most recent call last):\nx"),
    ]:
        line = JSON.format_text(text)
        assert line.isascii()
        assert line.isprintable()
        assert (json.loads(line)["level"], json.loads(line)["text"]) == (level, rest)


# What is told to whom.


def test_totals_come_after_what_was_not_told_yet(book: Book) -> None:
    book.journal.note_end("end of stream")
    book.journal.note_end("end of stream")
    book.refuse(SERVER_FULL, count=3)
    book.refuse(count=2)
    book.cut("Ann")
    book.take_lines()
    book.journal.tell_totals()
    assert book.take_lines() == [
        "refused 2 more: server full",
        "refused 1 more: incorrect passcode",
        "total cut 1: slow reader",
        "total gone 2: end of stream",
        "total refused 2: incorrect passcode",
        "total refused 3: server full",
    ]
    book.loop.pass_seconds(3 * SECONDS_PER_LINE)
    assert book.take_lines() == []
    assert book.loop.is_idle()


@pytest.mark.parametrize("book", [{}], indirect=True, ids=["quiet"])
def test_quiet_journal_tells_of_cuts_alone_and_no_totals(book: Book) -> None:
    book.refuse()
    book.journal.note_end(":Exit")
    assert book.loop.is_idle()
    book.cut("Ann", "Bob", "Cid")
    assert book.take_lines() == [f"cut {ADDRESS} (Ann): 9 bytes unsent"]
    book.loop.pass_seconds(SECONDS_PER_LINE)
    assert book.take_lines() == ["cut 2 more: slow reader"]
    book.cut("Ann")
    book.journal.tell_totals()
    assert book.take_lines() == ["cut 1 more: slow reader"]
    assert book.journal.counts["refused", "incorrect passcode"] == 1


# In a room.


def test_each_member_that_goes_is_counted_once_and_by_its_way(house: House) -> None:
    exiting, ending, vanishing = (house.join(name) for name in ("Ann", "Bob", "Cid"))
    exiting.send(b":Exit\n:Exit\n")
    exiting.ends()
    ending.ends()
    vanishing.resets()
    house.loop.turn_until(lambda: not house.roster.usernames)
    for _ in range(3):
        house.connect().ends()
        house.connect().resets()
    house.connect().spy.connection.abort(TransportError("what came first is no TLS"))
    for person in house.people:
        person.socket.close()
    house.loop.pass_seconds(2 * LINGER_SECONDS)
    assert house.journal.counts == {
        ("refused", "no TLS"): 1,
        ("gone", ":Exit"): 1,
        ("gone", "end of stream"): 1,
        ("gone", "connection lost"): 1,
        ("gone", "never joined"): 6,
    }
    assert [line.split(": ", 1)[1] for line in house.log] == ["no TLS: what came first is no TLS"]


def test_guest_refused_and_then_dropped_is_counted_once(house: House) -> None:
    house.ask(b"hello\n")
    assert house.room.gate.make_room()
    house.loop.turn(2)
    assert house.journal.counts == {("refused", "expected: JOIN <username> <passcode>"): 1}


@pytest.mark.parametrize(
    ("address", "told"),
    [(("10.1.2.3", 4), "10.1.2.3:4"), (("::1", 5, 0, 0), "[::1]:5"), ("", "unix")],
)
def test_guest_refused_at_the_door_is_told_with_its_address(
    house: House, address: object, told: str
) -> None:
    assert house.room.refuse_at_the_door(address) == b"ERROR Server full\n"
    assert house.log == [f"refused {told}: server full"]


PARTS = st.binary(max_size=20).map(lambda data: data.replace(b"\n", b""))
WORDS = st.sampled_from([b"JOIN ", b"JOIN", b"join ", b" JOIN ", b"\x00", b""])
USERNAMES = st.sampled_from([b"Ann", b"aNN", b"", b"Al ice", b"\x1b[2J", b"A\rB", b"Zo\xc3\xab"])
PASSCODES = st.sampled_from([b"abc12", b"abc123", b"hunter2"])
REQUESTS = st.builds(b"%s%s %s".__mod__, st.tuples(WORDS, USERNAMES | PARTS, PASSCODES | PARTS))


@fault(48)
@examples(20, 80)
@given(st.lists(REQUESTS, min_size=1, max_size=6))
def test_no_passcode_and_no_byte_of_a_guests_choice_is_written(requests: list[bytes]) -> None:
    """Of a guest's line the log has one of the reasons that there are, in our words, and a name
    that is in use, which is a valid one."""
    plain = PlainServer()
    plain.receive(0, b"JOIN Ann abc12\n")
    expected = []
    with closing(House()) as house:
        house.join("Ann")
        for number, request in enumerate(requests, 1):
            guest = house.ask(request + b"\n")
            plain.receive(number, request + b"\n")
            word, _, reason = plain.peers[number].screen[:-1].decode().partition(" ")
            if word == "ERROR":
                expected.append(f"refused {guest.address}: {reason[0].lower()}{reason[1:]}")
            house.loop.pass_seconds(SECONDS_PER_LINE)
        assert house.log == expected
        assert house.journal.counts.total() == len(expected)
