"""What people read: how each case ended, what a student learns from it, a table, the total."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from grader.play import Mismatch, Outcome
from grader.rubric import Case, Rubric

MAX_DIFF_LINES = 40
MAX_SEEN_CHARACTERS = 20_000

_WIDTH = 76


def points_of(case: Case, outcome: Outcome | None) -> float:
    return case.points if outcome and outcome.has_passed else 0


def format_outcome(case: Case, outcome: Outcome) -> str:
    """A line for a case that passed, and the whole story of one that did not."""
    mark = "ok  " if outcome.has_passed else "FAIL"
    lines = [f"{mark} {case.group}/{case.id}: {case.title}{_points(case, outcome)}"]
    if not outcome.has_passed or outcome.forgiven:
        lines += [f"     {line}" if line else "" for line in explain(outcome)]
    return "\n".join(lines) + "\n"


def explain(outcome: Outcome) -> list[str]:
    """What was done, what came of it, and what is to be learned; nothing for one that passed."""
    if outcome.has_passed:
        return [outcome.forgiven] * bool(outcome.forgiven)
    lines = [visible(outcome.summary)]
    if outcome.transcript:
        lines += ["", "What was done and expected:"]
        lines += [f"  {visible(sentence)}" for sentence in outcome.transcript]
    for mismatch in outcome.mismatches:
        if mismatch.expected or mismatch.seen:
            lines += ["", *diff(mismatch)]
        elif mismatch.problem != outcome.summary:
            lines += ["", visible(mismatch.problem)]
    for sentence in outcome.advice:
        lines += ["", sentence]
    return [*lines, ""]


def diff(mismatch: Mismatch) -> list[str]:
    """Expected and seen, line by line. The arrow is the end of a line."""
    expected = [f"{line}\u23ce" for line in mismatch.expected]
    seen = mismatch.seen[:MAX_SEEN_CHARACTERS].split("\n")
    seen = [f"{line}\u23ce" for line in seen[:-1]] + seen[-1:] * bool(seen[-1])
    lines = difflib.unified_diff(
        [visible(line) for line in expected],
        [visible(line) for line in seen],
        f"what {mismatch.who} should have seen",
        f"what {mismatch.who} saw",
        lineterm="",
    )
    shown = list(lines)
    more = len(shown) - MAX_DIFF_LINES
    return shown[:MAX_DIFF_LINES] + ([f"... and {more} lines more"] if more > 0 else [])


def visible(text: str) -> str:
    """Control characters as Python writes them; the last of trailing blanks as an open box."""
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return shown.replace(" \u23ce", "\u2423\u23ce")


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
        score = f"{points:g} of {of:g}" if of else "no points"
        lines.append(f"{group.title:<48.48}{passed:>4} of {len(own):>2} cases{score:>12}")
    total, of = total_of(cases, outcomes)
    lines += ["-" * _WIDTH, f"{'Total':<60}{f'{total:g} of {of:g}':>16}", ""]
    return "\n".join(lines)


def total_of(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """Points reached, and points there are."""
    by_id = {outcome.case: outcome for outcome in outcomes}
    reached = sum(points_of(case, by_id.get(case.id)) for case in cases)
    return reached, sum(case.points for case in cases)


def format_list(rubric: Rubric, cases: Sequence[Case]) -> str:
    """Every case with its sentences."""
    lines = [rubric.title]
    for group in rubric.groups:
        own = [case for case in cases if case.group == group.id]
        if own:
            worth = f"{group.points:g} points" if group.points else "no points"
            lines += ["", f"{group.title} ({worth})"]
        for case in own:
            lines += ["", f"  {group.id}/{case.id}: {case.title} ({case.points:g})"]
            lines += [f"      {_mode(step.is_strict)}{step.sentence}" for step in case.steps]
    return "\n".join(lines) + "\n"


def _mode(is_strict: bool | None) -> str:
    return {None: "", True: "strict: ", False: "lenient: "}[is_strict]


def _points(case: Case, outcome: Outcome) -> str:
    return f" ({points_of(case, outcome):g}/{case.points:g})" if case.points else ""
