"""The table of the mutants, without grading any: `make mutants` grades all of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from grader import rubric
from tests.grader.mutants import table
from tests.grader.mutants.mutant import FREE, ROOT, Mutant, all_mutants
from tests.support.patches import product_files

RUBRIC = rubric.load(rubric.find(rubric.DEFAULT))
CASES = {case.id: case for case in RUBRIC.cases}
MUTANTS = all_mutants()
each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


def test_mutants_are_many_in_every_group() -> None:
    groups = Counter(mutant.group for mutant in MUTANTS)
    assert groups.keys() == {*(group.id for group in RUBRIC.groups), FREE}
    assert groups[FREE] >= 5
    assert groups.total() - groups[FREE] >= 60


def test_every_case_is_meant_for_some_mistake() -> None:
    assert set(CASES) - {mutant.meant for mutant in MUTANTS} == set()


@each_mutant
def test_mutant_is_of_the_group_that_is_to_catch_it(mutant: Mutant) -> None:
    if mutant.group == FREE:
        assert mutant.failing(RUBRIC) == set()
    else:
        assert CASES[mutant.meant].group == mutant.group
        assert mutant.failing(RUBRIC) <= set(CASES)


@each_mutant
def test_mutant_fits_the_programs_and_all_but_one_are_python(mutant: Mutant) -> None:
    path, changed = mutant.patch.apply(ROOT)
    try:
        compile(changed, path, "exec")
    except SyntaxError:
        assert mutant.name == "does-not-compile"
    else:
        assert mutant.name != "does-not-compile"


def test_what_needs_a_case_that_fails_fails_too() -> None:
    mutant = MUTANTS[0]._replace(meant="second-served", also=("banner",))
    failing = mutant.failing(RUBRIC)
    assert {"second-served", "banner", "conversation", "twenty-clients"} <= failing
    assert not failing & {"server-listens", "connected", "refused"}


def test_mutant_is_written_with_all_it_needs(tmp_path: Path) -> None:
    folder = MUTANTS[0].write(tmp_path / "mutant")
    for path in product_files(ROOT):
        is_same = (folder / path).read_bytes() == (ROOT / path).read_bytes()
        assert is_same == (path != Path("server.py"))


def test_document_has_them_all() -> None:
    _, committed, _ = table.read_document()
    assert committed == table.format_table(MUTANTS, RUBRIC)
