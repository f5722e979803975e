"""A member that lost its connection goes on at any byte that is kept, whatever sends took."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor import Connection, SocketTransport, flow, keeper
from reactor.keeper import Keeper, KeptCursor
from tests.reactor.conftest import Recorder
from tests.support.fanout import MAX_PIECES, SMALL_PAGE_BYTES, TAPES, Simulation, TapeSocket
from tests.support.size import examples

KEPT_BYTES = 40
ANSWER = b"OK\n"


class Kept:
    """One member whose place is kept, beside `stream`: all that is said to it."""

    socket: TapeSocket

    def __init__(self, simulation: Simulation, tape: Iterator[str]) -> None:
        self.simulation = simulation
        self.given_up: list[KeptCursor] = []
        self.keeper = Keeper(simulation.fanout, self.given_up.append)
        self.stream = b""
        self._tape = tape
        self._count = 0
        self._from = -len(ANSWER)  # where in the stream this connection began
        connection = self._connect()
        self.cursor = KeptCursor(self.keeper, connection, len(ANSWER))
        simulation.fanout.subscribe(connection, self.cursor)
        connection.write(ANSWER)

    @property
    def received_bytes(self) -> int:
        return self._from + len(self.socket.taken)

    def do(self, verb: str, number: int) -> None:
        if verb == "turn":
            self.simulation.reactor.run_once()
        elif verb == "say":
            self.simulation.fanout.broadcast(self._data(number))
        elif verb == "tell":
            self.cursor.append(self._data(number))
        elif verb == "lose" and self.cursor.is_attached:
            self.cursor.connection.abort()
        elif verb == "back" and not self.cursor.is_attached:
            self.come_back(number)
        self.check()

    def come_back(self, lost_bytes: int) -> None:
        at, before = self.received_bytes - lost_bytes, self.socket
        connection = self._connect()
        was_kept = self.cursor.attach(connection, at)
        assert was_kept or lost_bytes > KEPT_BYTES or at < max(0, self._from)
        if was_kept:
            self._from = at
        else:
            self.socket = before

    def check(self) -> None:
        assert self.simulation.errors == []
        expected = (ANSWER + self.stream)[self._from + len(ANSWER) :]
        assert expected.startswith(self.socket.taken)
        unsent = len(self.stream) - self.cursor.sent_bytes
        assert self.cursor.unsent_bytes == unsent
        assert self.cursor.owed_bytes == (unsent if self.cursor.is_attached else 0)
        if self.cursor.is_attached:
            assert self.cursor.sent_bytes == self.received_bytes

    def _connect(self) -> Connection:
        self.socket = TapeSocket(len(self.simulation.selector.sockets), self._tape)
        self.simulation.selector.sockets.append(self.socket)
        transport = SocketTransport(cast(socket.socket, self.socket))
        return Connection(self.simulation.reactor, transport, Recorder())

    def _data(self, size: int) -> bytes:
        self._count += 1
        data = (b"%d." % self._count * size)[:size]
        self.stream += data
        return data


@pytest.fixture(autouse=True)
def small_sizes() -> Iterator[None]:
    """So that a script of a few bytes comes to all of them."""
    with (
        patch("reactor.log.SMALL_PAGE_BYTES", SMALL_PAGE_BYTES),
        patch("reactor.fanout.MAX_PIECES", MAX_PIECES),
        patch.object(keeper, "KEPT_BYTES", KEPT_BYTES),
    ):
        yield


STEPS = st.tuples(
    st.sampled_from(["turn", "turn", "turn", "say", "say", "tell", "tell", "lose", "back", "back"]),
    st.sampled_from([1, 2, 3, 5, 8, 13, KEPT_BYTES, KEPT_BYTES + 1, 90]),
)


@examples(100, 2000)
@given(st.lists(STEPS, min_size=20, max_size=60), TAPES)
def test_stream_goes_on_at_any_byte_that_is_kept(
    steps: list[tuple[str, int]], tape: list[str]
) -> None:
    verdicts = iter(tape)
    kept = Kept(Simulation(verdicts), verdicts)
    for verb, number in steps:
        kept.do(verb, number)
    list(verdicts)  # from here on the kernel takes everything
    kept.simulation.run_until_idle()
    kept.check()
    if not kept.cursor.is_attached:
        kept.come_back(0)
        kept.simulation.run_until_idle()
    kept.check()
    assert kept.cursor.unsent_bytes == 0
    kept.cursor.release()
    kept.simulation.fanout.queue_turn()
    kept.simulation.run_until_idle()
    assert kept.simulation.fanout.log.kept_bytes == 0


def test_place_that_was_never_sent_or_is_kept_no_more_is_not_found() -> None:
    kept = Kept(Simulation([]), iter([]))
    kept.do("tell", 90)
    kept.do("turn", 0)
    assert kept.cursor.find(91) is None
    assert kept.cursor.find(90)
    kept.cursor.forget_passed()
    assert kept.cursor.find(89) is None
    assert not kept.cursor.attach(kept.cursor.connection, 89)


@pytest.mark.parametrize("verb", ["say", "tell"])
def test_more_than_may_wait_for_an_absent_member_is_too_much(verb: str) -> None:
    kept = Kept(Simulation([]), iter([]))
    kept.do("turn", 0)
    kept.do("lose", 0)
    with patch.object(flow, "SEND_QUEUE_BYTES", KEPT_BYTES + 90):
        kept.do("tell", 90)
        kept.do("turn", 0)
        assert kept.given_up == []
        kept.do(verb, 1)
        kept.do("turn", 0)
        assert kept.given_up == [kept.cursor]


def test_one_absent_member_too_many_is_given_up() -> None:
    kept = Kept(Simulation([]), iter([]))
    kept.do("turn", 0)
    with patch.object(keeper, "MAX_ABSENT_MEMBERS", 0):
        kept.do("lose", 0)
        kept.do("turn", 0)
    assert kept.given_up == [kept.cursor]


def test_private_lines_that_were_sent_are_forgotten_beyond_a_sum() -> None:
    kept = Kept(Simulation([]), iter([]))
    with patch("reactor.fanout.MAX_PRIVATE_BYTES", 30):
        for _ in range(4):
            kept.do("tell", 13)
            kept.do("turn", 0)
    assert kept.keeper.passed_private_bytes <= 30
    kept.do("lose", 0)
    kept.cursor.release()
    kept.cursor.append(b"nobody is there")
    assert kept.cursor.unsent_bytes == 0
