"""Deadlines, soonest first.

In: a deadline and what to call then. Out: the calls that are due, when the caller says what time
it is. There is no clock here; seconds are whatever the caller's clock counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

_FEWEST_WORTH_SWEEPING = 64


class Timer:
    """One call, some day. Cancelling it late, twice, or from its own callback does no harm."""

    __slots__ = ("_timers", "callback", "deadline", "order")

    def __init__(
        self, timers: Timers, deadline: float, order: int, callback: Callable[[], None]
    ) -> None:
        self.deadline = deadline
        self.order = order
        self.callback: Callable[[], None] | None = callback
        self._timers = timers

    @property
    def is_pending(self) -> bool:
        """Whether it is still to be called."""
        return self.callback is not None

    def cancel(self) -> None:
        """Never call. What the callback refers to is let go of at once."""
        if self.callback is not None:
            self.callback = None
            self._timers.note_cancelled()

    def take_callback(self) -> Callable[[], None] | None:
        """For what makes the call: the callback, once; None if it was cancelled."""
        callback, self.callback = self.callback, None
        return callback

    def __lt__(self, other: Timer) -> bool:
        return (self.deadline, self.order) < (other.deadline, other.order)


class Timers:
    """A heap of deadlines; those of one instant fall due in the order they were set."""

    __slots__ = ("_cancelled", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._order = 0
        self._cancelled = 0

    def add(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` at `deadline` or as soon after it as the caller asks."""
        self._order += 1
        timer = Timer(self, deadline, self._order, callback)
        heapq.heappush(self._heap, timer)
        return timer

    def next_deadline(self) -> float | None:
        """The soonest deadline that was not cancelled, or None."""
        heap = self._heap
        while heap and heap[0].callback is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0].deadline if heap else None

    def pop_due(self, now: float) -> list[Timer]:
        """Take out all that is due at `now`, deadlines equal to it included.

        A timer of the list may yet be cancelled by one before it: take its callback when its turn
        comes, not before. What is added meanwhile, however soon, waits for the next call.
        """
        due = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            due.append(heapq.heappop(self._heap))
        return due

    def note_cancelled(self) -> None:
        """For Timer alone: keep cancelled timers from outnumbering the others, since a deadline
        that is hours away would otherwise hold its place in the heap until then."""
        self._cancelled += 1
        if self._cancelled > max(_FEWEST_WORTH_SWEEPING, len(self._heap) // 2):
            self._heap = [timer for timer in self._heap if timer.callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
