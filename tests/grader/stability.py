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
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from grader import rubric, run
from grader.rubric import Rubric
from tests.grader.grading import SOLUTIONS
from tests.grader.mutants.mutant import copy_programs, failing_cases

TIMES = 20

OWN = "own"

DEFAULT = (OWN, "no_framing", "exit_traceback")
"""Our own programs, one whose mistake depends on how bytes arrive, and one with threads that race
for its end."""

BURNERS = 2 * (os.cpu_count() or 1)


class _Flags(argparse.Namespace):
    solutions: list[str]
    times: int
    jobs: int


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.grader.stability")
    parser.add_argument("solutions", nargs="*", help=f"{OWN}, or of tests/grader/solutions")
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--jobs", type=int, default=run.default_jobs())
    flags = parser.parse_args(argv, _Flags())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    graded_by = rubric.load(rubric.find(rubric.DEFAULT))
    are_stable = [
        _is_stable(name, graded_by, flags.times, flags.jobs) for name in flags.solutions or DEFAULT
    ]
    return 0 if all(are_stable) else 1


def _is_stable(name: str, graded_by: Rubric, times: int, jobs: int) -> bool:
    verdicts: Counter[frozenset[str]] = Counter()  # the cases that failed, and how often they did
    for number in range(times):
        is_loaded = number % 2 == 1
        with _burners(BURNERS if is_loaded else 0), tempfile.TemporaryDirectory() as scratch:
            solution = SOLUTIONS / name
            if name == OWN:
                solution = Path(scratch) / OWN
                copy_programs(solution)
            began = time.monotonic()
            failed = frozenset(failing_cases(solution, graded_by, jobs))
            seconds = time.monotonic() - began
        verdicts[failed] += 1
        score = sum(case.points for case in graded_by.cases if case.id not in failed)
        load = f"{BURNERS} busy loops" if is_loaded else "none"
        print(f"{name} {number + 1:>3}, beside it {load}: {score:g} points in {seconds:.1f} s")
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
