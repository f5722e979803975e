"""A Listener accepts a few a turn, hears them at once, and rests when descriptors run out."""

from __future__ import annotations

import errno
import os
import random
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from reactor import READ, Connection, Listener, listen, raise_descriptor_limit
from reactor.listener import ACCEPTS_PER_TURN, REST_SECONDS, SEND_BUFFER_BYTES
from tests.reactor.conftest import Loop, Recorder
from tests.support.faults import fault


class FailingSocket(socket.socket):
    """A listening socket whose next calls of `accept` fail, each with one of `failures`."""

    failures: list[Exception]

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            raise self.failures.pop(0)
        return super().accept()


def failing(sock: socket.socket, *failures: Exception) -> FailingSocket:
    """`sock`, but failing so often before it works."""
    replaced = FailingSocket(sock.family, sock.type, sock.proto, sock.detach())
    replaced.setblocking(False)
    replaced.failures = list(failures)
    return replaced


class House:
    """A Listener, its address, whoever has come in, and the peers that a test sends there."""

    def __init__(self, loop: Loop, sock: socket.socket, make_guest: Callable[[], Recorder]) -> None:
        self.loop = loop
        self.guests: list[Recorder] = []
        self.peers: list[socket.socket] = []
        self.address = sock.getsockname()
        self._family = sock.family
        self._socket = sock
        self._make_guest = make_guest
        self.listener = Listener(loop.reactor, sock, self._make_protocol)

    def _make_protocol(self, address: object) -> Recorder:
        guest = self._make_guest()
        self.guests.append(guest)
        return guest

    def visit(self, count: int = 1) -> socket.socket:
        """Connect so many peers, and return the last of them."""
        for _ in range(count):
            peer = socket.socket(self._family)
            peer.connect(self.address)
            peer.setblocking(False)
            self.peers.append(peer)
        return peer

    @property
    def is_open(self) -> bool:
        """Whether newcomers are watched for."""
        return self.loop.interest_in(self._socket.fileno()) == READ

    def tear_down(self) -> None:
        self.listener.close()
        for guest in self.guests:
            if hasattr(guest, "connection"):
                guest.connection.abort()
        for peer in self.peers:
            peer.close()
        self._socket.close()


class OpenHouse(Protocol):
    """Opens a House on a listening socket, with guests of some kind."""

    def __call__(
        self, sock: socket.socket, make_guest: Callable[[], Recorder] = Recorder
    ) -> House: ...


@pytest.fixture
def open_house(loop: Loop) -> Iterator[OpenHouse]:
    houses: list[House] = []

    def open_on(sock: socket.socket, make_guest: Callable[[], Recorder] = Recorder) -> House:
        houses.append(House(loop, sock, make_guest))
        return houses[-1]

    yield open_on
    for house in houses:
        house.tear_down()


@pytest.fixture
def house(open_house: OpenHouse) -> House:
    return open_house(listen("127.0.0.1", 0))


