"""Where the client connects to: addresses as they are, names looked up, and not for ever."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from terminal import dial
from terminal.dial import connect, resolve
from tests.support.faults import fault

Answer = Callable[[], list[str]]


class NameService:
    """What is asked of getaddrinfo(3) for names; addresses go to the real one."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._real = socket.getaddrinfo

    def getaddrinfo(
        self, host: str, port: None, family: int, kind: int, protocol: int, flags: int
    ) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            return self._real(host, port, family, kind, protocol, flags)
        self.asked.append(host)
        return [(None, None, None, "", (address, 0)) for address in self._answer()]


def fail(error: Exception) -> Answer:
    def answer() -> list[str]:
        raise error

    return answer


@fault(68)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "192.0.2.7"])
def test_an_address_is_never_looked_up(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = NameService(lambda: ["198.51.100.1"])
    monkeypatch.setattr(socket, "getaddrinfo", service.getaddrinfo)
    assert resolve(address) == [address]
    assert service.asked == []


def test_a_name_has_its_addresses_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    service = NameService(lambda: ["2001:db8::1", "192.0.2.7"])
    monkeypatch.setattr(socket, "getaddrinfo", service.getaddrinfo)
    assert resolve("room.example") == ["2001:db8::1", "192.0.2.7"]
    assert service.asked == ["room.example"]


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "not known"), UnicodeError("no name")]
)
def test_what_the_name_service_says_is_said(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = NameService(fail(error))
    monkeypatch.setattr(socket, "getaddrinfo", service.getaddrinfo)
    with pytest.raises(type(error)) as raised:
        resolve("room.example")
    assert raised.value is error


@fault(68)
def test_a_name_service_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing bounds getaddrinfo(3) itself."""
    may_answer = threading.Event()

    def answer() -> list[str]:
        may_answer.wait()
        return ["192.0.2.7"]

    monkeypatch.setattr(socket, "getaddrinfo", NameService(answer).getaddrinfo)
    monkeypatch.setattr(dial, "LOOKUP_SECONDS", 0.0)
    with pytest.raises(TimeoutError) as raised:
        resolve("room.example")
    may_answer.set()
    assert raised.value.errno == errno.ETIMEDOUT
    assert raised.value.strerror == "the name service does not answer"


def test_each_address_is_tried_until_one_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listening:
        port = listening.getsockname()[1]
        service = NameService(lambda: ["127.0.0.3", "127.0.0.2"])
        monkeypatch.setattr(socket, "getaddrinfo", _names_alone(service))
        with connect("room.example", port) as sock:
            assert sock.getpeername() == ("127.0.0.2", port)
            assert not sock.getblocking()


def test_the_first_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listening:
        port = listening.getsockname()[1]
    service = NameService(lambda: ["127.0.0.3", "127.0.0.2"])
    monkeypatch.setattr(socket, "getaddrinfo", _names_alone(service))
    with pytest.raises(ConnectionRefusedError):
        connect("room.example", port)
    service = NameService(list)
    monkeypatch.setattr(socket, "getaddrinfo", _names_alone(service))
    with pytest.raises(OSError, match="it has no address"):
        connect("room.example", port)


def _names_alone(service: NameService) -> Callable[..., list[Any]]:
    """`create_connection` asks, too, for the address that it is given."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int | None, *hints: int) -> list[Any]:
        if host != "room.example":
            return real(host, port, *hints)
        family, kind, protocol, flags = hints
        return service.getaddrinfo(host, None, family, kind, protocol, flags)

    return getaddrinfo
