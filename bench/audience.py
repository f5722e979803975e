"""What one says to many, byte for byte, and what each of them has heard of it.

A Story is poured into one descriptor as fast as it is taken, while an Audience of Ears listens.
"""

from __future__ import annotations

import os
import re
import selectors
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from bench.load import LINE_BYTES, READ_BYTES, text_of

CYCLE_LINES = 100_000  # after which a story repeats itself: ten million lines need not be kept
SEND_BYTES = 200_000
GAP_SECONDS = 0.02  # in which no one was delivered anything: a delay
QUIET_SECONDS = 0.3
PATIENCE_SECONDS = 20.0  # longer than the longest deadline of the server
TURN_SECONDS = 0.02
SLOW_BYTES = 3_000_000  # of what a slow ear is told
SLOW_READ_BYTES = 4096
SLOW_READ_SECONDS = 0.004

_NOTICE = re.compile(rb"^(\S+ (?:joined|left) the chatroom|Connected to .*)\n", re.MULTILINE)


class Story:
    """`lines` numbered lines of one member, each heard as LINE_BYTES, the sender's name included.

    A server says its lines as they are heard; a member leaves its name to the server.
    """

    def __init__(self, name: bytes, lines: int, is_servers: bool = False) -> None:
        texts = [text_of(name, number) for number in range(min(lines, CYCLE_LINES))]
        self._heard = b"".join(b"%s: %s\n" % (name, text) for text in texts) * 2
        said = self._heard if is_servers else b"".join(b"%s\n" % text for text in texts) * 2
        self._said = memoryview(said)
        self.lines = lines
        self.heard_bytes = lines * LINE_BYTES
        self.said_bytes = lines * len(said) // (2 * len(texts))

    def said_from(self, position: int) -> memoryview:
        """What is to be sent next, at most SEND_BYTES of it."""
        start = position % (len(self._said) // 2)
        return self._said[start : start + min(SEND_BYTES, self.said_bytes - position)]

    def has_at(self, position: int, data: bytes) -> bool:
        """Whether `data`, no longer than a cycle, is what is heard there."""
        if position + len(data) > self.heard_bytes:
            return False
        return self._heard.startswith(data, position % (len(self._heard) // 2))


class Ear:
    """One who listens to a story, byte for byte, and counts what it is told beside it.

    With `is_own` it said the story itself, and hears none of it.
    """

    def __init__(self, descriptor: int, story: Story, is_own: bool = False) -> None:
        self.descriptor = descriptor
        self.due_bytes = 0 if is_own else story.heard_bytes
        self.heard_bytes = 0
        self.notices: Counter[bytes] = Counter()
        self.is_in_order = True
        self._story = story
        self._unfinished = b""

    @property
    def lost_lines(self) -> int:
        return (self.due_bytes - self.heard_bytes) // LINE_BYTES

    def read(self) -> bool:
        """Take what has come; False when nothing will come any more."""
        return self._take(READ_BYTES)

    def _take(self, max_bytes: int) -> bool:
        try:
            data = os.read(self.descriptor, max_bytes)
        except ConnectionError:
            return False
        if self._unfinished or not self._follow(data):
            self._sort(self._unfinished + data)
        return bool(data)

    def _follow(self, data: bytes) -> bool:
        if self.heard_bytes + len(data) > self.due_bytes:
            return not data
        if not self._story.has_at(self.heard_bytes, data):
            return False
        self.heard_bytes += len(data)
        return True

    def _sort(self, data: bytes) -> None:
        """Tell what was said beside the story from the story."""
        self.notices.update(_NOTICE.findall(data))
        data = _NOTICE.sub(b"", data)
        self._unfinished = b""
        if not self._follow(data):
            end = data.rfind(b"\n") + 1  # behind it a notice may have begun
            self._unfinished = data[end:]
            self.is_in_order &= self._follow(data[:end])


class SlowEar(Ear):
    """Reads a page each few milliseconds until it has heard SLOW_BYTES, and then what it can."""

    def read(self) -> bool:
        is_slow = self.heard_bytes < SLOW_BYTES
        if is_slow:
            time.sleep(SLOW_READ_SECONDS)
        return self._take(SLOW_READ_BYTES if is_slow else READ_BYTES)


class Audience:
    """Ears that are read as soon as something has come.

    `listening` are those who have not heard all of the story. `meanwhile` is called each turn.
    """

    def __init__(self, ears: list[Ear]) -> None:
        self.ears = ears
        self.meanwhile: Callable[[], None] = lambda: None
        self.selector = selectors.DefaultSelector()
        self.listening = {ear for ear in ears if ear.due_bytes}
        for ear in ears:
            self.selector.register(ear.descriptor, selectors.EVENT_READ, ear)

    @property
    def has_heard_a_tenth(self) -> bool:
        return all(ear.heard_bytes >= ear.due_bytes / 10 for ear in self.ears)

    def hear(self, ear: Ear) -> None:
        is_open = ear.read()
        if not is_open:
            self.selector.unregister(ear.descriptor)
        if not is_open or ear.heard_bytes >= ear.due_bytes or not ear.is_in_order:
            self.listening.discard(ear)

    def wait_for(self, notice: bytes) -> None:
        """Until all have been told it, or it is clear that they will not be; and a while longer,
        in case somebody is told twice."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while not all(ear.notices[notice] for ear in self.ears):
            self._hear_for(TURN_SECONDS)
            if time.perf_counter() > deadline:
                break
        while self._hear_for(QUIET_SECONDS):
            pass

    def close(self) -> None:
        self.selector.close()

    def _hear_for(self, seconds: float) -> bool:
        ready = self.selector.select(seconds)
        for key, _ in ready:
            self.hear(key.data)
        self.meanwhile()
        return bool(ready)


class Poured(NamedTuple):
    """What a pour came to. `delay_seconds`: the sum of all gaps in which no one was delivered
    anything. `blocked_turns`: how often the voice would have blocked."""

    wall_seconds: float
    delay_seconds: float
    blocked_turns: int

    def __str__(self) -> str:
        return f"{self.delay_seconds:.3f} s in {self.wall_seconds:.2f} s"


def pour(audience: Audience, story: Story, voice: int) -> Poured:
    """Write the story to the descriptor `voice` as fast as it is taken, while all listen, and close
    it."""
    os.set_blocking(voice, False)
    audience.selector.register(voice, selectors.EVENT_WRITE, None)
    sent_bytes = blocked_turns = 0
    delay_seconds = 0.0
    started = last = time.perf_counter()
    while audience.listening and time.perf_counter() - last < PATIENCE_SECONDS:
        ready = audience.selector.select(TURN_SECONDS)
        woke = time.perf_counter()
        for key, _ in ready:
            if key.data:
                audience.hear(key.data)
                continue
            sent_bytes += os.write(voice, story.said_from(sent_bytes))
            if sent_bytes == story.said_bytes:
                audience.selector.unregister(voice)
                os.close(voice)
        blocked_turns += sent_bytes < story.said_bytes and all(key.data for key, _ in ready)
        if any(key.data for key, _ in ready):
            delay_seconds += woke - last if woke - last > GAP_SECONDS else 0.0
            last = time.perf_counter()
        audience.meanwhile()
    return Poured(time.perf_counter() - started, delay_seconds, blocked_turns)
