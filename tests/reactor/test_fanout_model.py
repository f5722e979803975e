"""Every member is sent just what the model (tests/support/fanout.py) says, whatever sends do."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given

from tests.support.fanout import (
    ALL,
    PARTIAL,
    SCRIPTS,
    TAPES,
    Simulation,
    Step,
    TapeSocket,
    Verdict,
    play,
)
from tests.support.faults import fault
from tests.support.size import examples


@fault(30, 74)
@examples(100, 3000)
@given(SCRIPTS, TAPES)
def test_partial_and_failing_sends_cost_others_nothing(
    script: list[Step], tape: list[Verdict]
) -> None:
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
