"""A server as a process of its own, on a core of its own, and what the kernel says of it."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from bench.systems import ROOT, System

CORES = sorted(os.sched_getaffinity(0))  # before the load binds itself to one: children inherit it
START_SECONDS = 20.0
SETTLE_SECONDS = 0.1  # who listens may still be loading what it needs


class Process:
    """A system's server, started, listening, and ended when the block ends.

    Its standard output goes to `stdout`: where it is a pipe, somebody has to read it.
    """

    def __init__(self, system: System, stdout: int = subprocess.DEVNULL) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.port = free_port()
        command: Sequence[str] = system.start(self.port, Path(self._folder.name))
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            preexec_fn=pin_to_first_core,
        )
        self._wait_until_listening()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def read_stdout(self) -> None:
        """Read what it prints, to the end, and forget it."""
        assert self._process.stdout is not None
        while self._process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
            pass

    def cpu_seconds(self) -> float:
        """Time on a core of all its threads, to the nanosecond (proc(5), schedstat)."""
        nanoseconds = 0
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            try:
                nanoseconds += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:  # a thread that has just ended
                continue
        return nanoseconds / 1e9

    def cpu_ticks(self) -> int:
        """Clock ticks of user and system time (proc(5), stat, fields 14 and 15)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def resident_bytes(self) -> int:
        """Resident set size (proc(5), statm)."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ChildProcessError(f"ended with status {self._process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                time.sleep(SETTLE_SECONDS)
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise TimeoutError("does not listen")


def free_port() -> int:
    """A port below the range that the kernel gives to clients."""
    for port in range(21000 + os.getpid() % 5000, 32768):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")


def pin_to_first_core() -> None:
    """The server's."""
    os.sched_setaffinity(0, {CORES[0]})


def pin_to_last_core() -> None:
    """The load's, which is another one where there is a second."""
    os.sched_setaffinity(0, {CORES[-1]})
