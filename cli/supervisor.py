"""What a server and systemd tell each other, or any supervisor that speaks the same protocol.

In: variables that the supervisor sets, and what happens to the server. Out: datagrams to its
socket, and the listening sockets that it opened for us.

    NOTIFY_SOCKET               READY=1, STATUS=..., STOPPING=1 (sd_notify(3))
    WATCHDOG_USEC, WATCHDOG_PID WATCHDOG=1, twice in that time (sd_watchdog_enabled(3))
    LISTEN_FDS, LISTEN_PID      descriptors 3 and up are sockets that listen (sd_listen_fds(3))

It is loaded only if one of these is set, and wakes the loop only if WATCHDOG_USEC is.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Annotated

from cli.addresses import inherited_descriptors
from codec import Event, Kind, Roster
from reactor import Reactor, Timer

STATUS_SECONDS: Annotated[
    float,
    "Time between two words to the supervisor about how many members there are.",
] = 1.0


def inherited_sockets() -> list[socket.socket]:
    """The sockets that the supervisor opened for this process; none if they are for another
    process. They are non-blocking, and our children do not inherit them.

    Raises OSError if one of them is not a stream socket that listens.
    """
    return [_take(descriptor) for descriptor in inherited_descriptors()]


def _take(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
        is_listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        error.filename = f"LISTEN_FDS: descriptor {descriptor}"
        raise
    if sock.type != socket.SOCK_STREAM or not is_listening:
        sock.detach()
        raise OSError(0, "not a stream socket that listens", f"LISTEN_FDS: descriptor {descriptor}")
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


class Supervisor:
    """Tells the supervisor the state of the server. A message that it does not take at once is
    lost: the supervisor may be gone."""

    def __init__(
        self,
        reactor: Reactor,
        port: int,
        roster: Roster,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._reactor = reactor
        self._port = port
        self._roster = roster
        self._address = environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        if not self._address.startswith(("/", "\0")):
            self._address = ""
        self._watchdog_seconds = _watchdog_seconds(environ)
        self._watchdog: Timer | None = None
        self._next_status: Timer | None = None

    def tell_ready(self) -> None:
        """The server is ready. From here on the watchdog is told that the loop turns."""
        self._send(f"READY=1\n{self._status()}")
        if self._watchdog_seconds:
            self._feed_watchdog()

    def note_event(self, event: Event) -> None:
        """Soon tell how many members there are, if the event changes that."""
        if event.kind in (Kind.JOINED, Kind.LEFT) and self._next_status is None:
            self._next_status = self._reactor.call_later(STATUS_SECONDS, self._tell_status)

    def note_reload(self) -> None:
        """SIGUSR1 came, as `systemctl reload` sends it: it must not end a server that has nothing
        to read again."""

    def tell_stopping(self) -> None:
        """The server ends; this is the last message."""
        for timer in (self._watchdog, self._next_status):
            if timer:
                timer.cancel()
        self._send("STOPPING=1")
        self._address = ""

    def _status(self) -> str:
        """For `systemctl status`."""
        members = len(self._roster)
        return f"STATUS=port {self._port}, {members} member{'' if members == 1 else 's'}"

    def _tell_status(self) -> None:
        self._next_status = None
        self._send(self._status())

    def _feed_watchdog(self) -> None:
        self._send("WATCHDOG=1")
        self._watchdog = self._reactor.call_later(self._watchdog_seconds, self._feed_watchdog)

    def _send(self, state: str) -> None:
        if self._address:
            with (
                contextlib.suppress(OSError),
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
            ):
                sock.setblocking(False)
                sock.sendto(state.encode(), self._address)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Time between two messages to the watchdog: half of its time; 0 for none."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    process = environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or process != str(os.getpid()):
        return 0.0
    return int(microseconds) / 1e6 / 2
