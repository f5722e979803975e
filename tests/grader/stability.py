"""`python -m tests.grader.stability`: the same solution, graded again and again.

Every other time as many busy loops as there are processors, twice, run beside it. Prints a line
for each time, and in the end for each solution whether every case had the same verdict every
time. Ends with status 1 if one had not, 0 otherwise. Takes some minutes for each solution.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from grader import run
from tests.grader.grading import ROOT, SOLUTIONS, grade

TIMES = 20

OWN = "own"

DEFAULT = (OWN, "no_framing", "exit_traceback")
"""Our own programs, one whose mistake depends on how bytes arrive, and one with threads that race
for its end."""

BURNERS = 2 * (os.cpu_count() or 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.grader.stability")
    parser.add_argument("solutions", nargs="*", help=f"{OWN}, or of tests/grader/solutions")
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--jobs", type=int, default=run.default_jobs())
    flags = parser.parse_args()
    names = flags.solutions or DEFAULT
    are_stable = [_is_stable(name, flags.times, flags.jobs) for name in names]
    return int(not all(are_stable))


def _is_stable(name: str, times: int, jobs: int) -> bool:
    verdicts: set[frozenset[str]] = set()  # each with the cases that failed
    solution = ROOT if name == OWN else SOLUTIONS / name
    for number in range(times):
        is_loaded = number % 2 == 1
        with _burners(BURNERS if is_loaded else 0), tempfile.TemporaryDirectory() as scratch:
            began = time.monotonic()
            graded = grade(solution, Path(scratch), f"--jobs={jobs}")
            seconds = time.monotonic() - began
        verdicts.add(frozenset(graded.failed))
        load = f"{BURNERS} busy loops" if is_loaded else "none"
        told = f"beside it {load}: {graded.score:g} points in {seconds:.1f} s"
        print(f"{name} {number + 1:>3}, {told}", flush=True)
    always = ", ".join(sorted(frozenset.intersection(*verdicts))) or "nothing"
    print(f"{name}: {times} times, {len(verdicts)} different outcomes; {always} failed each time")
    if len(verdicts) > 1:
        differing = frozenset.union(*verdicts) - frozenset.intersection(*verdicts)
        print(f"{name}: not always the same: {', '.join(sorted(differing))}")
    return len(verdicts) == 1


@contextlib.contextmanager
def _burners(count: int) -> Iterator[None]:
    """Processes that take all processor time that can be had."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


if __name__ == "__main__":
    sys.exit(main())
