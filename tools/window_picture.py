"""Draws the screen of a client that draws as SVG, from a run of the real programs."""

from __future__ import annotations

import sys
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.support.programs import PASSCODE, Room
from tests.support.window import FullWindow, LineWindow, Window, clock_patch
from tools.ink import DARK, EDGE

LINE_HEIGHT = 17
CHARACTER_WIDTH = 7.224  # of the fonts below
MARGIN = 14
TITLE_HEIGHT = 26

UIS: dict[str, tuple[type[Window], tuple[int, int], str]] = {
    "line": (LineWindow, (19, 80), "half a li"),
    "full": (FullWindow, (25, 100), ":"),
}
"""What shows it, its size, and what is being typed."""

GROUND, INK = DARK["page"], DARK["ink"]

TYPED = "typed, and then she looks elsewhere"

SCRIPT = (
    ("bob", "is the reactor assignment due on Friday?"),
    ("carol", "yes, 23:59 :)"),
    ("dave", "Alice: could you look at my select() loop?"),
    ("dave", "it drops the last line when the peer closes"),
    ("", 'dave: EOF is a readable event, too: try recv() == b""\\r'),
    ("dave", "that was it, thanks"),
    (
        "carol",
        "a long line that wraps at a word because it goes on and on, to a second row: 日本語, café",
    ),
    ("", TYPED),
    ("dave", ":Msg Alice do you have the solution to number 3?"),
    ("bob", "who is at the whiteboard session tomorrow?"),
)
"""Who says what; lines of no one are keys of Alice."""


def draw_window(clock: Path, ui: str) -> str:
    """The picture; `clock` is a file for the time of day."""
    kind, size, typed = UIS[ui]
    with Room() as room:
        people = {name: room.connect(name) for name in ("bob", "carol", "dave")}
        program = f"import sys, client; {clock_patch(clock)}; sys.exit(client.main())"
        flags = ["-join", "-host=127.0.0.1", f"-port={room.port}", "-username=Alice"]
        command = [sys.executable, "-c", program, *flags, f"-passcode={PASSCODE}", f"-ui={ui}"]
        window = room.run(kind, "Alice", command, size=size)
        window.sees(typed="Alice·1❯")
        for number, (name, person) in enumerate(people.items(), start=2):
            person.types(f"JOIN {name} {PASSCODE}")
            window.sees(typed=f"Alice·{number}❯")
        for name, text in SCRIPT:
            rows = len(window.said())
            if name:
                people[name].types(text)
            else:
                window.keys(text.replace(TYPED, f"{typed}\\x1b[O"))
            if name or text.endswith("\\r"):
                window.waits_for(lambda rows=rows: len(window.said()) > rows)  # type: ignore[misc]
            else:
                window.sees(typed=f"Alice·4❯ {typed}")
        picture = draw_screen(f"python3 client.py -ui {ui}", window.screen)
        window.keys("\\x15\\x04")
        window.closes(0)
        for person in people.values():
            person.close()
        room.server.terminate()
    return picture.replace(str(room.port), "65432")


def draw_screen(title: str, screen: Any) -> str:
    """A screen of pyte's."""
    width = round(screen.columns * CHARACTER_WIDTH + 2 * MARGIN)
    height = TITLE_HEIGHT + screen.lines * LINE_HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" xml:space="preserve">\n'
        f"<title>{escape(title)}</title>\n<style>text {{ font: 12px ui-monospace,"
        " 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre }</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="{GROUND}"{EDGE}/>\n'
        f'<text x="{MARGIN}" y="18" fill="{DARK["quiet"]}">{escape(title)}</text>\n'
    ]
    for line in range(screen.lines):
        places = [(column, screen.buffer[line][column]) for column in range(screen.columns)]
        for style, group in groupby(places, key=lambda place: place[1]._replace(data="")):
            run = list(group)
            for is_blank, words in groupby(run, key=lambda place: place[1].data == " "):
                piece = list(words)
                if not is_blank or style.reverse:
                    text = "".join(x.data for _, x in piece)
                    parts.append(draw_run(text, style, piece[0][0], line))
    return "".join(parts) + "</svg>\n"


def draw_run(text: str, style: Any, column: int, line: int) -> str:
    """Neighbours that are drawn alike."""
    if not text.strip():
        return ""
    x = MARGIN + column * CHARACTER_WIDTH
    y = TITLE_HEIGHT + (line + 1) * LINE_HEIGHT - 4
    ink = INK if style.fg == "default" else f"#{style.fg}"
    ground = ""
    if style.reverse:
        width = len(text) * CHARACTER_WIDTH
        ground = f'<rect x="{x}" y="{y - 12}" width="{width}" height="15" fill="{ink}"/>'
        ink = GROUND
    look = ' font-weight="bold"' * style.bold + ' font-style="italic"' * style.italics
    return f'{ground}<text x="{x}" y="{y}" fill="{ink}"{look}>{escape(text)}</text>\n'
