"""Carries out a schedule of steps against a server, beside two honest members.

In: steps, from a seed or from a record. Out: figures. Raised: FindingError.
"""

from __future__ import annotations

import errno
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import NamedTuple

from tests.fuzz.wire.peer import Peer
from tests.fuzz.wire.sessions import ALICE, BOB, HONEST, Attackers, Session
from tests.fuzz.wire.steps import CLOSE, DEAF, FIN, OPEN, RESET, SEND, URGENT, WAIT, Record, Step
from tests.fuzz.wire.witness import Attacked, AttackerView, FindingError, Witness

PATIENCE_SECONDS = 10.0
"""How late an honest line, an answer or an end may be."""

MOST_AT_ONCE = 24
"""Attackers who have not finished. With those whose end is awaited they stay below MOST_OPEN."""

MOST_OPEN = 56
"""Of a server's 128 connections that have not joined this leaves more than half to others."""

MOST_UNREAD = 100
"""Steps after which everybody waits until the honest have read each other's lines, so that the
server is never far behind."""

_GRACE_SECONDS = 0.5  # a pause that is longer was ours: we were stopped, or starved


class Target(NamedTuple):
    """The server under attack."""

    host: str
    port: int
    passcode: bytes


class Fuzzer:
    """One run. `record` has its last steps."""

    def __init__(self, target: Target) -> None:
        self.record = Record()
        self.sessions = 0
        self.sent_bytes = 0
        self.seconds = 0.0
        self.witness = Witness(target.passcode)
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._attackers: dict[int, tuple[Peer, Attacked]] = {}
        self._finished: set[int] = set()
        self._steps = 0
        self._looked_at = time.monotonic()
        self._reported_at = 0.0
        self._is_over = False
        self._honest: list[Peer] = []
        self._answers: list[bytes] = []

    # A run.

    def run(self, steps: Iterable[Step], sessions: Mapping[int, Session]) -> None:
        """Do all of `steps`. `sessions` knows every attacker by the time it opens."""
        self._join_honest()
        for step in steps:
            self.record.add(self.seconds, step)
            self._do(step, sessions)
            self._steps += 1
            self._pump(0)
            if self._steps % MOST_UNREAD == 0:
                self._wait_until(lambda: self.witness.is_quiet)
        for who in self._attackers.keys() - self._finished:
            self._act(Step(who, CLOSE), *self._attackers[who])  # a record may end before it does
        self._wait_until(lambda: not self._attackers and self.witness.is_quiet)
        self._part_honest()

    def close(self) -> None:
        for peer in [*self._honest, *(peer for peer, _ in self._attackers.values())]:
            peer.close()
        self._selector.close()

    @property
    def figures(self) -> str:
        return (
            f"{self.sessions} sessions, {self.sent_bytes} bytes sent, "
            f"{self.witness.lines} honest lines read"
        )

    # Steps.

    def _do(self, step: Step, sessions: Mapping[int, Session]) -> None:
        if step.who in (ALICE, BOB):
            self.sent_bytes += len(step.data)
            for line in step.data.split(b"\n")[:-1]:
                self.witness.says(step.who, line, self.seconds)
            self._honest[step.who].send(step.data)
        elif step.verb == OPEN:
            self._wait_until(lambda: len(self._attackers) < MOST_OPEN)
            self._open(step, sessions[step.who])
        elif step.who in self._attackers:
            self._act(step, *self._attackers[step.who])

    def _act(self, step: Step, peer: Peer, attacked: Attacked) -> None:
        if step.verb == SEND:
            self.sent_bytes += len(step.data)
            peer.send(step.data)
        elif step.verb == URGENT:
            peer.send_urgent(step.data)
        elif step.verb == DEAF:
            peer.stop_reading()
        else:
            attacked.ended_at = self.seconds
            self._finished.add(step.who)
            _ENDINGS[step.verb](peer)
            if not peer.is_open:
                del self._attackers[step.who]

    def _open(self, step: Step, session: Session) -> None:
        attacked = self.witness.expect(session)
        view = AttackerView(attacked, self.witness)

        def ends(error: OSError | None) -> None:
            del self._attackers[step.who]
            if attacked.ended_at is None:
                attacked.ended_at = self.seconds
            is_finished = step.who in self._finished
            self._finished.discard(step.who)
            view.ends(error, is_finished)

        peer = Peer(self._selector, self._connect(step.data.decode()), view.hears, ends)
        self._attackers[step.who] = peer, attacked
        self.sessions += 1

    # The honest.

    def _join_honest(self) -> None:
        for key, name in enumerate(HONEST):
            self._honest.append(self._honest_peer(key))
            self._honest[key].send(b"JOIN %s %s\n" % (name.encode(), self._target.passcode))
            self._wait_until(lambda key=key: self._answers[key] == b"OK")  # type: ignore[misc]
        for key in (ALICE, BOB):
            self._do(Step(key, SEND, b":Users\n"), {})
            self._wait_until(lambda: self.witness.is_quiet)

    def _honest_peer(self, key: int) -> Peer:
        self._answers.append(b"")

        def hears(line: bytes) -> None:
            if self._answers[key]:
                self.witness.hears(key, line)
                return
            self._answers[key] = line
            if line != b"OK":
                raise FindingError(f"{HONEST[key]} was not let in: {line!r}")

        def ends(error: OSError | None) -> None:
            if not self._is_over:
                raise FindingError(f"the server closed {HONEST[key]}: {error or 'EOF'}")

        return Peer(self._selector, self._connect(""), hears, ends)

    def _part_honest(self) -> None:
        self._is_over = True
        for peer in self._honest:
            peer.send(b":Exit\n")
            self._wait_until(lambda peer=peer: not peer.is_open)  # type: ignore[misc]

    # The network.

    def _connect(self, source: str) -> socket.socket:
        address = (self._target.host, self._target.port)
        while True:
            try:
                return socket.create_connection(
                    address, PATIENCE_SECONDS, (source, 0) if source else None
                )
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise FindingError(f"cannot connect: {error}") from error
                self._pump(1)  # our own ports are used up: some come back each second

    def _wait_until(self, is_done: Callable[[], bool]) -> None:
        since = self.seconds
        while not is_done():
            self._pump(0.05)
            if self.seconds - since > 3 * PATIENCE_SECONDS:
                raise FindingError(f"the server does not come to an end with {self._whom()}")

    def _whom(self) -> str:
        return (
            f"{len(self._attackers)} attackers, the first of them {min(self._attackers, default=0)}"
        )

    def _pump(self, seconds: float) -> None:
        """Send and receive what can be, for as long as `seconds`."""
        for key, events in self._selector.select(seconds):
            peer: Peer = key.data
            if peer.is_open:
                peer.handle(events)
        now = time.monotonic()
        self.seconds += min(now - self._looked_at, _GRACE_SECONDS)
        self._looked_at = now
        if self.seconds - self._reported_at >= 1:
            self._reported_at = self.seconds
            self.witness.look_for_late(self.seconds, PATIENCE_SECONDS)
            print(f"{self.seconds:.0f} s: {self.figures}", file=sys.stderr)


