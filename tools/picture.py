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
from html import escape
from pathlib import Path

from tools.session import ROOT, Step, read_sessions, run_session
from tools.window_picture import UIS, draw_window

LINE_HEIGHT = 17
CHARACTER_WIDTH = 7.25
MARGIN = 14
TITLE_HEIGHT = 26
GAP = 12

INK = {"$": "#8b949e", ">": "#7ee787", "|": "#e6edf3", "+": "#7ee787", "-": "#ff7b72"}
STYLE = (
    "text { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace;"
    " white-space: pre }"
)

REPORT = "python3 -m grader tests/grader/solutions/echo --only broadcast --jobs 1"
"""One case at once: the others would be reported as they end."""


def draw(title: str, steps: list[Step]) -> str:
    """The picture: a terminal for each name, one above the other, in the order they appear."""
    terminals: dict[str, list[Step]] = {}
    for step in steps:
        terminals.setdefault(step.terminal, []).append(step)
    columns = max(len(shown(step)) for step in steps)
    width = round(columns * CHARACTER_WIDTH + 2 * MARGIN)
    parts: list[str] = []
    top = 0
    for name, lines in terminals.items():
        height = TITLE_HEIGHT + len(lines) * LINE_HEIGHT + MARGIN
        parts.append(draw_terminal(name, lines, top, width, height))
        top += height + GAP
    height = top - GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" xml:space="preserve">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n" + "".join(parts) + "</svg>\n"
    )


def draw_terminal(name: str, lines: list[Step], top: int, width: int, height: int) -> str:
    parts = [
        f'<rect y="{top}" width="{width}" height="{height}" rx="8" fill="#0d1117"/>\n',
        f'<text x="{MARGIN}" y="{top + 18}" fill="#6e7681">{escape(name)}</text>\n',
    ]
    for number, step in enumerate(lines, start=1):
        y = top + TITLE_HEIGHT + number * LINE_HEIGHT - 4
        text = escape(shown(step))
        parts.append(f'<text x="{MARGIN}" y="{y}" fill="{INK[step.mark]}">{text}</text>\n')
    return "".join(parts)


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
    Path(sys.argv[1]).write_text(draw("A session of the chat room", run_session(session)), "utf-8")
    Path(sys.argv[2]).write_text(draw("A report of the grader", run_report()), "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for place, ui in enumerate(UIS, start=3):
            Path(sys.argv[place]).write_text(draw_window(Path(folder) / "clock", ui), "utf-8")


if __name__ == "__main__":
    main()
