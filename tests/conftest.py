"""What tests in more than one folder ask for by its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.house import House


@pytest.fixture
def house(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A House of its own, where `with_limits` may have changed the limits before."""
    for name, value in getattr(request, "param", {}).items():
        monkeypatch.setattr(name, value)
    with closing(House()) as house:
        yield house
