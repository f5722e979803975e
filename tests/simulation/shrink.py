"""The smallest script that still fails: delta debugging (Zeller and Hildebrandt 2002).

In: a script that fails. Out: one that fails as well, from which no single step can be left out.
A test is given up after a minute, so this has to end before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.simulation.network import Faults
from tests.simulation.script import Script, Step
from tests.simulation.world import Failure, run

MOST_SECONDS = 30.0
"""A script of hundreds of clients takes seconds each time; half a minute shrinks all others."""


def failure_of(script: Script, tell: Callable[[str], None] | None = None) -> Failure | None:
    """How it fails, None if it does not; `tell` hears everything that happens."""
    try:
        run(script, tell)
    except Failure as failure:
        return failure
    return None


def kind_of(script: Script) -> list[str] | None:
    """Which kind of failure it ends with, if any."""
    failure = failure_of(script)
    return failure.kind if failure else None


def shrink(script: Script, fails: Callable[[Script], bool]) -> Script:
    """`script` fails; so does what is returned. After MOST_SECONDS it is left as it is."""
    end = time.monotonic() + MOST_SECONDS

    def fails_in_time(script: Script) -> bool:
        return time.monotonic() <= end and fails(script)

    changes: list[dict[str, Any]] = [
        {"faults": Faults(), "turn_seconds": 0.0},
        {"faults": Faults()},
        {"turn_seconds": 0.0},
    ]
    simpler = (script._replace(setting=script.setting._replace(**change)) for change in changes)
    script = next(filter(fails_in_time, simpler), script)
    steps = _shrink_steps(script.steps, lambda steps: fails_in_time(script._replace(steps=steps)))
    return script._replace(steps=steps)


def _shrink_steps(steps: list[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    size = max(1, len(steps) // 2)
    while True:
        start, has_shrunk = 0, False
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            if fails(fewer):
                steps, has_shrunk = fewer, True
            else:
                start += size
        if size == 1 and not has_shrunk:
            return steps
        size = max(1, size // 2)
