"""Seeds of the simulated engine, and that they find what is wrong (docs/CLUSTER.md, invariants)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.world import World, failures
from tests.support.patches import Entry, read_table
from tests.support.size import IS_LONG

ROOT = Path(__file__).parents[2]

SEEDS = range(5000 if IS_LONG else 200)

PLANTED = read_table(Path(__file__).with_name("planted.txt"))

NAMED = [int(seed) for bug in PLANTED for seed in bug.facts.get("fails", [])]


def test_seeds_hold_every_invariant() -> None:
    assert failures([*SEEDS, *NAMED]) == {}


def fails(seed: int) -> bool:
    try:
        return bool(World(seed).run())
    except Exception:  # the bug hurts the simulation itself
        return True


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_planted_bug_is_caught(bug: Entry) -> None:
    named = map(int, bug.facts.get("fails", []))
    with bug.patch.planted(ROOT):
        assert any(fails(seed) for seed in (*named, *SEEDS))
