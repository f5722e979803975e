"""Changes to the product's source that name what they change by its symbol, wherever that stands.

In: a Patch, and the root of a tree. Out: the one file that defines the symbol, with the change in
it. Syntax trees are compared, so that neither formatting nor a move to another file matters.
Raises ValueError where a patch fits no place, or more than one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

NOT_PRODUCT = frozenset({"tests", "tools", "bench", "grader", "docs"})


def product_files(root: Path) -> list[Path]:
    """All files of the product, relative to `root`: the modules there, and all of every package
    there that is none of NOT_PRODUCT."""
    files = list(root.glob("*.py"))
    for package in (path.parent for path in root.glob("*/__init__.py")):
        if package.name not in NOT_PRODUCT and not package.name.startswith("."):
            files += (file for file in package.rglob("*") if file.is_file())
    return sorted(file.relative_to(root) for file in files if file.suffix != ".pyc")


class Patch(NamedTuple):
    """In `symbol`, the one place that reads `old` becomes `new`. `name` is for complaints.

    `symbol` is a function, a class or a constant, as `translate`, `Server.run` or `OK`. Where
    several files define it, its module stands before it, as in `server:main`.

    `old` is an expression, or statements in a row; empty, it is the start of a function. `new` is
    an expression for an expression, or any number of statements for statements. Statements for an
    expression take the place of the innermost statement that holds it. A statement `...` of `new`
    stands for what was there before.
    """

    name: str
    symbol: str
    old: str
    new: str

    def apply(self, root: Path) -> tuple[Path, str]:
        """The file that changes, relative to `root`, and its new text."""
        path, tree, symbol = self._find(root)
        old, new = ast.parse(self.old).body, ast.parse(self.new)
        match old, new.body:
            case [ast.Expr(value=expression)], [ast.Expr(value=replacement)]:
                count = _replace(symbol, expression, replacement)
            case _:
                places = list(_places(symbol, old))
                count = len(places)
                for body, start, end in places:
                    _replace(new, ast.Expr(ast.Constant(...)), body[start:end])
                    body[start:end] = new.body
                    if not body:
                        body.append(ast.Pass())
        if count != 1:
            raise ValueError(f"{self.name}: {count} places in {self.symbol} read {self.old!r}")
        return path, ast.unparse(tree) + "\n"

    def write(self, root: Path) -> None:
        """Change the file itself."""
        path, text = self.apply(root)
        (root / path).write_text(text, "utf-8")

    def _find(self, root: Path) -> tuple[Path, ast.Module, ast.stmt]:
        module, _, symbol = self.symbol.rpartition(":")
        found = []
        for path in product_files(root):
            dotted = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
            if path.suffix == ".py" and module in ("", dotted):
                text = (root / path).read_text("utf-8")
                if symbol.split(".")[0] in text:  # to parse takes long
                    tree = ast.parse(text)
                    found += [(path, tree, node) for node in _definitions(tree, symbol)]
        if len(found) != 1:
            files = ", ".join(str(path) for path, _, _ in found) or "no file"
            raise ValueError(f"{self.name}: {self.symbol} is defined in {files}")
        return found[0]


def _definitions(scope: ast.AST, symbol: str) -> Iterator[ast.stmt]:
    name, _, rest = symbol.partition(".")
    for node in _body(scope):
        match node:
            case (
                ast.FunctionDef(name=defined)
                | ast.AsyncFunctionDef(name=defined)
                | ast.ClassDef(name=defined)
                | ast.Assign(targets=[ast.Name(id=defined)])
                | ast.AnnAssign(target=ast.Name(id=defined))
            ) if defined == name:
                yield from _definitions(node, rest) if rest else [node]


def _places(symbol: ast.stmt, old: list[ast.stmt]) -> Iterator[tuple[list[ast.stmt], int, int]]:
    """Each place of `old`: a list of statements, and where in it that begins and ends."""
    if not old:
        if isinstance(symbol, ast.FunctionDef | ast.AsyncFunctionDef):
            start = 0 if ast.get_docstring(symbol) is None else 1
            yield symbol.body, start, start
        return
    sought = _dump(old)
    for node in ast.walk(symbol):
        for body in (_body(node, name) for name in ("body", "orelse", "finalbody")):
            for start, statement in enumerate(body):
                if isinstance(old[0], ast.Expr) and len(old) == 1:
                    count = _dump(_own_nodes(statement)).count(ast.dump(old[0].value))
                else:
                    count = _dump(body[start : start + len(old)]) == sought
                yield from [(body, start, start + len(old))] * count


def _body(node: ast.AST, name: str = "body") -> list[ast.stmt]:
    """The statements in `node`; a lambda, too, has a body, which is none."""
    body = getattr(node, name, None)
    return body if isinstance(body, list) else []


def _dump(nodes: Iterable[ast.AST]) -> list[str]:
    return [ast.dump(node) for node in nodes]


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All in `node` that is in no inner statement."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            yield child
            yield from _own_nodes(child)


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST | list[ast.stmt]) -> int:
    """Put `new` wherever `old` stands in `tree`, and say how often that is."""
    sought = ast.dump(old)
    count = 0

    class Replacer(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            nonlocal count
            if ast.dump(node) != sought:
                return self.generic_visit(node)
            count += 1
            return new

    Replacer().visit(tree)
    return count
