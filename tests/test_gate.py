"""Strangers pay for strangers: the pool, the budget of each source, and who is judged when."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import selectors
from collections import defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat import gate
from chat.gate import ATTEMPT_SECONDS, BURST_ATTEMPTS, MAX_WAITING_REQUESTS, POOL_CONNECTIONS, Gate
from chat.session import HANDSHAKE_SECONDS
from codec import ProtocolError
from reactor import raise_descriptor_limit
from reactor.connection import LINGER_SECONDS, READ_BYTES
from reactor.listener import REST_SECONDS
from tests.reactor.conftest import Loop
from tests.support.faults import fault
from tests.test_room import House, Person

INCORRECT = "Incorrect passcode"
TOO_MANY_ATTEMPTS = "Too many attempts, try again later"
TOO_MANY_CONNECTIONS = "Too many connections"
SERVER_FULL = "Server full"


def error_line(reason: str) -> bytes:
    return f"ERROR {reason}\n".encode()


# The gate alone, on a clock that the tests move.


class Caller:
    """A stranger with a request that is right or wrong, and what has become of it."""

    def __init__(self, desk: Desk, source: str, is_right: bool) -> None:
        self.source = source
        self.is_right = is_right
        self.fate: list[tuple[str, float]] = []
        self._desk = desk

    def go_on(self) -> None:
        self._note("judged")
        if not self.is_right:
            self._desk.gate.note_wrong_passcode(self.source)

    def turn_away(self, error: ProtocolError) -> None:
        self._note(str(error))
        self._desk.gate.withdraw(self)

    def drop(self, error: ProtocolError) -> None:
        self._note(f"dropped: {error}")

    def _note(self, what: str) -> None:
        self.fate.append((what, self._desk.seconds))


class Desk:
    """A Gate, its clock from 0 on, and the callers who come to it."""

    def __init__(self) -> None:
        self.loop = Loop(selectors.DefaultSelector())
        self.gate = Gate(self.loop.reactor)

    @property
    def seconds(self) -> float:
        return self.loop.reactor.now - 1000

    def admit(self, source: str = "home") -> Caller:
        caller = Caller(self, source, is_right=False)
        self.gate.arrive(caller)
        return caller

    def ask(self, source: str = "home", is_right: bool = False) -> Caller:
        """A stranger comes with a complete request."""
        caller = Caller(self, source, is_right)
        if self.gate.ask(caller):
            caller.go_on()
        return caller

    def ask_often(self, count: int, source: str = "home", is_right: bool = False) -> list[Caller]:
        return [self.ask(source, is_right) for _ in range(count)]

    def close(self) -> None:
        self.loop.reactor.close()
        assert self.loop.take_errors() == []


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


def fates(callers: list[Caller]) -> list[list[tuple[str, float]]]:
    return [caller.fate for caller in callers]


def judged(*seconds: float) -> list[list[tuple[str, float]]]:
    """The fates of callers who were judged then."""
    return [[("judged", second)] for second in seconds]


# The pool.


def test_a_newcomer_takes_the_place_of_the_oldest_once_the_pool_is_full(desk: Desk) -> None:
    callers = [desk.admit() for _ in range(POOL_CONNECTIONS)]
    assert not any(caller.fate for caller in callers)
    callers += [desk.admit(), desk.admit()]
    dropped = [(f"dropped: {TOO_MANY_CONNECTIONS}", 0.0)]
    assert fates(callers[:2]) == [dropped, dropped]
    assert not any(caller.fate for caller in callers[2:])


def test_whoever_was_released_does_not_count_and_is_not_dropped(desk: Desk) -> None:
    first, second, third = (desk.admit() for _ in range(3))
    others = [desk.admit() for _ in range(POOL_CONNECTIONS - 3)]
    for caller in (first, third):
        desk.gate.release(caller)
        desk.gate.release(caller)
    others += [desk.admit(), desk.admit()]
    assert second.fate == []
    others += [desk.admit()]
    assert second.fate == [(f"dropped: {TOO_MANY_CONNECTIONS}", 0.0)]
    assert first.fate == third.fate == []
    assert not any(caller.fate for caller in others)


def test_room_is_made_by_the_oldest_and_by_each_once(desk: Desk) -> None:
    assert desk.gate.make_room() is False
    callers = [desk.admit() for _ in range(3)]
    desk.gate.release(callers.pop(1))
    for caller in callers:
        assert caller.fate == []
        assert desk.gate.make_room()
        assert caller.fate == [(f"dropped: {SERVER_FULL}", 0.0)]
    assert not desk.gate.make_room()
    assert [len(caller.fate) for caller in callers] == [1, 1]


def test_one_who_made_room_does_not_count_any_more(desk: Desk) -> None:
    callers = [desk.admit() for _ in range(POOL_CONNECTIONS)]
    desk.gate.make_room()
    callers.append(desk.admit())
    assert not any(caller.fate for caller in callers[1:])


# The budget.


def test_a_burst_is_judged_at_once_and_then_one_each_five_seconds(desk: Desk) -> None:
    callers = desk.ask_often(BURST_ATTEMPTS + 4)
    assert fates(callers[:BURST_ATTEMPTS]) == judged(*[0.0] * BURST_ATTEMPTS)
    desk.loop.pass_seconds(4.75)
    assert not any(caller.fate for caller in callers[BURST_ATTEMPTS:])
    desk.loop.pass_seconds(30)
    assert fates(callers[BURST_ATTEMPTS:]) == judged(5.0, 10.0, 15.0, 20.0)


def test_the_figures_are_those_that_are_promised() -> None:
    promised = (128, 20, 5.0, 16, 4096)
    assert promised == (
        gate.POOL_CONNECTIONS,
        gate.BURST_ATTEMPTS,
        gate.ATTEMPT_SECONDS,
        gate.MAX_WAITING_REQUESTS,
        gate.MAX_SOURCES,
    )


@pytest.mark.parametrize(("pause", "attempts"), [(4.75, 0), (5.0, 1), (36.0, 7), (99.0, 19)])
def test_a_pause_gives_back_an_attempt_for_each_five_seconds(
    desk: Desk, pause: float, attempts: int
) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    desk.loop.pass_seconds(pause)
    callers = desk.ask_often(attempts + 1)
    assert fates(callers[:attempts]) == judged(*[pause] * attempts)
    assert callers[-1].fate == []
    desk.loop.pass_seconds(5)
    assert fates(callers[-1:]) == judged(5.0 * (attempts + 1))


def test_however_long_the_pause_it_gives_back_no_more_than_a_burst(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    desk.loop.pass_seconds(1_000)
    callers = desk.ask_often(BURST_ATTEMPTS + 1)
    assert [bool(caller.fate) for caller in callers] == [True] * BURST_ATTEMPTS + [False]
    desk.loop.pass_seconds(5)
    assert fates(callers[-1:]) == judged(1_005.0)


def test_one_wrong_passcode_in_five_seconds_never_waits(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS - 1)
    for _ in range(50):
        assert desk.ask().fate
        desk.loop.pass_seconds(5)


def test_right_passcodes_cost_nothing_and_give_nothing(desk: Desk) -> None:
    assert all(caller.fate for caller in desk.ask_often(100, is_right=True))
    desk.ask_often(BURST_ATTEMPTS - 1)
    assert all(caller.fate for caller in desk.ask_often(100, is_right=True))
    assert desk.ask().fate
    assert not desk.ask().fate


def test_beyond_the_budget_a_right_one_waits_too_and_then_costs_the_next_nothing(
    desk: Desk,
) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    callers = [desk.ask(is_right=right) for right in (True, True, False, True, False)]
    assert not any(caller.fate for caller in callers)
    desk.loop.pass_seconds(30)
    assert fates(callers) == judged(5.0, 5.0, 5.0, 10.0, 10.0)


def test_whoever_comes_while_others_wait_waits_behind_them(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    first = desk.ask()
    desk.loop.pass_seconds(3)
    second = desk.ask(is_right=True)
    desk.loop.pass_seconds(3)
    third = desk.ask()
    desk.loop.pass_seconds(30)
    assert fates([first, second, third]) == judged(5.0, 10.0, 10.0)


def test_once_all_who_waited_are_served_the_budget_is_as_before(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS + 1)
    desk.loop.pass_seconds(5)
    late = desk.ask()
    assert late.fate == []
    desk.loop.pass_seconds(5)
    assert fates([late]) == judged(10.0)
    desk.loop.pass_seconds(10)
    assert fates(desk.ask_often(2)) == judged(20.0, 20.0)


def test_more_than_so_many_who_wait_are_sent_away_unjudged(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    waiting = desk.ask_often(MAX_WAITING_REQUESTS)
    assert not any(caller.fate for caller in waiting)
    turned_away = desk.ask_often(2, is_right=True)
    assert fates(turned_away) == [[(TOO_MANY_ATTEMPTS, 0.0)]] * 2
    elsewhere = desk.ask("elsewhere")
    assert fates([elsewhere]) == judged(0.0)
    desk.loop.pass_seconds(5)
    assert fates(waiting[:1]) == judged(5.0)
    last, too_late = desk.ask_often(2)
    assert last.fate == []
    assert too_late.fate == [(TOO_MANY_ATTEMPTS, 5.0)]
    desk.loop.pass_seconds(200)
    assert fates([*waiting, last]) == judged(*range(5, 90, 5))
    assert [len(caller.fate) for caller in turned_away] == [1, 1]


def test_other_sources_do_not_notice(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS + MAX_WAITING_REQUESTS + 5)
    others = desk.ask_often(BURST_ATTEMPTS, "elsewhere")
    assert fates(others) == judged(*[0.0] * BURST_ATTEMPTS)
    desk.loop.pass_seconds(2)
    late = desk.ask("elsewhere")
    third = desk.ask("a third place")
    desk.loop.pass_seconds(3)
    assert fates([late, third]) == judged(5.0, 2.0)


# Those who do not wait to the end.


def withdraw(desk: Desk, caller: Caller) -> None:
    desk.gate.withdraw(caller)
    desk.gate.withdraw(caller)


def release(desk: Desk, caller: Caller) -> None:
    desk.gate.release(caller)


def drop_to_make_room(desk: Desk, caller: Caller) -> None:
    desk.gate.arrive(caller)
    assert desk.gate.make_room()


def drop_for_a_newcomer(desk: Desk, caller: Caller) -> None:
    desk.gate.arrive(caller)
    for _ in range(POOL_CONNECTIONS):
        desk.admit()


@pytest.mark.parametrize("go", [withdraw, release, drop_to_make_room, drop_for_a_newcomer])
def test_one_who_goes_while_it_waits_is_not_judged_and_costs_no_turn(
    desk: Desk, go: Callable[[Desk, Caller], None]
) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    first, second, third = desk.ask_often(3)
    go(desk, first)
    desk.loop.pass_seconds(30)
    assert ("judged", 5.0) not in first.fate
    assert fates([second, third]) == judged(5.0, 10.0)


def test_to_withdraw_without_having_asked_does_no_harm(desk: Desk) -> None:
    desk.gate.withdraw(desk.admit("nowhere"))
    desk.gate.release(Caller(desk, "nowhere", is_right=True))


def test_when_all_who_waited_have_gone_the_next_one_has_their_turn(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    for caller in desk.ask_often(2):
        desk.gate.withdraw(caller)
    desk.loop.pass_seconds(3)
    next_one = desk.ask()
    assert next_one.fate == []
    desk.loop.pass_seconds(30)
    assert fates([next_one]) == judged(5.0)


def test_when_all_who_waited_have_gone_and_nobody_comes_all_is_forgotten(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    for caller in desk.ask_often(MAX_WAITING_REQUESTS):
        desk.gate.withdraw(caller)
    desk.loop.pass_seconds(5)
    assert desk.loop.is_idle()
    assert fates([desk.ask()]) == judged(5.0)


# What it costs.


def test_with_nobody_waiting_there_is_no_timer(desk: Desk) -> None:
    assert desk.loop.is_idle()
    for _ in range(POOL_CONNECTIONS + 1):
        desk.admit()
    desk.gate.make_room()
    desk.ask_often(BURST_ATTEMPTS)
    desk.ask_often(BURST_ATTEMPTS, "elsewhere")
    assert desk.loop.is_idle()
    desk.ask_often(3)
    desk.loop.pass_seconds(15)
    assert desk.loop.is_idle()


def test_those_who_wait_cost_one_wakeup_for_each_turn(desk: Desk) -> None:
    desk.ask_often(BURST_ATTEMPTS + MAX_WAITING_REQUESTS)
    desk.loop.selector.waits.clear()
    for _ in range(MAX_WAITING_REQUESTS):
        desk.loop.reactor.run_once()
    assert desk.loop.selector.waits == [ATTEMPT_SECONDS] * MAX_WAITING_REQUESTS
    assert desk.loop.is_idle()


@pytest.mark.parametrize(
    "seconds",
    [5.0, 0.1],
)
def test_a_turn_takes_one_wakeup_whatever_the_fractions_of_a_second(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(gate, "ATTEMPT_SECONDS", seconds)
    for _ in range(20):
        desk.loop.pass_seconds(100.1)
        desk.ask_often(BURST_ATTEMPTS)
        waiting = desk.ask_often(MAX_WAITING_REQUESTS)
        for _ in waiting:
            desk.loop.reactor.run_once()
        assert all(caller.fate for caller in waiting)
        assert desk.loop.is_idle()


def test_so_many_sources_are_remembered_and_no_more(desk: Desk) -> None:
    sources = [str(number) for number in range(gate.MAX_SOURCES)]
    for source in sources:
        desk.ask_often(BURST_ATTEMPTS, source)
    first, second, *others = sources
    assert desk.ask(first).fate == []
    desk.ask("one more")
    assert desk.ask(first).fate == [], "who waits keeps its place"
    assert not desk.ask(second).fate
    assert not any(desk.ask(source).fate for source in others[::500])


def test_the_one_to_be_forgotten_was_wrong_longest_ago(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MAX_SOURCES", 3)
    for source in ("a", "b", "c"):
        desk.ask_often(BURST_ATTEMPTS - 1, source)
    desk.ask("a")  # so that b was wrong longest ago
    desk.ask("d")
    assert not desk.ask("a").fate
    assert all(caller.fate for caller in desk.ask_often(BURST_ATTEMPTS, "b"))
    assert not desk.ask("b").fate


def test_whoever_is_forgotten_while_others_of_its_source_wait_leaves_them_their_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MAX_SOURCES", 1)
    desk.ask_often(BURST_ATTEMPTS)
    waiting = desk.ask()
    desk.ask("elsewhere")
    desk.loop.pass_seconds(10)
    assert fates([waiting]) == judged(5.0)
    assert desk.loop.is_idle()


# All of it at once, beside a bucket of tokens that is filled drop by drop.


class Bucket:
    """What is to become of the requests of one source, second by second."""

    def __init__(self) -> None:
        self.tokens = Fraction(BURST_ATTEMPTS)
        self.queue: list[Caller] = []
        self.expected: dict[Caller, list[tuple[str, float]]] = {}

    def ask(self, caller: Caller, second: int) -> None:
        self.expected[caller] = []
        if len(self.queue) == MAX_WAITING_REQUESTS:
            self.expected[caller] = [(TOO_MANY_ATTEMPTS, second)]
        else:
            self.queue.append(caller)
            self.serve(second)

    def serve(self, second: int) -> None:
        while self.queue and self.tokens >= 1:
            caller = self.queue.pop(0)
            self.expected[caller] = [("judged", second)]
            self.tokens -= not caller.is_right

    def pass_second(self, second: int) -> None:
        self.tokens = min(Fraction(BURST_ATTEMPTS), self.tokens + Fraction(1, 5))
        self.serve(second)


@fault(44)
@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(1, 25)),
            st.tuples(st.just("ask, right"), st.integers(1, 3)),
            st.tuples(st.just("withdraw"), st.integers(0, 20)),
            st.tuples(st.just("pass"), st.integers(1, 40)),
        ),
        max_size=25,
    ),
    st.lists(st.sampled_from(["home", "elsewhere"]), min_size=25, max_size=25),
)
def test_whatever_comes_each_is_judged_when_a_bucket_of_tokens_says_so(
    steps: list[tuple[str, int]], sources: list[str]
) -> None:
    desk = Desk()
    buckets: defaultdict[str, Bucket] = defaultdict(Bucket)
    second = 0
    for (step, count), source in zip([*steps, ("pass", 100)], [*sources, "home"], strict=False):
        bucket = buckets[source]
        if step == "pass":
            for _ in range(count):
                desk.loop.pass_seconds(1)
                second += 1
                for each in buckets.values():
                    each.pass_second(second)
        elif step == "withdraw":
            for caller in bucket.queue[count : count + 1]:
                bucket.queue.remove(caller)
                desk.gate.withdraw(caller)
        else:
            for _ in range(count):
                caller = Caller(desk, source, is_right=step == "ask, right")
                if desk.gate.ask(caller):
                    caller.go_on()
                bucket.ask(caller, second)
        for each in buckets.values():
            assert {caller: caller.fate for caller in each.expected} == each.expected
    assert desk.loop.is_idle()
    desk.close()


# The whole path, on real sockets.


class Street(House):
    """A House on a street with several addresses."""

    def ask(self, line: bytes, source: str = "") -> Person:
        """A stranger who has said this."""
        person = self.connect(source)
        person.send(line)
        return person

    def use_up_budget(self, source: str = "127.0.0.1") -> None:
        for _ in range(BURST_ATTEMPTS):
            self.room.gate.note_wrong_passcode(source)

    @property
    def seconds(self) -> float:
        return self.loop.reactor.now - 1000


@pytest.fixture
def street() -> Iterator[Street]:
    street = Street(is_verbose=True)
    yield street
    street.close()


@fault(44)
def test_wrong_passcodes_cost_their_source_and_nobody_else(street: Street) -> None:
    ann = street.join("Ann")
    for _ in range(BURST_ATTEMPTS):
        street.ask(b"JOIN Bob wrong\n").reads_to_end(error_line(INCORRECT))
    waiting = [street.ask(b"JOIN Bob wrong\n") for _ in range(2)]
    for person in waiting:
        person.reads_nothing()
    street.ask(b"JOIN Eve wrong\n", "127.0.0.2").reads_to_end(error_line(INCORRECT))
    cid = street.ask(b"JOIN Cid abc12\n", "127.0.0.2")
    cid.reads(b"OK\n")
    ann.reads(b"Cid joined the chatroom\n")
    ann.send(b"hello\n")
    cid.reads(b"Ann: hello\n")
    for person in waiting:
        person.reads_nothing()
        street.loop.pass_seconds(ATTEMPT_SECONDS)
        person.reads_to_end(error_line(INCORRECT))
    assert street.seconds == 2 * ATTEMPT_SECONDS


@pytest.mark.parametrize(
    "line", [b"JOIN ann abc12\n", b"JOIN ! abc12\n", b"JOIN\n", b"x" * 300 + b"\n"]
)
def test_other_refusals_cost_nothing(street: Street, line: bytes) -> None:
    street.join("Ann")
    for _ in range(BURST_ATTEMPTS + 1):
        stranger = street.ask(line)
        assert street.loop.receive_to_end(stranger.socket).startswith(b"ERROR ")
    street.ask(b"JOIN Bob wrong\n").reads_to_end(error_line(INCORRECT))


@pytest.mark.parametrize("line", [b"hello\n", b"x" * 257 + b"\n"])
def test_a_request_that_is_none_does_not_wait_for_its_turn(street: Street, line: bytes) -> None:
    street.use_up_budget()
    street.ask(line).reads_to_end(error_line("Expected: JOIN <username> <passcode>"))


def test_one_who_had_to_wait_is_let_in_and_what_it_said_meanwhile_comes_after(
    street: Street,
) -> None:
    ann = street.join("Ann")
    street.use_up_budget()
    bob = street.ask(b"JOIN Bob abc12\nfirst\n:Users\n")
    cid = street.ask(b"JOIN Cid abc12\n")
    bob.send(b"second\nunfini")
    bob.reads_nothing()
    ann.reads_nothing()
    assert street.shown() == b"Ann joined the chatroom\n"
    street.loop.pass_seconds(ATTEMPT_SECONDS)
    bob.reads(b"OK\nActive Users: Ann, Bob\n")
    assert ann.read(24 + 11) == b"Bob joined the chatroom\nBob: first\n"
    cid.reads(b"OK\n")
    bob.send(b"shed\n")
    street.busy(lambda: b"Bob: unfinished\n" in ann.heard and b"Bob: unfinished\n" in cid.heard)
    by_bob = [line for line in ann.heard.splitlines() if line.startswith(b"Bob: ")]
    assert by_bob == [b"Bob: first", b"Bob: second", b"Bob: unfinished"]
    assert street.seconds == ATTEMPT_SECONDS
    bob.send(b":Exit\n")
    assert bob.spy.connection.is_closing


@fault(45)
def test_a_wrong_one_who_had_to_wait_has_one_guess(street: Street) -> None:
    street.use_up_budget()
    stranger = street.ask(b"JOIN Bob wrong\nJOIN Bob abc12\n")
    stranger.reads_nothing()
    street.loop.pass_seconds(ATTEMPT_SECONDS)
    stranger.reads_to_end(error_line(INCORRECT))
    assert street.roster.usernames == []


def test_a_member_who_had_to_wait_has_no_deadline(street: Street) -> None:
    street.use_up_budget()
    bob = street.ask(b"JOIN Bob abc12\n")
    street.loop.pass_seconds(2 * HANDSHAKE_SECONDS)
    bob.reads(b"OK\n")
    bob.reads_nothing()
    assert street.log == []


def test_what_one_who_waits_says_is_not_read_until_its_turn(street: Street) -> None:
    ann = street.join("Ann")
    street.use_up_budget()
    bob = street.ask(b"JOIN Bob abc12\n")
    line = b"x" * 1000 + b"\n"
    bob.types(line * 8_000)
    for _ in range(50):
        bob.act()
        street.loop.turn()
    assert bob.spy.received_bytes == len(b"JOIN Bob abc12\n")
    assert bob.unsent, "it feels that nobody reads it"
    assert not street.loop.interest_in(bob.spy.connection.descriptor)
    street.loop.pass_seconds(ATTEMPT_SECONDS)
    street.busy(lambda: ann.heard.count(b"\n") >= 8_000 + 2)
    assert ann.heard.count(b"Bob: " + line) == 8_000


def test_what_came_with_its_request_is_all_that_is_kept_of_one_who_waits(street: Street) -> None:
    street.use_up_budget()
    bob = street.knock()
    bob.types(b"JOIN Bob abc12\n" + b"x\n" * 1_000_000)
    for _ in range(50):
        bob.act()
        street.loop.turn()
    assert 0 < bob.spy.received_bytes <= READ_BYTES


@fault(44)
def test_those_beyond_the_queue_are_told_at_once_and_not_judged(street: Street) -> None:
    street.use_up_budget()
    waiting = [street.ask(b"JOIN Bob wrong\n") for _ in range(MAX_WAITING_REQUESTS)]
    right = street.ask(b"JOIN Bob abc12\n")
    right.reads_to_end(error_line(TOO_MANY_ATTEMPTS))
    assert street.seconds == 0
    for person in waiting:
        person.reads_nothing()
    assert street.roster.usernames == []
    assert street.log == [f"refused {right.address}: too many attempts, try again later"]


@fault(44)
def test_one_whose_time_is_up_while_it_waits_is_told_so_and_not_judged(street: Street) -> None:
    street.use_up_budget()
    waiting = [street.ask(b"JOIN Bob wrong\n") for _ in range(4)]
    right = street.ask(b"JOIN Bob abc12\n")
    silent = street.connect()
    for person in waiting[:3]:
        street.loop.pass_seconds(ATTEMPT_SECONDS)
        person.reads_to_end(error_line(INCORRECT))
    street.loop.pass_seconds(HANDSHAKE_SECONDS - street.seconds - 0.25)
    for person in (waiting[3], right, silent):
        person.reads_nothing()
    street.loop.pass_seconds(0.25)
    waiting[3].reads_to_end(error_line(TOO_MANY_ATTEMPTS))
    right.reads_to_end(error_line(TOO_MANY_ATTEMPTS))
    silent.reads_to_end(error_line("Handshake timed out"))
    assert street.seconds == HANDSHAKE_SECONDS
    for person in street.people:
        person.socket.close()
    street.loop.pass_seconds(60)
    assert street.roster.usernames == []
    assert street.loop.is_idle()


def test_those_whose_time_is_up_leave_their_places_at_once(street: Street) -> None:
    street.use_up_budget()
    street.use_up_budget()
    waiting = [street.ask(b"JOIN Bob wrong\n") for _ in range(MAX_WAITING_REQUESTS)]
    street.loop.pass_seconds(HANDSHAKE_SECONDS)
    street.ask(b"JOIN Bob wrong\n").reads_nothing()
    for person in waiting:
        person.reads_to_end(error_line(TOO_MANY_ATTEMPTS))


def test_one_who_ended_its_half_while_it_waits_is_judged_all_the_same(street: Street) -> None:
    ann = street.join("Ann")
    street.use_up_budget()
    bob = street.ask(b"JOIN Bob abc12\nlast words\n")
    bob.ends()
    street.loop.pass_seconds(ATTEMPT_SECONDS)
    ann.reads(b"Bob joined the chatroom\nBob: last words\nBob left the chatroom\n")
    bob.reads_to_end(b"OK\n")


@fault(23)
def test_one_who_was_reset_while_it_waits_is_not_judged(street: Street) -> None:
    ann = street.join("Ann")
    street.shown()
    street.use_up_budget()
    street.ask(b"JOIN Bob abc12\n").resets()
    cid = street.ask(b"JOIN Cid abc12\n")
    street.loop.pass_seconds(2 * ATTEMPT_SECONDS)
    cid.reads(b"OK\n")
    ann.reads(b"Cid joined the chatroom\n")
    assert street.shown() == b"Cid joined the chatroom\n"


def test_one_who_is_dropped_while_it_waits_is_not_judged(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "POOL_CONNECTIONS", 3)
    street.use_up_budget()
    bob = street.ask(b"JOIN Bob abc12\n")
    cid = street.ask(b"JOIN Cid abc12\n")
    for _ in range(2):
        street.connect("127.0.0.2")
    bob.reads_to_end(error_line(TOO_MANY_CONNECTIONS))
    street.loop.pass_seconds(ATTEMPT_SECONDS)
    cid.reads(b"OK\n")
    assert street.roster.usernames == ["Cid"]


def test_one_who_waits_at_shutdown_is_not_judged(street: Street) -> None:
    ann = street.join("Ann")
    street.use_up_budget()
    bob = street.ask(b"JOIN Bob abc12\n")
    mallory = street.ask(b"JOIN Mallory wrong\n")
    street.loop.pass_seconds(ATTEMPT_SECONDS - LINGER_SECONDS / 4)
    street.room.shut_down()
    ann.reads_to_end(b"Server is shutting down\n")
    street.loop.pass_seconds(LINGER_SECONDS / 2)  # their turn comes while they linger
    bob.reads_to_end(b"")
    mallory.reads_to_end(b"")
    street.loop.pass_seconds(ATTEMPT_SECONDS)
    assert street.roster.usernames == ["Ann"]
    assert street.empty_calls == 1
    assert street.log == []


def test_a_bug_in_judging_one_who_waited_costs_it_alone(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    street.use_up_budget()
    street.ask(b"JOIN Bob abc12\n")
    cid = street.ask(b"JOIN Cid abc12\n")
    check = street.dispatcher.check

    def fail_for_bob(request: object) -> object:
        if getattr(request, "username", "") == "Bob":
            raise ZeroDivisionError
        return check(request)  # type: ignore[arg-type]

    monkeypatch.setattr(street.dispatcher, "check", fail_for_bob)
    street.loop.pass_seconds(ATTEMPT_SECONDS)
    cid.reads(b"OK\n")
    assert [type(error) for error in street.loop.take_errors()] == [ZeroDivisionError]


# The pool, on real sockets.


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_descriptor_limit()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def count_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@fault(19)
@pytest.mark.usefixtures("many_descriptors")
def test_of_a_thousand_who_come_at_once_and_say_nothing_the_newest_stay(street: Street) -> None:
    ann = street.join("Ann")
    bob = street.join("Bob", ann)
    descriptors = count_descriptors()
    crowd = [street.knock() for _ in range(1_000)]
    most_descriptors = 0

    def are_all_in() -> bool:
        nonlocal most_descriptors
        most_descriptors = max(most_descriptors, count_descriptors())
        return crowd[-1].address in street.spies

    ann.socket.send(b"hello\n")
    street.loop.turn()
    assert bob.read(len(b"Ann: hello\n")) == b"Ann: hello\n"
    assert not are_all_in(), "she was not kept waiting by all of them"
    street.loop.turn_until(are_all_in)
    assert most_descriptors <= descriptors + len(crowd) + POOL_CONNECTIONS
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
    street.loop.turn_until(lambda: len(street.roster.usernames) == 2)
    street.loop.pass_seconds(LINGER_SECONDS)
    assert count_descriptors() == descriptors
    first, more = street.log
    assert first == f"refused {crowd[0].address}: too many connections"
    assert more == "refused 871 more: too many connections"


def test_members_and_those_who_are_gone_are_not_of_the_pool_and_the_refused_who_linger_are(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "POOL_CONNECTIONS", 3)
    ann = street.join("Ann")
    refused = street.ask(b"hello\n")
    stranger = street.connect()
    bob = street.join("Bob", ann)
    gone = street.connect()
    gone.socket.close()
    street.loop.turn_until(lambda: gone.spy.connection.is_closing)
    street.loop.turn(2)
    third = street.connect()
    refused.reads(error_line("Expected: JOIN <username> <passcode>"))
    assert street.loop.interest_in(refused.spy.connection.descriptor), "it lingers"
    last = street.connect()
    street.loop.turn(2)
    assert not street.loop.interest_in(refused.spy.connection.descriptor)
    refused.reads_to_end(b"")
    for person in (stranger, third, last, ann, bob):
        person.reads_nothing()
    street.connect()
    stranger.reads_to_end(error_line(TOO_MANY_CONNECTIONS))
    assert sum("expected" in line for line in street.log) == 1


# Out of descriptors.


def take_all(descriptors: list[int]) -> None:
    while True:
        descriptors.append(os.dup(0))


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[list[int]]:
    """Nothing can be opened in here, but for what is closed of this list."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            take_all(fillers)
        yield fillers
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


