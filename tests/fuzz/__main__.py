"""`python -m tests.fuzz --seconds N`: look for what nobody has thought of.

Half of the time hypothesis attacks the properties of tests/fuzz/properties.py, with another seed
each round; the other half goes to tests.fuzz.core, guided by coverage where atheris can be
imported, and by blind mutations where not. Exit status 0: nothing was found; 1: something was,
and it is said how to replay it; 2: a mistake on the command line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.core import core
from tests.fuzz.guided import fuzz_blindly, fuzz_guided, has_atheris
from tests.fuzz.properties import PROPERTIES, attack

EXAMPLES = 300
"""Of each property in a round; a round takes some seconds."""

NO_ATHERIS = (
    "atheris is not here (pip install -r requirements-fuzz.txt; it has no wheel for every Python):"
    " mutations without coverage instead"
)


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
    print(f"seed {seed}", flush=True)
    is_clean = attack_properties(arguments.seconds / 2, seed) and fuzz_core(
        arguments.seconds - arguments.seconds // 2, seed
    )
    print("nothing found" if is_clean else f"FOUND something, with --seed {seed}")
    return 0 if is_clean else 1


def attack_properties(seconds: float, seed: int) -> bool:
    """Rounds of all properties until the time is over; False if one was broken."""
    deadline = time.monotonic() + seconds
    attacks = 0
    while True:
        for function in PROPERTIES:
            if time.monotonic() >= deadline:
                print(f"hypothesis: about {attacks * EXAMPLES} examples, nothing found", flush=True)
                return True
            try:
                attack(function, EXAMPLES, seed + attacks // len(PROPERTIES))
            except Exception:
                traceback.print_exc()
                return False
            attacks += 1


def fuzz_core(seconds: int, seed: int) -> bool:
    """False if something was found; all that comes of it is in a directory that is named."""
    findings = Path(tempfile.mkdtemp(prefix="chatroom-fuzz-"))
    if has_atheris():
        is_clean = fuzz_guided(seconds, seed, findings)
    else:
        print(NO_ATHERIS, flush=True)
        is_clean = fuzz_blindly(seconds, seed, findings)
    print(f"inputs: {findings}")
    return is_clean


if __name__ == "__main__":
    sys.exit(main())
