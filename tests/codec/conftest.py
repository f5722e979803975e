"""A room with a screen for everyone, so that tests say what is read and not how it is delivered."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from codec.dispatcher import Dispatcher
from codec.errors import ProtocolError
from codec.events import Event, Kind
from codec.framing import MAX_LINE_BYTES
from codec.handshake import Join
from codec.roster import Roster
from tests.support import protocol
from tests.support.protocol import PASSCODE

CONSOLE = "the console"
"""Whose screen the server prints on. No member has this name: it holds a space."""

UNSAFE = set(map(ord, protocol.UNSAFE))
"""The codes of what may not reach a terminal."""

Screens = dict[str, bytes]
"""What came of one event: name -> the bytes on that screen. Who reads nothing is not in it."""


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """What is done here ends in a ProtocolError with exactly this reason."""
    with pytest.raises(ProtocolError) as refusal:
        yield
    assert str(refusal.value) == reason


class Clock:
    """A clock without a time zone, which stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_758_717_104  # Wed Sep 24 12:31:44 2025

    def local_time(self, seconds: int) -> Sequence[int]:
        return time.gmtime(self.now + seconds)


class ScreenRoom:
    """A dispatcher, a roster and everyone's screen: what a server does with events, without one.

    Each method returns the screens of its event alone. `clock` starts at 12:31:44 on September 24,
    2025, a Wednesday.
    """

    def __init__(self, *usernames: str, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.clock = Clock()
        self.roster = Roster()
        self.dispatcher = Dispatcher(PASSCODE, self.clock.local_time, self.roster, max_line_bytes)
        for username in usernames:
            self.join(username)

    def join(self, username: str, passcode: bytes = PASSCODE) -> Screens:
        self.dispatcher.check(Join(username, passcode))
        self.roster.claim(username)
        screens = self._show(username, self.dispatcher.join(username), Kind.JOINED)
        assert username in self.roster.usernames
        return screens

    def type(self, username: str, line: bytes) -> Screens:
        event = self.dispatcher.dispatch(username, line)
        if event is None:
            return {}
        screens = self._show(username, event)
        assert (event.kind is Kind.LEFT) == (username not in self.roster.usernames)
        return screens

    def type_plain(self, username: str, lines: bytes) -> Screens | None:
        event = self.dispatcher.dispatch_plain(username, lines)
        return None if event is None else self._show(username, event, Kind.SAID)

    def refuse(self, username: str, error: ProtocolError) -> Screens:
        return self._show(username, self.dispatcher.refuse(username, error), Kind.NOTICE)

    def leave(self, username: str) -> Screens:
        screens = self._show(username, self.dispatcher.leave(username), Kind.LEFT)
        assert username not in self.roster.usernames
        return screens

    def _show(self, origin: str, event: Event, kind: Kind | None = None) -> Screens:
        assert event.origin == origin
        assert event.kind is (kind or event.kind)
        self.roster.apply(event)
        members = self.roster.usernames
        screens = dict.fromkeys([CONSOLE, *members], b"")
        screens[CONSOLE] += event.console
        for name in members:
            if name != origin or event.to_origin:
                screens[name] += event.room
        for name, line in event.private:
            screens[name] += line  # a KeyError here would be one in the server
        return {name: lines for name, lines in screens.items() if lines}


@pytest.fixture
def room() -> ScreenRoom:
    """Alice, Bob and Carol, who joined in this order."""
    return ScreenRoom("Alice", "Bob", "Carol")
