"""One connection to Redis, whose other end is the test's, on a virtual clock."""

from __future__ import annotations

import errno
import select
import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest

from cluster.limits import LOST_SECONDS, SILENT_SECONDS
from cluster.redis import Link, RedisAddress
from tests.reactor.conftest import Loop


class Line:
    """A Link and its door. `told` is what it tells, `answers` what it is answered."""

    def __init__(self, resources: ExitStack) -> None:
        self.loop = Loop(selectors.DefaultSelector())
        self.told: list[object] = []
        self.answers: list[object] = []
        self._resources = resources
        self._door = resources.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._door.settimeout(20)
        address = RedisAddress(socket.AF_INET, self._door.getsockname(), "chat:room")
        tell = self.told.append
        self.link = Link(self.loop.reactor, address, lambda: tell("up"), tell, tell)
        resources.callback(self.loop.reactor.close)
        resources.callback(self.link.close)
        self.link.connect()

    def accept(self) -> socket.socket:
        """Redis' end of the next connection, on which it was asked whether it is there."""
        sock = self._resources.enter_context(self._door.accept()[0])
        sock.setblocking(False)
        assert self.loop.receive(sock, 14) == b"*1\r\n$4\r\nPING\r\n"
        return sock

    def is_dialled(self) -> bool:
        """Whether a connection can be accepted."""
        return bool(select.select([self._door], [], [], 0)[0])

    def answer(self, sock: socket.socket, data: bytes, noted: list[object]) -> None:
        """Answer, and let the link note it."""
        count = len(noted)
        sock.sendall(data)
        self.loop.turn_until(lambda: len(noted) > count)


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as resources:
        yield Line(resources)


@pytest.mark.parametrize("answer", [b"-LOADING its file\r\n", b"*1\r\n$4\r\nPING\r\n"])
def test_redis_that_does_not_serve_is_not_there(line: Line, answer: bytes) -> None:
    line.answer(line.accept(), answer, line.told)
    assert not line.link.is_up
    line.loop.pass_seconds(1)
    line.answer(line.accept(), b"+PONG\r\n", line.told)
    assert line.told[1:] == ["up"]


def test_words_of_a_command_are_bytes_numbers_or_text(line: Line) -> None:
    redis = line.accept()
    line.answer(redis, b"+PONG\r\n", line.told)
    line.link.call(line.answers.append, "SET", "\xe4", 3, b"\r\n", "")
    wanted = b"*5\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$1\r\n3\r\n$2\r\n\r\n\r\n$0\r\n\r\n"
    assert line.loop.receive(redis, len(wanted)) == wanted


def test_attempt_that_has_no_descriptor_is_followed_by_another(line: Line) -> None:
    line.accept().close()
    with patch("socket.socket", side_effect=OSError(errno.EMFILE, "no descriptor")):
        line.loop.turn_until(lambda: line.told)
        line.loop.pass_seconds(3)
    assert line.told.count("no descriptor") > 1
    line.loop.pass_seconds(1)
    line.answer(line.accept(), b"+PONG\r\n", line.told)
    assert line.told[-1] == "up"


def test_redis_that_hangs_up_at_once_is_dialled_ever_more_seldom(line: Line) -> None:
    count = 0
    for _ in range(40):  # two seconds
        if line.is_dialled():
            sock = line.accept()
            line.answer(sock, b"+PONG\r\n", line.told)
            sock.close()
            count += 1
        line.loop.pass_seconds(0.05)
    assert 3 <= count < 10


def test_late_answer_is_told_in_time_and_then_given_up(line: Line) -> None:
    """However long it is since others were asked for."""
    sock = line.accept()
    line.answer(sock, b"+PONG\r\n", line.told)
    line.link.call(line.answers.append, "FIRST")
    line.loop.pass_seconds(1)
    line.answer(sock, b"+first\r\n", line.answers)
    line.link.call(line.answers.append, "SECOND")
    line.loop.pass_seconds(SILENT_SECONDS - 0.1)
    assert line.told == ["up"]
    line.loop.pass_seconds(0.1)
    assert line.told == ["up", True]
    line.answer(sock, b"+second\r\n", line.answers)
    assert line.told == ["up", True, False]
    line.link.call(line.answers.append, "THIRD")
    line.loop.pass_seconds(LOST_SECONDS + SILENT_SECONDS)
    assert line.told[3:5] == [True, "no answer"]
    assert line.answers == [b"first", b"second"]
