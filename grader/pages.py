"""Pages for a browser: one for each student, and an index of a class. Each is one file that needs
nothing beside it, and shows what students wrote as text, whatever it is.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from html import escape

from grader import report
from grader.grading import Graded
from grader.rubric import Case, Rubric

BINS = 10
"""Of the distribution: tenths of the full score."""

_MARKS = {"ok": ("passed", "ok"), "FAIL": ("failed", "FAIL"), "forgiven": ("forgiven", "none")}
"""By the mark of a case: the word and its look."""

_BAR_WIDTH, _BAR_HEIGHT = 48, 120

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
  color: #1f2328; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid #d0d7de }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
td.who { min-width: 14rem; overflow-wrap: anywhere } td.late { white-space: nowrap }
small { font-weight: 400; opacity: .7 } td small { display: block }
pre { font: 13px/1.45 ui-monospace, monospace; padding: .8rem; overflow-x: auto;
  background: #f6f8fa }
summary { cursor: pointer; padding: .15rem 0 }
.right { color: #116329 } .wrong { color: #cf222e } .head { font-weight: 600 }
.ok { color: #116329 } .FAIL { color: #cf222e; font-weight: 600 } .none { color: #9a6700 }
a { color: #0969da } svg text { font: 12px system-ui, sans-serif; fill: #1f2328 }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117 } pre { background: #161b22 }
  th, td { border-color: #30363d } svg text { fill: #e6edf3 } a { color: #58a6ff }
  .right, .ok { color: #7ee787 } .wrong, .FAIL { color: #ff7b72 } .none { color: #d29922 } }
"""


def format_student(rubric: Rubric, cases: Sequence[Case], graded: Graded) -> str:
    """The score, the groups, and every case; the story of each that failed is open."""
    by_id = {outcome.case: outcome for outcome in graded.outcomes}
    parts = [
        f"<h1>{_text(graded.name)}</h1>\n<p>{_text(rubric.title)}</p>\n",
        f"<p><b>{_points(graded.total, graded.of)}</b>{_circumstances(graded)}</p>\n",
    ]
    parts += [f"<p class='none'>{_text(notice)}</p>\n" for notice in graded.notices]
    if graded.remark:
        parts.append(f"<p class='FAIL'>{_text(graded.remark)}</p>\n")
    for told, count in report.forgiven_in(graded.outcomes).items():
        parts.append(f"<p class='none'>{_text(told)} ({count} of {len(cases)} cases)</p>\n")
    if graded.outcomes:
        parts.append(_groups(rubric, cases, graded))
    for group in rubric.groups if graded.outcomes else ():
        own = [case for case in cases if case.group == group.id]
        if own:
            parts.append(f"<h2>{_text(group.title)}</h2>\n")
        for case in own:
            outcome = by_id.get(case.id)
            mark = report.mark_of(outcome)
            worth = f" ({_points(report.points_of(case, outcome), case.points)})"
            shown = "forgiven" if outcome and outcome.forgiven else mark
            title = f"{_mark(shown)} {_text(case.title)}{worth if case.points else ''}"
            story = ""
            if outcome and (mark != "ok" or outcome.forgiven):
                lines = [_line(line.text, line.look) for line in report.explain(outcome)]
                story = f"<pre>{chr(10).join(lines).rstrip()}</pre>"
            is_open = " open" if mark == "FAIL" else ""
            head = f"<details id='{_text(case.id)}'{is_open}><summary>{title}</summary>"
            parts.append(f"{head}{story or _steps(rubric, case)}</details>\n")
    return _page(f"{graded.name}: {report.number(graded.total)}", "".join(parts))


def format_index(
    rubric: Rubric, cases: Sequence[Case], class_: Sequence[Graded], names: Mapping[str, str]
) -> str:
    """The distribution, the cases that failed most, and all students. `names`: of their files."""
    totals = [graded.total for graded in class_]
    parts = [f"<h1>{_text(rubric.title)}</h1>\n"]
    if totals:
        mean, median = statistics.fmean(totals), statistics.median(totals)
        figures = f"mean {report.number(round(mean, 1))}, median {report.number(median)}"
        of = report.total_of(cases, ())[1]
        parts.append(f"<p>{len(class_)} submissions, {figures} of {report.number(of)}</p>\n")
        parts.append(_distribution(totals, of))
    parts += [_most_failed(cases, class_, names), _students(rubric, cases, class_, names)]
    return _page(rubric.title, "".join(parts))


