"""A terminal that this process shares with its shell, which takes it back when a job is stopped.

The shell does that once the first process of a job has stopped, and under make(1) that is make: a
handler of SIGTSTP may come later, when the terminal's modes are the shell's own already.
"""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from typing import Any


def set_terminal(descriptor: int, modes: list[Any], when: int = termios.TCSANOW) -> None:
    """tcsetattr(3), in the foreground alone. A terminal that is gone is left alone too."""
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, [signal.SIGTTOU]
    )  # the shell may come between
    try:
        with contextlib.suppress(termios.error):  # EIO: it is gone
            if not is_in_background(descriptor):
                termios.tcsetattr(descriptor, when, modes)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop_process() -> None:
    """Stop as a process does that has no handler of SIGTSTP. Returns once it is continued."""
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, handler)


def is_in_background(descriptor: int) -> bool:
    """Whether the terminal is another process group's now."""
    with contextlib.suppress(OSError):  # ENOTTY: no shell has it as its own
        return os.tcgetpgrp(descriptor) != os.getpgrp()
    return False
