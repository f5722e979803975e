"""After any script of joins, lines and departures, everyone has read what a plain model says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import groupby

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from codec.framing import LineTooLongError
from tests.codec.conftest import CONSOLE, PASSCODE, UNSAFE, ScreenRoom, Screens, refused
from tests.support.faults import fault

LIMIT = 50
"""Bytes of the longest line, few enough that it is often met."""


class PlainRoom:
    """The rules of the room once more, as plainly as they can be said: one dictionary of members,
    and lines looked at word by word. Nothing of the codec is used."""

    def __init__(self) -> None:
        self.members: dict[str, str] = {}  # in lower case -> as its owner spells it

    def reason_to_refuse(self, username: str, passcode: bytes) -> str:
        if passcode != PASSCODE:
            return "Incorrect passcode"
        if username == "":
            return "Invalid username: it is empty"
        if not all(c.isascii() and (c.isalnum() or c in "_-.") for c in username):
            return "Invalid username: only A-Z a-z 0-9 _ - . are allowed"
        if len(username) > 8:
            return "Invalid username: longer than 8 characters"
        if username.lower() in self.members:
            return f"Username already in use: {username}"
        return ""

    def join(self, username: str) -> Screens:
        joined = self._show(f"{username} joined the chatroom", self._all())
        self.members[username.lower()] = username
        return {**joined, username: b"OK\n"}

    def leave(self, username: str) -> Screens:
        del self.members[username.lower()]
        return self._show(f"{username} left the chatroom", self._all())

    def refuse(self, username: str) -> Screens:
        return self._show(f"Message too long (limit {LIMIT} bytes); not sent", [username])

    def type(self, username: str, line: bytes, now: int) -> Screens:
        text = "".join(safe(c) for c in line.decode("utf-8", "surrogateescape"))
        words = ["".join(run) for _, run in groupby(text, key=is_blank)]  # and the blanks between
        if all(map(is_blank, text)):
            return {}
        if words[0].lower() == ":users" and len(words) <= 2:
            return {
                **self._show(f"{username}: searched up active users", [CONSOLE]),
                **self._show(f"Active Users: {', '.join(self.members.values())}", [username]),
            }
        if words[0].lower() == ":exit" and len(words) <= 2:
            return self.leave(username)
        if words[0].lower() == ":msg":
            return self._message(username, words, now)
        readers = self._all()
        if not {":mytime", ":+1hr"} & {word.lower() for word in words}:
            readers.remove(username)
        return self._show_if_short(f"{username}: {translated(words, now)}", readers, username)

    def _message(self, username: str, words: list[str], now: int) -> Screens:
        name, text = "".join(words[2:3]), words[4:]
        if not text:
            return self._show("Usage: :Msg <username> <message>", [username])
        if not name.isascii() or name.lower() not in self.members:
            return self._show_if_short(f"No such user: {name}", [username], username)
        reader = self.members[name.lower()]
        shown = f"[Message from {username}]: {translated(text, now)}"
        if is_too_long(shown):
            return self.refuse(username)
        sent = self._show(f"{username}: send message to {reader}", [CONSOLE])
        return {**sent, **self._show(shown, [reader])}

    def _all(self) -> list[str]:
        return [CONSOLE, *self.members.values()]

    def _show_if_short(self, text: str, readers: Iterable[str], sender: str) -> Screens:
        return self.refuse(sender) if is_too_long(text) else self._show(text, readers)

    def _show(self, text: str, readers: Iterable[str]) -> Screens:
        return {reader: f"{text}\n".encode() for reader in readers}


def is_too_long(text: str) -> bool:
    return len(text.encode()) > LIMIT


def is_blank(character: str) -> bool:
    return character in " \t"


def safe(character: str) -> str:
    was_no_utf_8 = "\ud800" <= character <= "\udfff"
    return "\ufffd" if was_no_utf_8 or ord(character) in UNSAFE else character


def translated(words: Iterable[str], now: int) -> str:
    return "".join(translated_word(word, now) for word in words)


def translated_word(word: str, now: int) -> str:
    if word[0] == "\\" and word[1:2] in {":", "\\"}:
        return word[1:]
    if word == ":)":
        return "[feeling happy]"
    if word == ":(":
        return "[feeling sad]"
    if word.lower() == ":mytime":
        return time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(now))
    if word.lower() == ":+1hr":
        return time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(now + 3600))
    return word


# Names that are in use, differ in case alone, are invalid, or look like another.
NAMES = ["Alice", "ALICE", "bob", "Bob", "Carol", "Dave", "Eve-5.x_", "eve-5.X_", "F", "Kim", "Zoe"]
STRANGE_NAMES = ["", "Eve-5.x_y", "A b", "\u212aim", "Bob\u200b", "\u0410lice", "Bob\n"]

CASES: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str, str.lower, str.upper, str.swapcase]
)

# Lines that are commands, nearly commands, or look like neither. They are put together as text, in
# which a lone surrogate stands for a byte that is not UTF-8.


def in_any_case(*words: str) -> st.SearchStrategy[str]:
    return st.builds(lambda word, case: case(word), st.sampled_from(words), CASES)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


COMMANDS = in_any_case(":Users", ":Exit", ":Msg", ":Msg", ":Msg")
SHORTCUTS = in_any_case(":)", ":(", ":mytime", ":+1hr")
OTHERS = st.sampled_from(["hi", "C:\\path", "\\o/", "\\", ":", "x" * 20, "\u05d0\u200d", "\u00a0"])
KNOWN_WORDS = COMMANDS | SHORTCUTS | OTHERS | st.sampled_from([*NAMES, *STRANGE_NAMES])
ALTERED_WORDS = joined(
    st.sampled_from(["", "\\", "\\\\", ":"]),
    KNOWN_WORDS,
    st.sampled_from(["", ")", "\x1b", "\u2028", "\udcff"]),
)
WORDS = SHORTCUTS | KNOWN_WORDS | ALTERED_WORDS | st.text(max_size=3)
BLANKS = st.sampled_from([" ", " ", "\t", " \t "])
EDGES = st.just("") | BLANKS
SENTENCES = joined(WORDS, st.lists(joined(BLANKS, WORDS), max_size=2).map("".join), EDGES)
LINES = st.one_of(
    joined(EDGES, SENTENCES),
    joined(COMMANDS, EDGES),
    joined(COMMANDS, BLANKS, SENTENCES),
)


class RoomMachine(RuleBasedStateMachine):
    """A dispatcher, its roster and the plain room live through the same events."""

    @initialize(count=st.integers(0, 6))
    def open(self, count: int) -> None:
        self.room = ScreenRoom(max_line_bytes=LIMIT)
        self.model = PlainRoom()
        for username in ["Alice", "Bob", "Carol", "Dave", "Eve-5.x_", "F"][:count]:
            assert self.room.join(username) == self.model.join(username)

    @rule(
        username=st.sampled_from([*NAMES, *NAMES, *STRANGE_NAMES]),
        passcode=st.sampled_from([*[PASSCODE] * 9, b""]),
    )
    def somebody_asks_to_join(self, username: str, passcode: bytes) -> None:
        if reason := self.model.reason_to_refuse(username, passcode):
            with refused(reason):
                self.room.join(username, passcode)
        else:
            assert self.room.join(username, passcode) == self.model.join(username)

    @precondition(lambda self: self.model.members)
    @rule(index=st.integers(0, 9), text=LINES)
    def a_member_types_a_line(self, index: int, text: str) -> None:
        name, line, now = self.member(index), encoded(text), self.room.clock.now
        assert self.room.type(name, line) == self.model.type(name, line, now)

    @precondition(lambda self: self.model.members)
    @rule(index=st.integers(0, 9), texts=st.lists(OTHERS | LINES, min_size=1, max_size=4))
    def a_member_types_lines_in_one_burst(self, index: int, texts: list[str]) -> None:
        name, now = self.member(index), self.room.clock.now
        lines = [encoded(text).replace(b"\n", b"") for text in texts]
        screens = self.room.type_plain(name, b"".join(line + b"\n" for line in lines))
        if screens is not None:  # else each line is to be taken alone, as above
            expected: Screens = {}
            for line in lines:
                for reader, shown in self.model.type(name, line, now).items():
                    expected[reader] = expected.get(reader, b"") + shown
            assert screens == expected

    @precondition(lambda self: self.model.members)
    @rule(index=st.integers(0, 9), other=st.integers(0, 9), text=SENTENCES, case=CASES)
    def a_member_writes_to_a_member(
        self, index: int, other: int, text: str, case: Callable[[str], str]
    ) -> None:
        self.a_member_types_a_line(index, f":Msg {case(self.member(other))} {text}")

    @precondition(lambda self: self.model.members)
    @rule(index=st.integers(0, 9))
    def a_line_of_a_member_is_refused(self, index: int) -> None:
        name = self.member(index)
        assert self.room.refuse(name, LineTooLongError(LIMIT)) == self.model.refuse(name)

    @precondition(lambda self: len(self.model.members) > 1)
    @rule(index=st.integers(0, 9))
    def a_member_vanishes(self, index: int) -> None:
        name = self.member(index)
        assert self.room.leave(name) == self.model.leave(name)

    @rule(seconds=st.integers(1, 3_000_000))
    def time_passes(self, seconds: int) -> None:
        self.room.clock.now += seconds

    @invariant()
    def the_same_members_are_in_both(self) -> None:
        assert self.room.roster.usernames == list(self.model.members.values())

    def member(self, index: int) -> str:
        members = list(self.model.members.values())
        return members[index % len(members)]


@fault(3)
def test_any_script_of_joins_lines_and_departures_agrees_with_the_plain_room() -> None:
    run_state_machine_as_test(
        RoomMachine, settings=settings(deadline=None, max_examples=200, stateful_step_count=30)
    )
