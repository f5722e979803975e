"""One file out of a program and its modules: `python -m tools.flatten FOLDER` writes both programs.

In: server.py, client.py, and the packages beside them. Out: FOLDER/server.py and FOLDER/client.py,
each complete in itself, to hand in. The modules come in the order in which they need each other,
each under its name, as they are written: comments and layout stay. What changes:

- What the program never comes to is left out, and so are the imports of our own modules.
- A name that two modules have is told apart by the module's: `READ_BYTES` of reactor/stdio.py
  becomes `STDIO_READ_BYTES`.
- The table of `-limits` is written out, since the modules that it is read from are gone.

The same tree gives the same bytes, whatever Python makes them. Raises ValueError for a module
that is written in a way that this does not know.
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeGuard

from cli.flags import VERSION
from cli.limits import format_limits
from tools.names import Reference, bound_names, references

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("server.py", "client.py")
PACKAGES = ("chat", "cli", "codec", "reactor", "terminal")

LINE_CHARACTERS = 100

FINDS_PACKAGES = {"HERE", "MISSING"}
"""Names by which a program finds its packages: what binds or uses them is left out."""

ORIGIN = f"""\
{{program}} of Chatroom {VERSION}: the program and all of its modules in one file, which
`make hand-in` has joined. They stand in the order in which they need each other.
"""


class Definition(NamedTuple):
    """What a name stands for: one at the top of one of our modules, or a whole module if `name` is
    empty. `import_line`: how it is imported if it is not ours."""

    module: str
    name: str
    import_line: str = ""


class Edit(NamedTuple):
    """In a module's source, characters `start` to `end` become `text`."""

    start: int
    end: int
    text: str


class Chunk:
    """One statement at the top of a module, with the comments above it and the text below it."""

    def __init__(self, nodes: list[ast.stmt]) -> None:
        self.node = nodes[0]
        self.nodes = nodes
        self.names = list(bound_names(self.node))
        self.references = references(self.node)
        self.is_import = isinstance(self.node, ast.Import | ast.ImportFrom)
        # Such a one does nothing but bind its names: it is needed if one of them is.
        definitions = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
        self.is_definition = isinstance(self.node, definitions)

    @property
    def last_line(self) -> int:
        return self.nodes[-1].end_lineno or 0

    @property
    def finds_packages(self) -> bool:
        used = {reference.name.id for reference in self.references}
        return bool(FINDS_PACKAGES.intersection(used))


class Module:
    """A file of Python, cut into chunks."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.source = (ROOT / path).read_text("utf-8")
        if path == "cli/limits.py":
            self.source = _write_limits_out(self.source)
        tree = ast.parse(self.source)
        self.docstring = ast.get_source_segment(self.source, tree.body[0])  # each has one
        self._docstring_lines = tree.body[0].end_lineno or 0
        self._line_starts = [0]
        for line in self.source.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))
        self.chunks: list[Chunk] = []
        for node in tree.body[1:]:
            if self.chunks and _is_text(node):
                self.chunks[-1].nodes.append(node)
            else:
                self.chunks.append(Chunk([node]))
        self.meanings = dict(self._find_meanings())

    def offset(self, line: int, column_bytes: int) -> int:
        """The place in `source` that `ast` calls by a line and a column of UTF-8."""
        start, end = self._line_starts[line - 1 : line + 1]
        return start + len(self.source[start:end].encode()[:column_bytes].decode())

    def span(self, node: ast.expr) -> tuple[int, int]:
        """Where an expression starts and ends in `source`."""
        end = self.offset(node.end_lineno or 0, node.end_col_offset or 0)
        return self.offset(node.lineno, node.col_offset), end

    def span_of_chunk(self, chunk: Chunk) -> tuple[int, int]:
        """From the end of the chunk above to the end of its last line."""
        place = self.chunks.index(chunk)
        above = self.chunks[place - 1].last_line if place else self._docstring_lines
        return self._line_starts[above], self._line_starts[chunk.last_line]

    def _find_meanings(self) -> Iterator[tuple[str, Definition]]:
        for chunk in self.chunks:
            if isinstance(chunk.node, ast.Import | ast.ImportFrom):
                yield from _imported(chunk.node)
            else:
                yield from ((name, Definition(self.name, name)) for name in chunk.names)


class Part(NamedTuple):
    """Some of a program's own chunks, and what must stand above them that does not yet."""

    chunks: list[Chunk]
    needed: set[Chunk]
    imports: set[str]