@pytest.fixture
def unix_house(open_house: OpenHouse, tmp_path: Path) -> House:
    """On AF_UNIX what was done to a socket has arrived when the call returns."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(os.path.relpath(tmp_path / "door"))
    sock.listen(1024)
    sock.setblocking(False)
    return open_house(sock)


# Accepting.


def test_each_peer_gets_a_connection_with_a_protocol_of_its_own(house: House) -> None:
    peers = [house.visit(), house.visit()]
    house.loop.turn_until(lambda: len(house.guests) == 2)
    for number, (guest, peer) in enumerate(zip(house.guests, peers, strict=True)):
        guest.connection.write(b"you are %d" % number)
        assert house.loop.receive(peer, 9) == b"you are %d" % number
        peer.send(b"I am %d" % number)
    house.loop.turn_until(lambda: all(guest.received for guest in house.guests))
    assert [bytes(guest.received) for guest in house.guests] == [b"I am 0", b"I am 1"]


def test_the_factory_is_given_the_address_of_the_peer(loop: Loop) -> None:
    addresses: list[object] = []
    recorder = Recorder()

    def make_protocol(address: object) -> Recorder:
        addresses.append(address)
        return recorder

    sock = listen("127.0.0.1", 0)
    listener = Listener(loop.reactor, sock, make_protocol)
    with socket.create_connection(sock.getsockname()) as peer:
        loop.turn_until(lambda: addresses)
        assert addresses == [peer.getsockname()]
    recorder.connection.abort()
    listener.close()


@fault(20)
def test_no_more_than_so_many_are_accepted_in_one_turn(unix_house: House) -> None:
    unix_house.visit(ACCEPTS_PER_TURN + 2)
    unix_house.loop.turn()
    assert len(unix_house.guests) == ACCEPTS_PER_TURN
    unix_house.loop.turn()
    assert len(unix_house.guests) == ACCEPTS_PER_TURN + 2
    assert unix_house.loop.is_idle()


def test_what_has_come_with_a_connection_is_read_in_the_same_turn(unix_house: House) -> None:
    unix_house.visit().send(b"hello")
    unix_house.visit()
    unix_house.loop.turn()
    spoken, silent = unix_house.guests
    assert spoken.calls == ["made", "data"]
    assert spoken.received == b"hello"
    assert silent.calls == ["made"]
    assert not silent.connection.is_closing


@fault(22)
def test_a_peer_that_was_gone_before_it_was_accepted_is_lost_like_any_other(
    unix_house: House,
) -> None:
    unix_house.visit().close()
    unix_house.loop.turn()
    [guest] = unix_house.guests
    assert guest.calls == ["made", "eof"]
    guest.connection.close()
    unix_house.loop.turn_until(lambda: guest.lost)
    assert unix_house.loop.is_idle()


def test_accepted_sockets_do_not_block(unix_house: House) -> None:
    unix_house.visit()
    unix_house.loop.turn()
    [guest] = unix_house.guests
    while guest.connection.send([bytes(1 << 16)]):
        pass
    assert not guest.connection.is_closing


# Out of resources.


@fault(24)
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_resources_it_rests_without_spinning_and_then_tries_again(
    loop: Loop, open_house: OpenHouse, number: int
) -> None:
    failures = [OSError(number, "none left"), OSError(number, "none left yet")]
    house = open_house(failing(listen("127.0.0.1", 0), *failures))
    peer = house.visit()
    for _ in failures:
        loop.turn_until(lambda: not house.is_open)
        loop.reactor.run_once()  # sleeps: the peer that cannot be accepted is not ready
        assert loop.selector.waits[-1] == pytest.approx(REST_SECONDS)
        assert house.guests == []
        assert house.is_open
    loop.turn_until(lambda: house.guests)
    house.guests[0].connection.write(b"come in")
    assert loop.receive(peer, 7) == b"come in"
    assert loop.is_idle()


def test_a_process_out_of_descriptors_accepts_again_when_one_comes_free(house: House) -> None:
    loop = house.loop
    house.visit()
    fillers: list[int] = []

    def take_all_descriptors() -> None:
        while True:
            fillers.append(os.dup(house.peers[0].fileno()))

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            take_all_descriptors()
        loop.turn_until(lambda: not house.is_open)
        loop.pass_seconds(10 * REST_SECONDS)
        assert house.guests == []
        os.close(fillers.pop())
        loop.pass_seconds(2 * REST_SECONDS)
        assert len(house.guests) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)
    assert house.is_open
    assert loop.is_idle()


def test_while_it_rests_those_who_are_in_are_served(loop: Loop, open_house: OpenHouse) -> None:
    sock = failing(listen("127.0.0.1", 0))
    house = open_house(sock)
    first = house.visit()
    loop.turn_until(lambda: house.guests)
    sock.failures = [OSError(errno.EMFILE, "none left")]
    house.visit()
    loop.turn_until(lambda: not house.is_open)
    first.send(b"hello")
    loop.turn_until(lambda: house.guests[0].received)
    assert len(house.guests) == 1


@fault(25)
@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM])
def test_a_peer_that_was_gone_before_costs_the_next_one_no_turn(
    loop: Loop, open_house: OpenHouse, number: int
) -> None:
    failures = [OSError(number, "gone"), OSError(number, "gone too")]
    house = open_house(failing(listen("127.0.0.1", 0), *failures))
    house.visit()
    loop.turn_until(lambda: loop.selector.real.select(0))
    loop.turn()
    assert len(house.guests) == 1
    assert house.is_open


def test_a_bug_of_its_own_makes_it_rest_too(loop: Loop, open_house: OpenHouse) -> None:
    house = open_house(failing(listen("127.0.0.1", 0), ValueError("a bug")))
    house.visit()
    loop.turn_until(lambda: not house.is_open)
    assert [repr(error) for error in loop.take_errors()] == ["ValueError('a bug')"]
    loop.pass_seconds(2 * REST_SECONDS)
    loop.turn_until(lambda: house.guests)


# Protocols with bugs.


class Surprise(Exception):  # noqa: N818
    """What nobody expects."""


def test_a_factory_that_raises_costs_that_peer_only(loop: Loop, open_house: OpenHouse) -> None:
    calls: list[str] = []

    def fail_at_first() -> Recorder:
        calls.append("called")
        if len(calls) == 1:
            raise Surprise
        return Recorder()

    house = open_house(listen("127.0.0.1", 0), fail_at_first)
    unlucky, lucky = house.visit(), house.visit()
    loop.turn_until(lambda: house.guests)
    assert loop.receive_to_end(unlucky) == b""
    house.guests[0].connection.write(b"hello")
    assert loop.receive(lucky, 5) == b"hello"
    assert [type(error) for error in loop.take_errors()] == [Surprise]
    assert loop.is_idle()


def received_to_end_or_reset(loop: Loop, peer: socket.socket) -> bytes:
    """What `peer` gets from one who may end either way, if it gets nothing before a reset."""
    try:
        return loop.receive_to_end(peer)
    except ConnectionResetError:
        return b""


def fail_silently(connection: Connection) -> None:
    raise Surprise


def fail_after_writing(connection: Connection) -> None:
    connection.write(b"never seen")
    raise Surprise


def fail_after_pausing_and_going_on(connection: Connection) -> None:
    connection.pause_reading()
    connection.resume_reading()
    raise Surprise


def fail_after_closing(connection: Connection) -> None:
    connection.close()
    raise Surprise


def fail_after_aborting(connection: Connection) -> None:
    connection.abort()
    raise Surprise


@pytest.mark.parametrize(
    "fail",
    [
        fail_silently,
        fail_after_writing,
        fail_after_pausing_and_going_on,
        fail_after_closing,
        fail_after_aborting,
    ],
)
def test_a_bug_while_a_connection_is_made_costs_that_peer_only(
    loop: Loop, open_house: OpenHouse, fail: Callable[[Connection], None]
) -> None:
    """Not the next one either, which is likely to get the same descriptor number."""

    class Buggy(Recorder):
        def connection_made(self, connection: Connection) -> None:
            super().connection_made(connection)
            if len(opened.guests) == 1:
                fail(connection)

    opened = open_house(listen("127.0.0.1", 0), Buggy)
    unlucky, lucky = opened.visit(), opened.visit()
    loop.turn_until(lambda: len(opened.guests) == 2)
    loop.turn(2)
    lucky.send(b"hello")
    loop.turn_until(lambda: opened.guests[1].received)
    assert opened.guests[1].calls == ["made", "data"]
    assert received_to_end_or_reset(loop, unlucky) == b""
    loop.turn(3)
    assert loop.interest_in(opened.guests[1].connection.descriptor) == READ
    assert [type(error) for error in loop.take_errors()] == [Surprise]


def test_a_bug_in_the_first_reading_costs_that_connection_only(
    unix_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(recorder: Recorder, data: bytes) -> None:
        recorder.calls.append("data")
        raise Surprise

    monkeypatch.setattr(Recorder, "data_received", fail)
    unix_house.visit().send(b"hello")
    unix_house.visit()
    unix_house.loop.turn()
    first, second = unix_house.guests
    assert first.calls == ["made", "data", "lost"]
    assert second.calls == ["made"]
    assert [type(error) for error in unix_house.loop.take_errors()] == [Surprise]
    assert unix_house.is_open


# Ending.


def test_after_close_nobody_is_let_in_and_whoever_waited_is_turned_away(house: House) -> None:
    peer = house.visit()
    house.listener.close()
    house.listener.close()
    assert not house.loop.selector.get_map()
    with pytest.raises(ConnectionError):
        house.loop.receive(peer, 1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(house.address)
    assert house.guests == []
    assert house.loop.is_idle()


def test_after_close_those_who_are_in_stay(house: House) -> None:
    peer = house.visit()
    house.loop.turn_until(lambda: house.guests)
    house.listener.close()
    peer.send(b"hello")
    house.loop.turn_until(lambda: house.guests[0].received)
    assert house.guests[0].lost == []


def test_closing_while_it_rests_is_final(loop: Loop, open_house: OpenHouse) -> None:
    house = open_house(failing(listen("127.0.0.1", 0), OSError(errno.EMFILE, "none left")))
    house.visit()
    loop.turn_until(lambda: not house.is_open)
    house.listener.close()
    loop.pass_seconds(2 * REST_SECONDS)
    assert loop.is_idle()
    assert house.guests == []


def test_it_may_be_closed_from_within_while_others_wait(loop: Loop, open_house: OpenHouse) -> None:
    class LastGuest(Recorder):
        def connection_made(self, connection: Connection) -> None:
            super().connection_made(connection)
            opened.listener.close()

    opened = open_house(listen("127.0.0.1", 0), LastGuest)
    opened.visit(3)
    loop.turn_until(lambda: opened.guests)
    assert len(opened.guests) == 1
    assert loop.is_idle()


# The listening socket.


def test_accepted_sockets_inherit_what_was_set_on_the_listening_one() -> None:
    with listen("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()):
        while True:
            try:
                accepted, _ = sock.accept()
                break
            except BlockingIOError:
                pass
        with accepted:
            size = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert SEND_BUFFER_BYTES <= size <= 2 * SEND_BUFFER_BYTES  # Linux doubles it
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_it_listens_on_the_host_and_port_it_was_told_and_on_ipv4_only() -> None:
    with listen("127.0.0.1", 0) as sock:
        host, port = sock.getsockname()
        assert host == "127.0.0.1"
        assert port > 0
        assert sock.family == socket.AF_INET
        assert not sock.getblocking()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port))


def test_a_port_in_use_is_an_error_that_says_so() -> None:
    with listen("127.0.0.1", 0) as sock:
        before = os.listdir("/dev/fd")
        with pytest.raises(OSError, match="in use") as raised:
            listen(*sock.getsockname())
        assert raised.value.errno == errno.EADDRINUSE
        assert os.listdir("/dev/fd") == before  # nothing was left open


def listen_on_a_low_port() -> socket.socket:
    """On a port that the kernel gives to nobody by itself."""
    for port in random.sample(range(20_000, 32_768), 100):
        try:
            return listen("127.0.0.1", port)
        except OSError:
            continue
    raise AssertionError("no port is free")


@fault(66)
def test_a_server_starts_again_while_connections_of_the_last_one_wait_for_their_end() -> None:
    with listen_on_a_low_port() as first:
        address = first.getsockname()
        first.setblocking(True)
        with socket.create_connection(address) as peer:
            accepted, _ = first.accept()
            accepted.close()  # who closes first is the one who waits (TIME_WAIT)
            assert peer.recv(1) == b""
    with listen(*address) as second:
        assert second.getsockname() == address


def test_the_descriptor_limit_is_raised_as_far_as_it_goes() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_descriptor_limit_that_may_not_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(what: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == soft


# Room for a newcomer.


class Inn:
    """A Listener that can make room, so often; and what it was asked."""

    def __init__(self, loop: Loop, room: int, *numbers: int, has_last_words: bool = True) -> None:
        self.loop = loop
        self.guests: list[Recorder] = []
        self.addressees: list[object] = []
        self.room = room
        self.asked = 0
        sock = listen("127.0.0.1", 0)
        self._address = sock.getsockname()
        self.sock = failing(sock, *[OSError(number, "none left") for number in numbers])
        self.listener = Listener(
            loop.reactor,
            self.sock,
            self._make_protocol,
            self._make_room,
            self._last_words if has_last_words else None,
        )

    def visit(self) -> socket.socket:
        peer = socket.create_connection(self._address)
        peer.setblocking(False)
        return peer

    def turn(self) -> None:
        """One turn, once there is something to do in it."""
        self.loop.turn_until(lambda: self.loop.selector.real.select(0))
        self.loop.turn()

    @property
    def is_open(self) -> bool:
        return self.loop.interest_in(self.sock.fileno()) == READ

    def close(self) -> None:
        self.listener.close()
        for guest in self.guests:
            guest.connection.abort()

    def _make_protocol(self, address: object) -> Recorder:
        self.guests.append(Recorder())
        return self.guests[-1]

    def _make_room(self) -> bool:
        self.asked += 1
        self.room -= 1
        return self.room >= 0

    def _last_words(self, address: object) -> bytes:
        self.addressees.append(address)
        return b"no room\n"


NO_DESCRIPTOR = [errno.EMFILE, errno.ENFILE]
NO_MEMORY = [errno.ENOBUFS, errno.ENOMEM]


@pytest.mark.parametrize("number", [*NO_DESCRIPTOR, *NO_MEMORY])
@pytest.mark.parametrize("has_last_words", [True, False])
def test_where_room_can_be_made_the_newcomer_comes_in_in_the_same_turn(
    loop: Loop, number: int, has_last_words: bool
) -> None:
    inn = Inn(loop, 2, number, number, has_last_words=has_last_words)
    with inn.visit():
        inn.turn()
        assert len(inn.guests) == 1
        assert inn.asked == 2
        assert inn.addressees == []
        assert inn.is_open
        inn.close()


def test_to_make_room_for_ever_takes_no_more_than_a_turn(loop: Loop) -> None:
    failures = [errno.EMFILE] * (ACCEPTS_PER_TURN + 1)
    inn = Inn(loop, 1_000_000, *failures)
    with inn.visit():
        inn.turn()
        assert inn.asked == ACCEPTS_PER_TURN
        assert inn.guests == []
        assert inn.is_open
        loop.turn()
        assert len(inn.guests) == 1
        inn.close()


@pytest.mark.parametrize("number", NO_DESCRIPTOR)
def test_where_no_room_can_be_made_the_newcomer_is_told_and_the_next_comes_in(
    loop: Loop, number: int
) -> None:
    inn = Inn(loop, 0, number)
    with inn.visit() as unlucky, inn.visit():
        unlucky.send(b"hello")
        loop.turn_until(lambda: inn.guests)
        assert loop.receive_to_end(unlucky) == b"no room\n"
        unlucky.send(b"that is a pity")  # which fails where a reset has come
        assert inn.addressees == [unlucky.getsockname()]
        assert inn.asked == 1
        assert inn.is_open
        inn.close()


def test_each_whom_there_is_no_room_for_is_told(loop: Loop) -> None:
    inn = Inn(loop, 0)
    for count in range(1, 4):
        inn.sock.failures = [OSError(errno.EMFILE, "none left")]
        with inn.visit() as peer:
            assert loop.receive_to_end(peer) == b"no room\n"
            assert inn.addressees[count - 1 :] == [peer.getsockname()]
    inn.close()


@pytest.mark.parametrize("number", NO_MEMORY)
def test_where_memory_is_missing_it_rests_and_turns_nobody_away(loop: Loop, number: int) -> None:
    inn = Inn(loop, 0, number)
    with inn.visit() as peer:
        inn.turn()
        assert not inn.is_open
        assert inn.addressees == []
        loop.pass_seconds(REST_SECONDS)
        loop.turn_until(lambda: inn.guests)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        inn.close()


def test_a_peer_that_was_gone_before_needs_no_room(loop: Loop) -> None:
    inn = Inn(loop, 9, errno.ECONNABORTED)
    with inn.visit():
        inn.turn()
        assert inn.asked == 0
        assert len(inn.guests) == 1
        inn.close()


def test_when_nobody_waits_after_all_nobody_is_told_and_the_reserve_is_kept(loop: Loop) -> None:
    inn = Inn(loop, 0, errno.EMFILE, errno.EMFILE)
    before = len(os.listdir("/dev/fd"))
    inn.listener.handle_events(READ)
    assert inn.addressees == []
    assert len(os.listdir("/dev/fd")) == before
    loop.pass_seconds(REST_SECONDS)
    assert inn.is_open
    inn.sock.failures = [OSError(errno.EMFILE, "none left")]
    with inn.visit() as peer:
        assert loop.receive_to_end(peer) == b"no room\n"
    inn.close()


def test_a_reserve_is_kept_by_those_alone_who_have_last_words(loop: Loop) -> None:
    before = len(os.listdir("/dev/fd"))
    inn = Inn(loop, 0)
    assert len(os.listdir("/dev/fd")) == before + 2
    inn.close()
    inn.close()
    assert len(os.listdir("/dev/fd")) == before
    inn = Inn(loop, 0, errno.EMFILE, has_last_words=False)
    assert len(os.listdir("/dev/fd")) == before + 1
    with inn.visit() as peer:
        inn.turn()
        assert not inn.is_open
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        inn.close()
    assert len(os.listdir("/dev/fd")) == before


def test_without_its_reserve_it_rests_and_turns_nobody_away(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "devnull", "/nonexistent/null")
    inn = Inn(loop, 0, errno.ENFILE)
    with inn.visit():
        inn.turn()
        assert not inn.is_open
        assert inn.addressees == []
        loop.pass_seconds(REST_SECONDS)
        loop.turn_until(lambda: inn.guests)
        inn.close()


def test_a_reserve_that_could_not_be_kept_is_not_closed_twice(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    inn = Inn(loop, 0, errno.ENFILE)
    with inn.visit() as unlucky:
        with monkeypatch.context() as patch:
            patch.setattr(os, "devnull", "/nonexistent/null")
            assert loop.receive_to_end(unlucky) == b"no room\n"
        others = [os.dup(0) for _ in range(4)]  # one of them has the number of the reserve
        inn.sock.failures = [OSError(errno.ENFILE, "none left")]
        with inn.visit():
            loop.turn_until(lambda: not inn.sock.failures)
        inn.close()
    for descriptor in others:
        os.close(descriptor)


def test_a_reserve_that_could_not_be_kept_is_kept_later(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    inn = Inn(loop, 0, errno.ENFILE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "devnull", "/nonexistent/null")
        with inn.visit() as peer:
            assert loop.receive_to_end(peer) == b"no room\n"
        loop.turn(2)
    for _ in range(2):
        inn.sock.failures = [OSError(errno.ENFILE, "none left")]
        with inn.visit():
            loop.turn_until(lambda: not inn.sock.failures)
            loop.pass_seconds(2 * REST_SECONDS)
    inn.close()
    assert len(inn.addressees) > 1


def test_a_bug_in_the_last_words_makes_it_rest_and_loses_no_descriptor(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    inn = Inn(loop, 0, errno.EMFILE)
    before = len(os.listdir("/dev/fd"))
    monkeypatch.setattr(inn.listener, "_last_words", lambda address: 1 // 0)
    with inn.visit() as peer:
        inn.turn()
        assert [type(error) for error in loop.take_errors()] == [ZeroDivisionError]
        assert not inn.is_open
        assert loop.receive_to_end(peer) == b""
    assert len(os.listdir("/dev/fd")) == before
    inn.close()
