"""The chat client: `python3 client.py -join -host <host> -port <port> -username <u> -passcode <p>`.

Standard output carries what the assignment names and nothing else; the rest goes to standard error.
"""

import os
import signal
import sys

if sys.version_info < (3, 10):  # which this file can be read by
    sys.stderr.write("error: Python 3.10 or newer is needed; this is %s\n" % sys.version.split()[0])
    sys.exit(2)

if __name__ == "__main__":
    # First of all: until the loop listens to it, Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

HERE = os.path.dirname(os.path.realpath(__file__))
MISSING = [
    name + "/"
    for name in ("cli", "codec", "reactor", "terminal")
    if not os.path.isdir(os.path.join(HERE, name))
]
if MISSING:
    sys.stderr.write(
        "error: %s %s missing beside client.py; make hand-in joins them into one file\n"
        % (" and ".join(", ".join(MISSING).rsplit(", ", 1)), "are" if len(MISSING) > 1 else "is")
    )
    sys.exit(2)
if HERE not in sys.path:
    sys.path.insert(0, HERE)  # -I, -P and PYTHONSAFEPATH leave it out

from cli.flags import complain, parse_client_flags, say
from codec import Join, ProtocolError, format_join
from reactor import (
    LoopError,
    Reactor,
    end_by_signal,
    format_exception,
    reserve_standard_descriptors,
)
from terminal.dial import connect
from terminal.plain import PlainScreen
from terminal.session import Client


def main() -> int:
    reserve_standard_descriptors()
    flags = parse_client_flags()
    try:
        join_line = format_join(Join(flags.username, flags.passcode))
    except ProtocolError as refusal:
        say(1, str(refusal))
        return 1
    try:
        sock = connect(flags.host, flags.port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        question = " (is the server running?)" if isinstance(error, ConnectionRefusedError) else ""
        complain(f"error: cannot connect to {flags.host} port {flags.port}: {reason}{question}")
        return 1
    reactor = Reactor(report=lambda: screen.complain(format_exception()))
    screen = PlainScreen(reactor)
    client = Client(reactor, screen, sock, join_line, flags.host, flags.port)
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
