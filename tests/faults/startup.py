"""The start of a program in which one system call fails, from its first line to its banner.

What is owed: it serves, or it ends with status 1 and one line on standard error that is true.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys

from tests.faults.injection import Fault, attach
from tests.faults.session import Case
from tests.support.programs import DEADLINE_SECONDS, PASSCODE, PROGRAMS, Program, Room

HELD = """
import os, signal, sys
del sys.argv[0]
code = compile(open(sys.argv[0]).read(), sys.argv[0], "exec")
os.kill(os.getpid(), signal.SIGSTOP)
exec(code, {"__name__": "__main__", "__file__": sys.argv[0]})
"""
"""Runs a program, and stops before its first line: what fails before is Python's own."""

IN_OTHER_WORDS = ("No module named", "cannot import name", ".so: ", "already in use")
"""What Python makes of an error, or we, instead of telling it."""


DISPENSABLE = ("prlimit64", "setsockopt", "rt_sigprocmask")
"""Calls without which a program serves all the same."""

NAMED = ("epoll_create1", "getsockname")
"""Calls that are told by their names, some of them."""


def run_start(fault: Fault) -> Case:
    """In a room, which a client comes to. Raises TracingForbiddenError."""
    with contextlib.closing(Room()) as room:
        room.open()
        flags = ["-start", "-port=0", f"-passcode={PASSCODE}"]
        if fault.program == "client.py":
            flags[:2] = ["-join", "-host=127.0.0.1", f"-port={room.port}", "-username=Alice"]
        command = [sys.executable, "-c", HELD, str(PROGRAMS / fault.program), *flags]
        program = room.run(Program, fault.program, command)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        case = Case(fault, room, attach(room, program, fault))
        program.signal(signal.SIGCONT)
        try:
            _go_on(room, program, fault)
        except AssertionError as complaint:
            case.complaints.append(str(complaint))
        room.pump.wait(lambda: bool(case.trace.strace.stderr.end))
        case.trace.update()
    return case


def _go_on(room: Room, program: Program, fault: Fault) -> None:
    """See it serve, and end."""
    room.pump.wait(lambda: bool(program.stdout.unread or program.stdout.end))
    shown = bytes(program.stdout.unread)
    if shown.startswith(b"Server"):
        room.port = int(shown.split()[4].rstrip(b"."))
        alice = room.enter("Alice")
        program.signal(signal.SIGTERM)
        alice.end_input()  # or it would wait for her end
    elif shown:
        program.types(":Exit")
    told = program.stderr.take_rest().decode()
    reason = os.strerror(getattr(errno, fault.error))
    assert program.process.wait(DEADLINE_SECONDS) == (0 if shown else 1), told
    assert shown or fault.call not in DISPENSABLE, told
    if shown:
        assert told in ("", f"warning: standard output: {reason}\n")
    else:
        assert re.fullmatch("error: .+\n", told), told
        assert fault.call in told or fault.call not in NAMED, told
        assert any(words in told for words in (reason, *IN_OTHER_WORDS)), f"not true: {told}"
