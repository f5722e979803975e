"""Every member receives exactly what a queue of its own would have given it, in the same order.

The model is the naive way: one queue per member, and every broadcast is put into each of them.
Against it run the real Reactor, Fanout and Connection on a simulated network, whose every `send`
Hypothesis decides, and then on real TCP with small buffers.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reactor import WRITE, Connection, Cursor, Fanout, Reactor, SocketTransport, fanout, log
from tests.reactor.conftest import MOST_TURNS, Loop, tcp_pair
from tests.support.faults import fault

MAX_PIECES = 3
"""What the simulated kernel takes at once, in place of 1,024: an example can reach that."""

# A simulated network: what a Connection asks of a socket, and a selector that knows such sockets.


class Verdict(NamedTuple):
    """What becomes of one `send` of so many bytes."""

    name: str
    take: Callable[[int], int]

    def __repr__(self) -> str:
        return self.name


def _fail_with(number: int) -> Callable[[int], int]:
    def fail(size: int) -> int:
        raise OSError(number, errno.errorcode[number])

    return fail


ALL = Verdict("ALL", lambda size: size)
PARTIAL = [
    Verdict("NOTHING", lambda size: 0),
    Verdict("ONE_BYTE", lambda size: 1),
    Verdict("HALF", lambda size: size // 2),
    Verdict("ALL_BUT_ONE", lambda size: size - 1),
    Verdict("EAGAIN", _fail_with(errno.EAGAIN)),
    Verdict("EINTR", _fail_with(errno.EINTR)),
]
FAILURES = [
    Verdict("EPIPE", _fail_with(errno.EPIPE)),
    Verdict("ECONNRESET", _fail_with(errno.ECONNRESET)),
    Verdict("ETIMEDOUT", _fail_with(errno.ETIMEDOUT)),
]


class SimulatedSocket:
    """One end of a connection whose kernel follows a tape, and then takes everything."""

    def __init__(self, descriptor: int, tape: Iterator[Verdict]) -> None:
        self.taken = bytearray()
        self.sends: list[list[bytes | memoryview]] = []
        self.has_failed = False
        self.is_closed = False
        self._descriptor = descriptor
        self._tape = tape
        self._is_shut = False

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
        return self._take([data])

    def sendmsg(self, pieces: list[bytes | memoryview]) -> int:
        if len(pieces) > MAX_PIECES:
            raise OSError(errno.EMSGSIZE, "more pieces than one call takes")
        return self._take(pieces)

    def setsockopt(self, level: int, option: int, value: object) -> None:
        pass

    def shutdown(self, how: int) -> None:
        self._is_shut = True
        if self.is_closed or self.has_failed:
            raise OSError(errno.ENOTCONN, "gone")

    def close(self) -> None:
        self.is_closed = True

    def _take(self, pieces: list[bytes | memoryview]) -> int:
        if self.is_closed:
            raise OSError(errno.EBADF, "closed")
        if self._is_shut or self.has_failed:
            raise BrokenPipeError
        assert all(pieces), "an empty piece was sent"
        self.sends.append(pieces)
        data = b"".join(pieces)
        verdict = next(self._tape, ALL)
        try:
            size = verdict.take(len(data))
        except (BlockingIOError, InterruptedError):
            raise
        except OSError:
            self.has_failed = True
            raise
        self.taken += data[:size]
        return size


class SimulatedSelector(selectors.BaseSelector):
    """Says at once which sockets are ready, and never sleeps. A socket that took less than all is
    writable again in the next turn, so that each turn comes further along the tape."""

    def __init__(self) -> None:
        self.sockets: dict[int, SimulatedSocket] = {}
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
        key = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        assert not self.sockets[fileobj].is_closed, "closed before it was forgotten"
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def has_write_interest(self) -> bool:
        return any(key.events & WRITE for key in self._keys.values())


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

    def __init__(self, world: World, sock: socket.socket) -> None:
        self.queue = bytearray()
        self.is_subscribed = True
        self.is_aborted = False
        self.is_lost = False
        self.when_flushed: list[Step] = []
        self.cursor: Cursor
        self.connection: Connection
        self.socket = sock
        self._world = world

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection

    def data_received(self, data: bytes) -> None:
        raise AssertionError("nobody speaks here")

    def eof_received(self) -> None:
        self._world.leave(self)
        self.connection.close()

    def flushed(self) -> None:
        steps, self.when_flushed = self.when_flushed, []
        self._world.do_all(steps)

    def connection_lost(self, error: Exception | None) -> None:
        assert not self.is_lost, "told twice"
        self.is_lost = True
        self._world.leave(self)


class World:
    """The fan-out and the model: whatever is done to the one is done to the other."""

    def __init__(
        self, reactor: Reactor, make_socket: Callable[[], socket.socket], scale: int = 1
    ) -> None:
        self.fanout = Fanout(reactor, after_turn=self._after_turn)
        self.members: list[Member] = []
        self._reactor = reactor
        self._make_socket = make_socket
        self._scale = scale
        self._after: list[Step] = []
        self._count = 0

    def do_all(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.do(step)

    def do(self, step: Step) -> None:
        member = self.members[step.who % len(self.members)] if self.members else None
        if step.when == "after":
            self._after.append(step._replace(when="now"))
            self.fanout.queue_turn()
        elif step.verb == "join":
            self.join()
        elif step.verb == "say":
            self.say(self._data(step.size), None)
        elif not member:
            return
        elif step.when == "flushed":
            # Not to itself alone: others are in the middle of the same turn.
            member.when_flushed.append(step._replace(when="now", who=step.who + step.size))
        elif step.verb == "others":
            self.say(self._data(step.size), member)
        elif step.verb == "tell":
            self.tell(member, self._data(step.size))
        elif step.verb == "leave":
            self.leave(member)
        elif step.verb == "close":
            self.leave(member)
            member.connection.close()
        else:
            self.abort(member)

    def join(self) -> None:
        member = Member(self, self._make_socket())
        connection = Connection(self._reactor, SocketTransport(member.socket), member)
        member.cursor = self.fanout.subscribe(connection)
        self.members.append(member)

    def say(self, data: bytes, skip: Member | None) -> None:
        self.fanout.broadcast(data, skip.cursor if skip else None)
        for member in self.members:
            if member.is_subscribed and member is not skip:
                member.queue += data

    def tell(self, member: Member, data: bytes) -> None:
        if not member.connection.is_closing:
            member.connection.write(data)
            member.queue += data

    def leave(self, member: Member) -> None:
        self.fanout.unsubscribe(member.cursor)
        member.is_subscribed = False

    def abort(self, member: Member) -> None:
        self.leave(member)
        member.is_aborted = True
        member.connection.abort()

    def _after_turn(self) -> None:
        steps, self._after = self._after, []
        self.do_all(steps)

    def _data(self, size: int) -> bytes:
        self._count += 1
        return (b"%d." % self._count * size * self._scale)[: size * self._scale]


TURN = Step("turn")

# Each named as often as it is to come. What comes first is what Hypothesis shrinks to.
VERBS = [
    *["turn"] * 4,
    *["join", "say", "say", "others", "others", "tell", "tell", "tell"],
    *["leave", "close", "abort"],
]
SIZES = [1, 2, 3, 5, 8, 13, 40]
MOMENTS = [*["now"] * 4, "flushed", "after"]
STEPS = [
    TURN if verb == "turn" else Step(verb, who, size, when)
    for verb in VERBS
    for when in MOMENTS
    for size in SIZES
    for who in range(6)
]


def scripts() -> st.SearchStrategy[list[Step]]:
    """Long ones, since a short one proves little, and drawn in one go, so that they are cheap."""
    return st.binary(min_size=100, max_size=100).map(
        lambda data: [
            STEPS[int.from_bytes(data[i : i + 2], "big") * len(STEPS) >> 16]
            for i in range(0, len(data), 2)
        ]
    )


def tapes(*verdicts: Verdict) -> st.SearchStrategy[list[Verdict]]:
    return st.binary(min_size=60, max_size=60).map(
        lambda data: [verdicts[byte * len(verdicts) >> 8] for byte in data]
    )


@contextmanager
def small_limits() -> Iterator[None]:
    """Pages are joined, and a send is full, at sizes that an example can reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "SMALL_PAGE_BYTES", 8)
        patch.setattr(fanout, "MAX_PIECES", MAX_PIECES)
        yield


