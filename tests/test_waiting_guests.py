"""Guests that wait for their turn since their source was wrong too often, on real sockets.

tests/test_gate.py has when that is; here is what becomes of them, and of what they say meanwhile.
"""

from __future__ import annotations

import pytest

from chat.gate import ATTEMPT_SECONDS, BURST_ATTEMPTS, MAX_WAITING_REQUESTS
from chat.session import HANDSHAKE_SECONDS
from codec import Join
from reactor.connection import LINGER_SECONDS, READ_BYTES
from tests.support import protocol
from tests.support.faults import fault
from tests.support.house import House
from tests.support.protocol import error_line

WRONG = error_line(protocol.INCORRECT_PASSCODE)
TOO_MANY = error_line(protocol.TOO_MANY_ATTEMPTS)


@pytest.mark.parametrize("line", [b"JOIN ann abc12\n", b"JOIN ! abc12\n", b"JOIN\n"])
def test_other_refusals_cost_nothing(house: House, line: bytes) -> None:
    house.join("Ann")
    for _ in range(BURST_ATTEMPTS + 1):
        guest = house.ask(line)
        assert house.loop.receive_to_end(guest.socket).startswith(b"ERROR ")
    house.ask(b"JOIN Bob wrong\n").reads_to_end(WRONG)


def test_line_that_is_no_request_does_not_wait_for_a_turn(house: House) -> None:
    house.use_up_budget()
    house.ask(b"hello\n").reads_to_end(error_line(protocol.EXPECTED_JOIN))


def test_what_a_guest_says_while_it_waits_comes_after_its_join(house: House) -> None:
    ann = house.join("Ann")
    house.use_up_budget()
    bob = house.ask(b"JOIN Bob abc12\nfirst\n:Users\n")
    cid = house.ask(b"JOIN Cid abc12\n")
    bob.send(b"second\nunfini")
    bob.reads_nothing()
    ann.reads_nothing()
    assert house.shown() == b"Ann joined the chatroom\n"
    house.loop.pass_seconds(ATTEMPT_SECONDS)
    bob.reads(b"OK\nActive Users: Ann, Bob\n")
    ann.reads(b"Bob joined the chatroom\nBob: first\n")
    cid.reads(b"OK\n")
    bob.send(b"shed\n")
    house.busy(lambda: b"Bob: unfinished\n" in ann.heard and b"Bob: unfinished\n" in cid.heard)
    by_bob = [line for line in ann.heard.splitlines() if line.startswith(b"Bob: ")]
    assert by_bob == [b"Bob: first", b"Bob: second", b"Bob: unfinished"]
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    bob.reads_nothing()
    assert house.log == [], "a member has no deadline any more"


def test_waiting_guest_is_not_read_until_its_turn(house: House) -> None:
    ann = house.join("Ann")
    house.use_up_budget()
    line = b"x" * 1000 + b"\n"
    bob = house.knock()
    bob.types(b"JOIN Bob abc12\n" + line * 6_000)
    for _ in range(50):
        bob.act()
        house.loop.turn()
    assert 0 < bob.spy.received_bytes <= READ_BYTES
    assert bob.unsent, "it feels that none reads it"
    assert not house.loop.interest_in(bob.spy.connection.descriptor)
    house.loop.pass_seconds(ATTEMPT_SECONDS)
    house.busy(lambda: not bob.unsent)
    bob.types(b"end\n")
    house.busy(lambda: ann.heard.endswith(b"Bob: end\n"))
    assert ann.heard.count(b"Bob: " + line) == 6_000


@fault(44)
def test_guest_beyond_the_queue_or_its_time_is_not_judged(house: House) -> None:
    house.use_up_budget()
    waiting = [house.ask(b"JOIN Bob wrong\n") for _ in range(3)]
    waiting += [house.ask(b"JOIN Bob abc12\n") for _ in range(MAX_WAITING_REQUESTS - 3)]
    beyond = house.ask(b"JOIN Bob abc12\n")
    beyond.reads_to_end(TOO_MANY)
    assert house.seconds == 0
    assert house.log == [f"refused {beyond.address}: too many attempts, try again later"]
    for person in waiting[:3]:
        house.loop.pass_seconds(ATTEMPT_SECONDS)
        person.reads_to_end(WRONG)
    house.loop.pass_seconds(HANDSHAKE_SECONDS - house.seconds - 0.25)
    for person in waiting[3:]:
        person.reads_nothing()
    house.loop.pass_seconds(0.25)
    for person in waiting[3:]:
        person.reads_to_end(TOO_MANY)
    assert house.roster.usernames == []
    for person in house.people:
        person.socket.close()
    house.loop.turn_until(house.loop.is_idle)


def test_guests_whose_time_is_up_leave_their_places_at_once(house: House) -> None:
    house.use_up_budget()
    house.use_up_budget()
    for _ in range(MAX_WAITING_REQUESTS):
        house.ask(b"JOIN Bob wrong\n")
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    house.ask(b"JOIN Bob wrong\n").reads_nothing()


# Ends.


def test_guest_that_ended_its_half_while_it_waits_is_judged(house: House) -> None:
    ann = house.join("Ann")
    house.use_up_budget()
    bob = house.ask(b"JOIN Bob abc12\nlast words\n")
    bob.ends()
    house.loop.pass_seconds(ATTEMPT_SECONDS)
    ann.reads(b"Bob joined the chatroom\nBob: last words\nBob left the chatroom\n")
    bob.reads_to_end(b"OK\n")


@fault(23)
def test_guest_that_was_reset_while_it_waits_is_not_judged(house: House) -> None:
    house.use_up_budget()
    house.ask(b"JOIN Bob abc12\n").resets()
    cid = house.ask(b"JOIN Cid abc12\n")
    house.loop.pass_seconds(2 * ATTEMPT_SECONDS)
    cid.reads(b"OK\n")
    assert house.shown() == b"Cid joined the chatroom\n"


def test_guest_that_waits_at_shutdown_is_not_judged(house: House) -> None:
    ann = house.join("Ann")
    house.use_up_budget()
    waiting = [house.ask(line) for line in (b"JOIN Bob abc12\n", b"JOIN Mallory wrong\n")]
    house.loop.pass_seconds(ATTEMPT_SECONDS - LINGER_SECONDS / 4)
    house.room.shut_down()
    ann.reads_to_end(b"Server is shutting down\n")
    house.loop.pass_seconds(LINGER_SECONDS / 2)  # their turn comes while they linger
    for person in waiting:
        person.reads_to_end(b"")
    house.loop.pass_seconds(ATTEMPT_SECONDS)
    assert house.roster.usernames == ["Ann"]
    assert house.empty_calls == 1
    assert house.log == []


def test_bug_in_judging_a_guest_that_waited_costs_it_alone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.use_up_budget()
    house.ask(b"JOIN Bob abc12\n")
    cid = house.ask(b"JOIN Cid abc12\n")

    def check(request: Join) -> None:
        if request.username == "Bob":
            raise ZeroDivisionError

    monkeypatch.setattr(house.dispatcher, "check", check)
    house.loop.pass_seconds(ATTEMPT_SECONDS)
    cid.reads(b"OK\n")
    assert [type(error) for error in house.loop.take_errors()] == [ZeroDivisionError]
