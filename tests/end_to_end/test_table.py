"""Every row of the table of exact output, with all of the programs on pipes and on terminals."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import pytest

from tests.support.programs import Program, Room

Mode = tuple[bool, bool]
"""Whether the server is on a terminal, and whether the members are."""

MODES = list(itertools.product((False, True), repeat=2))
MODE_NAMES = ["pipes", "members-on-terminals", "server-on-terminal", "terminals"]

in_each_mode = pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)

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


def listed(typed: str) -> Row:
    return Row(typed, ("Alice: searched up active users",), ("Active Users: Alice, Bob, Carol",))


USAGE = "Usage: :Msg <username> <message>"

ROWS = [
    # Text.
    said("Hello Room", "Hello Room"),
    said("two  blanks,\ta tab and  two at the end  ", "two  blanks,\ta tab and  two at the end  "),
    said("grüße, שלום, 😀 and 👨‍👩‍👧", "grüße, שלום, 😀 and 👨‍👩‍👧"),
    said("x" * 100, "x" * 100),
    said("Bob: I never said this", "Bob: I never said this"),
    said("Bob left the chatroom", "Bob left the chatroom"),
    said("JOIN Dave abc12", "JOIN Dave abc12"),
    # Nothing to say.
    Row(""),
    Row("  "),
    Row(" \t "),
    # Faces.
    said(":)", "[feeling happy]"),
    said(":(", "[feeling sad]"),
    said("hi :)", "hi [feeling happy]"),
    said(":( then :)", "[feeling sad] then [feeling happy]"),
    said(" :)", " [feeling happy]"),
    said("a\t:)\tb", "a\t[feeling happy]\tb"),
    said(":):) a:) :)b", ":):) a:) :)b"),
    # Who is here.
    listed(":Users"),
    listed(":Users \t "),
    listed(":uSERS"),
    said(":Users please", ":Users please"),
    said(" :Users", " :Users"),
    # Private messages.
    told(":Msg Bob CS3251 is awesome", "CS3251 is awesome"),
    told(":msg bOB psst", "psst"),
    told(":Msg \t Bob   a  b ", "a  b "),
    told(":Msg Bob :) and :Users", "[feeling happy] and :Users"),
    told(r":Msg Bob \:)", ":)"),
    Row(
        ":Msg alice buy milk",
        ("Alice: send message to Alice",),
        alice=("[Message from Alice]: buy milk",),
    ),
    answered(":Msg nobody x", "No such user: nobody"),
    answered(":Msg", USAGE),
    answered(":Msg ", USAGE),
    answered(":Msg Bob", USAGE),
    answered(":msg Bob \t", USAGE),
    said(":Msgs Bob x", ":Msgs Bob x"),
    said(" :Msg Bob x", " :Msg Bob x"),
    # Not an exit, and no command at all.
    said(":Exit now", ":Exit now"),
    said("\t:Exit", "\t:Exit"),
    said(":nosuch", ":nosuch"),
    said(": )", ": )"),
    # The backslash.
    said(r"\:mytime", ":mytime"),
    said(r"\:Msg Bob x", ":Msg Bob x"),
    said(r"\:Users", ":Users"),
    said(r"\:Exit", ":Exit"),
    said(r"\\:)", r"\:)"),
    said(r"\:) :)", ":) [feeling happy]"),
    said(r"C:\path, \o/ and a lone \ ", r"C:\path, \o/ and a lone \ "),
]


class Rooms:
    """A room with Alice, Bob and Carol for each mode, kept from row to row: every row begins and
    ends in silence. One that fails costs its room."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._rooms: dict[Mode, Room] = {}

    @contextlib.contextmanager
    def borrow(self, mode: Mode) -> Iterator[tuple[Room, list[Program]]]:
        room = self._rooms.pop(mode, None) or self._open(mode)
        alice, bob, carol = room.members
        assert isinstance(alice, Program)
        assert isinstance(bob, Program)
        assert isinstance(carol, Program)
        yield room, [alice, bob, carol]
        self._rooms[mode] = room

    def finish(self) -> None:
        for room in self._rooms.values():
            room.finish()

    def _open(self, mode: Mode) -> Room:
        is_server_on_terminal, are_members_on_terminals = mode
        room = Room(on_terminal=is_server_on_terminal, env=ABROAD)
        self._stack.callback(room.close)
        room.__enter__().join("Alice", "Bob", "Carol", on_terminal=are_members_on_terminals)
        return room


@pytest.fixture(scope="module")
def rooms() -> Iterator[Rooms]:
    with contextlib.ExitStack() as stack:
        rooms = Rooms(stack)
        yield rooms
        rooms.finish()


@in_each_mode
@pytest.mark.parametrize("row", ROWS, ids=[repr(row.typed)[:40] for row in ROWS])
def test_what_is_typed_is_shown_to_whom_it_concerns(rooms: Rooms, mode: Mode, row: Row) -> None:
    with rooms.borrow(mode) as (room, members):
        members[0].types(row.typed)
        for speaker, lines in zip([room.server, *members], row[1:], strict=True):
            speaker.shows(*lines)
        room.nothing_else()


