"""Enough for every commit: our own programs, one mistake of each group, and the same score again.

`make test-grader-quick` runs this and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from grader import rubric
from tests.grader.grading import grade, graded_whole
from tests.grader.mutants.mutant import all_mutants, copy_programs

pytestmark = graded_whole

RUBRIC = rubric.load(rubric.find(rubric.DEFAULT))
MUTANTS = {mutant.name: mutant for mutant in all_mutants()}

GRADED = {
    "one-at-a-time": "start,second-connected",
    "banner-dots": "connection",
    "told-of-earlier-ones": "clients",
    "spaces-collapsed": "broadcast",
    "prefix": "passcode",
    "later-same-day": "time,later*",
    "message-spaces-collapsed": "message*",
    "cr-kept": "crlf,long-line,port-in-use",
    "reads-by-sevens": "burst,joined-by-tcp,exit-*",
}
"""Mutant -> where to look for it. One of each group."""

ON_A_TERMINAL = "connection,passcode,conversation,exit-*,end-of-input,interrupt"


@pytest.mark.parametrize(
    "flags", [("--strict",), ("--pty", "--only", ON_A_TERMINAL)], ids=["pipes", "terminal"]
)
def test_own_programs_have_no_mistake(flags: tuple[str, ...], tmp_path: Path) -> None:
    copy_programs(tmp_path / "own")
    graded = grade(tmp_path / "own", tmp_path, *flags)
    assert (graded.failed, graded.status) == (set(), 0), graded.output


@pytest.mark.parametrize("name", GRADED)
def test_mistake_is_found_and_no_other(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    graded = grade(mutant.write(tmp_path / name), tmp_path, "--only", GRADED[name])
    assert mutant.meant in {*graded.stories, ""}
    assert graded.failed == mutant.failing(RUBRIC) & graded.stories.keys(), graded.output


def test_score_is_the_same_again(tmp_path: Path) -> None:
    solution = MUTANTS["echo"].write(tmp_path / "echo")
    flags = ("--only", "start,broadcast,feelings-not-to-sender", "--jobs", "3")
    grades = [grade(solution, tmp_path, *flags) for _ in range(2)]
    assert grades[0].failed == grades[1].failed == {"not-to-sender", "feelings-not-to-sender"}
    assert grades[0].score == grades[1].score == 16
