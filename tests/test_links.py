"""The sockets under the room: hosts that vanish, links that are bad or down, high descriptors.

Packets are lost by the kernel (tests/support/packets.py), or on a wire between two of its network
namespaces (tests/support/wire.py). The room's clock is virtual, the kernel's timers are not.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable, Iterator, Mapping

import pytest

from reactor import listen, listener
from terminal.dial import connect
from tests.support.faults import fault
from tests.support.packets import lose_all, lose_none, lose_some, needs_filters
from tests.support.programs import CLOSED, Stage
from tests.support.wire import AWAY, HOME, Wire, needs_root
from tests.test_room import House, Person, numbered

MOST_SECONDS_UNNOTICED = 60


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


def house_end(person: Person) -> socket.socket:
    """A second handle on the room's socket of `person`, to be closed by the caller."""
    return socket.socket(fileno=os.dup(person.spy.connection.descriptor))


# Hosts that vanish without a word.


@pytest.fixture
def impatient_house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A House whose kernel asks and waits for one second where it would be for 25, 10 and 50."""
    monkeypatch.setattr(listener, "KEEPALIVE_IDLE_SECONDS", 1)
    monkeypatch.setattr(listener, "KEEPALIVE_INTERVAL_SECONDS", 1)
    monkeypatch.setattr(listener, "UNANSWERED_SECONDS", 1)
    house = House()
    yield house
    house.close()


@fault(40)
@needs_filters
@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_vanished_member_has_left(impatient_house: House, is_busy: bool) -> None:
    """Two real seconds."""
    house = impatient_house
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    lose_all(bob.socket)
    if is_busy:
        ann.send(b"are you there?\n")
    ann.reads(b"Bob left the chatroom\n")
    assert house.roster.usernames == ["Ann"]
    house.join("Bob", ann)
    assert house.shown().count(b"left") == 1
    with pytest.raises(BlockingIOError):
        bob.socket.recv(1)  # it was not told


def seconds_unnoticed(sock: socket.socket) -> tuple[float, float]:
    """How long a vanished peer stays unnoticed: while nothing is said, and while something is."""
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, probes, unanswered = (
        sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"))
        for name in ("KEEPIDLE", "KEEPINTVL", "KEEPCNT", "USER_TIMEOUT")
    )
    return idle + interval * probes, unanswered / 1000


@fault(40, 56)
@pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="NOT TESTED: this system has no such options"
)
def test_vanished_host_is_noticed_within_a_minute(house: House) -> None:
    """The options as the kernel has them, for a member and for a client."""
    with house_end(house.join("Ann")) as sock:
        assert max(seconds_unnoticed(sock)) <= MOST_SECONDS_UNNOTICED
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        connect(*door.getsockname()) as sock,
    ):
        assert max(seconds_unnoticed(sock)) <= MOST_SECONDS_UNNOTICED


@fault(40, 56)
@needs_filters
def test_client_notices_that_its_server_has_vanished() -> None:
    """Two real seconds, with the kernel's timers set to one."""
    patch = "import reactor.listener as l; l.KEEPALIVE_IDLE_SECONDS = l.UNANSWERED_SECONDS = 1"
    patch += "; l.KEEPALIVE_INTERVAL_SECONDS = 1"
    with Stage() as stage, socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        alice = stage.start_client(port, patch=patch)
        sock, _ = door.accept()
        with sock:
            sock.send(b"OK\n")
            alice.shows(f"Connected to 127.0.0.1 on port {port}")
            lose_all(sock)
            alice.exits(1, CLOSED)


# Links that are bad, or down for a while.


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(seed=42)
    yield wire
    wire.close()


