"""`python3 -m grader DIR`: grade the server.py and client.py in DIR. `-h` tells the rest."""

from __future__ import annotations

import argparse
import fnmatch
import os
import pwd
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from grader import folder, gradescope, junit, report, rubric, run, solution
from grader.play import Outcome
from grader.rubric import Case, Rubric, RubricError


class _Flags(argparse.Namespace):
    dir: Path | None
    all: Path | None
    csv: Path | None
    rubric: str
    strict: bool
    pty: bool
    only: list[str]
    list: bool
    jobs: int
    timeout: float
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
        if flags.all:
            is_full = folder.grade_all(
                flags.all,
                graded_by,
                cases,
                lambda path: _grade(path, graded_by, cases, flags),
                flags.csv,
            )
            return 0 if is_full else 1
        return _grade_one(Path(flags.dir or "."), graded_by, cases, flags)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _grade_one(directory: Path, graded_by: Rubric, cases: list[Case], flags: _Flags) -> int:
    try:
        outcomes = _grade(directory, graded_by, cases, flags)
    except solution.UnusableError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    reached, of = report.total_of(cases, outcomes)
    return 0 if reached == of else 1


def _grade(
    directory: Path, graded_by: Rubric, cases: list[Case], flags: _Flags
) -> Sequence[Outcome]:
    results = gradescope.Results(flags.json, graded_by, cases) if flags.json else None
    by_id = {case.id: case for case in cases}

    def tell(outcome: Outcome) -> None:
        sys.stdout.write(report.format_outcome(by_id[outcome.case], outcome))
        sys.stdout.flush()
        if results:
            results.add(outcome)

    options = run.Options(
        flags.jobs, flags.python, flags.strict, flags.pty, flags.timeout, flags.user
    )
    try:
        outcomes = run.grade(graded_by, directory, options, cases, tell)
    except solution.UnusableError as error:
        if results:
            results.fail(str(error))
        raise
    sys.stdout.write(report.format_table(graded_by, cases, outcomes))
    if flags.junit:
        flags.junit.write_text(junit.format_junit(graded_by, cases, outcomes), "utf-8")
    return outcomes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m grader",
        description="Grade a server.py and a client.py that follow the assignment.",
        epilog="Exit status 0 for the full score, 1 for less, 2 for a mistake on the command line.",
    )
    add = parser.add_argument
    add("dir", nargs="?", type=Path, help="the folder that has both files")
    add("--all", type=Path, metavar="FOLDER", help="grade every folder in FOLDER")
    add("--csv", type=Path, metavar="FILE", help="with --all: write the table there")
    add("--rubric", default=rubric.DEFAULT, help="a name or a file (%(default)s)")
    add("--strict", "-strict", action="store_true", help="count the assignment's silent points too")
    add("--pty", action="store_true", help="run clients on a terminal instead of pipes")
    add("--only", action="append", default=[], metavar="CASE", help="a case or group, * allowed")
    add("--list", action="store_true", help="show the cases and play none")
    add("--jobs", type=int, default=run.default_jobs(), help="cases at once (%(default)s)")
    add("--timeout", type=float, default=20.0, help="longest wait for one thing (%(default)s s)")
    add("--python", default=sys.executable, help="what runs the solution")
    add("--json", type=Path, metavar="FILE", help="write Gradescope's results there")
    add("--junit", type=Path, metavar="FILE", help="write JUnit's XML there")
    add("--user", default="", help="run the solution as this user (as root only)")
    return parser


def _check(parser: argparse.ArgumentParser, flags: _Flags) -> None:
    """Ends the program with status 2 for what does not fit together."""
    if not flags.list and (flags.dir is None) == (flags.all is None):
        parser.error("name one folder, or --all and a folder of them")
    if flags.all and not flags.all.is_dir():
        parser.error(f"there is no folder {flags.all}")
    if flags.csv and not flags.all:
        parser.error("--csv goes with --all")
    if flags.all and (flags.json or flags.junit):
        parser.error("--json and --junit are for one solution")
    if flags.jobs < 1 or flags.timeout <= 0:
        parser.error("--jobs and --timeout have to be more than nothing")
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


def _is_wanted(case: Case, only: list[str]) -> bool:
    patterns = [part for text in only for part in text.split(",")]
    names = (case.id, case.group, f"{case.group}/{case.id}")
    return not patterns or any(fnmatch.fnmatchcase(n, p) for n in names for p in patterns)


def _put_right() -> None:
    """What our parent has left us is not for the solutions: blocked signals, files that no one may
    read, closed standard streams, whose numbers theirs would get."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    _put_right()
    sys.exit(main())
