"""Who may know whom: the codec is pure, the reactor knows no chat, no layer looks upward."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from tools.structure import imported_modules

ROOT = Path(__file__).resolve().parent.parent

KNOWS: dict[str, set[str]] = {
    "codec": set(),
    "reactor": set(),
    "chat": {"codec", "reactor"},
    "terminal": {"codec", "reactor"},
    "tracing": {"codec", "reactor"},
    "web": {"chat", "codec", "reactor"},
    "cluster": {"chat", "codec", "reactor"},
    "cli": {"chat", "cluster", "codec", "reactor", "tracing", "web"},
    "server": {"chat", "cli", "codec", "reactor"},
    "client": {"cli", "codec", "reactor", "terminal"},
    "chatroom": set(),
    "grader": set(),
}
"""Each part, and the other parts that it may import, the lowest first.
The grader knows none of ours: it judges others by the same means."""

PACKAGES = {
    "terminal/full.py": {"prompt_toolkit"},
    "terminal/toolkit.py": {"prompt_toolkit"},
    "web/http.py": {"h11", "wsproto"},
    "web/websocket.py": {"wsproto"},
    "cluster/redis.py": {"hiredis"},
    "cluster/start.py": {"hiredis"},
}
"""Files that are loaded only when their flag is given, and the packages that each needs."""

PURE_LAYER = "codec"

PURE_MODULES = frozenset(
    {"__future__", "_operator", "collections", "enum", "re", "typing", "unicodedata"}
)
"""What the pure layer may import: values and functions of their arguments, nothing else."""

IMPURE_CALLS = ("__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print")
"""Ways to the outside, or around this test, that need no import."""


def program_files() -> list[Path]:
    """Every file that runs without a package."""
    folders = [layer for layer in KNOWS if (ROOT / layer).is_dir()]
    inside = [path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")]
    return sorted([*ROOT.glob("*.py"), *inside])


def layer_of(path: Path) -> str:
    """`codec` for codec/text.py, `server` for server.py."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


PURE_FILES = (
    *("records", "replica", "outputs", "queue", "snapshots", "view", "participant", "node"),
)
"""Of cluster: they know the words of the codec and each other."""


@pytest.mark.parametrize("name", PURE_FILES)
def test_log_of_the_room_is_pure(name: str) -> None:
    tree = ast.parse((ROOT / "cluster" / f"{name}.py").read_text())
    assert set(imported_modules(tree)) <= PURE_MODULES | {"cluster", "codec"}
    assert not list(_wrong_calls(PURE_LAYER, tree))


def complaints(layer: str, source: str, packages: Set[str] = frozenset()) -> list[str]:
    """What a file of `layer` with this source, which may use `packages`, does that it may not."""
    if layer not in KNOWS:
        return [f"{layer} belongs to no layer: say in KNOWS what it may import"]
    tree = ast.parse(source)
    return [*_wrong_imports(layer, tree, packages), *_wrong_calls(layer, tree)]


def _wrong_imports(layer: str, tree: ast.AST, packages: Set[str]) -> Iterator[str]:
    for module in imported_modules(tree):
        if module == layer or module in KNOWS[layer]:
            continue
        if layer == PURE_LAYER and module not in PURE_MODULES:
            yield f"{layer} imports {module}, and is to be pure"
        elif module in KNOWS:
            yield f"{layer} imports {module}, which is not below it"
        elif module not in sys.stdlib_module_names | packages:
            yield f"{layer} imports {module}, which is not in the standard library"


def _wrong_calls(layer: str, tree: ast.AST) -> Iterator[str]:
    if layer == PURE_LAYER:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in IMPURE_CALLS:
                yield f"{layer} uses {node.id}, and is to be pure"


@pytest.mark.parametrize("path", program_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_keeps_to_its_layer(path: Path) -> None:
    packages = PACKAGES.get(str(path.relative_to(ROOT)), set())
    assert complaints(layer_of(path), path.read_text(), packages) == []


def test_model_of_the_protocol_imports_no_product() -> None:
    source = (ROOT / "tests" / "support" / "protocol.py").read_text()
    assert set(imported_modules(ast.parse(source))) <= sys.stdlib_module_names


def test_every_part_was_looked_at() -> None:
    assert {layer_of(path) for path in program_files()} == set(KNOWS)


def test_no_layer_is_known_by_what_it_knows() -> None:
    below: set[str] = set()
    for layer, knows in KNOWS.items():
        assert knows <= below
        below.add(layer)


OUT_OF_BOUNDS = {
    "codec": ["os.path", "time", "reactor", "cli.flags", "hypothesis"],
    "reactor": ["codec.text", "chat.room", "server", "client", "terminal", "cli.flags", "uvloop"],
    "chat": ["cli.flags", "server", "terminal.session"],
    "terminal": ["cli.flags", "chat.room"],
    "tracing": ["chat.room", "cli.trace"],
    "cluster": ["cli.flags", "redis"],
    "cli": ["terminal", "click"],
    "server": ["client", "terminal"],
    "client": ["server", "chat.room", "rich.console"],
    "setup": ["os"],
}


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        *((x, f"import {name}") for x, names in OUT_OF_BOUNDS.items() for name in names),
        *[("codec", name) for name in IMPURE_CALLS],
        ("codec", "from os import environ"),
        ("codec", "import re, time"),
        ("codec", "def later():\n    import time"),
        ("codec", "from . import text"),
        ("reactor", "from codec.text import decode_text"),
        ("reactor", "from .loop import Reactor"),
    ],
)
def test_file_that_breaks_a_rule_is_found(layer: str, source: str) -> None:
    assert complaints(layer, source)