@pytest.fixture
def house_at_home(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A House with its door at the HOME end of the wire."""
    monkeypatch.setattr("tests.test_room.listen", lambda host, port: listen(HOME, port))
    with wire.at(HOME):
        house = House()
    yield house
    house.close()


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
@pytest.mark.parametrize("percent", [5, 20])
def test_lost_packets_cost_time_and_no_line(house: House, percent: int) -> None:
    members = {name: house.join(name.decode()) for name in (b"Ann", b"Bob", b"Cid")}
    for member in members.values():
        lose_some(member.socket, percent)
        with house_end(member) as sock:
            lose_some(sock, percent)
    all_talk(house, members, numbered(200, 50))


@fault(42)
@needs_root
def test_bad_wire_costs_time_and_no_line(house_at_home: House, wire: Wire) -> None:
    """Of 100 packets 5 are lost, 3 doubled, 10 swapped and 2 damaged; two talk at the far end of
    the wire and one at the near end."""
    with wire.at(HOME):
        members = {b"Ann": house_at_home.join("Ann")}
    with wire.at(AWAY):
        members |= {b"Bob": house_at_home.join("Bob"), b"Cid": house_at_home.join("Cid")}
    wire.is_bad = True
    all_talk(house_at_home, members, numbered(400, 200))
    assert min(wire.faults.values()) > 0, "it was a bad wire"


def retransmissions(sock: socket.socket) -> int:
    """How often in a row the kernel has sent the same again in vain (tcp_info.tcpi_retransmits)."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[2]


def talk_over(house: House, ann: Person, bob: Person, mend: Callable[[], None]) -> None:
    """Bob's link is down: what both say meanwhile is heard once it is mended, and no seat lost."""
    bob.socket.send(b"from Bob\n")
    ann.send(b"from Ann\n")
    with house_end(bob) as sock:
        house.busy(lambda: retransmissions(sock) >= 2)
    house.loop.pass_seconds(5)
    ann.reads_nothing()
    mend()
    ann.reads(b"Bob: from Bob\n")
    bob.reads(b"Ann: from Ann\n")
    bob.send(b"still here\n")
    ann.reads(b"Bob: still here\n")
    assert house.log == []
    assert house.roster.usernames == ["Ann", "Bob"]


@fault(43)
@needs_root
def test_unplugged_wire_costs_no_seat_and_no_line(house_at_home: House, wire: Wire) -> None:
    """Until the kernel has tried twice in vain, about a second."""
    with wire.at(HOME):
        ann = house_at_home.join("Ann")
    with wire.at(AWAY):
        bob = house_at_home.join("Bob", ann)
    wire.set_link("down")
    talk_over(house_at_home, ann, bob, lambda: wire.set_link("up"))


@fault(43)
@needs_filters
def test_link_that_was_down_costs_no_seat_and_no_line(house: House) -> None:
    """Until the kernel has tried twice in vain, about a second."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    with house_end(bob) as sock:

        def on_both_ends(do: Callable[[socket.socket], None]) -> None:
            do(sock)
            do(bob.socket)

        on_both_ends(lose_all)
        talk_over(house, ann, bob, lambda: on_both_ends(lose_none))


# Many descriptors.


@contextlib.contextmanager
def descriptors_beyond(number: int) -> Iterator[None]:
    """What is opened within has a higher number."""
    if listener.raise_descriptor_limit() < number + 100:
        pytest.skip(f"NOT TESTED: fewer than {number} descriptors are allowed here")
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < number:
        fillers.append(os.dup(fillers[0]))
    try:
        yield
    finally:
        for filler in fillers:
            os.close(filler)


@fault(67)
@pytest.mark.parametrize("kind", ["DefaultSelector", "PollSelector"])
def test_members_with_descriptors_beyond_1024_are_served(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 members with numbers above 1,100; `select` alone could not watch them."""
    monkeypatch.setattr(selectors, "DefaultSelector", getattr(selectors, kind))
    house = House()
    with descriptors_beyond(1_100):
        members = [house.join(f"m{number}") for number in range(20)]
        assert min(member.spy.connection.descriptor for member in members) > 1_100
        for number, member in enumerate(members):
            member.send(b"from %d\n" % number)
        house.busy(lambda: all(member.heard.count(b": from ") == 19 for member in members))
        assert house.shown().count(b": from ") == 20
        for member in members:
            member.resets()
        house.loop.turn_until(lambda: house.roster.usernames == [])
    house.close()