@in_each_mode
def test_two_lines_in_one_burst_arrive_as_two_lines(rooms: Rooms, mode: Mode) -> None:
    with rooms.borrow(mode) as (room, (alice, bob, carol)):
        alice.feed(b"one\n:Users\ntwo\n:Msg Bob three\n\n:(\n")
        room.server.shows("Alice: one", "Alice: searched up active users", "Alice: two")
        room.server.shows("Alice: send message to Bob", "Alice: [feeling sad]")
        alice.shows("Active Users: Alice, Bob, Carol")
        bob.shows("Alice: one", "Alice: two", "[Message from Alice]: three", "Alice: [feeling sad]")
        carol.shows("Alice: one", "Alice: two", "Alice: [feeling sad]")
        room.nothing_else()


@in_each_mode
def test_a_line_typed_in_pieces_is_one_line(rooms: Rooms, mode: Mode) -> None:
    with rooms.borrow(mode) as (room, (alice, *_)):
        for byte in "grüße :)\n".encode():
            alice.feed(bytes([byte]))
        room.all_show("Alice: grüße [feeling happy]", but=alice)
        room.nothing_else()


TIMES = [
    (":mytime", "", "", 0),
    (":+1hr", "", "", 1),
    (":MyTime", "", "", 0),
    (":+1HR", "", "", 1),
    ("it is :mytime :) already", "it is ", " [feeling happy] already", 0),
]


@in_each_mode
@pytest.mark.parametrize(("typed", "before", "after", "hours"), TIMES)
def test_a_time_is_the_servers_and_shown_to_its_sender_too(
    rooms: Rooms, mode: Mode, typed: str, before: str, after: str, hours: int
) -> None:
    with rooms.borrow(mode) as (room, (alice, *_)):
        earliest = local_now()
        alice.types(typed)
        line = room.server.stdout.take_line()
        latest = local_now()
        match = re.fullmatch(f"Alice: {re.escape(before)}(.*){re.escape(after)}", line)
        assert match, line
        shown = parse_time(match[1]) - timedelta(hours=hours)
        assert earliest <= shown <= latest
        for member in room.members:
            member.shows(line)
        room.nothing_else()


@in_each_mode
def test_a_time_in_a_private_message_is_not_shown_to_its_sender(rooms: Rooms, mode: Mode) -> None:
    with rooms.borrow(mode) as (room, (alice, bob, _)):
        earliest = local_now()
        alice.types(":Msg Bob it is :mytime")
        room.server.shows("Alice: send message to Bob")
        line = bob.stdout.take_line()
        shown = parse_time(line.removeprefix("[Message from Alice]: it is "))
        assert earliest <= shown <= local_now()
        room.nothing_else()


@in_each_mode
def test_who_types_exit_leaves_with_status_0(mode: Mode) -> None:
    with Room(on_terminal=mode[0]) as room:
        alice, _, carol = room.join("Alice", "Bob", "Carol", on_terminal=mode[1])
        alice.types("Bye", ":Exit")
        room.all_show("Alice: Bye", but=alice)
        room.misses(alice)
        alice.exits(0)
        carol.types(":EXIT \t", "nobody hears this")
        room.misses(carol)
        carol.exits(0)


@in_each_mode
def test_whose_input_ends_leaves_with_status_0(mode: Mode) -> None:
    with Room(on_terminal=mode[0]) as room:
        alice, _ = room.join("Alice", "Bob", on_terminal=mode[1])
        alice.types("Bye")
        alice.end_input()
        room.all_show("Alice: Bye", but=alice)
        room.misses(alice)
        alice.exits(0)


@in_each_mode
def test_a_wrong_passcode_is_seen_by_nobody_else(mode: Mode) -> None:
    with Room(on_terminal=mode[0]) as room:
        room.join("Alice", on_terminal=mode[1])
        mallory = room.start_client(room.port, "Mallory", passcode="abc1", on_terminal=mode[1])
        mallory.shows("Incorrect passcode")
        mallory.exits(1)
        room.nothing_else()


def test_a_terminal_as_it_comes_shows_what_is_typed_and_what_is_printed() -> None:
    with Room() as room:
        alice = room.start_client(room.port, on_terminal=True, with_echo=True)
        alice.stdout.expect(b"Connected to 127.0.0.1 on port %d\r\n" % room.port)
        room.server.shows("Alice joined the chatroom")
        alice.types("Hello")
        alice.stdout.expect(b"Hello\r\n")
        room.server.shows("Alice: Hello")
        alice.types(":Users")
        alice.stdout.expect(b":Users\r\nActive Users: Alice\r\n")
        room.server.shows("Alice: searched up active users")
        alice.types(":Exit")
        alice.stdout.expect(b":Exit\r\n")
        room.server.shows("Alice left the chatroom")
        alice.exits(0)


def local_now() -> datetime:
    """The time where the server is, in whole seconds."""
    return datetime.fromtimestamp(int(time.time()), INDIA).replace(tzinfo=None)


def parse_time(text: str) -> datetime:
    """The time of a text that is in exactly the assignment's form."""
    shown = datetime.strptime(text, "%a %b %d %H:%M:%S %Y")
    assert shown.strftime("%a %b %d %H:%M:%S %Y") == text
    return shown
