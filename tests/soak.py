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
import os
import random
import re
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSCODE = "abc12"

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

ENDINGS = (OSError, EOFError, asyncio.TimeoutError)
"""What may become of a stranger, or of one who has a name that was taken."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_NUMBERED = re.compile(rb"(s\d+): (\d+) x*\n")


class Member:
    """One who stays: it numbers what it says, and checks the numbers it hears."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.name = name
        self.said = 0
        self.heard: dict[bytes, int] = {}  # speaker -> how many lines
        self.faults = 0
        self._reader = reader
        self.writer = writer

    async def listen(self) -> None:
        unfinished = b""
        while data := await self._reader.read(1 << 16):
            lines, end, unfinished = (unfinished + data).rpartition(b"\n")
            for speaker, number in _NUMBERED.findall(lines + end):
                expected = self.heard.get(speaker, 0)
                self.faults += int(number) != expected
                self.heard[speaker] = int(number) + 1

    async def say(self, count: int, filler: str) -> None:
        said, self.said = self.said, self.said + count
        numbers = range(said, said + count)
        self.writer.write("".join(f"{number} {filler}\n" for number in numbers).encode())
        await self.writer.drain()


class Soak:
    """One run against the server on `port`; everything random comes from `seed`."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.random = random.Random(seed)
        self.members: list[Member] = []
        self.sessions = 0
        self._listening: list[asyncio.Task[None]] = []

    async def run(self, seconds: float, watch: Callable[[], None]) -> None:
        """Everything at once for so long; then let the members who stay hear all of it."""
        for number in range(STAYING):
            reader, writer = await self._join(f"s{number}")
            self.members.append(Member(f"s{number}", reader, writer))
        self._listening = [asyncio.create_task(member.listen()) for member in self.members]
        actors = [
            self._again_and_again(self._talk),
            self._again_and_again(self._burst),
            self._again_and_again(self._watch(watch)),
            *[self._again_and_again(self._pass_by) for _ in range(PASSING)],
            *[self._again_and_again(self._attack) for _ in range(ATTACKERS)],
        ]
        tasks = [asyncio.create_task(actor) for actor in actors]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.lost_lines() and time.monotonic() < deadline:
            await asyncio.sleep(0.1)

    async def leave(self) -> None:
        for member in self.members:
            member.writer.write(b":Exit\n")
        await asyncio.wait_for(asyncio.gather(*self._listening), PATIENCE_SECONDS)
        for member in self.members:
            member.writer.close()

    def due_lines(self) -> int:
        return sum(member.said for member in self.members) * (len(self.members) - 1)

    def lost_lines(self) -> int:
        return self.due_lines() - sum(sum(member.heard.values()) for member in self.members)

    # The actors.

    @staticmethod
    async def _again_and_again(act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await act()

    @staticmethod
    def _watch(watch: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        async def look() -> None:
            watch()
            await asyncio.sleep(SAMPLE_SECONDS)

        return look

    async def _talk(self) -> None:
        await self.random.choice(self.members).say(1, "x" * self.random.randrange(100))
        await asyncio.sleep(self.random.expovariate(LINES_PER_SECOND))

    async def _burst(self) -> None:
        await asyncio.sleep(BURST_SECONDS)
        await self.random.choice(self.members).say(5_000, "x" * 390)

    async def _pass_by(self) -> None:
        """Join, say a little, and leave in one of the ways there are."""
        name = f"p{self.random.randrange(10**6)}"
        with contextlib.suppress(*ENDINGS):
            _, writer = await self._join(name)
            for line in self.random.choices(
                ["hello", ":Users", ":mytime", ":Msg s1 hi", "", ":)"], k=3
            ):
                writer.write(line.encode() + b"\n")
                await asyncio.sleep(self.random.random())
            leave = self.random.choice([self._exit, self._shut, self._reset])
            leave(writer)
            await asyncio.sleep(0.05)
            writer.close()

    async def _attack(self) -> None:
        with contextlib.suppress(*ENDINGS):
            await self.random.choice(
                [
                    self._hold,
                    self._guess,
                    self._babble,
                    self._never_end_a_line,
                    self._dribble,
                    self._be_deaf,
                    self._say_no_text,
                ]
            )()
        self.sessions += 1
        await asyncio.sleep(self.random.random() / 2)

    async def _hold(self) -> None:
        """Connect to say nothing."""
        _, writer = await self._connect()
        await asyncio.sleep(self.random.uniform(0, 25))
        self._reset(writer)

    async def _guess(self) -> None:
        reader, writer = await self._connect()
        writer.write(b"JOIN Mallory %d\n" % self.random.randrange(10**5))
        await asyncio.wait_for(reader.read(100), PATIENCE_SECONDS)
        writer.close()

    async def _babble(self) -> None:
        _, writer = await self._connect()
        writer.write(self.random.randbytes(self.random.randrange(1, 5_000)))
        await asyncio.sleep(0.1)
        self.random.choice([self._reset, self._shut])(writer)
        writer.close()

    async def _never_end_a_line(self) -> None:
        _, writer = await self._join(f"a{self.random.randrange(10**6)}")
        for _ in range(16):
            writer.write(b"y" * 65_536)
            await writer.drain()
        writer.close()

    async def _dribble(self) -> None:
        _, writer = await self._connect()
        for byte in b"JOIN Slow abc12"[: self.random.randrange(2, 15)]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.7)
        writer.close()

    async def _be_deaf(self) -> None:
        """Join and read no more, until the server has had enough of it, or we have."""
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", self.port))
            await loop.sock_sendall(sock, f"JOIN d{self.random.randrange(10**6)} abc12\n".encode())
            await asyncio.sleep(self.random.uniform(5, 2 * BURST_SECONDS))

    async def _say_no_text(self) -> None:
        _, writer = await self._join(f"b{self.random.randrange(10**6)}")
        writer.write(self.random.randbytes(2_000).replace(b"\n", b"") + b"\n")
        await asyncio.sleep(0.2)
        writer.close()

    # Ways to come and go.

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """From an address that no one else has a quarrel with, mostly."""
        source = f"127.0.0.{self.random.randrange(2, 200)}"
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))

    async def _join(self, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.sessions += 1
        writer.write(f"JOIN {name} {PASSCODE}\n".encode())
        await asyncio.wait_for(reader.readuntil(b"OK\n"), PATIENCE_SECONDS)
        return reader, writer

    @staticmethod
    def _exit(writer: asyncio.StreamWriter) -> None:
        writer.write(b":Exit\n")

    @staticmethod
    def _shut(writer: asyncio.StreamWriter) -> None:
        writer.write_eof()

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()


class Watch:
    """What the kernel says of a process (proc(5))."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._started = time.monotonic()
        self.samples: list[tuple[float, float]] = []  # (minutes, KiB resident)

    def sample(self) -> None:
        pages = int((self._folder / "statm").read_text().split()[1])
        minutes = (time.monotonic() - self._started) / 60
        self.samples.append((minutes, pages * os.sysconf("SC_PAGE_SIZE") / 1024))

    def descriptors(self) -> int:
        return len(list((self._folder / "fd").iterdir()))

    def cpu_ticks(self) -> int:
        fields = (self._folder / "stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def slope(self) -> float:
        """KiB a minute over the second half, when what is filled once has been filled."""
        half = self.samples[len(self.samples) // 2 :]
        return statistics.linear_regression(*zip(*half, strict=True)).slope


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    command = [sys.executable, "server.py", "-start", "-port", "0", "-passcode", PASSCODE]
    with subprocess.Popen(
        [*command, "-verbose"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        banner = server.stdout.readline()
        port = int(banner.split(b"port ")[1].split(b".")[0])
        # No one reads on: the console's own bound is part of what is watched.
        try:
            return asyncio.run(_soak(server, port, flags.minutes, flags.seed))
        finally:
            server.kill()


async def _soak(server: subprocess.Popen[bytes], port: int, minutes: float, seed: int) -> int:
    watch = Watch(server.pid)
    empty_descriptors = watch.descriptors()
    soak = Soak(port, seed)
    assert server.stderr is not None
    complaints = asyncio.get_running_loop().run_in_executor(None, server.stderr.read)
    try:
        await soak.run(60 * minutes, watch.sample)
    except BaseException:
        server.kill()  # or its standard error, and we with it, would never end
        raise
    await asyncio.sleep(25)  # strangers are held for 20 seconds at most, and linger for two
    ticks = watch.cpu_ticks()
    await asyncio.sleep(QUIET_SECONDS)
    idle_ticks = watch.cpu_ticks() - ticks
    await soak.leave()
    await asyncio.sleep(3)
    descriptors = watch.descriptors() - empty_descriptors
    faults = sum(member.faults for member in soak.members)
    sizes = [size for _, size in watch.samples]
    server.terminate()
    told = (await complaints).decode()
    status = await asyncio.get_running_loop().run_in_executor(None, server.wait)
    rows = {
        "minutes": f"{minutes:g}",
        "sessions that came and went": f"{soak.sessions:,}",
        "lines due to members who stayed": f"{soak.due_lines():,}",
        "of them lost": f"{soak.lost_lines():,}",
        "doubled or out of order": f"{faults:,}",
        "resident memory, first and most": f"{sizes[0]:,.0f} and {max(sizes):,.0f} KiB",
        "growth over the second half": f"{watch.slope():+.0f} KiB a minute",
        "descriptors more than at first": f"{descriptors}",
        f"CPU ticks in {QUIET_SECONDS} quiet seconds": f"{idle_ticks}",
        "exit status": f"{status}",
        "tracebacks": f"{told.count('Traceback')}",
    }
    print("| figure | |\n|---|---:|")
    for name, figure in rows.items():
        print(f"| {name} | {figure} |")
    print("\n" + "".join(line + "\n" for line in told.splitlines() if line.startswith("total")))
    is_well = not (soak.lost_lines() or faults or descriptors or idle_ticks or status)
    return 0 if is_well and "Traceback" not in told else 1


if __name__ == "__main__":
    sys.exit(main())
