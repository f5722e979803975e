"""A link that was lost is made again, after rests that grow. The clock is virtual."""

from __future__ import annotations

import socket

import pytest

from codec import Join
from reactor import SocketTransport
from terminal.link import PATIENT_LOSSES, REST_SECONDS, Link, LinkError, Server
from tests.reactor.conftest import Loop
from tests.reactor.conftest import loop as loop


class Owner:
    """Of a link: what it was told."""

    def __init__(self) -> None:
        self.rests: list[float] = []

    def link_up(self, has_echo: bool) -> None:
        assert has_echo

    def link_resumed(self) -> None:
        raise AssertionError

    def place_lost(self) -> None:
        raise AssertionError

    def lines_received(self, texts: list[str]) -> None:
        raise AssertionError(texts)

    def link_down(self, reason: str, rest_seconds: float) -> None:
        self.rests.append(rest_seconds)

    def link_over(self, error: LinkError | None) -> None:
        raise AssertionError(error)


def server_at(door: socket.socket) -> Server:
    host, port = door.getsockname()
    return Server("A server", host, port, [host], SocketTransport)


def let_in_and_close(
    loop: Loop, door: socket.socket, link: Link, owner: Owner, answer: bytes = b"OK\n"
) -> None:
    owner.rests.clear()
    loop.turn()
    peer, _ = door.accept()
    with peer:
        peer.send(answer)
        loop.turn_until(lambda: link.is_up)
    loop.turn_until(lambda: owner.rests)
    assert owner.rests == [1.0]


def test_rests_grow_to_half_a_minute_until_it_is_in(loop: Loop) -> None:
    owner = Owner()
    with socket.create_server(("127.0.0.1", 0)) as door:
        place = door.getsockname()
        link = Link(loop.reactor, [server_at(door)], Join("Alice", b"abc12", True), owner)
        let_in_and_close(loop, door, link, owner)
    loop.pass_seconds(sum(REST_SECONDS) + 30)
    assert owner.rests == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    with socket.create_server(place) as door:
        loop.pass_seconds(30)
        let_in_and_close(loop, door, link, owner)
    link.close()


def test_other_servers_wait_for_the_one_that_keeps_a_place(loop: Loop) -> None:
    owner = Owner()
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        with socket.create_server(("127.0.0.1", 0)) as door:
            both = [server_at(door), server_at(other)]
            link = Link(loop.reactor, both, Join("Alice", b"abc12", True), owner)
            let_in_and_close(loop, door, link, owner, b"OK %032x\n" % 1)
        loop.pass_seconds(sum(REST_SECONDS[: PATIENT_LOSSES - 1]))
        with pytest.raises(BlockingIOError):
            other.accept()
        loop.pass_seconds(REST_SECONDS[PATIENT_LOSSES - 1])
        other.accept()[0].close()
        assert owner.rests == [1.0, 2.0, 4.0]
    link.close()
