"""The operator is told of refusals and cuts: few lines, whole counts, nothing a stranger wrote."""

from __future__ import annotations

import re
import selectors
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.journal import SECONDS_PER_LINE, Journal
from codec import (
    EXPECTED_JOIN,
    HANDSHAKE_TIMED_OUT,
    INCORRECT_PASSCODE,
    SERVER_FULL,
    TOO_MANY_ATTEMPTS,
    TOO_MANY_CONNECTIONS,
    ProtocolError,
)
from codec.handshake import USERNAME_IN_USE
from reactor.connection import LINGER_SECONDS
from reactor.flow import BEHIND_SECONDS, DRAIN_SECONDS
from tests.reactor.conftest import Loop
from tests.support.faults import fault
from tests.test_room import House, hold

ADDRESS = "127.0.0.1:4321"


class Book:
    """A Journal, its clock, and what it wrote since it was looked at last."""

    def __init__(self, is_verbose: bool) -> None:
        self.loop = Loop(selectors.DefaultSelector())
        self.lines: list[str] = []
        self.journal = Journal(self.loop.reactor, self.lines.append, is_verbose)

    def refuse(self, reason: str = INCORRECT_PASSCODE, count: int = 1) -> None:
        self.refuse_for(ProtocolError(reason), count)

    def refuse_for(self, error: ProtocolError, count: int = 1) -> None:
        for _ in range(count):
            self.journal.note_refusal(ADDRESS, error)

    def take_lines(self) -> list[str]:
        lines = self.lines[:]
        self.lines.clear()
        return lines

    def close(self) -> None:
        self.loop.reactor.close()
        assert self.loop.take_errors() == []


@pytest.fixture
def book() -> Iterator[Book]:
    book = Book(is_verbose=True)
    yield book
    book.close()


@pytest.fixture
def quiet_book() -> Iterator[Book]:
    book = Book(is_verbose=False)
    yield book
    book.close()


# How much is told.


def test_the_first_of_a_kind_is_told_in_full_at_once(book: Book) -> None:
    book.refuse()
    assert book.take_lines() == [f"refused {ADDRESS}: incorrect passcode"]


def test_those_who_follow_within_a_second_are_one_line(book: Book) -> None:
    book.refuse(count=1000)
    assert len(book.take_lines()) == 1
    book.loop.pass_seconds(SECONDS_PER_LINE - 0.25)
    book.refuse()
    assert book.take_lines() == []
    book.loop.pass_seconds(0.25)
    assert book.take_lines() == ["refused 1000 more: incorrect passcode"]


@fault(50)
def test_however_long_a_flood_lasts_there_is_a_line_a_second(book: Book) -> None:
    for _ in range(40):
        book.refuse(count=3)
        book.loop.pass_seconds(SECONDS_PER_LINE / 4)
    first, *rest = book.take_lines()
    assert first == f"refused {ADDRESS}: incorrect passcode"
    assert rest == [
        "refused 11 more: incorrect passcode",
        *["refused 12 more: incorrect passcode"] * 9,
    ]


def test_after_a_quiet_second_the_next_is_told_in_full_again(book: Book) -> None:
    book.refuse(count=2)
    book.loop.pass_seconds(2 * SECONDS_PER_LINE)
    book.take_lines()
    book.refuse()
    assert book.take_lines() == [f"refused {ADDRESS}: incorrect passcode"]


def test_the_second_after_a_summary_counts_as_well(book: Book) -> None:
    book.refuse(count=2)
    book.loop.pass_seconds(1.5 * SECONDS_PER_LINE)
    book.take_lines()
    book.refuse()
    assert book.take_lines() == []
    book.loop.pass_seconds(0.5 * SECONDS_PER_LINE)
    assert book.take_lines() == ["refused 1 more: incorrect passcode"]


def test_the_figure_is_the_one_that_is_promised() -> None:
    assert SECONDS_PER_LINE == 1.0


def test_when_it_is_quiet_there_is_no_timer(book: Book) -> None:
    assert book.loop.is_idle()
    book.refuse(count=2)
    book.journal.note_cut(ADDRESS, "Ann", "slow")
    book.journal.note_end("end of stream")
    book.loop.pass_seconds(2 * SECONDS_PER_LINE)
    assert book.loop.is_idle()


