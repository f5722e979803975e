"""The client against a server that is none, or means harm: the test is the server."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.programs import (
    CLOSED,
    DEADLINE_SECONDS,
    Program,
    RawClient,
    Room,
    Stage,
    free_port,
)

BAD = "\N{REPLACEMENT CHARACTER}"
NO_ROOM = "is no chat room: the answer to JOIN was neither OK nor ERROR"
MIB = 1024 * 1024


class FakeServer(Stage):
    """Accepts one client, and is what the test makes of it."""

    def __init__(
        self, *, on_terminal: bool = False, redirect: str = "", typed_at_once: str = ""
    ) -> None:
        super().__init__()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._on_terminal = on_terminal
        self._redirect = redirect
        self._typed_at_once = typed_at_once
        self.client: Program
        self.peer: RawClient

    def open(self) -> None:
        """The client has connected, and has said no more than that it wants to join."""
        self.client = self.start_client(
            self.port, on_terminal=self._on_terminal, redirect=self._redirect
        )
        if self._typed_at_once:
            self.client.types(self._typed_at_once)
        self._listener.settimeout(DEADLINE_SECONDS)
        sock, _ = self._listener.accept()
        self.peer = self.take_over(sock, "the server's end")
        self.peer.shows("JOIN Alice abc12")

    def close(self) -> None:
        self._listener.close()
        super().close()

    def lets_in(self) -> None:
        self.peer.types("OK")
        self.client.shows(f"Connected to 127.0.0.1 on port {self.port}")

    def goes_away(self) -> None:
        self.peer.close()
        self.client.exits(1, CLOSED)


HARMFUL = [
    (b"\x1b[2J\x1b[6n\x07\n", f"{BAD}[2J{BAD}[6n{BAD}\n"),
    (b"\x1b]52;c;cm0gLXJm\x1b\\\n", f"{BAD}]52;c;cm0gLXJm{BAD}\\\n"),
    ("\x9b31m \x85 \u2028\u202e\u2066\n".encode(), f"{BAD}31m {BAD} {BAD * 3}\n"),
    (b"caf\xe9 \xf0\x9f\n", f"caf{BAD} {BAD * 2}\n"),
    (b"over\rwritten\x08\x7f\x00\n", f"over{BAD}written{BAD * 3}\n"),
    (b"\n\n\r\n\nnot empty\n\n", "not empty\n"),
    (b"a\r\nb\n", "a\nb\n"),
    (b" blanks\tstay \n", " blanks\tstay \n"),
    (b"OK\nERROR Incorrect passcode\n", "OK\nERROR Incorrect passcode\n"),
]


@fault(12, 56)
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipe", "terminal"])
def test_what_a_server_says_cannot_harm_the_screen(on_terminal: bool) -> None:
    with FakeServer(on_terminal=on_terminal) as fake:
        fake.lets_in()
        for sent, shown in HARMFUL:
            fake.peer.feed(sent)
            fake.client.stdout.expect(shown.encode())
        fake.goes_away()


def test_a_line_of_a_mebibyte_is_shown() -> None:
    with FakeServer() as fake:
        fake.lets_in()
        line = "x" * MIB
        fake.peer.types(line)
        fake.client.shows(line)
        fake.goes_away()


@fault(56)
@pytest.mark.parametrize("end", [b"", b"\nnext\n"])
def test_a_longer_line_is_the_end(end: bytes) -> None:
    with FakeServer() as fake:
        fake.lets_in()
        fake.peer.types("before")
        fake.client.shows("before")
        fake.peer.feed(b"x" * (MIB + 2) + end)
        fake.client.exits(1, f"error: the server sent a line longer than {MIB} bytes")


def test_an_answer_in_pieces_and_with_the_first_lines_behind_it_is_an_answer() -> None:
    with FakeServer() as fake:
        for byte in b"OK\r\nBob: h":
            fake.peer.feed(bytes([byte]))
        fake.client.shows(f"Connected to 127.0.0.1 on port {fake.port}")
        fake.peer.feed(b"i\n")
        fake.client.shows("Bob: hi")
        fake.goes_away()


@fault(56)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\n",
        b"ok\n",
        b"OK \n",
        b"OKAY\n",
        b"ERROR\n",
        b"\xff\n",
    ],
)
def test_another_answer_than_ok_or_error_is_no_chat_room(answer: bytes) -> None:
    with FakeServer() as fake:
        fake.peer.feed(answer)
        fake.client.exits(1, f"error: 127.0.0.1 port {fake.port} {NO_ROOM}")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("Incorrect passcode", "Incorrect passcode"),
        ("Invalid username: it is \x1b[31mred", f"Invalid username: it is {BAD}[31mred"),
        ("Username already in use: alice", "Username already in use: alice"),
    ],
)
def test_what_the_user_can_mend_is_shown(reason: str, shown: str) -> None:
    with FakeServer() as fake:
        fake.peer.types(f"ERROR {reason}", "and more")
        fake.client.shows(shown)
        fake.client.exits(1)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("Server full", "Server full"),
        ("Handshake timed out", "Handshake timed out"),
        ("Too many attempts, try again later", "Too many attempts, try again later"),
        ("Expected: JOIN <username> <passcode>", "Expected: JOIN <username> <passcode>"),
        ("\x1b]0;pwned\x07", f"{BAD}]0;pwned{BAD}"),
    ],
)
def test_any_other_refusal_is_an_error(reason: str, shown: str) -> None:
    with FakeServer() as fake:
        fake.peer.types(f"ERROR {reason}")
        fake.client.exits(1, f"error: {shown}")


@fault(56)
@pytest.mark.parametrize("has_answered", [False, True])
@pytest.mark.parametrize("how", ["closed", "reset", "cut in a line"])
def test_a_server_that_goes_is_an_error(has_answered: bool, how: str) -> None:
    with FakeServer() as fake:
        if has_answered:
            fake.lets_in()
        if how == "cut in a line":
            fake.peer.feed(b"O")
        if how == "reset":
            fake.peer.reset()
        else:
            fake.peer.close()
        fake.client.exits(1, CLOSED)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ("ends closes", 0),
        ("exits closes", 0),
        ("closes ends", 1),
        ("closes exits", 1),
        ("resets ends", 1),
        ("ends resets", 1),
        ("resets exits", 1),
        ("speaks resets exits", 1),
        ("exits speaks resets", 1),
    ],
)
def test_loss_while_leaving_is_an_error_unless_all_was_sent(events: str, status: int) -> None:
    """All of it happens while the client is stopped, so that it finds all of it in one turn."""
    with FakeServer() as fake:
        fake.lets_in()
        fake.client.suspend()
        for event in events.split():
            match event:
                case "ends":
                    fake.client.end_input()
                case "exits":
                    fake.client.types(":Exit")
                case "speaks":
                    fake.peer.types("bye")
                case "closes":
                    fake.peer.close()
                case "resets":
                    fake.peer.reset()
        fake.client.signal(signal.SIGCONT)
        if "speaks" in events:
            fake.client.shows("bye")
        fake.client.exits(status, *[CLOSED] * status)


def test_a_client_says_nothing_but_join_before_it_is_let_in() -> None:
    with FakeServer(typed_at_once="Hello") as fake:
        fake.peer.types("ERROR Server full")
        fake.client.exits(1, "error: Server full")
        assert fake.peer.stdout.take_rest() == b""
    with FakeServer(typed_at_once="Hello") as fake:
        fake.lets_in()
        fake.peer.shows("Hello")
        fake.goes_away()


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        (b"", b""),
        (b"one\ntwo\n", b"one\ntwo\n"),
        (b"one\nunfinished", b"one\nunfinished\n"),
        (b"one\n:Exit\n", b"one\n:Exit\n"),
        (b"one\n:EXIT", b"one\n:EXIT\n"),
        (b"bytes \xff\x00\x1b as typed\r\n", b"bytes \xff\x00\x1b as typed\r\n"),
        (b"x" * MIB + b"\n", b"x" * MIB + b"\n"),
    ],
    ids=lambda data: repr(data)[:20],
)
def test_at_its_end_a_client_sends_all_and_shows_what_still_comes(
    typed: bytes, sent: bytes
) -> None:
    with FakeServer() as fake:
        fake.lets_in()
        fake.client.feed(typed)
        if b":Exit" not in typed:
            fake.client.end_input()
        fake.peer.stdout.expect(sent)
        fake.peer.stdout.expect_end()
        fake.peer.types("one more", "and one")
        fake.client.shows("one more", "and one")
        fake.peer.close()
        fake.client.exits(0)


def test_no_server_keeps_who_leaves() -> None:
    with FakeServer() as never_closes, FakeServer(redirect="< /dev/zero") as never_reads:
        never_reads.peer.stdout.pause()
        never_reads.lets_in()
        never_reads.peer.types("still listening?")
        never_reads.client.shows("still listening?")
        never_closes.lets_in()
        never_closes.client.types(":Exit")
        never_closes.peer.shows(":Exit")
        never_closes.peer.stdout.expect_end()

        never_reads.client.signal(signal.SIGINT)
        never_closes.client.exits(0)
        never_reads.client.exits(130)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nobody_listens(host: str) -> None:
    with Stage() as stage:
        port = free_port()
        client = stage.start_client(port, host=host)
        client.exits(1, f"error: cannot connect to {host} port {port}: Connection refused")


@pytest.mark.parametrize("host", ["no..such", "x" * 300], ids=len)
def test_what_is_no_host_is_one_line(host: str) -> None:
    with Stage() as stage:
        client = stage.start_client(1, host=host)
        assert client.stderr.take_line().startswith(f"error: cannot connect to {host} port 1: ")
        client.exits(1)


IPV6_FIRST = """
import socket

found = socket.getaddrinfo

def getaddrinfo(host, port, *hints):
    there = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
    return [there, *found(host, port, *hints)]

socket.getaddrinfo = getaddrinfo
"""


def test_localhost_works_where_it_is_ipv6_first(tmp_path: Path) -> None:
    # A machine on which localhost is ::1 first cannot be had for the asking; its resolver can.
    (tmp_path / "sitecustomize.py").write_text(IPV6_FIRST)
    env = {"PYTHONPATH": str(tmp_path)}
    with Room() as room:
        alice = room.start_client(room.port, host="localhost", env=env)
        alice.shows(f"Connected to localhost on port {room.port}")
        room.welcomes(alice)
        bob = room.start_client(room.port, "Bob", host="localhost")
        bob.shows(f"Connected to localhost on port {room.port}")
        room.welcomes(bob)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_no_answer_comes_ends_it_at_once(number: int) -> None:
    with FakeServer() as fake:
        fake.client.signal(number)
        fake.client.exits(128 + number)
        fake.peer.stdout.take_rest()
