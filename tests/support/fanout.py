"""The one model of the fan-out: each member has a queue of plain bytes, and is sent just that.

The naive way is the model: each broadcast is put into the queue of every member that is subscribed
and not skipped, each private line into one. A Simulation does everything to both, the model and the
real Fanout, whose sockets take what a tape says. Raised: AssertionError when a member is sent, or
owed, anything else. tests/reactor and the fuzzer play the same scripts.
"""

from __future__ import annotations

import errno
import selectors
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast
from unittest.mock import patch

from hypothesis import strategies as st

from reactor import WRITE, Connection, Cursor, Fanout, Reactor, SocketTransport

MAX_PIECES = 3
"""What the simulated kernel takes at once, in place of 1,024: an example can reach that."""

SMALL_PAGE_BYTES = 8
"""In place of 16 KiB, so that pages are joined, and are not, in a script of a few bytes."""

MOST_TURNS = 10_000
"""More turns than any script needs: a loop that takes more of them is spinning."""

# What the kernel does.


Verdict = str
"""What becomes of one `send`: how much of it is taken, or the error that is raised."""

TAKEN: dict[Verdict, Callable[[int], int]] = {
    "ALL": lambda size: size,
    "NOTHING": lambda size: 0,
    "ONE_BYTE": lambda size: 1,
    "HALF": lambda size: size // 2,
    "ALL_BUT_ONE": lambda size: size - 1,
}
ALL = "ALL"
PARTIAL = [*list(TAKEN)[1:], "EAGAIN", "EINTR"]
FAILURES = ["EPIPE", "ECONNRESET", "ETIMEDOUT"]


class TapeSocket:
    """One end of a connection whose kernel follows a tape, and then takes everything."""

    def __init__(self, descriptor: int, tape: Iterator[Verdict]) -> None:
        self.taken = bytearray()
        self.sends: list[list[bytes | memoryview]] = []
        self.has_failed = self.is_closed = self._is_shut = False
        self._descriptor = descriptor
        self._tape = tape

    @property
    def is_readable(self) -> bool:
        """The peer ends its half when we have ended ours, and when it is gone."""
        return self._is_shut or self.has_failed

    def fileno(self) -> int:
        return self._descriptor

    def recv(self, size: int) -> bytes:
        if not self.is_readable:
            raise BlockingIOError
        return b""

    def send(self, data: bytes | memoryview) -> int:
        return self.sendmsg([data])

    def sendmsg(self, pieces: list[bytes | memoryview]) -> int:
        assert not self.is_closed, "sent on a closed socket"
        assert len(pieces) <= MAX_PIECES, "more pieces than one call takes"
        if self.is_readable:
            raise BrokenPipeError
        assert all(pieces), "an empty piece was sent"
        self.sends.append(pieces)
        data = b"".join(pieces)
        verdict = next(self._tape, ALL)
        if verdict not in TAKEN:
            self.has_failed = verdict in FAILURES
            raise OSError(getattr(errno, verdict), verdict)
        size = TAKEN[verdict](len(data))
        self.taken += data[:size]
        return size

    def setsockopt(self, *_: object) -> None:
        """There is nothing to set."""

    def shutdown(self, how: int) -> None:
        self._is_shut = True
        if self.is_closed or self.has_failed:
            raise OSError(errno.ENOTCONN, "gone")

    def close(self) -> None:
        self.is_closed = True


