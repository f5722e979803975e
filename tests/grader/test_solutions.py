"""Reference solutions: three without a mistake, each in another style and with another wire format,
and one for each classic mistake, of which it is known what fails. And our own, on a terminal.

Each is graded where its mistake matters. `python3 -m grader --all tests/grader/solutions` grades
all of them whole; docs/MUTANTS.md has the table.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.grader.grading import POINTED, ROOT, SOLUTIONS, grade, graded_whole

pytestmark = graded_whole

with (SOLUTIONS / "mistakes.csv").open(newline="") as stream:
    MISTAKES = {row["solution"]: row for row in csv.DictReader(stream)}
"""What is graded of each solution with a mistake, and what fails there."""


@pytest.mark.parametrize("name", ["threads", "select_loop", "asyncio_streams"])
def test_solution_without_a_mistake_has_the_full_score(name: str, tmp_path: Path) -> None:
    graded = grade(SOLUTIONS / name, tmp_path, "--only", POINTED)
    assert (graded.failed, graded.score, graded.status) == (set(), 100, 0), graded.output


def test_own_programs_on_a_terminal_have_the_full_score(tmp_path: Path) -> None:
    """With all cases. On pipes test_ci.py grades them."""
    graded = grade(ROOT, tmp_path, "--pty")
    assert (graded.failed, graded.score, graded.status) == (set(), 100, 0), graded.output


@pytest.mark.parametrize("name", MISTAKES)
def test_solution_with_a_mistake_fails_its_cases_alone(name: str, tmp_path: Path) -> None:
    graded = grade(SOLUTIONS / name, tmp_path, "--only", MISTAKES[name]["graded"])
    assert graded.failed == set(MISTAKES[name]["fails"].split()), graded.output


def test_story_tells_a_student_what_to_mend(tmp_path: Path) -> None:
    graded = grade(SOLUTIONS / "no_flush", tmp_path, "--only", "banner")
    assert "sys.stdout.flush()" in graded.stories["banner"]
    graded = grade(SOLUTIONS / "no_framing", tmp_path, "--only", "burst")
    assert "TCP is a stream" in graded.stories["burst"]
    graded = grade(SOLUTIONS / "echo", tmp_path, "--only", "not-to-sender")
    story = graded.stories["not-to-sender"]
    assert "Alice types \u201cHello Room\u201d" in story
    assert "\x1b[31m\u2717 Alice: Hello Room\u23ce" in story
    assert "to all other clients" in story
