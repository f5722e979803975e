"""Where the client connects to: addresses as they are, names looked up, and not for ever."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from terminal import dial
from terminal.dial import connect, resolve
from tests.support.faults import fault

NAME = "room.example"

Answers = Callable[[Callable[[], list[str]]], list[str]]


@pytest.fixture
def answer_names(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Let getaddrinfo(3) answer this for NAME, and as ever for addresses; what is returned is a
    list of what it was asked to look up."""
    real = socket.getaddrinfo

    def answer_names(answer: Callable[[], list[str]]) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int | None, *hints: int) -> list[Any]:
            if hints[-1] & socket.AI_NUMERICHOST:
                return real(host, port, *hints)
            asked.append(host)
            if host != NAME:
                return real(host, port, *hints)
            return [(None, None, None, "", (address, 0)) for address in answer()]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return answer_names


@fault(68)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "192.0.2.7"])
def test_address_is_never_looked_up(address: str, answer_names: Answers) -> None:
    asked = answer_names(list)
    assert resolve(address) == [address]
    assert asked == []


def test_name_has_its_addresses_in_their_order(answer_names: Answers) -> None:
    asked = answer_names(lambda: ["2001:db8::1", "192.0.2.7"])
    assert resolve(NAME) == ["2001:db8::1", "192.0.2.7"]
    assert asked == [NAME]


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "not known"), UnicodeError("no name")]
)
def test_what_the_name_service_says_is_told(error: Exception, answer_names: Answers) -> None:
    def answer() -> list[str]:
        raise error

    answer_names(answer)
    with pytest.raises(type(error)) as raised:
        resolve(NAME)
    assert raised.value is error


@fault(68)
def test_silent_name_service_is_not_waited_for(
    answer_names: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing bounds getaddrinfo(3) itself."""
    may_answer = threading.Event()

    def answer() -> list[str]:
        may_answer.wait()
        return ["192.0.2.7"]

    answer_names(answer)
    monkeypatch.setattr(dial, "LOOKUP_SECONDS", 0.0)
    with pytest.raises(TimeoutError) as raised:
        resolve(NAME)
    may_answer.set()
    assert raised.value.errno == errno.ETIMEDOUT
    assert raised.value.strerror == "the name service does not answer"


@fault(68)
def test_silent_name_service_can_be_interrupted(answer_names: Answers) -> None:
    """By SIGINT, which a client has left as it comes until it is connected."""
    may_answer = threading.Event()

    def answer() -> list[str]:
        os.kill(os.getpid(), signal.SIGINT)
        may_answer.wait()
        return []

    answer_names(answer)
    with pytest.raises(KeyboardInterrupt):
        resolve(NAME)
    may_answer.set()


def test_each_address_is_tried_until_one_takes_it(answer_names: Answers) -> None:
    answer_names(lambda: ["127.0.0.3", "127.0.0.2"])
    with socket.create_server(("127.0.0.2", 0)) as listening:
        port = listening.getsockname()[1]
        with connect(NAME, port) as sock:
            assert sock.getpeername() == ("127.0.0.2", port)
            assert not sock.getblocking()


def test_first_failure_is_told(answer_names: Answers) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listening:
        port = listening.getsockname()[1]
    answer_names(lambda: ["127.0.0.3", "127.0.0.2"])
    with pytest.raises(ConnectionRefusedError):
        connect(NAME, port)
    answer_names(list)
    with pytest.raises(OSError, match="it has no address"):
        connect(NAME, port)
