"""A session: the processes of one case, from their start to the end of everything they left behind.

Programs are started on pipes or on a terminal, typed to, and read, all in one loop. Waiting is for
something to be there, and it ends early when nothing can come any more: when every thread sleeps in
a system call that only we could end (kernel.py). Where one of them has a timer, all have to be
at rest for as long as the caller has patience; time in which somebody computes, or waits for a
processor, is not counted. The clock alone decides only where there is no /proc.

Bounds: bytes kept of each stream (streams.py), processes, address space and files of each process,
and the seconds of each wait. Only our own children are ever ended: who is left behind becomes one.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import pty
import pwd
import resource
import selectors
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from grader import kernel, tcp
from grader.network import Proxy
from grader.streams import Stream

MAX_PROCESSES = 100
"""Below one session. The largest honest case has 21 programs."""

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_ADDRESS_BYTES = 8 * 1024 * 1024 * 1024
"""Of each process: more than any chat needs, less than hurts."""

STILL_SECONDS = 0.03
"""Rest after which those who have a timer are taken to wait for it: some samples. What is on its
way through a terminal takes a moment as well, and is seen nowhere."""

STUCK_SECONDS = 2.0
"""Rest with something still waiting to be read, after which it is believed that no one reads it."""

BLIND_SECONDS = 0.4
"""Silence that is taken for rest where the kernel cannot be asked."""

TICK_SECONDS = 0.006
SLOW_TICK_SECONDS = 0.03
BUSY_TICK_SECONDS = 0.01
FAST_TICK_SECONDS = 0.001
"""Between two looks at who is at rest; slower once everybody has been for a while or while somebody
computes, and faster where a proxy has to feed somebody byte by byte."""

END_SECONDS = 10.0
"""Longest that is spent on killing those who breed."""

COUNT_SECONDS = 0.5
"""Between two counts of the processes, while none of them rests."""

# A solution that polls without a pause never sleeps. Each of its processes has looked around often
# enough once it has computed for so long since anything last happened. One that is young may be
# starting still, which takes a while and shows nothing.
_POLLER_TICKS = 3
_YOUNG_POLLER_TICKS = 30
_YOUNG_TICKS = 50


class Setting(NamedTuple):
    """Where and how solutions run. `user` is a name, or empty for our own. `version`: of Python."""

    directory: Path
    python: str
    on_terminal: bool = False
    timeout: float = 20.0
    user: str = ""
    version: str = ""


class Program:
    """One running program of a solution."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], stdin: int, out: Stream, err: Stream
    ) -> None:
        self.name = name
        self.process = process
        self.out = out
        self.err = err
        self.stdin = stdin

    @property
    def has_ended(self) -> bool:
        """It is gone, and all that it printed has been read."""
        return self.process.poll() is not None

    @property
    def status(self) -> int | None:
        return self.process.poll()

    @property
    def is_flooded(self) -> bool:
        return self.out.is_flooded or self.err.is_flooded

    @property
    def is_out(self) -> bool:
        """Nothing more is to be expected of it."""
        return self.has_ended or self.is_flooded


class TooManyProcessesError(Exception):
    """A solution has started more than MAX_PROCESSES."""


