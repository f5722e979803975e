"""Bugs planted by hand: `python -m tests.simulation.planted [--seeds N] [NAME ...]` says which are
caught.

Each bug of planted.txt is put into a copy of the tree, where the same seeds run as in
test_simulation.py; for those of its group `resume`, the seeds of resume.py. It prints, for each,
how many of them fail and the first that does, and ends with status 1 if none does. Where the
product has changed so that a bug does not fit any more, it stops and says so.

It takes a minute or so for each bug.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from tests.simulation import resume
from tests.simulation.script import make_script
from tests.simulation.shrink import failure_of
from tests.support.patches import Patch, read_table

ROOT = Path(__file__).resolve().parent.parent.parent

SEEDS = range(300)

_TABLE = read_table(Path(__file__).with_name("planted.txt"))
BUGS = [entry.patch for entry in _TABLE]
RESUME_BUGS = frozenset(entry.name for entry in _TABLE if entry.group == "resume")

MOST_SECONDS_OF_A_SEED = 8.0
"""CPU time. A seed that takes more hangs within one turn, where the simulation has no say."""

COPIES_AT_A_TIME = 2


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted")
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs; all if none")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many, from 0 on")
    flags = parser.parse_args(argv)
    if unknown := set(flags.names) - {bug.name for bug in BUGS}:
        parser.error(f"there is no bug {', '.join(sorted(unknown))}")
    bugs = [bug for bug in BUGS if not flags.names or bug.name in flags.names]
    for bug in bugs:
        bug.apply(ROOT)  # all fit, or none is tried
    sound: dict[bool, list[int]] = {}
    for is_resume in {bug.name in RESUME_BUGS for bug in bugs}:
        failing = failing_seeds_in_copy(None, [*range(flags.seeds)], is_resume)
        print(f"{len(failing)} of {flags.seeds} seeds fail without any: {failing[:10]}", flush=True)
        sound[is_resume] = [seed for seed in range(flags.seeds) if seed not in failing]
    print("| bug | seeds that catch it | first |\n|---|---|---|", flush=True)
    caught = 0

    def find(bug: Patch) -> list[int]:
        is_resume = bug.name in RESUME_BUGS
        return failing_seeds_in_copy(bug, sound[is_resume], is_resume)

    with ThreadPoolExecutor(COPIES_AT_A_TIME) as pool:
        found = pool.map(find, bugs)
        for bug, seeds in zip(bugs, found, strict=True):
            first = f"{seeds[0]}" if seeds else "missed"
            print(f"| {bug.name} | {len(seeds)} of {flags.seeds} | {first} |", flush=True)
            caught += bool(seeds)
    print(f"{caught} of {len(bugs)} are caught")
    return 0 if caught == len(bugs) else 1


def failing_seeds_in_copy(bug: Patch | None, seeds: list[int], is_resume: bool) -> list[int]:
    """Which of `seeds`, of resume.py if `is_resume`, fail where `bug` is planted."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        if bug:
            bug.write(copy)
        code = f"from tests.simulation import planted; planted.print_failing({seeds}, {is_resume})"
        # -E: nothing, as PYTHONPATH, that leads an import out of the copy
        failing: list[int] = json.loads(
            subprocess.check_output([sys.executable, "-E", "-c", code], cwd=copy)
        )
        return failing


def print_failing(seeds: list[int], is_resume: bool) -> None:
    """In the copy: run all seeds, each of them for a bounded time."""
    signal.signal(signal.SIGVTALRM, _give_up)
    print(json.dumps([seed for seed in seeds if _fails(seed, is_resume)]))


def _fails(seed: int, is_resume: bool) -> bool:
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS_OF_A_SEED)
    try:
        if not is_resume:
            return failure_of(make_script(seed)) is not None
        resume.run(seed)
        return False
    except Exception:  # the bug hurts the simulation itself, or it hangs
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("a seed hangs")


if __name__ == "__main__":
    sys.exit(main())
