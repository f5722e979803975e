"""The chat client: `python3 client.py -join -host <host> -port <port> -username <u> -passcode <p>`.

Standard output carries what the assignment names and nothing else; the rest goes to standard error.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # First of all: until the loop listens to it, Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import sys

from cli.flags import complain, parse_client_flags, say
from codec import Join, ProtocolError, format_join
from reactor import reserve_standard_descriptors
from terminal.dial import connect
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
        complain(f"error: cannot connect to {flags.host} port {flags.port}: {reason}")
        return 1
    client = Client(flags.host, flags.port, sock, join_line)
    client.run()
    return client.exit_status


if __name__ == "__main__":
    sys.exit(main())
