"""The table of exact output: what is typed, and what each program prints because of it.

All of the programs are on pipes, and all of them on terminals. What each line means is tested in
tests/codec; here are the bytes on their way from one keyboard to every screen.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import pytest

from tests.support.programs import Room
from tests.support.protocol import NO_SUCH_USER, USAGE, USERS

INDIA = timezone(timedelta(hours=5, minutes=30))
ABROAD = {"TZ": "IST-05:30", "LC_ALL": "fr_FR.UTF-8"}


class Row(NamedTuple):
    """What Alice types, and which lines the server and each member print because of it."""

    typed: str
    server: tuple[str, ...] = ()
    alice: tuple[str, ...] = ()
    bob: tuple[str, ...] = ()
    carol: tuple[str, ...] = ()


def said(typed: str, text: str) -> Row:
    """To everyone but Alice."""
    line = (f"Alice: {text}",)
    return Row(typed, line, (), line, line)


def told(typed: str, text: str) -> Row:
    """To Bob alone."""
    return Row(typed, ("Alice: send message to Bob",), bob=(f"[Message from Alice]: {text}",))


def answered(typed: str, answer: str) -> Row:
    """To Alice alone, and the server is silent."""
    return Row(typed, alice=(answer,))


ROWS = [
    said("two  blanks,\ta tab and  two at the end  ", "two  blanks,\ta tab and  two at the end  "),
    said("grüße, שלום, 😀 and 👨‍👩‍👧", "grüße, שלום, 😀 and 👨‍👩‍👧"),
    Row(" \t "),
    said(":( then\t:)", "[feeling sad] then\t[feeling happy]"),
    Row(":uSERS \t", ("Alice: searched up active users",), (f"{USERS}Alice, Bob, Carol",)),
    told(":msg \t bOB   a  :) ", "a  [feeling happy] "),
    answered(":Msg Zed x", f"{NO_SUCH_USER}Zed"),
    answered(":Msg Bob \t", USAGE),
    said(r"\:Exit \:) \\:) C:\path", r":Exit :) \:) C:\path"),
]


@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipes", "terminals"])
def test_typed_line_is_shown_to_those_it_concerns(on_terminal: bool) -> None:
    with Room(on_terminal=on_terminal, env=ABROAD) as room:
        members = room.join("Alice", "Bob", "Carol", on_terminal=on_terminal)
        for row in ROWS:
            members[0].types(row.typed)
            for speaker, lines in zip([room.server, *members], row[1:], strict=True):
                speaker.shows(*lines)
            room.nothing_else()
        members[0].feed("".join(f"{row.typed}\n" for row in ROWS).encode())
        for column, speaker in enumerate([room.server, *members], 1):
            speaker.shows(*[line for row in ROWS for line in row[column]])
        room.nothing_else()


@pytest.mark.parametrize(("typed", "hours"), [(":mytime", 0), (":+1hr", 1)])
def test_time_is_the_servers_in_english(typed: str, hours: int) -> None:
    with Room(env=ABROAD) as room:
        alice = room.join_raw("Alice")
        earliest = local_now()
        alice.types(typed)
        line = room.server.stdout.take_line()
        latest = local_now()
        shown = parse_time(line.removeprefix("Alice: ")) - timedelta(hours=hours)
        assert earliest <= shown <= latest
        alice.shows(line)


def test_terminal_as_it_comes_echoes_what_is_typed() -> None:
    with Room() as room:
        alice = room.start_client(room.port, on_terminal=True, with_echo=True)
        alice.stdout.expect(b"Connected to 127.0.0.1 on port %d\r\n" % room.port)
        alice.types(":Users")
        alice.stdout.expect(b":Users\r\nActive Users: Alice\r\n")
        alice.types(":Exit")
        alice.stdout.expect(b":Exit\r\n")
        alice.exits(0)
        room.server.shows("Alice joined the chatroom", "Alice: searched up active users")
        room.server.shows("Alice left the chatroom")


def local_now() -> datetime:
    """The time where the server is, in whole seconds."""
    return datetime.fromtimestamp(int(time.time()), INDIA).replace(tzinfo=None)


def parse_time(text: str) -> datetime:
    """The time of a text that is in exactly the assignment's form."""
    shown = datetime.strptime(text, "%a %b %d %H:%M:%S %Y")
    assert shown.strftime("%a %b %d %H:%M:%S %Y") == text
    return shown
