"""What the kernel tells about a tree of processes: whether any of them may still do something.

In: process numbers. Out: plain values read from /proc. Where there is no /proc
(macOS) `IS_HERE` is False, and a wait has to go by the clock.

A process is *at rest* when each of its threads sleeps and has not run since it was last looked at.
When all are at rest and nothing waits in a socket or a pipe, only a timer of theirs can make
anything happen. That is what makes a verdict independent of load: on a busy machine a thread that
has not yet been given a processor is not asleep, and is waited for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")

IS_HERE = sys.platform == "linux" and (_PROC / "self/status").exists()

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ASLEEP = b"SZTtXI"


class Thread(NamedTuple):
    """A thread at one moment. `sleeps` counts how often it gave its processor away, `losses` how
    often it was taken; a thread that sleeps with the counts it had has not run in between."""

    is_asleep: bool
    sleeps: int
    losses: int


def adopt_orphans(*, end_with_parent: bool = False) -> None:
    """What a process below us leaves behind becomes our child, so that it is found, and can
    be ended under a number that no other can have taken meanwhile. Linux only."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if end_with_parent:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def descendants(ancestor: int) -> list[int]:
    """The processes below `ancestor`, which is not among them, parents before children."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(ancestor, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def children(parent: int) -> list[int]:
    """The processes whose parent is `parent`."""
    return [pid for pid, its_parent in _parents() if its_parent == parent]


def threads(pid: int) -> dict[int, Thread]:
    """The threads of a process by their numbers; none if it is gone."""
    found: dict[int, Thread] = {}
    try:
        names = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for name in names:
        status = _read(f"/proc/{pid}/task/{name}/status")
        if not status:
            continue
        state = status[status.index(b"State:") :].split(None, 2)[1]
        counts = status[status.rindex(b"\nvoluntary_ctxt_switches:") :].split()
        found[int(name)] = Thread(state in _ASLEEP, int(counts[1]), int(counts[3]))
    return found


def processor_ticks(pid: int) -> int:
    """Processor time that a process has taken, in ticks of 10 ms; 0 if it is gone."""
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir(_PROC):
        if name.isdigit():
            fields = _stat(int(name))
            if fields:
                yield int(name), int(fields[1])


def _stat(pid: int) -> list[bytes]:
    """The fields after the program's name, which may hold anything."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _read(path: str) -> bytes:
    """Empty if the process it tells of is gone. Not by pathlib: this is done thousands of times."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