class TapeSelector(selectors.BaseSelector):
    """Says at once which sockets are ready, and never sleeps. A socket that took less than all is
    writable again in the next turn, so that each turn comes further along the tape."""

    def __init__(self) -> None:
        self.sockets: list[TapeSocket] = []
        self.waits: list[float | None] = []
        self._keys: dict[int, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waits.append(timeout)
        ready = []
        for key in self._keys.values():
            events = key.events if self.sockets[key.fd].is_readable else key.events & WRITE
            if events:
                ready.append((key, events))
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        assert fileobj not in self._keys
        assert not self.sockets[fileobj].is_closed
        self._keys[fileobj] = selectors.SelectorKey(fileobj, fileobj, events, data)
        return self._keys[fileobj]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        assert not self.sockets[fileobj].is_closed, "closed before it was forgotten"
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


# What is done to both, the fan-out and the model.


class Step(NamedTuple):
    """One thing to do: to the member `who` of those there are, with `size` bytes of data, at once
    or when that member has been sent all it was owed or when this turn has ended."""

    verb: str
    who: int = 0
    size: int = 1
    when: str = "now"


class Member:
    """A connection's protocol; beside it, in `queue`, all that the model says it is to receive."""

    def __init__(self, simulation: Simulation, sock: TapeSocket) -> None:
        self.queue = bytearray()
        self.is_subscribed = True
        self.is_aborted = self.is_lost = False
        self.when_flushed: list[Step] = []
        self.socket = sock
        self.cursor: Cursor
        self._simulation = simulation

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection

    def data_received(self, data: bytes) -> None:
        raise AssertionError("no member speaks here")

    def eof_received(self) -> None:
        self._simulation.leave(self)
        self.connection.close()

    def flushed(self) -> None:
        steps, self.when_flushed = self.when_flushed, []
        for step in steps:
            self._simulation.do(step)

    def connection_lost(self, error: Exception | None) -> None:
        assert not self.is_lost, "told twice"
        self.is_lost = True
        self._simulation.leave(self)


class Simulation:
    """The fan-out and the model: whatever is done to the one is done to the other. Time stands
    still, so that no member is cut for slowness."""

    def __init__(self, tape: Iterable[Verdict]) -> None:
        self.selector = TapeSelector()
        self.errors: list[object] = []
        note_error = lambda: self.errors.append(sys.exc_info()[1])  # noqa: E731
        self.reactor = Reactor(self.selector, lambda: 0.0, note_error)
        self.fanout = Fanout(self.reactor, after_turn=self._after_turn)
        self.members: list[Member] = []
        self._tape = iter(tape)
        self._after: list[Step] = []
        self._count = 0

    def run(self, script: Iterable[Step]) -> None:
        """Play it, come to rest, and see that every member has everything and nothing is left."""
        for step in script:
            if step == TURN:
                self.reactor.run_once()
            else:
                self.do(step)
            self.check_debts()
        self.run_until_idle()
        for member in self.members:
            sock = member.socket
            assert sock.taken == member.queue or member.is_aborted or sock.has_failed
            assert sock.is_closed == member.connection.is_closing
        assert self.fanout.log.kept_bytes == 0
        assert not self.fanout.held_pages
        assert not any(key.events & WRITE for key in self.selector.get_map().values())

    def run_until_idle(self) -> None:
        """Turn until the loop would sleep for ever: nothing ready, queued or scheduled."""
        self.selector.waits.clear()
        while not self.selector.waits or self.selector.waits[-1] is not None:
            assert len(self.selector.waits) < MOST_TURNS, "the loop does not come to rest"
            self.reactor.run_once()
            self.check_debts()

    def check_debts(self) -> None:
        """What each member has, is owed, and would be sent now, is what the model says."""
        assert self.errors == []
        log = self.fanout.log
        for member in self.members:
            sock, cursor = member.socket, member.cursor
            assert member.queue.startswith(sock.taken)
            is_lost = member.is_aborted or sock.has_failed
            owed = b"" if is_lost else bytes(member.queue[len(sock.taken) :])
            assert cursor.owed_bytes == len(owed)
            assert cursor.kept_bytes >= len(owed)
            pieces = cursor.pieces()
            assert owed.startswith(b"".join(pieces))
            assert all(pieces)
            if log.sealed_end == log.end and len(pieces) < MAX_PIECES:
                assert owed == b"".join(pieces), "something sealed is held back"

    def do(self, step: Step) -> None:
        member = self.members[step.who % len(self.members)] if self.members else None
        if step.when == "after":
            self._after.append(step._replace(when="now"))
            self.fanout.queue_turn()
        elif step.verb == "join":
            self._join()
        elif step.verb == "say":
            self._say(self._data(step.size), None)
        elif not member:
            return
        elif step.when == "flushed":
            # Not to itself alone: others are in the middle of the same turn.
            member.when_flushed.append(step._replace(when="now", who=step.who + step.size))
        elif step.verb == "others":
            self._say(self._data(step.size), member)
        elif step.verb == "tell":
            self._tell(member, self._data(step.size))
        else:
            self.leave(member)
            member.is_aborted |= step.verb == "abort"
            if step.verb != "leave":
                getattr(member.connection, step.verb)()

    def leave(self, member: Member) -> None:
        self.fanout.unsubscribe(member.cursor)
        member.is_subscribed = False

    def _join(self) -> None:
        sock = TapeSocket(len(self.selector.sockets), self._tape)
        self.selector.sockets.append(sock)
        member = Member(self, sock)
        transport = SocketTransport(cast(socket.socket, sock))
        member.cursor = self.fanout.subscribe(Connection(self.reactor, transport, member))
        self.members.append(member)

    def _say(self, data: bytes, skip: Member | None) -> None:
        self.fanout.broadcast(data, skip.cursor if skip else None)
        for member in self.members:
            if member.is_subscribed and member is not skip:
                member.queue += data

    def _tell(self, member: Member, data: bytes) -> None:
        if member.is_aborted or not member.connection.is_closing:
            member.connection.write(data)
            member.queue += data

    def _after_turn(self) -> None:
        steps, self._after = self._after, []
        for step in steps:
            self.do(step)

    def _data(self, size: int) -> bytes:
        self._count += 1
        return (b"%d." % self._count * size)[:size]


def play(script: Iterable[Step], tape: Iterable[Verdict]) -> None:
    """Play a script where pages are joined, and a send is full, at sizes that it can reach."""
    with (
        patch("reactor.log.SMALL_PAGE_BYTES", SMALL_PAGE_BYTES),
        patch("reactor.fanout.MAX_PIECES", MAX_PIECES),
    ):
        Simulation(tape).run(script)


# Scripts and tapes. What comes first is what hypothesis shrinks to.

TURN = Step("turn")

# Each named as often as it is to come.
VERBS = [
    *["turn"] * 4,
    *["join", "say", "say", "others", "others", "tell", "tell", "tell"],
    *["leave", "close", "abort"],
]
SIZES = [1, 0, 2, 3, 5, 8, 13, 40]
MOMENTS = [*["now"] * 4, "flushed", "after"]
STEPS = [
    TURN if verb == "turn" else Step(verb, who, size, when)
    for verb in VERBS
    for when in MOMENTS
    for size in SIZES
    for who in range(6)
]

# Long ones, since a short one proves little, and drawn in one go, so that they are cheap.
SCRIPTS = st.binary(min_size=100, max_size=100).map(
    lambda data: [
        STEPS[int.from_bytes(data[i : i + 2], "big") * len(STEPS) >> 16]
        for i in range(0, len(data), 2)
    ]
)


_VERDICTS = [ALL, ALL, *PARTIAL, *PARTIAL, *FAILURES]
TAPES = st.binary(min_size=60, max_size=60).map(
    lambda data: [_VERDICTS[byte * len(_VERDICTS) >> 8] for byte in data]
)
