"""Figures as a table and as JSON."""

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
    "said_us": ("CPU us / said line", "{:.1f}"),
    "private_us": ("CPU us / private line", "{:.1f}"),
    "private_ratio": ("ratio", "{:.2f}"),
    "start_ms": ("start ms", "{:.1f}"),
    "bare_ms": ("bare import ms", "{:.1f}"),
    "start_ratio": ("ratio", "{:.2f}"),
    "lines": ("lines", "{:,.0f}"),
    "lost": ("lost", "{:,.0f}"),
}


# The figures in which a system may be ahead of another, and whether less is better.
_RACES = {
    "per_cpu_second": False,
    "joins_per_cpu_second": False,
    "p99_ms": True,
    "cpu_percent": True,
    "bytes_per_member": True,
}
NOISE = 1.1
"""Two runs of one system differ by so much."""


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
        "# One run of the benchmark\n\nFor those who compare: [BENCHMARKS.md](BENCHMARKS.md) says "
        "what each work and each column is.\n\n",
        f"Measured on {machine()}. Compare within a table; absolute figures are this machine's.\n",
        "\nAhead of the chat room by more than a tenth: " + "; ".join(ahead(rows)) + ".\n",
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


def ahead(rows: list[Row]) -> list[str]:
    """Where another system did better, by more than NOISE."""
    places = []
    for work, results in rows:
        ours = results.get("chatroom")
        for name, figures in results.items():
            if isinstance(ours, str) or isinstance(figures, str) or ours is None:
                continue
            for key in _RACES.keys() & ours.keys() & figures.keys():
                better, worse = figures[key], ours[key]
                if _RACES[key]:
                    better, worse = worse, better
                if better > NOISE * worse:
                    places.append(f"({work.letter}) {name}, {_COLUMNS[key][0]}")
    return sorted(places) or ["none"]


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
