"""The server in the package's docstring is short, is complete, and does what is said of it."""

from __future__ import annotations

import contextlib
import socket
import textwrap
from typing import Any

import reactor
from reactor import Reactor, listen
from tests.reactor.conftest import MOST_TURNS


def example() -> str:
    """The source of the server, as the docstring shows it."""
    assert reactor.__doc__
    _, mark, source = reactor.__doc__.partition("    import socket\n")
    return textwrap.dedent(mark + source)


def hear(server: Reactor, person: socket.socket, count: int) -> bytes:
    """What this one hears while the server turns: `count` bytes, or none at the stream's end."""
    for _ in range(MOST_TURNS):
        server.run_once(0.001)
        with contextlib.suppress(BlockingIOError):
            if len(person.recv(count, socket.MSG_PEEK)) in (0, count):
                return person.recv(count)
    raise AssertionError("what was waited for did not come")


def test_example_is_complete_and_short() -> None:
    source = example()
    assert source.startswith("import socket\n")
    assert source.rstrip().endswith(".run()")
    assert len(source.rstrip().splitlines()) < 40


def test_people_hear_each_other_until_they_leave() -> None:
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(example(), "example", "exec"), namespace)  # noqa: S102
    sock = listen("127.0.0.1", 0)
    server: Reactor = namespace["serve"](sock)
    people: list[socket.socket] = []
    for _ in range(3):
        person = socket.create_connection(sock.getsockname())
        person.setblocking(False)
        person.send(b"hi\n")
        assert all(hear(server, other, 3) == b"hi\n" for other in people)
        people.append(person)
    alice, bob, carol = people
    alice.send(b"one\ntw")
    assert hear(server, bob, 4) == b"one\n"
    alice.send(b"o\n")
    assert hear(server, bob, 4) == b"two\n"
    bob.send(b"goodbye\n")
    bob.shutdown(socket.SHUT_WR)
    assert hear(server, alice, 8) == b"goodbye\n"
    carol.send(b"he is gone\n")
    assert hear(server, alice, 11) == b"he is gone\n"
    assert hear(server, bob, 1) == b""
    for person in (alice, carol):
        person.shutdown(socket.SHUT_WR)
        while hear(server, person, 1):
            pass
    for end in (*people, sock):
        end.close()
    server.close()
