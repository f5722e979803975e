"""A client that leaves waits for its screen, and says what that was not shown. The screen is the
test's, the clock is virtual, the socket is real."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from reactor import Reactor
from terminal.screen import ScreenOwner
from terminal.session import QUIET_SECONDS, Client
from tests.reactor.conftest import Loop, new_loop, tcp_pair
from tests.support.faults import fault

LINES = [f"{number} {'x' * 900}" for number in range(250)]


class Pager:
    """Shows a page when the test says so."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.taken_at = reactor.now
        self.lines: list[str] = []
        self.complaints: list[str] = []

    @property
    def owed_bytes(self) -> int:
        return sum(map(len, self.lines))

    @property
    def owed_lines(self) -> int:
        return len(self.lines)

    def open(self, owner: ScreenOwner) -> None:
        self.owner = owner

    def show(self, text: str) -> None:
        self.lines.append(text)

    def turn_page(self, lines: int) -> None:
        self.taken_at = self.reactor.now
        del self.lines[:lines]
        if not self.lines:
            self.owner.screen_flushed()

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def close(self, deadline: float) -> None:
        pass

    def start_typing(self) -> None:
        pass

    pause_typing = resume_typing = discard_typing = start_typing


class Reading:
    """A client with a pager whose server has said LINES when `:Exit` was typed."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        near, self.server = tcp_pair()
        self.pager = Pager(loop.reactor)
        self.client = Client(loop.reactor, self.pager, near, b"JOIN", "localhost", 1)
        self.server.send(b"OK\n")
        loop.turn_until(lambda: self.pager.lines)
        self.pager.turn_page(1)
        self.began_at = loop.clock.now

    def says(self, *lines: str) -> None:
        for line in lines:
            self.server.sendall(f"{line}\n".encode())
            self.loop.turn()
        self.loop.turn_until(lambda: len(self.pager.lines) == len(lines))

    def ends(self) -> tuple[int, float, list[str]]:
        """Its exit status, how long it took, what it complained of."""
        status = self.client.run()
        self.server.close()
        return status, self.loop.clock.now - self.began_at, self.pager.complaints


@pytest.fixture
def reading() -> Iterator[Reading]:
    with new_loop() as loop:
        yield Reading(loop)


@fault(77)
@pytest.mark.parametrize("pages", [3, 2], ids=["to the end", "and stops"])
def test_pager_that_is_read_every_nine_seconds(reading: Reading, pages: int) -> None:
    reading.client.typed(b":Exit\n")
    reading.says(*LINES)
    reading.server.shutdown(socket.SHUT_WR)
    for page in range(pages):
        reading.loop.reactor.call_later(9 * page + 9, lambda: reading.pager.turn_page(90))
    told = ["warning: 70 lines not shown"] * (pages < 3)
    assert reading.ends() == (0, 9 * pages + QUIET_SECONDS * (pages < 3), told)


@fault(77)
@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (LINES, "lines not shown; how many is not known"),
        ([], "lines may be missing: the server did not end"),
    ],
)
def test_server_that_does_not_end_leaves_the_number_unknown(
    reading: Reading, lines: list[str], told: str
) -> None:
    reading.client.typed(b":Exit\n")
    reading.says(*lines)
    assert reading.ends() == (0, QUIET_SECONDS, [f"warning: {told}"])
