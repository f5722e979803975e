"""Runs the grader as its users do, and reads what it wrote."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = Path(__file__).parent / "solutions"

SERVER = (SOLUTIONS / "threads" / "server.py").read_text("utf-8")
CLIENT = (SOLUTIONS / "threads" / "client.py").read_text("utf-8")

POINTED = "start,connection,clients,broadcast,passcode,shortcuts"
"""The groups that decide the score."""

LIMIT_SECONDS = 280
"""Longest that the grader may run: far more than it takes on a machine that is busy otherwise."""

graded_whole = pytest.mark.timeout(LIMIT_SECONDS + 20)
"""Marks tests that grade a whole solution."""

IS_ROOT = os.geteuid() == 0

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") if IS_ROOT else sys.executable
"""For root one that every user may run."""

needs_root = pytest.mark.skipif(not IS_ROOT or not PYTHON, reason="needs root, and Python for all")

SPY = """import os
assert os.geteuid() != 0 != os.getegid() and os.getgroups() in ([], [os.getegid()])
found = []
for path in [*{paths!r}, f"/proc/{{os.getppid()}}/fd"]:
    found += [path for mode in (os.R_OK, os.W_OK, os.X_OK) if os.access(path, mode)]
for pid in {{os.getppid(), *(int(name) for name in os.listdir("/proc") if name.isdigit())}}:
    try:
        if os.stat(f"/proc/{{pid}}").st_uid != os.geteuid():
            os.kill(pid, 0)
            found.append(pid)
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        pass
"""
"""Finds which of `paths` and of other users' processes it can reach. It is to be no root."""


class Grade(NamedTuple):
    """What came of it. `failed`: the names of cases, without their groups."""

    status: int
    output: str
    failed: set[str]
    score: float
    stories: dict[str, str]


class Progress:
    """What a long run has done, kept in a file, from which the next goes on. `rows`: by key."""

    def __init__(self, state: Path | None) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._state = state
        if state and state.exists():
            for line in state.read_text("utf-8").splitlines():
                self.rows.update(json.loads(line))

    def add(self, key: str, row: dict[str, Any]) -> None:
        self.rows[key] = row
        if self._state:
            with self._state.open("a", encoding="utf-8") as file:
                file.write(json.dumps({key: row}) + "\n")


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


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Processes that take all processor time that can be had, and end with this one."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    loops = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def write_solution(directory: Path, server: str, client: str) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "server.py").write_text(server)
    (directory / "client.py").write_text(client)
    return directory
