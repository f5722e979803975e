"""One submission, graded: from where it lies to its points, its story and its files."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from grader import gradescope, junit, packages, report, run, solution
from grader.play import Outcome
from grader.rubric import Case, Rubric
from grader.submissions import Submission


@dataclass
class Graded:
    """What came of a submission. `remark`: why nothing of it was graded, if so. `digest`: of its
    files and of how it was graded."""

    key: str
    name: str
    late: str = ""
    submitted: str = ""
    seconds: float = 0.0
    total: float = 0.0
    of: float = 0.0
    remark: str = ""
    digest: str = ""
    notices: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return self.total == self.of

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Graded:
        outcomes = [Outcome.from_json(outcome) for outcome in data.pop("outcomes")]
        return Graded(**data, outcomes=outcomes)


class Outputs(NamedTuple):
    """Files for machines."""

    json: Path | None = None
    junit: Path | None = None


class Grading(NamedTuple):
    """How to grade."""

    rubric: Rubric
    cases: Sequence[Case]
    options: run.Options
    is_colored: bool = False

    def grade(self, submission: Submission, outputs: Outputs | None = None) -> Graded:
        """Play all cases, and print each as it ends."""
        outputs = outputs or Outputs()
        results = (
            gradescope.Results(outputs.json, self.rubric, self.cases) if outputs.json else None
        )
        began = time.monotonic()
        graded = Graded(*submission.names, of=report.total_of(self.cases, ())[1])
        try:
            with tempfile.TemporaryDirectory(prefix="grade-") as scratch:
                found = solution.find(submission.path, Path(scratch), submission.key)
                foreign = packages.find_foreign(found.root, self.rubric.packages)
                graded.notices = [*found.notices, *foreign]
                self._print(graded.notices)
                graded.outcomes = self._play(found, results)
        except solution.UnusableError as error:
            graded.remark = str(error)
            self._print([graded.remark])
            if results:
                results.fail(graded.remark)
        graded.seconds = round(time.monotonic() - began, 1)
        graded.total = report.total_of(self.cases, graded.outcomes)[0]
        if graded.outcomes:
            table = report.format_table(self.rubric, self.cases, graded.outcomes)
            sys.stdout.write(table)
        if outputs.junit:
            played = graded.outcomes
            text = junit.format_junit(self.rubric, self.cases, played, graded.remark)
            outputs.junit.write_text(text, "utf-8")
        return graded

    def digest(self, submission: Submission) -> str:
        """Two of the same would be graded alike."""
        return submission.digest(repr((self.rubric, self.cases, self.options[2:4])))

    def _play(self, found: solution.Found, results: gradescope.Results | None) -> list[Outcome]:
        by_id = {case.id: case for case in self.cases}

        def tell(outcome: Outcome) -> None:
            case = by_id[outcome.case]
            sys.stdout.write(report.format_outcome(case, outcome, self.is_colored))
            sys.stdout.flush()
            if results:
                results.add(outcome)

        graded_by = found.apply(self.rubric)
        return run.grade(graded_by, found.root, self.options, self.cases, tell)

    def _print(self, lines: Sequence[str]) -> None:
        sys.stdout.write("".join(f"{report.visible(line)}\n" for line in lines))
        sys.stdout.flush()
