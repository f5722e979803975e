"""`python -m bench [--size SIZE] [--works LETTER ...] [--only NAME ...]`: measure and compare.

Every work is done by every system in processes of its own, one after the other in the same run, but
for idling, which all do at once. What a system cannot do is named in the table with the reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bench import plot, report
from bench.systems import ROOT, SYSTEMS, System
from bench.works import SIZES, WORKS, Figures, Work

WORK_SECONDS = 90


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="which works, and how much")
    parser.add_argument("--works", nargs="*", default=[], help="their letters")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--table", type=Path, help="write the table there too (Markdown)")
    parser.add_argument("--plot", type=Path, help="draw deliveries against members there (SVG)")
    parser.add_argument("--only", nargs="*", default=[], help="names of systems")
    flags = parser.parse_args()
    size, letters = flags.size, flags.works or SIZES[flags.size].works.split()
    systems = [system for system in SYSTEMS if not flags.only or system.name in flags.only]
    works = [work for work in WORKS if work.letter in letters]
    results = [report.Row(work, measure(work, systems, size)) for work in works]
    sys.stdout.write(report.table(results))
    if flags.table:
        flags.table.write_text(report.table(results))
    if flags.json:
        flags.json.write_text(json.dumps(report.as_json(results), indent=1) + "\n")
    if flags.plot:
        plot.draw(results, flags.plot)


def measure(work: Work, systems: list[System], size: str) -> dict[str, Figures | str]:
    """The figures of each system, or why it has none."""
    results: dict[str, Figures | str] = {}
    started: dict[str, subprocess.Popen[bytes]] = {}
    for system in systems:
        if system.name not in work.systems:
            continue
        if not system.is_here:
            results[system.name] = f"{system.needs} is not installed"
            continue
        started[system.name] = start(work, system, size)
        if not work.is_quiet:
            results[system.name] = finish(started.pop(system.name))
    for name, process in started.items():
        results[name] = finish(process)
    return results


def start(work: Work, system: System, size: str) -> subprocess.Popen[bytes]:
    print(f"({work.letter}) {system.name}", file=sys.stderr)
    command = [sys.executable, "-m", "bench.works", work.letter, system.name, size]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> Figures | str:
    try:
        out, error = process.communicate(timeout=WORK_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"not done in {WORK_SECONDS} s"
    if process.returncode:
        return error.decode().strip().splitlines()[-1]
    figures: Figures = json.loads(out)
    return figures


if __name__ == "__main__":
    main()
