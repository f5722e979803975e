"""After any script of joins, lines and departures, everyone has read what the plain model says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

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
    """The codec's room and the model's, which is a list of names, live through the same steps."""

    def __init__(self) -> None:
        self.room = ScreenRoom(max_line_bytes=LIMIT)
        self.names: list[str] = []

    def join(self, name: str, passcode: bytes) -> None:
        if fault := fault_of_join(name, passcode, self.names):
            with refused(fault, fault.partition(": ")[0]):
                self.room.join(name, passcode)
        else:
            assert self.room.join(name, passcode) == self.screens(name, joined(name))

    def type(self, name: str, line: Line) -> None:
        expected = self.screens(name, meaning_of(line, name, self.names, LIMIT))
        if line is TOO_LONG:
            assert self.room.refuse_line(name) == expected
        else:
            assert self.room.type(name, line) == expected

    def burst(self, name: str, lines: list[bytes]) -> None:
        shown = self.room.type_plain(name, b"".join(line + b"\n" for line in lines))
        if shown is not None:  # else each line is to be taken alone, as above
            expected: Screens = {}
            for line in lines:
                said = meaning_of(line, name, self.names, LIMIT)
                for reader, text in self.screens(name, said).items():
                    expected[reader] = expected.get(reader, b"") + text
            assert shown == expected

    def vanish(self, name: str) -> None:
        assert self.room.leave(name) == self.screens(name, left(name))

    def screens(self, name: str, said: Said) -> Screens:
        """What everyone is to read; and the model's room is from here on as it is to be."""
        if said.leaves:
            self.names.remove(name)
        elif said == joined(name):
            self.names.append(name)
        console = {CONSOLE: f"{said.console}\n".encode()} if said.console else {}
        return {**console, **said.screens(name, self.names)}


# Names that are in use, differ in case alone, are invalid, or look like another.
NAMES = ["Alice", "Bob", "Kim", "ALICE", "bob", "Eve-5.x_", "eve-5.X_", "F", "Carol", "Zoe"]
STRANGE_NAMES = ["", "Eve-5.x_y", "A b", "\u212aim", "Bob\u200b", "\u0410lice", "Bob\n"]
PLAIN = st.sampled_from([b"hi", b"a:b C:\\x", b"caf\xc3\xa9", b"x" * 43, b"x" * 47])

WHO = st.integers(0, 9)
STEPS = st.one_of(
    st.tuples(
        st.just("join"),
        st.sampled_from([*NAMES, *NAMES, *STRANGE_NAMES]),
        st.sampled_from([*[PASSCODE] * 3, b""]),
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
