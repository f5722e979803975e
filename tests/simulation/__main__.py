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
from tests.simulation.world import Failure, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="run this one, and tell everything that happens")
    what.add_argument("--seeds", type=_parse_range, metavar="A-B", help="run these, B included")
    what.add_argument("--minutes", type=float, help="run new ones until the time is up")
    what.add_argument(
        "--shutdowns",
        type=_parse_range,
        metavar="A-B",
        help="run these, and tell the server to end at some moment of each",
    )
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _replay(make_script(arguments.seed))
    if arguments.seeds is not None:
        return _run_all(arguments.seeds)
    if arguments.shutdowns is not None:
        return _run_all(arguments.shutdowns, make_script_cut_short)
    return _run_all(_new_seeds(arguments.minutes * 60))


def describe(script: Script, failure: Failure) -> str:
    """The script, ready to be read, and how it fails."""
    lines = [f"{script.setting}", *(f"{index}: {step}" for index, step in enumerate(script.steps))]
    return "\n".join([*lines, f"FAILED at step {failure.step}: {failure.fault}"])


def describe_shrunk(script: Script) -> str:
    """The same of the smallest script that fails like this one, which does."""
    kind = kind_of(script)
    script = shrink(script, lambda smaller: kind_of(smaller) == kind)
    failure = failure_of(script)
    assert failure, "a failure that comes and goes: something is not the seed's"
    return describe(script, failure)


def _replay(script: Script) -> int:
    print(script.setting)
    try:
        run(script, print)
    except Failure as failure:
        print(f"FAILED at step {failure.step}: {failure.fault}")
        print(f"\nshrunk:\n{describe_shrunk(script)}")
        return 1
    print("passed")
    return 0


def _run_all(seeds: Iterable[int], make: Callable[[int], Script] = make_script) -> int:
    """Stop at the first that fails."""
    count = 0
    for seed in seeds:
        count += 1
        script = make(seed)
        if failure := failure_of(script):
            print(f"seed {seed} failed at step {failure.step}: {failure.fault}\n")
            print(describe_shrunk(script))
            if make is make_script:
                print(f"\npython -m tests.simulation --seed {seed}")
            return 1
    print(f"{count} seeds passed")
    return 0


def _new_seeds(seconds: float) -> Iterator[int]:
    first, end = random.SystemRandom().randrange(1 << 32), time.monotonic() + seconds
    print(f"from seed {first}")
    return itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(first))


def _parse_range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
