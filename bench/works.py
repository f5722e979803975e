"""The works: the same for every system that does them, each in processes of its own.

`python -m bench.works <work> <system> <size>` does one of them and prints its figures as JSON; a
figure that a work does not have is not there. `size` is one of SIZES.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.load import Crowd, Fanned, blast, burst, converse, pace
from bench.processes import CORES, Process, pin_to_last_core
from bench.systems import ROOT, SYSTEMS, System

Figures = dict[str, float]


class Size(NamedTuple):
    """How much of it. `probe_lines`: what each talker says first, to learn how much fills the
    time."""

    works: str
    probe_lines: int
    blast_seconds: float
    blast_lines: int
    pace_seconds: float
    runs: int
    idle_members: int
    idle_seconds: float
    joins: int
    starts: int


SIZES = {
    "full": Size("a b c d e f g h i j k l m", 100, 1.5, 400_000, 1.0, 5, 10_000, 10.0, 2_000, 15),
    "long": Size("n o p q r s t", 100, 1.5, 400_000, 10.0, 1, 10_000, 10.0, 2_000, 15),
    "quick": Size("a c f h", 10, 0.2, 40_000, 0.5, 1, 100, 1.0, 500, 5),
}


def blast_to(members: int) -> Callable[[System, Size], Figures]:
    """(a), (b): one sends, everyone else listens."""
    return lambda system, size: _fan_out(system, size, members + 1, 1)


def talkers(system: System, size: Size) -> Figures:
    """(c): fifty send all at once, to one another and to fifty more."""
    return _fan_out(system, size._replace(blast_lines=size.blast_lines // 100), 100, 50)


def read_console(system: System, size: Size) -> Figures:
    """(a) once more, with the server's standard output a pipe that is read."""
    with Process(system, redirect="2> /dev/null") as process:
        process.read_console()
        return _measure_blast(process, system, size, 101, 1)


def paced_to(members: int, talkers: int = 10, per_second: int = 200) -> Callable[..., Figures]:
    """(d), (e): ten members send 200 lines a second together; (n): one sends one. The median of
    several runs."""

    def work(system: System, size: Size) -> Figures:
        with Process(system) as process:
            crowd = Crowd(system, process.port, members)
            runs = [
                pace(crowd, process, talkers, per_second, size.pace_seconds)
                for _ in range(size.runs)
            ]
            crowd.close()
        return {
            "lost": sum(run.lost for run in runs),
            "p50_ms": statistics.median(run.p50_ms for run in runs),
            "p99_ms": statistics.median(run.p99_ms for run in runs),
            "cpu_percent": statistics.median(
                100 * run.cpu_seconds / run.wall_seconds for run in runs
            ),
            "per_cpu_second": statistics.median(run.deliveries / run.cpu_seconds for run in runs),
        }

    return work


def burst_of(lines: int) -> Callable[[System, Size], Figures]:
    """(j), (k): one sends so many lines to 1,000 members, who were quiet before. The median of
    several bursts."""

    def work(system: System, size: Size) -> Figures:
        with Process(system) as process:
            crowd = Crowd(system, process.port, 1_001)
            runs = [burst(crowd, process, lines) for _ in range(size.runs)]
            crowd.close()
        return _figures_of(runs)

    return work


def beside_a_busy_loop(system: System, size: Size) -> Figures:
    """(l): (a) while another process works on the server's core as hard as it can."""
    with _busy_loop():
        return _fan_out(system, size, 101, 1)


def private_lines(system: System, size: Size) -> Figures:
    """(m): one of two members says a line when the one before was heard, and then the same as
    private lines."""
    with Process(system) as process:
        crowd = Crowd(system, process.port, 2)
        said, private = (
            1e6 * converse(crowd, process, size.joins, start)
            for start in (b"", b":Msg %s " % crowd.members[1].name)
        )
        crowd.close()
    return {"said_us": said, "private_us": private, "private_ratio": private / said}


def idle(system: System, size: Size) -> Figures:
    """(f): no one talks."""
    with Process(system) as process:
        empty_bytes = process.resident_bytes()
        crowd = Crowd(system, process.port, size.idle_members)
        loaded_bytes = process.resident_bytes()
        ticks, cpu_seconds = process.cpu_ticks(), process.cpu_seconds()
        time.sleep(size.idle_seconds)
        figures = {
            "idle_ticks": float(process.cpu_ticks() - ticks),
            "idle_cpu_ms": 1000 * (process.cpu_seconds() - cpu_seconds),
            "empty_mib": empty_bytes / 2**20,
            "loaded_mib": loaded_bytes / 2**20,
            "bytes_per_member": (loaded_bytes - empty_bytes) / size.idle_members,
        }
        crowd.close()
    return figures


def idle_over_tls(system: System, size: Size) -> Figures:
    """(p): as many as join in (q). What 10,000 read of each other's joins is more than the load can
    decrypt in time."""
    return idle(system, size._replace(idle_members=size.joins))


def joins(system: System, size: Size) -> Figures:
    """(g): all at once, 256 in flight, each saying who it is as soon as it is connected."""
    with Process(system) as process:
        cpu_started = process.cpu_seconds()
        crowd = Crowd(system, process.port, size.joins, joins_in_flight=256)
        cpu_seconds = process.cpu_seconds() - cpu_started
        crowd.close()
    return {
        "joins_per_second": size.joins / crowd.join_seconds,
        "joins_per_cpu_second": size.joins / cpu_seconds,
    }