class Simulation:
    """A World on the simulated network. Time stands still, so that nobody is cut for slowness."""

    def __init__(self, tape: Iterable[Verdict]) -> None:
        self.selector = SimulatedSelector()
        self.errors: list[object] = []
        self.reactor = Reactor(
            self.selector, lambda: 0.0, lambda: self.errors.append(sys.exc_info()[1])
        )
        self.world = World(self.reactor, self._make_socket)
        self._tape = iter(tape)

    def run(self, script: Iterable[Step]) -> None:
        for step in script:
            if step == TURN:
                self.reactor.run_once()
            else:
                self.world.do(step)
            self.check_debts()
        self.run_until_idle()

    def run_until_idle(self) -> None:
        """Turn until the loop would sleep for ever: nothing ready, queued or scheduled."""
        self.selector.waits.clear()
        while not self.selector.waits or self.selector.waits[-1] is not None:
            assert len(self.selector.waits) < MOST_TURNS, "the loop does not come to rest"
            self.reactor.run_once()
            self.check_debts()

    def check_debts(self) -> None:
        """What each member has, and is owed, is what the model says."""
        assert self.errors == []
        for member in self.world.members:
            sock = self.socket_of(member)
            assert member.queue.startswith(sock.taken)
            is_lost = member.is_aborted or sock.has_failed
            owed_bytes = 0 if is_lost else len(member.queue) - len(sock.taken)
            assert member.cursor.owed_bytes == owed_bytes

    def check_rest(self) -> None:
        """Everyone has everything, and nothing is left over."""
        for member in self.world.members:
            sock = self.socket_of(member)
            assert sock.taken == member.queue or member.is_aborted or sock.has_failed
            assert sock.is_closed == member.connection.is_closing
        assert self.world.fanout.log.kept_bytes == 0
        assert not self.world.fanout.is_held
        assert not self.selector.has_write_interest()

    def socket_of(self, member: Member) -> SimulatedSocket:
        return self.selector.sockets[member.connection.descriptor]

    def _make_socket(self) -> socket.socket:
        sock = SimulatedSocket(len(self.selector.sockets), self._tape)
        self.selector.sockets[sock.fileno()] = sock
        return cast(socket.socket, sock)


