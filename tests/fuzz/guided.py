"""Attacks on tests.fuzz.core that start from the corpus: guided by coverage, or blind.

With atheris (requirements-fuzz.txt) libFuzzer does it in a process of its own, since it ends that
process when it is done. Without it a plain loop of mutations does: it knows nothing of coverage,
but needs nothing that is not here.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tests.fuzz.mutation import TOKENS, mutated

CORPUS = Path(__file__).parent / "corpus"

MOST_BYTES = 2048
"""Longest script that is tried: enough to fill the small limits many times over."""

MARKS = [b"<1>", b"<2>", b"<3>", b"<4>", b"<1/>", b"<2/>"]


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def fuzz_guided(seconds: int, seed: int, findings: Path) -> bool:
    """Let atheris look for `seconds`; False if it found something, which it has then written into
    `findings`. Of the many lines in which it tells how it gets on, the last is printed."""
    command = [sys.executable, "-m", "tests.fuzz.target", *_flags(seconds, seed, findings)]
    last = ""
    with subprocess.Popen(
        command, cwd=CORPUS.parents[2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith(("#", "INFO: ", "WARNING: ", '"')):
                last = line if line.startswith("#") and "cov:" in line else last
            else:
                print(line, end="")
    print(f"atheris: {last}", end="")
    return process.returncode == 0


def fuzz_blindly(seconds: float, seed: int, findings: Path) -> bool:
    """Mutate for `seconds`; False if something was found. It is made smaller, and then written
    into `findings`."""
    random = Random(seed)
    corpus = corpus_inputs()
    deadline = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < deadline:
        data = mutated_script(random, random.choice(corpus), corpus)
        tried += 1
        if fails(data):
            _write_finding(smaller(data, fails), findings)
            return False
    print(f"mutation: {tried} scripts, nothing found")
    return True


def corpus_inputs() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.iterdir())]


def mutated_script(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutated(random, data, corpus, [*TOKENS, *MARKS])[:MOST_BYTES]


def fails(data: bytes) -> bool:
    from tests.fuzz.core import core  # not before tests.fuzz.target has it watched

    try:
        core(data)
    except Exception:
        return True
    return False


def smaller(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """`data` without any part, half of it or one byte, that is not needed for it to fail."""
    size = len(data) // 2
    while size:
        start = 0
        while start < len(data):
            shorter = data[:start] + data[start + size :]
            if fails(shorter):
                data = shorter
            else:
                start += size
        size //= 2
    return data


def _write_finding(data: bytes, findings: Path) -> None:
    path = findings / "finding"
    path.write_bytes(data)
    print(f"mutation: found {data!r}\nreplay it with: python -m tests.fuzz --replay {path}")


def _flags(seconds: int, seed: int, findings: Path) -> list[str]:
    """What libFuzzer is told. New inputs go into `findings`, never into the corpus."""
    found = findings / "inputs"
    found.mkdir(exist_ok=True)
    dictionary = findings / "dictionary"
    dictionary.write_text("".join(f'"{_escaped(token)}"\n' for token in [*TOKENS, *MARKS]))
    return [
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-seed={seed or 1}",  # 0 would mean any
        f"-dict={dictionary}",
        f"-artifact_prefix={findings}/",
        str(found),
        str(CORPUS),
    ]


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)
