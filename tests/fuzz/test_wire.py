"""The black-box fuzzer: it leaves our server in peace, and finds what is wrong with others.

The others are in this process, on a network of memory where time passes only while it is waited
for, so that a run depends on nothing but its seed.
"""

from __future__ import annotations

import itertools
import re
import selectors
import socket
from pathlib import Path

import pytest

from tests.end_to_end.processes import PASSCODE, Room
from tests.fuzz.wire.__main__ import main
from tests.fuzz.wire.fuzzer import Fuzzer, Schedule
from tests.fuzz.wire.network import Ends, Hears, SocketPeer
from tests.fuzz.wire.sessions import Attackers, session_of
from tests.fuzz.wire.steps import (
    CLOSE,
    DEAF,
    FIN,
    KEPT_CHARACTERS,
    OPEN,
    RESET,
    SEND,
    Record,
    Step,
    format_step,
    parse_steps,
)
from tests.fuzz.wire.witness import FindingError
from tests.support import protocol
from tests.support.protocol import INCORRECT_PASSCODE, USAGE, Limits, Line, PlainServer, Said, left
from tests.support.size import IS_LONG

SECRET = PASSCODE.encode()
SEED = 1
"""With which each kind of wrong is found early."""

SOURCES = [b"127.0.0.%d" % last for last in range(2, 6)]
RUN = ["--port", "1", "--passcode", PASSCODE, "--seed", "1"]


class Link:
    """A fuzzer's end of a connection to the Server."""

    def __init__(self, server: Server, key: int, hears: Hears, ends: Ends) -> None:
        self.is_open = self.reads = True
        self.has_sent_all = False
        self.hears = hears
        self.ends = ends
        self._server = server
        self._key = key

    def act(self, step: Step) -> None:
        if not self.is_open:
            return
        if step.verb == SEND:
            self._server.take(self._key, step.data)
        elif step.verb == DEAF:
            self.reads = False
        elif step.verb in (FIN, RESET, CLOSE):
            self.has_sent_all = True
            self.is_open = step.verb == FIN
            self._server.lose(self._key)


class Server(PlainServer):
    """A server that keeps to the protocol, and the way to it; the broken ones are made of it."""

    limits = protocol.DOCUMENTED_LIMITS

    def __init__(self, *_: object) -> None:
        super().__init__(self.limits, SECRET)
        self.seconds = 0.0
        self._keys = itertools.count()
        self._links: dict[int, Link] = {}  # those that are open

    def open(self, source: str, hears: Hears, ends: Ends) -> Link:
        key = next(self._keys)
        self._links[key] = Link(self, key, hears, ends)
        self.receive(key, b"")
        return self._links[key]

    def pump(self, seconds: float) -> None:
        self.seconds += seconds or 0.01
        self.console = b""
        for key, link in list(self._links.items()):
            if link.reads and link.is_open:
                self._deliver(key, link)
            if not link.is_open:
                del self._links[key]

    def close(self) -> None:
        assert not any(link.is_open for link in self._links.values())

    def _deliver(self, key: int, link: Link) -> None:
        peer = self.peers[key]
        data = self.give(key, bytes(peer.screen))
        peer.screen.clear()
        for line in data.split(b"\n")[:-1]:
            link.hears(line)
        if peer.is_closed or link.has_sent_all:
            link.is_open = False
            link.ends(None)

    # What may be broken.

    def take(self, key: int, data: bytes) -> None:
        """`data` has come from a connection."""
        self.receive(key, data)

    def give(self, key: int, data: bytes) -> bytes:
        """What of `data`, which is for a connection, is sent."""
        return data

    def lose(self, key: int) -> None:
        """A connection has ended."""
        self.end(key)


class LosesLinesInABurst(Server):
    def take(self, key: int, data: bytes) -> None:
        is_burst = data.count(b"\n") > 20
        super().take(key, re.sub(rb"(?<=\n)\d*7\n", b"", data) if is_burst else data)


class DiesOfBadText(Server):
    def take(self, key: int, data: bytes) -> None:
        if data.decode("utf-8", "ignore").encode() == data:
            super().take(key, data)
        else:
            for peer in self.peers.values():
                peer.is_closed = True


class DecodesWhatItReceived(Server):
    def take(self, key: int, data: bytes) -> None:
        super().take(key, data.decode("utf-8", "replace").encode())


class EndsTheHonest(Server):
    def _answer(self, peer: protocol.Peer, line: Line) -> None:
        super()._answer(peer, line)
        self.peers[0].is_closed |= b"HTTP" in (line or b"")


