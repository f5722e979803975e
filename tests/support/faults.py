"""Which tests are for which row of the table of faults in docs/RELIABILITY.md.

A test says so itself, with `@fault(23)`, and the last column of the table is made of what the tests
say: `python -m tests.support.faults --write`, or `make fault-table`. What a fault is, and what we
do about it, is written there by hand.
"""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "RELIABILITY.md"

MORE = {
    3: "`tests/fuzz/`",
    24: "`tests/faults/`",
    25: "`tests/faults/`",
    64: "`python -m tests.faults`",
    74: "`tests/simulation/`",
    89: "`python -m tests.simulation.resume`, `python -m tests.faults.losses`",
    80: "`python -m tests.faults`",
}
"""What tests a row beside single tests."""


LATER = "later"

_ROW = re.compile(r"^(\| (\d+) \| .* \| (.*) \|) (.*) \|$", re.MULTILINE)


def fault(*numbers: int) -> pytest.MarkDecorator:
    """The test is for these rows of the table."""
    return pytest.mark.fault(*numbers)


def marked() -> dict[int, list[str]]:
    """Row -> its tests as the table names them, by file and by where they stand in it."""
    tests: dict[int, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        if "@fault(" not in text:  # to parse takes long
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                name = f"`{path.relative_to(ROOT).as_posix()}::{node.name}`"
                decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
                faults = " ".join(text for text in decorators if text.startswith("fault("))
                for number in map(int, re.findall(r"\d+", faults)):
                    tests.setdefault(number, []).append(name)
    for number, more in MORE.items():
        tests.setdefault(number, []).append(more)
    return tests


def in_table(document: str) -> dict[int, str]:
    """Row -> what we do about it, or LATER."""
    return {int(row[2]): row[3] for row in _ROW.finditer(document)}


def rewrite(document: str, tests: dict[int, list[str]]) -> str:
    """The same document with these tests in its table."""

    def row(match: re.Match[str]) -> str:
        return f"{match[1]} {', '.join(tests.get(int(match[2]), [LATER]))} |"

    return _ROW.sub(row, document)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell which tests are for which fault.")
    parser.add_argument("--write", action="store_true", help="into docs/RELIABILITY.md")
    document = rewrite(TABLE.read_text(), marked())
    if parser.parse_args().write:
        TABLE.write_text(document)
    else:
        print(*(row[0] for row in _ROW.finditer(document)), sep="\n")


if __name__ == "__main__":
    main()
