"""The process in which atheris, and so libFuzzer, attacks tests.fuzz.core: it takes libFuzzer's own
arguments, and leaves by itself. tests.fuzz.guided starts it."""

from __future__ import annotations

import importlib
import sys
from random import Random

from tests.fuzz.guided import mutated_script


def main() -> None:
    atheris = importlib.import_module("atheris")
    # What is imported here is watched, so it may not have been imported before.
    with atheris.instrument_imports(include=["codec"]):
        core = importlib.import_module("tests.fuzz.core").core

    def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
        """Ours leave scripts whole; libFuzzer's own know what was compared: in turns."""
        if seed % 2:
            return bytes(atheris.Mutate(data, max_bytes))
        return mutated_script(Random(seed), data)[:max_bytes]

    atheris.Setup(sys.argv, core, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
