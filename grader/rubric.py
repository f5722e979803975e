"""A rubric: what is graded, for how many points, in which exact words. In: a JSON file
(rubrics/README.md tells how to write one). Out: a Rubric. Raises RubricError.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from grader import schema, times
from grader.language import Step, parse_step

RUBRICS = Path(__file__).parent / "rubrics"
DEFAULT = "cs3251-2025"

_SCHEMA = "schema.json"
_REFERENCE = re.compile(r"\{([a-z_]+)((?: [^{}\s\"]+)*)\}")
_LATER = frozenset({"time", "port", "host", "passcode", "username"})
"""Placeholders that are filled in when a case is played."""
_LEFT_OVER = re.compile(r"\{(?:\d+|[a-z_]+[^{}]*)\}")
_PLAYED = re.compile(r"\{(?:time(?:\+\d+)?|names:[^{}]+|port|host|passcode|username)\}")


class RubricError(Exception):
    """A rubric that cannot be graded by. `problems`: all that is wrong, each with its place."""

    def __init__(self, file: str, problems: list[str]) -> None:
        super().__init__(f"{file}: " + "; ".join(problems))
        self.problems = problems


class Group(NamedTuple):
    id: str
    title: str
    points: float


class Case(NamedTuple):
    """One thing that a solution does or does not. `needs`: the cases without which this one is
    not worth playing. `advice`: what a student learns where nothing more exact can be said.
    `visibility`: of its result, in Gradescope's words."""

    id: str
    group: str
    title: str
    points: float
    steps: tuple[Step, ...]
    advice: str
    needs: tuple[str, ...]
    visibility: str = "visible"


class Rubric(NamedTuple):
    """`packages`: what may be imported beside Python's own modules. `time_formats`: how a time may
    be written, as for strftime(3). `server_prefix`, `client_prefix`: what each line begins with."""

    title: str
    host: str
    passcode: str
    server: tuple[str, ...]
    client: tuple[str, ...]
    exit: str
    groups: tuple[Group, ...]
    cases: tuple[Case, ...]
    packages: tuple[str, ...] = ()
    time_formats: tuple[str, ...] = (times.DEFAULT,)
    server_prefix: str = ""
    client_prefix: str = ""
    visibility: str = "visible"

    @property
    def points(self) -> float:
        return round(sum(case.points for case in self.cases), 6)


def find(name: str) -> Path:
    """The file of a rubric, which may be named or be one of ours. Raises RubricError."""
    for path in (Path(name), RUBRICS / name, RUBRICS / f"{name}.json"):
        if path.is_file():
            return path
    ours = sorted(path.stem for path in RUBRICS.glob("*.json") if path.name != _SCHEMA)
    raise RubricError("--rubric", [f"there is no rubric {name}; ours are {', '.join(ours)}"])


def load(path: Path) -> Rubric:
    """Read, complete and check a rubric. Raises RubricError."""
    data = _read(path, ())
    problems = schema.complaints(data, json.loads((RUBRICS / _SCHEMA).read_text()))
    if problems:
        raise RubricError(path.name, [_name_case(problem, data) for problem in problems])
    cases = [_case(case, data, problems) for case in data["cases"]]
    prefixes = data.get("prefixes", {})
    rubric = Rubric(
        data["title"],
        data["host"],
        data["passcode"],
        tuple(data["programs"]["server"]),
        tuple(data["programs"]["client"]),
        data["texts"]["exit"],
        tuple(Group(group["id"], group["title"], group["points"]) for group in data["groups"]),
        tuple(cases),
        tuple(data.get("packages", ())),
        tuple(data.get("time_formats", (times.DEFAULT,))),
        prefixes.get("server", ""),
        prefixes.get("client", ""),
        data.get("visibility", "visible"),
    )
    problems += [f"time_formats: {text}" for f in rubric.time_formats for text in times.unknown(f)]
    problems += [*_strangers(rubric), *_contradictions(rubric)]
    if problems:
        raise RubricError(path.name, problems)
    return rubric


