"""Who waits for a slow reader, and for how long.

In: what is unsent to one reader and what it takes, and the time. Out: whether the room is to be
held for it, whether it is to be cut, and when to ask again. The rules:

- A reader with more than SEND_QUEUE_BYTES unsent is *behind*. What the log holds from its position
  on counts whole, its own lines too: all of it is kept because of this reader.
- While one who is behind drains well (DRAIN_BYTES in each DRAIN_SECONDS), the room is *held*:
  talkers are not read, so live readers lose nothing and talkers feel TCP's back-pressure.
- One who is behind and does not drain like that holds nobody up. It is cut once it has been
  behind for BEHIND_SECONDS, or at once with MAX_SEND_QUEUE_BYTES unsent.
- One who is owed anything and takes no byte for STALL_SECONDS is cut, behind or not.

So what is kept for the slowest is bounded, whoever it is and however it reads: a reader that takes
three bytes now and then makes progress and is cut all the same (CVE-2019-9511).
"""

from __future__ import annotations

SEND_QUEUE_BYTES = 1024 * 1024
"""Unsent bytes that make a reader *behind*: some 20,000 lines of chat."""

MAX_SEND_QUEUE_BYTES = 8 * 1024 * 1024
"""Unsent bytes at which one who does not drain well is cut at once: the memory it may pin."""

BEHIND_SECONDS = 1.0
"""How long one may be behind without draining well."""

DRAIN_SECONDS = 0.1
"""How often it is judged whether a reader drains well. One that has stopped reading can hold the
room for two of these: what the kernel took just before counts for the first."""

DRAIN_BYTES = 32 * 1024
"""What a reader must take in DRAIN_SECONDS to be waited for: 320 KiB/s, half a send buffer."""

STALL_SECONDS = 10.0
"""How long one may take no byte of what it is owed."""


class SlowReaderError(ConnectionError):
    """Why a reader was cut, with the numbers."""


class Lag:
    """How one reader has been doing since it was first left owing. `now` is in seconds."""

    __slots__ = ("behind_since", "drains_well", "last_taken", "window_bytes", "window_start")

    def __init__(self, now: float) -> None:
        self.last_taken = now
        self.behind_since: float | None = None
        # The benefit of the doubt, until one window has passed.
        self.drains_well = True
        self.window_start = now
        self.window_bytes = 0

    def note_taken(self, taken_bytes: int, now: float) -> None:
        """The kernel took `taken_bytes` for this reader, at least one."""
        self.last_taken = now
        self.window_bytes += taken_bytes

    def judge(self, unsent_bytes: int, now: float) -> str | None:
        """Bring the verdict up to date: None, or why this reader is to be cut now. What is unsent
        counts from where the reader is in the log, whether all of it is for this one or not."""
        if now >= self.window_start + DRAIN_SECONDS:
            self.drains_well = self.window_bytes >= DRAIN_BYTES
            self.window_start = now
            self.window_bytes = 0
        if unsent_bytes <= SEND_QUEUE_BYTES:
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = now
        if now >= self.last_taken + STALL_SECONDS:
            return f"{unsent_bytes} bytes unsent, none taken for {now - self.last_taken:.1f} s"
        if self.behind_since is None or self.drains_well:
            return None
        is_over = now >= self.behind_since + BEHIND_SECONDS or unsent_bytes >= MAX_SEND_QUEUE_BYTES
        if is_over:
            return f"{unsent_bytes} bytes unsent, behind for {now - self.behind_since:.1f} s"
        return None

    @property
    def holds_room(self) -> bool:
        """Whether the talkers are to wait for this reader."""
        return self.behind_since is not None and self.drains_well

    def next_deadline(self) -> float:
        """When `judge` may come to another verdict without anything having happened: in the very
        sums that it compares `now` with, or a rounding might call it once more in vain."""
        deadline = self.last_taken + STALL_SECONDS
        if self.behind_since is not None:
            deadline = min(deadline, self.window_start + DRAIN_SECONDS)
        return deadline
