"""The client against a server that is none, or means harm: the test is the server."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.support.faults import fault
from tests.support.programs import CLOSED, PASSCODE, FakeServer, Stage
from tests.support.protocol import INCORRECT_PASSCODE, STRANGE_NAME

BAD = "\N{REPLACEMENT CHARACTER}"
NO_ROOM = "is not a chat server (is the port right?)"
MIB = 1024 * 1024

HARMFUL = [
    (b"\x1b[2J\x1b[6n\x07\n", f"{BAD}[2J{BAD}[6n{BAD}\n"),
    (b"caf\xe9 \xf0\x9f\n", f"caf{BAD} {BAD * 2}\n"),
    (b"over\rwritten\x08\x7f\x00\n", f"over{BAD}written{BAD * 3}\n"),
    (b"\n\n\r\n\nnot empty\n\n", "not empty\n"),
    (b"a\r\nb\n", "a\nb\n"),
    (b"OK\nERROR Incorrect passcode\n", "OK\nERROR Incorrect passcode\n"),
]


@fault(12, 56)
def test_what_a_server_says_cannot_harm_the_screen() -> None:
    with FakeServer(on_terminal=True) as fake:
        fake.lets_in()
        for sent, shown in HARMFUL:
            fake.peer.feed(sent)
            fake.client.stdout.expect(shown.encode())
        fake.goes_away()


@fault(56)
def test_line_of_a_mebibyte_is_shown_and_a_longer_one_is_the_end() -> None:
    with FakeServer() as fake:
        fake.lets_in()
        fake.peer.types("x" * MIB)
        fake.client.shows("x" * MIB)
        fake.peer.feed(b"x" * (MIB + 2))
        fake.client.exits(1, f"error: the server sent a line longer than {MIB} bytes")


def test_answer_in_pieces_with_lines_behind_it_is_an_answer() -> None:
    with FakeServer() as fake:
        for byte in b"OK\r\nBob: h":
            fake.peer.feed(bytes([byte]))
        fake.client.shows(f"Connected to 127.0.0.1 on port {fake.port}")
        fake.peer.feed(b"i\n")
        fake.client.shows("Bob: hi")
        fake.goes_away()


@fault(56)
def test_other_answer_than_ok_or_error_is_no_chat_room() -> None:
    with FakeServer() as fake:
        fake.peer.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        fake.client.exits(1, f"error: 127.0.0.1 port {fake.port} {NO_ROOM}")


@pytest.mark.parametrize(
    ("reason", "shown", "complaints"),
    [
        pytest.param(
            "Invalid username: it is \x1b[31mred",
            [f"Invalid username: it is {BAD}[31mred"],
            [],
            id="what the user can mend is shown",
        ),
        pytest.param(
            "Server full \x1b]0;pwned\x07",
            [],
            [f"error: Server full {BAD}]0;pwned{BAD}"],
            id="all else is an error",
        ),
    ],
)
def test_refusal_is_told_where_it_belongs(
    reason: str, shown: list[str], complaints: list[str]
) -> None:
    with FakeServer() as fake:
        fake.peer.types(f"ERROR {reason}", "and more")
        fake.client.shows(*shown)
        fake.client.exits(1, *complaints)


@pytest.mark.parametrize(
    ("name", "passcode", "reason"),
    [("Mallory", "x" * 100_000, INCORRECT_PASSCODE), ("Al ice", PASSCODE, STRANGE_NAME)],
)
def test_request_that_fits_no_line_is_refused_alike(name: str, passcode: str, reason: str) -> None:
    with Stage() as stage:
        client = stage.start_client(1, name, passcode=passcode)
        client.shows(reason)
        client.exits(1)


def test_client_sends_nothing_that_is_typed_before_it_is_let_in() -> None:
    with FakeServer() as fake:
        fake.client.types("Hello")
        fake.client.rest()
        fake.peer.types("ERROR Server full")
        fake.client.exits(1, "error: Server full")
        assert fake.peer.stdout.take_rest() == b""


@fault(56)
@pytest.mark.parametrize("has_answered", [False, True], ids=["joining", "in the room"])
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
def test_server_that_goes_is_an_error(has_answered: bool, is_reset: bool) -> None:
    with FakeServer() as fake:
        if has_answered:
            fake.lets_in()
        fake.peer.feed(b"O")  # the beginning of a line
        if is_reset:
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
        happenings = {
            "ends": fake.client.end_input,
            "exits": lambda: fake.client.types(":Exit"),
            "speaks": lambda: fake.peer.types("bye"),
            "closes": fake.peer.close,
            "resets": fake.peer.reset,
        }
        for event in events.split():
            happenings[event]()
        fake.client.signal(signal.SIGCONT)
        fake.client.shows(*["bye"] * events.count("speaks"))
        fake.client.exits(status, *[CLOSED] * status)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        (b"", b""),
        (b"one\nunfinished", b"one\nunfinished\n"),
        (b"one\n:EXIT\n", b"one\n:EXIT\n"),
        (b"bytes \xff\x00\x1b as typed\r\n", b"bytes \xff\x00\x1b as typed\r\n"),
        (b"x" * MIB + b"\n", b"x" * MIB + b"\n"),
    ],
    ids=lambda data: repr(data)[:20],
)
def test_client_that_leaves_sends_all_and_shows_what_still_comes(typed: bytes, sent: bytes) -> None:
    with FakeServer() as fake:
        fake.lets_in()
        fake.client.feed(typed)
        if b":EXIT" not in typed:
            fake.client.end_input()
        fake.peer.stdout.expect(sent)
        fake.peer.stdout.expect_end()
        fake.peer.types("one more", "and one")
        fake.client.shows("one more", "and one")
        fake.peer.close()
        fake.client.exits(0)


def test_server_that_does_not_read_keeps_no_client_that_leaves() -> None:
    """tests/test_leaving.py has one that does not end."""
    patch = "import terminal.session; terminal.session.GOODBYE_SECONDS = 0.1"
    with FakeServer(redirect="< /dev/zero", patch=patch) as fake:
        fake.peer.stdout.pause()
        fake.lets_in()
        fake.peer.types("still listening?")
        fake.client.shows("still listening?")
        fake.client.signal(signal.SIGINT)
        fake.client.exits(-signal.SIGINT)


def test_signal_while_no_answer_comes_ends_the_client_at_once() -> None:
    with FakeServer() as fake:
        fake.client.signal(signal.SIGINT)
        fake.client.exits(-signal.SIGINT)
        fake.peer.stdout.take_rest()


def test_server_that_never_answers_is_given_up() -> None:
    # The deadline is set to nothing: what is stated is that there is one.
    patch = "import terminal.session; terminal.session.ANSWER_SECONDS = 0"
    with Stage() as stage, socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = stage.start_client(port, patch=patch)
        client.exits(1, f"error: no answer from 127.0.0.1 port {port}")
