"""The programs of Chatroom as one installed package: they are run by their paths.

A wheel holds the tree as it is in `_app`, so that no module called `codec` or `reactor` comes to
stand beside those of others in site-packages. In a checkout the programs are one folder up.
"""

from __future__ import annotations

import sys
from pathlib import Path


def client() -> None:
    """The command `chatroom`. Ends the process (SystemExit)."""
    _run("client.py")


def server() -> None:
    """The command `chatroom-server`. Ends the process (SystemExit)."""
    _run("server.py")


def main() -> None:
    """`python -m chatroom`: the server if `-start` is asked for, else the client."""
    is_server = {"-start", "--start"}.intersection(sys.argv)
    server() if is_server else client()


def _run(program: str) -> None:
    here = Path(__file__).resolve().parent
    installed = here / "_app" / program
    path = installed if installed.exists() else here.parent / program
    # Not by runpy, which would have `-help` call the program by its path instead of its command.
    code = compile(path.read_bytes(), path, "exec")
    exec(code, {"__name__": "__main__", "__file__": str(path)})  # noqa: S102