class FallsSilent(Server):
    is_silent = False

    def give(self, key: int, data: bytes) -> bytes:
        self.is_silent = self.is_silent or b"Bob: " in data
        return b"" if self.is_silent and self.peers[key].username in ("Alice", "Bob") else data


class HasNoLimit(Server):
    limits = Limits(line_bytes=1 << 30)


class NeverMissesWhoResets(Server):
    def lose(self, key: int) -> None:
        if not self.peers[key].username.startswith("0") or self.peers[key].is_closed:
            super().lose(key)


class Forges(Server):
    def _show(self, peer: protocol.Peer, said: Said) -> None:
        forged = re.sub("^[^:]*: (?=Alice: )", "", said.to_room)
        super()._show(peer, said._replace(to_room=forged))


class SaysFarewellTwice(Server):
    def _show(self, peer: protocol.Peer, said: Said) -> None:
        super()._show(peer, said)
        if said.leaves:
            super()._show(peer, left(peer.username)._replace(leaves=False))


class TakesASecondGuess(Server):
    def _answer(self, peer: protocol.Peer, line: Line) -> None:
        super()._answer(peer, line)
        peer.is_closed = False


class LetsTwinsIn(Server):
    def _fault_of_join(self, username: str, passcode: bytes) -> str:
        fault = super()._fault_of_join(username, passcode)
        is_twin = fault.startswith(protocol.NAME_IN_USE) and username not in self.members
        return "" if is_twin else fault


def sends(pattern: str, replacement: str) -> type[Server]:
    """A server that sends `replacement` where another would send `pattern`."""

    class Garbles(Server):
        def give(self, key: int, data: bytes) -> bytes:
            raw = replacement.encode("utf-8", "surrogateescape")
            return re.sub(pattern.encode(), raw, data, flags=re.MULTILINE)

    return Garbles


# Each kind of wrong, and what is said of it; where more than one thing is wrong with a server, any
# of them may be seen first.
BROKEN: dict[str, tuple[type[Server], str]] = {
    "loses lines in a burst": (LosesLinesInABurst, "owed '.*: [0-9]*7', came "),
    "loses lines of the honest": (sends("^Alice: .*5\n", ""), "Alice's lines|missed"),
    "says it twice": (
        sends("^(Bob: [0-9]*7\n)", r"\1\1"),
        "Bob's lines|read twice|nothing was owed",
    ),
    "turns lines round": (
        sends("^(Bob: .*\n)(.*\n)", r"\2\1"),
        "Bob's lines|missed|where the other read",
    ),
    "forges": (Forges, "Alice"),
    "splits at CR": (sends("\ufffdAlice: ", "\nAlice: "), "Alice"),
    "dies of bad text": (DiesOfBadText, "closed Alice"),
    "decodes what it received": (DecodesWhatItReceived, "owed ['\"].*\ufffd"),
    "echoes control characters": (sends("\ufffd\\[2", "\x1b[2"), "unsafe"),
    "echoes bytes": (sends("\ufffd\ufffd", "\udcff\udcfe"), "not UTF-8"),
    "has no limit": (HasNoLimit, "a line of [0-9]+ bytes|too long|Message from"),
    "never misses one that resets": (NeverMissesWhoResets, "never saw .* leave"),
    "says farewell twice": (SaysFarewellTwice, "left, twice"),
    "takes a second guess": (TakesASecondGuess, "after 'ERROR .*' came"),
    "lets twins in": (LetsTwinsIn, "twice among the users|answer was 'OK'"),
    "ends the honest": (EndsTheHonest, "closed Alice"),
    "answers in its own way": (sends("No such user: ", "Who is "), "Who is"),
    "tells an old list": (
        sends("^(Active Users: .*,.*,.*),.*", r"\1"),
        "where the members are|not among the users",
    ),
    "falls silent": (FallsSilent, "lost, or late"),
}


def schedule_of(seed: int) -> Schedule:
    return Schedule(seed, Attackers(seed, SECRET, SOURCES))


def attack(server: Server, seed: int, sessions: int) -> Fuzzer:
    """A run of so many sessions, which raises what it finds."""
    schedule = schedule_of(seed)
    run = Fuzzer(server, SECRET)
    try:
        run.run(schedule.steps(lambda count: count >= sessions), schedule.sessions)
    finally:
        run.close()
    return run


