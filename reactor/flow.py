"""Who waits for a slow reader, and for how long.

In: what is unsent to one reader and what it takes, and the time. Out: whether the room is to be
held for it, whether it is to be cut, and when to ask again. The rules:

- A reader with more than SEND_QUEUE_BYTES unsent is *behind*. What the log holds from its position
  on counts whole, its own lines too: all of it is kept because of this reader.
- While one who is behind drains well (DRAIN_BYTES in each DRAIN_SECONDS), the room is *held*:
  talkers who filled a page wait, so live readers lose nothing and talkers feel TCP's
  back-pressure; a line of another talker passes. From MAX_SEND_QUEUE_BYTES on all talkers wait.
- One who is behind and does not drain like that holds no one up. It is cut once that has gone on
  for BEHIND_SECONDS, all such windows together, or at once with MAX_SEND_QUEUE_BYTES unsent, or
  MAX_UNREAD_BYTES if it may never have read.
- One who is owed anything and takes no byte for STALL_SECONDS is cut, behind or not.

So what is kept for the slowest is bounded, however it reads: a reader that takes
three bytes now and then makes progress and is cut all the same (CVE-2019-9511).
"""

from __future__ import annotations

from typing import Annotated

SEND_QUEUE_BYTES: Annotated[
    int,
    "Unsent bytes that make a reader *behind*: some 20,000 lines of chat.",
] = 1024 * 1024

MAX_SEND_QUEUE_BYTES: Annotated[
    int,
    "Unsent bytes at which one who does not drain well is cut at once: the memory it may pin. "
    "Over a long way bytes are taken in bursts, and this is what lies between two of them.",
] = 8 * 1024 * 1024

MAX_UNREAD_BYTES: Annotated[
    int,
    "The same for one that has taken no more than that since it came, which the sockets of one "
    "that never reads may hold: the doubt of a burst has to be earned.",
] = 4 * 1024 * 1024

BEHIND_SECONDS: Annotated[
    float,
    "How long one may be behind without draining well, all such windows together.",
] = 1.0

DRAIN_SECONDS: Annotated[
    float,
    "The window in which it is judged whether a reader drains well. The first begins when it "
    "falls behind, so that what its kernel took before says nothing, and the doubt is in its "
    "favour until it ends: one that has stopped reading cannot hold the room for longer.",
] = 0.1

DRAIN_BYTES: Annotated[
    int,
    "What a reader must take in DRAIN_SECONDS to be waited for: 320 KiB/s, half a send buffer.",
] = 32 * 1024

STALL_SECONDS: Annotated[float, "How long one may take no byte of what it is owed."] = 10.0


class SlowReaderError(ConnectionError):
    """Why a reader was cut, with the numbers."""


class Lag:
    """How one reader has been doing since it was first left owing. `now` is in seconds."""

    __slots__ = (
        "behind_since",
        "drains_well",
        "held_pages",
        "last_taken",
        "slow_seconds",
        "window_bytes",
        "window_start",
    )

    def __init__(self, now: float) -> None:
        self.last_taken = now
        self.behind_since: float | None = None
        self.slow_seconds = 0.0  # in which it was behind and did not drain well
        self.drains_well = True
        self.held_pages = 0
        """How many pages of each turn are not to be given out: the first, so that those who talk
        much wait; and the second when as much is unsent as may be."""
        self.window_start = now
        self.window_bytes = 0

    def note_taken(self, taken_bytes: int, now: float) -> None:
        """The kernel took `taken_bytes` for this reader, at least one."""
        self.last_taken = now
        self.window_bytes += taken_bytes

    def judge(self, unsent_bytes: int, taken_bytes: int, now: float) -> str | None:
        """Bring the verdict up to date: None, or why this reader is to be cut now. What is unsent
        counts from where the reader is in the log, whether all of it is for this one or not.
        `taken_bytes` is all that it has taken since it came."""
        self.held_pages = 0
        if now >= self.last_taken + STALL_SECONDS:
            return f"{unsent_bytes} bytes unsent, none taken for {now - self.last_taken:.1f} s"
        if unsent_bytes <= SEND_QUEUE_BYTES:
            self.behind_since = None
            return None
        if self.behind_since is None:
            self.behind_since = now
            self.slow_seconds = 0.0
            self._begin_window(now, drains_well=True)
        elif now >= self.window_start + DRAIN_SECONDS:
            drains_well = self.window_bytes >= DRAIN_BYTES
            self.slow_seconds += 0.0 if drains_well else now - self.window_start
            self._begin_window(now, drains_well)
        if self.drains_well:
            self.held_pages = 1 if unsent_bytes < MAX_SEND_QUEUE_BYTES else 2
            return None
        has_read = taken_bytes > MAX_UNREAD_BYTES
        max_bytes = MAX_SEND_QUEUE_BYTES if has_read else MAX_UNREAD_BYTES
        if self.slow_seconds >= BEHIND_SECONDS or unsent_bytes >= max_bytes:
            return f"{unsent_bytes} bytes unsent, behind for {now - self.behind_since:.1f} s"
        return None

    def next_deadline(self) -> float:
        """When `judge` may come to another verdict without anything having happened: in the very
        sums that it compares `now` with, or a rounding might call it once more in vain."""
        deadline = self.last_taken + STALL_SECONDS
        if self.behind_since is not None:
            deadline = min(deadline, self.window_start + DRAIN_SECONDS)
        return deadline

    def _begin_window(self, now: float, drains_well: bool) -> None:
        self.window_start = now
        self.window_bytes = 0
        self.drains_well = drains_well