def _distribution(totals: Sequence[float], of: float) -> str:
    """How many reached each tenth of the full score; those who reached it stand alone."""
    counts = [0] * (BINS + 1)
    for total in totals:
        counts[BINS if total >= of else int(total / of * BINS)] += 1
    parts = []
    for number, count in enumerate(counts):
        left, height = number * _BAR_WIDTH, count / max(counts) * _BAR_HEIGHT
        top = 20 + _BAR_HEIGHT - height
        low, high = number * of / BINS, (number + 1) * of / BINS
        label = report.number(of) if number == BINS else report.number(low)
        title = label if number == BINS else f"{label} to less than {report.number(high)}"
        color = "#1a7f37" if number == BINS else "#0969da"
        parts.append(
            f"<g><title>{title}: {count}</title><rect x='{left + 4}' y='{top:.1f}'"
            f" width='{_BAR_WIDTH - 8}' height='{height:.1f}' fill='{color}'/>"
            f"<text x='{left + 24}' y='{top - 4:.1f}' text-anchor='middle'>{count or ''}</text>"
            f"<text x='{left + 24}' y='{_BAR_HEIGHT + 36}' text-anchor='middle'>{label}</text>"
            "</g>\n"
        )
    width = _BAR_WIDTH * len(counts)
    return (
        f"<h2>Distribution</h2>\n<svg width='{width}' height='{_BAR_HEIGHT + 44}' role='img'>"
        f"<title>How many reached how many points</title>\n{''.join(parts)}</svg>\n"
    )


def _most_failed(cases: Sequence[Case], class_: Sequence[Graded], names: Mapping[str, str]) -> str:
    """Of the cases that cost points, by themselves or since others need them."""
    needed = {need for case in cases if case.points for need in case.needs}
    failed: dict[str, list[Graded]] = {}
    for graded in class_:
        for outcome in graded.outcomes:
            is_played = not outcome.summary.startswith(report.NOT_PLAYED)
            if report.mark_of(outcome) == "FAIL" and is_played:
                failed.setdefault(outcome.case, []).append(graded)
    rows = []
    for case in sorted(cases, key=lambda case: -len(failed.get(case.id, ()))):
        own = failed.get(case.id, [])
        if own and (case.points or case.id in needed):
            links = ", ".join(
                f"<a href='{names[g.key]}.html#{_text(case.id)}'>{_text(g.name)}</a>" for g in own
            )
            cells = f"<td class='n'>{len(own)}</td><td class='n'>{report.number(case.points)}</td>"
            who = f"<details><summary>who</summary>{links}</details>"
            rows.append(f"<tr>{cells}<td>{_text(case.title)}</td><td>{who}</td></tr>\n")
    if not rows:
        return ""
    head = "<tr><th class='n'>failed</th><th class='n'>points</th><th>case</th><th></th></tr>\n"
    return f"<h2>Most-failed cases</h2>\n<table>{head}{''.join(rows)}</table>\n"


def _students(
    rubric: Rubric, cases: Sequence[Case], class_: Sequence[Graded], names: Mapping[str, str]
) -> str:
    groups = [group for group in rubric.groups if group.points]
    heads = "".join(
        f"<th class='n'>{_text(group.id)} <small>/{report.number(group.points)}</small></th>"
        for group in groups
    )
    rows = [
        f"<tr><th>student</th><th>late</th><th class='n'>total</th>{heads}"
        "<th class='n'>seconds</th><th>first loss</th></tr>\n"
    ]
    for graded in class_:
        link = f"<a href='{names[graded.key]}.html'>{_text(graded.name)}</a>"
        if graded.name != graded.key:
            link += f" <small>{_text(graded.key)}</small>"
        cells = [f"<td class='who'>{link}</td><td class='late'>{_text(graded.late)}</td>"]
        cells.append(f"<td class='n'><b>{report.number(graded.total)}</b></td>")
        for group in groups:
            own = [case for case in cases if case.group == group.id]
            points = report.total_of(own, graded.outcomes)[0]
            cells.append(f"<td class='n'>{report.number(points)}</td>")
        remark = graded.remark or report.first_loss(cases, graded.outcomes)
        cells.append(f"<td class='n'>{graded.seconds:.0f}</td><td>{_text(remark[:160])}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>\n")
    return f"<h2>Students</h2>\n<table>{''.join(rows)}</table>\n"


def _groups(rubric: Rubric, cases: Sequence[Case], graded: Graded) -> str:
    rows = []
    for group in rubric.groups:
        own = [case for case in cases if case.group == group.id]
        reached, of = report.total_of(own, graded.outcomes)
        if of:
            score = f"<td class='n'>{_points(reached, of)}</td>"
            rows.append(f"<tr><td>{_text(group.title)}</td>{score}</tr>\n")
    return f"<table>{''.join(rows)}</table>\n"


def _circumstances(graded: Graded) -> str:
    parts = [f"submitted {graded.submitted}"] * bool(graded.submitted)
    parts += [f"late: {graded.late}"] * bool(graded.late)
    parts.append(f"graded in {graded.seconds:.0f} s")
    return _text(" · " + " · ".join(parts))


def _steps(rubric: Rubric, case: Case) -> str:
    return f"<pre>{_text(chr(10).join(report.sentences_of(rubric, case)))}</pre>"


def _mark(mark: str) -> str:
    name, look = _MARKS.get(mark, ("not graded", "none"))
    return f"<span class='{look}'>{name}</span>"


def _line(text: str, look: str) -> str:
    return f"<span class='{look}'>{_text(text)}</span>" if look else _text(text)


def _points(reached: float, of: float) -> str:
    return f"{report.number(reached)} of {report.number(of)}"


def _text(text: str) -> str:
    return escape(report.visible(text))


def _page(title: str, body: str) -> str:
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
