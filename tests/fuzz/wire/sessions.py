"""What a server owes to all for what one attacker does.

In: the steps of a connection. Out: a Session, as tests/support/protocol.py tells it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.fuzz.wire.grammar import GRAMMAR
from tests.fuzz.wire.steps import CLOSE, DEAF, ENDINGS, FIN, OPEN, RESET, SEND, WAIT, Step
from tests.support.protocol import NO_SUCH_USER, NOTICE, PlainServer

ALICE, BOB = 0, 1
HONEST = ("Alice", "Bob")

_SHARED_NAMES = {name.lower().decode() for name in GRAMMAR[b"shared_name"]}
_UNSURE_REPLIES = {
    f"{mark}{NO_SUCH_USER}{name}".lower() for mark in ("", NOTICE) for name in _SHARED_NAMES
}


@dataclass
class Session:
    """One attacker's connection, from its first step to its last, and what is owed for it.

    `answer` is the first line it is to read, "" for none; `replies` are those it reads alone;
    `heard` is what Alice and what Bob read of it. `is_ended` tells that the server ends it by
    itself, `enters` that it comes by ENTER. All of it is certain only if `is_sure`.
    """

    steps: list[Step]
    username: str
    answer: str
    replies: list[str]
    heard: list[list[str]]
    is_ended: bool
    enters: bool

    @property
    def is_sure(self) -> bool:
        """Whether everything that is sent is read, everything that is owed can be taken, and none
        is written to who may be there, under a name that others take too, or not."""
        verbs = {step.verb for step in self.steps}
        is_heard = bool(verbs & {FIN, WAIT}) and not verbs & {DEAF, RESET, CLOSE}
        return is_heard and _UNSURE_REPLIES.isdisjoint(map(str.lower, self.replies))

    @property
    def has_shared_name(self) -> bool:
        return self.username.lower() in _SHARED_NAMES


def session_of(steps: Iterable[Step], passcode: bytes) -> Session:
    """What these steps of one connection are owed by a server."""
    steps = list(steps)
    server = honest_room(passcode)
    server.receive(2, b"".join(step.data for step in steps if step.verb == SEND))
    attacker = server.peers[2]
    is_ended = attacker.is_closed
    server.end(2)
    answer, *replies = [*_lines(attacker.screen), ""]
    heard = [_lines(server.peers[key].screen) for key in (ALICE, BOB)]
    name, echo = attacker.username, attacker.echo
    return Session(steps, name, answer, replies[:-1], heard, is_ended, echo)


def honest_room(passcode: bytes) -> PlainServer:
    """Alice and Bob alone, with nothing read yet."""
    server = PlainServer(passcode=passcode)
    for key, name in enumerate(HONEST):
        server.receive(key, b"JOIN %s %s\n" % (name.encode(), passcode))
    for key in (ALICE, BOB):
        server.peers[key].screen.clear()
    return server


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
