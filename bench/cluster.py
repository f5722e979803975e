"""`python -m bench.cluster [--members N] [--lines N] [--rounds N]`: what a cluster costs.

Real servers on a Redis of their own, beside one server without a cluster, in turn; of several
rounds the median counts. Servers, Redis and load share the cores that there are: what a server does
in a second of a core is therefore taken by its own CPU time. Prints a Markdown table of what is
promised and what was measured; the exit status is 1 if a promise was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.load import READ_BYTES, Crowd, Fanned, Member, blast, pace
from bench.processes import CORES, SILENT, Process, pin_to_last_core
from bench.systems import SYSTEMS, System
from tests.support.kernel import status_of
from tests.support.redis import Redis

LISTEN_SECONDS = 5
LINES_PER_SECOND = 100
BURST_LINES = 1000
"""So few that a member's socket takes them at once, even where it shares its core with a server."""

QUESTION_WAKEUPS = 3
"""Of a question whether another is alive: the deadline, the answer, and that none is late."""

_CHATROOM = next(system for system in SYSTEMS if system.name == "chatroom")
ALONE = _CHATROOM._replace(joins_in_flight=64)
"""Fewer at once than may wait for their answer, which comes later in a cluster."""


class Size(NamedTuple):
    """How much of it."""

    members: int
    lines: int
    rounds: int
    idle_seconds: float


class Figure(NamedTuple):
    """A line of the table: what is promised, as words and as a verdict on what was measured."""

    title: str
    wanted: str
    measured: str
    is_held: bool


class OtherCrowd(Crowd):
    """Members on another server of the room, with names of their own."""

    def _connect(self, name: bytes) -> Member:
        return super()._connect(b"n" + name[1:])


def clustered(redis: Redis) -> System:
    url = redis.url()
    return ALONE._replace(start=lambda port, folder: [*ALONE.start(port, folder), "-cluster", url])


@contextlib.contextmanager
def nodes_of(redis: Redis, count: int) -> Iterator[list[Process]]:
    redis.call("FLUSHALL")  # of a room whose servers were killed
    with contextlib.ExitStack() as stack:
        nodes = [Process(clustered(redis), redirect=SILENT) for _ in range(count)]
        for number, node in enumerate(nodes):
            stack.enter_context(node)
            os.sched_setaffinity(node.program.pid, {CORES[number % len(CORES)]})
        yield nodes


def crowd_of(server: Process, size: Size) -> contextlib.closing[Crowd]:
    """A talker and all members."""
    return contextlib.closing(Crowd(ALONE, server.port, size.members + 1))


