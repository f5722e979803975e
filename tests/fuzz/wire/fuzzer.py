"""Carries out steps against a server, beside two honest members.

In: steps, from a schedule or from a record. Out: figures. Raised: FindingError.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from tests.fuzz.wire.network import Network, Peer
from tests.fuzz.wire.sessions import ALICE, BOB, HONEST, Session
from tests.fuzz.wire.steps import CLOSE, ENDINGS, KEPT_STEPS, OPEN, SEND, Step, format_step
from tests.fuzz.wire.witness import Attacker, FindingError, Witness

PATIENCE_SECONDS = 10.0
"""How late an honest line, an answer or an end may be."""

MOST_OPEN = 56
"""Of a server's 128 connections that have not joined this leaves more than half to others."""

MOST_UNREAD = 100
"""Steps after which all wait until the honest have read each other's lines, so that the server is
never far behind."""


class Fuzzer:
    """One run. `record` has its last steps, as lines."""

    def __init__(self, network: Network, passcode: bytes) -> None:
        self.record: deque[str] = deque(maxlen=KEPT_STEPS)
        self.sessions = 0
        self.witness = Witness(passcode)
        self._network = network
        self._passcode = passcode
        self._attackers: dict[int, tuple[Peer, Attacker]] = {}
        self._reported_at = 0.0
        self._is_over = False
        self._honest: list[Peer] = []

    # A run.

    def run(self, steps: Iterable[Step], sessions: Mapping[int, Session]) -> None:
        """Do all of `steps`. `sessions` knows every attacker by the time it opens."""
        self._join_honest()
        for count, step in enumerate(steps, 1):
            self.record.append(format_step(self._network.seconds, step))
            self._do(step, sessions)
            self._pump(0)
            if count % MOST_UNREAD == 0:
                self._wait_until(lambda: self.witness.is_quiet)
        for who, (_, attacker) in list(self._attackers.items()):
            if attacker.ended_at is None:  # a record may end before it does
                self._do(Step(who, CLOSE), {})
        self._wait_until(lambda: not self._attackers and self.witness.is_quiet)
        self._is_over = True
        for key, peer in enumerate(self._honest):
            peer.act(Step(key, SEND, b":Exit\n"))
        self._wait_until(lambda: not any(peer.is_open for peer in self._honest))

    def close(self) -> None:
        for peer in [*self._honest, *(peer for peer, _ in self._attackers.values())]:
            peer.act(Step(ALICE, CLOSE))
        self._network.close()

    @property
    def figures(self) -> str:
        return f"{self.sessions} sessions, {self.witness.lines} honest lines read"

    # Steps.

    def _do(self, step: Step, sessions: Mapping[int, Session]) -> None:
        if step.who in (ALICE, BOB):
            for line in step.data.split(b"\n")[:-1]:
                self.witness.says(step.who, line, self._network.seconds)
            self._honest[step.who].act(step)
        elif step.verb == OPEN:
            self._wait_until(lambda: len(self._attackers) < MOST_OPEN)
            self._open(step, sessions[step.who])
        elif step.who in self._attackers:
            peer, attacker = self._attackers[step.who]
            if step.verb in ENDINGS:
                attacker.ended_at = self._network.seconds
            peer.act(step)
            if not peer.is_open:
                self._attackers.pop(step.who, None)

    def _open(self, step: Step, session: Session) -> None:
        attacker = self.witness.expect(session)

        def ends(error: OSError | None) -> None:
            del self._attackers[step.who]
            attacker.ends(error, self._network.seconds)

        peer = self._network.open(step.data.decode(), attacker.hears, ends)
        self._attackers[step.who] = peer, attacker
        self.sessions += 1

    # The honest.

    def _join_honest(self) -> None:
        for key, name in enumerate(HONEST):
            ends = partial(self._end_honest, name)
            self._honest.append(self._network.open("", partial(self.witness.hears, key), ends))
            join = b"JOIN %s %s\n" % (name.encode(), self._passcode)
            self._honest[key].act(Step(key, SEND, join))
            self._wait_until(partial(self.witness.has_answer, key), f"no answer to {name}'s JOIN")
        for key in (ALICE, BOB):
            self._do(Step(key, SEND, b":Users\n"), {})
            self._wait_until(lambda: self.witness.is_quiet)

    def _end_honest(self, name: str, error: OSError | None) -> None:
        if not self._is_over:
            raise FindingError(f"the server closed {name}: {error or 'EOF'}")

    # The network.

    def _wait_until(
        self, is_done: Callable[[], bool], finding: str = "the server does not come to an end"
    ) -> None:
        since = self._network.seconds
        while not is_done():
            self._pump(0.05)
            if self._network.seconds - since > 3 * PATIENCE_SECONDS:
                raise FindingError(f"{finding}, with {[*self._attackers]} connected")

    def _pump(self, seconds: float) -> None:
        self._network.pump(seconds)
        now = self._network.seconds
        if now - self._reported_at >= 1:
            self._reported_at = now
            self.witness.look_for_late(now, PATIENCE_SECONDS)
            print(f"{now:.0f} s: {self.figures}", file=sys.stderr)
