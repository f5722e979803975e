"""Rubrics: ours are valid and say what they should, wrong ones are refused with a reason."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from grader import rubric
from grader.language import parse_step
from grader.patterns import Clock, Expectation, format_time
from grader.rubric import RUBRICS, RubricError
from grader.schema import complaints
from tests.grader.grading import ROOT, SOLUTIONS, run_grader

MINIMAL: dict[str, Any] = {
    "title": "t",
    "host": "127.0.0.1",
    "passcode": "p",
    "programs": {"server": ["server.py"], "client": ["client.py"]},
    "texts": {"exit": ":q"},
    "groups": [{"id": "g", "title": "G", "points": 1}],
    "cases": [
        {"id": "c", "group": "g", "title": "c", "points": 1, "steps": ["given the server"]},
    ],
}


def test_the_assignments_points() -> None:
    groups = {g.id: g.points for g in rubric.load(rubric.find(rubric.DEFAULT)).groups}
    assert groups == {
        "start": 0,
        "connection": 20,
        "clients": 20,
        "broadcast": 20,
        "passcode": 15,
        "shortcuts": 25,
        "readme": 0,
        "robustness": 0,
    }


@pytest.mark.parametrize("name", ["cs3251-2025", "plus-minute"])
def test_ours_can_be_read_and_have_a_hundred_points(name: str) -> None:
    assert rubric.load(rubric.find(name)).points == 100


def test_another_term_needs_no_code(tmp_path: Path) -> None:
    server = (SOLUTIONS / "threads" / "server.py").read_text()
    client = (SOLUTIONS / "threads" / "client.py").read_text()
    codes = {
        ":Exit": ":q",
        ":Users": ":who",
        ":Msg": ":dm",
        ":mytime": ":time",
        ":+1hr": ":+1min",
        "3600": "60",
        '":)"': '":]"',
        '":("': '":["',
        "Active Users": "Online",
        "[Message from": "[Whisper from",
    }
    for old, new in codes.items():
        server, client = server.replace(old, new), client.replace(old, new)
    (tmp_path / "server.py").write_text(server)
    (tmp_path / "client.py").write_text(client)
    shortcuts = ("--only", "shortcuts,old-codes")
    assert run_grader(tmp_path, "--rubric", "plus-minute", *shortcuts).returncode == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": 1}, "title: is not of type string"),
        ({"titel": "t"}, "titel: is not known"),
        ({"groups": []}, "groups: has too few items"),
        ({"groups": [{"id": "g", "title": "G", "points": 2}]}, "have 1 points, not 2"),
        ({"cases": [{**MINIMAL["cases"][0], "points": -1}]}, "is less than 0"),
        ({"cases": [{**MINIMAL["cases"][0], "id": "C c"}]}, "does not match"),
        ({"cases": MINIMAL["cases"] * 2}, "case c is there twice"),
        ({"cases": [{**MINIMAL["cases"][0], "needs": ["d"]}]}, "needs d, which is not before it"),
        ({"cases": [{**MINIMAL["cases"][0], "group": "h"}]}, "is of no known group: h"),
        ({"cases": [{**MINIMAL["cases"][0], "steps": ["Alice dances"]}]}, "no sentence"),
        (
            {"cases": [{**MINIMAL["cases"][0], "steps": ['Alice types "{no}"']}]},
            "there is no text no",
        ),
    ],
)
def test_a_wrong_rubric_is_refused(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "rubric.json"
    path.write_text(json.dumps(MINIMAL))
    assert rubric.load(path).points == 1
    path.write_text(json.dumps({**MINIMAL, **change}))
    with pytest.raises(RubricError, match=reason):
        rubric.load(path)


def test_a_schema_with_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(ValueError, match="oneOf"):
        complaints({}, {"oneOf": []})


def test_the_schema_takes_ours() -> None:
    schema = json.loads((RUBRICS / "schema.json").read_text())
    assert complaints(json.loads((RUBRICS / "cs3251-2025.json").read_text()), schema) == []


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
def test_sentences(sentence: str, kind: str, who: tuple[str, ...]) -> None:
    step = parse_step(sentence)
    assert (step.kind, step.who) == (kind, who)
    assert step.is_strict is (True if sentence.startswith("strict") else None)


CLOCK = Clock(typed=1_000_000.9, seen=1_000_002.1, shift=3600)


@pytest.mark.parametrize(
    ("lines", "text", "is_met"),
    [
        (["a"], "a\n", True),
        (["a"], "a", False),
        (["a"], "a\n\n", False),
        (["a"], "a \n", False),
        (["a"], "", False),
        ([], "", True),
        ([], "\n", False),
        (["a.c"], "abc\n", False),
        (["a", "b"], "a\nb\n", True),
        (["a", "b"], "ab\n", False),
        (["{names:A,B}"], "B, A\n", True),
        (["{names:A,B}"], "B, B\n", False),
        (["{names:A,B}"], "A,B\n", False),
        (["x {time}"], f"x {format_time(1_000_000, 3600)}\n", True),
        (["x {time}"], f"x {format_time(1_000_002, 3600)}\n", True),
        (["x {time}"], f"x {format_time(999_999, 3600)}\n", False),
        (["x {time}"], f"x {format_time(1_000_003, 3600)}\n", False),
        (["x {time+60}"], f"x {format_time(1_000_061, 3600)}\n", True),
        (["x {time+60}"], f"x {format_time(1_000_001, 3600)}\n", False),
    ],
)
def test_what_is_met(lines: list[str], text: str, is_met: bool) -> None:
    assert Expectation([lines]).is_met(text, CLOCK) is is_met


def test_any_order_and_alternatives() -> None:
    assert Expectation([["a", "b", "a"]], in_order=False).is_met("b\na\na\n", CLOCK)
    assert not Expectation([["a", "b", "a"]], in_order=False).is_met("b\na\nb\n", CLOCK)
    assert Expectation([["a"], []]).is_met("", CLOCK)


@pytest.mark.parametrize(
    ("text", "is_decided"),
    [
        ("", False),
        ("a\n", False),
        ("a\nb", False),
        ("a\nc\n", True),
        ("x\n", True),
        ("a\nb\n", True),
    ],
)
def test_what_is_waited_for(text: str, is_decided: bool) -> None:
    assert Expectation([["a", "b"]]).is_decided(text, CLOCK) is is_decided


def test_the_grader_knows_nothing_of_the_chat() -> None:
    for path in (ROOT / "grader").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "."]
            for name in names:
                assert name.split(".")[0] in {"grader", *sys.stdlib_module_names}, path
