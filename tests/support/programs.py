"""The one driver of real programs: starts them, types to them, reads them and sees them end.

A test opens a Room (a server and its members) or a plain Stage, says what is typed, and then, byte
for byte, what is printed. Nothing extra can hide: what was printed stands before what is expected
next, `Room.nothing_else` puts a line of its own behind it all, and every test ends with the
server's goodbye to each member, and with the ends of all that the programs print.

A tool that measures or attacks a server opens a Room as well: it has `port`, `server.pid`, and
`server.terminate`, which asks for no particular output. Standard streams are pipes, a terminal, or
what a shell's redirection makes of them (a file, /dev/null, closed). A pipe is read only while the
driver waits for something: a tool that needs no output redirects it.

Nothing here waits for time to pass. It waits for bytes, for as long as DEADLINE_SECONDS, which is
reached only by a test that fails.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import fcntl
import os
import random
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from tests.support.zygote import Forked, control_terminal

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

ROOT = Path(__file__).resolve().parents[2]

PROGRAMS = Path(os.environ.get("TEST_PROGRAMS", ROOT)).resolve()
"""The folder with the two programs that are run."""

DEADLINE_SECONDS = 20.0
"""Longest that anything is waited for: a hundred times what it takes on a busy machine."""

READ_BYTES = 64 * 1024

HAS_PROC = Path("/proc/self/status").exists()

PASSCODE = "abc12"
GOODBYE = "Server is shutting down"
CLOSED = "error: connection closed by the server"


SomeProgram = TypeVar("SomeProgram", bound="Program")


class Pump:
    """Moves bytes for everyone while anyone is waited for, so that no program stalls because the
    test is looking at another one."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.outputs: list[Output] = []

    def watch(self, descriptor: int, events: int, callback: Callable[[], None]) -> None:
        self._selector.register(descriptor, events, callback)

    def forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def turn(self, seconds: float) -> None:
        """Move what can be moved; wait for it at most so long."""
        for key, _ in self._selector.select(seconds):
            key.data()

    def wait(self, is_done: Callable[[], bool]) -> None:
        """Until it is done, or the deadline has passed."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_done() and (seconds := deadline - time.monotonic()) > 0:
            self.turn(seconds)

    def write(self, descriptor: int, data: bytes) -> None:
        """All of `data`, to a non-blocking descriptor that nothing is read from."""
        unwritten = memoryview(data)

        def write_some() -> None:
            nonlocal unwritten
            with contextlib.suppress(BlockingIOError):
                unwritten = unwritten[os.write(descriptor, unwritten) :]

        self.watch(descriptor, selectors.EVENT_WRITE, write_some)
        try:
            self.wait(lambda: not unwritten)
        finally:
            self.forget(descriptor)
        assert not unwritten, f"{len(unwritten)} of {len(data)} bytes were never taken"

    def close(self) -> None:
        self._selector.close()


class Output:
    """What comes out of one descriptor, which is taken over."""

    def __init__(self, pump: Pump, name: str, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.name = name
        self.unread = bytearray()
        self.end = ""
        """How it ended, once it has: "the end", or the error."""
        self._pump = pump
        self._descriptor = descriptor
        pump.outputs.append(self)
        self.resume()

    def fileno(self) -> int:
        """The descriptor, for one that reads it instead, after `pause`."""
        return self._descriptor

    def pause(self) -> None:
        """Leave all that comes from here on where it is, until `resume`."""
        self._pump.forget(self._descriptor)

    def resume(self) -> None:
        """Read on, if it was paused."""
        self.pause()
        if not self.end:
            self._pump.watch(self._descriptor, selectors.EVENT_READ, self._read)

    def expect(self, expected: bytes) -> None:
        """The next bytes are exactly these."""
        self._pump.wait(
            lambda: (
                bool(self.end)
                or len(self.unread) >= len(expected)
                or not expected.startswith(self.unread)
            )
        )
        seen = bytes(self.unread[: len(expected)])
        if seen != expected:
            raise AssertionError(self._difference(expected, bytes(self.unread)))
        del self.unread[: len(expected)]

    def expect_end(self) -> None:
        """There are no next bytes: the other end has been closed."""
        self._pump.wait(lambda: bool(self.end or self.unread))
        if self.unread or self.end != "the end":
            raise AssertionError(self._difference(b"", bytes(self.unread)))

    def take_line(self) -> str:
        """The next line, whatever it is, without its line end."""
        self._pump.wait(lambda: b"\n" in self.unread or bool(self.end))
        line, end, rest = self.unread.partition(b"\n")
        if not end:
            raise AssertionError(self._difference(b"...\n", bytes(self.unread)))
        self.unread = rest
        return line.decode()

    def take_rest(self) -> bytes:
        """All that comes until the end."""
        self._pump.wait(lambda: bool(self.end))
        assert self.end, f"{self.name} has not ended"
        rest, self.unread = bytes(self.unread), bytearray()
        return rest

    def close(self) -> None:
        self._pump.forget(self._descriptor)
        self._pump.outputs.remove(self)
        os.close(self._descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            # EIO: no one has the other side of the terminal open any more.
            self.end = "the end" if error.errno == errno.EIO else str(error.strerror)
            data = b""
        if data:
            self.unread += data
        else:
            self.end = self.end or "the end"
            self._pump.forget(self._descriptor)

    def _difference(self, expected: bytes, seen: bytes) -> str:
        lines = difflib.unified_diff(
            [repr(line) for line in expected.splitlines(keepends=True)],
            [repr(line) for line in seen.splitlines(keepends=True)],
            "expected",
            f"seen on {self.name}, and then {self.end or 'no more so far'}",
            lineterm="",
            n=2,
        )
        others = [
            f"waiting on {output.name}: {bytes(output.unread[-500:])!r}"
            for output in self._pump.outputs
            if output.unread and output is not self
        ]
        return "\n".join(["not what was expected", *list(lines)[:40], *others[:10]])


class Speaker:
    """One into whom lines are put, and from whom lines come."""

    def __init__(self, name: str, stdout: Output) -> None:
        self.name = name
        self.stdout = stdout

    def types(self, *lines: str) -> None:
        """All of the lines in one burst."""
        self.feed("".join(f"{line}\n" for line in lines).encode())

    def feed(self, data: bytes) -> None:
        raise NotImplementedError

    def shows(self, *lines: str) -> None:
        """These lines come next, and nothing between them."""
        self.stdout.expect("".join(f"{line}\n" for line in lines).encode())

    def hears_goodbye(self) -> None:
        """The server shuts down."""
        self.shows(GOODBYE)
        self.goes_home()

    def goes_home(self) -> None:
        """The server has ended the connection, and nothing more is shown."""
        raise NotImplementedError


class Options(TypedDict, total=False):
    """How a program is run. Input and output are pipes, or a terminal of its own, which echoes
    nothing and leaves line ends alone unless asked to be as terminals are."""

    prefix: Sequence[str]
    """Such as `nice` or `strace -D`, which leave the program its process; with another one, `pid`
    is the prefix's."""
    redirect: str
    """As a shell has it. Standard error is a pipe, otherwise."""
    env: Mapping[str, str]
    """Added to the environment."""
    on_terminal: bool
    with_echo: bool
    size: tuple[int, int]
    """Of that terminal: lines and columns."""
    forked: bool
    """Not started but forked (tests.support.zygote), and so no child of ours. Its command is a
    Python, -c and a text. Without it, Stage.forks says."""


