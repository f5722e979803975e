"""The server in the package's docstring is short, is complete, and does what is said of it."""

from __future__ import annotations

import contextlib
import socket
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

import reactor
from reactor import listen
from tests.reactor.conftest import MOST_TURNS


def example() -> str:
    """The source of the server, as the docstring shows it."""
    assert reactor.__doc__
    _, mark, source = reactor.__doc__.partition("    import socket\n")
    return textwrap.dedent(mark + source)


class Session:
    """The running example, and the people who talk to it."""

    def __init__(self, sock: socket.socket) -> None:
        namespace: dict[str, Any] = {"__name__": "example"}
        exec(compile(example(), "example", "exec"), namespace)  # noqa: S102
        self.reactor: reactor.Reactor = namespace["serve"](sock)
        self.people: list[socket.socket] = []
        self._address = sock.getsockname()

    def enter(self) -> socket.socket:
        """One more person, who has entered once the others have heard it say so."""
        person = socket.create_connection(self._address)
        person.setblocking(False)
        person.send(b"hi\n")
        assert all(self.hear(other, 3) == b"hi\n" for other in self.people)
        self.people.append(person)
        return person

    def hear(self, person: socket.socket, count: int) -> bytes:
        """What this one hears: `count` bytes, or less if the stream ends there."""
        heard = b""
        for _ in range(MOST_TURNS):
            with contextlib.suppress(BlockingIOError):
                while data := person.recv(count - len(heard)):
                    heard += data
                return heard
            self.reactor.run_once(0.001)
        raise AssertionError("what was waited for did not come")


@pytest.fixture
def session() -> Iterator[Session]:
    with listen("127.0.0.1", 0) as sock:
        session = Session(sock)
        yield session
        for person in session.people:
            with contextlib.suppress(OSError):
                person.shutdown(socket.SHUT_WR)
            session.hear(person, 1_000)
            person.close()
        session.reactor.close()


def test_example_is_complete_and_short() -> None:
    source = example()
    assert source.startswith("import socket\n")
    assert source.rstrip().endswith(".run()")
    assert len(source.rstrip().splitlines()) < 40


def test_people_hear_each_other_until_they_leave(session: Session) -> None:
    alice, bob, carol = session.enter(), session.enter(), session.enter()
    alice.send(b"one\ntw")
    assert session.hear(bob, 4) == b"one\n"
    alice.send(b"o\n")
    bob.send(b"three\n")
    assert session.hear(bob, 4) == b"two\n"
    assert session.hear(alice, 6) == b"three\n"
    bob.send(b"goodbye\n")
    bob.shutdown(socket.SHUT_WR)
    assert session.hear(alice, 8) == b"goodbye\n"
    carol.send(b"he is gone\n")
    assert session.hear(alice, 11) == b"he is gone\n"
    assert session.hear(bob, 1) == b""