@fault(24)
def test_without_a_descriptor_left_the_oldest_stranger_makes_room(street: Street) -> None:
    ann = street.join("Ann")
    oldest = street.connect()
    street.connect()
    bob = street.join("Bob", ann)
    newcomer = street.knock()
    with no_descriptor_left():
        street.loop.turn_until(lambda: newcomer.address in street.spies)
        oldest.reads_to_end(error_line(SERVER_FULL))
        newcomer.send(b"JOIN Cid abc12\n")
        newcomer.reads(b"OK\n")
        ann.reads(b"Cid joined the chatroom\n")
        bob.reads(b"Cid joined the chatroom\n")
    assert street.log == [f"refused {oldest.address}: server full"]


def test_one_newcomer_costs_no_more_than_one_stranger(street: Street) -> None:
    oldest, second = street.connect(), street.connect()
    newcomer = street.knock()
    with no_descriptor_left():
        street.loop.turn_until(lambda: newcomer.address in street.spies)
        street.loop.pass_seconds(2 * REST_SECONDS)
        oldest.reads_to_end(error_line(SERVER_FULL))
        second.reads_nothing()


def test_the_last_descriptor_is_for_whoever_has_it(street: Street) -> None:
    street.join("Ann")
    newcomer = street.knock()
    with no_descriptor_left() as fillers:
        os.close(fillers.pop())
        street.loop.turn_until(lambda: newcomer.address in street.spies)
        street.loop.pass_seconds(2 * REST_SECONDS)
        newcomer.reads_nothing()
        newcomer.send(b"JOIN Bob abc12\n")
        newcomer.reads(b"OK\n")


