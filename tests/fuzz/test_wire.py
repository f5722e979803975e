"""The black-box fuzzer: it leaves our server in peace, and finds what is wrong with others.

The others are in this process, on a network of memory where time passes only while it is waited
for, so that a run depends on nothing but its seed.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tests.fuzz.wire import steps
from tests.fuzz.wire.__main__ import main
from tests.fuzz.wire.fuzzer import Fuzzer
from tests.fuzz.wire.network import Ends, Hears, Peer
from tests.fuzz.wire.schedule import GUESSES_PER_SOURCE, Schedule
from tests.fuzz.wire.sessions import session_of
from tests.fuzz.wire.steps import Step, format_step, parse_steps
from tests.fuzz.wire.witness import FindingError
from tests.support import protocol
from tests.support.programs import PASSCODE, Room
from tests.support.protocol import Line, PlainServer
from tests.support.size import IS_LONG

SECRET = PASSCODE.encode()
SOURCES = [b"127.0.0.2"]

SEED = 1
"""With which each kind of wrong is found early."""


class Link(Peer):
    """A fuzzer's end of a connection to the Server."""

    def __init__(self, server: Server, key: int, hears: Hears, ends: Ends) -> None:
        super().__init__(hears, ends)
        self.reads = True
        self.has_ended_half = False
        self._server, self._key = server, key

    def act(self, step: Step) -> None:
        if step.verb == steps.SEND and self.is_open:
            self._server.take(self._key, step.data)
        elif step.verb == steps.DEAF:
            self.reads = False
        elif step.verb in (steps.FIN, steps.RESET, steps.CLOSE) and self.is_open:
            self.has_ended_half = True
            self.is_open = step.verb == steps.FIN
            self._server.lose(self._key)


class Server(PlainServer):
    """A server that keeps to the protocol, and the way to it; the broken ones are made of it."""

    limits = protocol.DOCUMENTED_LIMITS

    def __init__(self, *_: object) -> None:
        super().__init__(self.limits, SECRET)
        self.seconds = 0.0
        self._keys = itertools.count()
        self._links: dict[int, Link] = {}

    def open(self, source: str, hears: Hears, ends: Ends) -> Link:
        key = next(self._keys)
        self._links[key] = Link(self, key, hears, ends)
        self.receive(key, b"")
        return self._links[key]

    def pump(self, seconds: float) -> None:
        self.seconds += seconds or 0.01
        self.console = b""
        self._links = {key: link for key, link in self._links.items() if link.is_open}
        for key, link in self._links.items():
            if link.reads:
                peer = self.peers[key]
                link.received(self.give(key, bytes(peer.screen)))
                peer.screen.clear()
                if peer.is_closed or link.has_ended_half:
                    link.ended(None)

    def close(self) -> None:
        assert not any(link.is_open for link in self._links.values())

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


class DecodesWhatItReceived(Server):
    def take(self, key: int, data: bytes) -> None:
        super().take(key, data.decode("utf-8", "replace").encode())


class FallsSilent(Server):
    is_silent = False

    def give(self, key: int, data: bytes) -> bytes:
        self.is_silent |= b"Bob: " in data
        return b"" if self.is_silent and self.peers[key].username in ("Alice", "Bob") else data


class TellsInTwoOrders(Server):
    late = b""

    def give(self, key: int, data: bytes) -> bytes:
        if key == 0 and data.endswith(b" left the chatroom\n"):
            self.late += data
            return b""
        if key == 0 and data:
            data, self.late = data + self.late, b""
        return data


class NeverMissesOneThatResets(Server):
    def lose(self, key: int) -> None:
        if not self.peers[key].username.startswith("0") or self.peers[key].is_closed:
            super().lose(key)


class EndsTheHonest(Server):
    def _answer(self, peer: protocol.Peer, line: Line) -> None:
        super()._answer(peer, line)
        self.peers[0].is_closed |= b"HTTP" in (line or b"")


