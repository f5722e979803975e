"""Draws a Ladder as SVG, legible at half of its 880 pixels, light and dark; or as a page.

In: a Ladder. Out: text. The colours follow the reader's own setting (prefers-color-scheme). Each
arrow has its bytes as a title, which a browser shows under the pointer; the page shows them below.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tools.diagram.ladder import Band, Column, Ladder, Row
from tools.ink import DARK, HUES, LIGHT

WIDTH = 880
LEFT = 96
RIGHT = 20
ROW = 31
HEAD = 64
PAD = 7
DATA_CHARACTER = 9.06
NOTE_CHARACTER = 8.0

PAGE = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ margin: 0 auto 5em; max-width: 880px; background: #fff; color: #1f2328 }}
#bytes {{ position: fixed; inset: auto 0 0; margin: 0; padding: .8em 1em; min-height: 2.5em;
  background: #f3f5f8; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }}
svg {{ width: 100%; height: auto }}
g.move:hover line {{ stroke-width: 3 }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #0d1117; color: #e6edf3 }} #bytes {{ background: #161b22 }}
}}
</style>
{svg}
<pre id="bytes">Point at an arrow to see its bytes.</pre>
<script>
document.querySelectorAll("g.move").forEach(g => g.addEventListener("pointerenter",
  () => document.getElementById("bytes").textContent = g.querySelector("title").textContent));
</script>
"""


def draw(ladder: Ladder) -> str:
    """The picture."""
    return _Picture(ladder).text


def draw_page(ladder: Ladder) -> str:
    """A page with the picture, which shows the bytes of the arrow under the pointer."""
    return PAGE.format(title=escape(ladder.title), svg=draw(ladder))


