"""Results as JUnit's XML, which most build servers read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from grader import report
from grader.play import Outcome
from grader.rubric import Case, Rubric

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def format_junit(rubric: Rubric, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> str:
    """A suite for each group of which a case was played."""
    by_id = {outcome.case: outcome for outcome in outcomes}
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for group in rubric.groups:
        own = [case for case in cases if case.group == group.id]
        if not own:
            continue
        failures = sum(not by_id[case.id].has_passed for case in own)
        lines.append(
            f"<testsuite name={quoteattr(group.id)} tests='{len(own)}' failures='{failures}'>"
        )
        for case in own:
            lines += _format_case(case, by_id[case.id])
        lines.append("</testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _format_case(case: Case, outcome: Outcome) -> list[str]:
    head = f"<testcase classname={quoteattr(case.group)} name={quoteattr(case.id)}"
    head += f" time='{outcome.seconds:.3f}'"
    if outcome.has_passed:
        return [f"{head}/>"]
    story = _NOT_XML.sub("\ufffd", "\n".join(report.explain(outcome)))
    summary = _NOT_XML.sub("\ufffd", outcome.summary)
    failure = f"<failure message={quoteattr(summary)}>{escape(story)}</failure>"
    return [f"{head}>", failure, "</testcase>"]
