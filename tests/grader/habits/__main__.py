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
from collections.abc import Iterable
from pathlib import Path

from tests.grader.grading import POINTED, Progress, busy_loops, grade
from tests.grader.habits.habit import Habit, all_habits
from tests.grader.mutants import table

SLOWEST, TIMES = 5, 3

BEGIN = "<!-- habits: `make habits ARGS=--write` writes what follows -->\n\n"
END = "\n<!-- habits: end -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.grader.habits")
    parser.add_argument("names", nargs="*", metavar="NAME", help="habits; all if none")
    parser.add_argument("--state", type=Path, help="go on where this file ends")
    parser.add_argument("--write", action="store_true", help="put the table into docs/MUTANTS.md")
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
    if flags.write:
        before, _, after = table.read_document(BEGIN, END)
        table.DOCUMENT.write_text(before + _format_table(wanted, done) + after, "utf-8")
    return bool(poor)


def _format_table(habits: Iterable[Habit], done: Progress) -> str:
    """What came of them, in Markdown."""
    lines = [
        "| habit | what is odd | scores | seconds, quiet | beside loops |",
        "|---|---|---|---|---|",
    ]
    for habit in habits:
        rows = [row for key, row in done.rows.items() if key.split(" ")[0] == habit.name]
        scores = ", ".join(f"{row['score']:g}" for row in rows)
        quiet, loaded = (done.rows[f"{habit.name} {m}"]["seconds"] for m in ("quiet", "loaded"))
        told = f"{habit.name} | {habit.oddity} | {scores} | {quiet:.0f} | {loaded:.0f}"
        lines.append(f"| {told} |")
    return "\n".join(lines) + "\n"


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
    for case in sorted(graded.failed):
        print(f"{case}: {graded.stories[case]}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