class Session:
    """The programs of one case. Use it as a context manager: nothing that was started survives.

    `ports` are the ones on which the case's programs talk. Our process must have called
    `kernel.adopt_orphans` and have no other children than those that are started here.
    `is_final`: when the last wait ended, nothing could come any more but for what we do next.
    """

    def __init__(self, setting: Setting, ports: set[int], env: Mapping[str, str]) -> None:
        self.programs: list[Program] = []
        self._setting = setting
        self._ports = set(ports)
        self._env = dict(env)
        self._selector = selectors.DefaultSelector()
        self._proxies: list[Proxy] = []
        self.is_final = False
        self._last_event = time.monotonic()
        self._rest = _Rest()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    # What the case does.

    def start(self, name: str, arguments: Sequence[str]) -> Program:
        """Run `python <arguments>` in the solution's directory. Raises OSError."""
        on_terminal = self._setting.on_terminal and not name.startswith("server")
        if on_terminal:
            ours, theirs = pty.openpty()
            _make_plain(theirs)
            stdin, stdout = os.dup(ours), ours
            child_stdin, child_stdout = theirs, os.dup(theirs)
        else:
            child_stdin, stdin = os.pipe()
            stdout, child_stdout = os.pipe()
        stderr, child_stderr = os.pipe()
        os.set_blocking(stdin, False)
        user = pwd.getpwnam(self._setting.user) if self._setting.user else None
        try:
            process = subprocess.Popen(  # noqa: S603
                [self._setting.python, *arguments],
                stdin=child_stdin,
                stdout=child_stdout,
                stderr=child_stderr,
                cwd=self._setting.directory,
                env=self._env,
                start_new_session=True,
                preexec_fn=_prepare_on_terminal if on_terminal else _prepare,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )
        finally:
            for descriptor in (child_stdin, child_stdout, child_stderr):
                os.close(descriptor)
        program = Program(name, process, stdin, Stream(stdout, on_terminal), Stream(stderr))
        self.programs.append(program)
        for stream in (program.out, program.err):
            self._selector.register(stream.descriptor, selectors.EVENT_READ, stream)
        self._note_event()
        return program

    def set_environment(self, env: Mapping[str, str]) -> None:
        """For programs that start after this."""
        self._env = dict(env)

    def add_proxy(self, host: str, server_port: int, cuts: bool) -> int:
        """A network between a client and the server. Returns the port that the client is to use."""
        proxy = Proxy(self._selector, host, server_port, cuts)
        self._proxies.append(proxy)
        self._ports.add(proxy.port)
        return proxy.port

    def type(self, program: Program, data: bytes) -> None:
        """What is typed to a program that has ended, or that has not read 64 KiB, is lost."""
        with contextlib.suppress(OSError):
            os.write(program.stdin, data)
        self._note_event()

    def end_input(self, program: Program) -> None:
        if self._setting.on_terminal and os.isatty(program.stdin):
            self.type(program, b"\x04")
        elif program.stdin >= 0:
            os.close(program.stdin)
            program.stdin = -1
        self._note_event()

    def signal(self, program: Program, number: int) -> None:
        """To the program and all else in its process group."""
        if not program.has_ended:
            os.killpg(program.process.pid, number)
        self._note_event()

    # What the case waits for.

    def wait(self, until: Callable[[], bool], patience: float) -> bool:
        """Wait until `until` holds, or nothing can come any more, or all have rested for `patience`
        seconds, or time is out. Returns whether it holds. Raises TooManyProcessesError."""
        deadline = time.monotonic() + max(self._setting.timeout, 2 * patience)
        self.is_final = False
        holds = until()
        while not holds:
            has_moved = self._turn()
            rest = 0.0 if has_moved else self._still_for()
            if rest >= patience or time.monotonic() > deadline:
                self._read_all()
                self.is_final = rest == math.inf
                return until()
            # While somebody computes there is nothing to see but what is printed.
            holds = (has_moved or not self._rest.is_busy) and until()
        return True

    def settle(self) -> bool:
        """Wait until nothing can come any more, or nothing comes for a moment. Returns which."""
        self.wait(lambda: False, STILL_SECONDS)
        return self.is_final

    def close(self) -> None:
        """End every program and all that they left behind."""
        for program in self.programs:
            self._kill_group(program)
        _end_children()
        for program in self.programs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(0.1)
            for stream in (program.out, program.err):
                stream.close()
            if program.stdin >= 0:
                os.close(program.stdin)
        for proxy in self._proxies:
            proxy.close()
        self._selector.close()

    # Details.

    def _turn(self) -> bool:
        """Read what there is, for at most a tick. True if there was anything."""
        tick = SLOW_TICK_SECONDS if self._rest.is_long else TICK_SECONDS
        tick = BUSY_TICK_SECONDS if self._rest.is_busy else tick
        ready = self._selector.select(FAST_TICK_SECONDS if self._proxies else tick)
        for key, _ in ready:
            if isinstance(key.data, Stream):
                self._read(key.data)
            else:
                key.data()
                self._note_event()
        return bool(ready)

    def _read(self, stream: Stream) -> None:
        if stream.read():
            self._note_event()
        # One that prints without end is not read any more, and so comes to rest by itself. If it
        # were killed, others would be told that it has left.
        if stream.has_ended or stream.is_flooded:
            with contextlib.suppress(KeyError):
                self._selector.unregister(stream.descriptor)

    def _read_all(self) -> None:
        for program in self.programs:
            for stream in (program.out, program.err):
                while not stream.has_ended and not stream.is_flooded and stream.read():
                    pass

    def _note_event(self) -> None:
        self._last_event = time.monotonic()
        self._rest.begin_again()

    def _still_for(self) -> float:
        """Seconds for which all have been at rest; infinity if nothing can end that but us."""
        since_event = time.monotonic() - self._last_event
        if not kernel.IS_HERE:
            seconds = max(since_event - BLIND_SECONDS, 0.0)
        else:
            seconds = self._rest.look(self._ports, self._unread_input)
            if seconds == math.inf and self._setting.on_terminal and since_event < STILL_SECONDS:
                seconds = 0.0
        if self._rest.processes > MAX_PROCESSES:
            raise TooManyProcessesError(self._rest.processes)
        if seconds and self._selector.select(0):
            return 0.0  # it came to us while we looked
        return 0.0 if seconds and self._release() else seconds

    def _release(self) -> bool:
        """Let proxies pass on what they hold, now that everybody waits for it."""
        released = [proxy.release() for proxy in self._proxies]
        if any(released):
            self._note_event()
        return any(released)

    def _unread_input(self) -> dict[_Place, int]:
        """Bytes that were typed and that no one has read."""
        return {
            (program.process.pid, 0): _unread_bytes(program.stdin)
            for program in self.programs
            if program.stdin >= 0 and not program.has_ended and not os.isatty(program.stdin)
        }

    def _kill_group(self, program: Program) -> None:
        if program.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(program.process.pid, signal.SIGKILL)


