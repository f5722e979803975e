"""Faults that the kernel could answer with, and strace(1), which makes it do so.

In: a Fault, and a program that runs. Out: a Trace, which follows what an strace that is attached to
the program tells of it. Attached, and not started with it: occurrences are counted from here on, so
that no call of the program's start is hit.

A call that strace lets fail is not made at all. So one that "takes 3 bytes" has taken them from the
sender, and they reach no one; `Trace.loss` tells where in the stream they are missing.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.programs import Program, Stage

_SENDING = "EPIPE ECONNRESET ENOBUFS ETIMEDOUT EAGAIN "
_SENDING += " ".join(f"retval={count}" for count in range(1, 8))

CALLS = {
    "accept4": (14, "EMFILE ENFILE ENOBUFS ENOMEM ECONNABORTED EPROTO EPERM EINTR EIO"),
    "recvfrom": (33, "ECONNRESET ETIMEDOUT EHOSTUNREACH ENOBUFS ENOMEM EINTR EAGAIN"),
    "sendto": (40, _SENDING),
    "sendmsg": (4, _SENDING),
    "epoll_wait": (28, "EINTR EIO"),
    "epoll_ctl": (15, "ENOSPC ENOMEM ENOENT EBADF"),
    "setsockopt": (3, "EINVAL ENOPROTOOPT ENOTCONN"),
    "getsockname": (9, "ENOBUFS"),
    "ioctl": (7, "ENOMEM"),
    "shutdown": (7, "ENOTCONN"),
    "close": (12, "EIO EINTR"),
    "write": (26, "EAGAIN EPIPE ENOSPC EIO"),
}
"""The calls of a server that serves: how often one session makes each, its end included, and how
it may fail. `send` is sendto there, `recv` recvfrom, and `accept` accept4. There is no poll: only a
descriptor that cannot be opened anew is asked (reactor.descriptors), and the streams are pipes."""

START_CALLS = """
newfstatat 360/18 EACCES; openat 66/2 EMFILE; read 110/10 EIO; lseek 96/24 EINVAL; close 64/6 EIO
ioctl 54/6 ENOMEM; mmap 36/3 ENOMEM; getdents64 8/1 EIO; getcwd 1/1 ENOENT; rt_sigaction 6/1 EPERM
rt_sigprocmask 1/1 EPERM ENOSYS; prlimit64 4/1 EPERM ENOSYS; socket 1/1 EMFILE EPERM EAFNOSUPPORT
setsockopt 8/1 EINVAL; bind 1/1 EACCES EADDRINUSE EADDRNOTAVAIL; listen 1/1 EADDRINUSE
getsockname 1/1 ENOBUFS; connect 1/1 ECONNREFUSED ENETUNREACH EPERM; epoll_create1 2/1 EMFILE ENOSYS
epoll_ctl 2/1 ENOSPC; pipe2 1/1 EMFILE; fcntl 1/1 EPERM; poll 1/1 ENOMEM
"""
"""The calls of a start: how often it makes each, that only every so many-th is let fail, since most
are of the import and alike, and how."""

HARMLESS = ("EAGAIN", "EINTR", "retval")
"""What is no failure of anything: to be tried again, or a part."""

HARMLESS_CALLS = ("epoll_wait", "setsockopt", "write")
"""Calls that belong to no connection, or to one that is over."""

TAIL_LINES = 25
"""Of the trace, and of complaints, that are kept to explain a failure."""

_SHOWN_BYTES = 64

_ACCEPTED = re.compile(r"accept4\(.*sin_port=htons\((\d+)\).* = (\d+)$")
_SENT = re.compile(r"(sendto|sendmsg)\((\d+), (.*) = (\d+)( \(INJECTED\))?$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_CALL = re.compile(r"([a-z0-9_]+)\(")
_WAKEUP = re.compile(r"write\(\d+, \"\\\d+\", 1\)")


class TracingForbiddenError(Exception):
    """strace is missing, or may not trace: nothing can be said about the server."""


class Fault(NamedTuple):
    """The `occurrence`-th `call`, from 1, fails with `error`, or returns what `retval=` says."""

    call: str
    error: str
    occurrence: int
    program: str = ""
    """The one that starts; a server that serves if it is empty."""

    def __str__(self) -> str:
        name = f"{self.call}:{self.error}:{self.occurrence}"
        return f"{self.program}:{name}" if self.program else name

    @property
    def may_cost(self) -> int:
        """How many connections may be lost."""
        return int(not self.error.startswith(HARMLESS) and self.call not in HARMLESS_CALLS)

    @property
    def option(self) -> str:
        """What strace is told."""
        error = self.error if "=" in self.error else f"error={self.error}"
        return f"inject={self.call}:{error}:when={self.occurrence}"


def all_faults() -> Iterator[Fault]:
    """Every error of every call, at each of its occurrences."""
    for call, (count, errors) in CALLS.items():
        for error in errors.split():
            for occurrence in range(1, count + 1):
                yield Fault(call, error, occurrence)


def all_start_faults() -> Iterator[Fault]:
    """The same for the start of either program."""
    for program in ("server.py", "client.py"):
        for call, count, step, errors in re.findall(r"(\w+) (\d+)/(\d+) ([A-Z ]+)", START_CALLS):
            for error in errors.split():
                for occurrence in range(1, int(count) + 1, int(step)):
                    yield Fault(call, error, occurrence, program)


def attach(stage: Stage, program: Program, fault: Fault | None) -> Trace:
    """Take hold of `program`, until it ends. Raises TracingForbiddenError."""
    if not shutil.which("strace"):
        raise TracingForbiddenError("strace is not installed (apt-get install strace)")
    command = ["strace", "-f", "-s", str(_SHOWN_BYTES), "-p", str(program.pid)]
    calls = [fault.call] if fault and fault.program else CALLS
    command += ["-e", f"trace={','.join(calls)}", *(["-e", fault.option] if fault else [])]
    strace = stage.run(Program, "strace", command)
    answer = strace.stderr.take_line()
    if not answer.endswith(" attached"):
        raise TracingForbiddenError(f"strace may not trace: {answer}")
    return Trace(strace)


class Loss(NamedTuple):
    """`data` is missing in the stream to the peer on `port`, behind its first `offset` bytes."""

    port: int
    offset: int
    data: bytes


class Trace:
    """What an strace has told so far: read on by each `update`."""

    def __init__(self, strace: Program) -> None:
        self.strace = strace
        self.calls: Counter[str] = Counter()
        """call -> how often it was made."""
        self.lines: deque[str] = deque(maxlen=TAIL_LINES)
        self.injected = ""
        """The line of the fault; empty while it has not come."""
        self.loss: Loss | None = None
        self._ports: dict[int, int] = {}  # descriptor -> port of its peer
        self._sent_bytes: Counter[int] = Counter()  # by port

    @property
    def is_void(self) -> bool:
        """Whether the fault hit the pipe by which a signal wakes the server, or took
        more bytes than there were: no peer can notice the one, and no kernel does the other."""
        sent = _SENT.search(self.injected)
        is_impossible = sent is not None and int(sent[4]) > len(_sent_data(sent[3]))
        return is_impossible or bool(_WAKEUP.search(self.injected))

    def update(self) -> None:
        """Read what has come, and wait for nothing."""
        while b"\n" in self.strace.stderr.unread:
            self._take(self.strace.stderr.take_line())

    def _take(self, line: str) -> None:
        self.lines.append(line)
        if match := _CALL.match(line):
            self.calls[match[1]] += 1
        if line.endswith("(INJECTED)"):
            self.injected = line
        if match := _ACCEPTED.search(line):
            port, descriptor = map(int, match.groups())
            self._ports[descriptor] = port
        elif match := _SENT.search(line):
            port, count = self._ports[int(match[2])], int(match[4])
            if match[5]:
                data = _sent_data(match[3])[:count]
                self.loss = Loss(port, self._sent_bytes[port], data)
            else:
                self._sent_bytes[port] += count


def _sent_data(arguments: str) -> bytes:
    """The bytes that a send was given, as far as strace shows them."""
    pieces = _STRING.findall(arguments)
    return b"".join(ast.literal_eval(f'b"{piece}"') for piece in pieces)
