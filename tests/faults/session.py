"""A small session of the real server, in which one system call of the server fails.

Two honest members talk. One comes, talks and goes by `:Exit`; one goes in the midst of a line; a
stranger has a wrong passcode, another one goes before it has said what it wants. Then nobody says
anything for a moment, a newcomer joins, and the server is asked to end. Everyone is a plain socket
here, reads all the time, and notes how it ended.

What is owed, whatever fails: the server goes on, at most one connection is lost, every other
member reads every line of every other one once and in order, a newcomer is let in, nothing spins,
and SIGTERM ends it all with status 0 and no traceback.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from tests.faults.injection import Fault, Trace, attach
from tests.support.programs import DEADLINE_SECONDS, GOODBYE, PASSCODE, ROOT

COMMAND = [sys.executable, "server.py", "-start", "-port", "0", "-passcode", PASSCODE, "-verbose"]

LOOK_SECONDS = 0.02
"""How often it is looked whether strace has written something, which wakes nobody."""

IDLE_SECONDS = 0.25
"""How long nobody says anything."""

MOST_IDLE_WAITS = 12
"""Waits of the server in that time: a timer or two. One that spins makes thousands."""

LINGERERS = 3
"""Strangers who are refused and do not hang up. Only those make the server reset a connection."""

TAIL_LINES = 25

_EXPECTED_ON_STDERR = re.compile(
    r"room for \d+ members|refused .*|total (refused|gone) .*|warning: standard output: .*"
)
_FOR_SOME = re.compile(
    r"OK|\[Message from .*|No such user: .*|Active Users: .*"
    r"|\w+: (send message to|searched up) .*|" + GOODBYE
)
"""Lines that one alone reads, or the console alone, or all but the console."""


class Outcome(NamedTuple):
    """How it went: `verdict` is "passed", "failed" or "not reached". `row` names the call for the
    table; `details` is all that helps to understand a failure."""

    fault: Fault | None
    verdict: str
    row: str
    complaints: list[str]
    details: str


class ComplaintError(Exception):
    """Something that is owed did not come."""


class Stream:
    """What comes out of one descriptor: `data` so far, and how that ended, if it has."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.data = b""
        self.end = ""
        self.descriptor = descriptor

    def read(self) -> None:
        try:
            data = os.read(self.descriptor, 1 << 16)
        except OSError:
            self.end = "reset"
            return
        self.data += data
        if not data:
            self.end = "the end"

    def close(self) -> None:
        os.close(self.descriptor)

    @property
    def lines(self) -> list[str]:
        return _lines(self.data)


