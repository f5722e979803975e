"""`python -m tests.fuzz.siege [--seconds S] [--seed N]`: the black-box fuzzer and our own server.

Starts server.py on a free port, lets the fuzzer at it, and ends it: status 0 if nothing was found,
the server ended well and had nothing to complain of.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PASSCODE = "abc12"
END_SECONDS = 20


def main() -> int:
    server = subprocess.Popen(
        [sys.executable, "server.py", "-start", "-port", "0", "-passcode", PASSCODE],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"port (\d+)\.", server.stdout.readline())
        assert found, "the server did not start"
        wire = [sys.executable, "-m", "tests.fuzz.wire", "--port", found[1], "--passcode", PASSCODE]
        status = subprocess.call([*wire, *sys.argv[1:]], cwd=ROOT)
        server.terminate()
        _, complaints = server.communicate(timeout=END_SECONDS)
    finally:
        server.kill()
    # The console is a pipe that nobody reads: what it was not shown is told, and is no fault.
    complaints = re.sub(r"warning: standard output: \d+ lines not shown\n", "", complaints)
    complaints = re.sub(r"cut \S+ \(\S+\): .*\n|cut \d+ more: .*\n", "", complaints)
    if complaints or server.returncode:
        print(f"the server ended with status {server.returncode}:\n{complaints}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