def model_settings(max_examples: int) -> settings:
    """Without the phase that explains: it takes longer than to read what Hypothesis found."""
    return settings(
        deadline=None,
        max_examples=max_examples,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )


@fault(30)
@model_settings(1500)
@given(scripts(), tapes(ALL, *PARTIAL))
def test_partial_sends_never_matter(script: list[Step], tape: list[Verdict]) -> None:
    with small_limits():
        simulation = Simulation(tape)
        simulation.run(script)
        simulation.check_rest()


@fault(74)
@model_settings(1500)
@given(scripts(), tapes(ALL, ALL, *PARTIAL, *PARTIAL, *FAILURES))
def test_a_failing_member_costs_the_others_nothing(script: list[Step], tape: list[Verdict]) -> None:
    with small_limits():
        simulation = Simulation(tape)
        simulation.run(script)
        simulation.check_rest()


def simulated_trio(tape: Iterable[Verdict]) -> tuple[Simulation, list[SimulatedSocket]]:
    """Three members, and a turn in which two lines were said."""
    simulation = Simulation(tape)
    simulation.world.do_all([Step("join")] * 3 + [Step("say", size=5)] * 2)
    simulation.reactor.run_once()
    return simulation, [simulation.socket_of(member) for member in simulation.world.members]


def test_a_page_goes_to_everyone_in_one_send_and_uncopied() -> None:
    _, sockets = simulated_trio([])
    pages = [page for sock in sockets for send in sock.sends for page in send]
    assert pages == [b"1.1.12.2.2"] * 3
    assert pages[0] is pages[1] is pages[2]


@pytest.mark.parametrize("verdict", PARTIAL)
def test_one_whom_the_kernel_lets_wait_is_not_tried_twice_in_a_turn(verdict: Verdict) -> None:
    simulation, sockets = simulated_trio([ALL, verdict, ALL])
    assert [len(sock.sends) for sock in sockets] == [1, 1, 1]
    simulation.run_until_idle()
    assert [len(sock.sends) for sock in sockets] == [1, 2, 1]
    simulation.check_rest()


# The same on real TCP, where the kernel decides.


class TcpWorld(World):
    """A World whose members are sent little at a time, and read little at a time."""

    def __init__(self, loop: Loop) -> None:
        self.peers: list[socket.socket] = []
        self.received: list[bytearray] = []
        super().__init__(loop.reactor, self._make_end, scale=500)

    def abort(self, member: Member) -> None:
        """Here it is the peer that resets; the fan-out is to find out by itself."""
        member.is_aborted = True
        peer = self.peers[self.members.index(member)]
        if peer.fileno() >= 0:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

    def read(self, who: int, size: int) -> None:
        """The peer of the member `who` reads at most `size` bytes; at the end it ends as well."""
        peer = self.peers[who]
        if peer.fileno() < 0:
            return
        with contextlib.suppress(BlockingIOError):
            data = peer.recv(size)
            self.received[who] += data
            if not data:
                peer.close()

    def has_all_arrived(self) -> bool:
        for who in range(len(self.members)):
            self.read(who, 1 << 16)
        return all(
            member.is_aborted or self.received[who] == member.queue
            for who, member in enumerate(self.members)
        )

    def _make_end(self) -> socket.socket:
        near, peer = tcp_pair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.peers.append(peer)
        self.received.append(bytearray())
        return near


@model_settings(100)
@given(scripts())
def test_what_the_kernel_does_to_real_sockets_never_matters(script: list[Step]) -> None:
    loop = Loop(selectors.DefaultSelector())
    world = TcpWorld(loop)
    try:
        for number, step in enumerate(script):
            if step != TURN:
                world.do(step)
            elif world.peers:
                loop.turn()
                world.read(number % len(world.peers), 3000)
        loop.turn_until(world.has_all_arrived)
        loop.turn_until(lambda: world.has_all_arrived() and loop.is_idle())
        for member, received in zip(world.members, world.received, strict=True):
            assert member.queue.startswith(received)
        assert world.fanout.log.kept_bytes == 0
        assert loop.take_errors() == []
    finally:
        for member in world.members:
            member.connection.abort()
        for peer in world.peers:
            peer.close()
        loop.reactor.close()
