"""`python -m tests.grader.mutants [NAME or GROUP ...]`: grades mutants, each with all cases.

Prints a line for each as it ends: what it is, the points that it loses, and the cases that caught
it, the one that is meant first. Ends with status 1 if one is caught by any other cases than those
that its data tells, 0 otherwise. All of them take some half an hour of two processors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from grader import rubric, run
from grader.rubric import Rubric
from tests.grader.mutants import table
from tests.grader.mutants.mutant import Mutant, all_mutants, failing_cases
from tests.grader.mutants.table import Verdict


class _Flags(argparse.Namespace):
    names: list[str]
    jobs: int
    write: bool


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.grader.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants or groups; all if none")
    parser.add_argument("--jobs", type=int, default=run.default_jobs())
    parser.add_argument("--write", action="store_true", help="put the table into docs/GRADING.md")
    flags = parser.parse_args(argv, _Flags())
    mutants = all_mutants()
    known = {name for mutant in mutants for name in (mutant.group, mutant.name)}
    if unknown := set(flags.names) - known:
        parser.error(f"there is no mutant or group {', '.join(sorted(unknown))}")
    if flags.write and flags.names:
        parser.error("--write is for all of them")
    graded_by = rubric.load(rubric.find(rubric.DEFAULT))
    wrong = []
    wanted = [m for m in mutants if not flags.names or {m.group, m.name} & set(flags.names)]
    for mutant in wanted:
        verdict = _grade(mutant, graded_by, flags.jobs)
        sys.stdout.write(table.format_verdict(verdict, graded_by))
        sys.stdout.flush()
        if not verdict.is_as_expected:
            wrong.append(mutant.name)
    sys.stdout.write(f"{len(wanted)} mutants, {len(wanted) - len(wrong)} as expected\n")
    if wrong:
        sys.stdout.write(f"not as expected: {', '.join(wrong)}\n")
        return 1
    if flags.write:
        table.write(table.format_table(mutants, graded_by))
    return 0


def _grade(mutant: Mutant, graded_by: Rubric, jobs: int) -> Verdict:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        solution = mutant.write(Path(scratch) / mutant.name)
        failed = failing_cases(solution, graded_by, jobs, "--strict" in mutant.flags)
    expected = mutant.failing(graded_by)
    return Verdict(mutant, expected, failed, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
