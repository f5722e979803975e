"""A habit: a reference solution with changes that leave it correct. In: habits.txt, which tells how
it is written. Out: a folder with a solution. Raises ValueError where a change does not fit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.grader.grading import SOLUTIONS

TABLE = Path(__file__).with_name("habits.txt")

FILES = ("server.py", "client.py")


class Habit(NamedTuple):
    """`changes`: of a program, what is there and what is to be there instead."""

    name: str
    base: str
    oddity: str
    changes: tuple[tuple[str, str, str], ...]
    manner: str  # of writing the files: "", "crlf" or "package"

    def write(self, folder: Path) -> Path:
        """Make the programs in `folder`, which is not there yet."""
        folder.mkdir()
        texts = {name: (SOLUTIONS / self.base / name).read_text("utf-8") for name in FILES}
        for file, old, new in self.changes:
            if old not in texts[file]:
                raise ValueError(f"{self.name}: {file} does not have {old!r}")
            texts[file] = texts[file].replace(old, new, 1)
        for name, text in texts.items():
            if self.manner == "package":
                (folder / "app").mkdir(exist_ok=True)
                (folder / "app" / name).write_text(text)
                text = f"import app.{name.removesuffix('.py')}\n"
            end = "\r\n" if self.manner == "crlf" else "\n"
            (folder / name).write_text(text, "utf-8", newline=end)
        return folder


def all_habits() -> list[Habit]:
    """In the order of the table."""
    entries = re.split(r"^## ", TABLE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return [_parse(entry) for entry in entries]


def _parse(entry: str) -> Habit:
    title, *lines = entry.splitlines()
    found = re.fullmatch(r"(\S+) (\w+): (.+)", title)
    if not found:
        raise ValueError(f"no heading of a habit: {title}")
    manner = file = sign = ""
    changes: list[_Change] = []
    for line in lines:
        if line in ("crlf", "package"):
            manner = line
        elif f"{line}.py" in FILES:
            file, sign = f"{line}.py", "+"
        elif line[:1] in ("-", "+"):
            if (line[0] == "-" and sign == "+") or not changes or changes[-1].file != file:
                changes.append(_Change(file, [], []))
            sign = line[0]
            (changes[-1].old if sign == "-" else changes[-1].new).append(line[2:])
        elif line:
            raise ValueError(f"{found[1]}: not a line of a habit: {line}")
    return Habit(found[1], found[2], found[3], tuple(change.told for change in changes), manner)


class _Change(NamedTuple):
    file: str
    old: list[str]
    new: list[str]

    @property
    def told(self) -> tuple[str, str, str]:
        end = "" if self.old else "\n"
        return self.file, "\n".join(self.old), "\n".join(self.new) + end
