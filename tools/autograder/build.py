"""Builds Gradescope's autograder: `build.py <file.zip>`.

In it are setup.sh, run_autograder and the grader with its rubrics, and nothing else. The same tree
gives the same bytes on any machine: names are sorted, times and permissions are fixed, and nothing
is compressed, as each version of zlib does that in its own way.
"""

from __future__ import annotations

import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
GRADER = HERE.parent.parent / "grader"

SUFFIXES = (".py", ".json")
"""Of the grader's files: its code and its rubrics."""

UNIX = 3
"""The system that an entry's permissions are of."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can tell."""


def build(target: Path) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for name, source in sorted(entries()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = UNIX
            entry.external_attr = (stat.S_IFREG | permissions(name)) << 16
            archive.writestr(entry, source.read_bytes())


def entries() -> Iterator[tuple[str, Path]]:
    """Names in the zip, and where their bytes are."""
    yield "run_autograder", HERE / "run_autograder.py"
    yield "setup.sh", HERE / "setup.sh"
    for path in GRADER.rglob("*"):
        if path.suffix in SUFFIXES:
            yield path.relative_to(GRADER.parent).as_posix(), path


def permissions(name: str) -> int:
    return 0o644 if name.startswith("grader/") else 0o755


if __name__ == "__main__":
    build(Path(sys.argv[1]))