class _Picture:
    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder
        self._places = _places(ladder.columns)
        self._row_y: dict[int, float] = {}  # by id of the row
        self._height = HEAD
        self._tops = [self._place(band) for band in ladder.bands]
        self._footer = self._height + 8
        self._height += 22 + 20 * len(ladder.footnotes)
        parts = [
            *self._bands(),
            *self._lanes(),
            *self._titles(),
            *self._brackets(),
            *self._rows(),
            *self._footnotes(),
        ]
        self.text = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}"'
            f' width="{WIDTH}" height="{self._height}" role="img">\n'
            f"<title>{escape(ladder.title)}</title>\n<style>{_style()}</style>\n"
            f'<rect class="page" width="{WIDTH}" height="{self._height}"/>\n'
            + "\n".join(parts)
            + "\n</svg>\n"
        )

    def _place(self, band: Band) -> tuple[int, int]:
        """Give its rows their places; its top and height."""
        top = self._height
        rows = [row for row in band.rows if row.kind not in ("open", "end")]
        for number, row in enumerate(rows):
            self._row_y[id(row)] = top + PAD + ROW * number + 21
        height = max(ROW * len(rows), ROW + 6 if band.title else ROW) + 2 * PAD
        for row in band.rows:
            self._row_y.setdefault(id(row), top + (height if row.kind == "end" else 0))
        self._height += height
        return top, height

    def _x(self, column: int | None) -> float:
        return self._places[-1 if column is None else column]

    # Behind the rows.

    def _bands(self) -> Iterator[str]:
        for number, (band, (top, height)) in enumerate(
            zip(self._ladder.bands, self._tops, strict=True)
        ):
            if number % 2 == 0:
                yield f'<rect class="band" y="{top}" width="{WIDTH}" height="{height}"/>'
            yield f'<text class="turn" x="12" y="{top + PAD + 14}">{band.title}</text>'
            if band.seconds is not None:
                time = f"{band.seconds:.3f} s"
                yield f'<text class="time" x="12" y="{top + PAD + 31}">{time}</text>'

    def _lanes(self) -> Iterator[str]:
        middle = self._x(None)
        yield f'<line class="middle" x1="{middle}" x2="{middle}" y1="{HEAD}" y2="{self._footer}"/>'
        rows = [row for band in self._ladder.bands for row in band.rows]
        for number, column in enumerate(self._ladder.columns):
            x, hue = self._x(number), column.hue
            opens = [self._row_y[id(r)] for r in rows if (r.kind, r.column) == ("open", number)]
            ends = [self._row_y[id(r)] for r in rows if (r.kind, r.column) == ("end", number)]
            start = min(opens, default=HEAD)
            end = max(ends) if ends and len(ends) == len(opens) else self._footer
            yield f'<line class="off" x1="{x}" x2="{x}" y1="{HEAD}" y2="{self._footer}"/>'
            yield f'<line class="lane c{hue}" x1="{x}" x2="{x}" y1="{start}" y2="{end}"/>'
            if end < self._footer:
                yield f'<path class="c{hue} cap" d="M{x - 5} {end - 1}h10"/>'

    def _brackets(self) -> Iterator[str]:
        for row in (row for band in self._ladder.bands for row in band.rows):
            if row.cut_from and id(row.cut_from) in self._row_y:
                yield self._bracket(row, self._row_y[id(row.cut_from)], self._row_y[id(row)])

    def _titles(self) -> Iterator[str]:
        yield f'<text class="title" x="{self._x(None)}" y="40">{escape(self._ladder.middle)}</text>'
        for number, column in enumerate(self._ladder.columns):
            yield (
                f'<text class="title f{column.hue}" x="{self._x(number)}" y="40">'
                f"{escape(column.title)}</text>"
            )

    def _footnotes(self) -> Iterator[str]:
        for number, note in enumerate(self._ladder.footnotes):
            y = self._footer + 20 + 20 * number
            yield f'<text class="note bad" x="{WIDTH / 2}" y="{y}">{escape(note)}</text>'

    # Rows.

    def _rows(self) -> Iterator[str]:
        for number, band in enumerate(self._ladder.bands):
            yield f'<g class="b{number % 2}">'
            yield from (part for row in band.rows for part in self._row(row))
            yield "</g>"

    def _row(self, row: Row) -> Iterator[str]:
        y = self._row_y[id(row)]
        if row.kind in ("open", "end"):
            return
        if row.kind == "note":
            yield self._note(row, y)
            return
        yield from self._arrow(row, y)

    def _note(self, row: Row, y: float) -> str:
        text = f"→ {row.text}" if row.tone == "deliver" else row.text
        x = self._x(row.column)
        room = 2 * (min(x - LEFT, WIDTH - RIGHT - x) + 12)
        shown = _fit(text, max(room, 220), NOTE_CHARACTER)
        half = len(shown) * NOTE_CHARACTER / 2
        x = min(max(x, LEFT - 12 + half), WIDTH - 8 - half)
        title = f"<title>{escape(f'{row.text} ({row.detail})' if row.detail else row.text)}</title>"
        return (
            f'<text class="note {row.tone}" x="{x:.1f}" y="{y - 1}">{title}{escape(shown)}</text>'
        )

    def _arrow(self, row: Row, y: float) -> Iterator[str]:
        ends = (self._x(row.column), self._x(None))
        start, end = ends if row.by_peer else ends[::-1]
        step = 1 if end > start else -1
        hue = "bad" if row.tone == "bad" else f"c{self._ladder.columns[row.column or 0].hue}"
        dash = " none" if row.kind == "send" and not row.size else ""
        suffix = _suffix(row)
        room = abs(end - start) - 32 - len(suffix) * DATA_CHARACTER
        label = _fit(row.text, room, DATA_CHARACTER)
        kind = "label" if row.kind in ("recv", "send") else "label signal"
        line_end = end - 2 * step if not dash else (start + end) / 2
        more = f'<tspan class="cut" dx="8">{escape(suffix)}</tspan>' if suffix else ""
        yield f'<g class="move"><title>{escape(row.detail or row.text)}</title>'
        yield f'<line class="{hue}{dash}" x1="{start}" x2="{line_end}" y1="{y + 3}" y2="{y + 3}"/>'
        if dash:
            yield f'<path class="{hue} tip" d="M{line_end} {y - 2}v10"/>'
        else:
            tail = end - 8 * step
            tip = f"M{tail} {y - 1}L{end - step} {y + 3}L{tail} {y + 7}"
            yield f'<path class="{hue} tip" d="{tip}"/>'
        x = (start + end) / 2
        label = escape(label)
        yield f'<text class="{kind} {row.tone}" x="{x}" y="{y - 2}">{label}{more}</text></g>'

    def _bracket(self, row: Row, top: float, bottom: float) -> str:
        """Beside the lane of the one that has sent or is sent what was cut."""
        lane = self._x(row.column)
        away = 7 if lane > self._x(None) else -7
        x = lane + away
        return (
            f'<path class="bracket" d="M{lane + away / 3:.1f} {top + 3}H{x}V{bottom + 3}'
            f'H{lane + away / 3:.1f}"/>'
        )


