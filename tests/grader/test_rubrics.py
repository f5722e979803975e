"""Rubrics: ours are valid and say what they should, wrong ones are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grader import rubric
from grader.language import parse_step
from grader.patterns import Clock, Expectation
from grader.rubric import RUBRICS, RubricError
from grader.schema import complaints
from grader.times import format_time
from tests.grader.grading import SOLUTIONS, graded_whole, run_grader

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


@pytest.mark.parametrize("name", ["cs3251-2025", "plus-minute"])
def test_rubric_of_ours_has_a_hundred_points(name: str) -> None:
    assert rubric.load(rubric.find(name)).points == 100


@graded_whole
def test_another_term_needs_no_code(tmp_path: Path) -> None:
    """Every text in which the two rubrics differ is put into programs that are right for ours."""
    ours, other = (
        json.loads((RUBRICS / f"{name}.json").read_text("utf-8"))["texts"]
        for name in ("cs3251-2025", "plus-minute")
    )
    for name in ("server.py", "client.py"):
        text = (SOLUTIONS / "threads" / name).read_text().replace("3600", "60")
        for key, new in other.items():
            text = text.replace(ours[key].partition("{")[0], new.partition("{")[0])
        (tmp_path / name).write_text(text)
    shortcuts = ("--only", "shortcuts,old-codes")
    assert run_grader(tmp_path, "--rubric", "plus-minute", *shortcuts).returncode == 0


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