class Program:
    """A program and all modules that it needs, as one text."""

    def __init__(self, path: str) -> None:
        self._modules: dict[str, Module] = {}  # in the order of dependence
        self._begun: set[str] = set()  # to be loaded
        self._program = self._load(path)
        self._needed: set[Chunk] = set()
        self._imports: set[str] = set()
        finders = [chunk for chunk in self._program.chunks if chunk.finds_packages]
        first = self._program.chunks.index(finders[0])
        self._prelude = self._program.chunks[:first]
        for chunk in self._prelude:
            self._need(chunk)
        self._imports.update(line for chunk in self._prelude for line in _import_lines_of(chunk))
        rest = [chunk for chunk in self._program.chunks[first:] if chunk not in finders]
        self._parts = list(self._add_parts(rest))
        self._new_names = dict(self._tell_apart())

    def text(self) -> str:
        """The file. Each part ends its last line."""
        path = self._program.path
        licence = (ROOT / "LICENSE").read_text("utf-8")
        return "\n".join(
            [
                _commented(f"{ORIGIN.format(program=path)}\n{licence}"),
                f"{self._program.docstring}\n",
                "from __future__ import annotations\n",
                self._joined(self._program, self._prelude),
                *(text for part in self._parts for text in self._texts(part)),
            ]
        )

    def _load(self, path: str) -> Module:
        module = Module(path)
        self._begun.add(path)
        for meaning in module.meanings.values():
            for name in (meaning.module, f"{meaning.module}.{meaning.name}"):
                found = "" if meaning.import_line else _path_of(name)
                if found and found not in self._begun:
                    self._load(found)
        self._modules[module.name] = module
        return module

    # What is needed.

    def _add_parts(self, chunks: list[Chunk]) -> Iterator[Part]:
        """What runs above an import is a part of its own, and needed whole: it runs first."""
        parts = _cut_before_imports(chunks)
        for part in parts:
            is_needed, imports = set(self._needed), set(self._imports)
            for chunk in part:
                if not chunk.is_import and (part is not parts[-1] or not chunk.is_definition):
                    self._need(chunk)
            yield Part(part, self._needed - is_needed, self._imports - imports)

    def _need(self, chunk: Chunk, module: Module | None = None) -> None:
        module = module or self._program
        self._needed.add(chunk)
        for reference in chunk.references:
            meaning = self._meaning(module, reference)
            if meaning is None:
                continue
            if meaning.import_line:
                self._imports.add(meaning.import_line)
                continue
            there = self._modules[meaning.module]
            for other in there.chunks:
                if meaning.name in other.names and other not in self._needed:
                    self._need(other, there)

    def _meaning(self, module: Module, reference: Reference) -> Definition | None:
        """What is meant, where it is defined; None for a builtin name."""
        meaning = self._follow(module.meanings.get(reference.name.id))
        if _is_module(meaning) and reference.attribute:
            meaning = self._follow(Definition(meaning.module, reference.attribute.attr))
        if _is_module(meaning):
            line = reference.name.lineno
            raise ValueError(f"{module.path}:{line}: a module of ours is used as a value")
        return meaning

    def _follow(self, meaning: Definition | None) -> Definition | None:
        """Through the modules that import it from each other."""
        while meaning and meaning.name and not meaning.import_line:
            whole = f"{meaning.module}.{meaning.name}"
            if whole in self._modules:
                return Definition(whole, "")
            there = self._modules[meaning.module].meanings.get(meaning.name)
            if there == meaning:
                break
            meaning = there
        return meaning

    def _tell_apart(self) -> Iterator[tuple[Definition, str]]:
        owners: dict[str, set[Definition]] = defaultdict(set)
        for module in self._modules.values():
            for chunk in self._needed.intersection(module.chunks):
                for name in () if chunk.is_import else chunk.names:
                    owners[name].add(Definition(module.name, name))
        for line in self._imports:
            name = line.split()[-1].partition(".")[0]
            owners[name].add(Definition("", name, line))
        for name, definitions in owners.items():
            if len(definitions) > 1 or hasattr(builtins, name):
                for definition in definitions:
                    if not definition.import_line:
                        yield definition, _with_module(definition)

    # What is written.

    def _texts(self, part: Part) -> Iterator[str]:
        *modules, _ = self._modules.values()
        yield _format_imports(part.imports)
        yield from filter(None, (self._section(module, part) for module in modules))
        yield _banner(self._program.path)
        yield "\n" + self._joined(self._program, part.chunks)

    def _section(self, module: Module, part: Part) -> str:
        kept = [chunk for chunk in module.chunks if chunk in part.needed]
        if not kept:
            return ""
        is_plain = isinstance(kept[0].node, ast.Assign | ast.AnnAssign)
        is_first = part is next(part for part in self._parts if part.needed & {*module.chunks})
        docstring = [f"{module.docstring}\n"] if is_first else []
        head = [_banner(module.path), *docstring, "" if is_plain else "\n"]
        return "\n".join(head) + self._joined(module, kept)

    def _joined(self, module: Module, chunks: Iterable[Chunk]) -> str:
        texts = [self._edited(module, chunk) for chunk in chunks if chunk in self._needed]
        return "".join(texts).strip("\n") + "\n" if texts else ""

    def _edited(self, module: Module, chunk: Chunk) -> str:
        start, end = module.span_of_chunk(chunk)
        text = module.source[start:end]
        for edit in sorted(set(self._edits(module, chunk)), reverse=True):
            text = text[: edit.start - start] + edit.text + text[edit.end - start :]
        return text

    def _edits(self, module: Module, chunk: Chunk) -> Iterator[Edit]:
        strings: dict[tuple[int, int], dict[str, str]] = defaultdict(dict)
        for reference in chunk.references:
            meaning = self._meaning(module, reference)
            if meaning is None or meaning.import_line:
                continue
            is_of_module = reference.attribute and meaning.name == reference.attribute.attr
            whole = reference.attribute if is_of_module else None
            written = ast.unparse(whole or reference.name)
            new = self._new_names.get(meaning, meaning.name)
            if reference.string:
                strings[module.span(reference.string)][written] = new
            elif written != new:
                yield Edit(*module.span(whole or reference.name), new)
        for (start, end), names in strings.items():
            yield Edit(start, end, _replace_in_braces(module.source[start:end], names))
        yield from self._edits_of_name(module, chunk)
        yield from self._edits_of_prose(module, chunk)

    def _edits_of_name(self, module: Module, chunk: Chunk) -> Iterator[Edit]:
        """Behind `def` or `class`, which is no expression."""
        if not isinstance(chunk.node, ast.FunctionDef | ast.ClassDef):
            return
        new = self._new_names.get(Definition(module.name, chunk.node.name))
        if new:
            start = module.offset(chunk.node.lineno, chunk.node.col_offset)
            start = module.source.index(chunk.node.name, start)
            yield Edit(start, start + len(chunk.node.name), new)

    def _edits_of_prose(self, module: Module, chunk: Chunk) -> Iterator[Edit]:
        """In comments and docstrings, so that they stay true. A plain word is left alone."""
        names = {
            name: self._new_names[meaning]
            for name, meaning in module.meanings.items()
            if meaning in self._new_names and "_" in name
        }
        if not names:
            return
        for start, end in _prose(module, chunk):
            text = module.source[start:end]
            new = _replace_words(text, names)
            if new != text:
                yield Edit(start, end, new)


