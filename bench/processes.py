"""A server as a process of its own, on a core of its own, and what the kernel says of it."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from pathlib import Path

from bench.systems import System
from tests.support import kernel
from tests.support.programs import Program, Stage, free_port

CORES = sorted(os.sched_getaffinity(0))  # before the load binds itself to one: children inherit it
START_SECONDS = 20.0
SETTLE_SECONDS = 0.1  # who listens may still be loading what it needs

SILENT = "> /dev/null 2> /dev/null"


class Process(Stage):
    """A system's server, listening in the block, and killed when the block ends.

    Where its output goes is what `redirect` says, or to a terminal of its own; what goes to a pipe
    is read while the driver waits, or by `read_console`.
    """

    def __init__(
        self, system: System, *, redirect: str = SILENT, on_terminal: bool = False
    ) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._console_reader: threading.Thread | None = None
        self.port = free_port()
        command = system.start(self.port, Path(self._folder.name))
        self.program = self.run(
            Program, system.name, command, redirect=redirect, on_terminal=on_terminal
        )
        os.sched_setaffinity(self.program.pid, {CORES[0]})

    def open(self) -> None:
        """Wait until it listens."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if (status := self.program.process.poll()) is not None:
                raise ChildProcessError(f"ended with status {status}")
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                time.sleep(SETTLE_SECONDS)
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise TimeoutError("does not listen")

    def finish(self) -> None:
        """How it would end is not measured."""

    def close(self) -> None:
        self.program.process.kill()
        if self._console_reader:
            self._console_reader.join()
        super().close()
        self._folder.cleanup()

    def read_console(self) -> None:
        """From here on read what it prints, to the end, and forget it."""

        def read() -> None:
            while not self.program.stdout.end:
                self.pump.turn(START_SECONDS)
                self.program.stdout.unread.clear()

        self._console_reader = threading.Thread(target=read)
        self._console_reader.start()

    def cpu_seconds(self) -> float:
        """Time on a core of all its threads, to the nanosecond (proc(5), schedstat)."""
        nanoseconds = 0
        for task in Path(f"/proc/{self.program.pid}/task").iterdir():
            try:
                nanoseconds += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:  # a thread that has just ended
                continue
        return nanoseconds / 1e9

    def cpu_ticks(self) -> int:
        """Clock ticks of user and system time."""
        return kernel.cpu_ticks(self.program.pid)

    def resident_bytes(self) -> int:
        """Resident set size."""
        return 1024 * kernel.status_of(self.program.pid, "VmRSS")


def pin_to_last_core() -> None:
    """The load's, which is another one where there is a second."""
    os.sched_setaffinity(0, {CORES[-1]})
