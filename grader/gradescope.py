"""Results as Gradescope reads them, written anew as each case ends: whatever happens to us, the
file is valid, and what has not been played has no points. Only when all has been played does the
file tell the score; until then, it is the sum over what has been.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grader import report
from grader.play import Outcome
from grader.rubric import Case, Rubric
from grader.words import Line

_STOPPED = "The grading was stopped before its end. What was not played has no points."
_NOT_PLAYED = [Line("not graded: the grading was stopped before.")]


class Results:
    """The file, which is complete from the moment this is made."""

    def __init__(self, path: Path, rubric: Rubric, cases: Sequence[Case]) -> None:
        self._path = path
        self._rubric = rubric
        self._cases = cases
        self._outcomes: dict[str, Outcome] = {}
        self._reason = ""
        self._write()

    def add(self, outcome: Outcome) -> None:
        self._outcomes[outcome.case] = outcome
        self._write()

    def fail(self, reason: str) -> None:
        """There is nothing to grade."""
        self._reason = reason
        for case in self._cases:
            self._outcomes[case.id] = Outcome(case.id, has_passed=False, summary=reason)
        self._write()

    def _write(self) -> None:
        results = {
            **self._summary(),
            "output_format": "text",
            "visibility": self._rubric.visibility,
            "stdout_visibility": "hidden",
            "tests": [self._test(case) for case in self._cases],
        }
        # A reader that comes while we write finds the last one whole.
        draft = self._path.with_name(self._path.name + ".new")
        draft.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        os.replace(draft, self._path)

    def _summary(self) -> dict[str, Any]:
        if len(self._outcomes) < len(self._cases):
            return {"output": f"{self._rubric.title}\n\n{_STOPPED}"}
        outcomes = list(self._outcomes.values())
        table = report.format_table(self._rubric, self._cases, outcomes)
        lines = [self._rubric.title, *filter(None, [report.visible(self._reason)]), table]
        return {
            "score": report.total_of(self._cases, outcomes)[0],
            "output": "\n\n".join(lines),
        }

    def _test(self, case: Case) -> dict[str, Any]:
        outcome = self._outcomes.get(case.id)
        explanation = report.explain(outcome) if outcome else _NOT_PLAYED
        test = {
            "name": f"{case.group}/{case.id}: {case.title}",
            "score": report.points_of(case, outcome),
            "max_score": case.points,
            "output": "\n".join(report.in_colors(explanation, is_colored=True)),
            "output_format": "ansi",
            "visibility": case.visibility,
        }
        if report.mark_of(outcome) != "----":
            test["status"] = "passed" if outcome and outcome.has_passed else "failed"
        return test
