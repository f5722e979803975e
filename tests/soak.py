"""`python -m tests.soak [--minutes M] [--seed N]`: a room under talk and attack, and under watch.

Members who stay talk in bursts and between them; others come and go, politely and not; attackers
try what strangers and members can try. Every member who stays checks that it hears every line of
every other one, once and in order, and the server's process is watched from outside. The figures
are printed as a table; the exit status is 1 if something was lost, grew, or did not come back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import socket
import statistics
import struct
import sys
import tempfile
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from tests.support.kernel import count_descriptors, cpu_ticks, status_of
from tests.support.programs import PASSCODE, Room

STAYING = 20
"""Members who stay to the end and check each other."""

LINES_PER_SECOND = 100
"""Of all of them together."""

BURST_SECONDS = 20
"""Time between bursts; each is 5,000 lines of 400 bytes, more than a deaf member may be owed."""

PASSING = 10
"""Members who come and go at a time."""

ATTACKERS = 10
"""Strangers and members who mean no good, at a time."""

SAMPLE_SECONDS = 2
QUIET_SECONDS = 10
PATIENCE_SECONDS = 30

_RST = struct.pack("ii", 1, 0)
_NUMBERED = re.compile(rb"(s\d+): (\d+) x*\n")


Act = Callable[[], Awaitable[None]]


async def _again_and_again(act: Act) -> None:
    while True:
        await act()


# Those who come and go.


def reset(writer: StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()


@dataclass
class Visit:
    """What one does who comes: joins under a name or not, says things, stays a while, leaves."""

    name: str = ""
    says: Iterable[bytes] = ()
    pause_seconds: float = 0.1
    """After each that it says."""
    stay_seconds: float = 0.0
    """Without reading."""
    leave: Callable[[StreamWriter], None] = StreamWriter.close


def passer_by(chance: random.Random) -> Visit:
    lines = [b"hello\n", b":Users\n", b":mytime\n", b":Msg s1 hi\n", b"\n", b":)\n"]
    says = [*chance.choices(lines, k=3), chance.choice([b":Exit\n", b"half a line"])]
    leave = chance.choice([StreamWriter.close, StreamWriter.write_eof, reset])
    return Visit(f"p{chance.randrange(10**6)}", says, chance.random(), leave=leave)


def attacker(chance: random.Random) -> Visit:
    name = f"a{chance.randrange(10**6)}"
    babble = chance.randbytes(chance.randrange(1, 5_000))
    drops = [bytes([byte]) for byte in b"JOIN Slow abc12"[: chance.randrange(2, 15)]]
    no_text = chance.randbytes(2_000).replace(b"\n", b"") + b"\n"
    visits = [
        Visit(stay_seconds=chance.uniform(0, 25), leave=reset),
        Visit(says=[b"JOIN Mallory wrong\n"], stay_seconds=chance.uniform(0, 5)),
        Visit(says=[babble], leave=chance.choice([reset, StreamWriter.write_eof])),
        Visit(says=drops, pause_seconds=0.7),
        Visit(name, says=[b"y" * 65_536] * 16),
        Visit(name, stay_seconds=chance.uniform(5, 2 * BURST_SECONDS)),
        Visit(name, says=[no_text]),
    ]
    return chance.choice(visits)


# Those who stay.


@dataclass
class Member:
    """One who stays: it numbers what it says, and checks the numbers it hears."""

    reader: StreamReader
    writer: StreamWriter
    said: int = 0
    faults: int = 0
    heard: dict[bytes, int] = field(default_factory=dict)
    """speaker -> how many lines"""

    async def listen(self) -> None:
        unfinished = b""
        while data := await self.reader.read(1 << 16):
            lines, end, unfinished = (unfinished + data).rpartition(b"\n")
            for speaker, number in _NUMBERED.findall(lines + end):
                expected = self.heard.get(speaker, 0)
                self.faults += int(number) != expected
                self.heard[speaker] = int(number) + 1
        self.writer.close()

    async def say(self, count: int, filler: str) -> None:
        said, self.said = self.said, self.said + count
        numbers = range(said, said + count)
        self.writer.write("".join(f"{number} {filler}\n" for number in numbers).encode())
        await self.writer.drain()


@dataclass
class Soak:
    """One run against the server `pid` on `port`; all that is random comes from `chance`."""

    pid: int
    port: int
    chance: random.Random
    members: list[Member] = field(default_factory=list)
    sessions: int = 0
    samples: list[int] = field(default_factory=list)
    """KiB resident, each SAMPLE_SECONDS."""

    async def run(self, seconds: float) -> int:
        """Everything at once for so long; then let the members who stay hear all of it, and leave.
        Gives the server's CPU ticks in QUIET_SECONDS before they leave."""
        self.members = [Member(*await self._connect(f"s{number}")) for number in range(STAYING)]
        for member in self.members:
            await member.reader.readuntil(b"OK\n")
        listening = [asyncio.create_task(member.listen()) for member in self.members]
        actors: list[Act] = [self._talk, self._burst, self._sample]
        actors += [partial(self._visit, passer_by)] * PASSING
        actors += [partial(self._visit, attacker)] * ATTACKERS
        with contextlib.suppress(asyncio.TimeoutError):
            everyone = asyncio.gather(*(_again_and_again(actor) for actor in actors))
            await asyncio.wait_for(everyone, seconds)
        for _ in range(10 * PATIENCE_SECONDS):
            await asyncio.sleep(0.1 if self.lost_lines() else 0)
        await asyncio.sleep(25)  # strangers are held for 20 seconds at most, and linger for two
        ticks = -cpu_ticks(self.pid)
        await asyncio.sleep(QUIET_SECONDS)
        ticks += cpu_ticks(self.pid)
        for member in self.members:
            member.writer.write(b":Exit\n")
        await asyncio.wait_for(asyncio.gather(*listening), PATIENCE_SECONDS)
        await asyncio.sleep(3)
        return ticks

    def due_lines(self) -> int:
        return sum(member.said for member in self.members) * (len(self.members) - 1)

    def lost_lines(self) -> int:
        return self.due_lines() - sum(sum(member.heard.values()) for member in self.members)

    # The actors.

    async def _sample(self) -> None:
        self.samples.append(status_of(self.pid, "VmRSS"))
        await asyncio.sleep(SAMPLE_SECONDS)

    async def _talk(self) -> None:
        await self.chance.choice(self.members).say(1, "x" * self.chance.randrange(100))
        await asyncio.sleep(self.chance.expovariate(LINES_PER_SECOND))

    async def _burst(self) -> None:
        await asyncio.sleep(BURST_SECONDS)
        await self.chance.choice(self.members).say(5_000, "x" * 390)

    async def _visit(self, make: Callable[[random.Random], Visit]) -> None:
        visit = make(self.chance)
        self.sessions += 1
        with contextlib.suppress(OSError):  # a stranger is refused, or its name is taken
            _, writer = await self._connect(visit.name)
            with contextlib.closing(writer):
                for data in visit.says:
                    writer.write(data)
                    await writer.drain()
                    await asyncio.sleep(visit.pause_seconds)
                await asyncio.sleep(visit.stay_seconds)
                visit.leave(writer)
                await asyncio.sleep(0.05)
        await asyncio.sleep(self.chance.random() / 2)

    async def _connect(self, name: str) -> tuple[StreamReader, StreamWriter]:
        """Ask to join as `name`; a stranger has none, and comes from an address that others have no
        quarrel with, mostly. Those who do not stay to read take little."""
        source = "127.0.0.1" if name else f"127.0.0.{self.chance.randrange(2, 200)}"
        sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS, (source, 0))
        if not name.startswith("s"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader, writer = await asyncio.open_connection(sock=sock)
        if name:
            writer.write(f"JOIN {name} {PASSCODE}\n".encode())
        return reader, writer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    # The console is a pipe that is not read: its own bound is part of what is watched.
    with tempfile.NamedTemporaryFile("r") as complaints:
        with Room("-verbose", redirect=f"2> {complaints.name}") as room:
            room.server.stdout.pause()
            soak = Soak(room.server.pid, room.port, random.Random(flags.seed))
            descriptors = -count_descriptors(room.server.pid)
            idle_ticks = asyncio.run(soak.run(60 * flags.minutes))
            descriptors += count_descriptors(room.server.pid)
            status = room.server.terminate()
        told = complaints.read()
    faults = sum(member.faults for member in soak.members)
    tracebacks = told.count("Traceback")
    half = soak.samples[len(soak.samples) // 2 :]  # when what is filled once has been filled
    growth = statistics.linear_regression(range(len(half)), half).slope * 60 / SAMPLE_SECONDS
    rows = {
        "minutes": f"{flags.minutes:g}",
        "sessions that came and went": f"{soak.sessions:,}",
        "lines due to members who stayed": f"{soak.due_lines():,}",
        "of them lost": f"{soak.lost_lines():,}",
        "doubled or out of order": f"{faults:,}",
        "resident memory, first and most": f"{soak.samples[0]:,} and {max(soak.samples):,} KiB",
        "growth over the second half": f"{growth:+.0f} KiB a minute",
        "descriptors more than at first": f"{descriptors}",
        f"CPU ticks in {QUIET_SECONDS} quiet seconds": f"{idle_ticks}",
        "exit status": f"{status}",
        "tracebacks": f"{tracebacks}",
    }
    print("| figure | |\n|---|---:|")
    print("\n".join(f"| {name} | {figure} |" for name, figure in rows.items()))
    print("\n" + "".join(line + "\n" for line in told.splitlines() if line.startswith("total")))
    return int(any((soak.lost_lines(), faults, descriptors, idle_ticks, status, tracebacks)))


if __name__ == "__main__":
    sys.exit(main())
