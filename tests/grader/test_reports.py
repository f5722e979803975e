"""What is written for people and for machines, and how the program is used."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from grader import gradescope, report, rubric, run, words
from grader.gradebook import Gradebook
from grader.grading import Graded
from grader.play import Outcome
from tests.grader.grading import SOLUTIONS, run_grader

RUBRIC = rubric.load(rubric.find(rubric.DEFAULT))
CASES = [case for case in RUBRIC.cases if case.group == "broadcast"]


def test_expected_and_yours_show_what_is_wrong_to_the_character() -> None:
    assert words.compare(["Alice: hi", "b"], "Alice: hi \nb\n\x1b[2J\r") == [
        *(("expected:", "head"), ("  Alice: hi\u23ce", "right"), ("  b\u23ce", "right")),
        *(
            ("yours:", "head"),
            ("\u2717 Alice: hi\u2423\u23ce", "wrong"),
            (" " * 11 + "^ from here", ""),
        ),
        *(("\u2713 b\u23ce", "right"), ("\u2717 \\x1b[2J\\r", "wrong")),
    ]


def test_results_are_valid_from_the_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = gradescope.Results(path, RUBRIC, CASES)
    assert [test["score"] for test in json.loads(path.read_text())["tests"]] == [0] * len(CASES)
    results.add(Outcome(CASES[0].id, has_passed=True))
    tests = json.loads(path.read_text())["tests"]
    assert [test["score"] for test in tests] == [CASES[0].points] + [0] * (len(CASES) - 1)
    assert sum(test["max_score"] for test in tests) == 20


def test_forgiven_fault_is_told_in_every_report(tmp_path: Path) -> None:
    charged, forgiven = (
        Outcome(case.id, False, faults=["a prompt (client)"]) for case in CASES[:2]
    )
    forgiven.has_passed, forgiven.forgiven = True, f"forgiven: see {charged.case}"
    told = f"forgiven: see {charged.case}, for a prompt (client)"
    graded = Graded("ann", "Ann", outcomes=[charged, forgiven])
    results = gradescope.Results(tmp_path / "results.json", RUBRIC, CASES)
    results.add(forgiven)
    (tmp_path / "records").mkdir()
    book = Gradebook(RUBRIC, CASES[:2], tmp_path, None)
    book.add(graded)
    assert report.format_outcome(CASES[1], forgiven).endswith(f"\n     {told}\n")
    for name in ("ann.txt", "ann.html"):
        assert f"{told} (1 of 2 cases)" in (tmp_path / name).read_text("utf-8")
    assert told in (tmp_path / "results.json").read_text("utf-8")
    assert book.rows()[1][-1] == f"1, {told}"


def test_stopped_run_tells_what_waits_to_be_forgiven(tmp_path: Path) -> None:
    told: list[Outcome] = []
    started = run._Run(RUBRIC, tmp_path, run.Options(1, "python3"), CASES, told.append)
    started._tell(Outcome(CASES[1].id, False, faults=["a prompt (client)"]))
    assert told == []
    started.tell_known()
    started.end()
    assert [(outcome.case, outcome.has_passed) for outcome in told] == [(CASES[1].id, False)]


def test_junit_tells_each_case_and_its_failure(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    run_grader(SOLUTIONS / "echo", "--only", "not-to-sender,on-server", "--junit", path)
    root = ElementTree.parse(path).getroot()  # noqa: S314  we wrote it
    assert [(case.get("name"), len(case)) for case in root.iter("testcase")] == [
        ("on-server", 0),
        ("not-to-sender", 1),
    ]
    suite = root.find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "1"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name one folder"),
        ([".", "--only", "nothing"], "no case is called nothing"),
        ([".", "--rubric", "nothing"], "there is no rubric nothing"),
        ([".", "--csv", "x"], "--csv goes with --all"),
        ([".", "--jobs", "0"], "have to be more than nothing"),
        ([".", "--python", "no-such-python"], "cannot run no-such-python"),
        ([".", "--user", "no-such-user"], "user"),
        (["--all", "no-such-folder"], "there is no folder no-such-folder"),
        (["no-such-folder"], "there is no folder no-such-folder"),
        ([".", "--python", "/bin/false"], "cannot run /bin/false"),
        ([".", "--json", "no/such/folder"], "cannot write --json no/such/folder"),
        ([".", "--report", "README.md"], "cannot make --report README.md"),
        ([".", "--resume"], "--resume goes with --all"),
        (["--all", "grader/rubrics"], "no submissions in grader/rubrics"),
    ],
)
def test_mistake_on_the_command_line_is_told(arguments: list[str], complaint: str) -> None:
    run = run_grader(*arguments)
    assert run.returncode == 2
    assert complaint in run.stderr
    assert run.stderr.count("\n") == 1


def test_list_plays_nothing() -> None:
    listed = run_grader("--list", "--only", "banner")
    assert listed.returncode == 0
    told = "server sees \u201cServer started on port PORT. Accepting connections\u201d"
    assert told in listed.stdout
