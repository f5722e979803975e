"""Many solutions, one after another: every folder in a folder, and a table of them all.

A row is written as soon as a solution is graded. What goes wrong with one is told in its row, and
the next is graded as if nothing had been.
"""

from __future__ import annotations

import csv
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from grader import report
from grader.play import Outcome
from grader.rubric import Case, Rubric
from grader.solution import UnusableError

Grade = Callable[[Path], Sequence[Outcome]]


def grade_all(
    folder: Path, rubric: Rubric, cases: Sequence[Case], grade: Grade, table: Path | None
) -> bool:
    """Grade every folder in `folder` by its name's order. True if all have the full score."""
    groups = [group for group in rubric.groups if group.points]
    rows = [["solution", "total", *(group.id for group in groups), "remark"]]
    _write(rows, table)
    are_full = True
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        if path.name.startswith("."):
            continue
        name = report.visible(path.name)
        sys.stdout.write(f"=== {name}\n")
        outcomes: Sequence[Outcome] = ()
        remark = ""
        try:
            outcomes = grade(path)
        except UnusableError as error:
            remark = report.visible(str(error))
        except Exception as error:
            traceback.print_exc()
            remark = report.visible(f"the grader itself failed: {error}")
        if remark:
            sys.stdout.write(f"{remark}\n")
        total, of = report.total_of(cases, outcomes)
        are_full &= total == of
        points = [
            report.total_of([case for case in cases if case.group == group.id], outcomes)[0]
            for group in groups
        ]
        cell = f"'{name}" if name[0] in "=+-@" else name  # no formula in a sheet
        rows.append([cell, f"{total:g}", *(f"{p:g}" for p in points), remark or _remark(outcomes)])
        _write(rows[-1:], table, append=True)
    width = max(len(row[0]) for row in rows)
    sys.stdout.write("".join(f"{row[0]:<{width}}  {'  '.join(row[1:])}\n" for row in rows))
    return are_full


def _remark(outcomes: Sequence[Outcome]) -> str:
    """The first thing that went wrong."""
    return next((report.visible(o.summary) for o in outcomes if not o.has_passed), "")


def _write(rows: Sequence[Sequence[str]], table: Path | None, append: bool = False) -> None:
    if table:
        with table.open("a" if append else "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(rows)
