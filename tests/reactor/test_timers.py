"""Deadlines fall due soonest first, each once, and cancelled ones neither fire nor pile up."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from reactor.timers import Timer, Timers


def nothing() -> None:
    """What a timer calls when only its place matters."""


def fire(timers: Timers, now: float) -> None:
    """What a loop does when it is `now`."""
    for timer in timers.pop_due(now):
        if callback := timer.take_callback():
            callback()


def noting(calls: list[str], name: str) -> Callable[[], None]:
    return lambda: calls.append(name)


def heap_size(timers: Timers) -> int:
    return len(timers._heap)


# Order.


def test_without_timers_there_is_no_deadline_and_nothing_is_due() -> None:
    timers = Timers()
    assert timers.next_deadline() is None
    assert timers.pop_due(1e9) == []


def test_the_soonest_comes_first_whatever_the_order_they_were_set_in() -> None:
    timers = Timers()
    calls: list[str] = []
    for deadline in (3, 1, 2):
        timers.add(deadline, noting(calls, str(deadline)))
    assert timers.next_deadline() == 1
    fire(timers, 3)
    assert calls == ["1", "2", "3"]


def test_those_of_one_instant_fall_due_in_the_order_they_were_set() -> None:
    timers = Timers()
    calls: list[str] = []
    names = [str(number) for number in range(50)]
    for name in names:
        timers.add(7.0, noting(calls, name))
    fire(timers, 7.0)
    assert calls == names


def test_a_deadline_equal_to_now_is_due_and_a_later_one_is_not() -> None:
    timers = Timers()
    on_time = timers.add(5.0, nothing)
    later = timers.add(5.000001, nothing)
    assert timers.pop_due(4.999999) == []
    assert timers.pop_due(5.0) == [on_time]
    assert timers.pop_due(5.0) == []
    assert timers.next_deadline() == later.deadline


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=150),
    st.lists(st.integers(0, 20)),
)
def test_each_falls_due_once_in_order_and_only_if_it_was_not_cancelled(
    plan: list[tuple[int, bool]], moments: list[int]
) -> None:
    timers = Timers()
    calls: list[tuple[int, int]] = []
    made = [
        timers.add(deadline, lambda entry=(deadline, order): calls.append(entry))  # type: ignore[misc]
        for order, (deadline, _) in enumerate(plan)
    ]
    for timer, (_, is_cancelled) in zip(made, plan, strict=True):
        if is_cancelled:
            timer.cancel()
    expected = sorted(
        (deadline, order) for order, (deadline, is_cancelled) in enumerate(plan) if not is_cancelled
    )
    for now in sorted(moments):
        fire(timers, now)
        assert calls == [entry for entry in expected if entry[0] <= now]
        assert timers.next_deadline() == min(
            (entry[0] for entry in expected if entry[0] > now), default=None
        )


# Cancelling.


def test_a_cancelled_timer_is_never_called_and_is_no_deadline() -> None:
    timers = Timers()
    timers.add(1, nothing).cancel()
    later = timers.add(2, nothing)
    assert timers.next_deadline() == 2
    assert timers.pop_due(3) == [later]


def test_cancelling_twice_does_no_harm() -> None:
    timers = Timers()
    timer = timers.add(1, nothing)
    timer.cancel()
    timer.cancel()
    assert timers.next_deadline() is None


def test_cancelling_after_the_call_does_no_harm() -> None:
    timers = Timers()
    calls: list[str] = []
    timer = timers.add(1, noting(calls, "called"))
    fire(timers, 1)
    timer.cancel()
    fire(timers, 2)
    assert calls == ["called"]


def test_a_timer_may_cancel_itself_from_its_own_callback() -> None:
    timers = Timers()
    calls: list[str] = []
    made: list[Timer] = []

    def cancel_myself() -> None:
        calls.append("called")
        made[0].cancel()

    made.append(timers.add(1, cancel_myself))
    timers.add(2, noting(calls, "next"))
    fire(timers, 2)
    assert calls == ["called", "next"]


def test_one_of_the_due_may_cancel_another_that_is_due_at_the_same_time() -> None:
    timers = Timers()
    calls: list[str] = []
    made: list[Timer] = []
    timers.add(1, lambda: made[0].cancel())
    made.append(timers.add(1, noting(calls, "cancelled")))
    timers.add(1, noting(calls, "third"))
    fire(timers, 1)
    assert calls == ["third"]


def test_what_a_cancelled_callback_refers_to_is_let_go_of_at_once() -> None:
    class Owner:
        def call(self) -> None:
            """Never comes to it."""

    timers = Timers()
    owner = Owner()
    reference = weakref.ref(owner)
    timer = timers.add(3600, owner.call)
    del owner
    assert reference() is not None
    timer.cancel()
    gc.collect()
    assert reference() is None


def test_a_callback_can_be_taken_once() -> None:
    timer = Timers().add(1, nothing)
    assert timer.take_callback() is nothing
    assert timer.take_callback() is None


# Adding from within.


def test_what_is_added_by_one_that_is_due_waits_for_the_next_time() -> None:
    timers = Timers()
    calls: list[str] = []

    def add_another() -> None:
        calls.append("first")
        timers.add(0, noting(calls, "second"))  # long overdue, and yet

    timers.add(1, add_another)
    fire(timers, 1)
    assert calls == ["first"]
    fire(timers, 1)
    assert calls == ["first", "second"]


# Sweeping.


def test_cancelled_timers_of_a_distant_hour_do_not_pile_up() -> None:
    timers = Timers()
    kept = [timers.add(10_000 + number, nothing) for number in range(10)]
    for _ in range(10_000):
        timers.add(3600, nothing).cancel()
    assert heap_size(timers) <= 10 + 65
    assert timers.pop_due(20_000) == kept


def test_cancelled_timers_never_outnumber_the_others_by_much() -> None:
    timers = Timers()
    made = [timers.add(number, nothing) for number in range(1000)]
    for timer in made[1::2] + made[0:900:2]:
        timer.cancel()
    assert heap_size(timers) <= 2 * 50 + 65
    assert timers.pop_due(1000) == made[900::2]


def test_those_cancelled_and_passed_by_are_not_counted_twice() -> None:
    timers = Timers()
    for _ in range(5):
        for _ in range(60):  # too few to be swept, so they leave by the front of the heap
            timers.add(1, nothing).cancel()
        assert timers.next_deadline() is None
        assert heap_size(timers) == 0
    kept = [timers.add(1, nothing) for _ in range(4)]
    for _ in range(60):
        timers.add(2, nothing).cancel()
    assert heap_size(timers) == 64
    assert timers.pop_due(2) == kept


def test_after_a_sweep_the_next_one_is_as_far_away_as_the_first_was() -> None:
    timers = Timers()
    for _ in range(2):
        for cancelled in range(64):
            assert heap_size(timers) == cancelled
            timers.add(3600, nothing).cancel()
        timers.add(3600, nothing).cancel()
        assert heap_size(timers) == 0


def test_a_sweep_from_within_a_callback_disturbs_none_of_those_that_are_due() -> None:
    timers = Timers()
    calls: list[str] = []
    later = [timers.add(10, nothing) for _ in range(200)]

    def cancel_many() -> None:
        for timer in later:
            timer.cancel()

    timers.add(1, cancel_many)
    timers.add(1, noting(calls, "second"))
    last = timers.add(20, nothing)
    fire(timers, 1)
    assert calls == ["second"]
    assert timers.pop_due(30) == [last]