class TakesASecondGuess(Server):
    def _answer(self, peer: protocol.Peer, line: Line) -> None:
        super()._answer(peer, line)
        peer.is_closed = False


class LetsTwinsIn(Server):
    def _fault_of_join(self, username: str, passcode: bytes) -> str:
        fault = super()._fault_of_join(username, passcode)
        is_twin = fault.startswith(protocol.NAME_IN_USE) and username not in self.members
        return "" if is_twin else fault


class HasNoLimit(Server):
    limits = protocol.Limits(line_bytes=1 << 30)


def sends(pattern: str, replacement: str, since: int = 0) -> type[Server]:
    """A server that sends `replacement` where another would send `pattern`, to all connections but
    those before `since`."""
    new = replacement.encode("utf-8", "surrogateescape")

    class Garbles(Server):
        def give(self, key: int, data: bytes) -> bytes:
            return re.sub(pattern.encode(), new, data, flags=re.MULTILINE) if key >= since else data

    return Garbles


Forges = sends("^[^:\n]*: (?=Alice: |hi)", "Alice: ")
TellsAnOldList = sends("^(Active Users: .*,.*,.*),.*", r"\1")

TellsTheListLate = sends("^OK\n(Active Users: .*\n)", r"OK\n0: hi\n\1", since=2)
EchoesNothing = sends("^0.*: .*\n", "", since=2)

# Each kind of wrong, and what is said of it; where more than one thing is wrong with a server, any
# of them may be seen first.
BROKEN: dict[str, tuple[type[Server], str]] = {
    "loses lines in a burst": (sends("^(0.*6\n)0.*: \\d*7\n", r"\1"), "owed '.*7', came "),
    "loses lines of the honest": (sends("^Alice: .*5\n", ""), "Alice's lines|missed"),
    "says it twice": (sends("^(Bob: [0-9]*7\n)", r"\1\1"), "Bob's lines|read twice"),
    "loses lines to attackers": (sends("^Bob: .*5\n", "", since=2), "an attacker missed"),
    "says it twice to attackers": (sends("^(Bob: .*5\n)", r"\1\1", since=2), "or read twice"),
    "lets none in": (sends("^OK\n", ""), "no answer to Alice's JOIN"),
    "tells in two orders": (TellsInTwoOrders, "where the other read"),
    "forges": (Forges, "Alice"),
    "splits at carriage returns": (sends("\ufffdAlice: ", "\nAlice: "), "Alice"),
    "decodes what it received": (DecodesWhatItReceived, "owed ['\"].*\ufffd"),
    "echoes control characters": (sends("\ufffd\\[2", "\x1b[2"), "unsafe"),
    "echoes bytes": (sends("\ufffd\ufffd", "\udcff\udcfe"), "not UTF-8"),
    "has no limit": (HasNoLimit, "a line of [0-9]+ bytes|too long|Message from"),
    "never misses one that resets": (NeverMissesOneThatResets, "never saw .* leave"),
    "says farewell twice": (sends("^(.* left the chatroom\n)", r"\1\1"), "left, twice"),
    "takes a second guess": (TakesASecondGuess, "after 'ERROR .*' came"),
    "lets twins in": (LetsTwinsIn, "twice among the users|answer was 'OK'"),
    "ends the honest": (EndsTheHonest, "closed Alice"),
    "answers in its own way": (sends("No such user: ", "Who is "), "Who is"),
    "tells an old list": (TellsAnOldList, "the members are|among the users|they are"),
    "tells the list too late": (TellsTheListLate, "before the list"),
    "echoes nothing": (EchoesNothing, "missing|owed"),
    "marks no notice": (sends("^\\* ", "", since=2), "owed"),
    "falls silent": (FallsSilent, "lost, or late"),
}


