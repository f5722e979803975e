"""What tests in more than one folder ask for by its name."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.house import House
from tests.support.programs import Stage

# A shell's background job, where Ctrl-C is ignored, would hand that down to all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

Stage.forks = True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: tests wait for programs and timers, and three on two cores left an eighth
    of them idle."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """Half a million objects are there by now, and stay: no later collection looks at them."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def in_earnest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is forked unless it asks for it."""
    monkeypatch.setattr(Stage, "forks", False)


@pytest.fixture
def house(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A House of its own, where `with_limits` may have changed the limits before."""
    for name, value in getattr(request, "param", {}).items():
        monkeypatch.setattr(name, value)
    with closing(House()) as house:
        yield house