def _is_module(meaning: Definition | None) -> TypeGuard[Definition]:
    return meaning is not None and not meaning.name and not meaning.import_line


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Definition]]:
    """The names that an import binds, and what each of them means."""
    for alias in node.names:
        renamed = f" as {alias.asname}" if alias.asname else ""
        module = alias.name if isinstance(node, ast.Import) else node.module or ""
        is_ours = module.partition(".")[0] in PACKAGES
        if isinstance(node, ast.Import):
            line = "" if is_ours else f"import {alias.name}{renamed}"
            yield alias.asname or alias.name.partition(".")[0], Definition(module, "", line)
        else:
            line = "" if is_ours else f"from {module} import {alias.name}{renamed}"
            yield alias.asname or alias.name, Definition(module, alias.name, line)


def _cut_before_imports(chunks: list[Chunk]) -> list[list[Chunk]]:
    parts: list[list[Chunk]] = [[]]
    for chunk in chunks:
        if chunk.is_import and parts[-1] and not parts[-1][-1].is_import:
            parts.append([])
        parts[-1].append(chunk)
    return parts


def _import_lines_of(chunk: Chunk) -> Iterator[str]:
    if isinstance(chunk.node, ast.Import | ast.ImportFrom):
        yield from (meaning.import_line for _, meaning in _imported(chunk.node))


