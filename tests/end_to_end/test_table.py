"""The table of exact output: what is typed, and what each program prints because of it.

All of the programs are on pipes, and all of them on terminals. What each line means is tested in
tests/codec; here are the bytes on their way from one keyboard to every screen.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import pytest

from tests.support.programs import Program, Room
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
    said("Bob left the chatroom", "Bob left the chatroom"),
    Row(" \t "),
    said(":( then\t:)", "[feeling sad] then\t[feeling happy]"),
    said(":):) a:) :)b", ":):) a:) :)b"),
    Row(":uSERS \t", ("Alice: searched up active users",), (f"{USERS}Alice, Bob, Carol",)),
    said(" :Users", " :Users"),
    told(":msg \t bOB   a  :) ", "a  [feeling happy] "),
    answered(":Msg Zed x", f"{NO_SUCH_USER}Zed"),
    answered(":Msg Bob \t", USAGE),
    said(":Exit now", ":Exit now"),
    said(r"\:Exit \:) \\:) C:\path", r":Exit :) \:) C:\path"),
]

in_each_mode = pytest.mark.parametrize("mode", ["pipes", "terminals"])


class Rooms:
    """A room with Alice, Bob and Carol for each mode, kept from row to row: every row begins and
    ends in silence. One that fails costs its room."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._rooms: dict[str, Room] = {}

    @contextlib.contextmanager
    def borrow(self, mode: str) -> Iterator[tuple[Room, list[Program]]]:
        room = self._rooms.pop(mode, None) or self._open(mode == "terminals")
        yield room, [member for member in room.members if isinstance(member, Program)]
        room.nothing_else()
        self._rooms[mode] = room

    def finish(self) -> None:
        for room in self._rooms.values():
            room.finish()

    def _open(self, on_terminal: bool) -> Room:
        room = Room(on_terminal=on_terminal, env=ABROAD)
        self._stack.callback(room.close)
        room.__enter__().join("Alice", "Bob", "Carol", on_terminal=on_terminal)
        return room


@pytest.fixture(scope="module")
def rooms() -> Iterator[Rooms]:
    with contextlib.ExitStack() as stack:
        rooms = Rooms(stack)
        yield rooms
        rooms.finish()


@in_each_mode
@pytest.mark.parametrize("row", ROWS, ids=[repr(row.typed)[:40] for row in ROWS])
def test_typed_line_is_shown_to_those_it_concerns(rooms: Rooms, mode: str, row: Row) -> None:
    with rooms.borrow(mode) as (room, members):
        members[0].types(row.typed)
        for speaker, lines in zip([room.server, *members], row[1:], strict=True):
            speaker.shows(*lines)


@in_each_mode
def test_lines_in_one_burst_arrive_as_lines(rooms: Rooms, mode: str) -> None:
    with rooms.borrow(mode) as (room, (alice, bob, carol)):
        alice.feed(b"one\n:Users\ntwo\n:Msg Bob three\n\n:(\n")
        room.server.shows("Alice: one", "Alice: searched up active users", "Alice: two")
        room.server.shows("Alice: send message to Bob", "Alice: [feeling sad]")
        alice.shows("Active Users: Alice, Bob, Carol")
        bob.shows("Alice: one", "Alice: two", "[Message from Alice]: three", "Alice: [feeling sad]")
        carol.shows("Alice: one", "Alice: two", "Alice: [feeling sad]")


@pytest.mark.parametrize(("typed", "hours"), [(":mytime", 0), (":+1hr", 1)])
def test_time_is_the_servers_in_english(rooms: Rooms, typed: str, hours: int) -> None:
    with rooms.borrow("pipes") as (room, (alice, *_)):
        earliest = local_now()
        alice.types(typed)
        line = room.server.stdout.take_line()
        latest = local_now()
        shown = parse_time(line.removeprefix("Alice: ")) - timedelta(hours=hours)
        assert earliest <= shown <= latest
        for member in room.members:
            member.shows(line)


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
