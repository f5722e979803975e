"""The members: a name is claimed, then its owner is admitted, and at last it is freed."""

from __future__ import annotations

import pytest

from codec.events import Event, Kind
from codec.handshake import USERNAME_IN_USE
from codec.roster import Roster
from tests.codec.conftest import refused
from tests.support import protocol


def joined(*usernames: str) -> Roster:
    roster = Roster()
    for username in usernames:
        roster.claim(username)
        roster.apply(Event(Kind.JOINED, username))
    return roster


def test_only_ascii_letters_have_case_in_names() -> None:
    roster = joined("Kim")
    assert roster.find("\u212aim") is None  # the Kelvin sign, a k in lower case
    roster.claim("\u212aim")


def test_claimed_name_is_neither_listed_nor_found_until_joined() -> None:
    roster = joined("Bob")
    roster.claim("Alice")
    assert roster.usernames == ["Bob"]
    assert roster.users_line == b"Active Users: Bob\n"
    assert roster.find("Alice") is None


@pytest.mark.parametrize("spelling", ["Alice", "alice"])
def test_freed_claim_can_be_claimed_again(spelling: str) -> None:
    roster = Roster()
    roster.claim("Alice")
    roster.free(spelling)
    roster.claim("ALICE")


def test_free_leaves_members_and_other_claims_alone() -> None:
    roster = joined("Alice")
    roster.claim("Bob")
    for username in ("Alice", "Carol"):
        roster.free(username)
    for username in ("aLICE", "BOB"):
        with refused(protocol.NAME_IN_USE + username, USERNAME_IN_USE):
            roster.claim(username)


def test_members_are_in_the_order_in_which_they_joined() -> None:
    roster = Roster()
    for username in ("zoe", "Ada", "b-b_b.9"):
        roster.claim(username)
    for username in ("b-b_b.9", "zoe", "Ada"):
        roster.apply(Event(Kind.JOINED, username))
    assert roster.usernames == ["b-b_b.9", "zoe", "Ada"]
    assert len(roster) == 3
    assert roster.users_line == b"Active Users: b-b_b.9, zoe, Ada\n"


def test_usernames_are_a_copy() -> None:
    roster = joined("Alice")
    roster.usernames.clear()
    assert roster.usernames == ["Alice"]


def test_users_line_is_one_object_until_membership_changes() -> None:
    roster = joined("Alice")
    line = roster.users_line
    assert line == b"Active Users: Alice\n"
    roster.claim("Bob")
    for kind in (Kind.SAID, Kind.PRIVATE, Kind.NOTICE):
        roster.apply(Event(kind, "Alice"))
    assert roster.users_line is line
    roster.apply(Event(Kind.JOINED, "Bob"))
    assert roster.users_line == b"Active Users: Alice, Bob\n"
    roster.apply(Event(Kind.LEFT, "Alice"))
    assert roster.users_line == b"Active Users: Bob\n"
