"""The picture of a report in README.md is what the grader prints."""

from __future__ import annotations

from tests.grader.grading import ROOT
from tools.picture import draw, run_report


def test_picture_is_what_is_printed() -> None:
    """`make picture` draws it anew."""
    drawn = draw("A report of the grader", run_report())
    assert drawn == (ROOT / "docs" / "report.svg").read_text("utf-8")