_ENDINGS: dict[str, Callable[[Peer], None]] = {
    FIN: Peer.end_half,
    RESET: Peer.reset,
    CLOSE: Peer.close,
    WAIT: lambda peer: None,
}


class Schedule:
    """The steps of a run from its seed: who is next, and what the honest say meanwhile."""

    def __init__(self, seed: int, attackers: Attackers) -> None:
        self.sessions: dict[int, Session] = {}
        self._random = Random(f"{seed}:schedule")
        self._attackers = attackers

    def steps(self, is_over: Callable[[int], bool]) -> Iterator[Step]:
        """Until `is_over`, given how many sessions there were, and all begun are at an end."""
        random = self._random
        active: list[list[Step]] = []  # what each still does, last first
        count = 0
        said = 0
        while active or not is_over(count):
            if random.random() < 0.2:
                said += 1
                yield Step(random.choice([ALICE, BOB]), SEND, self._honest_words(said))
            elif ((len(active) < MOST_AT_ONCE and random.random() < 0.3) or not active) and (
                not is_over(count)
            ):
                who = BOB + 1 + count
                count += 1
                self.sessions[who] = self._attackers.make(who)
                active.append(self.sessions[who].steps[::-1])
            elif active:
                steps = random.choice(active)
                step = steps.pop()
                yield step
                if not steps:
                    active.remove(steps)
                    self.sessions.pop(step.who)

    def _honest_words(self, number: int) -> bytes:
        words = self._random.choice(_HONEST_WORDS)
        return words.replace(b"%d", b"%d" % number) + b"\n"


_HONEST_WORDS = [
    *[b"%d", b"%d hello", b"%d caf\xc3\xa9 \xf0\x9f\x98\x80", b"%d :)", b"%d\n%d and %d"],
    *[b"%d :mytime", b"\\:mytime %d", b":Msg Alice %d", b":Msg bob %d :)", b":Users", b":Msg"],
    *[b"%d " + b"x" * 4000, b":Msg No_One %d", b" %d", b"%d" + b"x" * 4090, b"%d :Users"],
]