@fault(24)
def test_without_a_descriptor_left_and_members_alone_the_newcomer_is_told(street: Street) -> None:
    ann = street.join("Ann")
    bob = street.join("Bob", ann)
    newcomers = [street.knock() for _ in range(3)]
    with no_descriptor_left():
        for newcomer in newcomers:
            newcomer.reads_to_end(error_line(SERVER_FULL))
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            os.dup(0)  # the reserve is kept again
        street.loop.pass_seconds(2 * REST_SECONDS)
        street.loop.selector.waits.clear()
        street.loop.pass_seconds(10)
        assert len(street.loop.selector.waits) <= 5, "it does not spin"
        ann.send(b"still here\n")
        bob.reads(b"Ann: still here\n")
    assert street.log == [
        f"refused {newcomers[0].address}: server full",
        "refused 2 more: server full",
    ]
    cid = street.knock()
    cid.send(b"JOIN Cid abc12\n")
    cid.reads(b"OK\n")
    ann.reads(b"Cid joined the chatroom\n")


def test_a_newcomer_who_spoke_is_told_there_is_no_room_all_the_same(street: Street) -> None:
    street.join("Ann")
    newcomer = street.knock()
    newcomer.socket.send(b"JOIN Bob abc12\n")
    with no_descriptor_left():
        newcomer.reads_to_end(error_line(SERVER_FULL))
    assert street.roster.usernames == ["Ann"]
