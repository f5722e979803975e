"""The chat client: `python3 client.py -join -host <host> -port <port> -username <u> -passcode <p>`.

Standard output carries what the assignment names and nothing else; the rest goes to standard error.
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
MISSING = sorted({"cli/", "codec/", "reactor/", "terminal/"} - {x + "/" for x in os.listdir(HERE)})
if MISSING:
    sys.stderr.write(
        "error: %s %s missing beside client.py; make hand-in joins them into one file\n"
        % (" and ".join(", ".join(MISSING).rsplit(", ", 1)), "are" if len(MISSING) > 1 else "is")
    )
    sys.exit(2)
if sys.path[:1] != [HERE]:
    sys.path.insert(0, HERE)  # -I, -P and PYTHONSAFEPATH leave it out

from cli.start import has_started, load_for_later, put_right, reason_of

if __name__ == "__main__":
    put_right()

import argparse
import functools
import socket
from collections.abc import Iterator

from cli import trace
from cli.addresses import is_path
from cli.flags import (
    FULL,
    PLAIN,
    ClientFlags,
    Run,
    ServerAddress,
    complain,
    parse_client_flags,
    say,
)
from cli.tls import TlsSetupError, add_client_flags, make_client_transport
from codec import Join, ProtocolError, format_join
from reactor import LoopError, end_by_signal, format_exception, naming
from terminal.dial import connect, connect_unix, resolve
from terminal.plain import PlainScreen
from terminal.session import Client


def _add_find(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-find", "--find"),
        action=Run,
        call=_find,
        help="list the rooms that answer on the network, and exit",
    )


def _find() -> int:
    from terminal.find import find_rooms  # which a join does not need

    return find_rooms(functools.partial(say, 1), complain)


FEATURES = (add_client_flags, trace.add_flags, _add_find)
"""What has flags of its own."""


def main() -> int:
    flags = parse_client_flags(None, FEATURES)
    try:
        join_line = format_join(Join(flags.username, flags.passcode))
    except ProtocolError as refusal:
        say(1, str(refusal))
        return 1
    parts = trace.open_parts(flags.trace, "client.py", flags.username)
    load_for_later("encodings.idna")  # for the host
    return run_plain(flags, join_line, parts) if flags.ui == PLAIN else run_drawn(flags, parts)


def run_plain(flags: ClientFlags, join_line: bytes, parts: trace.Parts) -> int:
    """Show what the room says as it is, and nothing else."""
    connected = _connect(flags.servers)
    if connected is None:
        return 1
    server, sock = connected
    try:
        transport = _transport_maker(flags, server.host, parts)(sock)
    except TlsSetupError as error:
        complain(f"error: {error}")
        return 1
    reactor = parts.make_reactor(lambda: screen.complain(format_exception()))
    with naming("fstat"):
        screen = PlainScreen(reactor)
    client = Client(reactor, screen, transport, join_line, *server)
    has_started()
    try:
        status = client.run()
    except LoopError as error:
        complain(f"error: {error.strerror}")
        return 1
    parts.close()
    if client.signal_received:
        end_by_signal(client.signal_received)
    return status


def _connect(servers: list[ServerAddress]) -> tuple[ServerAddress, socket.socket] | None:
    """The first that takes a connection; None if there is none, and then it was told why."""
    for server in servers:
        host, port = server
        try:
            return server, connect_unix(host) if is_path(host) else connect(host, port or 0)
        except (OSError, UnicodeError) as error:
            is_refused = isinstance(error, ConnectionRefusedError)
            question = " (is the server running?)" if is_refused else ""
            word = "error" if server is servers[-1] else "warning"
            complain(f"{word}: cannot connect to {server.text}: {reason_of(error)}{question}")
    return None


def _transport_maker(flags: ClientFlags, host: str, parts: trace.Parts) -> trace.MakeTransport:
    make = functools.partial(make_client_transport, flags, host)
    return parts.wrap(make, "server", is_to_server=True)


def run_drawn(flags: ClientFlags, parts: trace.Parts) -> int:
    """The same with -ui. What that needs is loaded here, so that nothing else pays for it."""
    try:
        from terminal.drawn import Server, make_client

        servers = [
            Server(server.text, *server, addresses, _transport_maker(flags, server.host, parts))
            for server, addresses in _resolved(flags.servers)
        ]
        if not servers:
            return 1
        reactor = parts.make_reactor(lambda: client.complain(format_exception()))
        join = Join(flags.username, flags.passcode)
        client = make_client(reactor, servers, join, is_full=flags.ui == FULL)
    except ImportError as error:
        complain(f"error: -ui {flags.ui} is not possible: {_lack(error)}")
        return 2
    has_started()
    try:
        status = client.run()
    except (LoopError, TlsSetupError) as error:
        complain(f"error: {reason_of(error)}")
        return 1
    parts.close()
    if client.signal_received:
        end_by_signal(client.signal_received)
    if client.error:
        is_for_the_user = client.error.is_for_the_user
        say(1 if is_for_the_user else 2, f"{'' if is_for_the_user else 'error: '}{client.error}")
    return status


def _resolved(servers: list[ServerAddress]) -> Iterator[tuple[ServerAddress, list[str]]]:
    """Those that have addresses, and these; of the others it is told why."""
    for server in servers:
        try:
            yield server, [server.host] if is_path(server.host) else resolve(server.host)
        except (OSError, UnicodeError) as error:
            word = "error" if len(servers) == 1 else "warning"
            complain(f"{word}: cannot connect to {server.text}: {reason_of(error)}")


def _lack(error: ImportError) -> str:
    """What an interface lacks."""
    if error.name == "terminal":
        return "it needs the folder terminal/, which is not beside the program"
    if (error.name or "").startswith("prompt_toolkit"):
        return "it needs prompt_toolkit: pip install 'chatroom[tui]'"
    return reason_of(error)


if __name__ == "__main__":
    sys.exit(main())
