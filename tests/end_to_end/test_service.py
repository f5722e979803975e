"""The unit files: what systemd says of them, and that a whole session keeps within their filter."""

from __future__ import annotations

import functools
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import DEADLINE_SECONDS, PASSCODE, Program, Room, Stage, free_port
from tests.support.protocol import SHUTTING_DOWN

SERVICE = Path(__file__).parents[2] / "service"
ANALYZE = shutil.which("systemd-analyze") or ""
ACTIVATE = shutil.which("systemd-socket-activate") or ""
STRACE = shutil.which("strace") or ""

MAX_EXPOSURE = 15  # tenths

REFUSED_IN_VAIN = {"prlimit64", "setrlimit", "sched_setaffinity"}
"""What the filter refuses and a session does without: the limits are the unit's."""

needs_analyze = pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed")


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The unit files, with an executable and a manual page that are there."""
    for path in SERVICE.glob("chatroom.s*"):
        text = path.read_text().replace("/usr/local/bin/chatroom-server", sys.executable)
        page = SERVICE / "man" / "chatroom-server.1"
        text = text.replace("man:chatroom-server(1)", f"file:{page}")
        (tmp_path / path.name).write_text(text)
    return sorted(map(str, tmp_path.iterdir()))


@needs_analyze
def test_units_have_no_mistake(units: list[str]) -> None:
    said = subprocess.run([ANALYZE, "verify", *units], capture_output=True, text=True)
    ours = [line for line in said.stderr.splitlines() if "chatroom" in line]
    assert (said.returncode, ours) == (0, [])


@needs_analyze
def test_unit_is_hardly_exposed(units: list[str]) -> None:
    command = [ANALYZE, "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", units[0]]
    said = subprocess.run(command, capture_output=True, text=True)
    if "unrecognized option" in said.stderr:
        pytest.skip("this systemd cannot look at a file")
    assert said.returncode == 0, said.stdout


@functools.lru_cache
def calls_of(group: str) -> frozenset[str]:
    """The system calls in a group of systemd's, such as @system-service."""
    command = [ANALYZE, "syscall-filter", group]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    names = [
        line.strip() for line in lines[1:] if line.strip() and not line.strip().startswith("#")
    ]
    nested = [calls_of(name) for name in names if name.startswith("@")]
    return frozenset(names).union(*nested)


def allowed_calls() -> set[str]:
    """By the unit file: its lines one after the other, those with ~ taken out."""
    allowed: set[str] = set()
    unit = (SERVICE / "chatroom.service").read_text()
    for tilde, groups in re.findall(r"^SystemCallFilter=(~?)(.*)$", unit, re.MULTILINE):
        calls = set().union(*map(calls_of, groups.split()))
        allowed = allowed - calls if tilde else allowed | calls
    return allowed


@needs_analyze
@pytest.mark.skipif(not STRACE, reason="strace is not installed")
def test_session_keeps_within_the_filter_of_the_unit(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with Room(prefix=[STRACE, "-D", "-f", "-o", str(trace)]) as room:
        alice, bob = room.join("Alice", "Bob")
        alice.types("hello", ":mytime", ":Msg Bob x", ":Users", ":Exit")
        bob.shows("Alice: hello")
        bob.stdout.take_line()
        bob.shows("[Message from Alice]: x", "Alice left the chatroom")
        alice.stdout.take_line()
        alice.shows("Active Users: Alice, Bob")
        alice.exits(0)
        room.members.remove(alice)
        room.server.shows("Alice: hello")
        room.server.stdout.take_line()
        room.server.shows(
            "Alice: send message to Bob",
            "Alice: searched up active users",
            "Alice left the chatroom",
        )
    lines = trace.read_text().split("\n")
    used = {match[1] for line in lines if (match := re.match(r"\d+ +(\w+)\(", line))}
    assert {"accept4", "sendto", "epoll_wait"} <= used
    assert used - allowed_calls() - REFUSED_IN_VAIN == set()


def test_reload_with_nothing_to_read_again_ends_no_one(tmp_path: Path) -> None:
    with Room(env={"NOTIFY_SOCKET": f"{tmp_path}/none"}) as room:
        (alice,) = room.join("Alice")
        room.server.signal(signal.SIGUSR1)
        alice.types(":Users")
        alice.shows("Active Users: Alice")
        room.server.shows("Alice: searched up active users")


@pytest.mark.skipif(not ACTIVATE, reason="systemd-socket-activate is not installed")
def test_socket_of_systemd_is_served_without_a_port() -> None:
    port = free_port()
    command = [ACTIVATE, "-l", f"127.0.0.1:{port}", sys.executable, "server.py", "-start"]
    with Stage() as stage:
        server = stage.run(Program, "server.py", [*command, "-passcode", PASSCODE])
        assert server.stderr.take_line() == f"Listening on 127.0.0.1:{port} as 3."
        alice = stage.start_client(port)
        server.shows(f"Server started on port {port}. Accepting connections")
        server.shows("Alice joined the chatroom")
        alice.shows(f"Connected to 127.0.0.1 on port {port}")
        server.signal(signal.SIGTERM)
        alice.shows(SHUTTING_DOWN)
        alice.goes_home()
        server.stdout.expect_end()
        server.has_ended = True
        assert server.process.wait(DEADLINE_SECONDS) == 0
