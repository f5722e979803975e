"""A conversation of two while a third one pours and many never read, and what was heard of it.

What comes is kept with its time, and looked at afterwards.
"""

from __future__ import annotations

import os
import re
import selectors
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

from bench.audience import PATIENCE_SECONDS, SEND_BYTES, Story
from bench.load import READ_BYTES, Member

PACE_SECONDS = 0.005

_PACED = re.compile(rb"m0000001: paced (\d{7})\n")
_LEFT = re.compile(rb"(m\d{7}) left the chatroom\n")


class Conversation:
    """A speaker says a line each PACE_SECONDS, and a listener hears it, while a talker pours and
    the deaf are cut, until the listener has heard all of it."""

    def __init__(
        self, story: Story, talker: Member, speaker: Member, listener: Member, deaf: int
    ) -> None:
        self.story = story
        self._talker = talker
        self._speaker = speaker
        self._listener = listener
        self._poured_bytes = story.heard_bytes + deaf * len(b"m0000000 left the chatroom\n")
        self.spoken_at: list[float] = []
        self._heard: list[bytes] = []
        self._heard_ends: list[int] = []
        self._heard_at: list[float] = []

    def hold(self, voice: int, meanwhile: Callable[[], None]) -> None:
        """The talker talks on the descriptor `voice`. `meanwhile` is called each turn."""
        selector = selectors.DefaultSelector()
        for member in (self._talker, self._speaker, self._listener):
            selector.register(member.sock, selectors.EVENT_READ, member)
        selector.register(voice, selectors.EVENT_WRITE, None)
        started = time.perf_counter()
        said_bytes = heard_bytes = spoken_bytes = 0
        while (now := time.perf_counter()) - started < 2 * PATIENCE_SECONDS:
            if heard_bytes >= self._poured_bytes + spoken_bytes:
                break
            meanwhile()
            next_at = started + len(self.spoken_at) * PACE_SECONDS
            if now >= next_at and heard_bytes < self._poured_bytes:
                spoken_bytes += len(b"m0000001: ")
                spoken_bytes += self._speaker.sock.send(b"paced %07d\n" % len(self.spoken_at))
                self.spoken_at.append(now)
            for key, _ in selector.select(max(0.0, next_at - now)):
                if not key.data:
                    said_bytes += os.write(voice, self.story.said_from(said_bytes))
                    if said_bytes == self.story.said_bytes:
                        selector.unregister(voice)
                        os.close(voice)
                    continue
                data = key.data.sock.recv(READ_BYTES)
                if key.data is self._listener:
                    heard_bytes += len(data)
                    self._heard.append(data)
                    self._heard_ends.append(heard_bytes)
                    self._heard_at.append(time.perf_counter())
        selector.close()

    # What was heard.

    @property
    def lefts(self) -> Counter[str]:
        """Name -> how often it was heard to have left."""
        return Counter(name.decode() for name in _LEFT.findall(b"".join(self._heard)))

    @property
    def paced(self) -> list[int]:
        """The numbers of the speaker's lines, as they were heard."""
        return [int(number) for number in _PACED.findall(b"".join(self._heard))]

    @property
    def poured(self) -> bytes:
        """All that was heard beside these."""
        return _LEFT.sub(b"", _PACED.sub(b"", b"".join(self._heard)))

    @property
    def is_whole(self) -> bool:
        """Whether every line of the talker and the speaker was heard, in order, once."""
        poured = self.poured
        return (
            len(poured) == self.story.heard_bytes
            and all(
                self.story.has_at(start, poured[start : start + SEND_BYTES])
                for start in range(0, len(poured), SEND_BYTES)
            )
            and self.paced == list(range(len(self.spoken_at)))
        )

    @property
    def seconds(self) -> float:
        return self._heard_at[-1] - self.spoken_at[0]

    def latencies(self) -> list[float]:
        """Of the speaker's lines, from the shortest."""
        return sorted(
            self._heard_at[bisect_left(self._heard_ends, line.end())] - self.spoken_at[int(line[1])]
            for line in _PACED.finditer(b"".join(self._heard))
        )
