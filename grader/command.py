"""The command line: what is asked for, whether it fits together, and who does it."""

from __future__ import annotations

import argparse
import fnmatch
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from grader import classroom, dates, gradebook, preflight, report, rubric, run, submissions
from grader.gradebook import Gradebook
from grader.grading import Grading, Outputs
from grader.rubric import Case, RubricError
from grader.submissions import Submission


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """In one line: the flags are told by `-h`."""
        self.exit(2, f"error: {message}\n")


class _Flags(argparse.Namespace):
    dir: Path | None
    all: Path | None
    csv: Path | None
    report: Path | None
    resume: bool
    only_student: list[str]
    due: str
    rubric: str
    strict: bool
    pty: bool
    only: list[str]
    list: bool
    jobs: int
    timeout: float
    budget: float
    python: str
    json: Path | None
    junit: Path | None
    user: str


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    flags = parser.parse_args(argv, _Flags())
    _check(parser, flags)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        graded_by = rubric.load(rubric.find(flags.rubric))
    except RubricError as error:
        parser.error(str(error))
    cases = [case for case in graded_by.cases if _is_wanted(case, flags.only)]
    if not cases:
        parser.error(f"no case is called {' or '.join(flags.only)}; --list shows them")
    if flags.list:
        sys.stdout.write(report.format_list(graded_by, cases))
        return 0
    # What a solution has started is ended on our way out, whichever way that is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        version = _prepare(parser, flags)
        options = _options(flags)._replace(version=version)
        grading = Grading(graded_by, cases, options, _is_colored())
        with tempfile.TemporaryDirectory(prefix="grade-") as scratch:
            return _grade(parser, flags, grading, Path(scratch))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _grade(parser: argparse.ArgumentParser, flags: _Flags, grading: Grading, scratch: Path) -> int:
    book = Gradebook(grading.rubric, grading.cases, flags.report, flags.csv)
    if flags.all is None:
        directory = Path(flags.dir or ".")
        return _grade_one(directory, grading, Outputs(flags.json, flags.junit), book)
    try:
        due = dates.parse(flags.due) if flags.due else None
        found, skipped = submissions.find_all(flags.all, scratch, due)
    except (submissions.NoSubmissionsError, ValueError) as error:
        parser.error(str(error))
    for line in skipped:
        sys.stderr.write(f"not taken: {report.visible(line)}\n")
    found = _choose(parser, found, flags.only_student)
    jobs = max(1, flags.jobs // classroom.default_at_once())
    grading = grading._replace(options=grading.options._replace(jobs=jobs))
    if flags.resume or flags.only_student:
        book.read()
    elif held := book.count():
        parser.error(
            f"{flags.report} holds the results of {held}: go on with --resume, or name another"
        )
    is_one = bool(flags.only_student)
    return classroom.grade_all(found, grading, book, flags.resume and not is_one, _how_on(flags))


def _grade_one(directory: Path, grading: Grading, outputs: Outputs, book: Gradebook) -> int:
    name = directory.resolve().name
    book.read()
    submission = book.submission(name, directory)
    graded = grading.grade(submission, outputs)
    if book.folder:
        graded.digest = grading.digest(submission)
        book.add(graded)
        book.write()
    return 0 if graded.is_full else 1


def _choose(
    parser: argparse.ArgumentParser, found: list[Submission], wanted: list[str]
) -> list[Submission]:
    """Those of these students, or all."""
    if not wanted:
        return found
    patterns = [part.lower() for text in wanted for part in text.split(",")]
    chosen = [
        submission
        for submission in found
        if any(
            fnmatch.fnmatchcase(name.lower(), pattern)
            for name in (submission.key, submission.name)
            for pattern in patterns
        )
    ]
    if not chosen:
        parser.error(f"there is no submission of {' or '.join(wanted)}")
    return chosen


def _prepare(parser: argparse.ArgumentParser, flags: _Flags) -> str:
    """The version of the solutions' Python. Ends with status 2 for what cannot work."""
    try:
        for what in ("csv", "json", "junit"):
            path: Path | None = getattr(flags, what)
            if path:
                preflight.check_writable(path, f"--{what}")
        if flags.report:
            preflight.check_folder(flags.report, "--report")
            preflight.check_folder(flags.report / gradebook.RECORDS, "--report")
        version = preflight.check_interpreter(flags.python, flags.user)
        preflight.check_machine(_options(flags)._replace(jobs=1))
    except preflight.NotReadyError as error:
        parser.error(str(error))
    return version


def _options(flags: _Flags) -> run.Options:
    return run.Options(
        flags.jobs,
        flags.python,
        flags.strict,
        flags.pty,
        flags.timeout,
        flags.user,
        flags.budget,
    )


def _is_colored() -> bool:
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def _how_on(flags: _Flags) -> str:
    """How to go on after a stop."""
    if not flags.report:
        return "with --report FOLDER what is done is kept, and --resume goes on from there"
    return "the same command with --resume goes on from there"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python3 -m grader",
        description="Grade a server.py and a client.py that follow the assignment.",
        epilog="Exit status 0 for the full score, 1 for less, 2 for a mistake on the command line"
        " or a machine that cannot grade.",
    )
    add = parser.add_argument
    add("dir", nargs="?", type=Path, help="the folder or zip that has both files")
    add("--all", type=Path, metavar="FOLDER", help="grade every submission in a folder or zip")
    add("--csv", type=Path, metavar="FILE", help="with --all: write the table there")
    add("--report", type=Path, metavar="FOLDER", help="write reports, an index and a table there")
    add("--resume", action="store_true", help="with --all: leave out what is in --report already")
    add("--only-student", action="append", default=[], metavar="NAME", help="with --all: * allowed")
    add("--due", default="", metavar="TIME", help='with --all: "2025-09-24 23:59 -0400"')
    add("--rubric", default=rubric.DEFAULT, help="a name or a file (%(default)s)")
    add("--strict", "-strict", action="store_true", help="count the assignment's silent points too")
    add("--pty", action="store_true", help="run clients on a terminal instead of pipes")
    add("--only", action="append", default=[], metavar="CASE", help="a case or group, * allowed")
    add("--list", action="store_true", help="show the cases and play none")
    add("--jobs", type=int, default=run.default_jobs(), help="cases at once (%(default)s)")
    add("--timeout", type=float, default=20.0, help="longest wait for one thing (%(default)s s)")
    add(
        "--budget",
        type=float,
        default=run.BUDGET_SECONDS,
        help="longest for a solution (%(default)s s)",
    )
    add("--python", default=sys.executable, help="what runs the solution")
    add("--json", type=Path, metavar="FILE", help="write Gradescope's results there")
    add("--junit", type=Path, metavar="FILE", help="write JUnit's XML there")
    add("--user", default="", help="run the solution as this user (as root only)")
    return parser


