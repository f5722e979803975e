"""The properties hold, a few examples each; `python -m tests.fuzz` goes deeper."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz.properties import PROPERTIES, attack
from tests.support.size import IS_LONG


@pytest.mark.parametrize("function", PROPERTIES, ids=lambda function: function.__name__)
def test_property_holds(function: Callable[..., None]) -> None:
    attack(function, count=100 if IS_LONG else 30, seed_number=1)
