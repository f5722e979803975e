"""What is done in a run: who is next, what attackers send, and what the honest say meanwhile.

In: a seed. Out: steps, the same ones for the same seed. What attackers send is cut in any way, and
ended in any way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random

from tests.fuzz.wire.grammar import Maker
from tests.fuzz.wire.sessions import ALICE, BOB, Session, session_of
from tests.fuzz.wire.steps import CLOSE, DEAF, FIN, OPEN, RESET, SEND, URGENT, WAIT, Step
from tests.support.protocol import INCORRECT_PASSCODE

GUESSES_PER_SOURCE = 15

MOST_AT_ONCE = 24
"""Attackers that have not finished. With those whose end is awaited they stay below MOST_OPEN."""

_MOST_BYTE_PIECES = 400


class Schedule:
    """The steps of one run. `sources` are addresses that wrong passcodes may come from, each
    GUESSES_PER_SOURCE times; when all are used up no one guesses any more."""

    def __init__(self, seed: int, passcode: bytes, sources: Iterable[bytes]) -> None:
        self.sessions: dict[int, Session] = {}  # those that have begun, and are not at an end
        self._seed = seed
        self._passcode = passcode
        self._random = Random(f"{seed}:schedule")
        self._honest = Maker(self._random)
        self._guesses = [source for source in sources for _ in range(GUESSES_PER_SOURCE)]

    def steps(self, is_over: Callable[[int], bool]) -> Iterator[Step]:
        """Until `is_over`, given how many sessions there were, and all begun are at an end."""
        random = self._random
        active: list[list[Step]] = []  # what each still does, last first
        count = 0
        while active or not is_over(count):
            may_open = not is_over(count) and len(active) < MOST_AT_ONCE
            if random.random() < 0.2:
                yield Step(random.choice([ALICE, BOB]), SEND, self._honest.make(b"honest"))
            elif may_open and (not active or random.random() < 0.3):
                count += 1
                self.sessions[BOB + count] = self.attacker(BOB + count)
                active.append(self.sessions[BOB + count].steps[::-1])
            elif active:
                steps = random.choice(active)
                step = steps.pop()
                yield step
                if not steps:
                    active.remove(steps)
                    del self.sessions[step.who]

    def attacker(self, who: int) -> Session:
        """The session of the connection `who`, the same one for the same seed."""
        random = Random(f"{self._seed}:{who}")
        name = f"{who:05}{''.join(random.choices('ABCxyz019_.-', k=3))}".encode()
        maker = Maker(random, name=name, passcode=self._passcode)
        session = self._session(random, who, maker.make(b"attacker"))
        if session.answer == f"ERROR {INCORRECT_PASSCODE}":
            if not self._guesses:
                return self._session(random, who, b"")
            session.steps[0] = Step(who, OPEN, self._guesses.pop(0))
        return session

    def _session(self, random: Random, who: int, stream: bytes) -> Session:
        steps = [Step(who, OPEN), *(Step(who, SEND, piece) for piece in _pieces(random, stream))]
        endings = [FIN, FIN, FIN, RESET, CLOSE, WAIT]
        if random.random() < 0.03:
            steps.insert(1, Step(who, DEAF))
            endings = [RESET, CLOSE]  # it would not read that it is over
        if random.random() < 0.05:
            steps.append(Step(who, URGENT, b"!"))
        ending = random.choice(endings)
        session = session_of([*steps, Step(who, ending)], self._passcode)
        if ending == WAIT and not session.is_ended:
            session.steps[-1] = Step(who, FIN)
        return session


def _pieces(random: Random, stream: bytes) -> list[bytes]:
    """`stream` as it is handed to the network: in one piece, in bytes, or cut anywhere."""
    manner = random.randrange(4)
    if manner == 0 or len(stream) < 2:
        return [stream] if stream else []
    if manner == 1 and len(stream) <= _MOST_BYTE_PIECES:
        return [bytes([byte]) for byte in stream]
    cuts = sorted(random.sample(range(1, len(stream)), min(len(stream) - 1, random.randint(1, 6))))
    return [stream[i:j] for i, j in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
