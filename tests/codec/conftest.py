"""A room with a screen for each member, so that tests say what is read, not how it is delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from codec.dispatcher import Dispatcher
from codec.errors import ProtocolError
from codec.events import Event, Kind
from codec.handshake import Join
from codec.roster import Roster
from tests.support import protocol
from tests.support.protocol import PASSCODE

CONSOLE = "the console"
"""The screen on which the server prints. No member has this name: it holds a space."""

UNSAFE = set(map(ord, protocol.UNSAFE))
"""The codes of what may not reach a terminal."""

Screens = dict[str, bytes]
"""What came of one event: name -> the bytes on that screen. A screen with nothing is not in it."""


@contextmanager
def refused(reason: str, code: str = "") -> Iterator[pytest.ExceptionInfo[ProtocolError]]:
    """What is done here ends in a ProtocolError with exactly this reason, and with this code,
    which is the whole reason unless it is given."""
    with pytest.raises(ProtocolError) as refusal:
        yield refusal
    assert str(refusal.value) == reason
    assert refusal.value.code == (code or reason)


class ScreenRoom:
    """A dispatcher, a roster and a screen for each member: a server without a network.

    Each method returns the screens of its event alone. It is 12:31:44 on September 24, 2025, a
    Wednesday, and `seconds_later` after that.
    """

    def __init__(self, *usernames: str, max_line_bytes: int | None = None) -> None:
        self.seconds_later = 0
        self.entered: set[str] = set()  # those who came by ENTER
        self.roster = Roster()
        self.dispatcher = Dispatcher(PASSCODE, self._local_time, self.roster, max_line_bytes)
        for username in usernames:
            self.join(username)

    def join(self, username: str, passcode: bytes = PASSCODE, echo: bool = False) -> Screens:
        self.dispatcher.check(Join(username, passcode, echo))
        self.roster.claim(username)
        self.entered -= {username}
        self.entered |= {username} if echo else set()
        return self._show(username, self.dispatcher.join(username), Kind.JOINED)

    def type(self, username: str, line: bytes, kind: Kind | None = None) -> Screens:
        """`kind` is the event's, where it matters."""
        event = self.dispatcher.dispatch(username, line, username in self.entered)
        return {} if event is None else self._show(username, event, kind)

    def type_plain(self, username: str, lines: bytes) -> Screens | None:
        event = self.dispatcher.dispatch_plain(username, lines, username in self.entered)
        return None if event is None else self._show(username, event, Kind.SAID)

    def refuse_line(self, username: str) -> Screens:
        event = self.dispatcher.refuse_line(username, username in self.entered)
        return self._show(username, event, Kind.NOTICE)

    def leave(self, username: str) -> Screens:
        return self._show(username, self.dispatcher.leave(username), Kind.LEFT)

    def _show(self, origin: str, event: Event, kind: Kind | None) -> Screens:
        assert event.origin == origin
        assert event.kind is (kind or event.kind)
        self.roster.apply(event)
        members = self.roster.usernames
        assert (origin in members) == (event.kind is not Kind.LEFT)
        screens = dict.fromkeys([CONSOLE, *members], b"")
        screens[CONSOLE] += event.console
        for name in members:
            if name != origin or event.to_origin:
                screens[name] += event.room
        for name, line in event.private:
            screens[name] += line  # a KeyError here would be one in the server
        return {name: lines for name, lines in screens.items() if lines}

    def _local_time(self, seconds: int) -> Sequence[int]:
        return protocol.local_time(self.seconds_later + seconds)


@pytest.fixture
def room() -> ScreenRoom:
    """Alice, Bob and Carol, who joined in this order."""
    return ScreenRoom("Alice", "Bob", "Carol")
