"""The load: members who join, talk and listen, and check every byte they hear.

Runs in a process of its own, on another core than the server where there is one. Members are
plain sockets in one selector; what they hear is compared in bulk with what they ought to hear, so
that the load costs less than what it measures.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from bench.processes import Process
from bench.systems import Dialect, System

READ_BYTES = 120_000  # below malloc's threshold for mapping pages anew
LINE_BYTES = 50  # of `name: text` with its line end, as a chat delivers it
QUIET_SECONDS = 0.3
JOIN_SECONDS = 40.0  # all systems fill their rooms at once for (f)
PATIENCE_SECONDS = 60.0

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class TlsSocket(ssl.SSLSocket):
    """A client's socket that gives all there is, since a selector sees what is in the kernel. Its
    handshake goes on when it is read, and what is `early` follows it."""

    early = b""

    def recv(self, size: int = READ_BYTES, flags: int = 0) -> bytes:
        pieces = []
        with contextlib.suppress(ssl.SSLWantReadError):
            if self.early:
                self.do_handshake()
                self.early = self.early[super().send(self.early) :]
            while data := super().recv(size, flags):
                pieces.append(data)
            if not pieces:
                return b""
        if not pieces:
            raise BlockingIOError
        return b"".join(pieces)

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except ssl.SSLWantWriteError:
            return 0


TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE
TRUSTING.sslsocket_class = TlsSocket


class Member:
    """One member: a socket to listen on, a socket to talk on, and how much was heard so far."""

    __slots__ = ("checksum", "heard_bytes", "name", "sock", "voice")

    def __init__(self, name: bytes, sock: socket.socket) -> None:
        self.name = name
        self.sock = sock
        self.voice = sock
        self.checksum = 0
        self.heard_bytes = 0


class Fanned(NamedTuple):
    """What a blast came to. `lines` were sent, `deliveries` of them arrived, `lost` did not."""

    lines: int
    deliveries: int
    lost: int
    wall_seconds: float
    cpu_seconds: float
    in_order: bool


class Paced(NamedTuple):
    """What a paced conversation came to; latencies from the send call to the read."""

    deliveries: int
    lost: int
    p50_ms: float
    p99_ms: float
    wall_seconds: float
    cpu_seconds: float


class Crowd:
    """Members of one server, joined and settled."""

    def __init__(self, system: System, port: int, count: int, joins_in_flight: int = 0) -> None:
        self.system = system
        self.dialect: Dialect = system.dialect
        self.port = port
        self.selector = selectors.DefaultSelector()
        self.members: list[Member] = []
        started = time.perf_counter()
        self._join(count, joins_in_flight or system.joins_in_flight)
        self.join_seconds = time.perf_counter() - started
        self._settle()

    def give_voices(self, members: list[Member]) -> None:
        """Connect what these members talk on, if it is not what they listen on."""
        for member in members:
            if self.dialect.has_own_voice and member.voice is member.sock:
                member.voice = socket.create_connection(("127.0.0.1", self.port))
        for member in members:
            member.voice.setblocking(False)

    def events(self) -> Iterator[tuple[Member, int, socket.socket]]:
        """What is ready, until nothing has been for PATIENCE_SECONDS."""
        while ready := self.selector.select(PATIENCE_SECONDS):
            for key, events in ready:
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                yield key.data, events, sock

    def watch(self, member: Member, is_talking: bool) -> None:
        """Have `events` tell of this member's sockets."""
        talking = READ | WRITE if is_talking else READ
        if member.voice is not member.sock:
            self._set_interest(member.voice, talking, member)
            talking = READ
        self._set_interest(member.sock, talking, member)

    def close(self) -> None:
        for member in self.members:
            member.sock.close()
            member.voice.close()
        self.selector.close()

    def _set_interest(self, sock: socket.socket, events: int, member: Member) -> None:
        try:
            self.selector.modify(sock, events, member)
        except KeyError:
            self.selector.register(sock, events, member)

    def _join(self, count: int, in_flight: int) -> None:
        """All of them, `in_flight` at a time, each saying who it is once it is connected;
        those that have joined are read all along."""
        joining: dict[Member, bytes] = {}
        deadline = time.monotonic() + JOIN_SECONDS
        joined = 0
        while joined < count:
            while len(joining) < in_flight and len(self.members) < count:
                joining[self._connect(b"m%07d" % len(self.members))] = b""
            if time.monotonic() > deadline:
                raise TimeoutError(f"{joined} of {count} joined")
            for key, _ in self.selector.select(1):
                member: Member = key.data
                data = receive(member.sock)
                if data is None:
                    continue
                if not data:
                    raise ConnectionError(f"{member.name!r} was not let in")
                if member in joining:
                    joining[member] += data
                    if self.dialect.joined in joining[member]:
                        del joining[member]
                        joined += 1

    def _connect(self, name: bytes) -> Member:
        sock = socket.create_connection(("127.0.0.1", self.port))
        if self.system.is_tls:
            sock = begin_handshake(sock, self.dialect.join(name))
        else:
            sock.sendall(self.dialect.join(name))
            sock.setblocking(False)
        member = Member(name, sock)
        self.members.append(member)
        self.selector.register(sock, READ, member)
        return member

    def _settle(self) -> None:
        """Read until nothing has come for a while: what is said about joins is over."""
        while ready := self.selector.select(QUIET_SECONDS):
            for key, _ in ready:
                receive(key.data.sock)