def start(system: System, size: Size) -> Figures:
    """(h): from exec to banner, beside an interpreter that imports the same standard modules.
    The chat room alone has a banner to wait for. Byte code is cached, as it is for both from the
    second start on."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    bare = [sys.executable, "-c", "import argparse, selectors, socket; print()"]
    ours = [*system.start(0, ROOT)]
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(1 + size.starts):
        for name, command in (("bare", bare), ("ours", ours)):
            started = time.perf_counter()
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                seconds[name].append(time.perf_counter() - started)
                process.kill()
    ours_ms, bare_ms = (1000 * statistics.median(seconds[name][1:]) for name in ("ours", "bare"))
    return {"start_ms": ours_ms, "bare_ms": bare_ms, "start_ratio": ours_ms / bare_ms}


def _fan_out(system: System, size: Size, members: int, senders: int) -> Figures:
    with Process(system) as process:
        return _measure_blast(process, system, size, members, senders)


@contextlib.contextmanager
def _busy_loop() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        os.sched_setaffinity(process.pid, {CORES[0]})
        try:
            yield
        finally:
            process.kill()


def _figures_of(runs: list[Fanned]) -> Figures:
    return {
        "lines": float(runs[0].lines),
        "per_second": statistics.median(run.deliveries / run.wall_seconds for run in runs),
        "per_cpu_second": statistics.median(run.deliveries / run.cpu_seconds for run in runs),
        "lost": float(sum(run.lost for run in runs)),
        "in_order": float(all(run.in_order for run in runs)),
    }


def _measure_blast(
    process: Process, system: System, size: Size, members: int, senders: int
) -> Figures:
    empty_bytes = process.resident_bytes()
    crowd = Crowd(system, process.port, members)
    fanned = blast(crowd, process, senders, size.probe_lines, size.blast_lines, size.blast_seconds)
    figures = _figures_of([fanned]) | {
        "empty_mib": empty_bytes / 2**20,
        "loaded_mib": process.resident_bytes() / 2**20,
    }
    crowd.close()
    return figures


OURS = ("chatroom",)
OVER_TLS = ("chatroom", "chatroom, TLS", "stunnel")
ANNOUNCING = ("chatroom", "asyncio, announcing", "streams, announcing")
"""Those that tell everyone of each join, as the assignment asks."""
PEERS = tuple(
    system.name for system in SYSTEMS if system.name not in (*OVER_TLS[1:], *ANNOUNCING[1:])
)
JOINED_AT_ONCE = tuple(name for name in PEERS if name != "ngircd")
"""ngIRCd lets fewer than 50 connections a second in: 1,740 of 10,000 in 40 s."""
TO_MANY = tuple(name for name in PEERS if name not in ("streams", "uvloop", "threads"))
"""With 1,000 members these do what asyncio does, within a third, and take a minute."""
FAST = ("chatroom", "relay", "redis", "nats")
"""Those that need no minute for millions of deliveries."""


class Work(NamedTuple):
    """One row of what is measured.

    `members`: where it stands in the plot. `systems`: names of those which do it. `is_quiet`: the
    CPU is idle while it is measured, so that all may do it at once.
    """

    letter: str
    title: str
    run: Callable[[System, Size], Figures]
    members: int = 0
    systems: tuple[str, ...] = PEERS
    is_quiet: bool = False


WORKS = (
    Work("a", "flood, 1 sender to 100 members", blast_to(100), members=100),
    Work("b", "flood, 1 sender to 1,000 members", blast_to(1_000), 1_000, TO_MANY),
    Work("c", "50 talkers at once, to each other and 50 more", talkers),
    Work("d", "200 lines a second from 10 senders to 100 members", paced_to(100), members=100),
    Work(
        "e", "200 lines a second from 10 senders to 1,000 members", paced_to(1_000), 1_000, TO_MANY
    ),
    Work("f", "idle members", idle, systems=JOINED_AT_ONCE, is_quiet=True),
    Work("g", "join storm, 256 in flight", joins, systems=JOINED_AT_ONCE),
    Work("h", "start, from exec to banner", start, systems=OURS),
    Work("i", "(a) with the console's pipe read", read_console, systems=OURS),
    Work("j", "burst of 2,000 lines to 1,000 members", burst_of(2_000), systems=FAST),
    Work("k", "burst of 10,000 lines to 1,000 members", burst_of(10_000), systems=FAST),
    Work("l", "(a) beside a busy loop on the server's core", beside_a_busy_loop, systems=FAST),
    Work("m", "one line at a time between two, said and private", private_lines, systems=OURS),
    Work("n", "one line a second to 10,000 members", paced_to(10_000, 1, 1), systems=FAST[:2]),
    Work("o", "(a) over TLS", blast_to(100), systems=OVER_TLS),
    Work("p", "2,000 idle members over TLS", idle_over_tls, systems=OVER_TLS),
    Work("q", "(g) over TLS", joins, systems=OVER_TLS),
    Work("r", "(b) over TLS", blast_to(1_000), systems=OVER_TLS),
    Work("s", "(g) beside peers that announce each join", joins, systems=ANNOUNCING),
    Work("t", "flood, 1 sender to 10 members", blast_to(10), members=10),
)


def main() -> None:
    letter, name, size = sys.argv[1:]
    pin_to_last_core()
    work = next(work for work in WORKS if work.letter == letter)
    system = next(system for system in SYSTEMS if system.name == name)
    print(json.dumps(work.run(system, SIZES[size])))


if __name__ == "__main__":
    main()
