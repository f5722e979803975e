"""After any script of joins, lines and departures, everyone has read what the plain model says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from codec.kinds import LineKind, ShownLine, has_answer, parse_shown
from tests.codec.conftest import CONSOLE, ScreenRoom, Screens, refused
from tests.support.faults import fault
from tests.support.lines import COMMANDS, LINES
from tests.support.protocol import (
    PASSCODE,
    TOO_LONG,
    Line,
    Said,
    fault_of_join,
    joined,
    left,
    meaning_of,
)
from tests.support.size import examples

LIMIT = 50
"""Bytes of the longest line, few enough that it is often met."""


class Twins:
    """The codec's room and the model's, which is a list of names, live through the same steps.

    Of each line that one who came by ENTER reads, `kind_of` says what it must be, by what has
    happened and not by how the line looks.
    """

    def __init__(self) -> None:
        self.room = ScreenRoom(max_line_bytes=LIMIT)
        self.names: list[str] = []

    def join(self, name: str, passcode: bytes, echo: bool = True) -> None:
        if fault := fault_of_join(name, passcode, self.names):
            with refused(fault, fault.partition(": ")[0]):
                self.room.join(name, passcode, echo)
            return
        shown = self.room.join(name, passcode, echo)
        assert shown == self.screens(name, joined(name))
        del shown[name]  # OK, which comes before all of these
        self.look(shown, lambda _: (LineKind.JOINED, name))

    def type(self, name: str, line: Line) -> None:
        said = self.meaning_of(line, name)
        expected = self.screens(name, said)
        shown = self.room.refuse_line(name) if line is TOO_LONG else self.room.type(name, line)
        assert shown == expected
        self.look(shown, lambda reader: _kind_for(reader, name, said))
        if name in self.names and name in self.room.entered:
            answers = shown.get(name, b"").count(b"\n")
            assert answers == (1 if line is TOO_LONG else has_answer(line))

    def burst(self, name: str, lines: list[bytes]) -> None:
        shown = self.room.type_plain(name, b"".join(line + b"\n" for line in lines))
        if shown is not None:  # else each line is to be taken alone, as above
            expected: Screens = {}
            for line in lines:
                said = self.meaning_of(line, name)
                for reader, text in self.screens(name, said).items():
                    expected[reader] = expected.get(reader, b"") + text
            assert shown == expected
            self.look(shown, lambda _: (LineKind.SAID, name))

    def vanish(self, name: str) -> None:
        shown = self.room.leave(name)
        assert shown == self.screens(name, left(name))
        self.look(shown, lambda _: (LineKind.LEFT, name))

    def meaning_of(self, line: Line, name: str) -> Said:
        return meaning_of(line, name, self.names, LIMIT, name in self.room.entered)

    def look(self, screens: Screens, kind_of: Callable[[str], tuple[LineKind, str]]) -> None:
        for reader in self.room.entered & {*screens}:
            for line in screens[reader].decode().split("\n")[:-1]:
                shown = parse_shown(line)
                assert shown, line
                assert (shown.kind, shown.name) == kind_of(reader)
                assert _format(shown) == line, "the rest is the text"

    def screens(self, name: str, said: Said) -> Screens:
        """What everyone is to read; and the model's room is from here on as it is to be."""
        if said.leaves:
            self.names.remove(name)
        elif said == joined(name):
            self.names.append(name)
        console = {CONSOLE: f"{said.console}\n".encode()} if said.console else {}
        return {**console, **said.screens(name, self.names)}


def _kind_for(reader: str, sender: str, said: Said) -> tuple[LineKind, str]:
    """What `reader` reads of a line of `sender`, and about whom."""
    if said.to_room:
        return (LineKind.LEFT if said.leaves else LineKind.SAID), sender
    if not said.console:
        return LineKind.NOTICE, ""
    if said.console == f"{sender}: searched up active users":
        return LineKind.USERS, ""
    to = said.console.removeprefix(f"{sender}: send message to ")
    return (LineKind.SENT, to) if reader == sender else (LineKind.MESSAGE, sender)


def _format(shown: ShownLine) -> str:
    name, text = shown.name, shown.text
    forms = {
        LineKind.SAID: f"{name}: {text}",
        LineKind.MESSAGE: f"[Message from {name}]: {text}",
        LineKind.SENT: f"[Message to {name}]: {text}",
        LineKind.JOINED: f"{name} joined the chatroom",
        LineKind.LEFT: f"{name} left the chatroom",
        LineKind.USERS: f"Active Users: {', '.join(shown.usernames)}",
        LineKind.NOTICE: f"* {text}",
    }
    return forms[shown.kind]


# Names that are in use, differ in case alone, are invalid, look like another, or like the beginning
# of a line of the server.
NAMES = ["Alice", "Bob", "Kim", "ALICE", "bob", "Usage", "eve-5.X_", "F", "Active", "Server", "OK"]
STRANGE_NAMES = ["", "Eve-5.x_y", "A b", "\u212aim", "Bob\u200b", "\u0410lice", "Bob\n"]
PLAIN = st.sampled_from([b"hi", b"a:b C:\\x", b"caf\xc3\xa9", b"x" * 43, b"x" * 47])

WHO = st.integers(0, 9)
STEPS = st.one_of(
    st.tuples(
        st.just("join"),
        st.sampled_from([*NAMES, *NAMES, *STRANGE_NAMES]),
        st.sampled_from([*[PASSCODE] * 3, b""]),
        st.booleans(),
    ),
    st.tuples(st.just("type"), WHO, COMMANDS),
    st.tuples(st.just("type"), WHO, LINES),
    st.tuples(st.just("burst"), WHO, st.lists(PLAIN, min_size=1)),
    st.tuples(st.just("burst"), WHO, st.lists(PLAIN | LINES, min_size=1)),
    st.tuples(st.just("type"), WHO, st.sampled_from([b":Users", b":users \t", TOO_LONG])),
    st.tuples(st.just("vanish"), WHO),
)


@fault(2, 3, 49)
@given(count=st.integers(0, 3), script=st.lists(STEPS, min_size=10, max_size=30))
@examples(20, 400)
def test_any_script_comes_to_what_the_plain_model_says(
    count: int, script: list[tuple[Any, ...]]
) -> None:
    twins = Twins()
    for name in NAMES[:count]:
        twins.join(name, PASSCODE)
    for verb, who, *arguments in script:
        if verb == "join":
            twins.join(who, *arguments)
        elif twins.names:
            getattr(twins, verb)(twins.names[who % len(twins.names)], *arguments)
        assert twins.room.roster.usernames == twins.names
