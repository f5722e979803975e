"""A mutant: one change to our own programs, and all that the grader is to find wrong with them.

In: the data of scored.py and unscored.py. Out: a folder with a solution. Raises ValueError where
the programs have changed so that a mutant does not fit them any more.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from grader.rubric import Rubric

ROOT = Path(__file__).resolve().parents[3]

PROGRAMS = (
    *("server.py", "client.py", "flags.py", "gate.py", "journal.py", "limits.py", "room.py"),
    *("codec", "reactor"),
)
"""All that the two programs need."""

START = "start"
"""The group of cases on which all others rest."""


class Mutant(NamedTuple):
    """In `file`, `old`, which stands there once, becomes `new`.

    `meant`: the case that is there for this mistake; empty where nothing is to fail. `also`: the
    other cases in which it is seen, with blanks between them. What needs a case that fails is not
    played, and need not be told here. `flags`: how it is graded.
    """

    name: str
    mistake: str
    file: str
    old: str
    new: str
    meant: str = ""
    also: str = ""
    flags: tuple[str, ...] = ()

    def failing(self, rubric: Rubric) -> set[str]:
        """Exactly the cases that fail."""
        failing = {self.meant, *self.also.split()} - {""}
        for case in rubric.cases:  # whatever a case needs stands before it
            if failing.intersection(case.needs):
                failing.add(case.id)
        return failing

    def change(self, text: str) -> str:
        """The file with the mistake in it."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {text.count(self.old)} places in {self.file} fit")
        return text.replace(self.old, self.new)

    def write(self, folder: Path) -> Path:
        """Make the programs in `folder`, which is not there yet."""
        copy_programs(folder)
        path = folder / self.file
        path.write_text(self.change(path.read_text("utf-8")), "utf-8")
        return folder


def copy_programs(folder: Path) -> None:
    """Our own programs, and nothing else of this tree."""
    folder.mkdir()
    for name in PROGRAMS:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)


def all_mutants() -> Iterator[tuple[str, Mutant]]:
    """(group, mutant), in the rubric's order; those that are no mistake are of the group FREE."""
    from tests.grader.mutants import scored, unscored

    for groups in (scored.MUTANTS, unscored.MUTANTS):
        for group, mutants in groups.items():
            for mutant in mutants:
                yield group, mutant
