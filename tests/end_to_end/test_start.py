"""How the programs start: on which Python, with which switches, and from where."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.flags import VERSION
from tests.support.faults import fault
from tests.support.programs import PROGRAMS, Room, Stage

of_each_program = pytest.mark.parametrize("program", ["server.py", "client.py"])

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


@of_each_program
def test_program_parses_whole_on_python_3_6(program: str) -> None:
    source = (PROGRAMS / program).read_text()
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source


@of_each_program
def test_older_python_is_refused_before_our_imports(program: str) -> None:
    command = [sys.executable, "-c", AS_OLDER_PYTHON, str(PROGRAMS / program)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (2, "[]\n", NEEDED)


@of_each_program
@pytest.mark.parametrize("switch", ["-I", "PYTHONSAFEPATH"])
def test_start_does_not_need_the_path_of_the_script(
    program: str, switch: str, tmp_path: Path
) -> None:
    link = tmp_path / program
    link.symlink_to(PROGRAMS / program)
    switches = [switch] if switch == "-I" else []
    command = [sys.executable, *switches, str(link), "-version"]
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{VERSION}\n", "")


@fault(83)
def test_development_mode_has_nothing_to_warn_of() -> None:
    dev = {"PYTHONDEVMODE": "1", "PYTHONINSPECT": "1"}
    with Room(env=dev) as room:
        alice = room.start_member("Alice", env=dev)
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(alice)
        refused = room.start_member("alice", env=dev)
        refused.shows("Username already in use: alice")
        refused.exits(1)
        alice.signal(signal.SIGTERM)
        room.misses(alice)
        alice.exits(-signal.SIGTERM)
        room.connect()
        room.server.signal(signal.SIGTERM)
        room.server.signal(signal.SIGINT)  # which waits for no connection that lingers
        room.server.exits(0)


INTERRUPTED_IMPORT = """
import os, signal, sys

pid, number = os.getpid(), int(os.environ["NUMBER"])
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a parent may
if "AS_1" in os.environ:
    os.getpid = lambda: 1

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "codec":
            os.kill(pid, number)

sys.meta_path.insert(0, Interrupt())
"""


@fault(59, 83)
@of_each_program
@pytest.mark.parametrize("as_1", [{}, {"AS_1": ""}], ids=["", "process 1"])
def test_signal_while_a_program_starts_ends_it_quietly(
    program: str, as_1: dict[str, str], tmp_path: Path
) -> None:
    # The longest part of a start is the reading of our own modules: it comes in the midst of it.
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_IMPORT)
    for number in (signal.SIGINT, signal.SIGTERM):
        env = {"PYTHONPATH": str(tmp_path), "NUMBER": str(int(number)), **as_1}
        with Stage() as stage:
            started = stage.start(program, "-version", env=env)
            started.exits(128 + number if as_1 else -number)


BLOCKING = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
os.execv("/bin/sh", ["sh", "-c", "trap '' INT HUP TERM; exec \\"$@\\"", "sh", *sys.argv[1:]])
"""


@fault(83)
def test_parent_may_have_sigint_ignored_but_not_sigterm() -> None:
    """As a shell starts what ends with `&` under nohup; and nothing is blocked any more."""
    prefix = [sys.executable, "-c", BLOCKING]
    with Room(prefix=prefix) as room:
        alice = room.start_member("Alice", prefix=prefix)
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(alice)
        for program in (room.server, alice):
            program.signal(signal.SIGINT)
            program.signal(signal.SIGHUP)
        alice.types("still here")
        room.server.shows("Alice: still here")
        alice.signal(signal.SIGTERM)
        room.misses(alice)
        alice.exits(-signal.SIGTERM)


def with_descriptors(count: int) -> list[str]:
    return ["/bin/sh", "-c", f'ulimit -n {count}; exec "$@"', "sh"]


@fault(84)
def test_start_with_few_descriptors_serves_or_says_why_not() -> None:
    with Room(prefix=with_descriptors(12)) as room:
        room.join_raw("Alice")
        flags = ["-start", "-port=0", "-passcode=abc12"]
        few = room.start("server.py", *flags, prefix=with_descriptors(6))
        few.exits(1, "error: cannot start: pipe: Too many open files")


@fault(84)
@of_each_program
def test_start_without_a_null_device_says_so(program: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.devnull = '/no/null'")
    with Stage() as stage:
        started = stage.start(program, env={"PYTHONPATH": str(tmp_path)}, redirect="<&-")
        started.exits(1, "error: cannot start: /no/null: No such file or directory")
