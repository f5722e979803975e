"""Figures as a picture: a flood and a paced chat side by side.

Each system is a line in one, labelled at its end, and a bar in the other. The colours follow the
reader's own setting (prefers-color-scheme).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench.report import Row
from tools.ink import DARK, HUES, LIGHT

SHOWN = ("chatroom", "relay", "redis", "nats", "asyncio")
"""More lines than these cannot be told apart; all systems stand in the table."""

_INK, _LANE, _PAGE = LIGHT["ink"], LIGHT["lane"], LIGHT["page"]
_COLOURS = dict(zip(SHOWN, (light for light, _ in HUES), strict=False))
_FONT_SIZE = 14
_LABEL_GAP = 0.075
"""How far labels are apart at least, as a part of the height."""


def draw(rows: list[Row], path: Path) -> None:
    """What a server delivers in a flood, against members, on logarithmic axes; and what 200 lines a
    second to 100 members cost it."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({
        "svg.hashsalt": "chatroom",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": _FONT_SIZE,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.edgecolor": _LANE,
    })  # fmt: skip
    from matplotlib import pyplot

    figure, (flood, paced) = pyplot.subplots(1, 2, figsize=(880 / 72, 400 / 72))
    figure.set_facecolor(_PAGE)
    for axes in (flood, paced):
        axes.set_facecolor(_PAGE)
        axes.spines[["top", "right"]].set_visible(False)
    _draw_flood(flood, rows)
    _draw_paced(paced, rows)
    figure.tight_layout(w_pad=6)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    path.write_text(_follow_the_reader(path.read_text("utf-8")), "utf-8")


def _draw_flood(axes: Any, rows: list[Row]) -> None:
    ends = {}
    floods = [row for row in rows if row.work.letter in ("a", "b")]
    for name in SHOWN:
        points = [
            (row.work.members, figures["per_cpu_second"] / 1e6)
            for row in floods
            if isinstance(figures := row.results.get(name), dict)
        ]
        if points:
            members, values = zip(*sorted(points), strict=True)
            width = 3.5 if name == "chatroom" else 1.5
            axes.plot(members, values, marker="o", color=_COLOURS[name], linewidth=width)
            ends[name] = (members[-1], values[-1])
    axes.set(xscale="log", yscale="log", xlabel="members")
    axes.set_title(
        "A flood: million lines delivered\nin a second of CPU (more is better)", loc="left"
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(sorted({row.work.members for row in floods}))
    axes.minorticks_off()
    axes.grid(True, axis="y", color=_LANE, linewidth=0.7)
    _label_ends(axes, ends)


def _draw_paced(axes: Any, rows: list[Row]) -> None:
    results = next((row.results for row in rows if row.work.letter == "d"), {})
    shares = {
        name: figures["cpu_percent"]
        for name in reversed(SHOWN)
        if isinstance(figures := results.get(name), dict)
    }
    bars = axes.barh([*shares], [*shares.values()], 0.6, color=[_COLOURS[name] for name in shares])
    axes.bar_label(bars, fmt="%.0f %%", padding=5)
    axes.set_title(
        "200 lines a second to 100 members:\nper cent of a core (less is better)", loc="left"
    )
    axes.spines[["bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)


def _label_ends(axes: Any, ends: dict[str, tuple[float, float]]) -> None:
    """Each name at the end of its line, moved down where it would cover the one above."""
    above = 2.0
    to_axes = axes.transData + axes.transAxes.inverted()
    for name, end in sorted(ends.items(), key=lambda item: -item[1][1]):
        x, y = to_axes.transform(end)
        above = min(y, above - _LABEL_GAP)
        axes.text(
            x + 0.03,
            above,
            name,
            transform=axes.transAxes,
            color=_COLOURS[name],
            weight="bold" if name == "chatroom" else "normal",
            verticalalignment="center",
        )


def _follow_the_reader(svg: str) -> str:
    """The same with variables for colours, which have other values on a dark page."""
    pairs = [(LIGHT[name], DARK[name]) for name in ("page", "ink", "lane")] + [*HUES]
    values = ["", ""]
    for number, (light, dark) in enumerate(pairs):
        svg = svg.replace(light, f"var(--c{number})")
        values[0] += f"--c{number}:{light};"
        values[1] += f"--c{number}:{dark};"
    style = (
        f"<style>:root{{{values[0]}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{values[1]}}}}}</style>"
    )
    return re.sub(r"(<svg[^>]*>)", rf"\1{style}", svg, count=1)
