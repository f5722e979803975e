"""Deadlines fall due soonest first, each once, and cancelled ones neither fire nor pile up."""

from __future__ import annotations

import weakref

from hypothesis import given
from hypothesis import strategies as st

from reactor.timers import Timers
from tests.support.size import examples


def nothing() -> None:
    """What a timer calls when only its place matters."""


def fire(timers: Timers, now: float) -> None:
    """What a loop does when it is `now`."""
    for timer in timers.pop_due(now):
        if callback := timer.take_callback():
            callback()


def heap_size(timers: Timers) -> int:
    return len(timers._heap)


# Order.


@examples(60, 1000)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=150),
    st.lists(st.integers(0, 20)),
)
def test_timers_fall_due_once_in_order_unless_cancelled(
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


def test_timer_may_be_cancelled_late_twice_or_by_itself() -> None:
    timers = Timers()
    calls: list[str] = []

    def cancel_myself() -> None:
        calls.append("called")
        itself.cancel()

    itself = timers.add(1, cancel_myself)
    never = timers.add(1, lambda: calls.append("never"))
    never.cancel()
    never.cancel()
    late = timers.add(2, lambda: calls.append("late"))
    fire(timers, 2)
    assert late.take_callback() is None
    late.cancel()
    assert calls == ["called", "late"]
    assert timers.next_deadline() is None


def test_due_timer_may_cancel_another() -> None:
    timers = Timers()
    calls: list[str] = []
    timers.add(1, lambda: second.cancel())
    second = timers.add(1, lambda: calls.append("cancelled"))
    timers.add(1, lambda: calls.append("third"))
    fire(timers, 1)
    assert calls == ["third"]


def test_cancelled_callback_is_let_go_of_at_once() -> None:
    def callback() -> None:
        """Never comes to it."""

    reference = weakref.ref(callback)
    timer = Timers().add(3600, callback)
    del callback
    assert reference() is not None
    timer.cancel()
    assert reference() is None


# Adding from within.


def test_timer_added_by_due_one_waits_for_next_time() -> None:
    timers = Timers()
    calls: list[str] = []

    def add_another() -> None:
        timers.add(0, lambda: calls.append("long overdue, and yet"))

    timers.add(1, add_another)
    fire(timers, 1)
    assert calls == []
    fire(timers, 1)
    assert calls == ["long overdue, and yet"]


# Sweeping.


def test_cancelled_timers_never_outnumber_others_by_much() -> None:
    timers = Timers()
    made = [timers.add(number * 7 % 1000, nothing) for number in range(1000)]
    for timer in made[1::2] + made[0:900:2]:
        timer.cancel()
    assert heap_size(timers) <= 2 * 50 + 65
    assert timers.pop_due(1000) == sorted(made[900::2])


def test_cancelled_timers_passed_by_are_not_counted_twice() -> None:
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


def test_sweep_from_callback_disturbs_no_due_timer() -> None:
    timers = Timers()
    calls: list[str] = []
    later = [timers.add(10, nothing) for _ in range(200)]

    def cancel_all_later() -> None:
        for timer in later:
            timer.cancel()

    timers.add(1, cancel_all_later)
    timers.add(1, lambda: calls.append("second"))
    last = timers.add(20, nothing)
    fire(timers, 1)
    assert calls == ["second"]
    assert timers.pop_due(30) == [last]
