#!/usr/bin/env python3
"""Grades one submission where Gradescope has put it: run as root, in a container of its own.

In: /autograder/source, which is autograder.zip unpacked, and /autograder/submission. Out:
/autograder/results/results.json, which is valid whatever happens, and on standard output all that
the grader printed; Gradescope shows that to the teaching staff alone.
Arguments are for tests: another folder than /autograder, another limit in seconds.

A solution can neither read the rubric, the results or the submission's metadata nor change them: it
runs as another user, in a copy below /tmp, and /autograder is closed to all but root.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import traceback
from pathlib import Path

FLAGS = ("--jobs", "2")
"""For the grader; `--strict` and `--rubric` would stand here. Two cases at once, as a container has
half a processor by default, and sees all those of its host."""

USERS = ("solution", "nobody")
"""Who runs the solution, the first that there is. setup.sh makes the first."""

LIMIT_SECONDS = 520.0
"""The grader's budget. Gradescope ends us after ten minutes by default, and then shows nothing."""

END_SECONDS = 30.0
"""Longest that the grader may take beyond it, and to end what it has started when it is told to."""

FAILURE = {
    "score": 0,
    "output": "The grader itself failed, which says nothing about your work. Please tell your"
    " teaching assistant: the reason is in this submission's standard output, which only the"
    " teaching staff sees.",
    "output_format": "text",
    "visibility": "visible",
    "stdout_visibility": "hidden",
    "tests": [],
}


def main(root: Path, limit: float) -> None:
    results = root / "results" / "results.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(FAILURE))
    try:
        root.chmod(0o700)
        is_over = run_grader(root, results, limit)
        has_failed = is_over and "score" not in json.loads(results.read_text("utf-8"))
    except Exception:
        traceback.print_exc(file=sys.stdout)
        has_failed = True
    if has_failed:
        results.write_text(json.dumps(FAILURE))


def run_grader(root: Path, results: Path, limit: float) -> bool:
    """Whether it has come to its end by itself, good or bad. What it was stopped at is written."""
    command = [sys.executable, "-m", "grader", str(root / "submission"), "--json", str(results)]
    command += ["--budget", f"{limit:g}"]
    sys.stdout.flush()
    with subprocess.Popen(
        [*command, *FLAGS, *user_flags()],
        cwd=root / "source",
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    ) as grader:
        try:
            grader.wait(limit + END_SECONDS)
            return True
        except subprocess.TimeoutExpired:
            print(f"The grader was stopped after {limit + END_SECONDS:g} seconds.", flush=True)
        grader.terminate()
        try:
            grader.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            grader.kill()
        return False


def user_flags() -> list[str]:
    if os.geteuid():
        print("Not run as root: the solution may read and change whatever we may.", flush=True)
        return []
    known = {entry.pw_name for entry in pwd.getpwall()}
    return ["--user", next(name for name in USERS if name in known)]


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "/autograder"),
        float(sys.argv[2]) if len(sys.argv) > 2 else LIMIT_SECONDS,
    )
