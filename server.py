"""The chat server: `python3 server.py -start -port <port> -passcode <passcode>`.

Puts together a Reactor, a Listener and a Room, and ends them when a signal asks for it. Standard
output carries what the assignment names and nothing else; the rest goes to standard error.
"""

import os
import sys

if sys.version_info < (3, 10):  # which this file can be read by
    sys.stderr.write("error: Python 3.10 or newer is needed; this is %s\n" % sys.version.split()[0])
    sys.exit(2)

if __name__ == "__main__":  # until `put_right` does more, which has to be loaded first
    sys.excepthook = lambda kind, error, traceback: (
        kind is KeyboardInterrupt or sys.stderr.write("error: cannot start: %s\n" % error)
    )

HERE = os.path.dirname(os.path.realpath(__file__))
MISSING = sorted({"chat/", "cli/", "codec/", "reactor/"} - {x + "/" for x in os.listdir(HERE)})
if MISSING:
    sys.stderr.write(
        "error: %s %s missing beside server.py; make hand-in joins them into one file\n"
        % (" and ".join(", ".join(MISSING).rsplit(", ", 1)), "are" if len(MISSING) > 1 else "is")
    )
    sys.exit(2)
if sys.path[:1] != [HERE]:
    sys.path.insert(0, HERE)  # -I, -P and PYTHONSAFEPATH leave it out

from cli.start import has_started, load_for_later, needs, put_right

CLOSED = put_right() if __name__ == "__main__" else frozenset()

import socket
from collections.abc import Callable

from chat import journal
from chat.bus import LocalBus
from chat.clock import LocalClock
from chat.journal import Journal
from chat.room import Room
from cli import addresses, cluster, limits, tls, trace, upkeep, web
from cli.addresses import Address, Doors, inherited_descriptors, warn_of_network
from cli.flags import ServerFlags, complain, parse_server_flags
from cli.tls import ServerTls, TlsSetupError, make_server_tls
from cli.upkeep import Parts, Upkeep, style_of
from cli.web import Web, WebSetupError, is_page_exposed, make_web
from codec import Dispatcher, Roster
from reactor import (
    Listener,
    LoopError,
    Signals,
    Sink,
    SocketTransport,
    discard_typed,
    drain,
    ending_signals,
    format_exception,
    naming,
    raise_descriptor_limit,
)

FEATURES = (
    *(addresses.add_flags, tls.add_flags, journal.add_flags),
    *(upkeep.add_flags, web.add_flags, cluster.add_flags, limits.add_flags, trace.add_flags),
)
"""What has flags of its own."""

OWN_DESCRIPTORS = 16
"""Standard streams, selector, signals, listeners, and a few to spare: the rest is for members."""

SHUTDOWN_SECONDS = 2.0
"""Longest that the last words to members and console may take."""


