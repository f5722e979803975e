"""Deadlines fall due soonest first, each once, and cancelled ones neither fire nor pile up."""

from __future__ import annotations

import weakref

from hypothesis import given
from hypothesis import strategies as st

from reactor.timers import Timer, Timers
from tests.reactor.conftest import nothing
from tests.support.size import examples


def heap_size(timers: Timers) -> int:
    return len(timers._heap)


# In any order.

PLANS = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.sampled_from(["fire", "cancelled", "cancel another", "add another"]),
        st.integers(0, 150),
    ),
    max_size=150,
)


@examples(40, 1000)
@given(PLANS, st.lists(st.integers(0, 20)))
def test_timers_agree_with_a_sorted_list(
    plan: list[tuple[int, str, int]], moments: list[int]
) -> None:
    """Each has a deadline, a deed that it does when it is due, and another that it is done to: one
    that comes later, is over, is cancelled already, or is itself."""
    timers = Timers()
    made: list[Timer] = []
    calls: list[int] = []

    def add(deadline: int, deed: str, other: int) -> None:
        number = len(made)

        def callback() -> None:
            calls.append(number)
            if deed == "cancel another":
                made[other % len(made)].cancel()
            elif deed == "add another":
                add(0, "fire", 0)

        made.append(timers.add(deadline, callback))

    for entry in plan:
        add(*entry)
    pending = dict(enumerate(plan))
    for number, (_, deed, _) in enumerate(plan):
        if deed == "cancelled":
            made[number].cancel()
            del pending[number]
    count = len(plan)
    for now in sorted(moments):
        expected = []
        for _, number in sorted((entry[0], number) for number, entry in pending.items()):
            if number in pending and pending[number][0] <= now:
                _, deed, other = pending.pop(number)
                expected.append(number)
                if deed == "cancel another":
                    pending.pop(other % count, None)
                elif deed == "add another":
                    pending[count] = (0, "fire", 0)  # long overdue, and yet it waits for its turn
                    count += 1
        calls.clear()
        for timer in timers.pop_due(now):
            if call := timer.take_callback():
                call()
        assert calls == expected
        assert [timer.is_pending for timer in made] == [n in pending for n in range(count)]
        assert timers.next_deadline() == min((entry[0] for entry in pending.values()), default=None)


# Cancelling.


def test_cancelled_callback_is_let_go_of_at_once() -> None:
    def callback() -> None:
        """Never comes to it."""

    reference = weakref.ref(callback)
    timer = Timers().add(3600, callback)
    del callback
    assert reference() is not None
    timer.cancel()
    assert reference() is None


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
    for _ in range(64):
        timers.add(2, nothing).cancel()
    assert heap_size(timers) == 68
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
    for timer in timers.pop_due(1):
        if call := timer.take_callback():
            call()
    assert calls == ["second"]
    assert timers.pop_due(30) == [last]