class Program(Speaker):
    """A running program, in the programs' folder: server.py or client.py, mostly."""

    def __init__(
        self, pump: Pump, name: str, command: Sequence[str], **options: Unpack[Options]
    ) -> None:
        self._is_on_terminal = options.get("on_terminal", False)
        command = [*options.get("prefix", ()), *command]
        if redirect := options.get("redirect", ""):
            command = ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *command]
        if self._is_on_terminal:
            stdin, stdout, *theirs = _open_terminal(options.get("with_echo", False))
            set_size(stdin, *options.get("size", (24, 80)))
        else:
            (child_stdin, stdin), (stdout, child_stdout) = os.pipe(), os.pipe()
            theirs = [child_stdin, child_stdout]
        stderr, child_stderr = os.pipe()
        os.set_blocking(stdin, False)
        super().__init__(name, Output(pump, f"standard output of {name}", stdout))
        self.stderr = Output(pump, f"standard error of {name}", stderr)
        self.has_ended = False
        self._stdin = stdin
        self._pump = pump
        env = {**os.environ, **options.get("env", {})}
        self.process: subprocess.Popen[bytes] | Forked
        if options.get("forked", False) and PROGRAMS == ROOT:
            streams = [*theirs, child_stderr]
            self.process = Forked(command[2], command[3:], streams, env, self._is_on_terminal)
        else:
            self.process = subprocess.Popen(
                command,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=child_stderr,
                cwd=PROGRAMS,
                env=env,
                start_new_session=True,
                preexec_fn=control_terminal if self._is_on_terminal else None,
            )
        for descriptor in (*theirs, child_stderr):
            os.close(descriptor)

    def feed(self, data: bytes) -> None:
        """Exactly these bytes. On a terminal, control characters do what they do there."""
        self._pump.write(self._stdin, data)

    def take_stdin(self) -> int:
        """The descriptor of its input, non-blocking. It is the caller's from here on."""
        descriptor, self._stdin = self._stdin, -1
        return descriptor

    def end_input(self) -> None:
        """Ctrl-D, or the pipe is closed."""
        if self._is_on_terminal:
            self.feed(b"\x04")
        else:
            self._close_stdin()

    def complains(self, *lines: str) -> None:
        """These lines come next on standard error, and nothing between them."""
        self.stderr.expect("".join(f"{line}\n" for line in lines).encode())

    @property
    def pid(self) -> int:
        return self.process.pid

    def status(self, field: str) -> str:
        """A line of proc(5), status, where HAS_PROC."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return dict(line.split(":\t", maxsplit=1) for line in text.splitlines())[field]

    def counts_not_shown(self) -> int:
        """It complains next that it has not shown so many lines on standard output."""
        line = self.stderr.take_line()
        match = re.fullmatch(r"warning: standard output: (\d+) lines not shown", line)
        assert match, line
        return int(match[1])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def rest(self, state: str = "S") -> None:
        """Until it has nothing to do, or is in another state of proc(5), where the kernel tells."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while HAS_PROC and not self.status("State").startswith(state):
            assert time.monotonic() < deadline, f"{self.name} never comes to {state}"
            os.sched_yield()

    def suspend(self) -> None:
        """SIGSTOP, once it has nothing to do; and it has stopped. What it is ready for afterwards
        it finds in the order in which it came (epoll(7))."""
        self.rest()
        self.signal(signal.SIGSTOP)
        self.rest("T")

    def exits(self, status: int, *complaints: str) -> None:
        """It ends by itself, with nothing more to say but these lines on standard error."""
        self.complains(*complaints)
        self.stdout.expect_end()
        self.ends(status)

    def ends(self, status: int) -> None:
        """It ends by itself, with nothing on standard error."""
        self.stderr.expect_end()
        self.has_ended = True
        assert self.process.wait(DEADLINE_SECONDS) == status

    def terminate(self) -> int:
        """SIGTERM, and its exit status. What it has printed by its end is left in `unread`."""
        self.signal(signal.SIGTERM)
        for output in (self.stdout, self.stderr):
            output.resume()
        self._pump.wait(lambda: bool(self.stdout.end and self.stderr.end))
        self.has_ended = True
        return self.process.wait(DEADLINE_SECONDS)

    def goes_home(self) -> None:
        self.exits(1, CLOSED)

    def hang_up(self) -> None:
        """The terminal's window is closed: nothing can be typed and nothing seen from here on."""
        self.stdout.close()
        self._close_stdin()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._close_stdin()
        for output in (self.stdout, self.stderr):
            if output in self._pump.outputs:
                output.close()

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1


