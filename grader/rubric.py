"""A rubric: what is graded, for how many points, in which exact words. In: a JSON file
(rubrics/README.md tells how to write one). Out: a Rubric. Raises RubricError.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from grader import schema
from grader.language import Step, parse_step

RUBRICS = Path(__file__).parent / "rubrics"
DEFAULT = "cs3251-2025"

_SCHEMA = "schema.json"
_REFERENCE = re.compile(r"\{([a-z_]+)((?: [^{}\s\"]+)*)\}")
_LATER = frozenset({"time", "port", "host", "passcode", "username"})
"""Placeholders that are filled in when a case is played."""


class RubricError(Exception):
    """A rubric that cannot be graded by. Its text tells all that is wrong."""


class Group(NamedTuple):
    id: str
    title: str
    points: float


class Case(NamedTuple):
    """One thing that a solution does or does not. `needs`: the cases without which this one is
    not worth playing. `advice`: what a student learns where nothing more exact can be said."""

    id: str
    group: str
    title: str
    points: float
    steps: tuple[Step, ...]
    advice: str
    needs: tuple[str, ...]


class Rubric(NamedTuple):
    title: str
    host: str
    passcode: str
    server: tuple[str, ...]
    client: tuple[str, ...]
    exit: str
    groups: tuple[Group, ...]
    cases: tuple[Case, ...]

    @property
    def points(self) -> float:
        return sum(case.points for case in self.cases)


def find(name: str) -> Path:
    """The file of a rubric, which may be named or be one of ours. Raises RubricError."""
    for path in (Path(name), RUBRICS / name, RUBRICS / f"{name}.json"):
        if path.is_file():
            return path
    ours = sorted(path.stem for path in RUBRICS.glob("*.json") if path.name != _SCHEMA)
    raise RubricError(f"there is no rubric {name}; ours are {', '.join(ours)}")


def load(path: Path) -> Rubric:
    """Read, complete and check a rubric. Raises RubricError."""
    data = _read(path)
    problems = schema.complaints(data, json.loads((RUBRICS / _SCHEMA).read_text()))
    if problems:
        raise RubricError(f"{path.name}: " + "; ".join(problems))
    texts: dict[str, str] = data["texts"]
    cases = tuple(_case(case, texts, path) for case in data["cases"])
    rubric = Rubric(
        data["title"],
        data["host"],
        data["passcode"],
        tuple(data["programs"]["server"]),
        tuple(data["programs"]["client"]),
        texts["exit"],
        tuple(Group(group["id"], group["title"], group["points"]) for group in data["groups"]),
        cases,
    )
    problems = list(_contradictions(rubric))
    if problems:
        raise RubricError(f"{path.name}: " + "; ".join(problems))
    return rubric


def _read(path: Path) -> dict[str, Any]:
    """The whole of a rubric: with what it takes over from the one that it extends."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RubricError(f"{path.name}: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("extends", ""), str):
        raise RubricError(f"{path.name}: is no rubric")
    if "extends" not in data:
        return data
    base = _read(path.parent / data.pop("extends"))
    without = set(data.pop("without", ()))
    own = {case.get("id"): case for case in data.pop("cases", ())}
    cases = [own.pop(case["id"], case) for case in base["cases"] if case["id"] not in without]
    texts = {**base["texts"], **data.pop("texts", {})}
    return {**base, **data, "texts": texts, "cases": [*cases, *own.values()]}


def _case(data: dict[str, Any], texts: dict[str, str], path: Path) -> Case:
    try:
        steps = tuple(parse_step(_fill(sentence, texts)) for sentence in data["steps"])
    except ValueError as error:
        raise RubricError(f"{path.name}: case {data['id']}: {error}") from error
    title = _fill(data["title"], texts)
    advice = _fill(data.get("advice", ""), texts)
    needs = tuple(data.get("needs", ()))
    return Case(data["id"], data["group"], title, data["points"], steps, advice, needs)


def _fill(text: str, texts: dict[str, str]) -> str:
    """Put in the rubric's texts: `{joined Bob}` is the text `joined` with Bob for its `{0}`."""

    def replacement(found: re.Match[str]) -> str:
        name, arguments = found[1], found[2].split()
        if name in _LATER:
            return found[0]
        if name not in texts:
            raise ValueError(f"there is no text {name}")
        filled = texts[name]
        for number, argument in enumerate(arguments):
            filled = filled.replace(f"{{{number}}}", argument)
        return _fill(filled, texts)

    return _REFERENCE.sub(replacement, text)


def _contradictions(rubric: Rubric) -> list[str]:
    problems = []
    ids = [case.id for case in rubric.cases]
    problems += [f"case {id} is there twice" for id in sorted({i for i in ids if ids.count(i) > 1})]
    for group in rubric.groups:
        points = sum(case.points for case in rubric.cases if case.group == group.id)
        if points != group.points:
            problems.append(f"the cases of {group.id} have {points} points, not {group.points}")
    known = {group.id for group in rubric.groups}
    for number, case in enumerate(rubric.cases):
        if case.group not in known:
            problems.append(f"case {case.id} is of no known group: {case.group}")
        for need in case.needs:
            if need not in ids[:number]:
                problems.append(f"case {case.id} needs {need}, which is not before it")
    return problems
