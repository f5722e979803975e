"""The results of a class, and the files in which they are kept.

In a report folder stand a page and a text for each student, index.html, scores.csv, and below
records/ a file for each student, from which everything else can be written again: so a run can go
on where one has stopped, and one student can be graded anew. All files are replaced whole.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from grader import pages, report
from grader.grading import Graded
from grader.rubric import Case, Rubric
from grader.submissions import Submission

RECORDS = "records"
TABLE = "scores.csv"
INDEX = "index.html"

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Gradebook:
    """`folder` and `table`: where to write, if anywhere."""

    def __init__(
        self, rubric: Rubric, cases: Sequence[Case], folder: Path | None, table: Path | None
    ) -> None:
        self.folder = folder
        self._rubric = rubric
        self._cases = cases
        self._tables = [path for path in (table, folder and folder / TABLE) if path]
        self._graded: dict[str, Graded] = {}

    @property
    def graded(self) -> list[Graded]:
        return [self._graded[key] for key in sorted(self._graded)]

    def count(self) -> int:
        """How many results are in the folder."""
        return len(list((self.folder / RECORDS).glob("*.json"))) if self.folder else 0

    def read(self) -> None:
        """Take over what is in the folder. A record that cannot be read is passed over: its student
        is graded again."""
        known = {case.id for case in self._cases}
        for path in (self.folder / RECORDS).glob("*.json") if self.folder else ():
            try:
                graded = Graded.from_json(json.loads(path.read_text("utf-8")))
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if {outcome.case for outcome in graded.outcomes} <= known:
                self._graded[graded.key] = graded

    def submission(self, key: str, path: Path) -> Submission:
        """What lies at `path`, with what is known of the one that had this key before."""
        known = self._graded.get(key)
        return Submission(key, path, *(known.name, known.late, known.submitted) if known else ())

    def has(self, key: str, digest: str) -> bool:
        return key in self._graded and self._graded[key].digest == digest

    def add(self, graded: Graded) -> None:
        """Write all that is of one student; `write` brings the others up to date."""
        self._graded[graded.key] = graded
        if not self.folder:
            return
        name = file_name(graded.key)
        record = json.dumps(graded.as_json(), indent=1)
        _replace(self.folder / RECORDS / f"{name}.json", record + "\n")
        story = format_text(self._rubric, self._cases, graded)
        _replace(self.folder / f"{name}.txt", story)
        page = pages.format_student(self._rubric, self._cases, graded)
        _replace(self.folder / f"{name}.html", page)

    def write(self) -> None:
        """The tables and the index."""
        text = _format_csv(self.rows())
        for path in self._tables:
            _replace(path, text)
        if self.folder:
            names = {graded.key: file_name(graded.key) for graded in self.graded}
            page = pages.format_index(self._rubric, self._cases, self.graded, names)
            _replace(self.folder / INDEX, page)

    def rows(self) -> list[list[str]]:
        groups = [group for group in self._rubric.groups if group.points]
        head = ["solution", "name", "late", "total", *(group.id for group in groups)]
        head += [f"{case.group}/{case.id}" for case in self._cases]
        rows = [[*head, "submitted", "seconds", "remark"]]
        for graded in self.graded:
            by_id = {outcome.case: outcome for outcome in graded.outcomes}
            row = [graded.key, graded.name, graded.late, report.number(graded.total)]
            for group in groups:
                own = [case for case in self._cases if case.group == group.id]
                row.append(report.number(report.total_of(own, graded.outcomes)[0]))
            for case in self._cases:
                outcome = by_id.get(case.id)
                mark = report.mark_of(outcome)
                points = report.number(report.points_of(case, outcome))
                row.append(points if case.points and mark != "----" else mark)
            row += [graded.submitted, f"{graded.seconds:g}", remark_of(self._cases, graded)]
            rows.append([_cell(text) for text in row])
        return rows


def remark_of(cases: Sequence[Case], graded: Graded) -> str:
    """The first case that cost points, or why none was played."""
    return report.visible(graded.remark) or report.first_loss(cases, graded.outcomes)


def format_text(rubric: Rubric, cases: Sequence[Case], graded: Graded) -> str:
    """The whole story, in the rubric's order."""
    by_id = {outcome.case: outcome for outcome in graded.outcomes}
    lines = [f"{report.visible(graded.name)}: {rubric.title}", ""]
    lines += [report.visible(line) for line in [*graded.notices, graded.remark] if line]
    text = "\n".join([*lines, ""])
    for case in cases:
        if case.id in by_id:
            text += report.format_outcome(case, by_id[case.id])
    if graded.outcomes:
        text += report.format_table(rubric, cases, graded.outcomes)
    return text


def file_name(key: str) -> str:
    """A name that is safe on every system and in a link. Two keys never share one."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", key).strip("._")[:80]
    if safe == key and safe.lower() != "index":
        return safe
    mark = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"{safe or 'student'}-{mark}"


def _cell(text: str) -> str:
    """Never a formula of a spreadsheet, never a command for a terminal."""
    shown = report.visible(text).replace("\n", " ")
    is_mark = shown in ("----",)
    return f"'{shown}" if shown.startswith(_FORMULA) and not is_mark else shown


def _format_csv(rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file:
        file.write(text)
    os.replace(draft, path)
