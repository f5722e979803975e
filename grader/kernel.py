"""What the kernel tells about a tree of processes: whether any of them may still do something.

In: process numbers. Out: plain values read from /proc. Where there is no /proc
(macOS) `IS_HERE` is False, and a wait has to go by the clock.

A process is *at rest* when each of its threads sleeps. When all are at rest and nothing waits in a
socket or a pipe, only a timer of theirs can make anything happen; and whether a sleeping thread has
set one, the system call that it sleeps in tells. That is what makes a verdict independent of load:
on a busy machine a thread that has not yet been given a processor is not asleep, and is waited for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")

IS_HERE = sys.platform == "linux" and (_PROC / "self/status").exists()

_HAS_CHILDREN = (_PROC / f"self/task/{os.getpid()}/children").exists()
"""Not where the kernel was built without CONFIG_PROC_CHILDREN."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ASLEEP = b"SZTtXI"

_TIMEOUTS = {
    "never": "read readv recvfrom recvmsg accept accept4 write writev sendto sendmsg connect"
    " wait4 waitid pause rt_sigsuspend flock",
    "pointer": "futex/3 select/4 pselect6/4 ppoll/2 rt_sigtimedwait/2",
    "milliseconds": "poll/2 epoll_wait/3 epoll_pwait/3",
}
"""System calls by the form of their time-out, and which argument that is."""

_NUMBERS = {
    "x86_64": "read=0 readv=19 recvfrom=45 recvmsg=47 accept=43 accept4=288 wait4=61 waitid=247"
    " write=1 writev=20 sendto=44 sendmsg=46 connect=42 pause=34 rt_sigsuspend=130 flock=73"
    " futex=202 select=23 pselect6=270 ppoll=271 rt_sigtimedwait=128 poll=7 epoll_wait=232"
    " epoll_pwait=281",
    "aarch64": "read=63 readv=65 recvfrom=207 recvmsg=212 accept=202 accept4=242 wait4=260"
    " write=64 writev=66 sendto=206 sendmsg=211 connect=203 waitid=95 rt_sigsuspend=133 flock=32"
    " futex=98 pselect6=72 ppoll=73 rt_sigtimedwait=137 epoll_pwait=22",
}
"""asm/unistd.h."""


class Thread(NamedTuple):
    """A thread at one moment. `sleeps` counts how often it gave its processor away, `losses` how
    often it was taken; a thread that sleeps with the counts it had has not run in between."""

    is_asleep: bool
    sleeps: int
    losses: int
    has_ended: bool = False


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
    found = children(ancestor)
    for pid in found:
        found.extend(children(pid))
    return found


def children(parent: int) -> list[int]:
    """The processes whose parent is `parent`."""
    if not _HAS_CHILDREN:
        pids = [int(name) for name in os.listdir(_PROC) if name.isdigit()]
        return [pid for pid in pids if [str(parent).encode()] == _stat(pid)[1:2]]
    found: list[int] = []
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{parent}/task"):
            found += map(int, _read(f"/proc/{parent}/task/{name}/children").split())
    return found


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
        found[int(name)] = Thread(state in _ASLEEP, int(counts[1]), int(counts[3]), state in b"ZX")
    return found


def is_awake(pid: int, tid: int) -> bool:
    """Whether a thread runs or waits for a processor; cheaper than `threads`."""
    return _read(f"/proc/{pid}/task/{tid}/stat").rpartition(b")")[2][1:2] not in _ASLEEP


def has_timer(pid: int, tid: int) -> bool:
    """Whether a sleeping thread may wake although no one writes to it. True, too, where that is not
    known: of another user's process the kernel tells it to the privileged alone (proc(5))."""
    number, *arguments = _read(f"/proc/{pid}/task/{tid}/syscall").split() or [b""]
    form, argument = _FORMS.get(number, ("", 0))
    if form == "never" or not form:
        return not form
    value = int(arguments[argument], 16)
    return bool(value) if form == "pointer" else not value & 0x8000_0000


def processor_ticks(pid: int) -> int:
    """Processor time that a process has taken, in ticks of 10 ms; 0 if it is gone."""
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _read_forms() -> Iterator[tuple[bytes, tuple[str, int]]]:
    numbers = dict(pair.split("=") for pair in _NUMBERS.get(platform.machine(), "").split())
    for form, calls in _TIMEOUTS.items():
        for name, _, argument in (call.partition("/") for call in calls.split()):
            if name in numbers:
                yield numbers[name].encode(), (form, int(argument or 0))


_FORMS = dict(_read_forms())


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
        text = data = os.read(descriptor, 4096)
        while len(data) == 4096:
            text += (data := os.read(descriptor, 4096))
        return text
    except OSError:
        return b""
    finally:
        os.close(descriptor)
