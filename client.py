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

from cli.flags import PLAIN, ClientFlags, complain, parse_client_flags, say
from codec import Join, ProtocolError, format_join
from reactor import LoopError, Reactor, end_by_signal, format_exception, naming
from terminal.dial import connect
from terminal.plain import PlainScreen
from terminal.session import Client


def main() -> int:
    flags = parse_client_flags()
    try:
        join_line = format_join(Join(flags.username, flags.passcode))
    except ProtocolError as refusal:
        say(1, str(refusal))
        return 1
    load_for_later("encodings.idna")  # for the host
    if flags.ui != PLAIN:
        return run_drawn(flags)
    try:
        sock = connect(flags.host, flags.port)
    except (OSError, UnicodeError) as error:
        question = " (is the server running?)" if isinstance(error, ConnectionRefusedError) else ""
        reason = f"{reason_of(error)}{question}"
        complain(f"error: cannot connect to {flags.host} port {flags.port}: {reason}")
        return 1
    reactor = Reactor(report=lambda: screen.complain(format_exception()))
    with naming("fstat"):
        screen = PlainScreen(reactor)
    client = Client(reactor, screen, sock, join_line, flags.host, flags.port)
    has_started()
    try:
        status = client.run()
    except LoopError as error:
        complain(f"error: {error.strerror}")
        return 1
    if client.signal_received:
        end_by_signal(client.signal_received)
    return status


def run_drawn(flags: ClientFlags) -> int:
    """The same with -ui. What that needs is loaded here, so that nothing else pays for it."""
    try:
        from terminal.drawn import make_client

        reactor = Reactor(report=lambda: client.complain(format_exception()))
        client = make_client(reactor, flags.host, flags.port, Join(flags.username, flags.passcode))
    except ImportError as error:
        complain(f"error: -ui {flags.ui} cannot be had: {reason_of(error)}")
        return 2
    except (OSError, UnicodeError) as error:
        complain(f"error: cannot connect to {flags.host} port {flags.port}: {reason_of(error)}")
        return 1
    has_started()
    status = client.run()
    if client.signal_received:
        end_by_signal(client.signal_received)
    if client.error:
        is_for_the_user = client.error.is_for_the_user
        say(1 if is_for_the_user else 2, f"{'' if is_for_the_user else 'error: '}{client.error}")
    return status


if __name__ == "__main__":
    sys.exit(main())
