"""Who waits for a slow reader, and for how long.

In: what is unsent to one reader and what it takes, and the time. Out: whether the room is to be
held for it, whether it is to be cut, and when to ask again. The rules:

- A reader with more than SEND_QUEUE_BYTES unsent is *behind*. What the log holds from its position
  on counts whole, its own lines too: all of it is kept because of this reader.
- While one who is behind drains well (DRAIN_BYTES in each DRAIN_SECONDS), the room is *held*:
  talkers are not read, so live readers lose nothing and talkers feel TCP's back-pressure. A
  pause of more than PAUSE_SECONDS lets them go on, up to HELD_QUEUE_BYTES unsent.
- One who is behind and does not drain like that holds no one up. It is cut once that has gone on
  for BEHIND_SECONDS, or at once with MAX_SEND_QUEUE_BYTES unsent.
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

HELD_QUEUE_BYTES: Annotated[
    int,
    "Unsent bytes from which the room is held for one who drains well even while it pauses: "
    "over a long way bytes are taken in bursts, and this has to stay well below what cuts.",
] = 4 * 1024 * 1024

MAX_SEND_QUEUE_BYTES: Annotated[
    int,
    "Unsent bytes at which one who does not drain well is cut at once: the memory it may pin.",
] = 8 * 1024 * 1024

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

PAUSE_SECONDS: Annotated[
    float,
    "How long the room is held for one who takes nothing: longer than a live process is kept "
    "from reading, shorter than anybody notices. Of a thousand who stop at once, none "
    "holds it for longer below HELD_QUEUE_BYTES.",
] = 0.03

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
        "hold_until",
        "last_taken",
        "spared_seconds",
        "window_bytes",
        "window_start",
    )

    def __init__(self, now: float) -> None:
        self.last_taken = now
        self.behind_since: float | None = None
        self.hold_until: float | None = None
        self.spared_seconds = 0.0  # in which it was behind and drained well
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
        self.hold_until = None
        if now >= self.last_taken + STALL_SECONDS:
            return f"{unsent_bytes} bytes unsent, none taken for {now - self.last_taken:.1f} s"
        if unsent_bytes <= SEND_QUEUE_BYTES:
            self.behind_since = None
            return None
        if self.behind_since is None:
            self.behind_since = now
            self.spared_seconds = 0.0
            self._begin_window(now, drains_well=True)
        elif now >= self.window_start + DRAIN_SECONDS:
            if self.window_bytes >= DRAIN_BYTES:
                self.spared_seconds += now - self.window_start
            self._begin_window(now, self.window_bytes >= DRAIN_BYTES)
        if self.drains_well:
            if now < self.last_taken + PAUSE_SECONDS:
                self.hold_until = self.last_taken + PAUSE_SECONDS
            elif unsent_bytes >= HELD_QUEUE_BYTES:
                self.hold_until = self.window_start + DRAIN_SECONDS
            return None
        is_over = now >= self.behind_since + BEHIND_SECONDS + self.spared_seconds
        if is_over or unsent_bytes >= MAX_SEND_QUEUE_BYTES:
            return f"{unsent_bytes} bytes unsent, behind for {now - self.behind_since:.1f} s"
        return None

    @property
    def holds_room(self) -> bool:
        """Whether the talkers are to wait for this reader."""
        return self.hold_until is not None

    def next_deadline(self) -> float:
        """When `judge` may come to another verdict without anything having happened: in the very
        sums that it compares `now` with, or a rounding might call it once more in vain."""
        deadline = self.last_taken + STALL_SECONDS
        if self.behind_since is not None:
            deadline = min(deadline, self.window_start + DRAIN_SECONDS)
        if self.hold_until is not None:
            deadline = min(deadline, self.hold_until)
        return deadline

    def _begin_window(self, now: float, drains_well: bool) -> None:
        self.window_start = now
        self.window_bytes = 0
        self.drains_well = drains_well
