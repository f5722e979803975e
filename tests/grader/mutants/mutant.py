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
from tests.support.patches import Patch, product_files

ROOT = Path(__file__).resolve().parents[3]


class Mutant(NamedTuple):
    """In `symbol`, the one place that reads `old` becomes `new`: see Patch.

    `meant`: the case that is there for this mistake; empty where nothing is to fail. `also`: the
    other cases in which it is seen, with blanks between them. What needs a case that fails is not
    played, and need not be told here. `flags`: how it is graded.
    """

    name: str
    mistake: str
    symbol: str
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

    def change(self, root: Path) -> tuple[Path, str]:
        """The file of `root` that has the mistake, relative to `root`, and its text."""
        return Patch(self.name, self.symbol, self.old, self.new).apply(root)

    def write(self, folder: Path) -> Path:
        """Make the programs in `folder`, which is not there yet."""
        copy_programs(folder)
        path, text = self.change(folder)
        (folder / path).write_text(text, "utf-8")
        return folder


class Truncated(Mutant):
    """The one that is no Python, which no Patch can be: the text of the file `symbol` ends
    with `old`, and is to end with `new`."""

    def change(self, root: Path) -> tuple[Path, str]:
        text = (root / self.symbol).read_text("utf-8")
        if not text.endswith(self.old):
            raise ValueError(f"{self.name}: {self.symbol} does not end with {self.old!r}")
        return Path(self.symbol), text.removesuffix(self.old) + self.new


def copy_programs(folder: Path) -> None:
    """Our own programs, and nothing else of this tree."""
    folder.mkdir()
    for path in product_files(ROOT):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)


def all_mutants() -> Iterator[tuple[str, Mutant]]:
    """(group, mutant), in the rubric's order; those that are no mistake are of the group FREE."""
    from tests.grader.mutants import scored, unscored

    for groups in (scored.MUTANTS, unscored.MUTANTS):
        for group, mutants in groups.items():
            for mutant in mutants:
                yield group, mutant