def _read(path: Path, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """The whole of a rubric: with what it takes over from the one that it extends."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RubricError(path.name, [str(error)]) from error
    if not isinstance(data, dict) or not isinstance(data.get("extends", ""), str):
        raise RubricError(path.name, ["is no rubric"])
    if "extends" not in data:
        return data
    chain = (*extended_by, path.resolve())
    beside = path.parent / data.pop("extends")
    base_path = beside if beside.is_file() else find(beside.name)
    if base_path.resolve() in chain:
        raise RubricError(path.name, [f"extends itself by way of {base_path.name}"])
    base = _read(base_path, chain)
    try:
        return _merge(base, data)
    except (AttributeError, KeyError, TypeError) as error:
        raise RubricError(path.name, [f"does not fit {base_path.name}: {error!r}"]) from error


def _merge(base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """What `data` tells, and for the rest what `base` does: groups and cases of one id are merged
    key by key."""
    without = data.pop("without", [])
    known = {case["id"] for case in base["cases"]}
    if unknown := [id for id in without if id not in known]:
        raise KeyError(f"without {', '.join(unknown)}, which is not there")
    kept = [case for case in base["cases"] if case["id"] not in without]
    return {
        **base,
        **data,
        "texts": {**base["texts"], **data.get("texts", {})},
        "groups": _merge_by_id(base["groups"], data.get("groups", [])),
        "cases": _merge_by_id(kept, data.get("cases", [])),
    }


def _merge_by_id(base: list[dict[str, Any]], own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    changes = {item["id"]: item for item in own}
    merged = [{**item, **changes.pop(item["id"], {})} for item in base]
    return [*merged, *(item for item in own if item["id"] in changes)]


def _case(data: dict[str, Any], rubric: dict[str, Any], problems: list[str]) -> Case:
    """Adds to `problems` what is wrong with it."""
    texts: dict[str, str] = rubric["texts"]

    def fill(text: str, place: str) -> str:
        try:
            return _fill(text, texts).replace("{host}", rubric["host"])
        except ValueError as error:
            problems.append(f"case {data['id']}{place}: {error}")
            return ""

    steps = []
    for number, sentence in enumerate(data["steps"], start=1):
        try:
            filled = _fill(sentence, texts)
            steps.append(parse_step(filled))
        except ValueError as error:
            problems.append(f"case {data['id']}, step {number}: {error}")
            continue
        left = [found for found in _LEFT_OVER.findall(filled) if not _PLAYED.fullmatch(found)]
        problems += [f"case {data['id']}, step {number}: {found} is left over" for found in left]
    groups: dict[str, dict[str, Any]] = {group["id"]: group for group in rubric["groups"]}
    group = groups.get(data["group"], {})
    inherited = group.get("visibility", rubric.get("visibility", "visible"))
    return Case(
        data["id"],
        data["group"],
        fill(data["title"], ", title"),
        data["points"],
        tuple(steps),
        fill(data.get("advice", ""), ", advice"),
        tuple(data.get("needs", ())),
        data.get("visibility", inherited),
    )


def _name_case(problem: str, data: dict[str, Any]) -> str:
    """The same, with the id of a case or group in place of its number."""
    found = re.match(r"(case|group)s\[(\d+)\]\.?", problem)
    item = data[f"{found[1]}s"][int(found[2])] if found else None
    if not found or not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return problem
    return f"{found[1]} {item['id']}: {problem[found.end() :].removeprefix(': ')}"


def _strangers(rubric: Rubric) -> list[str]:
    """Names in a case of whom it never says that they are there."""
    problems = []
    for case in rubric.cases:
        there: set[str] = set()
        for step in case.steps:
            if step.kind in ("given", "start", "join"):
                there.update(step.who)
                if step.kind == "given":
                    there.add("server")
            problems += [
                f"case {case.id}: {name} is in \u201c{step.sentence}\u201d, and was never started"
                for name in step.who
                if name not in there
            ]
    return problems


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
    problems += [
        f"case {id}: is there twice" for id in sorted({i for i in ids if ids.count(i) > 1})
    ]
    for group in rubric.groups:
        points = sum(case.points for case in rubric.cases if case.group == group.id)
        if not math.isclose(points, group.points, abs_tol=1e-6):
            wrong = f"its cases have {round(points, 6):g} points, not {group.points:g}"
            problems.append(f"group {group.id}: {wrong}")
    known = {group.id for group in rubric.groups}
    for number, case in enumerate(rubric.cases):
        if case.group not in known:
            problems.append(f"case {case.id}: is of no known group: {case.group}")
        for need in case.needs:
            if need not in ids[:number]:
                problems.append(f"case {case.id}: needs {need}, which is not before it")
    return problems


if __name__ == "__main__":
    from grader.rubric_check import main

    sys.exit(main())
