"""A client that leaves waits for its screen, and says what that has not shown. The screen is the
test's, the clock is virtual, the socket is real."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest

from reactor import SocketTransport
from terminal.session import GOODBYE_SECONDS, QUIET_SECONDS, Client
from tests.reactor.conftest import Loop, nothing, tcp_pair
from tests.reactor.conftest import loop as loop
from tests.support.faults import fault

LINES = [b"%d %s\n" % (number, b"x" * 900) for number in range(250)]
NOT_KNOWN = "warning: lines not shown; how many is not known"
NO_END = "warning: lines may be missing: the server did not end"


class Pager:
    """A Screen that shows a page when the test says so, of a client whose server is the test."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.lines: list[str] = []
        self.complaints: list[str] = []
        near, self.server = tcp_pair()
        transport = SocketTransport(near)
        self.client = Client(loop.reactor, cast(Any, self), transport, b"JOIN", "localhost", 1)
        self.says([b"OK\n"])
        self.turn_page(1)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return nothing  # pause_typing, say

    owed_bytes = property(lambda self: sum(map(len, self.lines)))
    owed_lines = property(lambda self: len(self.lines))

    def show(self, text: str) -> None:
        self.lines.append(text)

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def turn_page(self, lines: int) -> None:
        self.taken_at = self.loop.reactor.now
        del self.lines[:lines]
        if not self.lines:
            self.client.screen_flushed()

    def says(self, lines: list[bytes]) -> None:
        for line in lines:
            self.server.sendall(line)
            self.loop.turn()
        self.loop.turn_until(lambda: len(self.lines) == len(lines))

    def ends(self) -> tuple[int, float, list[str]]:
        """The exit status, how long it took, what was complained of."""
        with self.server:
            return self.client.run(), self.loop.clock.now - 1000, self.complaints


@fault(77)
@pytest.mark.parametrize("pages", [3, 2], ids=["to the end", "and stops"])
def test_pager_that_is_read_every_nine_seconds(loop: Loop, pages: int) -> None:
    pager = Pager(loop)
    pager.client.typed(b":Exit\n")
    pager.says(LINES)
    pager.server.shutdown(socket.SHUT_WR)
    for page in range(pages):
        loop.reactor.call_later(9 * page + 9, lambda: pager.turn_page(90))
    told = ["warning: 70 lines not shown"] * (pages < 3)
    assert pager.ends() == (0, 9 * pages + QUIET_SECONDS * (pages < 3), told)


@fault(55, 77)
@pytest.mark.parametrize(("lines", "told"), [(LINES, NOT_KNOWN), ([], NO_END)])
@pytest.mark.parametrize("is_asked", [False, True], ids=[":Exit", "signal"])
def test_server_that_does_not_end_leaves_the_number_unknown(
    loop: Loop, lines: list[bytes], told: str, is_asked: bool
) -> None:
    pager = Pager(loop)
    if is_asked:
        os.kill(os.getpid(), signal.SIGINT)
    else:
        pager.client.typed(b":Exit\n")
    pager.says(lines)
    is_told = not is_asked or bool(lines)
    seconds = GOODBYE_SECONDS if is_asked else QUIET_SECONDS
    assert pager.ends() == (is_asked and 128 + signal.SIGINT, seconds, [told] * is_told)


@fault(55)
def test_disk_that_is_full_after_exit_is_an_error(loop: Loop) -> None:
    pager = Pager(loop)
    pager.client.typed(b":Exit\n")
    pager.server.shutdown(socket.SHUT_WR)
    pager.client.screen_failed(OSError(errno.ENOSPC, "No space left"))
    assert pager.ends() == (1, 0, ["error: cannot write to standard output: No space left"])
