"""The black-box fuzzer: it leaves our server in peace, and finds what is wrong with others."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.wire import fuzzer
from tests.fuzz.wire.fuzzer import Fuzzer, Schedule, Target
from tests.fuzz.wire.sessions import Attackers, session_of, sessions_in
from tests.fuzz.wire.steps import (
    KEPT_CHARACTERS,
    OPEN,
    SEND,
    Record,
    Step,
    format_step,
    parse_steps,
)
from tests.fuzz.wire.witness import FindingError
from tests.support.programs import PASSCODE, ROOT, Room
from tests.support.protocol import (
    DOCUMENTED_LIMITS,
    INCORRECT_PASSCODE,
    NAME_IN_USE,
    USAGE,
    Limits,
    Line,
    Peer,
    PlainServer,
    Said,
    left,
)

SESSIONS = 150
LOOPBACK_SOURCES = [b"127.0.0.%d" % last for last in range(2, 6)]


class Server(PlainServer):
    """A server that keeps to the protocol, in a thread; the broken ones are made of it.

    `port` is where it listens. It ends with the test."""

    limits = DOCUMENTED_LIMITS

    def __init__(self) -> None:
        super().__init__(self.limits, PASSCODE.encode())
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._alarm, self._their_alarm = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[int, socket.socket] = {}
        self._keys = itertools.count()
        self._thread = threading.Thread(target=self._run)
        self.port: int = self._listener.getsockname()[1]
        self._thread.start()

    def stop(self) -> None:
        self._alarm.close()
        self._thread.join()

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

    # What works.

    def _run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._their_alarm, selectors.EVENT_READ)
        with contextlib.suppress(UnicodeDecodeError):  # one of them dies of it
            while self._turn():
                pass
        for sock in (self._listener, self._their_alarm, *self._sockets.values()):
            sock.close()
        self._selector.close()

    def _turn(self) -> bool:
        for selected, events in self._selector.select():
            sock = selected.fileobj
            if sock is self._their_alarm:
                return False
            if sock is self._listener:
                self._accept()
            elif selected.data in self._sockets and events & selectors.EVENT_READ:
                self._read(selected.data)
        for key in list(self._sockets):
            self._write(key)
        return True

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        key = next(self._keys)
        self._sockets[key] = sock
        self.receive(key, b"")
        self._selector.register(sock, selectors.EVENT_READ, key)

    def _read(self, key: int) -> None:
        try:
            data = self._sockets[key].recv(1 << 16)
        except OSError:
            data = b""
        if data:
            self.take(key, data)
            return
        self.lose(key)
        self._write(key)
        self._selector.unregister(self._sockets[key])
        self._sockets.pop(key).close()
        del self.peers[key]

    def _write(self, key: int) -> None:
        peer, sock = self.peers[key], self._sockets[key]
        data = self.give(key, bytes(peer.screen))
        try:
            sent = sock.send(data) if data else 0
            peer.screen[:] = data[sent:]
            if peer.is_closed and not peer.screen:
                sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            peer.screen[:] = data
        except OSError:
            peer.screen.clear()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.screen else 0)
        self._selector.modify(sock, events, key)


class LosesLinesInABurst(Server):
    def take(self, key: int, data: bytes) -> None:
        if data.count(b"\n") > 20:
            data = data.replace(b"\n17\n", b"\n")
        super().take(key, data)


class LosesTheHonest(Server):
    def give(self, key: int, data: bytes) -> bytes:
        return re.sub(rb"^Alice: .*5\n", b"", data, flags=re.MULTILINE)


class SaysItTwice(Server):
    def give(self, key: int, data: bytes) -> bytes:
        return re.sub(rb"^(Bob: [0-9]*7\n)", rb"\1\1", data, flags=re.MULTILINE)


class TurnsLinesRound(Server):
    def give(self, key: int, data: bytes) -> bytes:
        return re.sub(rb"^(Bob: .*\n)(.*\n)", rb"\2\1", data, flags=re.MULTILINE)


class Forges(Server):
    def _show(self, peer: Peer, said: Said) -> None:
        forged = re.sub("^[^:]*: (?=Alice: )", "", said.to_room)
        super()._show(peer, said._replace(to_room=forged))


class SplitsAtCarriageReturns(Server):
    def give(self, key: int, data: bytes) -> bytes:
        return data.replace("\ufffdAlice: ".encode(), b"\nAlice: ")


class DiesOfBadText(Server):
    def take(self, key: int, data: bytes) -> None:
        data.decode()
        super().take(key, data)


class DecodesWhatItReceived(Server):
    def take(self, key: int, data: bytes) -> None:
        super().take(key, data.decode("utf-8", "replace").encode())


class EchoesControlCharacters(Server):
    def give(self, key: int, data: bytes) -> bytes:
        return data.replace("\ufffd[2".encode(), b"\x1b[2")


class EchoesBytes(Server):
    def give(self, key: int, data: bytes) -> bytes:
        return data.replace("\ufffd\ufffd".encode(), b"\xff\xfe")


class HasNoLimit(Server):
    limits = Limits(line_bytes=1 << 30)


class NeverMissesWhoResets(Server):
    def lose(self, key: int) -> None:
        if not self.peers[key].username.startswith("0") or self.peers[key].is_closed:
            super().lose(key)


class SaysFarewellTwice(Server):
    def _show(self, peer: Peer, said: Said) -> None:
        super()._show(peer, said)
        if said.leaves:
            super()._show(peer, left(peer.username)._replace(leaves=False))


class TakesASecondGuess(Server):
    def _answer(self, peer: Peer, line: Line) -> None:
        super()._answer(peer, line)
        peer.is_closed = False


class LetsTwinsIn(Server):
    def _fault_of_join(self, username: str, passcode: bytes) -> str:
        fault = super()._fault_of_join(username, passcode)
        is_twin = fault.startswith(NAME_IN_USE) and username not in self.members
        return "" if is_twin else fault


class EndsTheHonest(Server):
    def take(self, key: int, data: bytes) -> None:
        if b"GET / HTTP" in data:
            for peer in list(self.members.values())[:1]:
                peer.is_closed = True
        super().take(key, data)


class AnswersInItsOwnWay(Server):
    def give(self, key: int, data: bytes) -> bytes:
        return data.replace(b"No such user: ", b"Who is ")


class TellsAnOldList(Server):
    def give(self, key: int, data: bytes) -> bytes:
        return re.sub(rb"^(Active Users: .*,.*,.*),.*", rb"\1", data, flags=re.MULTILINE)


class FallsSilent(Server):
    is_silent = False

    def give(self, key: int, data: bytes) -> bytes:
        self.is_silent = self.is_silent or b"Bob: " in data
        return b"" if self.is_silent and self.peers[key].username in ("Alice", "Bob") else data


# A server, and what is said of it; where more than one thing is wrong with it, any of them may be
# seen first.
BROKEN: dict[type[Server], str] = {
    LosesLinesInABurst: "owed '.*: 17', came '.*: 18'",
    LosesTheHonest: "Alice's lines|missed",
    SaysItTwice: "Bob's lines|read twice|nothing was owed",
    TurnsLinesRound: "Bob's lines|missed|where the other read|own",
    Forges: "Alice",
    SplitsAtCarriageReturns: "Alice",
    DiesOfBadText: "closed|cut off|connect|no answer",
    DecodesWhatItReceived: "owed '.*\ufffd",
    EchoesControlCharacters: "unsafe",
    EchoesBytes: "not UTF-8",
    HasNoLimit: "a line of [0-9]+ bytes|too long|Message from",
    NeverMissesWhoResets: "never saw .* leave",
    SaysFarewellTwice: "left, twice",
    TakesASecondGuess: "after 'ERROR .*' came",
    LetsTwinsIn: "twice among the users|answer was 'OK'",
    EndsTheHonest: "closed",
    AnswersInItsOwnWay: "Who is",
    TellsAnOldList: "where the members are|not among the users",
    FallsSilent: "lost, or late",
}


@contextlib.contextmanager
def running(kind: type[Server]) -> Iterator[int]:
    server = kind()
    try:
        yield server.port
    finally:
        server.stop()


def attack(port: int, seed: int, sessions: int = SESSIONS) -> Fuzzer:
    """A run of so many sessions, which raises what it finds."""
    attackers = Attackers(seed, PASSCODE.encode(), LOOPBACK_SOURCES)
    schedule = Schedule(seed, attackers)
    run = Fuzzer(Target("127.0.0.1", port, PASSCODE.encode()))
    try:
        run.run(schedule.steps(lambda count: count >= sessions), schedule.sessions)
    finally:
        run.close()
    return run


def run_command(port: int, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.wire", "--port", str(port), *flags]
    return subprocess.run(
        [*command, "--passcode", PASSCODE], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_our_server_is_left_in_peace() -> None:
    with Room("-verbose") as room:
        room.server.stdout.pause()
        room.server.stderr.pause()
        run = attack(room.port, seed=1)
        assert run.sessions == SESSIONS
        room.server.process.kill()
        room.server.has_ended = True


def test_a_plain_server_is_left_in_peace() -> None:
    with running(Server) as port:
        assert attack(port, seed=2).witness.lines > SESSIONS


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, kind: type[Server]) -> None:
    monkeypatch.setattr(fuzzer, "PATIENCE_SECONDS", 2.0)
    with running(kind) as port, pytest.raises(FindingError, match=BROKEN[kind]):
        attack(port, seed=1, sessions=2 * SESSIONS)


def test_a_closed_port_is_found() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(FindingError, match="cannot connect"):
            attack(sock.getsockname()[1], seed=1)


def test_a_finding_is_told_written_down_and_found_again(tmp_path: Path) -> None:
    with running(Forges) as port:
        done = run_command(port, "--seed", "7", "--sessions", "400")
        assert done.returncode == 1
        assert "FOUND with --seed 7: " in done.stderr
        path = Path(done.stderr.split("all that was sent: ")[1].strip())
        again = run_command(port, "--replay", str(path))
        assert again.returncode == 1
        assert "FOUND" in again.stderr
    with running(Server) as port:
        assert run_command(port, "--replay", str(path)).returncode == 0
    os.unlink(path)


def test_nothing_found_is_status_0() -> None:
    with running(Server) as port:
        done = run_command(port, "--seed", "3", "--sessions", "20")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("nothing found with --seed 3: 20 sessions, ")


# What it sends.


def steps_of(seed: int, sessions: int) -> list[Step]:
    attackers = Attackers(seed, PASSCODE.encode(), LOOPBACK_SOURCES)
    return list(Schedule(seed, attackers).steps(lambda count: count >= sessions))


def test_the_same_seed_sends_the_same() -> None:
    assert steps_of(5, 100) == steps_of(5, 100)
    assert steps_of(5, 100) != steps_of(6, 100)


def test_wrong_passcodes_never_come_from_where_the_honest_are() -> None:
    steps = steps_of(9, 1200)
    guesses = [
        who
        for who, session in sessions_in(steps, PASSCODE.encode()).items()
        if session.answer == f"ERROR {INCORRECT_PASSCODE}"
    ]
    sources = [step.data for step in steps if step.verb == OPEN and step.who in guesses]
    assert len(sources) > 10
    assert b"" not in sources
    assert max(map(sources.count, sources)) <= Attackers.GUESSES_PER_SOURCE


def test_who_has_no_source_left_guesses_no_more() -> None:
    attackers = Attackers(9, PASSCODE.encode(), [])
    answers = {attackers.make(who).answer for who in range(2, 600)}
    assert f"ERROR {INCORRECT_PASSCODE}" not in answers
    assert "OK" in answers


def test_a_step_is_read_as_it_was_written() -> None:
    steps = [
        *[Step(7, OPEN), Step(7, OPEN, b"127.0.0.9"), Step(7, SEND, b"a b\n\xff")],
        *[Step(0, SEND, b"x" * 300_000), Step(8, SEND, b"y"), Step(9, "reset")],
    ]
    lines = [format_step(1.5, step) for step in steps]
    assert list(parse_steps(["# a comment", "", *lines])) == steps
    assert max(map(len, lines)) < 200


def test_a_record_has_a_bound() -> None:
    record = Record()
    for number in range(3000):
        record.add(number / 100, Step(2, SEND, b"%d" % number * 100))
    assert 0 < sum(map(len, record.lines())) <= KEPT_CHARACTERS
    record.add(1000.0, Step(2, SEND, b"last"))
    assert len(record.lines()) == 1


def test_what_a_session_is_owed() -> None:
    stream = b"JOIN Zoe abc12\nhi :)\n:Msg bob psst\n:Msg\nhal"
    session = session_of([Step(2, OPEN), Step(2, SEND, stream), Step(2, "fin")], b"abc12")
    assert session.is_sure
    assert not session.is_ended
    assert (session.username, session.answer) == ("Zoe", "OK")
    assert session.replies == [USAGE]
    said = "Zoe: hi [feeling happy]"
    assert session.heard == ([said], [said, "[Message from Zoe]: psst"])
