"""Every member is sent just what the model (tests/support/fanout.py) says, whatever sends do."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

import pytest
from hypothesis import given

from tests.reactor.conftest import Loop, new_loop, reset, tcp_pair
from tests.support.fanout import (
    ALL,
    GENTLE_TAPES,
    HARSH_TAPES,
    PARTIAL,
    SCRIPTS,
    TURN,
    Member,
    Simulation,
    Step,
    TapeSocket,
    Verdict,
    World,
    play,
)
from tests.support.faults import fault
from tests.support.size import examples


@fault(30)
@examples(150, 1500)
@given(SCRIPTS, GENTLE_TAPES)
def test_partial_sends_never_matter(script: list[Step], tape: list[Verdict]) -> None:
    play(script, tape)


@fault(74)
@examples(150, 1500)
@given(SCRIPTS, HARSH_TAPES)
def test_failing_member_costs_others_nothing(script: list[Step], tape: list[Verdict]) -> None:
    play(script, tape)


def simulated_trio(tape: Iterable[Verdict]) -> tuple[Simulation, list[TapeSocket]]:
    """Three members, and a turn in which two lines were said."""
    simulation = Simulation(tape)
    for step in [Step("join")] * 3 + [Step("say", size=5)] * 2:
        simulation.do(step)
    simulation.reactor.run_once()
    return simulation, simulation.selector.sockets


def test_page_goes_to_every_member_in_one_send_uncopied() -> None:
    _, sockets = simulated_trio([])
    pages = [page for sock in sockets for send in sock.sends for page in send]
    assert pages == [b"1.1.12.2.2"] * 3
    assert pages[0] is pages[1] is pages[2]


@pytest.mark.parametrize("verdict", PARTIAL)
def test_member_that_waits_is_not_tried_twice_in_a_turn(verdict: Verdict) -> None:
    simulation, sockets = simulated_trio([ALL, verdict, ALL])
    assert [len(sock.sends) for sock in sockets] == [1, 1, 1]
    simulation.run([])
    assert [len(sock.sends) for sock in sockets] == [1, 2, 1]


# The same on real TCP, where the kernel decides.


class TcpWorld(World):
    """A World whose members are sent little at a time, and read little at a time."""

    def __init__(self, loop: Loop) -> None:
        self.peers: list[socket.socket] = []
        self.received: list[bytearray] = []
        super().__init__(loop.reactor, self._make_end, scale=500)

    def abort(self, member: Member) -> None:
        """Here it is the peer that resets; the fan-out is to find out by itself."""
        member.is_aborted = True
        peer = self.peers[self.members.index(member)]
        if peer.fileno() >= 0:
            reset(peer)

    def read(self, who: int, size: int) -> None:
        """The peer of the member `who` reads at most `size` bytes; at the end it ends as well."""
        peer = self.peers[who]
        if peer.fileno() >= 0:
            with contextlib.suppress(BlockingIOError):
                data = peer.recv(size)
                self.received[who] += data
                if not data:
                    peer.close()

    def has_all_arrived(self) -> bool:
        for who in range(len(self.members)):
            self.read(who, 1 << 16)
        return all(
            member.is_aborted or received == member.queue
            for member, received in zip(self.members, self.received, strict=True)
        )

    def _make_end(self) -> socket.socket:
        near, peer = tcp_pair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.peers.append(peer)
        self.received.append(bytearray())
        return near


@examples(20, 200)
@given(SCRIPTS)
def test_real_kernel_never_matters(script: list[Step]) -> None:
    with new_loop() as loop:
        world = TcpWorld(loop)
        for number, step in enumerate(script):
            if step != TURN:
                world.do(step)
            elif world.peers:
                loop.turn()
                world.read(number % len(world.peers), 3000)
        loop.turn_until(world.has_all_arrived)
        loop.turn_until(lambda: world.has_all_arrived() and loop.is_idle())
        for member, received in zip(world.members, world.received, strict=True):
            assert member.queue.startswith(received)
            member.connection.abort()
        assert world.fanout.log.kept_bytes == 0
        for peer in world.peers:
            peer.close()
