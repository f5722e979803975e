"""Starts of programs that cost a fork: a process that has loaded their modules becomes them.

To load a program takes a tenth of a second, and a client that draws a quarter: most of what a test
of it costs. So two processes for each worker load the modules once, and fork a child for each start
with what an exec would have left it: descriptors, session, terminal, environment, arguments. There
`serve`, in `python -c "...; exec(serve(N, modules))"`, returns the program's text, so that the
interpreter runs it, ends and fails as with any script.

Only what is done once for all cannot be seen so: a test about what is loaded, or how long it takes,
starts its program in earnest.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LOADED = ("server", "client")
DRAWING = (*LOADED, "terminal.full", "terminal.line")
"""For a client that is to draw; the end of a child costs more, the more it has loaded. None of
them asks for the environment, a terminal or the time before it is called."""

_PIECE_BYTES = 64 * 1024


class Forked:
    """The program `text`, which runs. It is used as a subprocess.Popen is."""

    def __init__(
        self,
        text: str,
        arguments: Sequence[str],
        descriptors: Sequence[int],
        env: Mapping[str, str],
        on_terminal: bool,
    ) -> None:
        """The three `descriptors` become 0, 1 and 2; 0 is its terminal if `on_terminal`."""
        self.returncode: int | None = None
        self._told, telling = os.pipe()
        request = json.dumps([text, arguments, dict(env), on_terminal]) + "\n"
        modules = DRAWING if any(word.startswith("-ui") for word in arguments) else LOADED
        socket.send_fds(_zygote(modules), [request.encode()], [*descriptors, telling])
        os.close(telling)
        self.pid = self._next_number()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, seconds: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._told], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired("a forked program", seconds or 0)
            self.returncode = self._next_number()
            os.close(self._told)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and its status comes yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _next_number(self) -> int:
        return int(os.read(self._told, 8))


def control_terminal() -> None:
    """In a child: let Ctrl-C on the terminal at 0, and its end, be signals to us."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@functools.cache
def _zygote(modules: Sequence[str]) -> socket.socket:
    """To the process that has loaded these. It ends when this is closed, with us at the latest."""
    ours, theirs = socket.socketpair()
    with theirs:
        number = theirs.fileno()
        program = f"from tests.support.zygote import serve; exec(serve({number}, {modules}))"
        command = [sys.executable, "-c", program]
        process = subprocess.Popen(command, pass_fds=[number], cwd=ROOT)
    atexit.register(process.wait)
    atexit.register(ours.close)  # before that
    return ours


def serve(number: int, modules: Sequence[str]) -> str:
    """Answer requests, in the zygote. Returns in each child, with the text that it is to run."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    requests = socket.socket(fileno=number)
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, _PIECE_BYTES, 4)
        while data and not data.endswith(b"\n"):
            data += requests.recv(_PIECE_BYTES)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            return _watched(descriptors, json.loads(data))
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # a watcher that has ended


def _watched(descriptors: list[int], request: tuple[str, list[str], dict[str, str], bool]) -> str:
    """Fork the program, tell its process id, which is that of its session as well, and its exit
    status. Returns in the program."""
    *streams, telling = descriptors
    text, arguments, env, on_terminal = request
    if pid := os.fork():
        for descriptor in streams:
            os.close(descriptor)
        os.write(telling, b"%8d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os._exit(0)
    os.setsid()
    for descriptor, target in zip(streams, range(3), strict=True):
        os.dup2(descriptor, target)
    if on_terminal:
        control_terminal()
    os.write(telling, b"%8d" % os.getpid())
    os.closerange(3, max(descriptors) + 1)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = arguments
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        setattr(sys, name, os.fdopen(number, mode, 1, errors="backslashreplace", closefd=False))
    return text
