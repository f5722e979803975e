"""The whole room's behaviour: members and lines in, deliveries out.

In: requests to join, lines that members typed, news that a member is gone. Out: Deliveries, a
plain value that says who is to read what; carrying it out is the caller's. Raised: ProtocolError,
by `join` alone, for whoever may not come in. The only state is who is in the room.

There is no socket here and no clock: the time is told by a function that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from codec import commands, framing
from codec.commands import Command, parse_command
from codec.errors import ProtocolError
from codec.framing import LineTooLongError, encode_line, has_longer_line
from codec.handshake import INCORRECT_PASSCODE, OK, Join, check_username, username_in_use
from codec.text import LocalTime, are_plain, decode_text, translate

SHUTTING_DOWN = "Server is shutting down"


class Deliveries(NamedTuple):
    """What one event brings about. Every line is bytes, ended by LF; b"" means none.

    - `console`: what the server prints; this and `room` may be several lines.
    - `room`: what every member but the one it comes from reads; `room_and_self`: that one too.
    - `private`: (username, line) pairs, for one member each.
    - `leaves`: the one it comes from is no longer a member.
    """

    console: bytes = b""
    room: bytes = b""
    room_and_self: bool = False
    private: tuple[tuple[str, bytes], ...] = ()
    leaves: bool = False


Handler = Callable[[str, Command], Deliveries]
"""(username of the member who typed it, command) -> what comes of it."""

_NO_DELIVERIES = Deliveries()


class Dispatcher:
    """The members of one room, and what comes of everything they do.

    A member is named by its username, as its owner spells it. `local_time` is asked once for each
    time shortcut. `max_line_bytes`, by default framing.MAX_LINE_BYTES, bounds every line shown, but
    for the list of members.
    """

    def __init__(
        self, passcode: bytes, local_time: LocalTime, max_line_bytes: int | None = None
    ) -> None:
        self._passcode = passcode
        self._local_time = local_time
        self.max_line_bytes = framing.MAX_LINE_BYTES if max_line_bytes is None else max_line_bytes
        self._members: dict[str, str] = {}  # folded -> as its owner spells it, in join order
        self._users_line = b""  # made when first asked for, until membership changes
        self._handlers: dict[str, Handler] = {}
        self.register(commands.SAY, self._say)
        self.register(commands.MESSAGE, self._message)
        self.register(commands.LIST_USERS, self._list_users)
        self.register(commands.EXIT, self._exit)
        self.register(commands.NOTHING, self._nothing)
        self.register(commands.MISUSE, self._misuse)

    def register(self, verb: str, handler: Handler) -> None:
        """Let `handler` obey the commands with this verb, instead of whoever did before."""
        self._handlers[verb] = handler

    @property
    def usernames(self) -> list[str]:
        """The members in the order they joined."""
        return list(self._members.values())

    # What happens to the room, each answered by what comes of it.

    def join(self, join: Join) -> Deliveries:
        """Let a newcomer in, or raise ProtocolError with the reason not to.

        The passcode is compared first and in constant time: without it nobody learns which names
        are taken. The newcomer itself reads OK, and not its own `joined`.
        """
        import hmac  # brings OpenSSL, a tenth of a start, and a client never needs it

        if not hmac.compare_digest(join.passcode, self._passcode):
            raise ProtocolError(INCORRECT_PASSCODE)
        username = join.username
        check_username(username)
        if _fold(username) in self._members:
            raise username_in_use(username)
        self._members[_fold(username)] = username
        self._users_line = b""
        joined = encode_line(f"{username} joined the chatroom")
        return Deliveries(joined, joined, private=((username, encode_line(OK)),))

    def dispatch(self, username: str, line: bytes) -> Deliveries:
        """Obey a line that the member `username` typed, given without its line end."""
        command = parse_command(decode_text(line))
        return self._handlers[command.verb](username, command)

    def dispatch_plain(self, username: str, lines: bytes) -> Deliveries | None:
        """Obey many lines at once, each ended by LF, if none of them needs a closer look; what
        comes of it is what `dispatch` would bring about, one line after the other. None if one
        does, or may: then nothing has happened."""
        if self._handlers[commands.SAY] != self._say:
            return None
        prefix = f"{username}: ".encode()
        if not are_plain(lines) or has_longer_line(lines, self.max_line_bytes - len(prefix)):
            return None
        shown = prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n"
        return Deliveries(shown, shown)

    def refuse(self, username: str, error: ProtocolError) -> Deliveries:
        """Tell the member `username`, and nobody else, why its line was not taken."""
        return Deliveries(private=((username, encode_line(str(error))),))

    def leave(self, username: str) -> Deliveries:
        """Take the member `username` out, by its own wish or because it is gone."""
        del self._members[_fold(username)]
        self._users_line = b""
        left = encode_line(f"{username} left the chatroom")
        return Deliveries(left, left, leaves=True)

    # One handler for each verb.

    def _say(self, username: str, command: Command) -> Deliveries:
        text, tells_time = translate(command.text, self._local_time)
        line = encode_line(f"{username}: {text}")
        if self._is_too_long(line):
            return self.refuse(username, LineTooLongError(self.max_line_bytes))
        return Deliveries(line, line, tells_time)

    def _message(self, username: str, command: Command) -> Deliveries:
        to = self._members.get(_fold(command.to))
        if to is None:
            return self._reply(username, f"No such user: {command.to}")
        text, _ = translate(command.text, self._local_time)
        line = encode_line(f"[Message from {username}]: {text}")
        if self._is_too_long(line):
            return self.refuse(username, LineTooLongError(self.max_line_bytes))
        console = encode_line(f"{username}: send message to {to}")
        return Deliveries(console, private=((to, line),))

    def _list_users(self, username: str, command: Command) -> Deliveries:
        if not self._users_line:
            self._users_line = encode_line(f"Active Users: {', '.join(self._members.values())}")
        console = encode_line(f"{username}: searched up active users")
        return Deliveries(console, private=((username, self._users_line),))

    def _exit(self, username: str, command: Command) -> Deliveries:
        return self.leave(username)

    def _nothing(self, username: str, command: Command) -> Deliveries:
        return _NO_DELIVERIES

    def _misuse(self, username: str, command: Command) -> Deliveries:
        return self._reply(username, command.text)

    # Details.

    def _reply(self, username: str, text: str) -> Deliveries:
        line = encode_line(text)
        if self._is_too_long(line):
            return self.refuse(username, LineTooLongError(self.max_line_bytes))
        return Deliveries(private=((username, line),))

    def _is_too_long(self, line: bytes) -> bool:
        return len(line) - len(b"\n") > self.max_line_bytes


def _fold(username: str) -> str:
    """Names that differ in letter case alone are one name. Only ASCII has case here: U+212A, the
    Kelvin sign, is no k."""
    return username.lower() if username.isascii() else username
