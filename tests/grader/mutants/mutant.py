"""A mutant: one change to our own programs, and all that the grader is to find wrong with them.

In: mutants.txt. Out: a folder with a solution. Raises ValueError where the table cannot be read, or
the programs have changed so that a mutant does not fit them any more.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from grader.rubric import Rubric
from tests.support.patches import Patch, product_files, read_table

ROOT = Path(__file__).resolve().parents[3]

TABLE = Path(__file__).with_name("mutants.txt")

FREE = "free"
"""The group of what is no mistake."""


class Mutant(NamedTuple):
    """`group`: a group of the rubric, or FREE. `meant`: the case that is there for this mistake;
    empty where nothing is to fail. `also`: the other cases in which it is seen. What needs a case
    that fails is not played, and need not be told. `flags`: how it is graded."""

    group: str
    name: str
    mistake: str
    patch: Patch
    meant: str
    also: tuple[str, ...]
    flags: tuple[str, ...]

    def failing(self, rubric: Rubric) -> set[str]:
        """Exactly the cases that fail."""
        failing = {self.meant, *self.also} - {""}
        for case in rubric.cases:  # whatever a case needs stands before it
            if failing.intersection(case.needs):
                failing.add(case.id)
        return failing

    def write(self, folder: Path) -> Path:
        """Make the programs in `folder`, which is not there yet."""
        copy_programs(folder)
        self.patch.write(folder)
        return folder


def copy_programs(folder: Path) -> None:
    """Our own programs, and nothing else of this tree."""
    folder.mkdir()
    for path in product_files(ROOT):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)


def all_mutants() -> list[Mutant]:
    """In the order of the table, which is the rubric's."""
    mutants = []
    for entry in read_table(TABLE):
        meant, also, flags = (
            tuple(entry.facts.get(word, ())) for word in ("fails", "also", "flags")
        )
        told = (entry.group, entry.name, entry.more, entry.patch)
        mutants.append(Mutant(*told, " ".join(meant), also, flags))
    return mutants
