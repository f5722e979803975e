"""What came of mutants, for people: a line for each, and the table in docs/MUTANTS.md.

In: mutants and the cases that failed. Out: text. The committed table holds nothing that differs
from one run to the next, so that it can be compared with the data at any time.
"""

from __future__ import annotations

from collections.abc import Iterable

from grader.rubric import Rubric
from tests.grader.mutants.mutant import ROOT, Mutant

DOCUMENT = ROOT / "docs" / "MUTANTS.md"

BEGIN = "<!-- mutants: `make mutants ARGS=--write` writes what follows -->\n\n"
END = "\n<!-- mutants: end -->\n"

MAX_NAMED_CASES = 4
"""Of those that fail with the one that is meant, so many are named."""


def format_verdict(mutant: Mutant, failed: set[str], seconds: float, rubric: Rubric) -> str:
    """A line for the cases that `failed`, and two more if it is not as expected."""
    expected = mutant.failing(rubric)
    mark = "ok  " if failed == expected else "WRONG"
    lost = _points_of(failed, rubric)
    caught = _format_cases(mutant, failed, rubric) or "-"
    told = f"{mark} {mutant.name:<30} {mutant.group:<11}{-lost:>4g}{seconds:>4.0f} s  {caught}\n"
    for what, cases in ("not caught by", expected - failed), ("caught by", failed - expected):
        if cases:
            told += f"     {what}: {', '.join(sorted(cases))}\n"
    return told


def format_table(mutants: Iterable[Mutant], rubric: Rubric) -> str:
    """All of them in Markdown, with what is expected of each."""
    lines = ["| group | mutant | mistake | points lost | fails |", "|---|---|---|---|---|"]
    for mutant in mutants:
        failing = mutant.failing(rubric)
        mistake = mutant.mistake + " (`--strict`)" * ("--strict" in mutant.flags)
        points = f"{_points_of(failing, rubric):g}"
        cases = _format_cases(mutant, failing, rubric, "`")
        lines.append(f"| {mutant.group} | {mutant.name} | {mistake} | {points} | {cases} |")
    return "\n".join(lines) + "\n"


def write(table: str) -> None:
    """Put the table into docs/MUTANTS.md, in the place of the one that is there."""
    before, _, after = read_document()
    DOCUMENT.write_text(before + table + after, "utf-8")


def read_document(begin: str = BEGIN, end_mark: str = END) -> tuple[str, str, str]:
    """What is before a table in docs/MUTANTS.md, the table, and what is behind it. Raises
    ValueError if its markers are not there."""
    text = DOCUMENT.read_text("utf-8")
    start, end = text.index(begin) + len(begin), text.index(end_mark)
    return text[:start], text[start:end], text[end:]


def _points_of(failed: set[str], rubric: Rubric) -> float:
    return sum(case.points for case in rubric.cases if case.id in failed)


def _format_cases(mutant: Mutant, failed: set[str], rubric: Rubric, quote: str = "") -> str:
    """The meant one first, then those that have points, then the others."""
    cases = [case for case in rubric.cases if case.id in failed]
    cases.sort(key=lambda case: (case.id != mutant.meant, not case.points))
    names = [f"{quote}{case.id}{quote}" for case in cases]
    more = len(names) - MAX_NAMED_CASES
    if more > 1:
        return ", ".join(names[:MAX_NAMED_CASES]) + f" and {more} more"
    return ", ".join(names)
