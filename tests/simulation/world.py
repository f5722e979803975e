"""One seed: a script of steps, the world that plays it, and what must hold after every turn.

A script is a list of plain tuples, so that any part of one is a script too (`shrink`). The real
reactor, codec and room run under the network of `network.py`; what they obey is played again by
`model.py`; the peers compare what they read with what the model says they are to read.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import traceback
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import codec.framing
import gate
import reactor.connection
import reactor.fanout
import reactor.flow
import reactor.listener
import room
from journal import Journal
from codec import Deliveries
from reactor import WRITE, Cursor, Listener, Reactor, Sink
from tests.simulation.model import Member, Model, Recorder
from tests.simulation.network import Door, Kernel, Peer, Selector

PASSCODE = b"abc12"

Step = tuple[Any, ...]
"""(what, number of the peer if it is about one, the rest)"""

SMALL_LIMITS: tuple[tuple[Any, str, float], ...] = (
    (codec.framing, "MAX_LINE_BYTES", 120),
    (gate, "POOL_CONNECTIONS", 6),
    (gate, "BURST_ATTEMPTS", 2),
    (gate, "MAX_WAITING_REQUESTS", 2),
    (reactor.connection, "READ_BYTES", 300),
    (reactor.connection, "LINGER_BYTES", 500),
    (reactor.fanout, "PAGE_BYTES", 600),
    (reactor.fanout, "SMALL_PAGE_BYTES", 60),
    (reactor.flow, "SEND_QUEUE_BYTES", 2_000),
    (reactor.flow, "MAX_SEND_QUEUE_BYTES", 9_000),
    (reactor.flow, "DRAIN_BYTES", 200),
    (reactor.listener, "ACCEPTS_PER_TURN", 3),
    (room, "BLOCK_BYTES", 150),
    (room, "LINES_PER_TURN", 3),
)
"""So small that a few lines cross every one of them."""

MOST_IDLE_TURNS = 50
ERRORS = {
    "recv": ("ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "EINTR", "EAGAIN", "ENOBUFS"),
    "send": ("ECONNRESET", "EPIPE", "ETIMEDOUT", "EINTR", "EAGAIN", "ENOBUFS"),
    "accept": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPROTO", "EPERM", "EINTR"),
    "shutdown": ("ENOTCONN",),
    "register": ("ENOSPC", "ENOMEM"),
    "modify": ("ENOMEM",),
}
FATAL = {"recv", "send", "register", "modify"}
"""Calls whose failure may cost the connection it happens to."""


class Failure(AssertionError):
    """Something that must hold does not."""


class World(NamedTuple):
    """What kind of world a seed makes."""

    members: int
    steps: int
    is_small: bool
    capacity: int
    max_descriptors: int


class Client:
    """A peer with intentions. `joins` is what it asks for; `lines` all it ever meant to say."""

    def __init__(self, peer: Peer, name: str) -> None:
        self.peer = peer
        self.name = name
        self.unsent = bytearray()
        self.said = bytearray()
        self.pace = -1  # bytes read after each turn; -1 for all
        self.is_blameless = True  # reads all along, and did nothing that ends a connection
        self.member: Member | None = None
        self.checked_bytes = 0  # of what it has received

    def say(self, data: bytes) -> None:
        self.unsent += data
        self.said += data

    def act(self) -> None:
        sent = self.peer.send(bytes(self.unsent))
        del self.unsent[:sent]
        if not self.peer.is_gone:
            self.peer.read(len(self.peer.to_peer.data) if self.pace < 0 else self.pace)


class Console:
    """Where the room prints."""

    def __init__(self) -> None:
        self.shown = bytearray()

    def write(self, lines: bytes) -> None:
        self.shown += lines


class WatchedRoom(room.Room):
    """A room that notes who joined from where."""

    def __init__(self, members: dict[str, Member], model: Model, *rest: Any) -> None:
        super().__init__(*rest)
        self._joined = members
        self._model = model

    def join(self, session: room.Session, username: str, deliveries: Deliveries) -> Cursor:
        self._joined[session.address] = self._model.members[-1]
        return super().join(session, username, deliveries)


class Play:
    """One script in one world."""

    def __init__(self, seed: int, world: World, trace: bool = False) -> None:
        self.kernel = Kernel(Random(seed), world.max_descriptors)
        self.selector = Selector(self.kernel)
        self.door = Door(self.kernel)
        self.clients: dict[int, Client] = {}
        self.everyone: list[Client] = []
        self.console = Console()
        self.log: list[str] = []
        self.is_over = False
        self._trace = trace
        self._world = world
        self._port = 50_000
        self._has_faults = False
        self._sees_shutdown = False
        self._errors: list[str] = []
        self._checked_bytes = 0  # of what the console shows
        self.model = Model(codec.framing.MAX_LINE_BYTES)
        self.reactor = Reactor(self.selector, self.kernel.clock, self._note_error)
        self.dispatcher = Recorder(PASSCODE, self.model, codec.framing.MAX_LINE_BYTES)
        journal = Journal(self.reactor, self.log.append, is_verbose=True)
        self.members: dict[str, Member] = {}  # address -> who joined from there
        self.room = WatchedRoom(
            self.members,
            self.model,
            self.reactor,
            self.dispatcher,
            cast(Sink, self.console),
            journal,
            self._note_empty,
        )
        self.listener = Listener(
            self.reactor,
            cast(socket.socket, self.door),
            self.room.make_session,
            self.room.gate.make_room,
        )

    def play(self, script: list[Step]) -> None:
        """All of it, and then what must hold when everything has come to rest."""
        for step in script:
            if self._trace:
                print(step)
            getattr(self, "do_" + step[0])(*step[1:])
        self._come_to_rest()

    # The steps.

    def do_connect(self, number: int, name: str, source: str, first: bytes, size: int) -> None:
        if self._sees_shutdown:
            return
        if number in self.clients:
            self.do_leave(number, False)
        self._port += 1
        peer = Peer(self.kernel, source, self._port, max(1, size))
        client = self.clients[number] = Client(peer, name)
        self.everyone.append(client)
        client.is_blameless = first == b"JOIN %s %s\n" % (name.encode(), PASSCODE)
        client.say(first)
        client.act()
        self.door.waiting.append(peer)

    def do_say(self, number: int, data: bytes) -> None:
        if client := self.clients.get(number):
            if b":Exit\n" in data:
                client.is_blameless = False
            client.say(data)

    def do_pace(self, number: int, size: int) -> None:
        if client := self.clients.get(number):
            client.pace = size
            if size >= 0:
                client.is_blameless = False

    def do_shut(self, number: int) -> None:
        if (client := self.clients.get(number)) and not client.unsent:
            client.is_blameless = False
            client.peer.shut()

    def do_leave(self, number: int, rudely: bool) -> None:
        if client := self.clients.pop(number, None):
            client.is_blameless = False
            client.peer.leave(rudely)

    def do_fail(self, call: str, error: str, times: int) -> None:
        self._has_faults |= call in FATAL
        self.kernel.failures.setdefault(call, []).extend([getattr(errno, error)] * times)

    def do_turn(self, turns: int) -> None:
        for _ in range(turns):
            self._turn(0.0)

    def do_wait(self, seconds: float) -> None:
        """Let time pass, from deadline to deadline as the loop would sleep."""
        end = self.kernel.now + seconds
        for _ in self._turns_that_move_something():
            if self.kernel.now >= end:
                return
            self._turn(end - self.kernel.now)

    def do_stop(self, seconds: float) -> None:
        """The process is stopped in its next sleep."""
        self.selector.oversleep_seconds = seconds

    def do_shutdown(self) -> None:
        if not self._sees_shutdown:
            self._sees_shutdown = True
            self._has_faults = True  # whoever has not read by then may lose the rest
            self.listener.close()
            self.room.shut_down()

    # What happens in a turn, and what must hold after it.

    def _turn(self, most_seconds: float) -> None:
        now = self.kernel.now
        self.reactor.run_once(most_seconds)
        if self.kernel.now == now:
            self.kernel.now += 0.0005
        for client in list(self.clients.values()):
            client.act()
        self._check()

    def _check(self) -> None:
        if self._errors:
            raise Failure("an exception was reported:\n" + self._errors[0])
        shown, due = self.console.shown, self.model.console
        if len(shown) != len(due) or shown[self._checked_bytes :] != due[self._checked_bytes :]:
            raise Failure("the console shows something else than the model")
        self._checked_bytes = len(shown)
        for client in self.everyone:
            self._check_client(client)
        self.everyone = [client for client in self.everyone if not client.peer.is_gone]
        self._check_memory()
        self._check_interest()

    def _check_client(self, client: Client) -> None:
        received = client.peer.received
        if client.peer.was_reset and client.is_blameless and client.member and not self._has_faults:
            raise Failure(f"{client.name}, who reads all along, was cut")
        if client.member is None and len(received) > client.checked_bytes:
            client.member = self._find_member(client)
        if client.member is None:
            if received and not b"ERROR ".startswith(received[:6]):
                raise Failure(f"{client.name}, who is no member, reads {bytes(received[:60])!r}")
            return
        news = bytes(received[client.checked_bytes :])
        due = bytes(client.member.due[client.checked_bytes :])
        if self._sees_shutdown and client.member.is_present:
            goodbye = b"Server is shutting down\n"
            due += goodbye[max(0, client.checked_bytes - len(client.member.due)) :]
        if not due.startswith(news):
            raise Failure(f"{client.name} reads {news[-90:]!r}, and was to read {due[:90]!r}")
        client.checked_bytes = len(received)

    def _find_member(self, client: Client) -> Member | None:
        """Who it became: the one of its name who joined from its address."""
        return self.members.get("{}:{}".format(*client.peer.address))

    def _check_memory(self) -> None:
        fanout = self.room.fanout
        bound = reactor.flow.MAX_SEND_QUEUE_BYTES + 3 * reactor.fanout.PAGE_BYTES
        bound += 3 * reactor.connection.READ_BYTES
        if fanout.log.kept_bytes > bound:
            raise Failure(f"{fanout.log.kept_bytes} bytes are kept, {bound} may be")
        strangers = len(self.room.gate._pool)
        if strangers > gate.POOL_CONNECTIONS:
            raise Failure(f"{strangers} strangers are held")

    def _check_interest(self) -> None:
        for key in self.selector.get_map().values():
            outbound = getattr(key.data, "outbound", None)
            if key.events & WRITE and outbound is not None and not outbound.owed_bytes:
                raise Failure("somebody waits for a socket to take nothing")

    # The end.

    def _come_to_rest(self) -> None:
        self.kernel.failures.clear()
        for client in self.clients.values():
            if client.pace:  # the deaf stay deaf
                client.pace = -1
        self._settle()
        self.do_wait(40.0)  # all deadlines: strangers, the deaf, those who linger
        self._settle()
        self._check_that_all_arrived()
        self._check_that_none_is_owed_for_ever()
        for number in list(self.clients):
            self.do_leave(number, False)
        self._settle()
        self.do_wait(5.0)
        self._settle()
        if any(member.is_present for member in self.model.members) and not self._sees_shutdown:
            raise Failure("somebody has gone, and nobody was told that they left")
        left = self.kernel.descriptors - {self.door.fileno()}
        if left:
            raise Failure(f"descriptors {left} are still open")
        if self.room._sessions or self.room._waiting or self.room.gate._pool:
            raise Failure("the room still holds somebody")
        if not self._sees_shutdown and self.room.fanout.log.kept_bytes:
            raise Failure("pages are kept for nobody")
        if self._sees_shutdown and not self.is_over:
            raise Failure("the shutdown never ended")
        self.do_wait(200.0)  # the journal's seconds, the budgets of wrong passcodes
        self.kernel.is_unsteady = False
        self._turn(0.0)
        self.reactor.run_once(0.0)
        if self.reactor._wait_seconds(None) is not None:
            raise Failure("with nobody there the loop would wake up again")

    def _settle(self) -> None:
        """Turn until nothing moves any more; it must not take for ever, nor turn for nothing."""
        for _ in self._turns_that_move_something():
            self._turn(0.0)
            if not self.selector.ready() and self.reactor._wait_seconds(None) != 0:
                return

    def _turns_that_move_something(self) -> Iterator[None]:
        """Turns without end, as long as there are bytes, newcomers or seconds that move."""
        idle_turns = 0
        while idle_turns < MOST_IDLE_TURNS:
            before = self.kernel.bytes_moved, len(self.door.waiting), int(self.kernel.now * 10)
            yield
            after = self.kernel.bytes_moved, len(self.door.waiting), int(self.kernel.now * 10)
            idle_turns = 0 if after != before else idle_turns + 1
        raise Failure("the loop spins: it turns, and nothing moves")

    def _check_that_all_arrived(self) -> None:
        for client in self.clients.values():
            member = client.member
            if not client.is_blameless or member is None or self._has_faults:
                continue
            if bytes(client.peer.received) != bytes(member.due):
                missing = len(member.due) - len(client.peer.received)
                raise Failure(f"{client.name} reads all along, and {missing} bytes never came")
            if not self._was_obeyed(client, member):
                raise Failure(f"not all that {client.name} said was obeyed, in its order")
        if self._has_faults or self._sees_shutdown:
            return
        for client in self.clients.values():
            if client.is_blameless and client.member is None and not client.peer.has_ended:
                raise Failure(f"{client.name} asked to join, and has no answer")

    def _was_obeyed(self, client: Client, member: Member) -> bool:
        limit = codec.framing.MAX_LINE_BYTES
        lines = bytes(client.said).split(b"\n")[1:-1]
        lines = [line for line in lines if len(line) <= limit]
        return member.obeyed == lines and not client.unsent

    def _check_that_none_is_owed_for_ever(self) -> None:
        for session in self.room._sessions:
            if session._cursor and session._cursor.owed_bytes:
                raise Failure(f"{session._username} has taken nothing for 40 s and is still there")

    def _note_empty(self) -> None:
        self.is_over = True

    def _note_error(self) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        self._errors.append("".join(traceback.format_exception(error)))


# Scripts.


def make_world(seed: int) -> World:
    """Small and vicious most of the time, now and then hundreds of members."""
    random = Random(f"world {seed}")
    if seed % 25 == 24:
        return World(300, 400, seed % 50 == 49, 4_000, 10_000)
    return World(
        members=random.randint(2, 8),
        steps=random.randint(60, 260),
        is_small=random.random() < 0.85,
        capacity=random.choice([1, 7, 60, 500, 4_000]),
        max_descriptors=random.choice([4, 7, 10_000, 10_000]),
    )


def make_script(seed: int, world: World) -> list[Step]:
    """What happens in `world`, step by step."""
    random = Random(f"script {seed}")
    script: list[Step] = []
    if world.members > 100:
        for number in range(world.members):
            script += [_connect(random, number, world, is_honest=True), ("turn", 1)]
    for _ in range(world.steps):
        script.append(_step(random, world))
        if random.random() < 0.6:
            script.append(("turn", random.choice([1, 1, 2, 5])))
    return script


def _step(random: Random, world: World) -> Step:
    number = random.randrange(world.members)
    kinds = ["connect"] * 4 + ["say"] * 12 + ["pace"] * 3 + ["wait"] * 3
    kinds += ["shut", "leave", "leave", "stop"]
    kinds += ["fail"] * (random.random() < 0.3) + ["shutdown"] * (random.random() < 0.02)
    kind = random.choice(kinds)
    if kind == "connect":
        return _connect(random, number, world)
    if kind == "say":
        return ("say", number, b"".join(_line(random, world) for _ in range(random.randint(1, 9))))
    if kind == "pace":
        return ("pace", number, random.choice([-1, -1, 0, 1, 3, 40]))
    if kind == "wait":
        return ("wait", random.choice([0.05, 0.1, 0.3, 1.0, 2.0, 11.0]))
    if kind == "leave":
        return ("leave", number, random.random() < 0.5)
    if kind == "stop":
        return ("stop", random.choice([0.4, 2.0, 60.0]))
    if kind == "fail":
        call = random.choice(sorted(ERRORS))
        return ("fail", call, random.choice(ERRORS[call]), random.randint(1, 3))
    return (kind, number) if kind == "shut" else (kind,)


def _connect(random: Random, number: int, world: World, is_honest: bool = False) -> Step:
    name = f"u{random.randrange(world.members)}" if not is_honest else f"u{number}"
    firsts = [b"JOIN %s %s\n" % (name.encode(), PASSCODE)] * 8
    firsts += [b"", b"JOIN", b"JOIN %s wrong\n" % name.encode(), b"GET / HTTP/1.0\r\n\r\n"]
    firsts += [b"x" * 400, b"JOIN toolongname abc12\n"]
    first = firsts[0] if is_honest else random.choice(firsts)
    source = random.choice(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    return ("connect", number, name, source, first, world.capacity)


def _line(random: Random, world: World) -> bytes:
    other = b"u%d" % random.randrange(world.members)
    lines = [b"hello %d" % random.randrange(1_000)] * 10
    lines += [b"y" * random.randrange(1, 110)] * 3
    lines += [b":Users", b":mytime now", b"hi :)", b"", b"  ", b":Msg " + other, b":Msg"]
    lines += [b":Msg " + other + b" psst %d" % random.randrange(1_000)] * 3
    lines += [b"z" * random.randrange(100, 125), b"z" * 130, b"z" * 1_000]
    lines += [b":Exit"] * (random.random() < 0.1)
    return random.choice(lines) + b"\n"


@contextlib.contextmanager
def limits_of(world: World) -> Iterator[None]:
    """The limits of this world in place of the product's."""
    with contextlib.ExitStack() as stack:
        for module, name, value in SMALL_LIMITS if world.is_small else ():
            stack.enter_context(patch.object(module, name, value))
        yield


def failure_of(seed: int, world: World, script: list[Step], trace: bool = False) -> str | None:
    """What went wrong in this script, if anything did."""
    with limits_of(world):
        try:
            Play(seed, world, trace).play(script)
        except Exception as failure:
            place = traceback.extract_tb(failure.__traceback__)[-1]
            return f"{type(failure).__name__}: {failure} ({place.name}, line {place.lineno})"
    return None


def shrink(seed: int, world: World, script: list[Step]) -> list[Step]:
    """A part of the script that fails as well, from which nothing can be taken away."""
    size = len(script) // 2
    while size:
        at = 0
        while at < len(script):
            shorter = script[:at] + script[at + size :]
            if failure_of(seed, world, shorter):
                script = shorter
            else:
                at += size
        size //= 2
    return script