def cpu_of(redis: Redis) -> float:
    """Seconds of all threads of Redis."""
    tasks = Path(f"/proc/{redis.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def say(crowd: Crowd, process: Process, size: Size) -> Fanned:
    """The first member says all lines; everyone hears them in order, or this raises."""
    for member in crowd.members:  # who joined at the other server
        with contextlib.suppress(BlockingIOError):
            while member.sock.recv(READ_BYTES):
                pass
    fanned = blast(crowd, process, 1, size.lines, size.lines, 0)
    if fanned.lost or not fanned.in_order:
        raise AssertionError(f"{fanned.lost} lines lost, in order: {fanned.in_order}")
    return fanned


# What is measured, each as deliveries per CPU second of a server.


def alone(size: Size) -> float:
    with Process(ALONE, redirect=SILENT) as server, crowd_of(server, size) as crowd:
        fanned = say(crowd, server, size)
    return fanned.deliveries / fanned.cpu_seconds


def from_here(redis: Redis, size: Size) -> tuple[float, float]:
    """And how much CPU time Redis needs for each second of the server's."""
    with nodes_of(redis, 1) as (node,), crowd_of(node, size) as crowd:
        started = cpu_of(redis)
        fanned = say(crowd, node, size)
        share = (cpu_of(redis) - started) / fanned.cpu_seconds
    return fanned.deliveries / fanned.cpu_seconds, share


def from_elsewhere(redis: Redis, size: Size) -> float:
    with nodes_of(redis, 2) as (talking, listening), contextlib.ExitStack() as stack:
        talker = stack.enter_context(contextlib.closing(Crowd(ALONE, talking.port, 1)))
        crowd = OtherCrowd(ALONE, listening.port, size.members)
        stack.callback(crowd.close)
        crowd.members[:0] = talker.members
        fanned = say(crowd, listening, size)
    return fanned.deliveries / fanned.cpu_seconds


def on_some(redis: Redis, size: Size, count: int, lines: int) -> float:
    """All deliveries of `count` servers, with as many members on each, per CPU second of the
    busiest one; `lines` at once, each time when all have heard those before."""
    with nodes_of(redis, count) as nodes, contextlib.ExitStack() as stack:
        crowd = Crowd(ALONE, nodes[0].port, size.members + 1)
        stack.callback(crowd.close)
        for node in nodes[1:]:
            other = stack.enter_context(
                contextlib.closing(OtherCrowd(ALONE, node.port, size.members))
            )
            crowd.members += other.members
        before = [node.cpu_seconds() for node in nodes]
        part = size._replace(lines=lines)
        deliveries = sum(say(crowd, nodes[0], part).deliveries for _ in range(size.lines // lines))
        seconds = [node.cpu_seconds() - start for node, start in zip(nodes, before, strict=True)]
        crowd.members = crowd.members[: size.members + 1]
    return deliveries / max(seconds)


def latency(redis: Redis) -> tuple[float, float]:
    """Milliseconds from a send at one server to the read at the other: p50 and p99."""
    with nodes_of(redis, 2) as (first, second), contextlib.ExitStack() as stack:
        for pid in (first.program.pid, second.program.pid, redis.process.pid):
            os.sched_setaffinity(pid, CORES)
        talker = stack.enter_context(contextlib.closing(Crowd(ALONE, first.port, 1)))
        crowd = OtherCrowd(ALONE, second.port, 10)
        stack.callback(crowd.close)
        crowd.members[:0] = talker.members
        paced = pace(crowd, second, 1, LINES_PER_SECOND, LISTEN_SECONDS)
    if paced.lost:
        raise AssertionError(f"{paced.lost} lines lost")
    return paced.p50_ms, paced.p99_ms


def latency_alone() -> tuple[float, float]:
    """The same on one server without a cluster, for how busy the machine is."""
    with Process(ALONE, redirect=SILENT) as server:
        os.sched_setaffinity(server.program.pid, CORES)
        with contextlib.closing(Crowd(ALONE, server.port, 11)) as crowd:
            paced = pace(crowd, server, 1, LINES_PER_SECOND, LISTEN_SECONDS)
    return paced.p50_ms, paced.p99_ms


def wakeups(redis: Redis, count: int, seconds: float) -> int:
    """The most of `count` servers, with a member each, in so many seconds of silence."""
    with nodes_of(redis, count) as nodes, contextlib.ExitStack() as stack:
        for number, node in enumerate(nodes):
            kind = Crowd if number == 0 else OtherCrowd
            stack.enter_context(contextlib.closing(kind(ALONE, node.port, 1)))
        time.sleep(6)  # until deadlines of what was said at the start have passed
        before = [_switches(node) for node in nodes]
        time.sleep(seconds)
        return max(_switches(node) - start for node, start in zip(nodes, before, strict=True))


def _switches(node: Process) -> int:
    return status_of(node.program.pid, "voluntary_ctxt_switches")


def measure(size: Size) -> Iterator[Figure]:
    with Redis() as redis:
        os.sched_setaffinity(redis.process.pid, {CORES[-1]})
        rounds: list[tuple[float, ...]] = []
        for _ in range(size.rounds):
            base = alone(size)
            here, share = from_here(redis, size)
            there = from_elsewhere(redis, size)
            flood = on_some(redis, size, 2, size.lines)
            burst_lines = min(BURST_LINES, size.lines)
            bursts = [on_some(redis, size, count, burst_lines) for count in (1, 2)]
            both = bursts[1] / bursts[0]
            rounds.append((base, here / base, there / base, both, flood / here, share))
        base, here, there, both, flood, share = map(statistics.median, zip(*rounds, strict=True))
        yield Figure(
            "deliveries per CPU second of one server alone", "", f"{base / 1e6:.1f} M", True
        )
        yield _ratio("of that, a node with lines from here", here, 0.85)
        yield _ratio("of that, a node with lines from elsewhere", there, 0.85)
        title = "two nodes' deliveries, of one node's, by CPU time of the busier"
        yield _ratio(f"{title}, in bursts", both, 1.7)
        yield _ratio("the same in a flood, where members share the second node's core", flood, 1.7)
        title = "Redis' CPU time, of the node's"
        yield Figure(title, "under 5 %", f"{100 * share:.1f} %", share < 0.05)
        yield _latency(redis)
        if size.idle_seconds:
            yield from _idle(redis, size.idle_seconds)


def _latency(redis: Redis) -> Figure:
    p50, p99 = latency(redis)
    alone_p50, alone_p99 = latency_alone()
    beside = (
        f"{p50:.2f} ms, p99 {p99:.1f} ms (on one server {alone_p50:.2f} and {alone_p99:.1f} ms)"
    )
    title = "latency from node to node, p50, appendfsync everysec"
    return Figure(title, "under 1 ms", beside, p50 < 1)


def _idle(redis: Redis, seconds: float) -> Iterator[Figure]:
    count = wakeups(redis, 1, seconds)
    yield Figure(f"wake-ups of a node alone in {seconds:.0f} s", "0", f"{count}", count == 0)
    most = QUESTION_WAKEUPS * (int(seconds // 15) + 1)
    count = wakeups(redis, 2, seconds)
    title = f"wake-ups of one of two nodes in {seconds:.0f} s, a question every 15 s"
    yield Figure(title, f"at most {most}", f"{count}", count <= most)


def _ratio(title: str, value: float, least: float) -> Figure:
    return Figure(title, f"at least {least}", f"{value:.2f}", value >= least)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--members", type=int, default=100, help="on each node")
    parser.add_argument("--lines", type=int, default=200_000, help="of 50 bytes, of one talker")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of it; 0: not measured")
    flags = parser.parse_args()
    pin_to_last_core()
    missed = 0
    print("| figure | promised | measured | |\n|---|--:|--:|---|", flush=True)
    for figure in measure(Size(flags.members, flags.lines, flags.rounds, flags.idle)):
        missed += not figure.is_held
        verdict = ("held" if figure.is_held else "MISSED") if figure.wanted else ""
        print(f"| {figure.title} | {figure.wanted} | {figure.measured} | {verdict} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
