"""Attacks on tests.fuzz.core that start from the corpus and are guided by coverage.

They need atheris (requirements-fuzz.txt). libFuzzer does it in a process of its own, since it ends
that process when it is done.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from random import Random

from tests.fuzz.mutation import DICTIONARY, mutated

CORPUS = Path(__file__).parent / "corpus"

CORPUS_SCRIPTS = [path.read_bytes() for path in sorted(CORPUS.iterdir())]

MOST_BYTES = 2048
"""Longest script that is tried: enough to fill the small limits many times over."""


def mutated_script(random: Random, data: bytes) -> bytes:
    return mutated(random, data, CORPUS_SCRIPTS)[:MOST_BYTES]


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def fuzz_guided(seconds: int, seed: int, findings: Path) -> bool:
    """Let atheris look for `seconds`; False if it found something, which it has then written into
    `findings`."""
    found = findings / "inputs"  # new inputs go there, never into the corpus
    found.mkdir()
    flags = [
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-seed={seed or 1}",  # 0 would mean any
        f"-dict={DICTIONARY}",
        f"-artifact_prefix={findings}/",
        *["-verbosity=0", "-print_final_stats=1"],
    ]
    command = [sys.executable, "-m", "tests.fuzz.target", *flags, str(found), str(CORPUS)]
    return subprocess.call(command, cwd=CORPUS.parents[2]) == 0
