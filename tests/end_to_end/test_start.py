"""How the programs start: on which Python, with which switches, and from where."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import PASSCODE, ROOT, Stage

PROGRAMS = ["server.py", "client.py"]

NEEDED = "error: Python 3.10 or newer is needed; this is 3.9.18\n"

AS_OLDER_PYTHON = """
import runpy, sys
sys.version_info, sys.version = (3, 9, 18, "final", 0), "3.9.18 (main) [GCC]"
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
finally:
    ours = {"chat", "cli", "codec", "reactor", "terminal"} & set(sys.modules)
    print(sorted(ours))
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_parses_whole_on_python_3_6(program: str) -> None:
    source = (ROOT / program).read_text()
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source


@pytest.mark.parametrize("program", PROGRAMS)
def test_older_python_is_refused_before_our_imports(program: str) -> None:
    command = [sys.executable, "-c", AS_OLDER_PYTHON, str(ROOT / program)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (2, "[]\n", NEEDED)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("switch", ["-I", "-P", "PYTHONSAFEPATH"])
def test_start_does_not_need_the_path_of_the_script(
    program: str, switch: str, tmp_path: Path
) -> None:
    if switch == "-P" and sys.version_info < (3, 11):
        pytest.skip("NOT TESTED: this Python does not know -P")
    switches = [switch] if switch.startswith("-") else []
    link = tmp_path / program
    link.symlink_to(ROOT / program)
    for path in (ROOT / program, link):
        command = [sys.executable, *switches, str(path), "-version"]
        env = {**os.environ, "PYTHONSAFEPATH": "1"}
        run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert (run.returncode, run.stdout, run.stderr) == (0, "1.0.0\n", "")


def test_development_mode_has_nothing_to_warn_of() -> None:
    dev = {"PYTHONDEVMODE": "1"}
    flags = ["-start", "-port", "0", "-passcode", PASSCODE]
    with Stage() as stage:
        server = stage.start("server.py", *flags, env=dev)
        port = int(server.stdout.take_line().split()[4].rstrip("."))
        alice = stage.start_client(port, "Alice", env=dev)
        alice.shows(f"Connected to 127.0.0.1 on port {port}")
        server.shows("Alice joined the chatroom")
        refused = stage.start_client(port, "alice", env=dev)
        refused.shows("Username already in use: alice")
        refused.exits(1)
        alice.types(":Exit")
        alice.exits(0)
        server.shows("Alice left the chatroom")
        bob = stage.start_client(port, "Bob", env=dev)
        bob.shows(f"Connected to 127.0.0.1 on port {port}")
        server.shows("Bob joined the chatroom")
        bob.signal(signal.SIGTERM)
        bob.exits(128 + signal.SIGTERM)
        server.shows("Bob left the chatroom")
        with socket.create_connection(("127.0.0.1", port)):
            server.signal(signal.SIGTERM)
            server.signal(signal.SIGINT)  # which waits for no connection that lingers
            server.exits(0)