def attack(server: Server, seed: int, sessions: int) -> Fuzzer:
    """A run of so many sessions, which raises what it finds."""
    schedule = Schedule(seed, SECRET, SOURCES)
    run = Fuzzer(server, SECRET)
    try:
        run.run(schedule.steps(lambda count: count >= sessions), schedule.sessions)
    finally:
        run.close()
    return run


def options(port: int, *others: str) -> list[str]:
    return ["--port", str(port), "--passcode", PASSCODE, "--seed", str(SEED), *others]


def test_server_of_ours_is_left_in_peace(capsys: pytest.CaptureFixture[str]) -> None:
    sessions = "150" if IS_LONG else "50"
    with Room("-verbose") as room:
        room.server.stdout.pause()
        room.server.stderr.pause()
        assert main(options(room.port, "--sessions", sessions)) == 0
        assert f"nothing found with --seed 1: {sessions} sessions, " in capsys.readouterr().out
        room.server.process.kill()
        room.server.has_ended = True


def test_plain_server_is_left_in_peace() -> None:
    sessions = 1000 if IS_LONG else 60
    assert attack(Server(), 2, sessions).witness.lines > sessions


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_found(kind: str) -> None:
    server, finding = BROKEN[kind]
    with pytest.raises(FindingError, match=finding):
        attack(server(), SEED, 2000)


def test_closed_port_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(1)) == 1
    assert "cannot connect" in capsys.readouterr().err


def test_finding_is_told_written_down_and_found_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(1, "--sessions", "400"), Forges) == 1
    told = capsys.readouterr().err
    assert "FOUND with --seed 1: " in told
    path = Path(told.split("the last that was sent: ")[1].strip())
    assert path.read_text().splitlines()[-1][:200] in told
    assert main(options(1, "--replay", str(path)), Forges) == 1
    assert "FOUND" in capsys.readouterr().err
    assert main(options(1, "--replay", str(path)), Server) == 0
    path.unlink()


def test_peer_tells_lines_and_that_one_was_cut() -> None:
    told: list[object] = []
    peer = Peer(told.append, told.append)
    peer.received(b"a\nb\ncd")
    peer.ended(None)
    assert [*map(str, told)] == ["b'a'", "b'b'", "cut in b'cd'"]


# What is sent.


def steps_of(seed: int) -> list[Step]:
    return list(Schedule(seed, SECRET, SOURCES).steps(lambda count: count >= 30))


def test_same_seed_sends_the_same() -> None:
    assert steps_of(5) == steps_of(5) != steps_of(6)


def test_wrong_passcodes_never_come_from_where_the_honest_are() -> None:
    schedule = Schedule(9, SECRET, SOURCES)
    sessions = [schedule.attacker(who) for who in range(2, 2000 if IS_LONG else 400)]
    reason = f"ERROR {protocol.INCORRECT_PASSCODE}"
    sources = [session.steps[0].data for session in sessions if session.answer == reason]
    assert sources == [SOURCES[0]] * GUESSES_PER_SOURCE
    assert "OK" in {session.answer for session in sessions[-50:]}


def test_reply_about_a_name_that_others_take_too_is_not_sure() -> None:
    for reader, is_sure in ((b"zed", False), (b"No_One", True)):
        talk = Step(2, steps.SEND, b"JOIN 00002 %s\n:Msg %s hi\n" % (SECRET, reader))
        assert session_of([talk, Step(2, steps.FIN)], SECRET).is_sure == is_sure


def test_step_is_read_as_it_was_written() -> None:
    written = [
        *[Step(7, steps.OPEN), Step(7, steps.OPEN, b"127.0.0.9"), Step(8, steps.SEND, b"y")],
        *[Step(7, steps.SEND, b"a b\n\xff"), Step(0, steps.SEND, b"x" * 300_000)],
    ]
    lines = [format_step(1.5, step) for step in written]
    assert list(parse_steps(["# a comment", "", *lines])) == written
    assert max(map(len, lines)) < 200
