"""Enough for every commit: our own programs, one mistake of each group, and the same score again.

`make test-grader-quick` runs this and nothing else.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from grader import rubric
from tests.grader.grading import (
    LIMIT_SECONDS,
    SOLUTIONS,
    busy_loops,
    grade,
    graded_whole,
    run_grader,
)
from tests.grader.habits.habit import Habit, all_habits
from tests.grader.mutants.mutant import all_mutants, copy_programs
from tests.support.faults import fault
from tests.support.size import IS_LONG

pytestmark = graded_whole

RUBRIC = rubric.load(rubric.find(rubric.DEFAULT))
MUTANTS = {mutant.name: mutant for mutant in all_mutants()}

GRADED = {
    "one-at-a-time": "start,second-connected",
    "banner-dots": "connection",
    "told-of-earlier-ones": "clients",
    "spaces-collapsed": "broadcast",
    "prefix": "passcode",
    "later-same-day": "time,later*",
    "message-spaces-collapsed": "message*",
    "cr-kept": "crlf,long-line,port-in-use",
    "reads-by-sevens": "burst,joined-by-tcp,exit-*",
}
"""Mutant -> where to look for it. One of each group."""

IN_SHORT = {
    "client-sleeps-100": "to-others,feelings-not-to-sender",
    "announces-after-1500": "others-told",
    "client-starts-after-2000": "connected",
    "exit-takes-1500": "exit-ends",
    "outbox-polled": "message*,exit-and-after",
    "says-goodbye": "exit-*",
    "select-without-pause": "not-to-sender",
}
"""Habit -> where it is in the way."""

ON_A_TERMINAL = "connection,passcode,conversation,exit-*,end-of-input,interrupt"


@pytest.mark.parametrize(
    "flags", [("--strict",), ("--pty", "--only", ON_A_TERMINAL)], ids=["pipes", "terminal"]
)
def test_own_programs_have_no_mistake(flags: tuple[str, ...], tmp_path: Path) -> None:
    copy_programs(tmp_path / "own")
    graded = grade(tmp_path / "own", tmp_path, *flags)
    assert (graded.failed, graded.status) == (set(), 0), graded.output


@pytest.mark.parametrize("name", GRADED)
def test_mistake_is_found_and_no_other(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    graded = grade(mutant.write(tmp_path / name), tmp_path, "--only", GRADED[name])
    assert mutant.meant in {*graded.stories, ""}
    assert graded.failed == mutant.failing(RUBRIC) & graded.stories.keys(), graded.output


@pytest.mark.parametrize("habit", all_habits(), ids=lambda habit: habit.name)
def test_habit_fits_its_solution(habit: Habit, tmp_path: Path) -> None:
    for path in habit.write(tmp_path / "habit").rglob("*.py"):
        compile(path.read_text("utf-8"), path, "exec")


@pytest.mark.parametrize("name", IN_SHORT)
def test_correct_solution_with_odd_manners_loses_nothing(name: str, tmp_path: Path) -> None:
    """`make habits` grades all of them, with all cases."""
    habit = next(habit for habit in all_habits() if habit.name == name)
    graded = grade(habit.write(tmp_path / name), tmp_path, "--only", IN_SHORT[name])
    assert graded.failed == set(), graded.output


STEADY = ["no_framing", "exit_traceback", "own"] if IS_LONG else ["echo"]
"""Where a mistake depends on how bytes arrive, where threads race for the end, and our own; or one
for every commit."""

TIMES = 20 if IS_LONG else 2


@pytest.mark.timeout(TIMES * LIMIT_SECONDS)
@pytest.mark.parametrize("name", STEADY)
def test_score_is_the_same_again_and_beside_busy_loops(name: str, tmp_path: Path) -> None:
    """Every other time they are twice as many as there are processors."""
    solution = SOLUTIONS / name
    if name == "own":
        copy_programs(solution := tmp_path / name)
    flags = [] if IS_LONG else ["--only", "start,broadcast,feelings-not-to-sender", "--jobs", "3"]
    outcomes = set()
    for number in range(TIMES):
        loops = number % 2 * 2 * (os.cpu_count() or 1)
        began = time.monotonic()
        with busy_loops(loops):
            graded = grade(solution, tmp_path, *flags)
        seconds = time.monotonic() - began
        print(f"{name}, {loops} busy loops: {graded.score:g} in {seconds:.0f} s", flush=True)
        outcomes.add((frozenset(graded.failed), graded.score))
    assert len(outcomes) == 1
    if not IS_LONG:
        assert outcomes == {(frozenset({"not-to-sender", "feelings-not-to-sender"}), 16)}


@fault(83)
def test_signals_that_are_blocked_are_not_blocked_in_solutions() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    graded = run_grader(SOLUTIONS / "select_loop", "--only", "interrupt*")
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert graded.stdout.count("ok   robustness/interrupt") == 2
