"""`python -m tests.fuzz --seconds N`: look for what no one has thought of.

hypothesis makes the attacks of tests/fuzz/properties.py, with another seed each round; where
atheris can be imported, half of the time goes to tests.fuzz.core, guided by coverage. Exit status
0: nothing was found; 1: something was, and it is said how to replay it; 2: a mistake on the
command line.
"""

from __future__ import annotations

import argparse
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
    if not has_atheris():
        print("atheris is not here (requirements-fuzz.txt): nothing is guided by coverage")
    half = arguments.seconds - arguments.seconds // 2
    try:
        attack_all(half if has_atheris() else arguments.seconds, seed, findings)
    except Exception:
        traceback.print_exc()
        print(f"replay a script with: python -m tests.fuzz --replay {findings}/finding")
        is_clean = False
    else:
        is_clean = not has_atheris() or fuzz_guided(half, seed, findings)
    print("nothing found" if is_clean else f"FOUND something, with --seed {seed}")
    return 0 if is_clean else 1


def attack_all(seconds: float, seed: int, findings: Path) -> None:
    """Rounds of all attacks until the time is over. Raises what is found."""
    deadline = time.monotonic() + seconds
    count = 0
    while time.monotonic() < deadline:
        attack([*ATTACKS][count % len(ATTACKS)], EXAMPLES, seed + count // len(ATTACKS), findings)
        count += 1
    print(f"hypothesis: about {count * EXAMPLES} examples, nothing found", flush=True)


if __name__ == "__main__":
    sys.exit(main())
