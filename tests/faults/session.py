"""A small session of the real server, in which one system call of the server fails.

Two honest members talk. One comes, talks and goes by `:Exit`; one goes in the midst of a line; a
stranger has a wrong passcode, another one goes before it has said what it wants. Then all are
silent for a moment, a newcomer joins, and the server is asked to end. Everyone is a plain socket
here, reads all the time, and notes how it ended.

What is owed, whatever fails: the server goes on, at most one connection is lost, every other
member reads every line of every other one once and in order, a newcomer is let in, nothing spins,
and SIGTERM ends it all with status 0 and no traceback.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile

from tests.faults.injection import TAIL_LINES, Fault, Trace, attach
from tests.support.programs import DEADLINE_SECONDS, GOODBYE, PASSCODE, RawClient, Room
from tests.support.protocol import INCORRECT_PASSCODE

IDLE_SECONDS = 0.25
"""How long all are silent."""

MOST_IDLE_WAITS = 12
"""Waits of the server in that time: a timer or two. One that spins makes thousands."""

LINGERERS = 3
"""Strangers who are refused and do not hang up. Only those make the server reset a connection."""

_EXPECTED_ON_STDERR = re.compile(
    r"room for \d+ members|refused .*|total (refused|gone) .*|warning: (standard output|accept): .*"
)
_FOR_SOME = re.compile(
    r"OK|\[Message from .*|No such user: .*|Active Users: .*"
    r"|\w+: (send message to|searched up) .*|" + GOODBYE
)
"""Lines that one alone reads, or the console alone, or all but the console."""


@dataclass(eq=False)
class Peer:
    """One who has connected."""

    client: RawClient
    port: int
    has_joined: bool = False
    said: list[str] = field(default_factory=list)
    lingers: bool = False
    """Whether it stays when the server has ended its half."""
    is_leaving: bool = False
    """Whether its connection is to end, or has done so as it should."""
    is_robbed: bool = False
    """Whether it was not told what it had to be told before its end."""

    @property
    def name(self) -> str:
        return self.client.name

    @property
    def end(self) -> str:
        return self.client.stdout.end

    @property
    def is_lost(self) -> bool:
        """Whether its connection ended when, or as, it should not have."""
        is_bad_end = bool(self.end) and not (self.is_leaving and self.end == "the end")
        return self.is_robbed or is_bad_end

    @property
    def news(self) -> list[str]:
        """What the others are to hear of it while it is there."""
        return [f"{self.name} joined the chatroom", *(f"{self.name}: {text}" for text in self.said)]

    @property
    def farewell(self) -> str:
        return f"{self.name} left the chatroom"

    def say(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # reading will tell why
            if not self.end:
                self.client.feed(data)


class Case:
    """One session with one fault, or with none. What is wrong is noted in `complaints`."""

    def __init__(self, fault: Fault | None, room: Room, trace: Trace) -> None:
        self.fault = fault
        self.complaints: list[str] = []
        self.trace = trace
        self._room = room
        self._peers: list[Peer] = []
        self._news: list[str] = []
        """All that is to be heard, in order; of those that were lost, less may be."""

    @property
    def verdict(self) -> str:
        """Once it has run: "passed", "failed" or "not reached"."""
        if self.fault and (self.trace.is_void or not (self.trace.injected or self.complaints)):
            return "not reached"
        return "failed" if self.complaints else "passed"

    @property
    def details(self) -> str:
        """All that helps to understand a failure."""
        told = [*self.complaints, f"injected: {self.trace.injected}"]
        told += ["standard error of the server:", *self._stderr[-TAIL_LINES:]]
        return "\n".join([*told, "the end of the trace:", *self.trace.lines])

    @property
    def _stderr(self) -> list[str]:
        return _lines(self._room.server.stderr.unread)

    @property
    def _console(self) -> list[str]:
        return _lines(self._room.server.stdout.unread)

    def run(self) -> None:
        """The whole session. Raises TracingForbiddenError."""
        try:
            self._play()
            self._look_whether_it_is_idle()
            self._let_a_newcomer_in()
            self._shut_down()
            self.complaints += self._wrong_among_lines()
        except AssertionError as complaint:
            self.complaints.append(str(complaint))
        told = [line for line in self._stderr if not _EXPECTED_ON_STDERR.fullmatch(line)]
        if told:
            self.complaints.append(f"on standard error: {told[0]}, and at last {told[-1]}")
        lost = [f"{peer.name} ({peer.end})" for peer in self._peers if peer.is_lost]
        if len(lost) > (self.fault.may_cost if self.fault else 0):
            self.complaints.append(f"connections lost: {', '.join(lost)}")

    # The acts.

    def _play(self) -> None:
        alice = self._join("Alice")
        bob = self._join("Bob")
        self._say(alice, "one")
        self._say(bob, "one")
        for number in range(3):
            self._say(bob, f"before {number}", f"after {number}", between=":Msg Alice psst")
            self._say(alice, f"before {number}", f"after {number}", between=":Users")
        self._pass_by("Carol", b":Msg Bob psst\n:Exit\nwhat follows is for no one\n")
        self._be_refused()
        self._hang_up(self._connect("a stranger"), b"JOIN Nobo")
        self._pass_by("Dave", b"half a li")
        for speaker in (alice, bob):
            self._say(speaker, *(f"burst {number}" for number in range(20)))

    def _pass_by(self, name: str, last_words: bytes) -> None:
        passer_by = self._join(name)
        self._say(passer_by, "one")
        self._hang_up(passer_by, last_words)
        if passer_by.has_joined:
            self._wait_until_heard(passer_by, [passer_by.farewell])

    def _be_refused(self) -> None:
        is_to_linger = bool(self.fault and self.fault.call == "setsockopt")
        for _ in range(LINGERERS if is_to_linger else 1):
            mallory = self._connect("Mallory", lingers=is_to_linger)
            mallory.is_leaving = True
            mallory.say(b"JOIN Mallory wrong\n")
            self._wait_for_end(mallory)
            mallory.is_robbed = self._heard(mallory) != [f"ERROR {INCORRECT_PASSCODE}"]
        if is_to_linger:
            self._wait("a reset", lambda: self.trace.calls["setsockopt"] >= LINGERERS)

    def _look_whether_it_is_idle(self) -> None:
        before = self.trace.calls["epoll_wait"]
        end = time.monotonic() + IDLE_SECONDS
        while (seconds := end - time.monotonic()) > 0:
            self._room.pump.turn(seconds)
        self.trace.update()
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
        server = self._room.server
        server.signal(signal.SIGTERM)
        for member in members:
            self._wait_for_end(member)
            member.is_robbed = self._heard(member)[-1:] != [GOODBYE]
        self._wait("the end", lambda: self._has_ended)
        self._room.pump.wait(lambda: bool(self.trace.strace.stderr.end))
        self.trace.update()
        if status := server.process.wait(DEADLINE_SECONDS):
            self.complaints.append(f"exit status {status}")

    # What peers do.

    @property
    def _members(self) -> list[Peer]:
        return [peer for peer in self._peers if peer.has_joined and not peer.end]

    def _connect(self, name: str, *, lingers: bool = False) -> Peer:
        sock = socket.create_connection(("127.0.0.1", self._room.port), DEADLINE_SECONDS)
        peer = Peer(self._room.take_over(sock, name), sock.getsockname()[1], lingers=lingers)
        self._peers.append(peer)
        return peer

    def _join(self, name: str) -> Peer:
        peer = self._connect(name)
        peer.say(f"JOIN {name} {PASSCODE}\n".encode())
        self._wait(f"an answer to {name}", lambda: bool(peer.end or self._heard(peer)))
        if self._heard(peer)[:1] != ["OK"]:
            self._wait_for_end(peer)
            return peer
        peer.has_joined = True
        self._wait_until_heard(peer, peer.news)
        return peer

    def _say(self, speaker: Peer, *texts: str, between: str = "") -> None:
        """`speaker` says all of it in one burst, and everyone else hears the texts. What is said
        `between` the first and the others is for one alone."""
        if not speaker.end:
            lines = [*texts[:1], between, *texts[1:]]
            speaker.said += texts
            speaker.say("".join(f"{line}\n" for line in lines).encode())
            self._wait_until_heard(speaker, [f"{speaker.name}: {text}" for text in texts])

    def _hang_up(self, peer: Peer, last_words: bytes) -> None:
        if not peer.end:
            peer.is_leaving = True
            peer.say(last_words)
            with contextlib.suppress(OSError):
                peer.client.end_input()
            self._wait_for_end(peer)

    # Waiting.

    @property
    def _has_ended(self) -> bool:
        return bool(self._room.server.stdout.end and self._room.server.stderr.end)

    def _wait(self, what: str, is_done: Callable[[], bool]) -> None:
        def is_over() -> bool:
            self.trace.update()
            for peer in self._peers:
                if peer.end and not peer.lingers:
                    peer.client.close()
            return is_done() or self._has_ended

        self._room.pump.wait(is_over)
        status = self._room.server.process.poll()
        assert is_done(), f"{what} did not come (exit status {status})"

    def _wait_for_end(self, peer: Peer) -> None:
        self._wait(f"the end of {peer.name}", lambda: bool(peer.end))

    def _wait_until_heard(self, speaker: Peer, lines: list[str]) -> None:
        """Until all others have heard these lines of `speaker`, or it is lost. Where there are no
        others the console has shown them."""
        listeners = [member for member in self._members if member is not speaker]

        def is_heard() -> bool:
            heard = [self._heard(listener) for listener in listeners if not listener.end]
            if not listeners and self._owes_console:
                heard = [self._console]
            is_over = bool(speaker.end) and not speaker.is_leaving
            return is_over or all(set(lines) <= set(of_one) for of_one in heard)

        self._wait(f"{lines} to all others", is_heard)
        self._news += lines

    def _heard(self, peer: Peer) -> list[str]:
        """The whole lines that it has read, with the bytes in place that strace took away."""
        data = bytes(peer.client.stdout.unread)
        loss = self.trace.loss
        if loss and loss.port == peer.port and len(data) >= loss.offset:
            data = data[: loss.offset] + loss.data + data[loss.offset :]
        return _lines(data)

    # Judging.

    def _wrong_among_lines(self) -> Iterator[str]:
        """The console shows all in the order of the session. Each member hears what was shown
        from its joining to its end, which may have come too soon, but for its own lines."""
        shown = _public(self._console) if self._owes_console else self._news
        lost = [peer for peer in self._peers if peer.is_lost]
        uncertain = {line for peer in lost for line in (*peer.news, peer.farewell)}
        certain = [line for line in shown if line not in uncertain]
        if certain != [line for line in self._news if line not in uncertain]:
            yield f"the console has shown {certain}, and said was {self._news}"
        for peer in lost:
            told = [line for line in shown if line in (*peer.news, peer.farewell)]
            begun = peer.news[: len(told) - 1]
            if told not in ([], [*begun, peer.farewell], peer.news if peer.is_leaving else []):
                yield f"of {peer.name} was shown {told}"
        for peer in self._peers:
            if peer.has_joined:
                yield from self._wrong_with(peer, shown)

    def _wrong_with(self, peer: Peer, shown: list[str]) -> Iterator[str]:
        since = dropwhile(lambda line: line != peer.news[0], shown)
        until = takewhile(lambda line: line != peer.farewell, since)
        due = [line for line in until if line not in peer.news]
        heard = _public(self._heard(peer))
        if heard != (due[: len(heard)] if peer.is_lost else due):
            yield f"{peer.name} heard {heard}, and not {due}"

    @property
    def _owes_console(self) -> bool:
        """Whether all has to be shown there: but for what it says that it has not shown, and all
        that follows an error which is not that the disk is full."""
        warnings = [line for line in self._stderr if "standard output" in line]
        is_full = bool(self.fault and self.fault.error == "ENOSPC")
        return not warnings or (is_full and not any("not shown" in line for line in warnings))


def _lines(data: bytes | bytearray) -> list[str]:
    """Those that have ended."""
    return data.decode("utf-8", "replace").split("\n")[:-1]


def _public(lines: list[str]) -> list[str]:
    return [line for line in lines if line and not _FOR_SOME.fullmatch(line)]


def run_case(fault: Fault | None) -> Case:
    """Raises TracingForbiddenError."""
    with contextlib.closing(Room("-verbose")) as room:
        room.open()
        # When someone has been answered, the server has started and come to its loop.
        scout = room.connect("a scout")
        scout.types("?")
        scout.stdout.take_rest()
        scout.close()
        case = Case(fault, room, attach(room, room.server, fault))
        case.run()
    return case