class Server:
    """All the parts of a running server."""

    def __init__(
        self,
        flags: ServerFlags,
        doors: Doors,
        descriptors: int,
        server_tls: ServerTls | None,
        parts: trace.Parts,
        site: Web | None = None,
        make_bus: cluster.BusMaker | None = None,
    ) -> None:
        """Take over `doors`; there are so many `descriptors`, or 0 if that is not known. Raises
        OSError with the name of what failed."""
        self.port = doors.port
        self._tls = server_tls
        self._parts = parts
        self._style = style_of(flags.log)
        self._reactor = parts.make_reactor(self._report)
        with naming("fstat"):
            self._stderr = Sink(self._reactor, 2)
            self._console = Sink(
                self._reactor, 1, on_dropped=self._tell_dropped, on_error=self._tell_failed
            )
        self._journal = Journal(self._reactor, self._write_log, bool(flags.log), self._style)
        self._roster = Roster()
        self._cluster = make_bus(self._reactor, self._warn, self._end_cluster) if make_bus else None
        self._bus = self._cluster or LocalBus()
        self._clock = LocalClock()
        self._dispatcher = Dispatcher(flags.passcode, self._clock, self._roster)
        self._room = self._make_room()
        self._listeners = [self._make_listener(doors, *door) for door in doors.sockets.items()]
        self._on_start: list[Callable[[], None]] = []
        self._reloaders: list[Callable[[], None]] = [self._reload] if self._tls else []
        self._on_end = [listener.close for listener in self._listeners]
        self._exit_status = 0
        self._is_shutting_down = False
        self._deadline = 0.0  # of the last words
        self._add_features(flags, doors, site)
        self._upkeep = Upkeep(flags, self._upkeep_parts())
        if flags.log and server_tls:
            self._log(f"certificate {server_tls.fingerprint}")
        if flags.log and descriptors:
            self._log(f"room for {max(0, descriptors - OWN_DESCRIPTORS)} members")

    def run(self) -> int:
        """Serve until a signal asks to end, and then until everyone has been told. Returns the exit
        status of the process. Raises LoopError."""
        reloaders = [*self._reloaders, *self._upkeep.reloaders]
        signals = Signals(
            self._reactor, ending_signals(), lambda number: self._shut_down(), reloaders
        )
        self._console.write(b"Server started on port %d. Accepting connections\n" % self.port)
        self._console.flush()
        has_started()
        for tell in self._on_start:
            tell()
        self._reactor.run()
        self._journal.tell_totals()
        owing = [self._console, self._stderr, *self._upkeep.owing]
        drain(self._reactor, owing, self._deadline)
        self._upkeep.close()
        if self._cluster:
            self._cluster.close()
        if self._console.unwritten_lines:
            self._tell_dropped(self._console.unwritten_lines)
        self._stderr.flush()
        self._room.close()
        discard_typed(0)
        signals.close()
        self._parts.close()
        return self._exit_status

    def _make_listener(self, doors: Doors, address: Address, sock: socket.socket) -> Listener:
        server_tls = None if address.is_path else self._tls  # what goes through a file stays here
        return Listener(
            self._reactor,
            sock,
            self._room.make_guest,
            self._room.gate.make_room,
            self._room.refuse_at_the_door,
            self._parts.wrap(server_tls.make_transport if server_tls else SocketTransport),
            may_accept=self._room.gate.has_room if server_tls else None,
            open_anew=lambda: address.listen(self.port),
            on_broken=lambda error: self._tell_broken(doors.place(address), error),
            on_given_up=lambda error: self._give_up(doors.place(address), error),
        )

    def _make_room(self) -> Room:
        # The console comes first: what a member has read stands there already.
        self._bus.add_listener(lambda event: self._console.write(event.console))
        parts = (self._dispatcher, self._roster, self._bus, self._journal)
        make_room = self._cluster.make_room if self._cluster else Room
        room = make_room(self._reactor, *parts, self._reactor.stop)
        self._parts.watch_room(self._bus, room.fanout)
        return room

    def _add_features(self, flags: ServerFlags, doors: Doors, site: Web | None) -> None:
        """What was asked for, each with something to do when the room starts or ends."""
        if self._cluster:
            self._on_start.append(self._cluster.start)
            self._on_end.append(self._cluster.leave)
        if flags.announce:
            self._announce(doors)
        if "NOTIFY_SOCKET" in os.environ:
            self._supervise()
        if site:
            parts = (self._reactor, self._room, self._journal, self._tls, self._parts, self._log)
            self._on_end.append(site.serve(*parts))
            self._log(f"page: {site.place(self._tls is not None)}")

    def _upkeep_parts(self) -> Parts:
        return Parts(
            *(self._reactor, self._dispatcher, self._roster, self._bus, self._room),
            *(self._journal, self._clock, self._warn),
        )

    def _announce(self, doors: Doors) -> None:
        with needs("chat/", "-announce"):
            from chat.presence import announce  # which takes time, and is seldom asked for

        def tell(error: OSError) -> None:
            self._log(f"warning: -announce: {error.strerror}; it is off")

        addresses = [address.text for address in doors.sockets if address.is_ipv4]
        self._on_end.append(announce(self._reactor, self._roster, addresses, self.port, tell).close)

    def _supervise(self) -> None:
        try:
            from cli.supervisor import Supervisor  # which systemd alone asks for
        except ModuleNotFoundError:
            return  # a joined program has none, and its parent's variable is no reason to fail

        supervisor = Supervisor(self._reactor, self.port, self._roster)
        self._bus.add_listener(supervisor.note_event)
        self._on_start.append(supervisor.tell_ready)
        self._on_end.append(supervisor.tell_stopping)
        self._reloaders.append(supervisor.note_reload)

    def _reload(self) -> None:
        if self._tls is None:
            return
        try:
            self._tls.reload()
        except TlsSetupError as error:
            self._log(f"warning: the certificate stays: {error}")
        else:
            self._log(f"certificate {self._tls.fingerprint}")

    def _shut_down(self) -> None:
        if self._is_shutting_down:
            self._deadline = self._reactor.now
            self._reactor.stop()
            return
        self._is_shutting_down = True
        for end in self._on_end:
            end()
        self._deadline = self._reactor.now + SHUTDOWN_SECONDS
        self._reactor.call_at(self._deadline, self._reactor.stop)
        self._room.shut_down()

    def _end_cluster(self, reason: str) -> None:
        """This server cannot stay in the room."""
        self._log(f"error: {reason}")
        self._exit_status = 1
        self._shut_down()

    def _tell_broken(self, place: str, error: OSError) -> None:
        self._log(f"warning: accept: {error.strerror}; opening {place} anew")

    def _give_up(self, place: str, error: OSError) -> None:
        self._log(f"error: cannot listen on {place} any more: {error.strerror}")
        self._exit_status = 1
        self._shut_down()

    def _warn(self, text: str) -> None:
        self._log(f"warning: {text}")

    def _log(self, text: str) -> None:
        self._write_log(self._style.format_text(text))

    def _write_log(self, line: str) -> None:
        self._parts.note_log(line)
        self._stderr.write(line.encode("utf-8", "backslashreplace") + b"\n")

    def _report(self) -> None:
        self._log(format_exception())

    def _tell_dropped(self, lines: int) -> None:
        self._log(f"warning: standard output: {lines} lines not shown")

    def _tell_failed(self, error: OSError) -> None:
        self._log(f"warning: standard output: {error.strerror}")


