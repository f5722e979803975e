"""Plays all cases of a rubric against one solution, several at once.

Each case is played in a process of its own, which ends everything that the solution started and
has bounds on whatever it does. That process is bounded, too: one that does not answer is killed,
and its case has failed. So a solution can spoil its own cases and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grader import kernel, solution, surroundings
from grader.child import answer_and_end, end_orphans
from grader.play import Outcome, play
from grader.processes import Setting
from grader.room import SLOWEST
from grader.rubric import Case, Rubric

PORTS = range(20_000, 32_768)
"""From where the kernel gives none away by itself."""

CASE_SECONDS = 240.0
"""Longest that one case may take, the end of its processes included. A slow one takes a minute."""

ATTEMPTS = 5
"""At a case that says nothing about the solution: its port was taken, or the machine failed."""

LOOK_SECONDS = 0.7
"""Between two looks at the machine while cases are played."""

REPEAT_SECONDS = 0.5
"""Pause before such an attempt, in which a fault may pass."""

BUDGET_SECONDS = 540.0
"""Longest that a whole solution may take. An autograder is stopped after ten minutes, and then
shows nothing."""


class Options(NamedTuple):
    """How to grade."""

    jobs: int
    python: str
    is_strict: bool = False
    on_terminal: bool = False
    timeout: float = 20.0
    user: str = ""
    budget: float = BUDGET_SECONDS
    version: str = ""


class _Worker(NamedTuple):
    """A process that plays a case. It writes its Outcome to `answers`, and ends."""

    pid: int
    answers: int
    case: Case
    port: int
    attempt: int
    uses_barriers: bool
    deadline: float
    received: bytearray


def grade(
    rubric: Rubric,
    folder: Path,
    options: Options,
    cases: Sequence[Case],
    on_outcome: Callable[[Outcome], None],
) -> list[Outcome]:
    """Play `cases`, and those they need, with the programs of the rubric's command lines, which are
    in `folder`, and return the Outcomes of `cases` in their order; each is told to `on_outcome` as
    soon as it is known. One that failed by a fault for which an earlier case takes points is
    forgiven it. Raises solution.UnusableError."""
    kernel.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="grade-") as scratch:
        os.chmod(scratch, 0o755)  # noqa: S103  the solution's user has to come through
        prepared = Path(scratch) / "solution"
        solution.take(folder, prepared, options.python)
        run = _Run(rubric, prepared, options, cases, on_outcome)
        try:
            run.play_all()
        except BaseException:
            run.tell_known()
            raise
        finally:
            run.end()
        return [run.outcomes[case.id] for case in cases]


class _Run:
    def __init__(
        self,
        rubric: Rubric,
        prepared: Path,
        options: Options,
        cases: Sequence[Case],
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._rubric = rubric
        self._prepared = prepared
        self._options = options
        self._wanted = {case.id for case in cases}
        self._cases = _with_needs(rubric, self._wanted)
        self._waiting = list(self._cases)
        if options.jobs > 1:
            # The long ones first, so that none of them is played alone at the end; but what has no
            # points comes last, in case the time is over.
            self._waiting.sort(key=lambda case: (not case.points, -_length(case)))
        self._told: set[str] = set()
        self._on_outcome = on_outcome
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._learned: dict[str, float] = {}
        self._strangers = set(_children())  # who were there before us, and are not ours to end
        self._numbers = iter(range(sys.maxsize))
        self._deadline = time.monotonic() + options.budget
        self._trouble = ""
        self._troubled = self._looked = 0.0

    def play_all(self) -> None:
        while self._waiting or self._workers:
            if time.monotonic() > self._deadline:
                self._give_up("out of time")
                return
            self._start_some()
            for key, _ in self._selector.select(0.2):
                self._hear(self._workers[key.fd])
            self._look_around(LOOK_SECONDS)
            for worker in list(self._workers.values()):
                if time.monotonic() > worker.deadline:
                    os.kill(worker.pid, signal.SIGKILL)
                    self._finish(worker, f"the case took more than {CASE_SECONDS:.0f} seconds")

    def _look_around(self, pause: float) -> None:
        """Note whether the machine has a fault, if that was not looked at for so long: a case that
        fails meanwhile says nothing about the solution."""
        if time.monotonic() - self._looked < pause:
            return
        if found := surroundings.trouble():
            self._trouble = found
            self._troubled = time.monotonic()
        self._looked = time.monotonic()

    def _give_up(self, reason: str) -> None:
        playing = [worker.case for worker in self._workers.values()]
        self.end()
        for case in [*playing, *self._waiting]:
            self._tell(_ungraded(case, reason))

    def end(self) -> None:
        """No process of ours is left, whatever happened. May be called again."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):
                os.kill(worker.pid, signal.SIGTERM)
        for worker in self._workers.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(worker.pid, 0)
            os.close(worker.answers)
        self._workers.clear()
        self._end_orphans()
        self._selector.close()

    def _start_some(self) -> None:
        for case in list(self._waiting):
            missing = [need for need in case.needs if need not in self.outcomes]
            failed = [n for n in case.needs if n not in missing and self.outcomes[n].is_hopeless]
            if failed:
                self._waiting.remove(case)
                cause = self.outcomes[failed[0]]
                is_known = not cause.ungraded
                self._tell(
                    _not_played(case, cause) if is_known else _ungraded(case, cause.ungraded)
                )
            elif not missing and len(self._workers) < self._options.jobs:
                self._waiting.remove(case)
                self._start(case)

    def _start(self, case: Case, attempt: int = 1, uses_barriers: bool = True) -> None:
        try:
            self._start_worker(case, attempt, uses_barriers)
        except OSError as error:
            if attempt < ATTEMPTS:
                time.sleep(REPEAT_SECONDS)
                self._start(case, attempt + 1, uses_barriers)
            else:
                self._tell(_ungraded(case, str(error)))

    def _start_worker(self, case: Case, attempt: int, uses_barriers: bool) -> None:
        """Raises OSError where the machine has no room for it."""
        port = _free_port({worker.port for worker in self._workers.values()})
        answers, theirs = os.pipe()
        directory = self._prepared.parent / f"case-{next(self._numbers)}"
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError:
            os.close(answers)
            os.close(theirs)
            raise
        if pid == 0:
            os.close(answers)
            answer_and_end(theirs, lambda: self._play(case, port, directory, uses_barriers))
        os.close(theirs)
        deadline = time.monotonic() + CASE_SECONDS
        worker = _Worker(pid, answers, case, port, attempt, uses_barriers, deadline, bytearray())
        self._workers[answers] = worker
        self._selector.register(answers, selectors.EVENT_READ)

    def _play(self, case: Case, port: int, directory: Path, uses_barriers: bool) -> dict[str, Any]:
        """In the child: the answer."""
        options = self._options
        try:
            solution.copy(self._prepared, directory, options.user)
            setting = Setting(
                directory,
                options.python,
                options.on_terminal,
                options.timeout,
                options.user,
                options.version,
            )
            return play(
                case,
                self._rubric,
                setting,
                port,
                options.is_strict,
                self._learned,
                uses_barriers,
            ).as_json()
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _hear(self, worker: _Worker) -> None:
        data = os.read(worker.answers, 65536)
        if data:
            worker.received.extend(data)
        else:
            self._finish(worker, "the grader itself failed", is_ours=True)

    def _finish(self, worker: _Worker, failure: str, is_ours: bool = False) -> None:
        """The worker has answered or is dead; `failure` is told if there is no answer, and may be
        ours rather than the solution's."""
        self._selector.unregister(worker.answers)
        os.close(worker.answers)
        del self._workers[worker.answers]
        os.waitpid(worker.pid, 0)
        try:
            outcome = Outcome.from_json(json.loads(bytes(worker.received)))
        except ValueError:
            outcome = Outcome(worker.case.id, has_passed=False, summary=failure)
            outcome.ungraded = failure if is_ours else ""
        self._end_orphans()
        if not outcome.has_passed:
            self._look_around(0)
            is_ours = self._troubled >= worker.deadline - CASE_SECONDS
            outcome.ungraded = outcome.ungraded or (self._trouble if is_ours else "")
        if (outcome.is_port_taken or outcome.ungraded) and worker.attempt < ATTEMPTS:
            time.sleep(REPEAT_SECONDS if outcome.ungraded else 0)
            self._start(worker.case, worker.attempt + 1, worker.uses_barriers)
            return
        if outcome.ungraded:
            outcome = _ungraded(worker.case, outcome.ungraded)
        elif outcome.has_barriers and not outcome.has_passed:
            # Lines that are no part of the case are not to cost points.
            self._start(worker.case, uses_barriers=False)
            return
        slowest = max(r.get(SLOWEST, 0.0) for r in (outcome.learned, self._learned))
        self._learned = {**outcome.learned, **self._learned, SLOWEST: slowest}
        self._tell(outcome)

    def _end_orphans(self) -> None:
        end_orphans([*self._strangers, *(worker.pid for worker in self._workers.values())])

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes[outcome.case] = outcome
        self.tell_known(is_over=False)

    def tell_known(self, is_over: bool = True) -> None:
        """Tell each outcome that was not told. One that may be forgiven waits for all cases before
        it, unless the run is over: then it stands as it is."""
        charged: dict[str, str] = {}
        is_known = True  # what all cases before this one have cost
        for case in self._cases:
            known = self.outcomes.get(case.id)
            is_known &= known is not None
            if known is None or (known.faults and not (is_known or is_over)):
                continue
            if known.faults and charged.keys() >= set(known.faults):
                places = dict.fromkeys(charged[fault] for fault in known.faults)
                known.has_passed = True
                known.forgiven = f"forgiven: see {' and '.join(places)}"
            elif case.points:
                charged.update((f, case.id) for f in known.faults if f not in charged)
            if case.id in self._wanted - self._told:
                self._told.add(case.id)
                self._on_outcome(known)


