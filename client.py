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

from cli.addresses import is_path
from cli.flags import complain, parse_client_flags, say
from cli.tls import TlsSetupError, add_client_flags, make_client_transport
from codec import Join, ProtocolError, format_join
from reactor import LoopError, Reactor, end_by_signal, format_exception, naming
from terminal.dial import connect, connect_unix
from terminal.plain import PlainScreen
from terminal.session import Client

FEATURES = (add_client_flags,)
"""What has flags of its own."""


def main() -> int:
    flags = parse_client_flags(None, FEATURES)
    try:
        join_line = format_join(Join(flags.username, flags.passcode))
    except ProtocolError as refusal:
        say(1, str(refusal))
        return 1
    load_for_later("encodings.idna")  # for the host
    host, port = flags.host, flags.port
    try:
        sock = connect_unix(host) if is_path(host) else connect(host, port or 0)
    except (OSError, UnicodeError) as error:
        question = " (is the server running?)" if isinstance(error, ConnectionRefusedError) else ""
        reason = f"{reason_of(error)}{question}"
        place = host if port is None else f"{host} port {port}"
        complain(f"error: cannot connect to {place}: {reason}")
        return 1
    try:
        transport = make_client_transport(flags, sock)
    except TlsSetupError as error:
        complain(f"error: {error}")
        return 1
    reactor = Reactor(report=lambda: screen.complain(format_exception()))
    with naming("fstat"):
        screen = PlainScreen(reactor)
    client = Client(reactor, screen, transport, join_line, host, port)
    has_started()
    try:
        status = client.run()
    except LoopError as error:
        complain(f"error: {error.strerror}")
        return 1
    if client.signal_received:
        end_by_signal(client.signal_received)
    return status


if __name__ == "__main__":
    sys.exit(main())
