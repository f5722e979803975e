"""The whole room's behaviour: requests and lines in, events out.

In: requests to join, lines that members typed, news that a member is gone. Out: Events, plain
values that say who is to read what; carrying them out is the caller's. Raised: ProtocolError, by
`check` alone, for a request that is refused. Who is in the room is the roster's to know.

There is no socket here and no clock: the time is told by a function that is passed in.
"""

from __future__ import annotations

# That of hmac, which brings OpenSSL as well: a tenth of a start, and four mebibytes.
from _operator import _compare_digest as compare_digest
from collections.abc import Callable

from codec import framing
from codec.commands import Command, parse_command
from codec.errors import ProtocolError
from codec.events import Event, Kind
from codec.framing import LineTooLongError, encode_line, has_longer_line
from codec.handshake import INCORRECT_PASSCODE, OK, Join, check_username
from codec.roster import Roster
from codec.text import LocalTime, are_plain, decode_text, translate

SHUTTING_DOWN = "Server is shutting down"

NOTICE_MARK = "* "
"""In front of each reply, but for the list of members, to one that has an echo: no other line of
the server begins like it, and so no username makes a reply look like something that was said."""


class Dispatcher:
    """What comes of everything that members do.

    A member is named by its username, as its owner spells it. With `echo` it came by ENTER: each
    line that it types, unless that is blank or `:Exit`, has just one answer, which is its own line
    as the others read it, `[Message to ...]`, the list of members, or a notice. `local_time` is
    asked once for each time shortcut. `max_line_bytes`, by default framing.MAX_LINE_BYTES, bounds
    every line shown, but for the list of members.
    """

    def __init__(
        self,
        passcode: bytes,
        local_time: LocalTime,
        roster: Roster,
        max_line_bytes: int | None = None,
    ) -> None:
        self._passcode = passcode
        self._local_time = local_time
        self._roster = roster
        self.max_line_bytes = framing.MAX_LINE_BYTES if max_line_bytes is None else max_line_bytes

    # What happens to the room, each answered by its event.

    def check(self, join: Join) -> None:
        """Raise ProtocolError if the passcode differs or the username is not valid.

        The passcode is compared first and in constant time: without it a guest learns nothing else.
        """
        if not compare_digest(join.passcode, self._passcode):
            raise ProtocolError(INCORRECT_PASSCODE)
        check_username(join.username)

    def join(self, username: str) -> Event:
        """The owner of a claimed name comes in. It reads OK, and not its own `joined`."""
        joined = encode_line(f"{username} joined the chatroom")
        ok = ((username, encode_line(OK)),)
        return Event(Kind.JOINED, username, joined, joined, private=ok)

    def leave(self, username: str) -> Event:
        """The member `username` goes, by its own wish or because its connection is gone."""
        left = encode_line(f"{username} left the chatroom")
        return Event(Kind.LEFT, username, left, left)

    def dispatch(self, username: str, line: bytes, echo: bool = False) -> Event | None:
        """Obey a line that the member `username` typed, given without its line end. None if
        nothing comes of it."""
        command = parse_command(decode_text(line))
        obey: Callable[[str, Command, bool], Event | None] = getattr(self, command.verb)
        return obey(username, command, echo)

    def dispatch_plain(self, username: str, lines: bytes, echo: bool = False) -> Event | None:
        """Obey many lines at once, each ended by LF, if none of them needs a closer look; what
        comes of it is what `dispatch` would bring about, one line after the other. None if one
        does, or may: then nothing has happened."""
        if not are_plain(lines):
            return None
        prefix = f"{username}: ".encode()
        if has_longer_line(lines, self.max_line_bytes - len(prefix)):
            return None
        shown = prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n"
        return Event(Kind.SAID, username, shown, shown, echo)

    def refuse_line(self, username: str, echo: bool = False) -> Event:
        """Tell the member `username`, and no other, that its line is longer than any that is
        said."""
        return self._refuse_after(f"{username}: ", username, echo)

    # One method for each verb of codec.commands.

    def say(self, username: str, command: Command, echo: bool) -> Event:
        text, tells_time = translate(command.text, self._local_time)
        line = encode_line(f"{username}: {text}")
        if self._is_too_long(line):
            return self._refuse_after(f"{username}: ", username, echo)
        return Event(Kind.SAID, username, line, line, tells_time or echo)

    def message(self, username: str, command: Command, echo: bool) -> Event:
        to = self._roster.find(command.to)
        if to is None:
            return self._reply(username, "No such user: ", command.to, echo)
        text, _ = translate(command.text, self._local_time)
        prefix = f"[Message from {username}]: "
        line = encode_line(prefix + text)
        private: tuple[tuple[str, bytes], ...] = ((to, line),)
        if echo:
            own_prefix = f"[Message to {to}]: "
            own = encode_line(own_prefix + text)
            # To oneself the answer is the message.
            private = ((username, own),) if to == username else (*private, (username, own))
            if to == username or len(own) > len(line):
                prefix, line = own_prefix, own
        if self._is_too_long(line):
            return self._refuse_after(prefix, username, echo)
        console = encode_line(f"{username}: send message to {to}")
        return Event(Kind.PRIVATE, username, console, private=private)

    def list_users(self, username: str, command: Command, echo: bool) -> Event:
        console = encode_line(f"{username}: searched up active users")
        return _notice(username, self._roster.users_line, console)

    def exit(self, username: str, command: Command, echo: bool) -> Event:
        return self.leave(username)

    def nothing(self, username: str, command: Command, echo: bool) -> None:
        return None

    def misuse(self, username: str, command: Command, echo: bool) -> Event:
        return self._reply(username, command.text, "", echo)

    # Details.

    def _reply(self, username: str, prefix: str, text: str, echo: bool) -> Event:
        prefix = NOTICE_MARK + prefix if echo else prefix
        line = encode_line(prefix + text)
        if self._is_too_long(line):
            return self._refuse_after(prefix, username, echo)
        return _notice(username, line)

    def _refuse_after(self, prefix: str, username: str, echo: bool) -> Event:
        """Too much text stood behind `prefix`. Its sender is told of the text, which it knows."""
        error = LineTooLongError(self.max_line_bytes - len(prefix))
        return _notice(username, encode_line(f"{NOTICE_MARK if echo else ''}{error}"))

    def _is_too_long(self, line: bytes) -> bool:
        return len(line) - len(b"\n") > self.max_line_bytes


def _notice(username: str, line: bytes, console: bytes = b"") -> Event:
    return Event(Kind.NOTICE, username, console, private=((username, line),))
