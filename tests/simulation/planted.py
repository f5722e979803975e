"""Bugs planted by hand: `python -m tests.simulation.planted [--seeds N] [NAME ...]` counts the
seeds that catch each.

While a bug of planted.txt is planted, the same seeds run as in test_simulation.py; for those of its
group `resume`, the seeds of resume.py. It prints, for each, how many of them fail and the first
that does, and ends with status 1 if none does. Where the product has changed so that a bug does not
fit any more, it stops and says so.

It takes forty minutes for all bugs on two cores.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType

from tests.simulation import resume
from tests.simulation.script import make_script
from tests.simulation.shrink import failure_of
from tests.support.patches import Entry, read_table

ROOT = Path(__file__).resolve().parent.parent.parent

SEEDS = range(300)

BUGS = read_table(Path(__file__).with_name("planted.txt"))

RESUME = "resume"
"""The group of bugs for which the seeds are those of resume.py."""

MOST_SECONDS_OF_A_SEED = 8.0
"""CPU time. A seed that takes more hangs within one turn, where the simulation has no say."""

PROCESSES = 2


class Hang(BaseException):
    """A seed hangs. No Exception: the reactor would report it and go on."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted")
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs; all if none")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many, from 0 on")
    flags = parser.parse_args(argv)
    if unknown := set(flags.names) - {bug.name for bug in BUGS}:
        parser.error(f"there is no bug {', '.join(sorted(unknown))}")
    bugs = [bug for bug in BUGS if not flags.names or bug.name in flags.names]
    for bug in bugs:
        bug.patch.apply(ROOT)  # all fit, or none is tried
    print("| bug | seeds that catch it | first |\n|---|---|---|", flush=True)
    caught = 0
    find = functools.partial(seeds_that_catch, seeds=range(flags.seeds))
    with multiprocessing.Pool(PROCESSES) as pool:
        for bug, seeds in zip(bugs, pool.imap(find, bugs, chunksize=1), strict=True):
            first = f"{seeds[0]}" if seeds else "missed"
            print(f"| {bug.name} | {len(seeds)} of {flags.seeds} | {first} |", flush=True)
            caught += bool(seeds)
    print(f"{caught} of {len(bugs)} are caught")
    return 0 if caught == len(bugs) else 1


def named_seeds(*bugs: Entry) -> list[int]:
    """Those by which the table says that one of `bugs` is caught."""
    return [int(seed) for bug in bugs for seed in bug.facts.get("fails", [])]


def seeds_that_catch(bug: Entry, seeds: Iterable[int], most: int | None = None) -> list[int]:
    """The first `most` of `seeds`, or all, that fail while `bug` is planted."""
    with bug.patch.planted(ROOT):
        failing = (seed for seed in seeds if _fails(seed, bug.group == RESUME))
        return list(itertools.islice(failing, most))


def _fails(seed: int, is_resume: bool) -> bool:
    before = signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS_OF_A_SEED)
    try:
        if not is_resume:
            return failure_of(make_script(seed)) is not None
        resume.run(seed)
        return False
    except (Exception, Hang):  # the bug hurts the simulation itself, or it hangs
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise Hang


if __name__ == "__main__":
    sys.exit(main())
