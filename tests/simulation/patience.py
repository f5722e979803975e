"""When a slow reader may be cut, and when it has to be: docs/PROTOCOL.md, section 7.

In: what one member is owed and takes, and when. Out: what was wrong with cutting it, or with not
cutting it. Time is the process's own, in seconds. When the server sees that a member has fallen
behind, and by how much, is its own affair, so there is a zone where both are right; here stand its
two borders.
"""

from __future__ import annotations

import math

from reactor.flow import BEHIND_SECONDS, DOUBT_SECONDS, PATIENCE_SECONDS, STALL_SECONDS
from tests.simulation.limits import Limits

TOLERANCE_SECONDS = 0.03
"""A timer is late by the rounding of the selector, and by what turns take."""


class _Account:
    """The time that a member has left, since it fell behind: at first so many seconds."""

    def __init__(self, first_seconds: float) -> None:
        self._first_seconds = first_seconds
        self.paid_until = math.inf

    def note_taken(self, bought_seconds: float, now: float) -> None:
        if self.paid_until < math.inf:
            self.paid_until = min(self.paid_until + bought_seconds, now + PATIENCE_SECONDS)

    def note_turn(self, is_behind: bool, now: float) -> None:
        if not is_behind:
            self.paid_until = math.inf
        elif self.paid_until == math.inf:
            self.paid_until = now + self._first_seconds


class Patience:
    """What is known of one member."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._owing_since = math.inf
        self._last_taken = 0.0
        self._was_behind = False
        """Whatever is kept for it beside what it is owed."""
        self._is_behind = False
        """At two turns in a row: it may have fallen behind in the first after it was judged, and
        is not known to be until the second."""
        self._strict = _Account(DOUBT_SECONDS)
        """As if all were kept for it that may be, at its first turn with so much."""
        self._lenient = _Account(PATIENCE_SECONDS)
        """As if no more were kept for it than it is owed."""

    def note_taken(self, size: int, now: float) -> None:
        """The kernel took `size` bytes for this member."""
        self._last_taken = now
        for account in [self._lenient, *[self._strict] * self._is_behind]:
            account.note_taken(size / self._limits.drain_bytes_per_second, now)

    def note_turn(self, owed_bytes: int, kept_bytes: int, now: float) -> None:
        """A turn has ended: it is owed so much, and that much is kept because of it at most."""
        limit = self._limits.send_queue_bytes
        self._is_behind = self._was_behind and owed_bytes > limit
        self._was_behind = owed_bytes > limit
        self._strict.note_turn(kept_bytes > limit, now)
        self._lenient.note_turn(owed_bytes > limit, now)
        if not owed_bytes:
            self._owing_since = math.inf
        else:
            self._owing_since = min(self._owing_since, now)

    def fault_of_cutting(self, kept_bytes: int, now: float) -> str:
        """Why it was wrong to cut this member now, "" if it was not."""
        if now >= self._idle_since + STALL_SECONDS - TOLERANCE_SECONDS:
            return ""
        if kept_bytes <= self._limits.send_queue_bytes:
            return f"only {kept_bytes} bytes are kept for it"
        paid_until = self._strict.paid_until - TOLERANCE_SECONDS
        if now < paid_until:
            return f"it has time until {self._strict.paid_until}"
        if now < paid_until + BEHIND_SECONDS and kept_bytes < self._limits.max_unread_bytes:
            return f"{kept_bytes} bytes are kept for it, whose time has run out at {paid_until}"
        return ""

    def fault_of_sparing(self, now: float) -> str:
        """Why this member ought to have been cut before now, "" if not."""
        if now > self._idle_since + STALL_SECONDS + TOLERANCE_SECONDS:
            return f"it took nothing of what it is owed since {self._idle_since}"
        if now > self._lenient.paid_until + BEHIND_SECONDS + TOLERANCE_SECONDS:
            return f"it is owed too much, and its time has run out at {self._lenient.paid_until}"
        return ""

    @property
    def _idle_since(self) -> float:
        return max(self._owing_since, self._last_taken)