def _inherited_sockets() -> list[socket.socket]:
    if not inherited_descriptors():
        return []
    with needs("cli/", "a socket of systemd"):
        from cli.supervisor import inherited_sockets

    return inherited_sockets()


def _open(*doors: Doors) -> bool:
    """Listen there; False if that cannot be, and then it was told why."""
    for each in doors:
        try:
            each.open()
        except OSError as error:
            complain(f"error: {each.explain(error)}")
            for opened in doors:
                opened.remove()
            return False
    return True


def _warn_of_setting(flags: ServerFlags, doors: Doors, server_tls: ServerTls | None) -> None:
    has_tls = server_tls is not None
    warnings = [*warn_of_network(doors.sockets, flags.passcode, has_tls, is_page_exposed(flags))]
    for warning in warnings + (server_tls.warnings() if server_tls else []):
        complain(f"warning: {warning}")
    if 1 in CLOSED:
        complain("warning: standard output is closed")


def main() -> int:
    flags = parse_server_flags(None, FEATURES)
    parts = trace.open_parts(flags.trace, "server.py", "server")
    descriptors = raise_descriptor_limit()  # first of all: a start needs some too
    try:
        server_tls = make_server_tls(flags)
        site = make_web(flags)
    except (TlsSetupError, WebSetupError) as error:
        complain(f"error: {error}")
        return 2
    doors = Doors(flags.listen, flags.port, _inherited_sockets())
    if not _open(doors, *([site.doors] if site else [])):
        return 1
    _warn_of_setting(flags, doors, server_tls)
    try:
        make_bus = cluster.make_bus_maker(flags, doors.port)
    except (OSError, ImportError) as error:
        complain(f"error: {error}")
        doors.remove()
        return 2
    load_for_later()
    server = Server(flags, doors, descriptors, server_tls, parts, site, make_bus)
    try:
        return server.run()
    except LoopError as error:
        complain(f"error: {error.strerror}")
        return 1
    finally:
        doors.remove()


if __name__ == "__main__":
    sys.exit(main())
