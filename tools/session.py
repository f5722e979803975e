"""A session of the real programs, written as a script and run as it says.

A script is lines of `<terminal> <mark> <text>`, the marks being

    $   this command is started in that terminal
    >   this is typed there
    |   this is printed there, on standard output

The scripts stand in README.md, in its blocks of kind `session`; they are run by a test, so that
the document cannot go stale, and drawn by `tools/picture.py`. Port 65432 stands for a free one,
and any time of day for any other.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
WRITTEN_PORT = "65432"
EXIT_SECONDS = 20

_STEP = re.compile(r"(\w+) +([$>|]) (.*)")
_TIME = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4}")


class Step(NamedTuple):
    """One line of a script."""

    terminal: str
    mark: str
    text: str


def read_sessions(document: Path) -> list[list[Step]]:
    """The scripts of a Markdown document, in its order."""
    blocks = re.findall(r"^```session\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
    return [[parse_step(line) for line in block.splitlines()] for block in blocks]


def parse_step(line: str) -> Step:
    match = _STEP.fullmatch(line)
    if not match:
        raise ValueError(f"no step of a session: {line!r}")
    return Step(*match.groups())


def run_session(steps: list[Step]) -> list[Step]:
    """Do what the steps say; the same steps with what was really printed.

    Raises AssertionError where something else is printed, or something more: each program is
    asked to end when the script is over, by the end of its input, and then the first one of all,
    which is the server, by SIGTERM.
    """
    port = free_port()
    programs: dict[str, subprocess.Popen[bytes]] = {}
    seen: list[Step] = []
    try:
        for terminal, mark, text in steps:
            actual = text
            if mark == "$":
                programs[terminal] = _start(text.replace(WRITTEN_PORT, port))
            elif mark == ">":
                stdin = programs[terminal].stdin
                assert stdin is not None
                stdin.write(text.encode() + b"\n")
                stdin.flush()
            else:
                stdout = programs[terminal].stdout
                assert stdout is not None
                actual = stdout.readline().decode().removesuffix("\n").replace(port, WRITTEN_PORT)
                assert _without_time(actual) == _without_time(text), f"in terminal {terminal}"
            seen.append(Step(terminal, mark, actual))
        server, *clients = programs.values()
        for program in clients:
            _expect_end(program)
        # Those who had not left yet have left now; the script says nothing of that.
        server.terminate()
        rest, _ = server.communicate(timeout=EXIT_SECONDS)
        assert all(line.endswith(b" left the chatroom") for line in rest.splitlines()), rest
    finally:
        for program in programs.values():
            program.kill()
            program.communicate()
    return seen


def free_port() -> str:
    """A port that nobody listens on, below the range that the kernel gives to clients."""
    for port in range(20000, 32768):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return str(port)
    raise OSError("no free port")


def _start(command: str) -> subprocess.Popen[bytes]:
    python, *arguments = shlex.split(command)
    assert python == "python3"
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _expect_end(program: subprocess.Popen[bytes]) -> None:
    rest, _ = program.communicate(timeout=EXIT_SECONDS)
    assert all(line.endswith(b" left the chatroom") for line in rest.splitlines()), rest


def _without_time(text: str) -> str:
    return _TIME.sub("<time>", text)
