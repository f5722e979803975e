"""Modules that a solution imports and that will not be there when it counts.

In: a folder, and the packages of the rubric. Out: a sentence for each that is neither Python's, nor
the solution's own, nor in the list. The files are parsed, and never run.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

MAX_FILES = 200
MAX_FILE_BYTES = 1024 * 1024
"""Larger ones hold data."""


def find_foreign(root: Path, known: Sequence[str]) -> list[str]:
    """Packages that may be installed here, where this was written, and that are not in `known`."""
    files = [path for path in sorted(root.rglob("*.py"))[:MAX_FILES] if path.is_file()]
    own = {path.stem for path in files} | {path.name for path in root.rglob("*") if path.is_dir()}
    found: dict[str, str] = {}
    for path in files:
        for name in _imports(path):
            if name not in own and name not in sys.stdlib_module_names and name not in known:
                found.setdefault(name, path.name)
    listed = f"only {', '.join(known)}" if known else "none"
    return [
        f"{file} imports {name}, which is no part of Python and not among the packages of this"
        f" course ({listed}): there it is missing."
        for name, file in found.items()
    ]


def _imports(path: Path) -> Iterator[str]:
    """The first parts of the names of all modules that are imported, wherever in the file."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the student's backslashes
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # it is told when it is run
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
