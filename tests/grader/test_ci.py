"""Enough for every commit: our own programs, one mistake of each group, and the same score again.

`make test-grader-quick` runs this and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grader.grading import grade
from tests.grader.mutants.mutant import all_mutants, copy_programs

MUTANTS = {mutant.name: mutant for mutant in all_mutants()}

MISTAKES = {
    "one-at-a-time": ("start,second-connected", {"second-served", "second-connected"}),
    "banner-dots": ("connection", {"banner"}),
    "told-of-earlier-ones": ("clients", {"newcomer-not-told", "second-connected"}),
    "spaces-collapsed": ("broadcast", {"exact-text"}),
    "prefix": ("passcode", {"nearly-right"}),
    "later-same-day": ("time,later*", {"later-at-midnight"}),
    "message-spaces-collapsed": ("message*", {"message-spaces"}),
    "cr-kept": ("crlf,long-line,port-in-use", {"crlf"}),
    "reads-by-sevens": ("burst,joined-by-tcp,exit-*", set[str]()),
}
"""Mutant -> where to look, and what fails there. One of each group."""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    copy_programs(folder)
    return folder


@pytest.mark.timeout(120)
def test_our_programs_on_pipes(own: Path, tmp_path: Path) -> None:
    graded = grade(own, tmp_path, "--strict")
    assert graded.failed == set(), graded.output
    assert (graded.score, graded.status) == (100, 0)


@pytest.mark.timeout(120)
def test_our_programs_on_a_terminal(own: Path, tmp_path: Path) -> None:
    only = "connection,passcode,conversation,exit-*,end-of-input,interrupt"
    graded = grade(own, tmp_path, "--pty", "--only", only)
    assert graded.failed == set(), graded.output
    assert graded.status == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_and_no_other(name: str, tmp_path: Path) -> None:
    only, failed = MISTAKES[name]
    solution = MUTANTS[name].write(tmp_path / name)
    graded = grade(solution, tmp_path, "--only", only)
    assert graded.failed == failed, graded.output


@pytest.mark.timeout(120)
def test_a_score_is_the_same_again(tmp_path: Path) -> None:
    solution = MUTANTS["echo"].write(tmp_path / "echo")
    flags = ("--only", "start,broadcast,feelings-not-to-sender", "--jobs", "3")
    grades = [grade(solution, tmp_path, *flags) for _ in range(2)]
    assert grades[0].failed == grades[1].failed == {"not-to-sender", "feelings-not-to-sender"}
    assert grades[0].score == grades[1].score == 16
