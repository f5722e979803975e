"""Changes to the product's source that name what they change by its symbol, wherever that stands.

In: a Patch, and the root of a tree. Out: the one file that defines the symbol, with the change in
it. Syntax trees are compared, so that neither formatting nor a move to another file matters.
Raises ValueError where a patch fits no place, or more than one.

Patches are written in tables, and `read_table` reads those. An entry looks like this:

    ## fixed-port: the server listens on 65432, whatever port is asked for
    in Server.__init__
    - flags.port
    + 65432

It begins with its name, and may say more behind a colon. `in` names the symbol. Lines with a `-`
hold what is there, lines with a `+` what is to be there instead; either may be missing, as Patch
tells. `fails`, `also` and `flags` may follow, whose words mean what the reader of the table wants.

`# NAME` begins a group of entries. `let NAME = words` gives words a name in capital letters, which
stands for them in later lines with `let` and `also`. `// words` is a comment.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType
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
    """In `symbol`, the one place that reads `old` becomes `new`. Complaints name `where` it stands.

    `symbol` is a function, a class or a constant, as `translate`, `Server.run` or `OK`. Where
    several files define it, its module stands before it, as in `server:main`. It may also be a
    file, as `server.py`: that ends with the line `old`, and what comes of it need not be Python.

    `old` is an expression, or statements in a row; empty, it is the start of a function. `new` is
    an expression for an expression, or any number of statements for statements. Statements for an
    expression take the place of the innermost statement that holds it. A statement `...` of `new`
    stands for what was there before.
    """

    name: str
    symbol: str
    old: str
    new: str
    where: str

    def apply(self, root: Path) -> tuple[Path, str]:
        """The file that changes, relative to `root`, and its new text."""
        change = self._change_file if self.symbol.endswith(".py") else self._change_tree
        try:
            path, text, count = change(root)
            if count != 1:
                raise ValueError(f"{count} places in {self.symbol} read {self.old!r}")
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{self.where}: {self.name}: {error}") from error
        return path, text + "\n"

    def write(self, root: Path) -> None:
        """Change the file itself."""
        path, text = self.apply(root)
        (root / path).write_text(text, "utf-8")

    @contextlib.contextmanager
    def planted(self, root: Path) -> Iterator[None]:
        """While it lasts, `symbol`, a function or a property of a module that this process imports
        from `root`, runs the changed code, whoever calls it. Its decorators and default values stay
        as they are. Raises ValueError where a decorator hides its code."""
        path, text = self.apply(root)
        module = import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
        wrong = ModuleType(module.__name__)
        exec(text, vars(wrong))  # noqa: S102  our own text
        find = attrgetter(self.symbol.rpartition(":")[2])
        changed, other = (getattr(find(each), "fget", find(each)) for each in (module, wrong))
        if changed.__globals__ is not vars(module):
            raise ValueError(f"{self.where}: {self.name}: {self.symbol} is decorated")
        code = changed.__code__
        changed.__code__ = other.__code__
        try:
            yield
        finally:
            changed.__code__ = code

    def _change_file(self, root: Path) -> tuple[Path, str, int]:
        text = (root / self.symbol).read_text("utf-8")
        rest = text.removesuffix(f"{self.old}\n")
        return Path(self.symbol), rest + self.new, int(rest != text)

    def _change_tree(self, root: Path) -> tuple[Path, str, int]:
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
        return path, ast.unparse(tree), count

    def _find(self, root: Path) -> tuple[Path, ast.Module, ast.stmt]:
        module, _, symbol = self.symbol.rpartition(":")
        name = symbol.split(".")[0]
        may_define = re.compile(rf"^(?:(?:async )?def |class )?{re.escape(name)}\b", re.MULTILINE)
        found = []
        for path in product_files(root):
            dotted = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
            if path.suffix == ".py" and module in ("", dotted):
                text = (root / path).read_text("utf-8")
                if name in text and may_define.search(text):  # either takes long
                    tree = ast.parse(text)
                    found += [(path, tree, node) for node in _definitions(tree, symbol)]
        if len(found) != 1:
            files = ", ".join(str(path) for path, _, _ in found) or "no file"
            raise ValueError(f"{self.symbol} is defined in {files}")
        return found[0]


class Entry(NamedTuple):
    """A patch as a table has it. `more`: what is said behind its name. `facts`: the lines of code
    behind `-` and `+`, the words behind any other word."""

    where: str
    group: str
    name: str
    more: str
    facts: dict[str, list[str]]

    @property
    def patch(self) -> Patch:
        old, new = ("\n".join(self.facts.get(sign, [])) for sign in "-+")
        return Patch(self.name, self.facts["in"][0], old, new, self.where)


def read_table(path: Path) -> list[Entry]:
    """All entries, in order. Raises ValueError, with file and line, where one cannot be read."""
    entries: dict[str, Entry] = {}
    sets: dict[str, list[str]] = {}
    group, entry = "", None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        where = f"{path}:{number}"
        match line.split(" ", 1):
            case [""] | ["//", *_]:
                pass
            case ["#", group]:
                entry = None
            case ["##", title] if (name := title.partition(": ")[0]) not in entries:
                entry = entries[name] = Entry(where, group, name, title.partition(": ")[2], {})
            case ["let", definition]:
                name, _, words = definition.partition(" = ")
                sets[name] = _expand(words, sets)
            case ["-" | "+" as sign, *code] if entry:
                entry.facts.setdefault(sign, []).extend(code or [""])
            case ["in" | "fails" | "also" | "flags" as word, words] if (
                entry and word not in entry.facts
            ):
                entry.facts[word] = _expand(words, sets if word == "also" else {})
            case _:
                raise ValueError(f"{where}: not a line of a table, or not here: {line}")
    for entry in entries.values():
        if "in" not in entry.facts or entry.facts.keys().isdisjoint("-+"):
            raise ValueError(f"{entry.where}: {entry.name} tells no place or no change")
        if any(word.isupper() for word in entry.facts.get("also", [])):
            raise ValueError(f"{entry.where}: {entry.name} names a set that is not there")
    return list(entries.values())


def _expand(words: str, sets: dict[str, list[str]]) -> list[str]:
    return [case for word in words.split() for case in sets.get(word, [word])]


def _definitions(scope: ast.AST, symbol: str) -> Iterator[ast.stmt]:
    name, _, rest = symbol.partition(".")
    for node in _body(scope):
        targets = [node, getattr(node, "target", None), *getattr(node, "targets", [])]
        if name in [getattr(target, "name", getattr(target, "id", None)) for target in targets]:
            yield from _definitions(node, rest) if rest else [node]


def _places(symbol: ast.stmt, old: list[ast.stmt]) -> Iterator[tuple[list[ast.stmt], int, int]]:
    """Each place of `old`: a list of statements, and where in it that begins and ends."""
    if not old:
        if isinstance(symbol, ast.FunctionDef | ast.AsyncFunctionDef):
            start = 0 if ast.get_docstring(symbol) is None else 1
            yield symbol.body, start, start
        return
    for node in ast.walk(symbol):
        for body in (_body(node, name) for name in ("body", "orelse", "finalbody")):
            for start, statement in enumerate(body):
                if isinstance(old[0], ast.Expr) and len(old) == 1:
                    count = _dump(_own_nodes(statement)).count(ast.dump(old[0].value))
                else:
                    count = _dump(body[start : start + len(old)]) == _dump(old)
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