def _places(columns: list[Column]) -> list[float]:
    """Where the columns are, and the middle one last: servers right, clients left of it, or on both
    sides where there is no server."""
    has_servers = any(column.side == "server" for column in columns)
    clients = [n for n, column in enumerate(columns) if column.side != "server"]
    left = clients if has_servers else clients[: (len(clients) + 1) // 2]
    order = [*left, -1, *(n for n in range(len(columns)) if n not in left)]
    margin = 48 if len(order) > 3 else 70
    step = (WIDTH - LEFT - RIGHT - 2 * margin) / max(1, len(order) - 1)
    places = {number: LEFT + margin + step * place for place, number in enumerate(order)}
    return [*(round(places[number], 1) for number in range(len(columns))), round(places[-1], 1)]


def _suffix(row: Row) -> str:
    """What TCP, or the sender, has done to the lines of this segment."""
    if row.kind not in ("recv", "send"):
        return ""
    cut = f"cut in {row.pieces}" if row.cut_from else ""
    joined = f"{row.count} lines" if row.count > 1 else ""
    return ", ".join(filter(None, (cut, joined)))


def _fit(text: str, room: float, character: float) -> str:
    most = max(3, int(room / character))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _style() -> str:
    return (
        "text{font:15px system-ui,'DejaVu Sans',sans-serif;text-anchor:middle}"
        ".turn,.time{text-anchor:start;font-size:14px}.turn{font-weight:600}"
        ".title{font-size:18px;font-weight:600}"
        ".label{font:15px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}"
        ".signal{font-weight:700}.note{font-size:14px}.deliver{font-style:italic}"
        "line{stroke-width:1.5}path{fill:none;stroke-width:1.5}.lane{stroke-width:2}"
        ".middle{stroke-width:3}.off{stroke-width:1;stroke-dasharray:2 4}"
        ".none{stroke-dasharray:4 3}.label,.note{paint-order:stroke;stroke-width:4px}"
        f"{_hues(0)}@media (prefers-color-scheme:dark){{{_hues(1)}}}"
    )


def _hues(theme: int) -> str:
    c = (LIGHT, DARK)[theme]
    return (
        f".page{{fill:{c['page']}}}.band{{fill:{c['band']}}}text{{fill:{c['ink']}}}"
        f".turn,.time,.note,.deliver{{fill:{c['quiet']}}}"
        f".middle,.off{{stroke:{c['lane']}}}.bracket{{stroke:{c['cut']};stroke-width:2}}"
        f".cut{{fill:{c['cut']}}}.note.bad,.label.bad{{fill:{c['bad']}}}.note.good{{fill:{c['good']}}}"
        f"line.bad,path.bad{{stroke:{c['bad']}}}"
        f".b0 text{{stroke:{c['band']}}}.b1 text,g~text{{stroke:{c['page']}}}"
        + "".join(
            f".c{number}{{stroke:{hue[theme]}}}.f{number}{{fill:{hue[theme]}}}"
            for number, hue in enumerate(HUES)
        )
    )
