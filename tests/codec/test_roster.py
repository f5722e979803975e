"""Who is in the room: a name is claimed, then its owner is admitted, and at last it is freed."""

from __future__ import annotations

import pytest

from codec.errors import ProtocolError
from codec.events import Event, Kind
from codec.handshake import USERNAME_IN_USE
from codec.roster import Roster
from tests.codec.conftest import refused


def joined(roster: Roster, *usernames: str) -> Roster:
    for username in usernames:
        roster.claim(username)
        roster.apply(Event(Kind.JOINED, username))
    return roster


@pytest.mark.parametrize("username", ["Alice", "alice", "ALICE"])
def test_claim_refuses_a_name_that_a_member_has(username: str) -> None:
    roster = joined(Roster(), "Alice")
    with pytest.raises(ProtocolError) as refusal:
        roster.claim(username)
    assert refusal.value.code == USERNAME_IN_USE
    assert refusal.value.kind == "Username already in use"
    assert str(refusal.value) == f"Username already in use: {username}"
    assert roster.usernames == ["Alice"]


@pytest.mark.parametrize("username", ["Alice", "alice", "ALICE"])
def test_claim_refuses_a_name_that_is_claimed(username: str) -> None:
    roster = Roster()
    roster.claim("Alice")
    with refused(f"Username already in use: {username}"):
        roster.claim(username)


def test_claim_tells_names_apart_by_more_than_ascii_case() -> None:
    roster = joined(Roster(), "Kim")
    roster.claim("\u212aim")  # the Kelvin sign, a k in lower case
    roster.claim("Kim2")


def test_claimed_name_is_neither_listed_nor_found_until_joined() -> None:
    roster = joined(Roster(), "Bob")
    roster.claim("Alice")
    assert roster.usernames == ["Bob"]
    assert roster.users_line == b"Active Users: Bob\n"
    assert roster.find("Alice") is None
    roster.apply(Event(Kind.JOINED, "Alice"))
    assert roster.usernames == ["Bob", "Alice"]
    assert roster.users_line == b"Active Users: Bob, Alice\n"
    assert roster.find("Alice") == "Alice"


def test_member_is_found_as_it_spells_itself_in_any_case() -> None:
    roster = joined(Roster(), "aLiCe")
    assert [roster.find(name) for name in ("Alice", "ALICE", "alice")] == ["aLiCe"] * 3
    assert roster.find("Alic") is None


@pytest.mark.parametrize("spelling", ["Alice", "alice"])
def test_freed_claim_can_be_claimed_again(spelling: str) -> None:
    roster = Roster()
    roster.claim("Alice")
    roster.free(spelling)
    roster.claim("ALICE")
    roster.apply(Event(Kind.JOINED, "ALICE"))
    assert roster.usernames == ["ALICE"]


def test_free_leaves_members_and_other_claims_alone() -> None:
    roster = joined(Roster(), "Alice")
    roster.claim("Bob")
    for username in ("Alice", "Carol"):
        roster.free(username)
    assert roster.usernames == ["Alice"]
    for username in ("Alice", "Bob"):
        with refused(f"Username already in use: {username}"):
            roster.claim(username)


def test_departure_frees_the_name() -> None:
    roster = joined(Roster(), "Alice", "Bob")
    roster.apply(Event(Kind.LEFT, "Alice"))
    assert roster.usernames == ["Bob"]
    assert roster.find("Alice") is None
    roster.claim("alice")


def test_members_are_in_the_order_in_which_they_joined() -> None:
    roster = Roster()
    for username in ("zoe", "Ada", "Mia"):
        roster.claim(username)
    for username in ("Mia", "zoe", "Ada"):
        roster.apply(Event(Kind.JOINED, username))
    assert roster.usernames == ["Mia", "zoe", "Ada"]
    roster.apply(Event(Kind.LEFT, "Mia"))
    joined(roster, "mia")
    assert roster.usernames == ["zoe", "Ada", "mia"]
    assert roster.users_line == b"Active Users: zoe, Ada, mia\n"


def test_usernames_are_a_copy() -> None:
    roster = joined(Roster(), "Alice")
    roster.usernames.clear()
    assert roster.usernames == ["Alice"]


def test_users_line_is_one_object_until_membership_changes() -> None:
    roster = joined(Roster(), "Alice")
    line = roster.users_line
    assert line == b"Active Users: Alice\n"
    roster.claim("Bob")
    for kind in (Kind.SAID, Kind.PRIVATE, Kind.NOTICE):
        roster.apply(Event(kind, "Alice"))
    assert roster.users_line is line
    roster.apply(Event(Kind.JOINED, "Bob"))
    assert roster.users_line == b"Active Users: Alice, Bob\n"
    assert roster.users_line is roster.users_line
    roster.apply(Event(Kind.LEFT, "Alice"))
    assert roster.users_line == b"Active Users: Bob\n"
