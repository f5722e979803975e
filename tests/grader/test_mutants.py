"""The data of the mutants, without grading any: `make mutants` grades all of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from grader import rubric
from tests.grader.mutants import table
from tests.grader.mutants.mutant import ROOT, Mutant, Truncated, all_mutants
from tests.grader.mutants.unscored import FREE
from tests.support.patches import product_files

RUBRIC = rubric.load(rubric.find(rubric.DEFAULT))
CASES = {case.id: case for case in RUBRIC.cases}
MUTANTS = list(all_mutants())
BY_NAME = pytest.mark.parametrize(
    ("group", "mutant"), [pytest.param(*pair, id=pair[1].name) for pair in MUTANTS]
)


def test_there_are_enough() -> None:
    groups = Counter(group for group, _ in MUTANTS)
    assert groups.keys() == {*(group.id for group in RUBRIC.groups), FREE}
    assert groups[FREE] >= 5
    assert sum(groups.values()) - groups[FREE] >= 60


def test_no_two_have_the_same_name() -> None:
    names = Counter(mutant.name for _, mutant in MUTANTS)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_case_is_the_one_that_is_meant_for_some_mistake() -> None:
    assert set(CASES) - {mutant.meant for _, mutant in MUTANTS} == set()


@BY_NAME
def test_one_is_of_the_group_that_is_to_catch_it(group: str, mutant: Mutant) -> None:
    if group == FREE:
        assert mutant.failing(RUBRIC) == set()
    else:
        assert CASES[mutant.meant].group == group
        assert mutant.failing(RUBRIC) <= set(CASES)


@BY_NAME
def test_one_fits_the_programs(group: str, mutant: Mutant) -> None:
    path, changed = mutant.change(ROOT)
    if not isinstance(mutant, Truncated):
        compile(changed, path, "exec")


def test_the_one_that_is_no_python_is_alone() -> None:
    truncated = [mutant for _, mutant in MUTANTS if isinstance(mutant, Truncated)]
    assert [mutant.name for mutant in truncated] == ["does-not-compile"]
    path, changed = truncated[0].change(ROOT)
    with pytest.raises(SyntaxError):
        compile(changed, path, "exec")


@pytest.mark.parametrize("kind", [Mutant, Truncated])
def test_one_that_does_not_fit_is_refused(kind: type[Mutant]) -> None:
    with pytest.raises(ValueError, match=r"^name: "):
        kind("name", "m", "server.py", "no_such_thing", "new").change(ROOT)


def test_what_needs_a_case_that_fails_fails_too() -> None:
    failing = Mutant("n", "m", "f", "", "", "second-served", "banner").failing(RUBRIC)
    assert {"second-served", "banner", "conversation", "twenty-clients"} <= failing
    assert not failing & {"server-listens", "connected", "refused"}


def test_one_is_written_with_all_it_needs(tmp_path: Path) -> None:
    _, mutant = MUTANTS[0]
    folder = mutant.write(tmp_path / "mutant")
    for path in product_files(ROOT):
        is_same = (folder / path).read_bytes() == (ROOT / path).read_bytes()
        assert is_same == (path != Path("server.py"))


def test_the_document_has_them_all() -> None:
    assert table.read_committed() == table.format_table(MUTANTS, RUBRIC)