class Netcat(Program):
    """A running `nc`. There are several of that name, and they end in several ways."""

    def goes_home(self) -> None:
        self.end_input()
        self.stdout.expect_end()
        self.has_ended = True


class RawClient(Speaker):
    """A plain TCP connection, as `nc` makes it."""

    def __init__(self, pump: Pump, name: str, sock: socket.socket) -> None:
        super().__init__(name, Output(pump, name, os.dup(sock.fileno())))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._socket = sock
        self._pump = pump

    def feed(self, data: bytes) -> None:
        self._pump.write(self.fileno(), data)

    def fileno(self) -> int:
        return self._socket.fileno()

    def end_input(self) -> None:
        """FIN: we shall say no more, and go on listening."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST: gone, without a goodbye."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def goes_home(self) -> None:
        self.stdout.expect_end()
        self.close()

    def close(self) -> None:
        if self.fileno() >= 0:
            self.stdout.close()
            self._socket.close()


class Stage:
    """All the programs of one test. What is still running at its end is killed; a test that
    succeeds has seen the end of each."""

    forks = False
    """Whether a program is forked that says nothing else, and whose options need no exec. What
    measures or attacks a program starts it in earnest; tests/conftest.py asks for forks."""

    def __init__(self) -> None:
        self.pump = Pump()
        self._programs: list[Program] = []
        self._resources = contextlib.ExitStack()
        self._resources.callback(self.pump.close)

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        try:
            if failure is None:
                self.finish()
        finally:
            self.close()

    def open(self) -> None:
        """Set the scene."""

    def finish(self) -> None:
        """Look at the end of everyone."""
        unseen = [program.name for program in self._programs if not program.has_ended]
        assert not unseen, f"no one looked at the end of {unseen}"

    def close(self) -> None:
        self._resources.close()

    def run(
        self, kind: type[SomeProgram], name: str, command: Sequence[str], **options: Unpack[Options]
    ) -> SomeProgram:
        program = kind(self.pump, name, command, **options)
        self._resources.callback(program.close)
        self._programs.append(program)
        return program

    def start(
        self, script: str, *flags: str, name: str = "", patch: str = "", **options: Unpack[Options]
    ) -> Program:
        """Run server.py or client.py, after `patch`, a few statements."""
        command = [script]
        needs_exec = any(map(options.get, ("prefix", "redirect", "env")))
        options.setdefault("forked", self.forks and not needs_exec)
        if patch or options["forked"]:
            module = script.removesuffix(".py")
            command = ["-c", f"import sys, {module}; {patch or 'pass'}; sys.exit({module}.main())"]
        return self.run(Program, name or script, [sys.executable, *command, *flags], **options)

    def start_client(
        self,
        port: int,
        username: str = "Alice",
        *,
        passcode: str = PASSCODE,
        host: str = "127.0.0.1",
        patch: str = "",
        **options: Unpack[Options],
    ) -> Program:
        """Run the client; what comes of it is for the caller to see."""
        flags = ["-join", "-host", host, "-port", str(port)]
        flags += ["-username", username, "-passcode", passcode]
        return self.start("client.py", *flags, name=username, patch=patch, **options)

    def take_over(self, sock: socket.socket, name: str) -> RawClient:
        """Speak over a connected socket."""
        raw_client = RawClient(self.pump, name, sock)
        self._resources.callback(raw_client.close)
        return raw_client


class Room(Stage):
    """A server and its members. A test that succeeds ends with the server's goodbye to all who
    are still there, before which nothing unexpected may stand."""

    def __init__(
        self,
        *flags: str,
        passcode: str = PASSCODE,
        port: int = 0,
        patch: str = "",
        **options: Unpack[Options],
    ) -> None:
        super().__init__()
        self.members: list[Speaker] = []
        self.passcode = passcode
        start = ["-start", "-port", str(port), "-passcode", passcode]
        self.server = self.start("server.py", *start, *flags, patch=patch, **options)
        self.port = port

    def open(self) -> None:
        if not self.port:
            banner = self.server.stdout.take_line()
            match = re.fullmatch(r"Server started on port (\d+)\. Accepting connections", banner)
            assert match, banner
            self.port = int(match[1])

    def finish(self) -> None:
        if not self.server.has_ended:
            self.server.signal(signal.SIGTERM)
            for member in self.members:
                member.hears_goodbye()
            self.server.exits(0)
        super().finish()

    def start_member(
        self, username: str, *, patch: str = "", **options: Unpack[Options]
    ) -> Program:
        """Run a client that presents the right passcode."""
        asked = {"passcode": self.passcode, "patch": patch}
        return self.start_client(self.port, username, **asked, **options)

    def join(self, *usernames: str, on_terminal: bool = False) -> list[Program]:
        """Clients join, one after the other, and everyone sees it."""
        programs = []
        for username in usernames:
            program = self.start_member(username, on_terminal=on_terminal)
            program.shows(f"Connected to 127.0.0.1 on port {self.port}")
            self.welcomes(program)
            programs.append(program)
        return programs

    def join_raw(self, username: str) -> RawClient:
        """A member joins with nothing but a socket, and everyone sees it."""
        raw_client = self.enter(username)
        self.welcomes(raw_client)
        return raw_client

    def enter(self, username: str) -> RawClient:
        """A member joins with nothing but a socket. Who sees it is for the caller to look at."""
        raw_client = self.connect(username)
        raw_client.types(f"JOIN {username} {self.passcode}")
        raw_client.shows("OK")
        return raw_client

    def connect(self, name: str = "a socket") -> RawClient:
        """A connection that has said nothing yet."""
        address = ("127.0.0.1", self.port)
        return self.take_over(socket.create_connection(address, DEADLINE_SECONDS), name)

    def start_nc(self, name: str) -> Netcat:
        """Run `nc`, which has connected, or will, and has said nothing yet."""
        return self.run(Netcat, name, ["nc", "127.0.0.1", str(self.port)])

    def welcomes(self, member: Speaker) -> None:
        """Everyone else sees `member` join; from here on it is one of those who see."""
        self.all_show(f"{member.name} joined the chatroom")
        self.members.append(member)

    def misses(self, member: Speaker) -> None:
        """Everyone else sees `member` leave."""
        self.members.remove(member)
        self.all_show(f"{member.name} left the chatroom")

    def all_show(self, *lines: str, but: Speaker | None = None) -> None:
        """These lines come next on the server and at every member, `but` one."""
        for speaker in [self.server, *self.members]:
            if speaker is not but:
                speaker.shows(*lines)

    def nothing_else(self) -> None:
        """Everything that was printed has been expected: behind it comes, at each member, what it
        now tells itself. Once round, and all that was typed before has been obeyed; twice, and
        what came of it for those asked first has been seen as well."""
        for _ in range(2):
            for member in self.members:
                member.types(f":Msg {member.name} nothing else")
                self.server.shows(f"{member.name}: send message to {member.name}")
                member.shows(f"[Message from {member.name}]: nothing else")


class FakeServer(Stage):
    """Accepts one client, and is what the test makes of it."""

    def __init__(self, *, patch: str = "", **options: Unpack[Options]) -> None:
        """With these options for the client."""
        super().__init__()
        self._listener = self._resources.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port: int = self._listener.getsockname()[1]
        self.client = self.start_client(self.port, patch=patch, **options)
        self.peer: RawClient

    def open(self) -> None:
        """The client has connected, and has said no more than that it wants to join."""
        self._listener.settimeout(DEADLINE_SECONDS)
        sock, _ = self._listener.accept()
        self.peer = self.take_over(sock, "the server's end")
        self.peer.shows(f"JOIN Alice {PASSCODE}")

    def lets_in(self) -> None:
        self.peer.types("OK")
        self.client.shows(f"Connected to 127.0.0.1 on port {self.port}")

    def goes_away(self) -> None:
        self.peer.close()
        self.client.exits(1, CLOSED)


def free_port() -> int:
    """A port that no one listens on, from where the kernel gives none away by itself."""
    for port in random.sample(range(10_000, 32_768), 100):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port among a hundred")


def numbered(text: str, count: int) -> list[str]:
    """Lines that can be told from each other."""
    return [f"{text}{number}" for number in range(count)]


def _open_terminal(with_echo: bool) -> list[int]:
    """Two descriptors of our side of a terminal, and two of the program's."""
    ours, theirs = os.openpty()
    if not with_echo:
        attributes = termios.tcgetattr(theirs)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    # To write to it and to read from it are watched separately, and a number is watched once.
    return [os.dup(ours), ours, theirs, os.dup(theirs)]


def set_size(descriptor: int, lines: int, columns: int) -> None:
    """Of a terminal, whose foreground is told (SIGWINCH)."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