def _path_of(name: str) -> str:
    """The file of one of our modules, relative to ROOT; empty if there is none."""
    path = name.replace(".", "/")
    if name.partition(".")[0] in PACKAGES:
        for candidate in (f"{path}.py", f"{path}/__init__.py"):
            if (ROOT / candidate).is_file():
                return candidate
    return ""


def _with_module(definition: Definition) -> str:
    stem, name = definition.module.rpartition(".")[2], definition.name
    if name.isupper():
        return f"{stem.upper()}_{name}"
    if name[:1].isupper():
        return stem.title() + name
    return f"_{stem}{name}" if name.startswith("_") else f"{stem}_{name}"


def _replace_words(text: str, names: dict[str, str]) -> str:
    pattern = "|".join(rf"(?<![\w.]){re.escape(name)}(?!\w)" for name in names)
    return re.sub(pattern, lambda found: names[found[0]], text)


def _replace_in_braces(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\{[^{}]*", lambda found: _replace_words(found[0], names), text)


def _prose(module: Module, chunk: Chunk) -> Iterator[tuple[int, int]]:
    """Where the comments and docstrings of a chunk are."""
    for node in chunk.nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Expr) and _is_text(inner):
                yield module.span(inner.value)
    start, end = module.span_of_chunk(chunk)
    readline = io.StringIO(module.source).readline
    for token in tokenize.generate_tokens(readline):
        if token.type == tokenize.COMMENT:
            place = module.offset(token.start[0], 0) + token.start[1]
            if start <= place < end:
                yield place, place + len(token.string)


def _write_limits_out(source: str) -> str:
    """cli/limits.py with the table itself in place of what reads it from the modules."""
    function = next(node for node in ast.parse(source).body if _is_function(node, "format_limits"))
    lines = source.splitlines(keepends=True)
    lines[function.lineno - 1 : function.end_lineno] = [
        "LIMITS = (\n",
        *(f"    {piece}\n" for piece in _quoted(format_limits())),
        ")\n",
        "\n\n",
        "def format_limits() -> str:\n",
        '    """A line for each, and its reason below it."""\n',
        "    return LIMITS\n",
    ]
    # How a limit is set in code is told of modules that are no more.
    text = "".join(lines)
    return text[: text.index("\n\nA limit")] + "\n" + text[text.index('"""\n\nfrom') :]


def _is_function(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


def _quoted(text: str) -> Iterator[str]:
    """String literals that together make `text`, none longer than a line."""
    for line in text.splitlines(keepends=True):
        words = line.split(" ")
        piece = words[0]
        for word in words[1:]:
            if len(piece) + len(word) > LINE_CHARACTERS - 12:
                yield _literal(f"{piece} ")
                piece = word
            else:
                piece += f" {word}"
        yield _literal(piece)


def _literal(text: str) -> str:
    quote = "'" if '"' in text else '"'
    return quote + text.replace("\n", "\\n") + quote


def _banner(path: str) -> str:
    return f"\n# {path} {'-' * (LINE_CHARACTERS - len(path) - 3)}\n"


def _commented(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.strip("\n").split("\n"))


def _format_imports(import_lines: Iterable[str]) -> str:
    """Sorted, whole modules first, one line for each module."""
    whole = sorted(line for line in import_lines if line.startswith("import "))
    names = defaultdict(list)
    for line in import_lines:
        if line.startswith("from "):
            module, name = line.removeprefix("from ").split(" import ")
            names[module].append(name)
    for module, listed in sorted(names.items()):
        listed.sort(key=_case_rank)
        line = f"from {module} import {', '.join(listed)}"
        if len(line) > LINE_CHARACTERS:
            line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in listed) + ")"
        whole.append(line)
    return "\n".join(whole) + "\n"


def _case_rank(name: str) -> tuple[int, str]:
    """Constants, classes, functions, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tools.flatten FOLDER\n")
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        (folder / program).write_text(Program(program).text(), "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
