"""Figures as a table, as JSON and as a plot."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

from bench.works import Figures, Work

# What each column shows, and how.
_COLUMNS = {
    "per_cpu_second": ("deliveries / CPU s", "{:,.0f}"),
    "per_second": ("deliveries / s", "{:,.0f}"),
    "p50_ms": ("p50 ms", "{:.2f}"),
    "p99_ms": ("p99 ms", "{:.2f}"),
    "cpu_percent": ("CPU %", "{:.1f}"),
    "joins_per_second": ("joins / s", "{:,.0f}"),
    "joins_per_cpu_second": ("joins / CPU s", "{:,.0f}"),
    "empty_mib": ("MiB empty", "{:.1f}"),
    "loaded_mib": ("MiB loaded", "{:.1f}"),
    "bytes_per_member": ("bytes / member", "{:,.0f}"),
    "idle_ticks": ("idle ticks", "{:.0f}"),
    "idle_cpu_ms": ("idle CPU ms", "{:.2f}"),
    "start_ms": ("start ms", "{:.1f}"),
    "bare_ms": ("bare import ms", "{:.1f}"),
    "start_ratio": ("ratio", "{:.2f}"),
    "lines": ("lines", "{:,.0f}"),
    "lost": ("lost", "{:,.0f}"),
}


class Row(NamedTuple):
    """A work, and what came of it for each system: figures, or the reason why there are none."""

    work: Work
    results: dict[str, Figures | str]


def machine() -> str:
    """What it was measured on."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    cores = len(os.sched_getaffinity(0))
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{model}, {cores} cores, Linux {kernel}, Python {platform.python_version()}"


def table(rows: list[Row]) -> str:
    """All of it in Markdown, a table for each work, `chatroom` first."""
    parts = [
        f"Measured on {machine()}. Compare within a table; absolute figures are this machine's.\n"
    ]
    for work, results in rows:
        measured = {name: result for name, result in results.items() if isinstance(result, dict)}
        columns = [key for key in _COLUMNS if any(key in figures for figures in measured.values())]
        if any("in_order" in figures for figures in measured.values()):
            columns.append("in_order")
        parts.append(f"\n**({work.letter}) {work.title}**\n\n")
        heads = [_COLUMNS[key][0] if key in _COLUMNS else "one order" for key in columns]
        parts.append("| system | " + " | ".join(heads) + " |\n")
        parts.append("|---|" + "---:|" * len(columns) + "\n")
        for name, result in results.items():
            if isinstance(result, str):
                cells = [f"not measured: {result}"] + [""] * (len(columns) - 1)
            else:
                cells = [_cell(key, result) for key in columns]
            parts.append(f"| {name} | " + " | ".join(cells) + " |\n")
    return "".join(parts)


def _cell(key: str, figures: Figures) -> str:
    if key not in figures:
        return ""
    if key == "in_order":
        return "yes" if figures[key] else "no"
    return _COLUMNS[key][1].format(figures[key])


def as_json(rows: list[Row]) -> object:
    """The same, for programs."""
    return {
        "machine": machine(),
        "works": {
            row.work.letter: {"title": row.work.title, "results": row.results} for row in rows
        },
    }


def plot(rows: list[Row], path: Path) -> None:
    """Deliveries per CPU second against members, each system a line, on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "chatroom"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    points: dict[str, list[tuple[int, float]]] = {}
    for work, results in rows:
        for name, result in results.items():
            if work.members and isinstance(result, dict):
                points.setdefault(name, []).append((work.members, result["per_cpu_second"]))
    for name, line in sorted(points.items(), key=lambda item: -max(y for _, y in item[1])):
        members, deliveries = zip(*sorted(line), strict=True)
        style = {"linewidth": 3} if name == "chatroom" else {"linewidth": 1.2}
        axes.plot(members, deliveries, marker="o", label=name, **style)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="members",
        ylabel="deliveries per second of server CPU",
        title="One sender as fast as TCP takes it, 50-byte lines",
    )
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
