"""What people read: how each case ended, what a student learns from it, a table, the total."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from grader.patterns import Clock
from grader.play import Outcome
from grader.rubric import Case, Rubric
from grader.words import Line, compare, fill, tell, visible

__all__ = ["explain", "format_outcome", "format_table", "total_of", "visible"]

NOT_PLAYED = "not played, because "
"""How the summary begins of a case whose needs have failed."""

EXAMPLE_TIME = 1344846194
"""Mon Aug 13 08:23:14 2012."""

_WIDTH = 76
_COLORS = {"right": "32", "wrong": "31", "head": "1"}


ONCE = "This fault costs points once, and is forgiven wherever else it shows"


def points_of(case: Case, outcome: Outcome | None) -> float:
    return case.points if outcome and outcome.has_passed else 0


def mark_of(outcome: Outcome | None) -> str:
    """`ok`, `FAIL`, or `----` where nothing is known."""
    if outcome is None or outcome.ungraded:
        return "----"
    return "ok" if outcome.has_passed else "FAIL"


def format_outcome(case: Case, outcome: Outcome, is_colored: bool = False) -> str:
    """A line for a case that passed, and the whole story of one that did not."""
    mark = mark_of(outcome)
    look = {"FAIL": "wrong", "ok": "right"}.get(mark, "")
    lines = [Line(f"{mark:<4} {case.group}/{case.id}: {case.title}{_points(case, outcome)}", look)]
    lines += [line._replace(text=f"     {line.text}") for line in explain(outcome)]
    return "".join(f"{text}\n" for text in in_colors(lines, is_colored))


def in_colors(lines: Iterable[Line], is_colored: bool) -> list[str]:
    """Lines as a terminal takes them."""
    return [
        f"\x1b[{_COLORS[line.look]}m{line.text.rstrip()}\x1b[0m"
        if is_colored and line.look
        else line.text.rstrip()
        for line in lines
    ]


def tell_forgiven(outcome: Outcome) -> str:
    """Where the points went that the case did not cost, and for what; empty if it is not so."""
    return outcome.forgiven and f"{outcome.forgiven}, for {' and '.join(outcome.faults)}"


def explain(outcome: Outcome) -> list[Line]:
    """What was done, what came of it, and what is to be learned; of one that passed, what it was
    forgiven, if anything."""
    if outcome.has_passed:
        return [Line(told) for told in filter(None, [tell_forgiven(outcome)])]
    lines = [Line(visible(outcome.summary))]
    if outcome.transcript:
        lines += [Line(""), Line("What was done and expected:", "head")]
        lines += [Line(f"  {visible(sentence)}") for sentence in outcome.transcript]
    for mismatch in outcome.mismatches:
        if mismatch.problem != outcome.summary:
            lines += [Line(""), Line(visible(mismatch.problem))]
        if mismatch.expected or mismatch.seen:
            lines += [Line(""), *compare(mismatch.expected, mismatch.seen)]
    once = f"{ONCE}: {' and '.join(outcome.faults)}."
    for sentence in [*outcome.advice, *[once][: len(outcome.faults)]]:
        lines += [Line(""), Line(visible(sentence))]
    return [*lines, Line("")]


def format_table(rubric: Rubric, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> str:
    """Points by group, and the total."""
    by_id = {outcome.case: outcome for outcome in outcomes}
    lines = ["-" * _WIDTH]
    for group in rubric.groups:
        own = [case for case in cases if case.group == group.id]
        if not own:
            continue
        passed = sum(by_id[case.id].has_passed for case in own)
        of = sum(case.points for case in own)
        points = sum(points_of(case, by_id[case.id]) for case in own)
        score = f"{number(points)} of {number(of)}" if of else "no points"
        lines.append(f"{group.title:<48.48}{passed:>4} of {len(own):>2} cases{score:>12}")
    total, of = total_of(cases, outcomes)
    score = f"{number(total)} of {number(of)}"
    lines += ["-" * _WIDTH, f"{'Total':<60}{score:>16}", ""]
    for told, count in forgiven_in(outcomes).items():
        lines.insert(-1, f"{told} ({count} of {len(cases)} cases)")
    if ungraded := sum(bool(outcome.ungraded) for outcome in outcomes):
        lines.insert(-1, f"not graded: {ungraded} of {len(cases)} cases")
    return "\n".join(lines)


def forgiven_in(outcomes: Sequence[Outcome]) -> Counter[str]:
    """How many cases were forgiven, by what is said of them."""
    return Counter(told for outcome in outcomes if (told := tell_forgiven(outcome)))


def number(points: float) -> str:
    """Points without the dust of adding decimals."""
    return f"{round(points, 6):g}"


def total_of(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """Points reached, and points there are."""
    by_id = {outcome.case: outcome for outcome in outcomes}
    reached = sum(points_of(case, by_id.get(case.id)) for case in cases)
    return round(reached, 6), round(sum(case.points for case in cases), 6)


def first_loss(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> str:
    """The first case that cost points, or the one for which it was not played, and why; empty if
    none did."""
    by_id = {outcome.case: outcome for outcome in outcomes}
    lost = [
        case for case in cases if case.points and case.id in by_id and not by_id[case.id].has_passed
    ]
    if not lost:
        return ""
    summary = visible(by_id[lost[0].id].summary)
    if summary.startswith(NOT_PLAYED):
        return summary.removeprefix(NOT_PLAYED).replace(" failed: ", ": ", 1)
    return f"{lost[0].id}: {summary}"


def format_list(rubric: Rubric, cases: Sequence[Case]) -> str:
    """Every case with its sentences."""
    lines = [rubric.title]
    for group in rubric.groups:
        own = [case for case in cases if case.group == group.id]
        if own:
            worth = f"{number(group.points)} points" if group.points else "no points"
            lines += ["", f"{group.title} ({worth})"]
        for case in own:
            lines += ["", f"  {group.id}/{case.id}: {case.title} ({number(case.points)})"]
            lines += [f"      {sentence}" for sentence in sentences_of(rubric, case)]
    return "\n".join(lines) + "\n"


def sentences_of(rubric: Rubric, case: Case) -> list[str]:
    """What is done and expected, as a person would say it; the port is a random one, and the time
    an example."""
    clock = Clock(EXAMPLE_TIME, EXAMPLE_TIME, 0, rubric.time_formats)
    values = {"host": rubric.host, "passcode": rubric.passcode, "port": "PORT"}
    return [
        _mode(step.is_strict) + tell(fill(step.sentence, **values), clock) for step in case.steps
    ]


def _mode(is_strict: bool | None) -> str:
    return {None: "", True: "strict: ", False: "lenient: "}[is_strict]


def _points(case: Case, outcome: Outcome) -> str:
    if not case.points:
        return ""
    return f" ({number(points_of(case, outcome))}/{number(case.points)})"
