"""How a program starts: what it inherited is put right, and what it lacks is told in one line.

A parent hands down more than a command line: blocked and ignored signals, closed standard streams,
variables for Python (execve(2), signal(7)). `put_right` is called before our other modules are
imported, which takes the longest part of a start; so this one imports none of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType

_LACKS = (OSError, ImportError, MemoryError)
"""Kinds of exceptions by which a start tells what it lacks; any other is a bug."""


def put_right() -> frozenset[int]:
    """Make the process what a program of ours relies on; to be called first, and once. Returns
    which of descriptors 0, 1 and 2 were closed. Raises OSError if there is no null device for them.

    SIGINT, SIGTERM and SIGHUP end the process from here on, without a traceback, whether the parent
    had them blocked or this is process 1. SIGINT and SIGHUP that the parent ignores stay ignored:
    a shell means that by `&`, and nohup(1) by its name. What else is inherited (umask, nice value,
    limits, working directory, further descriptors, timers) is the user's choice and is kept.
    """
    sys.excepthook = _end_start
    _obey_signals()
    return _replace_closed_streams()


def load_for_later(*modules: str) -> None:
    """Import what the first failure needs to be told, and `modules`. When that comes there may be
    no descriptor left to load them with. Raises what a failing import raises."""
    for name in ("traceback", "tokenize", *modules):  # traceback loads tokenize too, but later
        __import__(name)


def has_started() -> None:
    """To be called when the start is over: from now on a failure is told with its traceback."""
    sys.excepthook = _end


def reason_of(error: BaseException) -> str:
    """Why something failed, on one line: `open: Too many open files`, if the error has the name of
    a file or a system call, `Too many open files` if it has none."""
    if isinstance(error, MemoryError):
        return "out of memory"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if reason.startswith("cannot import name"):
        reason = reason.partition(" (")[0]  # what Python guesses behind it may not be true
    name = getattr(error, "filename", None)
    return " ".join((f"{name}: {reason}" if name else reason).split("\n"))


@contextlib.contextmanager
def needs(folder: str, what: str) -> Iterator[None]:
    """Raises ImportError, with the way out, where an import for `what` finds nothing: a joined
    program (`make hand-in`) holds only the modules that it always needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(f"{what} needs the folder {folder} beside server.py") from error


# Signals.


def _obey_signals() -> None:
    # The kernel drops a signal to process 1 that has no handler (pid_namespaces(7)).
    action = _end_at_once if os.getpid() == 1 else signal.SIG_DFL
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            with contextlib.suppress(OSError):  # a sandbox may forbid it
                signal.signal(number, action)
    # Last, since what was blocked comes now.
    with contextlib.suppress(OSError):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


# Standard streams.


def _replace_closed_streams() -> frozenset[int]:
    """Put the null device where one is closed: the first socket would otherwise become standard
    output, and read what was meant for a screen."""
    closed = frozenset(filter(_is_closed, (0, 1, 2)))
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is the next of these
    return closed


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


# The end by an exception.


def _end_start(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Python's own hook for an exception that nothing has caught (sys.excepthook)."""
    files = list(_files(traceback))
    is_import = any("importlib" in file for file in files)
    # After an import that has failed Python's own modules fail in other ways too.
    is_pythons = is_import and files[-1].startswith(os.path.dirname(os.__file__))
    if not isinstance(error, _LACKS) and not is_pythons:
        _end(kind, error, traceback)
        return
    is_nameless = isinstance(error, OSError) and not error.filename
    what = "import: " if is_nameless and is_import else ""
    line = f"error: cannot start: {what}{reason_of(error)}\n"
    with contextlib.suppress(OSError):
        if _takes_a_line(2):
            os.write(2, line.encode("utf-8", "backslashreplace"))


def _end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Python asks about an ordinary end too where PYTHONINSPECT has it go on with a prompt."""
    if isinstance(error, SystemExit) and "PYTHONINSPECT" in os.environ:
        os._exit(error.code if isinstance(error.code, int) else 0)
    sys.__excepthook__(kind, error, traceback)


def _files(traceback: TracebackType | None) -> Iterator[str]:
    """Where it was raised comes last."""
    while traceback:
        yield traceback.tb_frame.f_code.co_filename
        traceback = traceback.tb_next


def _takes_a_line(descriptor: int) -> bool:
    """Whether a line can be written without waiting for a reader, as far as can be known."""
    try:
        import select  # there may be no descriptor to load it with
    except (ImportError, OSError, MemoryError):
        return True
    return bool(select.select([], [descriptor], [], 0)[1])
