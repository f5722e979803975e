"""The sockets under the room: hosts that vanish, links that are bad or down.

Packets are lost by the kernel (tests/support/packets.py). The room's clock is virtual, the kernel's
timers are not.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import pytest

from reactor import listen, notice_vanished_peers
from terminal.dial import connect
from tests.support.faults import fault
from tests.support.house import House, Person, numbered, with_limits
from tests.support.packets import lose_all, lose_none, lose_some, needs_filters
from tests.support.programs import CLOSED, Stage


def house_end(person: Person) -> socket.socket:
    """A second handle on the room's socket of `person`, to be closed by the caller."""
    return socket.socket(fileno=os.dup(person.spy.connection.descriptor))


# Hosts that vanish without a word.


@fault(40, 56)
@needs_filters
@with_limits(
    {
        "reactor.listener.KEEPALIVE_IDLE_SECONDS": 1,
        "reactor.listener.KEEPALIVE_INTERVAL_SECONDS": 1,
        "reactor.listener.UNANSWERED_SECONDS": 1,
    }
)
def test_peers_that_vanish_have_left(house: House) -> None:
    """Two real seconds: the kernel asks and waits for one where it would be for 25, 10 and 50. Bob
    is sent nothing, and Cid something that does not arrive. The server of a client vanishes too."""
    patch = "import reactor.listener as l; l.KEEPALIVE_IDLE_SECONDS = l.UNANSWERED_SECONDS = 1"
    patch += "; l.KEEPALIVE_INTERVAL_SECONDS = 1"
    with Stage() as stage, socket.create_server(("127.0.0.1", 0)) as door:
        client = stage.start_client(door.getsockname()[1], patch=patch)
        server, _ = door.accept()
        server.send(b"OK\n")
        client.shows(f"Connected to 127.0.0.1 on port {door.getsockname()[1]}")
        ann, bob, cid = house.join_all("Ann", "Bob", "Cid")
        for sock in (bob.socket, cid.socket, server):
            lose_all(sock)
        ann.send(b":Msg Cid are you there?\n")
        house.busy(lambda: ann.heard.count(b" left the chatroom\n") == 2)
        assert house.roster.usernames == ["Ann"]
        house.join("Bob", ann)
        assert house.shown().count(b"left") == 2
        with pytest.raises(BlockingIOError):
            bob.socket.recv(1)  # it was not told
        client.exits(1, CLOSED)
        server.close()


def option(sock: socket.socket, name: str) -> int:
    level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
    return sock.getsockopt(level, getattr(socket, name))


def noticing() -> dict[str, int]:
    """What is asked of the kernel, of all that this system has: a peer is gone after 25 seconds
    without a word and three questions, or 50 without an acknowledgement."""
    options = {
        "SO_KEEPALIVE": 1,
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": 25,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 50_000,
    }
    return {name: value for name, value in options.items() if hasattr(socket, name)}


def options_of(sock: socket.socket) -> dict[str, int]:
    options = {name: option(sock, name) for name in noticing()}
    flags = ("SO_KEEPALIVE", "TCP_NODELAY")  # macOS answers with the flag's own bit
    return {name: bool(value) if name in flags else value for name, value in options.items()}


@fault(40, 56)
def test_vanished_host_is_noticed_within_a_minute(house: House) -> None:
    """The options as the kernel has them, for a member and for a client."""
    with house_end(house.join("Ann")) as sock:
        assert options_of(sock) == noticing()
    with listen("127.0.0.1", 0) as door, connect(*door.getsockname()) as sock:
        assert options_of(sock) == noticing()
        assert not sock.getblocking()


def test_option_that_this_system_does_not_have_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket(socket.AF_UNIX) as no_tcp:
        notice_vanished_peers(no_tcp)
        assert option(no_tcp, "SO_KEEPALIVE")
    wanted = noticing()
    monkeypatch.delattr(socket, "TCP_KEEPINTVL")
    with socket.socket() as sock:
        notice_vanished_peers(sock)
        del wanted["TCP_KEEPINTVL"]
        assert options_of(sock) == wanted


# Links that are bad, or down for a while.


def all_talk(house: House, members: Mapping[bytes, Person], lines: list[bytes]) -> None:
    """Each says these lines, and hears those of the others: all, whole, once and in order."""
    for number in range(0, len(lines), 20):
        for member in members.values():
            member.types(b"".join(lines[number : number + 20]))
        house.busy(lambda: not any(member.unsent for member in members.values()))
    count = (len(members) - 1) * len(lines)
    house.busy(lambda: all(member.heard.count(b"x\n") == count for member in members.values()))
    for name, member in members.items():
        heard = [line for line in member.heard.splitlines(True) if b": " in line]
        for other in members:
            said = [line for line in heard if line.startswith(other)]
            assert said == ([other + b": " + line for line in lines] if other != name else [])


@fault(42)
@needs_filters
def test_lost_packets_cost_time_and_no_line(house: House) -> None:
    """One of five, on their way to either end. That makes the other faults of a wire as well: what
    was lost comes behind what was sent after it, and comes twice if its acknowledgement was lost;
    what is damaged fails its checksum and is lost."""
    members = {name: house.join(name.decode()) for name in (b"Ann", b"Bob", b"Cid")}
    for member in members.values():
        lose_some(member.socket, 20)
        with house_end(member) as sock:
            lose_some(sock, 20)
    all_talk(house, members, numbered(200, 50))


def retransmissions(sock: socket.socket) -> int:
    """How often in a row the kernel has sent the same again in vain (tcp_info.tcpi_retransmits)."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[2]


@fault(43)
@needs_filters
def test_link_that_was_down_costs_no_seat_and_no_line(house: House) -> None:
    """Until the kernel has sent the same again in vain, about half a second."""
    ann, bob = house.join_all("Ann", "Bob")
    with house_end(bob) as sock:
        lose_all(sock)
        lose_all(bob.socket)
        bob.socket.send(b"from Bob\n")
        ann.send(b"from Ann\n")
        house.busy(lambda: retransmissions(sock) >= 1)
        house.loop.pass_seconds(5)
        ann.reads_nothing()
        lose_none(sock)
        lose_none(bob.socket)
    ann.reads(b"Bob: from Bob\n")
    bob.reads(b"Ann: from Ann\n")
    assert house.log == []
    assert house.roster.usernames == ["Ann", "Bob"]
