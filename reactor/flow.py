"""Who waits for a slow reader, and for how long.

In: what is unsent to one reader and what it takes, and the time. Out: whether the room is to be
held for it, whether it is to be cut, and when to ask again. The rules:

- A reader with more than SEND_QUEUE_BYTES unsent is *behind*. What the log holds from its position
  on counts whole, its own lines too: all of it is kept because of this reader.
- Who is behind pays for time with bytes: what it takes buys time at DRAIN_BYTES_PER_SECOND, up to
  PATIENCE_SECONDS ahead. As long as it has time left the room is *held* for it: talkers who fill a
  page or flood (chat.session) wait, so live readers lose nothing and talkers feel TCP's
  back-pressure; a line of another talker passes. From MAX_SEND_QUEUE_BYTES on all wait.
- Who has run out of time holds no one up. It is cut when it owes BEHIND_SECONDS of it, or at once
  with MAX_SEND_QUEUE_BYTES unsent, or MAX_UNREAD_BYTES if it may never have read.
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

DRAIN_BYTES_PER_SECOND: Annotated[
    int,
    "What a reader that is behind must take to be waited for: two and a half send buffers.",
] = 320 * 1024

PATIENCE_SECONDS: Annotated[
    float,
    "The most time that one may have left, and has when it falls behind: over a long way bytes are "
    "taken in bursts, a round trip apart.",
] = 0.35

DOUBT_SECONDS: Annotated[
    float,
    "The time that one has when it falls behind and may never have read.",
] = 0.1

BEHIND_SECONDS: Annotated[float, "How much time one may owe."] = 1.0

STALL_SECONDS: Annotated[float, "How long one may take no byte of what it is owed."] = 10.0


class SlowReaderError(ConnectionError):
    """Why a reader was cut, with the numbers."""


class Lag:
    """How one reader has been doing since it was first left owing. `now` is in seconds."""

    __slots__ = ("behind_since", "held_pages", "last_taken", "paid_until")

    def __init__(self, now: float) -> None:
        self.last_taken = now
        self.behind_since: float | None = None
        self.paid_until = now
        """When its time runs out, or has run out, while it is behind."""
        self.held_pages = 0
        """How many pages of each turn are not to be given out: the first, so that those who talk
        much wait; and the second when as much is unsent as may be."""

    def note_taken(self, taken_bytes: int, now: float) -> None:
        """The kernel took `taken_bytes` for this reader, at least one."""
        self.last_taken = now
        if self.behind_since is not None:  # what kernels take of one who never reads buys nothing
            bought_seconds = taken_bytes / DRAIN_BYTES_PER_SECOND
            self.paid_until = min(self.paid_until + bought_seconds, now + PATIENCE_SECONDS)

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
        has_read = taken_bytes > MAX_UNREAD_BYTES
        if self.behind_since is None:
            self.behind_since = now
            first_seconds = PATIENCE_SECONDS if has_read else DOUBT_SECONDS
            self.paid_until = max(self.paid_until, now + first_seconds)
        if now < self.paid_until:
            self.held_pages = 1 if unsent_bytes < MAX_SEND_QUEUE_BYTES else 2
            return None
        max_bytes = MAX_SEND_QUEUE_BYTES if has_read else MAX_UNREAD_BYTES
        if now >= self.paid_until + BEHIND_SECONDS or unsent_bytes >= max_bytes:
            return f"{unsent_bytes} bytes unsent, behind for {now - self.behind_since:.1f} s"
        return None

    def next_deadline(self) -> float:
        """When `judge` may come to another verdict without anything having happened: in the very
        sums that it compares `now` with, or a rounding might call it once more in vain."""
        deadline = self.last_taken + STALL_SECONDS
        if self.behind_since is None:
            return deadline
        return min(deadline, self.paid_until + (0.0 if self.held_pages else BEHIND_SECONDS))
