"""Which names of a statement are the module's own, and not those of a function within it.

In: one statement of a module's top level, as `ast` has it. Out: the names that it binds there, and
each place where it refers to such a name. Python's rules of scope (the language reference, 4.2.2):
a function sees those around it, but not the class it stands in; a comprehension has a scope of its
own, from which `:=` alone reaches out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Reference(NamedTuple):
    """One place where a name of the module is used. `attribute`: it is written `name.attribute`.
    `string`: the f-string that it stands in, whose parts have no true positions before Python
    3.12."""

    name: ast.Name
    attribute: ast.Attribute | None
    string: ast.JoinedStr | None


def bound_names(node: ast.AST) -> Iterator[str]:
    """What a statement binds in the scope in which it stands."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, Comprehension):
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                yield inner.target.id
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.id
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    for child in ast.iter_child_nodes(node):
        yield from bound_names(child)


def references(statement: ast.stmt) -> list[Reference]:
    """Each use of a name that no function, class or comprehension of `statement` binds."""
    visitor = _Visitor()
    visitor.visit(statement)
    return visitor.found


class _Visitor(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[Reference] = []
        self._functions: frozenset[str] = frozenset()  # what all functions around bind
        self._class: set[str] | None = None  # and a class so far, for its own statements alone
        self._attribute: ast.Attribute | None = None
        self._string: ast.JoinedStr | None = None

    def visit_Name(self, node: ast.Name) -> None:
        if node.id not in self._functions and not self._is_of_class(node):
            whole = self._attribute if self._attribute and self._attribute.value is node else None
            self.found.append(Reference(node, whole, self._string))

    def _is_of_class(self, node: ast.Name) -> bool:
        if self._class is None:
            return False
        return node.id in self._class or not isinstance(node.ctx, ast.Load)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._attribute = node
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        outer, self._string = self._string, self._string or node
        self.generic_visit(node)
        self._string = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_all(node.decorator_list)
        self._visit_function(node, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        self._visit_function(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        outer, self._class = self._class, set()
        for statement in node.body:
            self.visit(statement)
            self._class.update(bound_names(statement))
        self._class = outer

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_comprehension(node)

    def _visit_function(self, node: Function, body: Iterable[ast.AST]) -> None:
        # Defaults and annotations are read where the function is defined.
        self.visit(node.args)
        if not isinstance(node, ast.Lambda) and node.returns:
            self.visit(node.returns)
        names = {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}
        self._visit_within(names.union(_bound_by(body)), body)

    def _visit_comprehension(self, node: Comprehension) -> None:
        names = {name for part in node.generators for name in bound_names(part.target)}
        self.visit(node.generators[0].iter)  # is read outside; once more below finds nothing new
        self._visit_within(names, ast.iter_child_nodes(node))

    def _visit_within(self, names: Iterable[str], nodes: Iterable[ast.AST]) -> None:
        outer = self._functions, self._class
        self._functions, self._class = self._functions.union(names), None
        self._visit_all(nodes)
        self._functions, self._class = outer

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _bound_by(body: Iterable[ast.AST]) -> Iterator[str]:
    for node in body:
        yield from bound_names(node)
