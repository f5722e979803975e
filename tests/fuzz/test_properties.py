"""The properties hold, a few examples each; `python -m tests.fuzz` goes deeper."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz.properties import PROPERTIES, attack


@pytest.mark.parametrize("function", PROPERTIES, ids=lambda function: function.__name__)
def test_property(function: Callable[..., None]) -> None:
    attack(function, examples=60, seed_number=1)
