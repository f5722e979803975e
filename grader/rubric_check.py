"""`python3 -m grader.rubric check FILE ...`: tells all that is wrong with rubrics, each with its
place in the file. Exit status 0 if nothing is, else 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from grader import rubric

_PLACE = re.compile(r"(case|group) (?P<id>[a-z0-9-]+)(?:, step (?P<step>\d+))?[:,]")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m grader.rubric")
    parser.add_argument("command", choices=["check"])
    parser.add_argument("files", nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    return max(_check(name) for name in arguments.files)


def _check(name: str) -> int:
    try:
        path = rubric.find(name)
        found = rubric.load(path)
    except rubric.RubricError as error:
        text = _text_of(Path(name))
        for problem in error.problems:
            line = _line_of(problem, text)
            sys.stdout.write(f"{name}{f':{line}' if line else ''}: {problem}\n")
        return 1
    points = f"{found.points:g} points"
    sys.stdout.write(f"{name}: {len(found.cases)} cases, {points}: nothing is wrong\n")
    return 0


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _line_of(problem: str, text: str) -> int:
    """Where the case or group, or its step, stands in this file; 0 if it stands in another."""
    found = _PLACE.match(problem)
    if not found:
        return 0
    start = re.search(rf'"id"\s*:\s*"{re.escape(found["id"])}"', text)
    if not start:
        return 0
    place = start.start()
    if found["step"]:
        place = _place_of_step(text, place, int(found["step"])) or place
    return text.count("\n", 0, place) + 1


def _place_of_step(text: str, start: int, number: int) -> int:
    """Where the sentence stands; 0 if the case tells no steps here."""
    steps = re.compile(r'"steps"\s*:\s*\[').search(text, start)
    following = re.compile(r'"id"\s*:').search(text, start + 1)
    if not steps or (following and following.start() < steps.start()):
        return 0
    place = steps.end()
    decoder = json.JSONDecoder()
    for _ in range(number):
        blank = re.compile(r"[\s,]*").match(text, place)
        place = blank.end() if blank else place
        sentence = place
        try:
            _, place = decoder.raw_decode(text, place)
        except ValueError:
            return 0
    return sentence
