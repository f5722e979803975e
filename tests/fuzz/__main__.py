"""`python -m tests.fuzz --seconds N`: look for what no one has thought of.

hypothesis makes the attacks of tests/fuzz/properties.py, with another seed each round; where
atheris can be imported, half of the time goes to tests.fuzz.core, guided by coverage. Exit status
0: nothing was found; 1: something was, and it is said how to replay it; 2: a mistake on the
command line.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.core import core
from tests.fuzz.guided import fuzz_guided, has_atheris
from tests.fuzz.properties import ATTACKS, attack

EXAMPLES = 300
"""Of each attack in a round; a round takes some seconds."""

NO_ATHERIS = "atheris is not here (requirements-fuzz.txt): nothing is guided by coverage"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="another run like that one")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play this file, and no more")
    arguments = parser.parse_args()
    if arguments.replay:
        core(arguments.replay.read_bytes())
        print("nothing found")
        return 0
    seed: int = time.time_ns() % 1_000_000 if arguments.seed is None else arguments.seed
    findings = Path(tempfile.mkdtemp(prefix="chatroom-fuzz-"))
    print(f"seed {seed}; findings and inputs: {findings}", flush=True)
    guided_seconds = arguments.seconds - arguments.seconds // 2 if has_atheris() else 0
    is_clean = attack_all(arguments.seconds - guided_seconds, seed, findings)
    if not guided_seconds:
        print(NO_ATHERIS)
    elif is_clean:
        is_clean = fuzz_guided(guided_seconds, seed, findings)
    print("nothing found" if is_clean else f"FOUND something, with --seed {seed}")
    return 0 if is_clean else 1


def attack_all(seconds: float, seed: int, findings: Path) -> bool:
    """Rounds of all attacks until the time is over; False if one of them found something."""
    deadline = time.monotonic() + seconds
    for count, name in enumerate(itertools.cycle(ATTACKS)):
        if time.monotonic() >= deadline:
            print(f"hypothesis: about {count * EXAMPLES} examples, nothing found", flush=True)
            break
        try:
            attack(name, EXAMPLES, seed + count // len(ATTACKS), findings)
        except Exception:
            traceback.print_exc()
            print(f"replay a script with: python -m tests.fuzz --replay {findings}/finding")
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
