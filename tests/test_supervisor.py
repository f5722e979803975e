"""What a supervisor hears of the server, and the sockets that it hands down."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.supervisor import STATUS_SECONDS, Supervisor
from codec import Event, Kind, Roster
from tests.reactor.conftest import Loop
from tests.reactor.conftest import loop as loop
from tests.support.faults import fault


class Ear:
    """The supervisor's socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        heard = []
        try:
            while True:
                heard.append(self._socket.recv(1000).decode())
        except BlockingIOError:
            return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["a file", "an abstract name"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    name = f"@chatroom-test-{os.getpid()}" if "abstract" in request.param else f"{tmp_path}/notify"
    if name[0] == "@" and sys.platform != "linux":
        pytest.skip("abstract names are Linux's own")
    return {"NOTIFY_SOCKET": name}


@pytest.fixture
def ear(environ: dict[str, str]) -> Iterator[Ear]:
    ear = Ear(environ["NOTIFY_SOCKET"].replace("@", "\0"))
    yield ear
    ear.close()


def test_supervisor_hears_of_start_members_and_end(
    loop: Loop, environ: dict[str, str], ear: Ear
) -> None:
    roster = Roster()
    supervisor = Supervisor(loop.reactor, 65432, roster, environ)
    supervisor.tell_ready()
    assert ear.heard() == ["READY=1\nSTATUS=port 65432, 0 members"]
    assert loop.is_idle()
    for number in range(1000):
        joined = Event(Kind.JOINED, f"m{number}")
        roster.apply(joined)
        supervisor.note_event(joined)
        supervisor.note_event(Event(Kind.SAID, f"m{number}"))
    loop.pass_seconds(STATUS_SECONDS)
    assert ear.heard() == ["STATUS=port 65432, 1000 members"]
    assert loop.is_idle()
    supervisor.note_event(Event(Kind.SAID, "m1"))
    assert loop.is_idle()
    supervisor.note_event(Event(Kind.LEFT, "m1"))
    supervisor.tell_stopping()
    loop.pass_seconds(STATUS_SECONDS)
    assert ear.heard() == ["STOPPING=1"]
    assert loop.is_idle()


@fault(71)
def test_watchdog_is_fed_twice_in_its_time(loop: Loop, environ: dict[str, str], ear: Ear) -> None:
    supervisor = Supervisor(loop.reactor, 1, Roster(), environ | {"WATCHDOG_USEC": "3000000"})
    supervisor.tell_ready()
    loop.pass_seconds(6.0)
    assert ear.heard()[1:] == 5 * ["WATCHDOG=1"]
    supervisor.tell_stopping()
    loop.pass_seconds(15.0)
    assert ear.heard() == ["STOPPING=1"]
    assert loop.is_idle()


def test_watchdog_of_another_process_is_left_alone(
    loop: Loop, environ: dict[str, str], ear: Ear
) -> None:
    variables = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getppid())}
    Supervisor(loop.reactor, 1, Roster(), environ | variables).tell_ready()
    assert loop.is_idle()


def test_supervisor_that_is_gone_or_does_not_read_costs_nothing(
    loop: Loop, environ: dict[str, str], ear: Ear
) -> None:
    supervisor = Supervisor(loop.reactor, 1, Roster(), environ)
    for _ in range(10_000):
        supervisor.tell_ready()
    ear.close()
    supervisor.tell_stopping()


TAKE = """
import os
os.dup2({given}, 3)
os.environ["LISTEN_PID"] = {pid}
os.environ["LISTEN_FDS"] = "1"
from cli.supervisor import inherited_sockets
try:
    for sock in inherited_sockets():
        print(sock.getsockname()[1], sock.gettimeout(), sock.get_inheritable())
except OSError as error:
    print(error.filename, error.strerror)
"""


@pytest.mark.parametrize("kind", ["listens", "datagrams", "idle", "a file", "another process"])
def test_sockets_of_the_supervisor_are_taken_if_they_listen(kind: str) -> None:
    stream = socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, stream) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind in ("listens", "another process"):
            sock.listen()
        pid = "'1'" if kind == "another process" else "str(os.getpid())"
        given = os.open(os.devnull, os.O_RDONLY) if kind == "a file" else sock.fileno()
        said = subprocess.run(
            [sys.executable, "-c", TAKE.format(pid=pid, given=given)],
            capture_output=True,
            pass_fds=[given],
            text=True,
            check=True,
        ).stdout
        refusal = {
            "datagrams": "not a stream socket that listens",
            "idle": "not a stream socket that listens",
            "a file": os.strerror(88),
        }
        if kind in refusal:
            assert said == f"LISTEN_FDS: descriptor 3 {refusal[kind]}\n"
        else:
            port = sock.getsockname()[1]
            assert said == ("" if kind == "another process" else f"{port} 0.0 False\n")
