"""Draws the house from its imports: `python -m tools.structure docs/architecture.svg`.

A box is a layer with its modules; an arrow says that the upper one imports the lower one. An arrow
that others imply is left out: the server imports the codec, too.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from tools.ink import DARK, LIGHT

ROOT = Path(__file__).resolve().parent.parent

LAYERS = {
    "server": "the room: starts it, serves it, ends it",
    "client": "a member: joins, talks, listens",
    "cli": "what both programs share: flags, start, limits",
    "chat": "the room, for the server",
    "tracing": "the same parts, with a record",
    "web": "the room in a browser",
    "cluster": "one room on several servers",
    "terminal": "what a person sees and types",
    "codec": "bytes and text: pure, no socket, no clock",
    "reactor": "bytes, sockets, time: knows no chat",
}
"""What is drawn, from left to right in each row, and what each is for."""

WIDTH = 880
MARGIN = 16
GAP = 16
FALL = 56  # from one row down to the next: room for the arrows
PAD = 14
TITLE = 24
LINE = 21
CHARACTER = 8.3


class Box(NamedTuple):
    """One layer, where it is drawn, in pixels."""

    name: str
    purpose: list[str]
    modules: list[str]
    left: float
    top: float
    width: float
    height: float


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """The first part of each name that is imported, wherever in the file; "." for a relative one,
    which hides where it leads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0] if not node.level else "."


def files_of(layer: str) -> list[Path]:
    program = ROOT / f"{layer}.py"
    return [program] if program.exists() else sorted((ROOT / layer).rglob("*.py"))


def read_imports() -> dict[str, set[str]]:
    """Each layer, and the other layers that its files import."""
    found = {}
    for layer in LAYERS:
        names = (imported_modules(ast.parse(path.read_text())) for path in files_of(layer))
        found[layer] = {name for each in names for name in each if name in LAYERS} - {layer}
    return found


def reduce(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same without what is implied: where there is a longer way from one to the other."""

    def reachable(layer: str) -> set[str]:
        return imports[layer].union(*(reachable(each) for each in imports[layer]))

    return {
        layer: {
            each
            for each in below
            if not any(each in reachable(other) for other in below if other != each)
        }
        for layer, below in imports.items()
    }


def height_of(layer: str, imports: dict[str, set[str]]) -> int:
    """How many rows lie below it."""
    return max((1 + height_of(each, imports) for each in imports[layer]), default=0)


def rows_of(imports: dict[str, set[str]]) -> list[list[str]]:
    """The layers in rows, the programs first."""
    rows: dict[int, list[str]] = {}
    for layer in LAYERS:
        rows.setdefault(height_of(layer, imports), []).append(layer)
    return [rows[height] for height in sorted(rows, reverse=True)]


def place(rows: list[list[str]]) -> dict[str, Box]:
    """Rows from top to bottom; in a row, more room for a layer of more modules."""
    boxes: dict[str, Box] = {}
    top = float(MARGIN)
    for row in rows:
        modules = {layer: modules_of(layer) for layer in row}
        weights = {layer: 7 + len(" ".join(names)) ** 0.5 for layer, names in modules.items()}
        room = WIDTH - 2 * MARGIN - GAP * (len(row) - 1)
        widths = {layer: room * weight / sum(weights.values()) for layer, weight in weights.items()}
        texts = {
            layer: (wrap(LAYERS[layer], widths[layer]), wrap(", ".join(names), widths[layer]))
            for layer, names in modules.items()
        }
        most_lines = max(len(purpose) + len(names) for purpose, names in texts.values())
        height = PAD + TITLE + LINE * most_lines + PAD / 2
        left = float(MARGIN)
        for layer in row:
            boxes[layer] = Box(layer, *texts[layer], left, top, widths[layer], height)
            left += widths[layer] + GAP
        top += height + FALL
    return boxes


def modules_of(layer: str) -> list[str]:
    """The names of its modules; none for a program, which is one."""
    names = [path.stem for path in files_of(layer)]
    return [name for name in names if name not in ("__init__", "__main__", layer)]


def wrap(text: str, width: float) -> list[str]:
    """The lines of a text in a box so wide."""
    return textwrap.wrap(text, int((width - 2 * PAD) / CHARACTER))


def draw(boxes: dict[str, Box], arrows: dict[str, set[str]]) -> str:
    height = round(max(box.top + box.height for box in boxes.values())) + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img">\n'
        "<title>The layers of the chat room, and which imports which</title>\n"
        f"<style>{_style()}</style>\n"
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9"'
        ' markerHeight="9" orient="auto"><path d="M0 0L10 5L0 10z"/></marker></defs>\n'
        f'<rect class="page" width="{WIDTH}" height="{height}"/>\n'
        + "".join(_draw_arrows(boxes, arrows))
        + "".join(map(_draw_box, boxes.values()))
        + "</svg>\n"
    )


def _draw_arrows(boxes: dict[str, Box], arrows: dict[str, set[str]]) -> Iterator[str]:
    """From the lower edge to the upper one, those of one box side by side, in the order in which
    their other ends stand: then fewer cross."""

    def middle(name: str) -> float:
        return boxes[name].left + boxes[name].width / 2

    for upper, below in arrows.items():
        for lower in sorted(below):
            parents = sorted((name for name in arrows if lower in arrows[name]), key=middle)
            children = sorted(below, key=middle)
            start, end = boxes[upper], boxes[lower]
            from_x = start.left + start.width * (1 + children.index(lower)) / (1 + len(children))
            to_x = end.left + end.width * (1 + parents.index(upper)) / (1 + len(parents))
            yield (
                f'<line x1="{from_x:.0f}" y1="{start.top + start.height:.0f}" x2="{to_x:.0f}"'
                f' y2="{end.top:.0f}" marker-end="url(#head)"/>\n'
            )


def _draw_box(box: Box) -> str:
    parts = [
        f'<rect class="box" x="{box.left:.0f}" y="{box.top:.0f}" width="{box.width:.0f}"'
        f' height="{box.height:.0f}" rx="8"/>\n',
        f'<text class="name" x="{box.left + PAD:.0f}" y="{box.top + PAD + 12:.0f}">'
        f"{box.name}{'.py' if not modules_of(box.name) else ''}</text>\n",
    ]
    y = box.top + PAD + 12 + TITLE
    for number, line in enumerate([*box.purpose, *box.modules]):
        kind = "purpose" if number < len(box.purpose) else "module"
        parts.append(
            f'<text class="{kind}" x="{box.left + PAD:.0f}" y="{y + number * LINE:.0f}">'
            f"{escape(line)}</text>\n"
        )
    return "".join(parts)


def _style() -> str:
    def hues(c: dict[str, str]) -> str:
        return (
            f".page{{fill:{c['page']}}}.box{{fill:{c['band']};stroke:{c['lane']}}}"
            f"text{{fill:{c['ink']}}}.purpose{{fill:{c['quiet']}}}"
            f"line{{stroke:{c['quiet']}}}path{{fill:{c['quiet']}}}"
        )

    return (
        "text{font:16px system-ui,'DejaVu Sans',sans-serif}.name{font-size:20px;font-weight:600}"
        f"line{{stroke-width:1.5}}{hues(LIGHT)}@media (prefers-color-scheme:dark){{{hues(DARK)}}}"
    )


def drawing() -> str:
    imports = read_imports()
    return draw(place(rows_of(imports)), reduce(imports))


def main() -> None:
    Path(sys.argv[1]).write_text(drawing(), "utf-8")


if __name__ == "__main__":
    main()
