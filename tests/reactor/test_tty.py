"""A terminal that is shared with a shell."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
from typing import Any

from reactor import set_terminal


def without_echo(descriptor: int) -> list[Any]:
    modes = termios.tcgetattr(descriptor)
    modes[3] &= ~termios.ECHO
    return modes


def test_modes_are_set_until_the_terminal_is_gone() -> None:
    ours, theirs = os.openpty()
    modes = without_echo(theirs)
    set_terminal(theirs, modes)
    assert termios.tcgetattr(theirs) == modes
    os.close(ours)
    set_terminal(theirs, modes)
    os.close(theirs)


BACKGROUND = """
import os
from reactor import set_terminal
from tests.reactor.test_tty import without_echo
if not (child := os.fork()):
    os.setpgrp()
    set_terminal(0, without_echo(0))
    os._exit(0)
os._exit(os.waitpid(child, 0)[1])
"""


def test_background_process_leaves_the_modes_alone() -> None:
    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    subprocess.run(
        [sys.executable, "-c", BACKGROUND],
        stdin=theirs,
        check=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_process_stops_until_it_is_continued() -> None:
    program = "from reactor import stop_process; stop_process(); print('again')"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=os.setpgrp) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0] == b"again\n"
