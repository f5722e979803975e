"""What a room that runs for a term needs: -transcript, -history, -motd, -resume, -admin.

In: the flags, and the parts of a server. Out: the features that were asked for, listening on the
bus; what the server must drain at its end, and reload. Nothing else is loaded.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from chat.bus import Bus
from chat.journal import PLAIN, Journal, Style
from chat.room import Room
from cli.addresses import Address, is_path
from cli.flags import ServerFlags
from cli.start import needs, reason_of
from codec import Dispatcher, Roster
from codec.text import LocalTime
from reactor import Listener, Reactor
from reactor.stdio import Owing

MAX_RESUME_SECONDS = 3600
"""Most that -resume takes: a member that is away for longer has left."""

_OPTIONAL = "-transcript, -history, -motd, -resume, -admin or -log json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add those flags."""
    parser.add_argument(
        *("-transcript", "--transcript"),
        metavar="DIR",
        help="append what the console shows, with the time, to a file for each day in DIR",
    )
    parser.add_argument(
        *("-history", "--history"),
        metavar="LINES",
        type=_lines,
        default=0,
        help="show the last LINES lines to each newcomer that joins by ENTER (-ui, -web)",
    )
    parser.add_argument(
        *("-motd", "--motd"),
        metavar="FILE",
        help="show the lines of FILE to each newcomer that joins by ENTER; read again on SIGUSR1",
    )
    parser.add_argument(
        *("-resume", "--resume"),
        metavar="SECONDS",
        type=_seconds,
        default=None,
        help="keep the place of a member that joined by ENTER for so long when its connection is "
        "lost; 30 with -web, unless this is given",
    )
    parser.add_argument(
        *("-admin", "--admin"),
        metavar="PATH",
        help="obey the operator on a UNIX socket: echo help | nc -NU PATH",
    )


def style_of(log: str | None) -> Style:
    """How lines of the log are formatted, by the value of -log."""
    if log != "json":
        return PLAIN
    with needs("chat/", _OPTIONAL):
        from chat.json_log import JSON

    return JSON


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"not a number of lines: {text!r}")
    return int(text[:9])


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= MAX_RESUME_SECONDS):
        reason = f"not a number of seconds from 0 to {MAX_RESUME_SECONDS}: {text!r}"
        raise argparse.ArgumentTypeError(reason)
    return int(text)


class Parts(NamedTuple):
    """Those of the server. `warn` takes one line for the operator."""

    reactor: Reactor
    dispatcher: Dispatcher
    roster: Roster
    bus: Bus
    room: Room
    journal: Journal
    local_time: LocalTime
    warn: Callable[[str], None]


class Upkeep:
    """What was asked for, running."""

    def __init__(self, flags: ServerFlags, parts: Parts) -> None:
        """Raises OSError with the name of the file that cannot be opened."""
        self.owing: list[Owing] = []
        """What is drained at the end of the server."""
        self.reloaders: list[Callable[[], None]] = []
        """What reads its file again when it is asked to."""
        self._closers: list[Callable[[], None]] = []
        self._parts = parts
        with needs("chat/", _OPTIONAL):
            if flags.transcript:
                self._keep_transcript(flags.transcript)
            if flags.motd or flags.history:
                self._greet(flags.motd, flags.history)
            if flags.resume:
                self._keep_places(flags.resume, bool(flags.cluster or flags.cluster_file))
            if flags.admin:
                self._open_admin(flags.admin)

    def close(self) -> None:
        """The server has ended."""
        for close in self._closers:
            close()

    def _keep_transcript(self, directory: str) -> None:
        from chat.transcript import Transcript

        parts = self._parts
        try:
            transcript = Transcript(parts.reactor, directory, parts.local_time, parts.warn)
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, str(error), directory) from error
        parts.bus.add_listener(transcript.apply)
        self.owing.append(transcript.appender)
        self._closers.append(transcript.close)

    def _greet(self, path: str | None, lines: int) -> None:
        pages: list[Callable[[], bytes]] = []
        if path:
            from chat.motd import Motd

            motd = Motd(path)
            self.reloaders.append(lambda: self._reload(motd.reload, "what was read before stays"))
            pages.append(lambda: motd.page)
        if lines:
            from chat.history import History

            history = History(lines, self._parts.local_time)
            self._parts.bus.add_history(history)
            pages.append(lambda: history.page)
        self._parts.room.greet = lambda: [page() for page in pages]

    def _keep_places(self, seconds: float, is_one_of_several: bool) -> None:
        from chat.resume import Places, make_block

        block = make_block() if is_one_of_several else 0
        self._parts.room.places = Places(self._parts.reactor, self._parts.room, seconds, block)

    def _reload(self, reload: Callable[[], None], otherwise: str) -> None:
        try:
            reload()
        except OSError as error:
            self._parts.warn(f"{reason_of(error)}; {otherwise}")

    def _open_admin(self, path: str) -> None:
        from chat.admin import Admin, AdminDoor
        from chat.bans import Bans
        from chat.metrics import Metrics

        parts = self._parts
        address = Address(path if is_path(path) else os.path.join(".", path))
        parts.room.bans = bans = Bans(parts.reactor)
        metrics = Metrics(parts.room, parts.journal)
        door = AdminDoor(
            parts.reactor,
            Admin(parts.dispatcher, parts.roster, parts.bus, parts.room, metrics, bans),
        )
        open_anew = partial(_listen_for_owner, address, path)
        listener = Listener(
            parts.reactor,
            open_anew(),
            door.make_session,
            door.drop_oldest,
            open_anew=open_anew,
            on_broken=lambda error: parts.warn(f"{path}: {error.strerror}; opening it anew"),
            on_given_up=lambda error: parts.warn(f"{path}: {error.strerror}; -admin is off"),
        )

        def renew() -> None:
            if address.is_gone:
                listener.replace(open_anew())

        self.reloaders.append(lambda: self._reload(renew, "-admin is off"))
        parts.bus.add_listener(metrics.apply)
        parts.reactor.on_turn = metrics.note_turn
        self._closers += [listener.close, door.close, address.remove]


def _listen_for_owner(address: Address, path: str) -> socket.socket:
    """Listen at `address`, where this user alone may connect. Raises OSError, with `path`."""
    umask = os.umask(0o177)  # from the first moment on: the file is made by bind(2)
    try:
        return address.listen(0)
    except OSError as error:  # unix(7): a path that is too long has no number
        number = error.errno or errno.ENAMETOOLONG
        raise OSError(number, os.strerror(number), path) from error
    finally:
        os.umask(umask)