class Peer(Stream):
    """One who has connected."""

    def __init__(self, name: str, sock: socket.socket) -> None:
        super().__init__(name, sock.fileno())
        self.socket = sock
        self.port: int = sock.getsockname()[1]
        self.has_joined = False
        self.said: list[str] = []
        self.lingers = False
        """Whether it stays when the server has ended its half."""
        self.is_leaving = False
        """Whether its connection is to end, or has done so as it should."""
        self.is_robbed = False
        """Whether it was not told what it had to be told before its end."""

    @property
    def is_lost(self) -> bool:
        """Whether its connection ended when, or as, it should not have."""
        return self.is_robbed or self.end == "reset" or bool(self.end and not self.is_leaving)

    @property
    def is_member(self) -> bool:
        return self.has_joined and not self.end

    @property
    def news(self) -> list[str]:
        """All that the others are to hear of it."""
        said = [f"{self.name}: {text}" for text in self.said]
        return [f"{self.name} joined the chatroom", *said, f"{self.name} left the chatroom"]

    def say(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # reading will tell why
            self.socket.sendall(data)

    def end_input(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()


class Case:
    """One session with one fault, or with none. What is wrong is noted in `complaints`."""

    def __init__(self, fault: Fault | None, log: Path) -> None:
        self.fault = fault
        self.complaints: list[str] = []
        self.trace = Trace(log)
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._peers: list[Peer] = []
        self._strace: subprocess.Popen[bytes] | None = None
        self._server = subprocess.Popen(
            COMMAND,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._server.stdout
        assert self._server.stderr
        self._console = Stream("the console", self._server.stdout.fileno())
        self.stderr = Stream("standard error", self._server.stderr.fileno())
        for stream in (self._server.stdout, self._server.stderr):
            os.set_blocking(stream.fileno(), False)
        for output in (self._console, self.stderr):
            self._selector.register(output.descriptor, selectors.EVENT_READ, output)

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()
        if self._strace:
            self._strace.communicate()  # it ends with the server
        for peer in self._peers:
            peer.close()
        self._selector.close()

    def run(self) -> None:
        """The whole session. Raises TracingForbiddenError."""
        try:
            self._set_the_scene()
            self._play()
            self._look_whether_it_is_idle()
            self._let_a_newcomer_in()
            self._shut_down()
        except ComplaintError as complaint:
            self.complaints.append(str(complaint))
        else:
            self.complaints += self._wrong_among_lines()
        self.complaints += self._wrong_on_stderr()
        lost = [f"{peer.name} ({peer.end})" for peer in self._peers if peer.is_lost]
        if len(lost) > (self.fault.may_cost if self.fault else 0):
            self.complaints.append(f"connections lost: {', '.join(lost)}")

    # The acts.

    def _set_the_scene(self) -> None:
        self._wait("the banner", lambda: bool(self._console.lines))
        self._port = int(self._console.lines[0].split()[4].rstrip("."))
        # When somebody has been answered, the server has started and come to its loop.
        scout = self._connect("a scout")
        scout.is_leaving = True
        scout.say(b"?\n")
        self._wait_for_end(scout)
        self._strace = attach(self._server.pid, self._log, self.fault)

    def _play(self) -> None:
        alice = self._join("Alice")
        bob = self._join("Bob")
        self._say(alice, "one")
        self._say(bob, "one")
        for number in range(3):
            self._say(bob, f"before {number}", f"after {number}", between=":Msg Alice psst")
            self._say(alice, f"before {number}", f"after {number}", between=":Users")
        self._pass_by()
        self._be_refused()
        self._hang_up_early()
        self._stop_in_a_line()
        for speaker in (alice, bob):
            self._say(speaker, *(f"burst {number}" for number in range(20)))

    def _pass_by(self) -> None:
        carol = self._join("Carol")
        self._say(carol, "one")
        self._leave(carol, b":Msg Bob psst\n:Exit\nwhat follows is for nobody\n")

    def _stop_in_a_line(self) -> None:
        dave = self._join("Dave")
        self._say(dave, "one")
        self._leave(dave, b"half a li")

    def _be_refused(self) -> None:
        is_to_linger = bool(self.fault and self.fault.call == "setsockopt")
        for _ in range(LINGERERS if is_to_linger else 1):
            mallory = self._connect("Mallory")
            mallory.lingers = is_to_linger
            mallory.is_leaving = True
            mallory.say(b"JOIN Mallory wrong\n")
            self._wait_for_end(mallory)
            mallory.is_robbed = self._heard(mallory) != ["ERROR Incorrect passcode"]
        if is_to_linger:
            self._wait("a reset", lambda: self.trace.calls["setsockopt"] >= LINGERERS)

    def _hang_up_early(self) -> None:
        stranger = self._connect("a stranger")
        stranger.is_leaving = True
        stranger.say(b"JOIN Nobo")
        stranger.end_input()
        self._wait_for_end(stranger)

    def _look_whether_it_is_idle(self) -> None:
        self._pump()
        before = self.trace.calls["epoll_wait"]
        end = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < end:
            self._pump()
        waits = self.trace.calls["epoll_wait"] - before
        if waits > MOST_IDLE_WAITS:
            self.complaints.append(f"it spins: {waits} waits in {IDLE_SECONDS} s of silence")

    def _let_a_newcomer_in(self) -> None:
        is_hit = bool(self.trace.injected)
        newcomer = self._join("Nina")
        self._say(newcomer, "one")
        for member in self._members:
            self._say(member, "last")
        if newcomer.end and is_hit:
            self.complaints.append("a newcomer was not let in afterwards")

    def _shut_down(self) -> None:
        members = self._members
        for member in members:
            member.is_leaving = True
        self._server.send_signal(signal.SIGTERM)
        for member in members:
            self._wait_for_end(member)
            member.is_robbed = self._heard(member)[-1:] != [GOODBYE]
        self._wait("the last of its output", lambda: bool(self._console.end and self.stderr.end))
        status = self._server.wait(DEADLINE_SECONDS)
        if status != 0:
            self.complaints.append(f"exit status {status}")
        if self._strace:
            self._strace.wait(DEADLINE_SECONDS)
            self.trace.update()

    # What peers do.

    @property
    def _members(self) -> list[Peer]:
        return [peer for peer in self._peers if peer.is_member]

    def _connect(self, name: str) -> Peer:
        sock = socket.create_connection(("127.0.0.1", self._port), DEADLINE_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(name, sock)
        self._peers.append(peer)
        self._selector.register(sock, selectors.EVENT_READ, peer)
        return peer

    def _join(self, name: str) -> Peer:
        others = self._members
        peer = self._connect(name)
        peer.say(f"JOIN {name} {PASSCODE}\n".encode())
        self._wait(f"an answer to {name}", lambda: bool(peer.end or self._heard(peer)))
        if self._heard(peer)[:1] != ["OK"]:
            self._wait_for_end(peer)
            return peer
        peer.has_joined = True
        self._wait_until_heard(others, peer.news[:1], peer)
        return peer

    def _say(self, speaker: Peer, *texts: str, between: str = "") -> None:
        """`speaker` says all of it in one burst, and everyone else hears the texts. What is said
        `between` the first and the others is for one alone."""
        if speaker.end:
            return
        others = [member for member in self._members if member is not speaker]
        speaker.said += texts
        speaker.say("".join(f"{line}\n" for line in (*texts[:1], between, *texts[1:])).encode())
        self._wait_until_heard(others, [f"{speaker.name}: {text}" for text in texts], speaker)

    def _leave(self, member: Peer, last_words: bytes) -> None:
        if not member.end:
            member.is_leaving = True
            member.say(last_words)
            member.end_input()
            self._wait_for_end(member)
        if member.has_joined:
            self._wait_until_heard(self._members, member.news[-1:], None)

    # Waiting.

    def _wait(self, what: str, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_done():
            if self.stderr.end and self._console.end:
                status = self._server.wait(DEADLINE_SECONDS)
                raise ComplaintError(f"{what} did not come: exit status {status}")
            if time.monotonic() > deadline:
                raise ComplaintError(f"{what} did not come")
            self._pump()

    def _wait_for_end(self, peer: Peer) -> None:
        self._wait(f"the end of {peer.name}", lambda: bool(peer.end))

    def _wait_until_heard(
        self, listeners: list[Peer], lines: list[str], speaker: Peer | None
    ) -> None:
        """Until each of `listeners` has heard all of `lines`, or is gone, or `speaker` is."""

        def has_heard(listener: Peer) -> bool:
            return bool(listener.end) or set(lines) <= set(self._heard(listener))

        names = " and ".join(listener.name for listener in listeners)
        self._wait(
            f"{lines} to {names}",
            lambda: bool(speaker and speaker.end) or all(map(has_heard, listeners)),
        )

    def _pump(self) -> None:
        for key, _ in self._selector.select(LOOK_SECONDS):
            stream: Stream = key.data
            stream.read()
            if stream.end:
                self._selector.unregister(key.fd)
                if isinstance(stream, Peer) and not stream.lingers:
                    stream.close()
        if self._strace:
            self.trace.update()

    def _heard(self, peer: Peer) -> list[str]:
        """The whole lines that it has read, with the bytes in place that strace took away."""
        data = peer.data
        loss = self.trace.loss
        if loss and loss.port == peer.port and len(data) >= loss.offset:
            data = data[: loss.offset] + loss.data + data[loss.offset :]
        return _lines(data)

    # Judging.

    def _wrong_on_stderr(self) -> Iterator[str]:
        lines = self.stderr.lines
        unexpected = [line for line in lines if not _EXPECTED_ON_STDERR.fullmatch(line)]
        if any(line.startswith("Traceback") for line in unexpected):
            yield f"a traceback on standard error, the last of it: {unexpected[-1]}"
        elif unexpected:
            yield f"on standard error: {unexpected[0]}"

    def _wrong_among_lines(self) -> Iterator[str]:
        heard = {peer.name: self._heard(peer) for peer in self._peers if peer.has_joined}
        if self._owes_console:
            console = self._console.lines[1:]
            heard[self._console.name] = console
            for peer in self._peers:
                missing = set(self._public(heard.get(peer.name, []))) - set(console)
                if missing:
                    yield f"the console has not shown {sorted(missing)}"
        for name, lines in heard.items():
            yield from self._wrong_in(name, lines)
        for (one, lines), (other, other_lines) in combinations(heard.items(), 2):
            common = set(self._public(lines)) & set(other_lines)
            if _only(lines, common) != _only(other_lines, common):
                yield f"{one} and {other} heard in another order"

    @property
    def _owes_console(self) -> bool:
        """Whether all has to be shown there: but for what it says that it has not shown, and all
        that follows an error which is not that the disk is full."""
        warnings = [line for line in self.stderr.lines if "standard output" in line]
        is_full = bool(self.fault and self.fault.error == "ENOSPC")
        return not warnings or (is_full and not any("not shown" in line for line in warnings))

    def _wrong_in(self, name: str, lines: list[str]) -> Iterator[str]:
        """What one has heard, from its joining to its end, which may have come too soon."""
        doubled = [line for line, count in Counter(self._public(lines)).items() if count > 1]
        if doubled:
            yield f"{name} heard twice: {doubled}"
        speakers = [peer for peer in self._peers if peer.name != name]
        known = {line for peer in speakers for line in peer.news}
        if unknown := [line for line in self._public(lines) if line not in known]:
            yield f"{name} heard what nobody said: {unknown}"
        for speaker in speakers:
            news = speaker.news
            heard = _only(lines, news)
            start = news.index(heard[0]) if heard else 0
            # The last words of one who was lost may be lost too.
            is_whole = heard == news[start : start + len(heard)]
            if not is_whole and not (speaker.is_lost and heard == _only(news, heard)):
                yield f"{name} heard out of order: {heard}"
            if speaker.is_lost and heard and not heard[-1].endswith("left the chatroom"):
                yield from self._not_missed(name, speaker)

    def _not_missed(self, name: str, speaker: Peer) -> Iterator[str]:
        """One who was lost has `left`, for all who stayed; at the end, nobody has."""
        if not speaker.is_leaving and name in ("Alice", "Bob", "Nina", self._console.name):
            listener = [peer for peer in self._peers if peer.name == name]
            if not any(peer.is_lost for peer in listener):
                yield f"{name} did not hear that {speaker.name} left"

    def _public(self, lines: Iterable[str]) -> list[str]:
        return [line for line in lines if line and not _FOR_SOME.fullmatch(line)]


def _lines(data: bytes) -> list[str]:
    """Those that have ended."""
    return data.decode("utf-8", "replace").split("\n")[:-1]


def _only(lines: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Those of `lines` that are wanted, in the order they have there."""
    wanted = set(wanted)
    return [line for line in lines if line in wanted]


def run_case(fault: Fault | None) -> Outcome:
    """Raises TracingForbiddenError."""
    with tempfile.TemporaryDirectory() as folder:
        case = Case(fault, Path(folder) / "strace")
        try:
            case.run()
        finally:
            case.close()
        return _outcome(case)


def _outcome(case: Case) -> Outcome:
    fault, trace = case.fault, case.trace
    row = fault.call if fault else "none"
    if match := re.search(r"write\((\d+), ", trace.injected):
        row += f" to {match[1]}"
    is_void = trace.is_of_no_peer or trace.is_impossible
    if fault and (is_void or not (trace.injected or case.complaints)):
        return Outcome(fault, "not reached", row, [], trace.injected)
    details = [
        f"injected: {trace.injected}",
        "standard error of the server:",
        *case.stderr.lines[-TAIL_LINES:],
        "the end of the trace:",
        *trace.lines[-TAIL_LINES:],
    ]
    verdict = "failed" if case.complaints else "passed"
    return Outcome(fault, verdict, row, case.complaints, "\n".join(details))
