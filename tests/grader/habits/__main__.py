"""`python -m tests.grader.habits [NAME ...]`: grades habits with all cases that have points, each
once on a quiet machine and once beside busy loops; then the five that took longest three times
more.

Prints a line for each as it ends. Ends with status 1 if one has less than 100 points, 0 otherwise.
With `--state FILE`, what is in that file was done before, and is not done again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.grader.grading import POINTED, Progress, busy_loops, grade
from tests.grader.habits.habit import Habit, all_habits

SLOWEST, TIMES = 5, 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.grader.habits")
    parser.add_argument("names", nargs="*", metavar="NAME", help="habits; all if none")
    parser.add_argument("--state", type=Path, help="go on where this file ends")
    flags = parser.parse_args()
    habits = {habit.name: habit for habit in all_habits()}
    if unknown := set(flags.names) - habits.keys():
        parser.error(f"there is no habit {', '.join(sorted(unknown))}")
    done = Progress(flags.state)
    wanted = [habits[name] for name in flags.names or habits]
    for habit in wanted:
        for manner in ("quiet", "loaded"):
            _do(done, habit, manner)
    slowest = sorted(wanted, key=lambda h: -done.rows[f"{h.name} quiet"]["seconds"])[:SLOWEST]
    for habit in slowest:
        for number in range(1, TIMES + 1):
            _do(done, habit, f"again {number}")
    poor = sorted(key for key, row in done.rows.items() if row["score"] != 100)
    print(f"{len(wanted)} habits, graded {len(done.rows)} times; with less than 100: {len(poor)}")
    return bool(poor)


def _do(done: Progress, habit: Habit, manner: str) -> None:
    """Grade it, if that was not done before."""
    key = f"{habit.name} {manner}"
    if key in done.rows:
        return
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="habit-") as scratch,
        busy_loops(2 * (manner == "loaded")),
    ):
        solution = habit.write(Path(scratch) / habit.name)
        graded = grade(solution, Path(scratch), f"--only={POINTED}")
    row = {"score": graded.score, "seconds": round(time.monotonic() - began, 1)}
    done.add(key, row)
    lost = "" if graded.score == 100 else "  lost by " + ", ".join(sorted(graded.failed))
    print(f"{graded.score:>5g} {row['seconds']:>6.1f} s  {key}{lost}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
