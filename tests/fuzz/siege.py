"""`python -m tests.fuzz.siege [--watch] [--upkeep] [--seconds S]`: the wire fuzzer and our server.

Starts server.py on a free port, lets the fuzzer at it, and ends it: status 0 if nothing was found,
the server ended well and had nothing to complain of. With --watch it looks at the server's process
meanwhile, and half a minute longer: what it holds when all are gone, and whether it rests. With
--upkeep the server has all that a term needs: its transcript must hold all that its status counts.
"""

from __future__ import annotations

import argparse
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.kernel import count_descriptors, cpu_ticks, status_of
from tests.support.programs import PASSCODE, ROOT, Room

EXPECTED = re.compile(
    r"(cut \S+ \(\S+\): .*|cut \d+ more: .*|warning: standard output: \d+ lines not shown"
    r'|{"time": "[^"]+", "event": "(refused|cut|total)", .*}'
    r'|{"time": "[^"]+", "event": "message", "level": "(info|warning)", '
    r'"text": "(room for \d+ members|standard output: \d+ lines not shown)"})\n'
)
"""The console is a pipe that is not read: what it was not shown is told, and is no fault."""

SAMPLE_SECONDS = 2
GUEST_SECONDS = 25
"""Strangers are held for 20 seconds at most, and linger for two."""
QUIET_SECONDS = 10


class Upkeep:
    """The files of a server that keeps a transcript and answers its operator."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        message = folder / "motd"
        message.write_text("Welcome\n")
        self.flags = ["-transcript", str(folder), "-history", "100", "-motd", str(message)]
        self.flags += ["-admin", str(folder / "admin"), "-log", "json"]

    def ask(self, command: str) -> str:
        """What the operator's socket answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self._folder / "admin"))
            sock.sendall(f"{command}\n".encode())
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(1 << 16), b"")).decode()

    def complain(self) -> Iterator[str]:
        """What the transcript lacks: it has a line for each that was counted, and of notices for
        those that the console shows."""
        found = re.findall(r'lines_total{kind="(\w+)"} (\d+)', self.ask("status"))
        counts = {kind: int(number) for kind, number in found}
        lines = [line for path in self._folder.glob("*.log") for line in path.open("rb")]
        missing = [line for line in lines if line[9:11] == b"* "]
        least = sum(counts.values()) - counts["notice"]
        print(f"transcript: {len(lines):,} lines, {least:,} and up to {counts['notice']:,} more")
        if missing or not least <= len(lines) <= least + counts["notice"]:
            yield f"transcript: {len(lines)} lines, but {counts} were counted; {missing}"


class Watch:
    """The server's process from outside, while `attack` runs and after it."""

    def __init__(self, pid: int, upkeep: Upkeep | None) -> None:
        self.pid = pid
        self._upkeep = upkeep
        # The first line opens the transcript's file.
        self.descriptors = -count_descriptors(pid) - (upkeep is not None)
        """More than at first."""
        self.memory = [status_of(pid, "VmRSS")]
        """KiB, each SAMPLE_SECONDS."""
        self.idle_ticks = 0
        """CPU in QUIET_SECONDS."""

    def wait_for(self, attack: subprocess.Popen[bytes]) -> None:
        while attack.poll() is None:
            self.memory.append(status_of(self.pid, "VmRSS"))
            if self._upkeep:
                self._upkeep.ask("members\nstatus\nbans")
            time.sleep(SAMPLE_SECONDS)
        time.sleep(GUEST_SECONDS)
        self.idle_ticks = -cpu_ticks(self.pid)
        time.sleep(QUIET_SECONDS)
        self.idle_ticks += cpu_ticks(self.pid)
        self.descriptors += count_descriptors(self.pid)

    def report(self) -> None:
        half = self.memory[len(self.memory) // 2 :]  # when what is filled once has been filled
        growth = statistics.linear_regression(range(len(half)), half).slope * 60 / SAMPLE_SECONDS
        print(
            f"resident memory: {self.memory[0]:,} KiB at first, {max(self.memory):,} KiB at most, "
            f"{growth:+,.0f} KiB a minute in the second half\n"
            f"descriptors more than at first: {self.descriptors}\n"
            f"CPU ticks in {QUIET_SECONDS} quiet seconds: {self.idle_ticks}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.siege", description=__doc__)
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--upkeep", action="store_true")
    flags, words = parser.parse_known_args()  # the rest is the fuzzer's
    found = 0
    complaints = ""
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile("r") as stderr:
        upkeep = Upkeep(Path(folder)) if flags.upkeep else None
        with Room(*(upkeep.flags if upkeep else ()), redirect=f"2> {stderr.name}") as room:
            wire = ["tests.fuzz.wire", "--port", str(room.port), "--passcode", PASSCODE]
            watch = Watch(room.server.pid, upkeep)
            attack = subprocess.Popen([sys.executable, "-m", *wire, *words], cwd=ROOT)
            if flags.watch:
                watch.wait_for(attack)
                watch.report()
                found = int(bool(watch.descriptors or watch.idle_ticks))
            found = attack.wait() or found
            if upkeep:
                complaints = "".join(upkeep.complain())
            status = room.server.terminate()
        complaints += EXPECTED.sub("", stderr.read())
    if complaints or status:
        print(f"the server ended with status {status}:\n{complaints}", file=sys.stderr)
        return 1
    return found


if __name__ == "__main__":
    sys.exit(main())
