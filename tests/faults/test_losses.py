"""Losses between the real programs; `python -m tests.faults.losses` makes 200."""

from __future__ import annotations

from tests.faults.losses import COUNT, run
from tests.support.faults import fault
from tests.support.size import IS_LONG


@fault(89)
def test_every_line_comes_once_through_a_relay_that_cuts() -> None:
    run(COUNT if IS_LONG else 5, seed=1)
