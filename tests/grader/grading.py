"""Runs the grader as its users do, and reads what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = Path(__file__).parent / "solutions"

POINTED = "start,connection,clients,broadcast,passcode,shortcuts"
"""The groups that decide the score."""

LIMIT_SECONDS = 110


class Grade(NamedTuple):
    """What came of it. `failed`: the names of cases, without their groups."""

    status: int
    output: str
    failed: set[str]
    score: float
    stories: dict[str, str]


def run_grader(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grader", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )


def grade(directory: Path, scratch: Path, *flags: str) -> Grade:
    results = scratch / "results.json"
    run = run_grader(directory, "--json", results, *flags)
    assert run.stderr == ""
    tests = json.loads(results.read_text("utf-8"))["tests"]
    names = {test["name"]: test["name"].partition("/")[2].partition(":")[0] for test in tests}
    return Grade(
        run.returncode,
        run.stdout,
        {names[test["name"]] for test in tests if test["status"] == "failed"},
        sum(test["score"] for test in tests),
        {names[test["name"]]: test["output"] for test in tests},
    )


def write_solution(directory: Path, server: str, client: str) -> Path:
    directory.mkdir()
    (directory / "server.py").write_text(server)
    (directory / "client.py").write_text(client)
    return directory
