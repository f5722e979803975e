"""What a program does instead of listening or connecting. In: its process. Out: words that finish
a sentence about it. Linux only; elsewhere nothing is known.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from grader import kernel
from grader.words import visible

SPIN_SECONDS = 0.15
SPIN_TICKS = 8
"""Processor time of 10 ms each, taken in that time, of a program that waits for nothing."""

_LISTENING = "0A"
_READ_CALLS = frozenset({"0", "63"})
"""read(2) on x86-64 and on ARM64: of a system call's other numbers nothing is known."""

_TABLES = ("tcp", "tcp6", "udp", "udp6")


class _Socket(NamedTuple):
    kind: str
    address: str
    port: int
    is_listening: bool


def describe(pid: int, printed: str) -> str:
    """`printed`: all that it has printed."""
    if not kernel.IS_HERE:
        return ""
    pids = [pid, *kernel.descendants(pid)]
    sockets = [found for each in pids for found in _sockets_of(each)]
    listening = [s for s in sockets if s.kind.startswith("tcp") and s.is_listening]
    if listening:
        places = sorted({f"{_show(s.address)} port {s.port}" for s in listening})
        return f"it listens on {' and on '.join(places)}"
    datagram = sorted({s.port for s in sockets if s.kind.startswith("udp") and s.port})
    if datagram:
        return f"it uses UDP, on port {datagram[0]}, and TCP is asked for"
    if any(_waits_for_input(each) for each in pids):
        asked = printed.rpartition("\n")[2]
        return "it waits for input" + (f" (`{visible(asked[-60:])}`)" if asked.strip() else "")
    if _spins(pids):
        return "it computes without a pause"
    last = printed.strip().rpartition("\n")[2]
    return f"its last words were `{visible(last[:100])}`" if last else "it printed nothing"


def _sockets_of(pid: int) -> Iterator[_Socket]:
    inodes = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    for kind in _TABLES if inodes else ():
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    address, _, port = fields[1].rpartition(":")
                    is_listening = fields[3] == _LISTENING
                    yield _Socket(kind, _address(address), int(port, 16), is_listening)


def _address(digits: str) -> str:
    """From the kernel's words, each in this machine's order."""
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, packed)


def _show(address: str) -> str:
    is_any = address in ("0.0.0.0", "::")  # noqa: S104  it is looked for, not bound to
    return f"{address} (every address)" if is_any else address


def _waits_for_input(pid: int) -> bool:
    """In read(2) of descriptor 0."""
    for name in kernel.threads(pid):
        with contextlib.suppress(OSError):
            call, *arguments = Path(f"/proc/{pid}/task/{name}/syscall").read_text().split()
            if call in _READ_CALLS and arguments and int(arguments[0], 16) == 0:
                return True
    return False


def _spins(pids: Sequence[int]) -> bool:
    before = sum(map(kernel.processor_ticks, pids))
    time.sleep(SPIN_SECONDS)
    return sum(map(kernel.processor_ticks, pids)) - before >= SPIN_TICKS
