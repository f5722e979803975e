"""The operator has a word with the room, and whatever connects there stalls no one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from chat import admin, bans
from chat.admin import COMMANDS, Admin, AdminDoor
from chat.bans import Bans
from chat.metrics import Metrics
from codec import MAX_LINE_BYTES
from reactor import Connection, SocketTransport
from tests.fuzz.admin import look_at_answer
from tests.support.faults import fault
from tests.support.house import House
from tests.support.protocol import error_line

BANNED = error_line("You are banned")


class Office:
    """A house whose operator may be asked, and connect."""

    def __init__(self, house: House) -> None:
        self.house = house
        house.room.bans = Bans(house.loop.reactor)
        self.metrics = Metrics(house.room, house.journal)
        house.bus.add_listener(self.metrics.apply)
        house.loop.reactor.on_turn = self.metrics.note_turn
        self.admin = Admin(
            *(house.dispatcher, house.roster, house.bus, house.room),
            *(self.metrics, house.room.bans),
        )
        self.door = AdminDoor(house.loop.reactor, self.admin)

    def says(self, line: str) -> str:
        """The answer."""
        answer = self.admin.obey(line.encode())
        look_at_answer(answer)
        return answer

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        Connection(self.house.loop.reactor, SocketTransport(ours), self.door.make_session(""))
        return theirs


@pytest.fixture
def office(house: House) -> Iterator[Office]:
    office = Office(house)
    yield office
    office.door.close()
    house.loop.turn(2)


# What is obeyed.


def test_members_are_listed_with_their_addresses(house: House, office: Office) -> None:
    ann, bob = house.join_all("Ann", "Bob")
    house.bus.submit(house.dispatcher.join("Zed"))  # of another server
    house.loop.turn(2)
    assert office.says("members") == (
        f"Ann {ann.address} 0\nBob {bob.address} 0\nZed elsewhere 0\n"
    )
    assert office.says("kick zed") == "error: Zed is on another server\n"
    orders: list[tuple[str, str]] = []
    house.bus.order = lambda *order: not orders.append(order)  # type: ignore[method-assign,func-returns-value]
    assert office.says("kick zed for a reason") == "ok\n"
    assert orders == [("kick", "Zed for a reason")]


def test_all_read_what_is_said_and_who_was_kicked_and_why(house: House, office: Office) -> None:
    ann, bob = house.join_all("Ann", "Bob")
    assert office.says("say  Exam \x1b at  5 ") == "ok\n"
    assert office.says("kick BOB talks too much") == "ok\n"
    news = "* Exam \ufffd at  5\n* Bob was kicked: talks too much\n".encode()
    bob.reads_to_end(news)
    ann.reads(news + b"Bob left the chatroom\n")
    assert house.shown().endswith(news + b"Bob left the chatroom\n")
    assert house.join("bob", ann)
    assert house.journal.counts["gone", "kicked"] == 1


def test_banned_names_and_addresses_stay_out_for_their_time(house: House, office: Office) -> None:
    _, bob = house.join_all("Ann", "Bob")
    assert office.says("ban bOB 2") == "ok\n"
    bob.reads_to_end(b"* Bob was banned\n")
    house.ask(b"JOIN Bob abc12\n").reads_to_end(BANNED)
    house.ask(b"JOIN Bob wrong\n").reads_to_end(error_line("Incorrect passcode"))
    house.loop.pass_seconds(60)
    assert office.says("bans") == "bob 1.0\n"
    house.loop.pass_seconds(60)
    assert office.says("bans") == ""
    house.join("Bob")
    assert office.says("ban 127.0.0.1") == "ok\n"
    assert office.says("members") == ""
    house.ask(b"JOIN Cid wrong\n").reads_to_end(BANNED)
    cid = house.ask(b"JOIN Cid abc12\n", source="127.0.0.2")
    cid.reads(b"OK\n")
    assert office.says("bans") == "127.0.0.1 until the server ends\n"
    assert office.says("unban 127.0.0.1") == "ok\n"
    house.join("Dan", cid)


@pytest.mark.parametrize(
    ("banned", "source", "holds"),
    [
        ("2001:DB8::1", "2001:db8::ffff", True),
        ("[2001:db8::1]", "2001:db8:0:1::1", False),
        ("2001:db8::/64", "2001:db8::2", True),
        ("1.2.3.4", "1.2.3.4", True),
        ("unix", "unix", False),
    ],
)
def test_ban_holds_the_network_of_an_address(
    house: House, banned: str, source: str, holds: bool
) -> None:
    bans = Bans(house.loop.reactor)
    bans.add(banned, 1)
    assert bans.holds("", source) == holds
    assert bans.remove(banned)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("", ""),
        (" \t", ""),
        ("HELP me", "error: usage: help\n"),
        ("foo", "error: unknown command: foo; help lists all\n"),
        ("kick", "error: usage: kick NAME [WHY]\n"),
        ("kick Zed", "error: no such user: Zed\n"),
        ("ban Zo%", "error: neither a username nor an address: Zo%\n"),
        ("ban ::g", "error: neither a username nor an address: ::g\n"),
        ("ban Ann 0", "error: not a number of minutes from 1 to 527040: 0\n"),
        ("ban Ann \u00b2", "error: not a number of minutes from 1 to 527040: \u00b2\n"),
        ("unban Ann", "error: not banned: Ann\n"),
        ("say Usage: x", "error: it would be taken for a reply\n"),
        (
            "say " + "x" * (MAX_LINE_BYTES - 1),
            "error: message too long (limit 4094 bytes); not sent\n",
        ),
    ],
)
def test_line_that_nothing_comes_of_is_told_why(office: Office, line: str, answer: str) -> None:
    assert office.says(line) == answer


def test_so_many_are_banned_at_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans, "MAX_BANS", 1)
    assert office.says("ban Ann") == office.says("ban ann 5") == "ok\n"
    assert office.says("ban Bob") == "error: too many bans: 1 at most\n"


def test_help_has_a_line_for_each_command(office: Office) -> None:
    assert [line.split()[0] for line in office.says("help").splitlines()] == [
        row.word for row in COMMANDS
    ]


def test_status_counts_what_happened(house: House, office: Office) -> None:
    ann, bob = house.join_all("Ann", "Bob")
    ann.send(b"one\ntwo\n:Msg Bob x\n")
    bob.ends()
    house.ask(b"JOIN Cid wrong\n")
    house.connect()
    house.loop.turn(2)
    samples = dict(
        line.removeprefix("chatroom_").rsplit(" ", 1)
        for line in office.says("status").splitlines()
        if not line.startswith("#")
    )
    assert samples['lines_total{kind="said"}'] == "2"
    assert samples['lines_total{kind="private"}'] == samples['lines_total{kind="left"}'] == "1"
    assert samples["said_bytes_total"] == str(len(b"Ann: one\nAnn: two\n"))
    assert samples["members"] == "1"
    assert samples["guests"] == "2"
    assert samples['refusals_total{kind="incorrect passcode"}'] == "1"
    assert samples["turn_seconds_count"] == samples['turn_seconds_bucket{le="+Inf"}'] != "0"
    assert samples["backlog_bytes"] == samples["backlog_max_bytes"] == "0"


# Who connects.


@fault(88)
def test_lines_are_answered_in_order_to_the_end(house: House, office: Office) -> None:
    peer = office.connect()
    peer.send(b"foo\r\n\n" + b"x" * 5000 + b"\nba")
    house.loop.turn(6)
    peer.send(b"ns\nmembers")
    quiet = office.connect()
    for end in (peer, quiet):
        end.shutdown(socket.SHUT_WR)
    with closing(peer), closing(quiet):
        assert house.loop.receive_to_end(quiet) == b""
        assert house.loop.receive_to_end(peer) == (
            b"error: unknown command: foo; help lists all\n"
            b"error: message too long (limit 4096 bytes); not sent\n"
            b"error: the last line has no end; not obeyed\n"
        )


@fault(88)
def test_one_that_does_not_read_is_not_obeyed(
    house: House, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "MAX_UNSENT_ANSWER_BYTES", 10)
    obeyed: list[bytes] = []

    def obey(line: bytes) -> str:
        obeyed.append(line)
        return "x" * 50_000

    monkeypatch.setattr(office.admin, "obey", obey)
    with closing(office.connect()) as peer:
        peer.send(b"help\n" * 9)
        house.loop.turn(30)
        assert 1 <= len(obeyed) < 9
        assert house.loop.is_idle()
        assert len(house.loop.receive(peer, 9 * 50_000)) == 9 * 50_000
        assert len(obeyed) == 9


@fault(88)
def test_newcomer_takes_the_place_of_the_oldest(
    house: House, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "MAX_ADMIN_CONNECTIONS", 2)
    peers = [office.connect() for _ in range(3)]
    with pytest.raises(ConnectionError):
        house.loop.receive_to_end(peers[0]) or peers[0].send(b"x")
    assert office.door.drop_oldest()
    peers[2].send(b"foo\n")
    assert house.loop.receive(peers[2], 5) == b"error"
    office.door.close()
    house.loop.turn(2)
    assert not office.door.drop_oldest()
    for peer in peers:
        peer.close()
