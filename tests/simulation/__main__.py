"""`python -m tests.simulation`: see the package's docstring."""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from tests.simulation.script import Script, make_script, make_script_cut_short
from tests.simulation.shrink import failure_of, kind_of, shrink


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    for flag, kind, metavar, words in (
        ("--seed", int, "N", "run this one, and tell everything that happens"),
        ("--seeds", _scripts, "A-B", "run these, B included"),
        ("--shutdowns", _scripts_cut_short, "A-B", "the same, each with a shutdown somewhere"),
        ("--minutes", _new_scripts, "N", "run new ones until the time is up"),
    ):
        what.add_argument(flag, dest="scripts", type=kind, metavar=metavar, help=words)
    scripts = parser.parse_args().scripts
    if isinstance(scripts, int):
        return _run_all([make_script(scripts)], print)
    return _run_all(scripts)


def describe_shrunk(script: Script) -> str:
    """The smallest script that fails like this one, which does, ready to be read, and how."""
    kind = kind_of(script)
    script = shrink(script, lambda smaller: kind_of(smaller) == kind)
    failure = failure_of(script)
    assert failure, "a failure that comes and goes: something is not the seed's"
    lines = [f"{script.setting}", *(f"{index}: {step}" for index, step in enumerate(script.steps))]
    return "\n".join([*lines, f"FAILED at step {failure.step}: {failure.fault}"])


def _run_all(scripts: Iterable[Script], tell: Callable[[str], None] | None = None) -> int:
    """Stop at the first that fails."""
    count = 0
    for script in scripts:
        count += 1
        seed = script.setting.seed
        if failure := failure_of(script, tell):
            print(f"seed {seed} failed at step {failure.step}: {failure.fault}\n")
            print(describe_shrunk(script))
            if script == make_script(seed):
                print(f"\npython -m tests.simulation --seed {seed}")
            return 1
    print(f"{count} seeds passed")
    return 0


def _scripts(seeds: str, make: Callable[[int], Script] = make_script) -> Iterator[Script]:
    first, _, last = seeds.partition("-")
    return map(make, range(int(first), int(last or first) + 1))


def _scripts_cut_short(seeds: str) -> Iterator[Script]:
    return _scripts(seeds, make_script_cut_short)


def _new_scripts(minutes: str) -> Iterator[Script]:
    first, end = random.SystemRandom().randrange(1 << 32), time.monotonic() + float(minutes) * 60
    print(f"from seed {first}")
    seeds = itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(first))
    return map(make_script, seeds)


if __name__ == "__main__":
    sys.exit(main())
