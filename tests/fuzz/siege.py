"""`python -m tests.fuzz.siege [--seconds S] [--seed N]`: the black-box fuzzer and our own server.

Starts server.py on a free port, lets the fuzzer at it, and ends it: status 0 if nothing was found,
the server ended well and had nothing to complain of.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

from tests.support.programs import PASSCODE, ROOT, Room

EXPECTED = re.compile(
    r"(cut \S+ \(\S+\): .*|cut \d+ more: .*|warning: standard output: \d+ lines not shown)\n"
)
"""The console is a pipe that is not read: what it was not shown is told, and is no fault."""


def main() -> int:
    with tempfile.NamedTemporaryFile("r") as stderr:
        with Room(redirect=f"2> {stderr.name}") as room:
            wire = ["tests.fuzz.wire", "--port", str(room.port), "--passcode", PASSCODE]
            found = subprocess.call([sys.executable, "-m", *wire, *sys.argv[1:]], cwd=ROOT)
            status = room.server.terminate()
        complaints = EXPECTED.sub("", stderr.read())
    if complaints or status:
        print(f"the server ended with status {status}:\n{complaints}", file=sys.stderr)
        return 1
    return found


if __name__ == "__main__":
    sys.exit(main())
