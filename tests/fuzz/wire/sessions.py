"""What attackers do, and what a server owes everybody for it.

In: a Random. Out: Sessions, the same ones for the same Random. What they send follows the grammar,
nearly follows it, or does not; it is cut in any way, and ended in any way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutation import TOKENS, mutated
from tests.fuzz.wire.steps import CLOSE, DEAF, ENDINGS, FIN, OPEN, RESET, SEND, URGENT, WAIT, Step
from tests.support.protocol import (
    DOCUMENTED_LIMITS,
    INCORRECT_PASSCODE,
    UNSAFE,
    PlainServer,
    joined,
    left,
)

ALICE, BOB = 0, 1
HONEST = ("Alice", "Bob")

SHARED_NAMES = [b"Zed", b"zed", b"ZED", b"a", b"A", b"-"]
"""What several attackers call themselves at once: who of them comes in is not predicted."""

_LONGEST_JOIN = DOCUMENTED_LIMITS.join_bytes
_NAME_SIGNS = "ABCxyz019_.-"
_MOST_BYTE_PIECES = 400
_SIZES = [4080, 4086, 4087, 4088, 4095, 4096, 4097, 5000, 20_000, 70_000, 300_000]

_UTF8 = [
    *["gr\u00fc\u00dfe", "\U0001f600", "\u05d0\u05d1", "\u0627\u200c\u0628", "\u00a0", "\ufffd"],
    *["\U0001f468\u200d\U0001f469", "\u212aim", "\ufeff", *sorted(UNSAFE - {"\n"})],
]
_NOT_UTF8 = [
    *[b"\xff", b"\xfe\xff", b"\x80", b"\xc0\x8a", b"\xc0\x80", b"\xe0\x80\x8a", b"\xed\xa0\x80"],
    *[b"\xf4\x90\x80\x80", b"\xf0\x9f\x98", b"\xe2\x82", b"\xc3", b"\xf8\x88\x80\x80\x80"],
]
_FORGERIES = [
    *[b"Alice: hi", b"\rAlice: hi", b"\xe2\x80\xa8Alice: hi", b"\xc2\x85Bob: hi", b"\x0bBob: hi"],
    *[b"Bob left the chatroom", b"[Message from Alice]: hi", b"Active Users: Alice", b"OK"],
    *[b"ERROR Server full", b"Server is shutting down", b"\x1b[2K\rAlice: hi", b"\x1e\x1dAlice: "],
    *[b"x" * 9 + b"\x08" * 30 + b"Alice: hi", b"No such user: Alice", b"\x0cAlice: hi"],
]
_WORDS = [
    *[b":)", b":(", b":mytime", b":+1hr", b":MyTime", b"\\:mytime", b"\\\\:)", b"\\", b":", b"::"],
    *[b":Users", b":Exit", b":Msg", b"C:\\x", b"hi", b"there", b"\\:Exit", b":)x", b"(:", b": )"],
]
_BLANKS = [b" ", b" ", b" ", b"\t", b"  ", b" \t "]
_STRANGE_JOINS = [
    *[b"", b"JOIN", b"JOIN ", b"JOIN  ", b"JOIN Al", b"join Al PASS", b" JOIN Al PASS", b"OK"],
    *[b"JOIN\tAl PASS", b"JOIN  Al PASS", b"JOIN  PASS", b"JOIN Al!ce PASS", b"QUIT"],
    *[b"JOIN Alexander PASS", b"JOIN Al\x00 PASS", b"JOIN \xff\xfe PASS", b"JOIN Al\x1b[2J PASS"],
    *["JOIN \u0410lice PASS".encode(), "JOIN Al\u200bice PASS".encode(), b"JOIN Alice PASS"],
    *["JOIN \uff21lice PASS".encode(), "JOIN Alice\u00b2 PASS".encode(), b"JOIN BOB PASS"],
    *["JOIN A\u202el PASS".encode(), b"JOIN aLICE PASS\r", b"JOIN A:b PASS", b"JOIN A,b PASS"],
    *[b"JOIN Al\rice PASS", b"JOIN Bob PASS", b"JOIN \xc0\xc1 PASS", b"JOIN\x00Al PASS"],
]
_OTHER_PROTOCOLS = [
    *[b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"*1\r\n$4\r\nPING\r\n"],
    *[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(99)), b"NICK a\r\nUSER a\r\n"],
    *[b"\xff\xfb\x1f\xff\xfd\x01\xff\xf4\xff\xfd\x06", b"\x00\x00\x00\x2f\xffSMB", b"EHLO x\r\n"],
]
_GUESSES = [b"x", b"", b"PASS ", b" PASS", b"PASS\x00", b"\xff", b"PAS", b"PASSS", b"PASS\xc2\xa0"]


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
        return self.username.lower().encode() in {name.lower() for name in SHARED_NAMES}


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
        kind = random.choices(list(_KINDS), list(_KINDS.values()))[0]
        stream = kind(_Maker(random, self._passcode, who))
        session = self._session(random, who, stream, b"")
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


class _Maker:
    """Makes what one attacker sends."""

    def __init__(self, random: Random, passcode: bytes, who: int) -> None:
        self.random = random
        self.passcode = passcode
        self.name = f"{who:05}".encode() + "".join(random.choices(_NAME_SIGNS, k=3)).encode()

    def member(self) -> bytes:
        return self.join(self.name) + b"".join(
            self.line() for _ in range(self.random.randint(0, 9))
        )

    def mutated_member(self) -> bytes:
        lines = b"".join(self.line() for _ in range(self.random.randint(1, 6)))
        return self.join(self.name) + mutated(self.random, lines)

    def garbage_member(self) -> bytes:
        return self.join(self.name) + self.random.randbytes(self.random.choice([5, 50, 500, 5000]))

    def bursting_member(self) -> bytes:
        count = self.random.choice([50, 300, 2000])
        odd = self.random.choice([b"%d", b"%d", b"%d :)", b":Msg Bob %d", b"\xff%d", b" %d"])
        lines = [(odd if n % 7 == 3 else b"%d") % n for n in range(count)]
        return self.join(self.name) + b"\n".join(lines) + b"\n"

    def long_winded_member(self) -> bytes:
        random = self.random
        unit = random.choice([b"x", b"x", b"\xff", b":) ", b" ", "\u00e9".encode(), b"\r"])
        start = random.choice([b"", b"", b":Msg Bob ", b":Msg "])
        long = start + (unit * (random.choice(_SIZES) // len(unit) + 1))[: random.choice(_SIZES)]
        end = random.choice([b"\n", b"\r\n", b"\r\nafter\n", b"", b"\nafter\n" + long])
        return self.join(self.name) + b"before\n" + long + end

    def second_of_a_name(self) -> bytes:
        return self.join(self.random.choice(SHARED_NAMES)) + self.line() + self.line()

    def leaver(self) -> bytes:
        after = self.random.choice([b"", b"more\n", b":Exit\n", b"\n", b"ha", b"x" * 30_000])
        leave = self.random.choice([b":Exit\n", b":exit \t\r\n", b":EXIT\n"])
        return self.join(self.name) + self.line() + leave + after

    def stranger(self) -> bytes:
        line = self.random.choice(_STRANGE_JOINS).replace(b"PASS", self.passcode)
        after = self.random.choice([b"", b"hi\n", self.join(self.name)])
        return line + self.random.choice([b"\n", b"\n", b"\r\n", b""]) + after

    def mutated_stranger(self) -> bytes:
        return mutated(self.random, self.join(self.name) + b"hi\n")

    def guesser(self) -> bytes:
        guess = self.random.choice(_GUESSES).replace(b"PASS", self.passcode)
        name = self.random.choice([self.name, b"Alice", b"A!", b""])
        return b"JOIN %s %s\n" % (name, guess) + self.join(self.name)

    def garbage_stranger(self) -> bytes:
        random = self.random
        sizes = [1, 40, _LONGEST_JOIN, _LONGEST_JOIN + 1, _LONGEST_JOIN + 2, 5000, 70_000]
        data = random.choice([random.randbytes(1), b"x", b"\xff", b"JOIN ", b" ", b"\r"])
        return (data * random.choice(sizes))[: random.choice(sizes)]

    def other_protocol(self) -> bytes:
        return self.random.choice(_OTHER_PROTOCOLS)

    def silent(self) -> bytes:
        return b""

    def join(self, name: bytes) -> bytes:
        end = self.random.choice([b"\n", b"\n", b"\n", b"\r\n"])
        return b"JOIN " + name + b" " + self.passcode + end

    def line(self) -> bytes:
        random = self.random
        reader = random.choice([b"Alice", b"bob", self.name, b"No_One"])
        line = random.choice(
            [
                self.text(),
                self.text(),
                self.text(),
                b":Msg %s %s" % (reader, self.text()),
                random.choice([b":Msg", b":Msg Bob", b":msg  ", b":Msg Bob \t", b":MSG\tbob\thi"]),
                random.choice([b":Users", b":users \t", b":Users now", b" :Users", b":Help"]),
                random.choice([b"", b" ", b"\t", b" \t ", b"\r"]),
                random.choice(_FORGERIES),
                b"x" * random.choice([100, 101, 4086]),
            ]
        )
        return line + random.choice([b"\n", b"\n", b"\n", b"\r\n"])

    def text(self) -> bytes:
        random = self.random
        words = [_WORDS, [c.encode() for c in _UTF8], _NOT_UTF8, TOKENS]
        parts = []
        for _ in range(random.randint(1, 4)):
            parts += [random.choice(random.choice(words)), random.choice(_BLANKS)]
        return b"".join(parts[: random.choice([-1, -1, len(parts)])])


_KINDS: dict[Callable[[_Maker], bytes], float] = {
    _Maker.member: 28,
    _Maker.mutated_member: 14,
    _Maker.garbage_member: 4,
    _Maker.bursting_member: 3,
    _Maker.long_winded_member: 5,
    _Maker.second_of_a_name: 8,
    _Maker.leaver: 8,
    _Maker.stranger: 12,
    _Maker.mutated_stranger: 6,
    _Maker.guesser: 0.5,
    _Maker.garbage_stranger: 5,
    _Maker.other_protocol: 3,
    _Maker.silent: 3,
}
"""Each kind of attacker, and how many there are of it."""


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