_Place = tuple[int, int]
"""Where bytes may wait: the two ports of a socket, or a process and 0 for its standard input."""


class _Rest:
    """For how long all descendants of this process have been at rest."""

    def __init__(self) -> None:
        self.processes = 0
        self._pids: list[int] = []
        self._are_pids_known = False  # none has run since they were counted
        self._counted = 0.0
        self._threads: dict[tuple[int, int], kernel.Thread] = {}
        self._busy: tuple[int, int] | None = None  # one that was awake at the last look
        self._have_timers: bool | None = None  # None: not asked since one of them ran
        self._looked = 0.0
        self._was_at_rest = False
        self._seconds = 0.0
        self._queues: list[tcp.Queue] = []
        self._waiting: dict[_Place, int] = {}
        self._waited = 0.0
        self._stuck: dict[_Place, int] = {}
        self._first_ticks: dict[int, int] = {}

    def begin_again(self) -> None:
        """Something happened that anybody may be about to answer."""
        self._seconds = self._waited = 0.0
        self._was_at_rest = False
        self._are_pids_known = False
        self._have_timers = None
        self._first_ticks = {}

    def look(self, ports: set[int], unread_input: Callable[[], dict[_Place, int]]) -> float:
        """Seconds of rest since `begin_again` in which nothing waited to be read; infinity if only
        we can end it; 0 as well if somebody is not at rest."""
        now = time.monotonic()
        if now - self._counted < COUNT_SECONDS and self._is_busy_still():
            return 0.0  # which is all that most looks have to find out
        self._busy = None
        have_run = self._sample(now)
        is_asleep = all(thread.is_asleep for thread in self._threads.values())
        is_at_rest = is_asleep or self._are_spinning()
        gap = now - self._looked if self._was_at_rest else 0.0
        self._looked, self._was_at_rest = now, is_at_rest
        if not is_at_rest:
            return 0.0
        if have_run or self._waiting or self._have_timers is None:
            self._queues = tcp.queues(ports)
        waiting = self._find_waiting(unread_input())
        if is_asleep and self._is_final():
            return math.inf
        if not waiting:
            self._waiting = {}
            self._seconds += gap
            return self._seconds
        self._wait_for(waiting, gap)
        return 0.0

    @property
    def is_busy(self) -> bool:
        """Somebody was seen to compute, and not for long yet."""
        return self._busy is not None

    @property
    def is_long(self) -> bool:
        """They have been at rest for longer than it takes to notice."""
        return self._seconds > 2 * STILL_SECONDS

    def _sample(self, now: float) -> bool:
        """Look at all threads. True if any has run since the last time, or somebody is new."""
        if now - self._counted > COUNT_SECONDS:
            self._count(now)
        before = self._threads
        self._threads = self._read_threads()
        have_run = self._threads != before
        self._are_pids_known &= not have_run
        if not self._are_pids_known:  # who has run may have started others
            known = self._pids
            self._count(now)
            if known != self._pids:
                self._threads = self._read_threads()
        if have_run:
            self._have_timers = None
        return have_run

    def _read_threads(self) -> dict[tuple[int, int], kernel.Thread]:
        return {
            (pid, tid): thread for pid in self._pids for tid, thread in kernel.threads(pid).items()
        }

    def _count(self, now: float) -> None:
        self._pids = kernel.descendants(os.getpid())
        self.processes = len(self._pids)
        self._are_pids_known = True
        self._counted = now

    def _is_final(self) -> bool:
        """Whether none has a timer, no byte is on its way, and none has run while we looked. What
        has arrived and is not read by then is waited for by none of them."""
        if self._have_timers is None:
            self._have_timers = any(
                kernel.has_timer(*place)
                for place, thread in self._threads.items()
                if not thread.has_ended
            )
        if self._have_timers or any(queue.unsent_bytes for queue in self._queues):
            return False
        return self._read_threads() == self._threads

    def _find_waiting(self, places: dict[_Place, int]) -> dict[_Place, int]:
        for queue in self._queues:
            place = (queue.local_port, queue.remote_port)
            places[place] = places.get(place, 0) + queue.unread_bytes + queue.unsent_bytes
        self._stuck = {place: n for place, n in self._stuck.items() if places.get(place, 0) >= n}
        return {place: n for place, n in places.items() if n and place not in self._stuck}

    def _wait_for(self, waiting: dict[_Place, int], gap: float) -> None:
        self._seconds = 0.0
        self._waited = self._waited + gap if waiting == self._waiting else 0.0
        self._waiting = waiting
        if self._waited >= STUCK_SECONDS:
            # No one has touched it for so long. Others that wait are told apart from these.
            self._stuck.update(waiting)
            self._waiting = {}

    def _is_busy_still(self) -> bool:
        if not self._busy:
            return False
        return kernel.is_awake(*self._busy) and not self._has_spun(self._busy[0])

    def _are_spinning(self) -> bool:
        """Whether all that are awake have looked around in vain since anything last happened."""
        for place, thread in self._threads.items():
            if not thread.is_asleep and not self._has_spun(place[0]):
                self._busy = place
                return False
        return True

    def _has_spun(self, pid: int) -> bool:
        """Whether a process has computed for long enough since anything last happened."""
        ticks = kernel.processor_ticks(pid)
        enough = _YOUNG_POLLER_TICKS if ticks < _YOUNG_TICKS else _POLLER_TICKS
        return ticks - self._first_ticks.setdefault(pid, ticks) >= enough


def _end_children() -> None:
    """Kill our children, and those of theirs that become ours by that, until there are none.

    A child keeps its number until we ask for its status, so that no other is ever hit.
    """
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        for pid in kernel.children(os.getpid()) if kernel.IS_HERE else []:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def _unread_bytes(pipe: int) -> int:
    try:
        answer = fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0")
    except OSError:
        return 0
    return int.from_bytes(answer, "little")


def _make_plain(terminal: int) -> None:
    """No echo: what is typed is not what is printed."""
    attributes = termios.tcgetattr(terminal)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def _prepare() -> None:
    """In the child. What we ignore would be ignored there, too."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_BYTES, MAX_ADDRESS_BYTES))


def _prepare_on_terminal() -> None:
    _prepare()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
