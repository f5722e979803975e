"""A Listener accepts a few a turn, hears them at once, and rests when descriptors run out."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import pytest

from reactor import READ, Listener, listen, raise_descriptor_limit
from reactor.listener import (
    ACCEPTS_PER_TURN,
    REOPEN_SECONDS,
    REOPENINGS,
    REST_SECONDS,
    SEND_BUFFER_BYTES,
)
from tests.reactor.conftest import Loop, Recorder, fail, nothing
from tests.support.faults import fault

NO_DESCRIPTOR = [errno.EMFILE, errno.ENFILE]
NO_MEMORY = [errno.ENOBUFS, errno.ENOMEM]
NO_DEVICE = "/nonexistent/null"


class FailingSocket(socket.socket):
    """A listening socket whose next calls of `accept` fail, each with one of `failures`: a number
    is one of errno."""

    failures: deque[Exception | int]

    def accept(self) -> tuple[socket.socket, object]:
        if not self.failures:
            return super().accept()
        failure = self.failures.popleft()
        raise OSError(failure, os.strerror(failure)) if isinstance(failure, int) else failure


class House:
    """A Listener on `sock`, the guests that have come in, and the peers that a test sends there.

    `accept` fails with `failures` first. Where `room` is a number, room is made so often; where
    there are `last_words`, they are noted with whom they were for. Where it `reopens`, `told` holds
    why, and the last errno when it has given up.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        *failures: Exception | int,
        room: int = 0,
        has_last_words: bool = False,
        reopens: bool = False,
        is_shut: bool = False,
    ) -> None:
        self.loop = loop
        self.is_shut = is_shut
        self.told: list[str | int | None] = []
        self.opened = 0
        self.guests: list[Recorder] = []
        self.addressees: list[object] = []
        self.peers: list[socket.socket] = []
        self.room = room
        self.asked = 0
        self.deeds: dict[str, Callable[[Any], object]] = {}
        self.address = sock.getsockname()
        self._take(sock)
        self.fail(*failures)
        last_words = self._last_words if has_last_words else None
        self.listener = Listener(
            *(loop.reactor, self.sock, self._make_protocol, self._make_room, last_words),
            may_accept=(lambda: not self.is_shut) if is_shut else None,
            open_anew=self._open_anew if reopens else None,
            on_broken=(lambda error: self.told.append(error.strerror)) if reopens else None,
            on_given_up=(lambda error: self.told.append(error.errno)) if reopens else None,
        )

    def fail(self, *failures: Exception | int) -> None:
        """Let the next calls of `accept` fail so."""
        self.sock.failures = deque(failures)

    def visit(self) -> socket.socket:
        """Connect a peer."""
        peer = socket.socket(self.sock.family)
        peer.connect(self.address)
        peer.setblocking(False)
        self.peers.append(peer)
        return peer

    def turn(self) -> None:
        """One turn, once there is something to do in it."""
        self.loop.turn_until(lambda: self.loop.selector.real.select(0))
        self.loop.turn()

    def is_told_off(self, peer: socket.socket) -> bool:
        heard = self.loop.receive_to_end(peer)
        return heard == b"no room\n" and self.addressees[-1] == peer.getsockname()

    @property
    def is_open(self) -> bool:
        """Whether newcomers are watched for."""
        return self.sock.fileno() > 0 and self.loop.interest_in(self.sock.fileno()) == READ

    def tear_down(self) -> None:
        self.listener.close()
        for guest in self.guests:
            if hasattr(guest, "connection"):
                guest.connection.abort()
        for sock in (*self.peers, self.sock):
            sock.close()

    def _take(self, sock: socket.socket) -> None:
        self.sock = FailingSocket(sock.family, sock.type, sock.proto, sock.detach())
        self.sock.setblocking(False)

    def _open_anew(self) -> socket.socket:
        self.opened += 1
        self.deeds.get("open", nothing)(self)
        failures = self.sock.failures
        self._take(listen(*self.address))
        self.sock.failures = failures
        return self.sock

    def _make_protocol(self, address: object) -> Recorder:
        guest = Recorder(**self.deeds)
        self.guests.append(guest)
        self.deeds.get("factory", nothing)(guest)
        return guest

    def _make_room(self) -> bool:
        self.asked += 1
        return self.asked <= self.room

    def _last_words(self, address: object) -> bytes:
        self.addressees.append(address)
        self.deeds.get("last words", nothing)(address)
        return b"no room\n"


Open: TypeAlias = Callable[..., House]


@pytest.fixture
def open_house(loop: Loop, request: pytest.FixtureRequest) -> Open:
    """Opens a House on TCP, or on `sock`."""

    def open_house(
        *failures: Exception | int, sock: socket.socket | None = None, **options: Any
    ) -> House:
        house = House(loop, sock or listen("127.0.0.1", 0), *failures, **options)
        request.addfinalizer(house.tear_down)
        return house

    return open_house


