"""Reference solutions: three without a mistake, each in another style and with another wire format,
and one for each classic mistake. What fails is known case by case.

Each is graded where its mistake matters. `python3 -m grader --all tests/grader/solutions` grades
all of them whole; docs/GRADING.md has the table.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grader.grading import POINTED, SOLUTIONS, grade

MISTAKES: dict[str, tuple[str, set[str]]] = {
    "echo": ("broadcast,feelings-not-to-sender,users", {"not-to-sender", "feelings-not-to-sender"}),
    "prefix_passcode": ("passcode,connected", {"nearly-right"}),
    "blank_lines": ("connection,to-others,users", {"to-others", "users"}),
    "exit_traceback": ("exit-*,connected,happy", {"exit-ends"}),
    "midnight": ("time,later*", {"later-at-midnight"}),
    "no_framing": ("broadcast,burst,joined-by-tcp", {"burst", "joined-by-tcp"}),
    "no_flush": (
        "start,connection,clients,refused",
        {
            *("second-served", "banner", "connected", "joined", "persistent", "second-connected"),
            *("second-on-server", "others-told", "newcomer-not-told", "five-clients"),
        },
    ),
    "one_at_a_time": (
        "start,connection,clients,refused",
        {
            *("second-served", "second-connected", "second-on-server", "others-told"),
            *("newcomer-not-told", "five-clients"),
        },
    ),
}
"""Solution -> where to look, and what fails there."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["threads", "select_loop", "asyncio_streams"])
def test_one_without_a_mistake_has_the_full_score(name: str, tmp_path: Path) -> None:
    graded = grade(SOLUTIONS / name, tmp_path, "--only", POINTED)
    assert graded.failed == set(), graded.output
    assert (graded.score, graded.status) == (100, 0)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_costs_what_it_should(name: str, tmp_path: Path) -> None:
    only, failed = MISTAKES[name]
    graded = grade(SOLUTIONS / name, tmp_path, "--only", only)
    assert graded.failed == failed, graded.output


@pytest.mark.timeout(120)
def test_what_a_student_learns(tmp_path: Path) -> None:
    graded = grade(SOLUTIONS / "no_flush", tmp_path, "--only", "banner")
    assert "sys.stdout.flush()" in graded.stories["banner"]
    graded = grade(SOLUTIONS / "no_framing", tmp_path, "--only", "burst")
    assert "TCP is a stream" in graded.stories["burst"]
    graded = grade(SOLUTIONS / "echo", tmp_path, "--only", "not-to-sender")
    story = graded.stories["not-to-sender"]
    assert 'Alice types "Hello Room"' in story
    assert "+++ what Alice saw" in story
    assert "+Alice: Hello Room\u23ce" in story
    assert "to all other clients" in story


@pytest.mark.timeout(120)
def test_the_same_solution_has_the_same_score_again(tmp_path: Path) -> None:
    flags = ("--only", "start,broadcast,passcode", "--jobs", "3")
    grades = [grade(SOLUTIONS / "prefix_passcode", tmp_path, *flags) for _ in range(2)]
    assert grades[0].failed == grades[1].failed == {"nearly-right"}
    assert grades[0].score == grades[1].score == 32
