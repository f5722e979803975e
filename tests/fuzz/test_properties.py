"""The attacks find nothing with a few examples each; `python -m tests.fuzz` goes deeper."""

from __future__ import annotations

import pytest

from tests.fuzz.properties import ATTACKS, attack
from tests.support.size import IS_LONG


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_finds_nothing(name: str) -> None:
    attack(name, count=100 if IS_LONG else 30, seed_number=1)