def test_what_is_not_told_takes_no_timer(quiet_book: Book) -> None:
    quiet_book.refuse(count=100)
    quiet_book.journal.note_end(":Exit")
    assert quiet_book.loop.is_idle()
    assert quiet_book.take_lines() == []


@fault(50)
def test_each_kind_has_its_own_second(book: Book) -> None:
    reasons = {
        EXPECTED_JOIN: "expected: JOIN <username> <passcode>",
        INCORRECT_PASSCODE: "incorrect passcode",
        "Invalid username: it is empty": "invalid username: it is empty",
        "Invalid username: longer than 8 characters": "invalid username: longer than 8 characters",
        HANDSHAKE_TIMED_OUT: "handshake timed out",
        SERVER_FULL: "server full",
        TOO_MANY_ATTEMPTS: "too many attempts, try again later",
        TOO_MANY_CONNECTIONS: "too many connections",
    }
    for reason in reasons:
        book.refuse(reason, 3)
    assert book.take_lines() == [f"refused {ADDRESS}: {told}" for told in reasons.values()]
    book.loop.pass_seconds(SECONDS_PER_LINE)
    assert book.take_lines() == [f"refused 2 more: {told}" for told in reasons.values()]
    assert book.journal.counts == {("refused", told): 3 for told in reasons.values()}


def test_names_that_are_taken_are_of_one_kind(book: Book) -> None:
    for username in ("Ann", "ANN", "Bob"):
        book.refuse_for(ProtocolError(USERNAME_IN_USE, ": ", username))
    assert book.take_lines() == [f"refused {ADDRESS}: username already in use: Ann"]
    book.loop.pass_seconds(SECONDS_PER_LINE)
    assert book.take_lines() == ["refused 2 more: username already in use"]
    assert book.journal.counts == {("refused", "username already in use"): 3}


# What is told to whom.


def test_cuts_are_told_whether_or_not_that_was_asked_for(quiet_book: Book) -> None:
    for username in ("Ann", "Bob", "Cid"):
        quiet_book.journal.note_cut(ADDRESS, username, "9 bytes unsent")
    quiet_book.refuse()
    assert quiet_book.take_lines() == [f"cut {ADDRESS} (Ann): 9 bytes unsent"]
    quiet_book.loop.pass_seconds(SECONDS_PER_LINE)
    assert quiet_book.take_lines() == ["cut 2 more: slow reader"]


def test_refusals_are_not_told_unless_that_was_asked_for() -> None:
    loop = Loop(selectors.DefaultSelector())
    lines: list[str] = []
    Journal(loop.reactor, lines.append).note_refusal(ADDRESS, ProtocolError(SERVER_FULL))
    assert lines == []
    loop.reactor.close()


def test_ends_are_counted_and_not_told(book: Book) -> None:
    book.journal.note_end(":Exit")
    book.journal.note_end(":Exit")
    book.journal.note_end("connection lost")
    assert book.take_lines() == []
    assert book.journal.counts == {("gone", ":Exit"): 2, ("gone", "connection lost"): 1}


def test_in_the_end_what_was_not_told_yet_is_told_and_then_the_totals(book: Book) -> None:
    book.journal.note_end("end of stream")
    book.refuse(TOO_MANY_CONNECTIONS, 3)
    book.refuse(count=2)
    book.journal.note_cut(ADDRESS, "Ann", "slow")
    book.take_lines()
    book.journal.tell_totals()
    assert book.take_lines() == [
        "refused 2 more: too many connections",
        "refused 1 more: incorrect passcode",
        "total cut 1: slow reader",
        "total gone 1: end of stream",
        "total refused 2: incorrect passcode",
        "total refused 3: too many connections",
    ]
    book.loop.pass_seconds(3 * SECONDS_PER_LINE)
    assert book.take_lines() == []
    assert book.loop.is_idle()


def test_without_verbose_the_end_tells_of_cuts_alone_and_no_totals(quiet_book: Book) -> None:
    quiet_book.refuse(count=3)
    quiet_book.journal.note_cut(ADDRESS, "Ann", "slow")
    quiet_book.journal.note_cut(ADDRESS, "Bob", "slow")
    quiet_book.take_lines()
    quiet_book.journal.tell_totals()
    assert quiet_book.take_lines() == ["cut 1 more: slow reader"]
    assert quiet_book.journal.counts["refused", "incorrect passcode"] == 3


def test_an_end_without_anything_to_tell_is_silent(book: Book) -> None:
    book.journal.tell_totals()
    assert book.take_lines() == []


