"""Draws terminals as SVG: `picture.py <session.svg> <report.svg> <line.svg> <full.svg>`.

The session is the longest of README.md, the report is the grader's of a solution with one mistake;
the others are the clients that draw (tools.window_picture). What is drawn is what the programs
printed just now.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import textwrap
from html import escape
from pathlib import Path
from typing import NamedTuple

from tools.ink import DARK, EDGE
from tools.session import ROOT, Step, read_sessions, run_session
from tools.window_picture import UIS, draw_window

WIDTH = 880
GAP = 12

GROUND = DARK["page"]
INK = {
    "$": DARK["quiet"],
    ">": DARK["good"],
    "|": DARK["ink"],
    "+": DARK["good"],
    "-": DARK["bad"],
}


class Font(NamedTuple):
    """Sizes in pixels."""

    size: int
    line: int
    character: float
    margin: int = 14
    title: int = 28


SESSION_FONT = Font(15, 22, 9.03)
"""Legible where the picture is drawn at half its size."""

REPORT_FONT = Font(12, 17, 7.25)

REPORT = "python3 -m grader tests/grader/solutions/echo --only broadcast --jobs 1"
"""One case at once: the others would be reported as they end."""


def draw_session(title: str, steps: list[Step]) -> str:
    """The picture: the first terminal, which is the server's, above the two others side by side.
    What one of these types and the other reads of it stand on one height."""
    font = SESSION_FONT
    first, *others = dict.fromkeys(step.terminal for step in steps)
    width = (WIDTH - GAP * (len(others) - 1)) // len(others)
    most = int((width - 2 * font.margin) / font.character)
    rows: dict[str, int] = dict.fromkeys(others, 0)
    lines: dict[str, list[tuple[int, str, str]]] = {name: [] for name in (first, *others)}
    for step in steps:
        if step.terminal == first:
            lines[first].append((len(lines[first]), step.mark, shown(step)))
            continue
        if step.mark != "|":
            rows = dict.fromkeys(others, max(rows.values()))
        for text in wrap(shown(step), most):
            lines[step.terminal].append((rows[step.terminal], step.mark, text))
            rows[step.terminal] += 1
    middle = terminal_height(len(lines[first]), font)
    below = terminal_height(max(rows.values()), font)
    parts = [draw_terminal(first, lines[first], (0, 0), (WIDTH, middle), font)]
    for place, name in enumerate(others):
        corner = (place * (width + GAP), middle + GAP)
        parts.append(draw_terminal(name, lines[name], corner, (width, below), font))
    return draw_page(title, parts, WIDTH, middle + GAP + below, font)


def draw(title: str, steps: list[Step]) -> str:
    """A picture of one terminal, as wide as its longest line."""
    font = REPORT_FONT
    width = round(max(len(shown(step)) for step in steps) * font.character + 2 * font.margin)
    height = terminal_height(len(steps), font)
    lines = [(row, step.mark, shown(step)) for row, step in enumerate(steps)]
    terminal = draw_terminal(steps[0].terminal, lines, (0, 0), (width, height), font)
    return draw_page(title, [terminal], width, height, font)


def draw_page(title: str, parts: list[str], width: int, height: int, font: Font) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" xml:space="preserve">\n'
        f"<title>{escape(title)}</title>\n<style>text {{ font: {font.size}px ui-monospace,"
        " 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre }</style>\n"
        + "".join(parts)
        + "</svg>\n"
    )


def draw_terminal(
    name: str,
    lines: list[tuple[int, str, str]],
    corner: tuple[int, int],
    size: tuple[int, int],
    font: Font,
) -> str:
    """A terminal; each of its lines is (row, mark, text)."""
    (left, top), (width, height) = corner, size
    x = left + font.margin
    parts = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="8" fill="{GROUND}"'
        f"{EDGE}/>\n",
        f'<text x="{x}" y="{top + 19}" fill="{DARK["quiet"]}">{escape(name)}</text>\n',
    ]
    for row, mark, text in lines:
        y = top + font.title + (row + 1) * font.line - 5
        parts.append(f'<text x="{x}" y="{y}" fill="{INK[mark]}">{escape(text)}</text>\n')
    return "".join(parts)


def terminal_height(rows: int, font: Font) -> int:
    return font.title + rows * font.line + font.margin


def wrap(text: str, most: int) -> list[str]:
    """A command that is too long for a row goes on in the next, as one would type it."""
    lines = textwrap.wrap(text, most - 2, subsequent_indent="    ")
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]] if len(lines) > 1 else [text]


def shown(step: Step) -> str:
    """The line as it stands in the terminal."""
    return f"$ {step.text}" if step.mark == "$" else step.text


def run_report() -> list[Step]:
    """The grader's report, its failures and the lines of its differences marked as such."""
    _, *arguments = shlex.split(REPORT)
    run = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert run.returncode == 1, run.stderr
    lines = run.stdout.splitlines()
    return [Step("grader", "$", REPORT), *(Step("grader", mark(line), line) for line in lines)]


def mark(line: str) -> str:
    """As on a terminal: what is wrong, what is right, and all else."""
    if line.startswith("FAIL") or line[5:6] == "\u2717":
        return "-"
    return "+" if line.startswith("ok ") or line[5:6] == "\u2713" else "|"


def main() -> None:
    session = max(read_sessions(ROOT / "README.md"), key=len)
    Path(sys.argv[1]).write_text(
        draw_session("A session of the chat room", run_session(session)), "utf-8"
    )
    Path(sys.argv[2]).write_text(draw("A report of the grader", run_report()), "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for place, ui in enumerate(UIS, start=3):
            Path(sys.argv[place]).write_text(draw_window(Path(folder) / "clock", ui), "utf-8")


if __name__ == "__main__":
    main()
