"""Connections that cost a descriptor each: a crowd of guests, none left, numbers beyond 1,024."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator

import pytest

from chat.gate import POOL_CONNECTIONS
from reactor import raise_descriptor_limit
from reactor.connection import LINGER_SECONDS
from reactor.listener import REST_SECONDS
from tests.support.faults import fault
from tests.support.house import House, with_limits
from tests.support.protocol import EXPECTED_JOIN, SERVER_FULL, TOO_MANY_CONNECTIONS, error_line
from tests.support.size import IS_LONG

FULL = error_line(SERVER_FULL)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_descriptor_limit()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def count_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


# Many guests.


@fault(19)
@pytest.mark.usefixtures("many_descriptors")
def test_of_a_crowd_that_says_nothing_the_newest_stay(house: House) -> None:
    """400 come at once, or 1,000 at full size."""
    count = 1_000 if IS_LONG else 400
    ann, bob = house.join_all("Ann", "Bob")
    descriptors = count_descriptors()
    crowd = [house.knock() for _ in range(count)]
    most_descriptors = 0

    def are_all_in() -> bool:
        nonlocal most_descriptors
        most_descriptors = max(most_descriptors, count_descriptors())
        return crowd[-1].address in house.spies

    ann.socket.send(b"hello\n")
    house.loop.turn()
    bob.reads(b"Ann: hello\n")
    assert not are_all_in(), "she was not kept waiting by all of them"
    house.loop.turn_until(are_all_in)
    assert most_descriptors <= descriptors + count + POOL_CONNECTIONS
    for person in crowd[:-POOL_CONNECTIONS]:
        person.reads_to_end(error_line(TOO_MANY_CONNECTIONS))
    bob.reads_nothing()
    for number, person in enumerate(crowd[-POOL_CONNECTIONS:]):
        person.reads_nothing()
        if number % 16 == 0:
            person.send(b"JOIN C%d abc12\n" % number)
            person.reads(b"OK\n")
    for person in crowd:
        person.socket.close()
    house.loop.turn_until(lambda: len(house.roster.usernames) == 2)
    house.loop.pass_seconds(LINGER_SECONDS)
    assert count_descriptors() == descriptors
    assert house.log == [
        f"refused {crowd[0].address}: too many connections",
        f"refused {count - POOL_CONNECTIONS - 1} more: too many connections",
    ]


@with_limits({"chat.gate.POOL_CONNECTIONS": 3})
def test_refused_guests_that_linger_count_and_members_do_not(house: House) -> None:
    ann = house.join("Ann")
    refused, guest, gone = house.ask(b"hello\n"), house.connect(), house.connect()
    gone.socket.close()
    house.loop.turn_until(lambda: gone.spy.connection.is_closing)
    house.loop.turn(2)
    third = house.connect()
    refused.reads(error_line(EXPECTED_JOIN))
    assert house.loop.interest_in(refused.spy.connection.descriptor), "it lingers"
    last = house.connect()
    house.loop.turn(2)
    refused.reads_to_end(b"")
    for person in (guest, third, last, ann):
        person.reads_nothing()
    house.connect()
    guest.reads_to_end(error_line(TOO_MANY_CONNECTIONS))


# No descriptor left.


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Nothing can be opened in here before something is closed: a new descriptor has the lowest
    number that is free, and that one is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@fault(24)
def test_oldest_guest_makes_room_for_a_newcomer(house: House) -> None:
    oldest, second = house.connect(), house.connect()
    ann = house.join("Ann")
    newcomer = house.knock()
    with no_descriptor_left():
        house.loop.turn_until(lambda: newcomer.address in house.spies)
        house.loop.pass_seconds(2 * REST_SECONDS)
        oldest.reads_to_end(FULL)
        second.reads_nothing()
        newcomer.send(b"JOIN Bob abc12\n")
        newcomer.reads(b"OK\n")
        ann.reads(b"Bob joined the chatroom\n")
    assert house.log == [f"refused {oldest.address}: server full"]


@fault(24)
def test_newcomers_are_told_when_only_members_have_descriptors(house: House) -> None:
    ann, bob = house.join_all("Ann", "Bob")
    newcomers = [house.knock() for _ in range(3)]
    newcomers[1].socket.send(b"JOIN Eve abc12\n")
    with no_descriptor_left():
        for newcomer in newcomers:
            newcomer.reads_to_end(FULL)
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            os.dup(0)  # the reserve is kept again
        house.loop.pass_seconds(2 * REST_SECONDS)
        assert house.wakeups(10) <= 5, "it does not spin"
        ann.send(b"still here\n")
        bob.reads(b"Ann: still here\n")
    assert house.log == [
        f"refused {newcomers[0].address}: server full",
        "refused 2 more: server full",
    ]
    house.join("Cid", ann, bob)
    assert house.roster.usernames == ["Ann", "Bob", "Cid"]


# High numbers.


@contextlib.contextmanager
def descriptors_beyond(number: int) -> Iterator[None]:
    """What is opened within has a higher number."""
    if raise_descriptor_limit() < number + 100:
        pytest.skip(f"NOT TESTED: fewer than {number} descriptors are allowed here")
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < number:
        fillers.append(os.dup(fillers[0]))
    try:
        yield
    finally:
        for filler in fillers:
            os.close(filler)


@fault(67)
@pytest.mark.usefixtures("many_descriptors")
def test_members_with_descriptors_beyond_1024_are_served(house: House) -> None:
    """Six members with numbers above 1,100; `select` alone could not watch them."""
    with descriptors_beyond(1_100):
        members = [house.join(f"m{number}") for number in range(6)]
        assert min(member.spy.connection.descriptor for member in members) > 1_100
        for number, member in enumerate(members):
            member.send(b"from %d\n" % number)
        house.busy(lambda: all(member.heard.count(b": from ") == 5 for member in members))
        assert house.shown().count(b": from ") == 6
        for member in members:
            member.resets()
        house.loop.turn_until(lambda: house.roster.usernames == [])
