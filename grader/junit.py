"""Results as JUnit's XML, which most build servers read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from grader import report
from grader.play import Outcome
from grader.rubric import Case, Rubric

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def format_junit(
    rubric: Rubric, cases: Sequence[Case], outcomes: Sequence[Outcome], remark: str = ""
) -> str:
    """A suite for each group of which there is a case. `remark`: why none was played, if so."""
    by_id = {case.id: Outcome(case.id, has_passed=False, summary=remark) for case in cases}
    by_id.update({outcome.case: outcome for outcome in outcomes})
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for group in rubric.groups:
        own = [case for case in cases if case.group == group.id]
        if not own:
            continue
        marks = [report.mark_of(by_id[case.id]) for case in own]
        counts = f"tests='{len(own)}' failures='{marks.count('FAIL')}'"
        counts += f" skipped='{marks.count('----')}'"
        lines.append(f"<testsuite name={quoteattr(group.id)} {counts}>")
        for case in own:
            lines += _format_case(case, by_id[case.id])
        lines.append("</testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _format_case(case: Case, outcome: Outcome) -> list[str]:
    head = f"<testcase classname={quoteattr(case.group)} name={quoteattr(case.id)}"
    head += f" time='{outcome.seconds:.3f}'"
    if outcome.has_passed:
        return [f"{head}/>"]
    lines = [line.text.rstrip() for line in report.explain(outcome)]
    story = _NOT_XML.sub("\ufffd", "\n".join(lines))
    summary = _NOT_XML.sub("\ufffd", outcome.summary)
    if outcome.ungraded:
        return [f"{head}>", f"<skipped message={quoteattr(summary)}/>", "</testcase>"]
    failure = f"<failure message={quoteattr(summary)}>{escape(story)}</failure>"
    return [f"{head}>", failure, "</testcase>"]
