"""`python -m tests.fuzz.siege [--watch] [--seconds S] [--seed N]`: the wire fuzzer and our server.

Starts server.py on a free port, lets the fuzzer at it, and ends it: status 0 if nothing was found,
the server ended well and had nothing to complain of. With --watch it looks at the server's process
meanwhile, and half a minute longer: what it holds when all are gone, and whether it rests.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time

from tests.support.kernel import count_descriptors, cpu_ticks, status_of
from tests.support.programs import PASSCODE, ROOT, Room

EXPECTED = re.compile(
    r"(cut \S+ \(\S+\): .*|cut \d+ more: .*|warning: standard output: \d+ lines not shown)\n"
)
"""The console is a pipe that is not read: what it was not shown is told, and is no fault."""

SAMPLE_SECONDS = 2
GUEST_SECONDS = 25
"""Strangers are held for 20 seconds at most, and linger for two."""
QUIET_SECONDS = 10


class Watch:
    """The server's process from outside, while `attack` runs and after it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.descriptors = -count_descriptors(pid)
        """More than at first."""
        self.memory = [status_of(pid, "VmRSS")]
        """KiB, each SAMPLE_SECONDS."""
        self.idle_ticks = 0
        """CPU in QUIET_SECONDS."""

    def wait_for(self, attack: subprocess.Popen[bytes]) -> None:
        while attack.poll() is None:
            self.memory.append(status_of(self.pid, "VmRSS"))
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
    flags, words = parser.parse_known_args()  # the rest is the fuzzer's
    found = 0
    with tempfile.NamedTemporaryFile("r") as stderr:
        with Room(redirect=f"2> {stderr.name}") as room:
            wire = ["tests.fuzz.wire", "--port", str(room.port), "--passcode", PASSCODE]
            watch = Watch(room.server.pid)
            attack = subprocess.Popen([sys.executable, "-m", *wire, *words], cwd=ROOT)
            if flags.watch:
                watch.wait_for(attack)
                watch.report()
                found = int(bool(watch.descriptors or watch.idle_ticks))
            found = attack.wait() or found
            status = room.server.terminate()
        complaints = EXPECTED.sub("", stderr.read())
    if complaints or status:
        print(f"the server ended with status {status}:\n{complaints}", file=sys.stderr)
        return 1
    return found


if __name__ == "__main__":
    sys.exit(main())