def begin_handshake(sock: socket.socket, early: bytes) -> TlsSocket:
    """Over this socket; as many go on at a time as members join at a time."""
    tls = cast(TlsSocket, TRUSTING.wrap_socket(sock, do_handshake_on_connect=False))
    tls.early = early
    tls.setblocking(False)
    receive(tls)
    return tls


def receive(sock: socket.socket) -> bytes | None:
    """What there is; None if it is a part of a TLS record."""
    try:
        return sock.recv(READ_BYTES)
    except BlockingIOError:
        return None


def text_of(name: bytes, number: int) -> bytes:
    """A line's text: its number, and what fills `name: text` and a line end to LINE_BYTES."""
    head = b"%07d " % number
    return head + b"x" * (LINE_BYTES - len(name) - len(b": \n") - len(head))


def blast(
    crowd: Crowd, process: Process, talkers: int, probe_lines: int, lines: int, seconds: float
) -> Fanned:
    """`talkers` members send as fast as TCP takes it, and everybody hears everything: so many lines
    that it lasts for about `seconds`, by what ever more, from `probe_lines` on, took; and at most
    `lines` each."""
    crowd.give_voices(crowd.members[:talkers])
    wanted = probe_lines
    while True:
        fanned = _Blast(crowd, process, talkers, wanted).run()
        if wanted >= lines or fanned.wall_seconds > seconds / 2:
            return fanned
        lines_per_second = fanned.lines / talkers / fanned.wall_seconds
        wanted = min(lines, 10 * wanted, max(2 * wanted, int(lines_per_second * seconds)))


def burst(crowd: Crowd, process: Process, lines: int) -> Fanned:
    """One member sends so many lines at once, and everybody hears them; and then it is quiet."""
    crowd.give_voices(crowd.members[:1])
    fanned = _Blast(crowd, process, 1, lines).run()
    time.sleep(QUIET_SECONDS)
    return fanned


def converse(crowd: Crowd, process: Process, lines: int, start: bytes) -> float:
    """The first of two members sends lines that begin with `start`, each when the second has heard
    the one before: the server's CPU seconds for each."""
    talker, listener = crowd.members
    for member in crowd.members:
        member.sock.setblocking(True)
    cpu_seconds = -process.cpu_seconds()
    for number in range(lines):
        talker.sock.sendall(start + text_of(talker.name, number) + b"\n")
        while not listener.sock.recv(READ_BYTES).endswith(b"\n"):
            pass
    return (cpu_seconds + process.cpu_seconds()) / lines