def _check(parser: argparse.ArgumentParser, flags: _Flags) -> None:
    """Ends the program with status 2 for what does not fit together."""
    if not flags.list and (flags.dir is None) == (flags.all is None):
        parser.error("name one folder, or --all and a folder of them")
    for path in filter(None, (flags.dir, flags.all)):
        if not path.exists():
            parser.error(f"there is no folder {path}")
    if not flags.all:
        _refuse(parser, flags, ("csv", "resume", "only_student", "due"), "goes with --all")
    else:
        _refuse(parser, flags, ("json", "junit"), "is for one solution")
    if flags.resume and not flags.report:
        parser.error("--resume goes with --report, where results are kept")
    if flags.jobs < 1 or flags.timeout <= 0 or flags.budget <= 0:
        parser.error("--jobs, --timeout and --budget have to be more than nothing")
    python = shutil.which(flags.python)
    if python is None:
        parser.error(f"cannot run {flags.python}")
    flags.python = os.path.abspath(python)  # solutions run in folders of their own
    if flags.user:
        if os.geteuid():
            parser.error("--user needs root")
        try:
            pwd.getpwnam(flags.user)
        except KeyError:
            parser.error(f"there is no user {flags.user}")


def _refuse(parser: argparse.ArgumentParser, flags: _Flags, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(flags, name):
            parser.error(f"--{name.replace('_', '-')} {why}")


def _is_wanted(case: Case, only: list[str]) -> bool:
    patterns = [part for text in only for part in text.split(",")]
    names = (case.id, case.group, f"{case.group}/{case.id}")
    return not patterns or any(fnmatch.fnmatchcase(n, p) for n in names for p in patterns)


def put_right() -> None:
    """What our parent has left us is not for the solutions: blocked signals, children whose ends
    are ignored, files that no one may read, closed standard streams, whose numbers theirs would
    get."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(0o022)
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
