"""What attackers do, and what a server owes to all for it.

In: a Random. Out: Sessions, the same ones for the same Random. What they send follows the grammar,
nearly follows it, or does not; it is cut in any way, and ended in any way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from tests.fuzz.wire.grammar import GRAMMAR, stream_of
from tests.fuzz.wire.steps import CLOSE, DEAF, ENDINGS, FIN, OPEN, RESET, SEND, URGENT, WAIT, Step
from tests.support.protocol import INCORRECT_PASSCODE, PlainServer, joined, left

ALICE, BOB = 0, 1
HONEST = ("Alice", "Bob")

_SHARED_NAMES = {name.lower().decode() for name in GRAMMAR[b"shared_name"]}
_NAME_SIGNS = "ABCxyz019_.-"
_MOST_BYTE_PIECES = 400


@dataclass
class Session:
    """One attacker's connection, from its first step to its last, and what is owed for it.

    `answer` is the first line it is to read, "" for none; `replies` are those it reads alone;
    `heard` is what Alice and what Bob read of it. `is_ended` tells that the server ends it by
    itself. All of it is certain only if `is_sure`.
    """

    steps: list[Step]
    username: str
    answer: str
    replies: list[str]
    heard: tuple[list[str], list[str]]
    is_ended: bool

    @property
    def is_sure(self) -> bool:
        """Whether everything that is sent is read, and everything that is owed can be taken."""
        verbs = {step.verb for step in self.steps}
        return bool(verbs & {FIN, WAIT}) and not verbs & {DEAF, RESET, CLOSE}

    @property
    def has_shared_name(self) -> bool:
        return self.username.lower() in _SHARED_NAMES


def session_of(steps: Iterable[Step], passcode: bytes) -> Session:
    """What these steps of one connection are owed by a server."""
    steps = list(steps)
    stream = b"".join(step.data for step in steps if step.verb == SEND)
    server = honest_room(passcode)
    server.receive(2, stream)
    attacker = server.peers[2]
    is_ended = attacker.is_closed
    server.end(2)
    answer, *rest = [*_lines(attacker.screen), ""]
    news = (joined(attacker.username).to_room, left(attacker.username).to_room)
    alice, bob = (
        [line for line in _lines(server.peers[key].screen) if line not in news]
        for key in (ALICE, BOB)
    )
    return Session(steps, attacker.username, answer, rest[:-1], (alice, bob), is_ended)


def honest_room(passcode: bytes) -> PlainServer:
    """Alice and Bob alone, with nothing read yet."""
    server = PlainServer(passcode=passcode)
    for key, name in enumerate(HONEST):
        server.receive(key, b"JOIN %s %s\n" % (name.encode(), passcode))
    for key in (ALICE, BOB):
        server.peers[key].screen.clear()
    return server


class Attackers:
    """Makes the sessions of one run. `sources` are addresses that wrong passcodes may come from,
    each GUESSES_PER_SOURCE times; when all are used up nobody guesses any more."""

    GUESSES_PER_SOURCE = 15

    def __init__(self, seed: int, passcode: bytes, sources: Iterable[bytes]) -> None:
        self._seed = seed
        self._passcode = passcode
        self._guesses = [source for source in sources for _ in range(self.GUESSES_PER_SOURCE)]

    def make(self, who: int) -> Session:
        """The session of the connection `who`, the same one for the same seed."""
        random = Random(f"{self._seed}:{who}")
        name = f"{who:05}".encode() + "".join(random.choices(_NAME_SIGNS, k=3)).encode()
        session = self._session(random, who, stream_of(random, name, self._passcode), b"")
        if session.answer == f"ERROR {INCORRECT_PASSCODE}":
            if not self._guesses:
                return self._session(random, who, b"", b"")
            session.steps[0] = Step(who, OPEN, self._guesses.pop(0))
        return session

    def _session(self, random: Random, who: int, stream: bytes, source: bytes) -> Session:
        steps = [Step(who, OPEN, source)]
        endings = [FIN, FIN, FIN, RESET, CLOSE, WAIT]
        if random.random() < 0.03:
            steps.append(Step(who, DEAF))
            endings = [RESET, CLOSE]  # it would not read that it is over
        steps += [Step(who, SEND, piece) for piece in pieces(random, stream)]
        if random.random() < 0.05:
            steps.append(Step(who, URGENT, b"!"))
        steps.append(Step(who, random.choice(endings)))
        session = session_of(steps, self._passcode)
        if steps[-1].verb == WAIT and not session.is_ended:
            steps[-1] = Step(who, FIN)
            session = session_of(steps, self._passcode)
        return session


def pieces(random: Random, stream: bytes) -> list[bytes]:
    """`stream` as it is handed to the network: in one piece, in bytes, or cut anywhere."""
    manner = random.randrange(4)
    if manner == 0 or len(stream) < 2:
        return [stream] if stream else []
    if manner == 1 and len(stream) <= _MOST_BYTE_PIECES:
        return [bytes([byte]) for byte in stream]
    cuts = sorted(random.sample(range(1, len(stream)), min(len(stream) - 1, random.randint(1, 6))))
    return [stream[i:j] for i, j in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def sessions_in(steps: Iterable[Step], passcode: bytes) -> dict[int, Session]:
    """The attackers' sessions in a record, of those whose beginning is in it."""
    by_who: dict[int, list[Step]] = {}
    for step in steps:
        if step.who > BOB and (step.verb == OPEN or step.who in by_who):
            by_who.setdefault(step.who, []).append(step)
    for who, own in by_who.items():
        if own[-1].verb not in ENDINGS:
            own.append(Step(who, CLOSE))
    return {who: session_of(own, passcode) for who, own in by_who.items()}


def _lines(screen: bytes | bytearray) -> list[str]:
    return screen.decode().split("\n")[:-1]
