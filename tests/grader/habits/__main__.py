"""`python -m tests.grader.habits [NAME ...]`: grades habits with all cases that have points, each
once on a quiet machine and once beside busy loops; then the five that took longest three times
more.

Prints a line for each as it ends. Ends with status 1 if one has less than 100 points, 0 otherwise.
With `--state FILE`, what is in that file was done before, and is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.grader.grading import POINTED, busy_loops, grade
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
    done = _Done(flags.state, [f"--only={POINTED}"])
    wanted = [habits[name] for name in flags.names or habits]
    for habit in wanted:
        for manner in ("quiet", "loaded"):
            done.do(habit, manner)
    slowest = sorted(wanted, key=lambda h: -done.rows[f"{h.name} quiet"]["seconds"])[:SLOWEST]
    for habit in slowest:
        for number in range(1, TIMES + 1):
            done.do(habit, f"again {number}")
    poor = sorted(key for key, row in done.rows.items() if row["score"] != 100)
    print(f"{len(wanted)} habits, graded {len(done.rows)} times; with less than 100: {len(poor)}")
    return bool(poor)


class _Done:
    """What has been graded. `rows`: by the name of a habit and the manner of grading it."""

    def __init__(self, state: Path | None, flags: list[str]) -> None:
        self.rows: dict[str, dict[str, float]] = {}
        self._state = state
        self._flags = flags
        if state and state.exists():
            for line in state.read_text("utf-8").splitlines():
                self.rows.update(json.loads(line))

    def do(self, habit: Habit, manner: str) -> None:
        key = f"{habit.name} {manner}"
        if key in self.rows:
            return
        began = time.monotonic()
        with (
            tempfile.TemporaryDirectory(prefix="habit-") as scratch,
            busy_loops(2 * (manner == "loaded")),
        ):
            solution = habit.write(Path(scratch) / habit.name)
            graded = grade(solution, Path(scratch), *self._flags)
        row = {"score": graded.score, "seconds": round(time.monotonic() - began, 1)}
        self.rows[key] = row
        lost = "" if graded.score == 100 else "  lost by " + ", ".join(sorted(graded.failed))
        print(f"{graded.score:>5g} {row['seconds']:>6.1f} s  {key}{lost}", flush=True)
        if self._state:
            with self._state.open("a", encoding="utf-8") as file:
                file.write(json.dumps({key: row}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
