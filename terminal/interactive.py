"""One person at a terminal: what a DrawnScreen and a Link have to do with each other.

Lines of the room become rows, typed lines go to the room or are answered here, and lines that were
not answered when a connection broke are shown again. It neither draws nor speaks to a socket, so
that a new interface is only a new DrawnScreen.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from codec import Join, is_exit
from codec.commands import SAY, parse_command
from codec.kinds import LineKind, ShownLine, has_answer, parse_shown
from codec.text import decode_text, translate
from reactor import Reactor, Signals, Timer, ending_signals
from terminal.completer import completions
from terminal.conversation import Conversation, Row, RowKind
from terminal.link import Link, LinkError, Server
from terminal.questions import LOCAL_COMMANDS, help_lines, local_command, looks_mistyped

SILENCE_SECONDS = 2.0
"""How long an answer may take until the reader is told that it is waited for."""

AWAY_SECONDS = 300.0
"""Time without a key after which the reader is away, on a terminal that does not report focus."""

HIGH_WATER_BYTES = 64 * 1024
"""Bytes not shown yet at which no more is read from the server, until all of them are shown."""

CLOCK_FORMAT = "%H:%M"


class DrawnScreenOwner(Protocol):
    """What a screen that draws tells its owner."""

    def line_entered(self, text: str) -> bool:
        """Enter was pressed. Whether the line is taken; otherwise it stays where it was typed."""

    def end_typed(self) -> None:
        """Nothing more will be typed."""

    def interrupted(self) -> None:
        """Ctrl-C was pressed."""

    def completions(self, before: str) -> list[str]:
        """What may stand in place of the last word before the cursor."""

    def list_completions(self, texts: list[str]) -> None:
        """There are several: show them."""

    def key_pressed(self) -> None:
        """Something was typed: the reader is there."""

    def focus_changed(self, has_focus: bool) -> None:
        """The window has the focus, or has lost it."""

    def screen_flushed(self) -> None:
        """All that was to be shown is shown."""

    def screen_failed(self) -> None:
        """Nothing can be shown any more: the terminal is gone."""


class DrawnScreen(Protocol):
    """Where rows are drawn, and a line is edited. Nothing here blocks."""

    @property
    def owed_bytes(self) -> int:
        """How much waits to be shown."""

    def open(self, owner: DrawnScreenOwner) -> None:
        """Take the terminal, and tell `owner` from here on."""

    def show(self, rows: list[Row]) -> None:
        """Show these below all others."""

    def set_server(self, name: str) -> None:
        """The server that we are at."""

    def set_state(self, members: list[str], is_online: bool) -> None:
        """`members`: who are here, none if that is not known. `is_online`: whether we have a
        connection. While the server keeps our place, we are a member and not online."""

    def clear_line(self) -> None:
        """Forget what is typed."""

    def ring(self) -> None:
        """Ring the bell: a line is not taken."""

    def resize(self) -> None:
        """The terminal has another size."""

    def suspend(self) -> None:
        """Give the terminal back and stop the process, as Ctrl-Z asks; and take it again."""

    def close(self) -> None:
        """Give the terminal back as it was found."""


class InteractiveClient:
    """A session that outlives its connections."""

    def __init__(
        self,
        reactor: Reactor,
        screen: DrawnScreen,
        servers: Sequence[Server],
        join: Join,
        now: Callable[[str], str] = time.strftime,
    ) -> None:
        self._reactor = reactor
        self._screen = screen
        self._now = now
        self._conversation = Conversation(join.username)
        self._unanswered: deque[str] = deque()  # typed, by ENTER
        self._has_echo = True
        self._is_list_due = False
        self._asked = ""  # the line that will go to the room if Enter is pressed again
        self._silence: Timer | None = None
        self._key_at = reactor.now
        self._has_focus: bool | None = None  # unknown
        self.error: LinkError | None = None
        """Why it ended, unless the person ended it."""
        self.signal_received = 0
        """The number of the signal that asked to end, if one did."""
        self._link = Link(reactor, servers, join, self)

    def run(self) -> int:
        """Stay until the person ends it. Returns the exit status of the process. The terminal is
        given back in any case."""
        numbers = {*ending_signals(), signal.SIGINT, signal.SIGQUIT}
        numbers |= {signal.SIGWINCH, signal.SIGTSTP}
        signals = Signals(self._reactor, sorted(numbers), self._signal_received)
        try:
            self._screen.open(self)
            self._reactor.call_soon(self._watch_silence)  # when the link has begun to dial
            self._reactor.run()
        finally:
            self._screen.close()
            self._link.close()
            signals.close()
        return 1 if self.error else 0

    def complain(self, text: str) -> None:
        """Show an error of ours."""
        for line in text.split("\n"):
            self._tell(RowKind.BAD, line, "!")

    # For the screen.

    def line_entered(self, text: str) -> bool:
        lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip(" \t")]
        if not lines:
            return not text
        if not self._may_say(text, lines):
            return False
        self._asked = ""
        for line in lines:
            if local_command(line):
                self._show_help()
            else:
                self._say(line)
        return True

    def end_typed(self) -> None:
        self._link.leave()

    def interrupted(self) -> None:
        self._signal_received(signal.SIGINT)

    def completions(self, before: str) -> list[str]:
        return completions(before, self._conversation.members, LOCAL_COMMANDS)

    def list_completions(self, texts: list[str]) -> None:
        self._tell(RowKind.NOTICE, "  ".join(text.strip() for text in texts))

    def key_pressed(self) -> None:
        self._key_at = self._reactor.now
        self._conversation.set_away(False)

    def focus_changed(self, has_focus: bool) -> None:
        self._has_focus = has_focus
        self._conversation.set_away(not has_focus)

    def screen_flushed(self) -> None:
        self._link.resume()

    def screen_failed(self) -> None:
        self._reactor.stop()

    # For the link.

    def link_up(self, has_echo: bool) -> None:
        self._has_echo = has_echo
        self._is_list_due = has_echo
        self._screen.set_server(self._link.server.name)
        self._screen.set_state([], True)
        self._tell(RowKind.GOOD, _connected(self._link.server))
        self._watch_silence()

    def link_resumed(self) -> None:
        self._screen.set_state(self._conversation.members, True)
        self._tell(RowKind.GOOD, "back again: nothing was lost")
        self._watch_silence()

    def place_lost(self) -> None:
        self._forget_place()
        self._tell(RowKind.BAD, "your place is gone: what was said meanwhile is lost")
        self._tell_unanswered()

    def lines_received(self, texts: list[str]) -> None:
        if self._has_focus is None and self._reactor.now - self._key_at > AWAY_SECONDS:
            self._conversation.set_away(True)
        time = self._clock()
        self._screen.show([row for text in texts for row in self._take(text, time)])
        self._watch_silence()
        self._screen.set_state(self._conversation.members if self._has_echo else [], True)
        if self._screen.owed_bytes > HIGH_WATER_BYTES:
            self._link.pause()

    def link_down(self, reason: str, rest_seconds: float) -> None:
        soon = f"trying again in {rest_seconds:.0f} s"
        if self._link.has_place:
            self._screen.set_state(self._conversation.members, False)
            self._tell(RowKind.BAD, f"{reason}; away, {soon}")
        else:
            self._forget_place()
            self._tell(RowKind.BAD, f"{reason}; {soon}")
            self._tell_unanswered()
        self._watch_silence()

    def link_over(self, error: LinkError | None) -> None:
        self._tell_unanswered()
        self.error = error
        self._reactor.stop()

    # Details.

    def _take(self, text: str, time: str) -> list[Row]:
        """The rows for a line of the room."""
        conversation = self._conversation
        line = parse_shown(text)
        if line is None:
            return [conversation.tell(RowKind.NOTICE, text, time)]
        if self._is_list_due:
            if line.kind is LineKind.USERS:
                self._is_list_due = False
                return conversation.take_first_list(line, time)
        elif self._unanswered and line.answers(conversation.username):
            self._unanswered.popleft()
            self._link.note_answer()
        return conversation.take(line, time)

    def _forget_place(self) -> None:
        self._conversation.forget_members()
        self._screen.set_state([], False)

    def _signal_received(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self._screen.resize()
        elif number == signal.SIGTSTP:
            self._screen.suspend()
        elif number == signal.SIGINT and self._link.has_been_up:
            self._asked = ""
            self._screen.clear_line()
        else:
            self.signal_received = number
            self._link.leave()

    def _may_say(self, text: str, lines: list[str]) -> bool:
        """Whether this goes out; otherwise the person is told why not."""
        is_local = all(map(local_command, lines))
        if not self._link.is_up and not is_local and not all(map(_asks_to_leave, lines)):
            self._screen.ring()
            if self._asked != text:
                self._tell(
                    RowKind.BAD, "not connected: the line stays here until you press Enter again"
                )
            self._asked = text
            return False
        doubtful = next(filter(looks_mistyped, lines), "")
        if doubtful and self._asked != text:
            self._screen.ring()
            self._asked = text
            question = f"“{_as_shown(doubtful)}” is no command, and everyone would read it"
            self._tell(RowKind.BAD, f"{question}: Enter again says it, Ctrl-C forgets it", "?")
            return False
        return True

    def _say(self, line: str) -> None:
        if _asks_to_leave(line):
            if self._link.is_up:
                self._link.send(line)
            self._link.leave()
        if not self._link.is_up:
            return
        self._link.send(line)
        if not self._has_echo:
            self._show_own(line)
        elif has_answer(_as_sent(line)):
            self._unanswered.append(line)
            self._watch_silence()

    def _show_own(self, line: str) -> None:
        """What a server says to others, and by JOIN not to the one who typed it."""
        command = parse_command(_as_shown(line))
        text, tells_time = translate(command.text, lambda _: (0,) * 7)
        username = self._conversation.username
        if command.verb == SAY and not tells_time:
            shown = ShownLine(LineKind.SAID, username, text)
        elif command.verb == "message":
            shown = ShownLine(LineKind.SENT, command.to, text)
        else:
            return
        self._screen.show(self._conversation.take(shown, self._clock()))

    def _show_help(self) -> None:
        for text in help_lines():
            self._tell(RowKind.NOTICE, text, "?")

    def _tell_unanswered(self) -> None:
        while self._unanswered:
            self._tell(RowKind.BAD, f"not confirmed: {_as_shown(self._unanswered.popleft())}", "?")

    def _watch_silence(self) -> None:
        """Begin to wait anew: for an answer that is due, if one is."""
        if self._silence:
            self._silence.cancel()
            self._silence = None
        is_owed = self._link.is_up and (self._unanswered or self._is_list_due)
        if self._link.is_answer_due or is_owed:
            self._silence = self._reactor.call_later(SILENCE_SECONDS, self._tell_waiting)

    def _tell_waiting(self) -> None:
        self._tell(RowKind.NOTICE, f"waiting for {self._link.server.name} …")

    def _tell(self, kind: RowKind, text: str, label: str = "·") -> None:
        row = self._conversation.tell(kind, text, self._clock(), label)
        self._screen.show([row])

    def _clock(self) -> str:
        return self._now(CLOCK_FORMAT)


def _connected(server: Server) -> str:
    on_port = "" if server.port is None else f" on port {server.port}"
    return f"Connected to {server.host}{on_port}"


def _asks_to_leave(line: str) -> bool:
    return is_exit(_as_sent(line))


def _as_shown(line: str) -> str:
    """What was typed, safe on a terminal."""
    return decode_text(_as_sent(line))


def _as_sent(line: str) -> bytes:
    return line.encode("utf-8", "surrogateescape")