@pytest.fixture
def house(open_house: Open) -> House:
    return open_house()


@pytest.fixture
def unix_house(open_house: Open, tmp_path: Path) -> House:
    """On AF_UNIX what was done to a socket has arrived when the call returns."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(os.path.relpath(tmp_path / "door"))
    sock.listen(1024)
    return open_house(sock=sock)


def fail_with(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


# Accepting.


@fault(20)
def test_so_many_are_accepted_in_one_turn(unix_house: House) -> None:
    for _ in range(ACCEPTS_PER_TURN + 2):
        unix_house.visit()
    unix_house.loop.turn()
    assert len(unix_house.guests) == ACCEPTS_PER_TURN
    unix_house.loop.turn()
    assert len(unix_house.guests) == ACCEPTS_PER_TURN + 2
    assert unix_house.loop.is_idle()
    # None of them blocks.
    connection = unix_house.guests[0].connection
    while connection.send([bytes(1 << 16)]):
        pass
    assert not connection.is_closing


@fault(22)
def test_what_has_come_with_peer_is_read_in_same_turn(unix_house: House) -> None:
    unix_house.visit().send(b"hello")
    unix_house.visit()
    unix_house.visit().close()
    unix_house.loop.turn()
    spoken, silent, gone = unix_house.guests
    assert spoken.calls == ["made", "data"]
    assert spoken.received == b"hello"
    assert silent.calls == ["made"]
    assert not silent.connection.is_closing
    assert gone.calls == ["made", "eof"]
    gone.connection.close()
    unix_house.loop.turn_until(lambda: gone.lost)
    assert unix_house.loop.is_idle()


# Out of resources.


@fault(24)
@pytest.mark.parametrize("number", [*NO_DESCRIPTOR, *NO_MEMORY])
def test_listener_without_resources_rests(loop: Loop, open_house: Open, number: int) -> None:
    house = open_house(number, number)
    peer = house.visit()
    for _ in range(2):
        loop.turn_until(lambda: not house.is_open)
        loop.reactor.run_once()  # sleeps: the peer that cannot be accepted is not ready
        assert loop.selector.waits[-1] == pytest.approx(REST_SECONDS)
        assert house.guests == []
        assert house.is_open
    loop.turn_until(lambda: house.guests)
    house.guests[0].connection.write(b"come in")
    assert loop.receive(peer, 7) == b"come in"
    assert loop.is_idle()


@fault(25)
@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM])
def test_peer_gone_before_accept_costs_next_no_turn(open_house: Open, number: int) -> None:
    house = open_house(number, number, room=9)
    house.visit()
    house.turn()
    assert len(house.guests) == 1
    assert house.asked == 0
    assert house.is_open


@pytest.mark.parametrize("failure", [ValueError("a bug"), errno.EIO], ids=str)
def test_bug_or_unknown_error_makes_listener_rest(
    loop: Loop, open_house: Open, failure: Exception | int
) -> None:
    house = open_house(failure, reopens=True)
    for count in (1, 2):
        house.visit()
        loop.turn_until(lambda: not house.is_open)
        assert failure == errno.EIO or loop.takes_one_bug()
        loop.pass_seconds(2 * REST_SECONDS)
        loop.turn_until(lambda count=count: len(house.guests) == count)  # type: ignore[misc]
        house.fail(failure)
    assert house.told == []


def test_newcomers_wait_while_they_may_not_be_accepted(loop: Loop, open_house: Open) -> None:
    house = open_house(is_shut=True)
    house.visit()
    loop.turn_until(lambda: not house.is_open)
    loop.pass_seconds(3 * REST_SECONDS)
    assert house.guests == []
    house.is_shut = False
    loop.pass_seconds(2 * REST_SECONDS)
    assert len(house.guests) == 1
    assert loop.is_idle()


def test_listener_goes_on_with_another_socket(loop: Loop, open_house: Open, tmp_path: Path) -> None:
    house = open_house()
    other = listen("127.0.0.1", 0)
    house.listener.replace(other)
    with socket.create_connection(other.getsockname()):
        loop.turn_until(lambda: len(house.guests) == 1)
    assert house.sock.fileno() < 0


# Errors that stay.


@fault(80)
def test_socket_that_was_shut_down_is_replaced_and_guests_stay(
    loop: Loop, open_house: Open
) -> None:
    house = open_house(room=9, reopens=True)
    for count in range(1, REOPENINGS + 2):
        house.visit()
        loop.turn_until(lambda count=count: len(house.guests) == count)  # type: ignore[misc]
        house.sock.shutdown(socket.SHUT_RDWR)  # as another process may that has it, too
        loop.turn_until(lambda count=count: house.opened == count)  # type: ignore[misc]
        assert house.told == ["Invalid argument"] * count
    assert loop.is_idle()
    assert house.asked == 0
    assert not any(guest.lost for guest in house.guests)


@fault(80)
@pytest.mark.parametrize("number", sorted({*errno.errorcode} - {errno.EAGAIN, errno.EINTR}))
def test_error_of_accept_that_stays_is_not_rested_on(
    loop: Loop, open_house: Open, number: int
) -> None:
    """But for a lack of descriptors or memory, which others may end at any time."""
    house = open_house(*[number] * 20_000, reopens=True)
    for _ in range(2 * REOPENINGS):
        if house.is_open:
            house.visit()
        loop.pass_seconds(REOPEN_SECONDS)
    is_scarce = number in {*NO_DESCRIPTOR, *NO_MEMORY, errno.ENOSR}
    told = [os.strerror(number)] * REOPENINGS
    assert house.told == ([] if is_scarce else [*told, number])
    assert house.opened == (0 if is_scarce else REOPENINGS)
    assert (house.sock.fileno() > 0) == is_scarce
    assert house.guests == []


@fault(80)
def test_port_that_cannot_be_had_again_is_tried_for_a_while(loop: Loop, open_house: Open) -> None:
    house = open_house(errno.EINVAL, reopens=True)
    house.deeds["open"] = lambda house: house.opened == 3 or fail_with(errno.EADDRINUSE)
    house.visit()
    loop.turn_until(lambda: house.opened == 1)
    loop.pass_seconds(2 * REOPEN_SECONDS)
    assert (house.opened, house.is_open, house.told) == (3, True, ["Invalid argument"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EBADF])
def test_listener_that_cannot_be_watched_tries_again_or_reports(
    loop: Loop, open_house: Open, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = open_house(errno.ENOMEM)
    house.visit()
    loop.turn_until(lambda: not house.is_open)
    with monkeypatch.context() as patch:
        patch.setattr(loop.selector, "register", lambda *_: fail_with(number), raising=False)
        loop.pass_seconds(3 * REST_SECONDS)
    loop.pass_seconds(REST_SECONDS)
    assert house.is_open == (number == errno.ENOSPC)
    errors = [error.errno for error in loop.take_errors() if isinstance(error, OSError)]
    assert errors == ([] if house.is_open else [number])


# Protocols with bugs.


@pytest.mark.parametrize(
    "deeds",
    [None, [], ["write"], ["pause_reading", "resume_reading"], ["close"], ["abort"]],
    ids=str,
)
def test_bug_while_connection_is_made_costs_that_peer(
    loop: Loop, house: House, deeds: list[str] | None
) -> None:
    """Not the next one either, which is likely to get the same descriptor number."""

    def fail_at_first(guest: Recorder) -> None:
        if len(house.guests) == 1:
            for deed in deeds or []:
                getattr(guest.connection, deed)(*[b"never seen"] * (deed == "write"))
            fail()

    house.deeds["made" if deeds is not None else "factory"] = fail_at_first
    unlucky, lucky = house.visit(), house.visit()
    loop.turn_until(lambda: len(house.guests) == 2)
    lucky.send(b"hello")
    loop.turn_until(lambda: house.guests[1].received)
    assert house.guests[1].calls == ["made", "data"]
    with contextlib.suppress(ConnectionResetError):
        assert loop.receive_to_end(unlucky) == b""
    loop.turn(3)
    assert loop.interest_in(house.guests[1].connection.descriptor) == READ
    assert loop.takes_one_bug()


def test_bug_in_first_reading_costs_that_connection(unix_house: House) -> None:
    unix_house.deeds["data"] = fail
    unix_house.visit().send(b"hello")
    unix_house.visit()
    unix_house.loop.turn()
    assert [guest.calls for guest in unix_house.guests] == [["made", "data", "lost"], ["made"]]
    assert unix_house.loop.takes_one_bug()
    assert unix_house.is_open


# Ending.


def test_closed_listener_turns_away_and_keeps_guests(loop: Loop, house: House) -> None:
    peer = house.visit()
    loop.turn_until(lambda: house.guests)
    late = house.visit()
    house.listener.close()
    house.listener.close()
    assert len(loop.selector.get_map()) == 1
    with pytest.raises(ConnectionError):
        loop.receive(late, 1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(house.address)
    peer.send(b"hello")
    [guest] = house.guests
    loop.turn_until(lambda: guest.received)
    assert guest.lost == []
    assert loop.is_idle()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EINVAL])
def test_closing_while_it_rests_is_final(loop: Loop, open_house: Open, number: int) -> None:
    house = open_house(number, reopens=True)
    house.deeds["open"] = lambda house: fail_with(errno.EADDRINUSE)
    house.visit()
    loop.turn_until(lambda: not house.is_open)
    house.listener.close()
    loop.pass_seconds(2 * REOPEN_SECONDS)
    assert loop.is_idle()
    assert house.guests == []
    assert house.opened <= 1


def test_listener_may_be_closed_from_within(loop: Loop, house: House) -> None:
    house.deeds["made"] = lambda guest: house.listener.close()
    for _ in range(3):
        house.visit()
    loop.turn_until(lambda: house.guests)
    assert len(house.guests) == 1
    assert loop.is_idle()


# The listening socket.


@fault(66)
def test_sockets_have_their_options() -> None:
    """Those that are accepted, too; SO_REUSEADDR is for the server that starts again."""
    with listen("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()):
        assert not sock.getblocking()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        sock.setblocking(True)
        accepted, _ = sock.accept()
        with accepted:
            size = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert SEND_BUFFER_BYTES <= size <= 2 * SEND_BUFFER_BYTES  # Linux doubles it
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_port_in_use_is_an_error_that_says_so() -> None:
    with listen("127.0.0.1", 0) as sock:
        before = open_descriptors()
        with pytest.raises(OSError, match="in use") as raised:
            listen(*sock.getsockname())
        assert raised.value.errno == errno.EADDRINUSE
        assert open_descriptors() == before  # nothing was left open


def test_descriptor_limit_is_raised_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(what: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limits = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(soft, 256)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(resource, "setrlimit", refuse)
            assert raise_descriptor_limit() == soft
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


# Room for a newcomer.


def test_making_room_for_ever_takes_one_turn(loop: Loop, open_house: Open) -> None:
    failures = [errno.EMFILE] * (ACCEPTS_PER_TURN + 1)
    house = open_house(*failures, room=1_000_000)
    house.visit()
    house.turn()
    assert house.asked == ACCEPTS_PER_TURN
    assert house.guests == []
    assert house.is_open
    loop.turn()
    assert len(house.guests) == 1


@pytest.mark.parametrize("number", [*NO_MEMORY, errno.ENFILE])
def test_without_memory_or_reserve_none_is_turned_away(
    loop: Loop, open_house: Open, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if number not in NO_MEMORY:
        monkeypatch.setattr(os, "devnull", NO_DEVICE)
    house = open_house(number, has_last_words=True)
    peer = house.visit()
    house.turn()
    assert not house.is_open
    assert house.addressees == []
    loop.pass_seconds(REST_SECONDS)
    loop.turn_until(lambda: house.guests)
    with pytest.raises(BlockingIOError):
        peer.recv(1)


def test_reserve_is_kept_when_none_waits_after_all(loop: Loop, open_house: Open) -> None:
    house = open_house(errno.EMFILE, errno.EMFILE, has_last_words=True)
    before = open_descriptors()
    house.listener.handle_events(READ)
    assert house.addressees == []
    assert open_descriptors() == before
    loop.pass_seconds(REST_SECONDS)
    house.fail(errno.EMFILE)
    assert house.is_told_off(house.visit())


@pytest.mark.parametrize("has_last_words", [True, False])
def test_reserve_is_kept_for_last_words_alone(open_house: Open, has_last_words: bool) -> None:
    before = open_descriptors()
    house = open_house(errno.EMFILE, has_last_words=has_last_words)
    assert open_descriptors() == before + 1 + has_last_words
    house.visit()
    house.turn()
    assert house.is_open == has_last_words
    house.tear_down()
    house.tear_down()
    assert open_descriptors() == before


def test_lost_reserve_is_not_closed_twice_and_kept_later(
    loop: Loop, open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = open_house(errno.ENFILE, has_last_words=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "devnull", NO_DEVICE)
        assert house.is_told_off(house.visit())
        loop.turn(2)
    others = [os.dup(0) for _ in range(4)]  # one of them has the number of the reserve
    for _ in range(2):
        house.fail(errno.ENFILE)
        house.visit()
        loop.turn_until(lambda: not house.sock.failures)
        loop.pass_seconds(2 * REST_SECONDS)
    assert len(house.addressees) > 1
    house.listener.close()
    for descriptor in others:
        os.close(descriptor)  # which fails where the listener has closed it


def test_bug_in_last_words_loses_no_descriptor(loop: Loop, open_house: Open) -> None:
    house = open_house(errno.EMFILE, has_last_words=True)
    house.deeds["last words"] = fail
    before = open_descriptors()
    peer = house.visit()
    house.turn()
    assert loop.takes_one_bug()
    assert loop.receive_to_end(peer) == b""
    assert open_descriptors() == before + 1
