"""Knows who is in the room, and when an act is over. In: a Session and its programs. Waits, in this
order, for the proof that nothing more comes of an act:

    those who have to hear of it have heard it
    every thread of the solution waits for us alone          (kernel.py; the usual case)
    lines that are typed after it, first by the same client  (what a client sends is handled in
    and then by another, are shown to all                    order; so is what is sent to one)
    all have rested for longer than any answer took          (where no line can be typed)

A solution may be as slow as ANSWER_SECONDS with each of these. What it was not seen to do once is
not waited for again: `known` are the things that earlier cases have found out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from grader.processes import Program, Session

START_SECONDS = 20.0
"""Longest rest of a program before it listens or connects."""

ANSWER_SECONDS = 2.0
"""An answer may take so long, which is promised to students."""

TOLERANCE_SECONDS = 0.5
"""So much more is let pass, since one that takes two seconds by its own clock is in time."""

SILENCES = 3
"""A silence of so many times the slowest answer is the end, where nothing else proves it."""

SHORTEST_SILENCE_SECONDS = 0.1

SLOWEST = "slowest answer"


class Room:
    """`members`: who is in the room, in the order of joining. `learned`: as `known`. `barriers`:
    the lines of ours that were typed; none if not `uses_barriers`."""

    def __init__(
        self,
        session: Session,
        programs: dict[str, Program],
        known: dict[str, float],
        uses_barriers: bool,
    ) -> None:
        self.members: list[str] = []
        self.learned: dict[str, float] = {}
        self.barriers: list[str] = []
        self._session = session
        self._programs = programs
        self._known = known
        self._uses_barriers = uses_barriers

    def leave(self, name: str) -> None:
        """With the server, all do."""
        self.members = [m for m in self.members if name not in (m, "server")]

    def others(self, name: str) -> list[Program]:
        """The server, and all members but `name`."""
        return [self._programs[n] for n in ("server", *self.members) if n != name]

    def wait_for_answer(self, has_come: Callable[[], bool]) -> bool:
        began = time.monotonic()
        in_time = self._session.wait(has_come, ANSWER_SECONDS + TOLERANCE_SECONDS)
        if in_time:
            self.learned[SLOWEST] = max(self._slowest(), time.monotonic() - began)
        return in_time

    def wait_until_heard(self, what: str, hearers: Iterable[Program]) -> None:
        """Until each has printed something. Which text that is, is another matter."""
        missing = {program: f"{what} heard by {_kind(program)}" for program in hearers}
        expected = [p for p, key in missing.items() if self._known.get(key, True)]
        self.wait_for_answer(lambda: all(p.is_out or p.out.unseen for p in expected))
        for program, key in missing.items():
            if not program.is_out:
                self.learned.setdefault(key, bool(program.out.unseen))

    def finish(self, actor: str) -> None:
        """Wait until nothing more comes of what `actor` did."""
        if self._session.settle() or (self._uses_barriers and self._pass_barriers(actor)):
            return
        slowest = self._slowest()
        silence = max(SILENCES * slowest, SHORTEST_SILENCE_SECONDS) if slowest else ANSWER_SECONDS
        self._session.wait(lambda: False, min(silence, ANSWER_SECONDS))

    # Details.

    def _pass_barriers(self, actor: str) -> bool:
        """True if nothing more can come to anybody."""
        members = [name for name in self.members if not self._programs[name].is_out]
        others = [name for name in members if name != actor]
        typists = [name for name in members if name == actor] + others[:1]
        return all(self._pass_barrier(name) for name in typists) and len(members) > 1

    def _pass_barrier(self, typist: str) -> bool:
        listeners = [
            program
            for program in self.others(typist)
            if self._known.get(f"barrier heard by {_kind(program)}", True)
        ]
        if not listeners:
            return False
        line = f"ping {len(self.barriers) + 1}."
        self.barriers.append(line)
        self._session.type(self._programs[typist], f"{line}\n".encode())
        is_heard = self.wait_for_answer(lambda: all(p.is_out or p.out.has(line) for p in listeners))
        for program in self._programs.values():
            program.out.cut(line)
        for program in listeners:
            self.learned.setdefault(f"barrier heard by {_kind(program)}", program.out.has(line))
        return is_heard and len(listeners) == len(self.others(typist))

    def _slowest(self) -> float:
        return max(self.learned.get(SLOWEST, 0.0), self._known.get(SLOWEST, 0.0))


def _kind(program: Program) -> str:
    return "server" if program.name.startswith("server") else "client"