class _Blast:
    """One blast. With one talker every member is compared with what must come; with more, the
    order is the server's, and all must have heard the same one."""

    def __init__(self, crowd: Crowd, process: Process, talkers: int, lines: int) -> None:
        self.crowd = crowd
        self.process = process
        self.dialect = crowd.dialect
        self.members = crowd.members
        self.listeners = crowd.members[talkers:]
        self.talks = {
            member: _Talk(self.dialect, member.name, lines) for member in self.members[:talkers]
        }
        name = self.members[0].name
        self.line_bytes = len(self.dialect.heard(name, text_of(name, 0)))
        self.flight_lines = crowd.system.max_flight_bytes // self.line_bytes
        self.lines = lines * talkers
        own = 0 if self.dialect.hears_itself else lines
        self.due = {
            member: (self.lines - (own if member in self.talks else 0)) * self.line_bytes
            for member in self.members
        }
        self.expected = b"".join(
            self.dialect.heard(name, text_of(name, number))
            for number in range(lines if talkers == 1 else 0)
        )
        self.reference: list[bytes] = []  # with several talkers: what the last member heard
        self.in_order = True

    def run(self) -> Fanned:
        waiting = set()
        for member in self.members:
            member.heard_bytes = member.checksum = 0
            self.crowd.watch(member, is_talking=member in self.talks)
            if self.due[member]:
                waiting.add(member)
        cpu_started, started = self.process.cpu_seconds(), time.perf_counter()
        for member, events, sock in self.crowd.events():
            if events & WRITE:
                self._talk(member, sock)
            if events & READ:
                self._hear(member, sock)
                if member.heard_bytes >= self.due[member]:
                    waiting.discard(member)
                    if not waiting:
                        break
        wall_seconds = time.perf_counter() - started
        cpu_seconds = self.process.cpu_seconds() - cpu_started
        if len(self.talks) > 1:
            self.in_order = self._is_one_order(b"".join(self.reference))
        heard = sum(member.heard_bytes // self.line_bytes for member in self.members)
        lost = sum(self.due.values()) // self.line_bytes - heard
        return Fanned(self.lines, heard, lost, wall_seconds, cpu_seconds, self.in_order)

    def _talk(self, member: Member, sock: socket.socket) -> None:
        talk = self.talks[member]
        if self.flight_lines:
            sent = sum(each.sent_lines for each in self.talks.values())
            slowest = min(each.heard_bytes for each in self.listeners) // self.line_bytes
            if sent - slowest < self.flight_lines:
                talk.send(sock, self.flight_lines - (sent - slowest))
        else:
            talk.send(sock)
        if talk.is_over:
            self.crowd.watch(member, is_talking=False)

    def _hear(self, member: Member, sock: socket.socket) -> None:
        data = receive(sock)
        if data is None:
            return
        if not data:
            raise ConnectionError(f"{member.name!r} was cut")
        if sock is not member.sock:
            return
        if len(self.talks) > 1:
            member.checksum = zlib.crc32(data, member.checksum)
            if member is self.members[-1]:
                self.reference.append(data)
        elif self.due[member]:
            self.in_order &= self.expected.startswith(data, member.heard_bytes)
        member.heard_bytes += len(data)

    def _is_one_order(self, reference: bytes) -> bool:
        """Whether all heard what the last one heard, each without its own lines, and every
        talker's lines stand there in the order they were said."""
        sample, size = self.members[0].name, self.line_bytes
        name_at = self.dialect.heard(sample, text_of(sample, 0)).index(sample)
        place = slice(name_at, name_at + len(sample))
        lines = [reference[at : at + size] for at in range(0, len(reference), size)]
        said: dict[bytes, list[bytes]] = {}
        for line in lines:
            said.setdefault(line[place], []).append(line)
        whole = zlib.crc32(reference)
        for member in self.members:
            due = whole
            if member in self.talks:
                own = [
                    self.dialect.heard(member.name, text_of(member.name, number))
                    for number in range(self.talks[member].lines)
                ]
                if said.get(member.name) != own:
                    return False
                if not self.dialect.hears_itself:
                    due = zlib.crc32(b"".join(x for x in lines if x[place] != member.name))
            if member.checksum != due:
                return False
        return True


class _Talk:
    """What one member has to say, as bytes, and how much of it the kernel has taken."""

    def __init__(self, dialect: Dialect, name: bytes, lines: int) -> None:
        pieces = [dialect.say(name, text_of(name, number)) for number in range(lines)]
        self._piece_bytes = len(pieces[0])
        self._data = memoryview(b"".join(pieces))
        self._sent = 0
        self.lines = lines

    @property
    def sent_lines(self) -> int:
        return self._sent // self._piece_bytes

    @property
    def is_over(self) -> bool:
        return self._sent == len(self._data)

    def send(self, sock: socket.socket, most_lines: int = 5_000) -> None:
        end = self._sent + most_lines * self._piece_bytes
        self._sent += sock.send(self._data[self._sent : end])


def pace(crowd: Crowd, process: Process, talkers: int, per_second: int, seconds: float) -> Paced:
    """`talkers` members together send `per_second` lines, evenly; everybody else's latency."""
    dialect, members = crowd.dialect, crowd.members
    voices = members[:talkers]
    crowd.give_voices(voices)
    for member in members:
        crowd.watch(member, is_talking=False)
    total = int(per_second * seconds)
    own_lines = {id(member): 0 if dialect.hears_itself else total // talkers for member in voices}
    due = sum(total - own_lines.get(id(member), 0) for member in members)
    number_in_line = re.compile(rb"(\d{7}) x")
    sent_at = [0.0] * total
    latencies: list[float] = []
    number = 0
    cpu_started, started = process.cpu_seconds(), time.perf_counter()
    deadline = started + seconds + 5
    while len(latencies) < due and (now := time.perf_counter()) < deadline:
        next_at = started + number / per_second
        if number < total and now >= next_at:
            member = voices[number % talkers]
            sent_at[number] = now
            member.voice.send(dialect.say(member.name, text_of(member.name, number)))
            number += 1
            continue
        wait = next_at - now if number < total else deadline - now
        for key, _ in crowd.selector.select(wait):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            data = sock.recv(READ_BYTES)
            arrived = time.perf_counter()
            if sock is key.data.sock:
                latencies += [arrived - sent_at[int(n)] for n in number_in_line.findall(data)]
    wall_seconds = time.perf_counter() - started
    cpu_seconds = process.cpu_seconds() - cpu_started
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * part)] * 1000 for part in (0.5, 0.99))
    return Paced(len(latencies), due - len(latencies), p50, p99, wall_seconds, cpu_seconds)
