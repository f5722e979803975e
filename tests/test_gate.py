"""The gate alone, on a clock that the tests move: the pool, each source's budget, who waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat import gate
from chat.gate import BURST_ATTEMPTS, MAX_WAITING_REQUESTS, POOL_CONNECTIONS, SAFE_SECONDS, Gate
from codec import ProtocolError
from tests.reactor.conftest import Loop, new_loop
from tests.support.faults import fault
from tests.support.protocol import SERVER_FULL, TOO_MANY_ATTEMPTS, TOO_MANY_CONNECTIONS
from tests.support.size import examples

Fate = list[tuple[str, float]]


class Caller:
    """A guest with a request that is right or wrong, and what has become of it."""

    def __init__(self, desk: Desk, source: str, is_right: bool) -> None:
        self.source = source
        self.is_right = is_right
        self.fate: Fate = []
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
        self.fate.append((what, self._desk.loop.clock.now - 1000))


class Desk:
    """A Gate, its clock from 0 on, and the callers who come to it."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.gate = Gate(loop.reactor)

    def admit(self, source: str = "home") -> Caller:
        caller = Caller(self, source, is_right=False)
        self.gate.arrive(caller)
        return caller

    def ask(self, source: str = "home", is_right: bool = False) -> Caller:
        """A guest comes with a complete request."""
        caller = Caller(self, source, is_right)
        if self.gate.ask(caller):
            caller.go_on()
        return caller

    def ask_often(self, count: int, source: str = "home") -> list[Caller]:
        return [self.ask(source) for _ in range(count)]


@pytest.fixture
def desk() -> Iterator[Desk]:
    with new_loop() as loop:
        yield Desk(loop)


def fates(callers: list[Caller]) -> list[Fate]:
    return [caller.fate for caller in callers]


def judged(*seconds: float) -> list[Fate]:
    """The fates of callers who were judged then."""
    return [[("judged", second)] for second in seconds]


# The pool.


def test_newcomer_takes_the_place_of_the_oldest_in_a_full_pool(desk: Desk) -> None:
    first, second, third = (desk.admit() for _ in range(3))
    others = [desk.admit() for _ in range(POOL_CONNECTIONS - 3)]
    for caller in (first, third):
        desk.gate.release(caller)
        desk.gate.release(caller)
    others += [desk.admit(), desk.admit()]
    assert second.fate == []
    others += [desk.admit()]
    assert second.fate == [(f"dropped: {TOO_MANY_CONNECTIONS}", 0.0)]
    assert not any(caller.fate for caller in (first, third, *others))


def test_oldest_of_a_full_pool_is_safe_for_a_while(desk: Desk) -> None:
    desk.admit()
    desk.loop.pass_seconds(SAFE_SECONDS / 2)
    for _ in range(POOL_CONNECTIONS - 1):
        assert desk.gate.has_room()
        desk.admit()
    assert not desk.gate.has_room()
    desk.loop.pass_seconds(SAFE_SECONDS / 2)
    assert desk.gate.has_room()
    desk.gate.admit(desk.admit())
    desk.admit()
    assert not desk.gate.has_room(), "while guests get in"
    desk.loop.pass_seconds(SAFE_SECONDS)
    assert desk.gate.has_room()


def test_oldest_is_not_safe_for_ever_while_guests_get_in(desk: Desk) -> None:
    guests = [desk.admit() for _ in range(POOL_CONNECTIONS)]
    for has_room in (False, False, True):
        desk.loop.pass_seconds(SAFE_SECONDS)
        desk.gate.admit(guests.pop())
        guests.append(desk.admit())
        assert desk.gate.has_room() == has_room


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


# The budget.


class Bucket:
    """What is to become of the requests of one source, second by second: a bucket of tokens that is
    filled drop by drop."""

    def __init__(self) -> None:
        self.tokens = Fraction(BURST_ATTEMPTS)
        self.queue: list[Caller] = []
        self.expected: dict[Caller, Fate] = {}

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


STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 25)),
    st.tuples(st.just("ask, right"), st.integers(1, 3)),
    st.tuples(st.just("withdraw"), st.integers(0, 20)),
    st.tuples(st.just("pass"), st.integers(1, 40)),
)


@fault(44)
@examples(35, 300)
@given(st.lists(st.tuples(STEPS, st.sampled_from(["home", "elsewhere"])), max_size=15))
@example([(("ask", BURST_ATTEMPTS + MAX_WAITING_REQUESTS + 1), "home"), (("ask", 1), "elsewhere")])
@example([(("ask", 20), "home"), (("pass", 150), "home"), (("ask", 21), "home")])
@example(
    [(step, "home") for step in [("ask", 22), *[("withdraw", 0)] * 2, ("pass", 3), ("ask", 1)]]
)
def test_each_is_judged_when_a_bucket_of_tokens_says_so(
    steps: list[tuple[tuple[str, int], str]],
) -> None:
    """A wrong passcode costs its source a token; for a right one there must be one, and it stays.
    A token is made in five seconds, and a bucket holds a burst."""
    buckets: defaultdict[str, Bucket] = defaultdict(Bucket)
    second = 0
    with new_loop() as loop:
        desk = Desk(loop)
        for (step, count), source in [*steps, (("pass", 100), "home")]:
            bucket = buckets[source]
            if step == "pass":
                for _ in range(count):
                    loop.pass_seconds(1)
                    second += 1
                    for each in buckets.values():
                        each.pass_second(second)
            elif step == "withdraw":
                for caller in bucket.queue[count : count + 1]:
                    bucket.queue.remove(caller)
                    desk.gate.withdraw(caller)
            else:
                for _ in range(count):
                    bucket.ask(desk.ask(source, is_right=step == "ask, right"), second)
            for each in buckets.values():
                assert {caller: caller.fate for caller in each.expected} == each.expected
        assert loop.is_idle()


# Guests that do not wait to the end.


@pytest.mark.parametrize(
    "go",
    [
        lambda gate, guest: gate.withdraw(guest) or gate.withdraw(guest),
        lambda gate, guest: gate.release(guest),
        lambda gate, guest: gate.arrive(guest) or gate.make_room(),
    ],
    ids=["withdrawn", "released", "dropped"],
)
def test_guest_that_goes_while_it_waits_costs_no_turn(
    desk: Desk, go: Callable[[Gate, Caller], object]
) -> None:
    desk.ask_often(BURST_ATTEMPTS)
    first, second, third = desk.ask_often(3)
    go(desk.gate, first)
    desk.loop.pass_seconds(30)
    assert ("judged", 5.0) not in first.fate
    assert fates([second, third]) == judged(5.0, 10.0)


# What it costs.


@pytest.mark.parametrize("seconds", [5.0, 0.1])
def test_turn_takes_one_wakeup_whatever_a_second_is_split_into(
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


def test_source_that_was_wrong_longest_ago_is_forgotten(
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


def test_forgotten_source_leaves_its_waiting_guests_their_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MAX_SOURCES", 1)
    desk.ask_often(BURST_ATTEMPTS)
    waiting = desk.ask()
    desk.ask("elsewhere")
    desk.loop.pass_seconds(10)
    assert fates([waiting]) == judged(5.0)
    assert desk.loop.is_idle()


def test_addresses_that_one_host_has_are_one_source() -> None:
    sources = ["2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1", "fe80::1%lo", "fe80::2%lo"]
    assert list(map(gate.network_of, sources)) == [
        *["2001:db8::"] * 2,
        "2001:db8:0:1::",
        *sources[3:],
    ]
    assert gate.network_of("192.0.2.1") == "192.0.2.1"
