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
import sys
from pathlib import Path
from typing import NamedTuple

from tests.support.programs import DEADLINE_SECONDS, ROOT, Program, Stage, free_port

__all__ = ["ROOT", "Step", "parse_step", "read_sessions", "run_session"]

WRITTEN_PORT = "65432"

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
    port = str(free_port())
    programs: dict[str, Program] = {}
    seen: list[Step] = []
    with Stage() as stage:
        for terminal, mark, text in steps:
            actual = text
            if mark == "$":
                programs[terminal] = _start(stage, text.replace(WRITTEN_PORT, port))
            elif mark == ">":
                programs[terminal].types(text)
            else:
                actual = programs[terminal].stdout.take_line().replace(port, WRITTEN_PORT)
                assert _without_time(actual) == _without_time(text), f"in terminal {terminal}"
            seen.append(Step(terminal, mark, actual))
        server, *clients = programs.values()
        for program in clients:
            program.end_input()
            _expect_departures(program)
        server.terminate()
        _expect_departures(server)
    return seen


def _start(stage: Stage, command: str) -> Program:
    python, *arguments = shlex.split(command)
    assert python == "python3"
    return stage.run(Program, command, [sys.executable, *arguments])


def _expect_departures(program: Program) -> None:
    """It ends, and has nothing more to say but who has left by now, of which no script tells."""
    rest = program.stdout.take_rest().splitlines()
    program.process.wait(DEADLINE_SECONDS)
    program.has_ended = True
    assert all(line.endswith(b" left the chatroom") for line in rest), rest


def _without_time(text: str) -> str:
    return _TIME.sub("<time>", text)
