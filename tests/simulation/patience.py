"""When a slow reader may be cut, and when it has to be: docs/PROTOCOL.md, section 7.

In: what one member is owed and takes, and when. Out: what was wrong with cutting it, or with not
cutting it. Time is the process's own, in seconds. The server looks at a member in windows of its
own choice, so there is a zone where both are right; here stand its two borders.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import accumulate

from reactor.flow import BEHIND_SECONDS, DRAIN_SECONDS, STALL_SECONDS
from tests.simulation.limits import Limits

TOLERANCE_SECONDS = 0.03
"""A timer is late by the rounding of the selector, and by what turns take."""

_MEMORY_SECONDS = BEHIND_SECONDS + 4 * DRAIN_SECONDS


class Patience:
    """The account of one member."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken: deque[tuple[float, int]] = deque()
        self._owing_since = math.inf
        self._last_taken = 0.0
        self._kept_too_much_since = math.inf
        self._owed_too_much_since = math.inf

    def note_taken(self, size: int, now: float) -> None:
        """The kernel took `size` bytes for this member."""
        self._last_taken = now
        if self._taken and self._taken[-1][0] == now:
            size += self._taken.pop()[1]
        self._taken.append((now, size))
        while self._taken[0][0] < now - _MEMORY_SECONDS:
            self._taken.popleft()

    def note_turn(self, owed_bytes: int, kept_bytes: int, now: float) -> None:
        """A turn has ended: it is owed so much, and that much is kept because of it at most."""
        limit = self._limits.send_queue_bytes
        if not owed_bytes and kept_bytes <= limit:
            self._owing_since = self._kept_too_much_since = self._owed_too_much_since = math.inf
            return
        self._owing_since = _since(self._owing_since, owed_bytes > 0, now)
        self._kept_too_much_since = _since(self._kept_too_much_since, kept_bytes > limit, now)
        self._owed_too_much_since = _since(self._owed_too_much_since, owed_bytes > limit, now)

    def fault_of_cutting(self, kept_bytes: int, now: float) -> str:
        """Why it was wrong to cut this member now, "" if it was not."""
        if now >= self._idle_since + STALL_SECONDS - TOLERANCE_SECONDS:
            return ""
        behind_since = self._kept_too_much_since
        if kept_bytes <= self._limits.send_queue_bytes:
            return f"only {kept_bytes} bytes are kept for it"
        is_long = now >= behind_since + BEHIND_SECONDS - TOLERANCE_SECONDS
        if not is_long and kept_bytes < self._limits.max_unread_bytes:
            return f"{kept_bytes} bytes are kept for it, since {behind_since}"
        if self._least_taken(now) >= self._limits.drain_bytes:
            return f"it drains well: {list(self._taken)}"
        return ""

    def fault_of_sparing(self, now: float) -> str:
        """Why this member ought to have been cut before now, "" if not."""
        if now > self._idle_since + STALL_SECONDS + TOLERANCE_SECONDS:
            return f"it took nothing of what it is owed since {self._idle_since}"
        since = self._owed_too_much_since
        span = BEHIND_SECONDS + 2 * DRAIN_SECONDS + 2 * TOLERANCE_SECONDS
        if now >= since + span and self._most_taken(now - span) < self._limits.drain_bytes:
            return f"it is owed too much since {since} and does not drain well"
        return ""

    # Details.

    @property
    def _idle_since(self) -> float:
        return max(self._owing_since, self._last_taken)

    def _least_taken(self, now: float) -> int:
        """The fewest bytes that were taken within DRAIN_SECONDS, both ends left out, in the last
        two windows."""
        earliest = now - 2 * DRAIN_SECONDS - TOLERANCE_SECONDS
        latest = now - DRAIN_SECONDS + TOLERANCE_SECONDS / 10
        starts = [time for time, _ in self._taken if earliest <= time <= latest]
        return min(
            sum(size for time, size in self._taken if start < time < start + DRAIN_SECONDS)
            for start in [earliest, latest, *starts]
        )

    def _most_taken(self, since: float) -> int:
        """The most bytes that were taken within twice DRAIN_SECONDS: a late window is longer."""
        taken = [(time, size) for time, size in self._taken if time >= since]
        sums = [0, *accumulate(size for _, size in taken)]
        most, first = 0, 0
        for last, (time, _) in enumerate(taken):
            while taken[first][0] < time - 2 * DRAIN_SECONDS - TOLERANCE_SECONDS:
                first += 1
            most = max(most, sums[last + 1] - sums[first])
        return most


def _since(before: float, is_so: bool, now: float) -> float:
    """Since when it is so, if it is."""
    return min(before, now) if is_so else math.inf
