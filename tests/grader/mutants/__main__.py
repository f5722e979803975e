"""`python -m tests.grader.mutants [NAME or GROUP ...]`: grades mutants, each with all cases.

Prints a line for each as it ends: what it is, the points that it loses, and the cases that caught
it, the one that is meant first. Ends with status 1 if one is caught by any other cases than those
that its data tells, 0 otherwise. All of them take some half an hour of two processors. With
`--state FILE`, what is in that file was done before, and is not done again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from grader import rubric, run
from grader.rubric import Rubric
from tests.grader.grading import Progress, grade
from tests.grader.mutants import table
from tests.grader.mutants.mutant import Mutant, all_mutants


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.grader.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants or groups; all if none")
    parser.add_argument("--jobs", type=int, default=run.default_jobs())
    parser.add_argument("--state", type=Path, help="go on where this file ends")
    parser.add_argument("--write", action="store_true", help="put the table into docs/MUTANTS.md")
    flags = parser.parse_args()
    mutants = all_mutants()
    known = {name for mutant in mutants for name in (mutant.group, mutant.name)}
    if unknown := set(flags.names) - known:
        parser.error(f"there is no mutant or group {', '.join(sorted(unknown))}")
    if flags.write and flags.names:
        parser.error("--write is for all of them")
    graded_by = rubric.load(rubric.find(rubric.DEFAULT))
    done = Progress(flags.state)
    wanted = [m for m in mutants if not flags.names or {m.group, m.name} & set(flags.names)]
    for mutant in wanted:
        if mutant.name not in done.rows:
            done.add(mutant.name, _grade(mutant, flags.jobs, graded_by))
            row = done.rows[mutant.name]
            failed, seconds = set(row["failed"]), row["seconds"]
            print(table.format_verdict(mutant, failed, seconds, graded_by), end="")
            print("".join(row["stories"]), end="", flush=True)
    wrong = [m.name for m in wanted if set(done.rows[m.name]["failed"]) != m.failing(graded_by)]
    sys.stdout.write(f"{len(wanted)} mutants, {len(wanted) - len(wrong)} as expected\n")
    if wrong:
        sys.stdout.write(f"not as expected: {', '.join(wrong)}\n")
        return 1
    if flags.write:
        table.write(table.format_table(mutants, graded_by))
    return 0


def _grade(mutant: Mutant, jobs: int, graded_by: Rubric) -> dict[str, Any]:
    """The cases that failed, and the reports of those that were not to fail."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        solution = mutant.write(Path(scratch) / mutant.name)
        graded = grade(solution, Path(scratch), f"--jobs={jobs}", *mutant.flags)
    surprises = sorted(graded.failed - mutant.failing(graded_by))
    return {
        "failed": sorted(graded.failed),
        "stories": [f"{case}: {graded.stories[case]}\n" for case in surprises],
        "seconds": time.monotonic() - began,
    }


if __name__ == "__main__":
    sys.exit(main())