def test_server_of_ours_is_left_in_peace(capsys: pytest.CaptureFixture[str]) -> None:
    with Room("-verbose") as room:
        room.server.stdout.pause()
        room.server.stderr.pause()
        port, sessions = str(room.port), "150" if IS_LONG else "50"
        options = ["--port", port, "--passcode", PASSCODE, "--seed", "3", "--sessions", sessions]
        assert main(options) == 0
        assert f"nothing found with --seed 3: {sessions} sessions, " in capsys.readouterr().out
        room.server.process.kill()
        room.server.has_ended = True


def test_plain_server_is_left_in_peace() -> None:
    sessions = 1000 if IS_LONG else 100
    assert attack(Server(), 2, sessions).witness.lines > sessions


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_found(kind: str) -> None:
    server, finding = BROKEN[kind]
    with pytest.raises(FindingError, match=finding):
        attack(server(), SEED, 2000)


def test_closed_port_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = str(sock.getsockname()[1])
        assert main(["--port", port, "--passcode", PASSCODE]) == 1
    assert "cannot connect" in capsys.readouterr().err


def test_finding_is_told_written_down_and_found_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--sessions", "400"], Forges) == 1
    told = capsys.readouterr().err
    assert "FOUND with --seed 1: " in told
    path = Path(told.split("all that was sent: ")[1].strip())
    assert main([*RUN, "--replay", str(path)], Forges) == 1
    assert "FOUND" in capsys.readouterr().err
    assert main([*RUN, "--replay", str(path)], Server) == 0
    path.unlink()


# How it sends, and what it reads.


@pytest.mark.parametrize(
    ("sent", "reads_all", "lines", "end"),
    [
        pytest.param(b"a\nb\n", True, [b"a", b"b"], "None", id="a clean end"),
        pytest.param(b"a\nb", True, [b"a"], "cut in b'b'", id="a line is cut"),
        pytest.param(b"a\n", False, [b"a"], "reset", id="a reset"),
    ],
)
def test_peer_tells_lines_and_then_why_it_ended(
    sent: bytes, reads_all: bool, lines: list[bytes], end: str
) -> None:
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []
    ends: list[OSError | None] = []
    with selectors.DefaultSelector() as selector:
        peer = SocketPeer(selector, ours, heard.append, ends.append)
        peer.act(Step(2, SEND, b"x" * 1_000_000))
        if reads_all:
            peer.act(Step(2, FIN))
            theirs.setblocking(False)
        while peer.is_open:
            for key, events in selector.select(0):
                key.data.handle(events)
        theirs.close()


# What it sends.


def test_same_seed_sends_the_same() -> None:
    def steps_of(seed: int) -> list[Step]:
        return list(schedule_of(seed).steps(lambda count: count >= 50))

    assert steps_of(5) == steps_of(5)
    assert steps_of(5) != steps_of(6)


def test_wrong_passcodes_never_come_from_where_the_honest_are() -> None:
    attackers = Attackers(9, SECRET, SOURCES[:1])
    sessions = [attackers.make(who) for who in range(2, 1200 if IS_LONG else 600)]
    wrong = [session for session in sessions if session.answer == f"ERROR {INCORRECT_PASSCODE}"]
    assert [session.steps[0].data for session in wrong] == SOURCES[:1] * 15
    assert "OK" in {session.answer for session in sessions[-100:]}


def test_step_is_read_as_it_was_written() -> None:
    steps = [
        *[Step(7, OPEN), Step(7, OPEN, b"127.0.0.9"), Step(7, SEND, b"a b\n\xff")],
        *[Step(0, SEND, b"x" * 300_000), Step(8, SEND, b"y"), Step(9, "reset")],
    ]
    lines = [format_step(1.5, step) for step in steps]
    assert list(parse_steps(["# a comment", "", *lines])) == steps
    assert max(map(len, lines)) < 200


def test_record_has_a_bound() -> None:
    record = Record()
    for number in range(3000):
        record.add(number / 100, Step(2, SEND, b"%d" % number * 100))
    assert 0 < sum(map(len, record.lines())) <= KEPT_CHARACTERS
    record.add(1000.0, Step(2, SEND, b"last"))
    assert len(record.lines()) == 1


def test_session_is_owed_what_the_model_says() -> None:
    stream = b"JOIN Zoe abc12\nhi :)\n:Msg bob psst\n:Msg\nhal"
    session = session_of([Step(2, OPEN), Step(2, SEND, stream), Step(2, FIN)], SECRET)
    assert session.is_sure
    assert not session.is_ended
    assert (session.username, session.answer) == ("Zoe", "OK")
    assert session.replies == [USAGE]
    said = "Zoe: hi [feeling happy]"
    assert session.heard == ([said], [said, "[Message from Zoe]: psst"])
