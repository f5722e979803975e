"""A whole class: several submissions at once, each graded in a process of its own.

What goes wrong with one is told in its row, and the others are graded as if nothing had been. A row
and its reports are written as soon as they are known; a run that was stopped keeps them.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

from grader import kernel, report
from grader.child import answer_and_end, end_orphans
from grader.gradebook import INDEX, Gradebook, remark_of
from grader.grading import Graded, Grading
from grader.submissions import Submission

_CLEAR_LINE = "\r\x1b[K"


class _Running(NamedTuple):
    """A process that grades. It writes a Graded to `answers`, and its story to `story`."""

    pid: int
    answers: int
    submission: Submission
    story: IO[str]
    received: bytearray


def default_at_once() -> int:
    """A case waits as long as it computes, and the cases of one solution wait for each other: as
    many as there are processors keep these busy."""
    return os.cpu_count() or 1


def grade_all(
    submissions: Sequence[Submission],
    grading: Grading,
    book: Gradebook,
    goes_on: bool,
    hint: str,
) -> int:
    """Grade them, and return the program's exit status. `goes_on`: leave out those whose results
    are in the book. `hint`: how to go on after a stop."""
    kernel.adopt_orphans()
    room = _Classroom(submissions, grading, book)
    stopped = 0
    try:
        if goes_on:
            room.pass_over_done()
        room.run()
    except _Stopped:
        stopped = 128 + room.stopped_by
    finally:
        room.end()
        book.write()
    room.tell_table()
    if stopped:
        sys.stdout.write(f"stopped: {room.done} of {room.all} graded; {hint}\n")
        return stopped
    return 0 if all(graded.is_full for graded in book.graded) else 1


class _Stopped(Exception):  # noqa: N818  it is how a run may end, and no error
    """A signal has come that asks us to stop."""


class _Classroom:
    def __init__(
        self, submissions: Sequence[Submission], grading: Grading, book: Gradebook
    ) -> None:
        self.all = len(submissions)
        self.done = 0
        self.stopped_by = 0
        self._is_waiting = False
        self._waiting = list(submissions)
        self._grading = grading
        self._book = book
        self._running: dict[int, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._began = time.monotonic()
        self._graded_here = 0
        self._is_terminal = sys.stdout.isatty()

    def run(self) -> None:
        """Raises _Stopped, and never while a result is being written."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_stop)
        while self._waiting or self._running:
            while self._waiting and len(self._running) < default_at_once():
                self._start(self._waiting.pop(0))
            self._show_progress()
            for key, _ in self._wait():
                self._hear(self._running[key.fd])

    def _wait(self) -> list[tuple[selectors.SelectorKey, int]]:
        self._is_waiting = True
        if self.stopped_by:
            raise _Stopped
        ready = self._selector.select()
        self._is_waiting = False
        return ready

    def _note_stop(self, number: int, _: object) -> None:
        self.stopped_by = number
        if self._is_waiting:
            raise _Stopped

    def end(self) -> None:
        """No process of ours is left, whatever happened."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for running in self._running.values():
            os.kill(running.pid, signal.SIGTERM)
        for running in list(self._running.values()):
            self._forget(running)
        self._selector.close()
        if self._is_terminal:
            sys.stdout.write(_CLEAR_LINE)

    def tell_table(self) -> None:
        """Totals and groups; all columns are in the CSV."""
        head, *rows = self._book.rows()
        left_out = ("submitted", "forgiven")
        kept = [i for i, name in enumerate(head) if "/" not in name and name not in left_out]
        shown = [[row[i] for i in kept] for row in (head, *rows)]
        has_names = any(row[0] != row[1] for row in shown[1:])
        shown = [row if has_names else [row[0], *row[2:]] for row in shown]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        for row in shown:
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            sys.stdout.write("  ".join(cells).rstrip() + "\n")
        if self._book.folder:
            sys.stdout.write(f"reports: {self._book.folder / INDEX}\n")

    def pass_over_done(self) -> None:
        for submission in list(self._waiting):
            if self._book.has(submission.key, self._grading.digest(submission)):
                self._waiting.remove(submission)
                self.done += 1
        if self.done:
            self._say(f"{self.done} of {self.all} were graded before\n")

    # Details.

    def _start(self, submission: Submission) -> None:
        answers, theirs = os.pipe()
        story = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            answer_and_end(theirs, lambda: self._grade(submission, story))
        os.close(theirs)
        self._running[answers] = _Running(pid, answers, submission, story, bytearray())
        self._selector.register(answers, selectors.EVENT_READ)

    def _grade(self, submission: Submission, story: IO[str]) -> dict[str, Any]:
        """In the child: the answer."""
        if self.stopped_by:  # between the fork and the child's own handlers
            sys.exit(1)
        sys.stdout = story
        graded = self._grading.grade(submission)
        story.flush()
        return graded.as_json()

    def _hear(self, running: _Running) -> None:
        data = os.read(running.answers, 65536)
        if data:
            running.received.extend(data)
            return
        submission = running.submission
        try:
            graded = Graded.from_json(json.loads(bytes(running.received)))
        except ValueError:
            graded = Graded(*submission.names, remark="not graded: the grader itself failed")
            graded.of = report.total_of(self._grading.cases, ())[1]
        running.story.seek(0)
        story = running.story.read()
        self._forget(running)
        if not graded.remark.startswith("not graded"):
            graded.digest = self._grading.digest(submission)
        self.done += 1
        self._graded_here += 1
        self._book.add(graded)
        self._book.write()
        self._tell(graded, story)

    def _forget(self, running: _Running) -> None:
        self._selector.unregister(running.answers)
        os.close(running.answers)
        running.story.close()
        del self._running[running.answers]
        os.waitpid(running.pid, 0)
        end_orphans(running.pid for running in self._running.values())

    # What is told.

    def _tell(self, graded: Graded, story: str) -> None:
        if not self._book.folder:
            self._say(f"=== {report.visible(graded.key)}\n{story}")
        points = f"{report.number(graded.total)} of {report.number(graded.of)}"
        line = f"{self.done} of {self.all}  {report.visible(graded.name)}  {points}"
        remark = remark_of(self._grading.cases, graded)
        self._say(f"{line}  {graded.seconds:.0f} s  {remark[:100]}".rstrip() + "\n")

    def _say(self, text: str) -> None:
        sys.stdout.write(_CLEAR_LINE * self._is_terminal + text)
        sys.stdout.flush()

    def _show_progress(self) -> None:
        """On a terminal, in its last line."""
        if not self._is_terminal:
            return
        names = ", ".join(report.visible(r.submission.key) for r in self._running.values())
        line = f"{self.done} of {self.all} graded{self._time_left()}; now {names}"
        width = os.get_terminal_size(sys.stdout.fileno()).columns or 80
        sys.stdout.write(_CLEAR_LINE + line[: width - 1])
        sys.stdout.flush()

    def _time_left(self) -> str:
        if not self._graded_here:
            return ""
        passed = time.monotonic() - self._began
        seconds = passed / self._graded_here * (self.all - self.done)
        return f", {seconds / 60:.0f} min left" if seconds > 90 else f", {seconds:.0f} s left"
