"""The server in the package's docstring is short, is complete, and does what is said of it."""

from __future__ import annotations

import contextlib
import socket
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import reactor
from reactor import Reactor, listen
from tests.reactor.conftest import MOST_TURNS


def example() -> str:
    """The source of the server, as the docstring shows it."""
    assert reactor.__doc__
    _, mark, source = reactor.__doc__.partition("    import socket\n")
    return textwrap.dedent(mark + source)


class Session:
    """The running example, and the people who talk to it."""

    def __init__(self) -> None:
        namespace: dict[str, Any] = {"__name__": "example"}
        exec(compile(example(), "example", "exec"), namespace)  # noqa: S102
        self._sock = listen("127.0.0.1", 0)
        self._address = self._sock.getsockname()
        self.reactor: Reactor = namespace["serve"](self._sock)
        self.people: list[socket.socket] = []

    def enter(self) -> socket.socket:
        """One more person, who has entered once the others have heard it say so."""
        person = socket.create_connection(self._address)
        person.setblocking(False)
        person.send(b"hi\n")
        for other in self.people:
            assert self.hear(other, 3) == b"hi\n"
        self.people.append(person)
        return person

    def hear(self, person: socket.socket, count: int) -> bytes:
        """What this one hears: `count` bytes, or less if the stream ends there."""
        heard = bytearray()

        def has_all() -> bool:
            with contextlib.suppress(BlockingIOError):
                while len(heard) < count:
                    data = person.recv(count - len(heard))
                    if not data:
                        return True
                    heard.extend(data)
            return len(heard) == count

        self.turn_until(has_all)
        return bytes(heard)

    def turn_until(self, condition: Callable[[], object]) -> None:
        for _ in range(MOST_TURNS):
            if condition():
                return
            self.reactor.run_once(0.001)
        pytest.fail("what was waited for did not come")

    def close(self) -> None:
        for person in self.people:
            person.close()
        self._sock.close()
        self.reactor.close()


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    for person in session.people:
        with contextlib.suppress(OSError):
            person.shutdown(socket.SHUT_WR)
        assert session.hear(person, 1) == b""
    session.close()


def test_example_is_complete_and_short() -> None:
    source = example()
    assert source.startswith("import socket\n")
    assert source.rstrip().endswith(".run()")
    assert len(source.rstrip().splitlines()) < 40


def test_people_hear_each_other_and_not_themselves(session: Session) -> None:
    alice = session.enter()
    bob = session.enter()
    alice.send(b"one\ntw")
    assert session.hear(bob, 4) == b"one\n"
    alice.send(b"o\n")
    bob.send(b"three\n")
    assert session.hear(bob, 4) == b"two\n"
    assert session.hear(alice, 6) == b"three\n"


def test_leaver_is_told_no_more_and_others_go_on(session: Session) -> None:
    alice, bob, carol = session.enter(), session.enter(), session.enter()
    alice.send(b"goodbye\n")
    alice.shutdown(socket.SHUT_WR)
    assert session.hear(bob, 8) == b"goodbye\n"
    assert session.hear(carol, 8) == b"goodbye\n"
    bob.send(b"she is gone\n")
    assert session.hear(carol, 12) == b"she is gone\n"
    assert session.hear(alice, 1) == b""
