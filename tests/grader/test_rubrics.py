"""Rubrics: ours are valid and say what they should, wrong ones are refused with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grader import rubric
from grader.language import parse_step
from grader.patterns import Clock, Expectation
from grader.rubric import RUBRICS, RubricError
from grader.schema import complaints
from grader.times import format_time
from tests.grader.grading import ROOT, SERVER, SOLUTIONS, graded_whole, run_grader, write_solution

CASE = {"id": "c", "group": "g", "title": "c", "points": 1, "steps": ["given the server"]}
MINIMAL: dict[str, Any] = {
    "title": "t",
    "host": "127.0.0.1",
    "passcode": "p",
    "programs": {"server": ["server.py"], "client": ["client.py"]},
    "texts": {"exit": ":q"},
    "groups": [{"id": "g", "title": "G", "points": 1}],
    "cases": [CASE],
}


def test_points_are_those_of_the_assignment() -> None:
    points = {g.id: g.points for g in rubric.load(rubric.find(rubric.DEFAULT)).groups if g.points}
    expected = {"connection": 20, "clients": 20, "broadcast": 20, "passcode": 15, "shortcuts": 25}
    assert points == expected


@pytest.mark.parametrize("name", ["cs3251-2025", "plus-minute", "joyful", "time-in-words"])
def test_rubric_of_ours_has_a_hundred_points(name: str) -> None:
    assert rubric.load(rubric.find(name)).points == 100


TERMS = {
    "plus-minute": [("3600", "60")],
    "joyful": [
        ("time.ctime(", "time.strftime('%Y %b %d %H:%M:%S %a', time.localtime("),
        ("0))", "0)))"),
    ],
    "time-in-words": [
        ("time.ctime(", "time.strftime('It\\'s %H:%M on %a, %d %b, %Y.', time.localtime("),
        ("0))", "0)))"),
    ],
}
"""What differs from our term beside the texts, in programs that are right for ours."""


@graded_whole
@pytest.mark.parametrize("term", TERMS)
def test_another_term_needs_no_code(term: str, tmp_path: Path) -> None:
    """Every text in which the two rubrics differ is put into the programs."""
    ours, other = (
        json.loads((RUBRICS / f"{name}.json").read_text("utf-8"))["texts"]
        for name in ("cs3251-2025", term)
    )
    for name in ("server.py", "client.py"):
        text = (SOLUTIONS / "threads" / name).read_text()
        for old, new in TERMS[term]:
            text = text.replace(old, new)
        for key, new in other.items():
            text = text.replace(ours[key].partition("{")[0], new.partition("{")[0])
        (tmp_path / name).write_text(text)
    shortcuts = ("--only", "shortcuts,kept-out,readme" if term == "plus-minute" else "shortcuts")
    run = run_grader(tmp_path, "--rubric", term, *shortcuts)
    assert run.returncode == 0, run.stdout


def test_rubric_that_extends_changes_one_thing_alone(tmp_path: Path) -> None:
    """One number of one case and its group; and what every line begins with."""
    path = tmp_path / "term.json"
    own = {
        "extends": "cs3251-2025",
        "prefixes": {"client": "> "},
        "visibility": "after_due_date",
        "groups": [{"id": "connection", "points": 20.3}],
        "cases": [{"id": "banner", "points": 6.1}, {"id": "connected", "points": 6.2}],
    }
    path.write_text(json.dumps(own))
    changed, whole = rubric.load(path), rubric.load(rubric.find(rubric.DEFAULT))
    assert (changed.points, len(changed.cases)) == (100.3, len(whole.cases))
    assert changed.cases[4]._replace(points=6, visibility="visible") == whole.cases[4]
    client = (SOLUTIONS / "threads" / "client.py").read_text().replace("print(", "print('> ' + ")
    write_solution(tmp_path / "solution", SERVER, client)
    only = ("--only", "connected,to-others")
    run = run_grader(tmp_path / "solution", "--rubric", path, *only)
    assert run.returncode == 0, run.stdout


def test_check_names_each_mistake_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    steps = ["given Alice", 'Bob types "{nmae}"', 'Alice sees "{joined}"']
    case = {"id": "c", "group": "g", "title": "c", "points": 1, "steps": steps}
    texts = {"exit": ":q", "joined": "{0} joined"}
    path.write_text(json.dumps({**MINIMAL, "texts": texts, "cases": [case]}, indent=1))
    command = [sys.executable, "-m", "grader.rubric", "check", str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = path.read_text().splitlines()
    second, third, first = (
        next(n for n, line in enumerate(lines, start=1) if mark in line)
        for mark in ("nmae", "{joined}", '"id": "c"')
    )
    assert run.stdout.splitlines() == [
        f"{path}:{second}: case c, step 2: there is no text nmae",
        f"{path}:{third}: case c, step 3: {{0}} is left over",
    ]
    assert (run.returncode, run.stderr) == (1, "")
    path.write_text(path.read_text().replace("{nmae}", "x").replace("{joined}", "{joined Bob}"))
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = 'case c: Bob is in \u201cBob types "x"\u201d, and was never started'
    assert run.stdout == f"{path}:{first}: {told}\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": 1}, "title: is not of type string"),
        ({"titel": "t"}, "titel: is not known"),
        ({"groups": []}, "groups: has too few items"),
        (
            {"groups": [{"id": "g", "title": "G", "points": 2}]},
            "group g: its cases have 1 points, not 2",
        ),
        ({"cases": [{**CASE, "points": -1}]}, "is less than 0"),
        ({"cases": [{**CASE, "id": "C c"}]}, "does not match"),
        ({"cases": [CASE, CASE]}, "case c: is there twice"),
        ({"cases": [{**CASE, "needs": ["d"]}]}, "case c: needs d, which is not before it"),
        ({"cases": [{**CASE, "group": "h"}]}, "is of no known group: h"),
        ({"cases": [{**CASE, "steps": ["Alice dances"]}]}, "case c, step 1: no sentence"),
        ({"cases": [{**CASE, "steps": ['Alice types "{no}"']}]}, "there is no text no"),
    ],
)
def test_wrong_rubric_is_refused_with_a_reason(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "rubric.json"
    path.write_text(json.dumps(MINIMAL))
    assert rubric.load(path).points == 1
    path.write_text(json.dumps({**MINIMAL, **change}))
    with pytest.raises(RubricError, match=reason):
        rubric.load(path)


def test_schema_with_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(ValueError, match="oneOf"):
        complaints({}, {"oneOf": []})


@pytest.mark.parametrize(
    ("sentence", "kind", "who"),
    [
        ("given User1 to User3", "given", ("User1", "User2", "User3")),
        ("given Alice, Bob and Carol", "given", ("Alice", "Bob", "Carol")),
        ('strict: Bob and server see "a: b" "c"', "see", ("Bob", "server")),
        ("Alice or server sees something", "anything", ("Alice", "server")),
        ("server presses Ctrl-C", "interrupt", ("server",)),
    ],
)
def test_sentence_tells_its_kind_and_who_is_in_it(
    sentence: str, kind: str, who: tuple[str, ...]
) -> None:
    step = parse_step(sentence)
    assert (step.kind, step.who) == (kind, who)
    assert step.is_strict is (True if sentence.startswith("strict") else None)


CLOCK = Clock(typed=1_000_000.9, seen=1_000_002.1, shift=3600)


def told(seconds: int) -> str:
    return f"x {format_time(seconds, 3600)}\n"


@pytest.mark.parametrize(
    ("lines", "met", "unmet"),
    [
        (["a"], ["a\n"], ["a", "a\n\n", "a \n", ""]),
        ([], [""], ["\n"]),
        (["a.c"], [], ["abc\n"]),
        (["a", "b"], ["a\nb\n"], ["ab\n"]),
        (["{names:A,B}"], ["B, A\n"], ["B, B\n", "A,B\n"]),
        (["x {time}"], [told(1_000_000), told(1_000_002)], [told(999_999), told(1_000_003)]),
        (["x {time+60}"], [told(1_000_061)], [told(1_000_001)]),
    ],
)
def test_text_is_met_or_not(lines: list[str], met: list[str], unmet: list[str]) -> None:
    expectation = Expectation([lines])
    assert [text for text in [*met, *unmet] if expectation.is_met(text, CLOCK)] == met


def test_lines_may_come_in_any_order_or_as_alternatives() -> None:
    assert Expectation([["a", "b", "a"]], in_order=False).is_met("b\na\na\n", CLOCK)
    assert not Expectation([["a", "b", "a"]], in_order=False).is_met("b\na\nb\n", CLOCK)
    assert Expectation([["a"], []]).is_met("", CLOCK)


def test_text_is_waited_for_while_it_may_come_to_be_met() -> None:
    texts = ["", "a\n", "a\nb", "a\nc\n", "x\n", "a\nb\n"]
    decided = [text for text in texts if Expectation([["a", "b"]]).is_decided(text, CLOCK)]
    assert decided == ["a\nc\n", "x\n", "a\nb\n"]