# In a room.


@pytest.fixture
def house() -> Iterator[House]:
    house = House(is_verbose=True)
    yield house
    house.close()


def test_each_member_who_goes_is_counted_once_and_by_its_way(house: House) -> None:
    exiting, ending, vanishing = (house.join(name) for name in ("Ann", "Bob", "Cid"))
    exiting.send(b":Exit\n:Exit\n")
    exiting.ends()
    ending.ends()
    vanishing.resets()
    house.loop.turn_until(lambda: not house.roster.usernames)
    for _ in range(3):
        house.connect().ends()
        house.connect().resets()
    for person in house.people:
        person.socket.close()
    house.loop.pass_seconds(2 * LINGER_SECONDS)
    assert house.journal.counts == {
        ("gone", ":Exit"): 1,
        ("gone", "end of stream"): 1,
        ("gone", "connection lost"): 1,
        ("gone", "never joined"): 6,
    }
    assert house.log == []


def test_a_member_who_is_cut_is_counted_as_that_alone() -> None:
    house = House()
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    hold(house, deaf, ann)
    while not house.log:
        assert house.loop.clock.now < 1000 + 3 * BEHIND_SECONDS
        house.loop.pass_seconds(DRAIN_SECONDS)
    [line] = house.log
    assert line.startswith(f"cut {deaf.address} (Deaf): ")
    assert house.journal.counts == {("cut", "slow reader"): 1}
    house.close()


def test_whoever_was_refused_and_then_dropped_is_counted_once(house: House) -> None:
    refused = house.connect()
    refused.send(b"hello\n")
    assert house.room.gate.make_room()
    house.loop.turn(2)
    assert house.journal.counts == {("refused", "expected: JOIN <username> <passcode>"): 1}


def test_who_is_refused_at_the_door_is_told_with_its_address(house: House) -> None:
    assert house.room.refuse_at_the_door(("10.1.2.3", 4)) == b"ERROR Server full\n"
    assert house.room.refuse_at_the_door(("::1", 5, 0, 0)) == b"ERROR Server full\n"
    assert house.log == ["refused 10.1.2.3:4: server full"]


SECRET = b"hunter2"
"""Part of every wrong passcode, and of nothing that the server says."""

REASON = re.compile(
    r"refused 127\.0\.0\.1:[0-9]+: (incorrect passcode|expected: JOIN <username> <passcode>"
    r"|invalid username: (it is empty|longer than 8 characters|only A-Z a-z 0-9 _ - \. are allowed)"
    r"|username already in use: [A-Za-z0-9_.-]{1,8})"
    r"|refused [0-9]+ more: (incorrect passcode|expected: JOIN <username> <passcode>"
    r"|invalid username: [A-Za-z0-9 _.-]+|username already in use)"
)
"""All that may be said of a stranger's line."""

PASSCODES = st.one_of(
    st.binary(max_size=20).map(lambda data: SECRET + data.replace(b"\n", b"")),
    st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"") + SECRET),
    st.just(b"abc12"),
)
USERNAMES = st.one_of(
    st.sampled_from([b"Ann", b"aNN", b"", b"Al ice", b"\x1b[2J", b"A\rB", b"Zo\xc3\xab", b"." * 9]),
    st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"")),
)
WORDS = st.sampled_from([b"JOIN ", b"JOIN", b"join ", b" JOIN ", b"\x00", b""])


@fault(48)
@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(WORDS, USERNAMES, PASSCODES), min_size=1, max_size=6))
def test_no_passcode_and_no_byte_of_a_strangers_choice_is_written(
    requests: list[tuple[bytes, bytes, bytes]],
) -> None:
    house = House(is_verbose=True)
    house.join("Ann")
    for word, username, passcode in requests:
        stranger = house.connect()
        stranger.send(word + username + b" " + passcode + b"\n")
        house.loop.turn(2)
    house.loop.pass_seconds(2 * SECONDS_PER_LINE)
    house.journal.tell_totals()
    for line in house.log:
        assert SECRET.decode() not in line
        assert "abc12" not in line
        assert line.isascii()
        assert line.isprintable()
        assert REASON.fullmatch(line) or re.fullmatch("total refused [0-9]+: .+", line), line
    joined = len(house.roster.usernames) - 1
    assert house.journal.counts.total() == len(requests) - joined
    house.close()
