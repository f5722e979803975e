"""Each limit is in the table, with its reason; and no file keeps a copy of its value."""

from __future__ import annotations

import ast
import functools
import py_compile
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from cli.limits import format_limits, limits
from tests.test_layers import ROOT, layer_of, program_files

NOT_IN_THE_TABLE = {
    "cli.addresses": "FIRST_INHERITED_DESCRIPTOR MAX_SHORT_PASSCODE_CHARACTERS",
    "cli.passcode": "MAX_PASSCODE_LINE_BYTES",
    "codec.presence": "PORT REQUEST_BYTES",
    "reactor.outbound": "MAX_PIECES",  # the kernel's
    "server": "OWN_DESCRIPTORS SHUTDOWN_SECONDS",  # it is above the table
    "tracing.recorder": "FORMAT MAX_TRACE_BYTES MAX_TURN_EVENTS SHOWN_BYTES",
    "tracing.trace": "CLOSE_SECONDS",
    # Not limits.
    "chat.bans": "FOR_EVER",
    "chat.transcript": "MODE",
    "cli.flags": "HELP_COLUMNS SAY_SECONDS",
    "cli.upkeep": "MAX_RESUME_SECONDS",
    "cli.web": "RESUME_SECONDS",
    "cluster.view": "NEVER",
    "cli.supervisor": "STATUS_SECONDS",
    "reactor.loop": "READ WRITE",
    "reactor.tls": "RECORD_BYTES",
}
"""Numbers that the server is not held to, or that the table cannot know."""

ROOM_FILES = [path for path in program_files() if layer_of(path) != "grader"]


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool | Enum)


# The table.


def test_every_number_is_in_the_table_or_known_not_to_be() -> None:
    """One without a reason would be missing in the table, and no one would notice."""
    found = {
        (module_name(path), target.id)
        for path in ROOM_FILES
        if layer_of(path) != "terminal"  # the client's own, which bind no one else
        for statement in parsed(path).body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in ast.walk(statement)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
        if target.id.isupper() and not target.id.startswith("_")
        if is_number(vars(import_module(module_name(path)))[target.id])
    }
    table = {(limit.module, limit.name) for limit in limits()}
    others = {(module, x) for module, names in NOT_IN_THE_TABLE.items() for x in names.split()}
    assert not table & others
    assert found == table | others


def test_each_limit_has_a_value_a_unit_and_a_reason() -> None:
    table = limits()
    assert len({(limit.module, limit.name) for limit in table}) == len(table)
    for limit in table:
        assert limit.value > 0, limit
        assert limit.name.isupper(), limit
        assert len(limit.reason.split()) >= 5, limit
        assert limit.reason.endswith("."), limit
        assert "\n" not in limit.reason


def test_number_without_a_reason_in_its_annotation_is_no_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = (
        "from __future__ import annotations\nfrom typing import Annotated\n"
        'A: Annotated[int, "Because of this."] = 1\nB = 2\nC: int = 3\n'
        'D: Annotated[float, "Last."] = 2.5\n'
    )
    some = ModuleType("some")
    exec(source, vars(some))  # noqa: S102  it was written above
    monkeypatch.setattr("cli.limits.LIMITED", (some,))
    assert limits() == [("some", "A", 1, "Because of this."), ("some", "D", 2.5, "Last.")]
    monkeypatch.setattr(some, "A", 1_000, raising=False)
    printed = "some.A = 1,000\n    Because of this.\nsome.D = 2.5\n    Last."
    assert format_limits() == printed, "what is set is what is printed"


def test_limits_need_no_source_files(tmp_path: Path) -> None:
    for path in program_files():
        copy = tmp_path / path.relative_to(ROOT).with_suffix(".pyc")
        copy.parent.mkdir(exist_ok=True)
        py_compile.compile(str(path), str(copy), doraise=True)
    command = [sys.executable, str(tmp_path / "server.pyc"), "-limits"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown == format_limits() + "\n"


# No file keeps a copy: a limit that is set holds wherever it is used.


def copies(tree: ast.Module) -> Iterator[str]:
    """Where a limit is taken by its value as the file is loaded, and not as it is used."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=aliases):
                yield from (f"import {alias.name}" for alias in aliases)
            case ast.arguments(defaults=defaults, kw_defaults=keyword_defaults):
                for default in [*defaults, *keyword_defaults]:
                    yield from (f"default {name}" for name in names_in(default))
            case ast.Module(body=body) | ast.ClassDef(body=body):
                for statement in body:
                    if isinstance(statement, ast.Assign | ast.AnnAssign):
                        yield from (f"value {name}" for name in names_in(statement.value))


def names_in(node: ast.AST | None) -> Iterator[str]:
    for inner in ast.walk(node) if node else ():
        match inner:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name


def copied_limits(tree: ast.Module) -> set[str]:
    names = {limit.name for limit in limits()}
    return {copy for copy in copies(tree) if copy.split()[-1] in names}


KNOWN_COPIES: dict[str, set[str]] = {
    # For those who only read them: tests, and other users of the package.
    "codec": {"import MAX_LINE_BYTES", "import MAX_JOIN_BYTES", "import MAX_PASSCODE_BYTES"},
    "reactor": {"import PAGE_BYTES"},
    # One limit that follows from others, and is in the table itself.
    "codec.handshake": {"value MAX_JOIN_BYTES", "value MAX_USERNAME_CHARACTERS"},
}


@pytest.mark.parametrize("path", ROOM_FILES, ids=module_name)
def test_no_file_keeps_a_copy_of_a_limit(path: Path) -> None:
    assert copied_limits(parsed(path)) == KNOWN_COPIES.get(module_name(path), set())


@pytest.mark.parametrize(
    "source",
    [
        "def later():\n    from chat.gate import POOL_CONNECTIONS as pool",
        "def wait(seconds=LINGER_SECONDS): pass",
        "class A:\n    def wait(self, *, seconds=1 + connection.LINGER_SECONDS): pass",
        "wait = lambda seconds=LINGER_SECONDS: seconds",
        "HALF = LINGER_SECONDS / 2",
        "class A:\n    seconds: float = connection.LINGER_SECONDS",
    ],
)
def test_copy_of_a_limit_is_found(source: str) -> None:
    assert copied_limits(ast.parse(source))