def default_jobs() -> int:
    """Cases at once: two for each processor, since a case waits for as long as it computes."""
    return 2 * (os.cpu_count() or 1)


def _children() -> list[int]:
    return kernel.children(os.getpid()) if kernel.IS_HERE else []


def _with_needs(rubric: Rubric, wanted: set[str]) -> list[Case]:
    needed = set(wanted)
    for case in reversed(rubric.cases):
        if case.id in needed:
            needed.update(case.needs)
    return [case for case in rubric.cases if case.id in needed]


def _length(case: Case) -> int:
    """Grows with the time that a case takes: each program has to start, and each act is waited
    for; where a network holds bytes back, that takes as long as ten of them."""
    programs = sum(len(step.who) for step in case.steps if step.kind in ("given", "join", "start"))
    networks = sum(10 for step in case.steps if step.kind == "given" and step.detail)
    return 2 * programs + sum(step.is_act for step in case.steps) + networks


def _not_played(case: Case, cause: Outcome) -> Outcome:
    summary = f"not played, because {cause.case} failed: {cause.summary}"
    if cause.summary.startswith("not played"):
        summary = cause.summary
    return Outcome(case.id, has_passed=False, summary=summary)


def _ungraded(case: Case, reason: str) -> Outcome:
    """The case has not failed: nothing is known of it."""
    return Outcome(case.id, has_passed=False, summary=f"not graded: {reason}", ungraded=reason)


def _free_port(taken: set[int]) -> int:
    """A port that is free, and on which no other case of ours is about to be."""
    for _ in range(1000):
        port = random.choice(PORTS)  # noqa: S311  so that two graders rarely want the same
        if port in taken:
            continue
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port below 32768")
