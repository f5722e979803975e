"""Where neither output nor errors are taken, a program says less, and ends as it would have."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.programs import DEADLINE_SECONDS, Room, free_port
from tools.session import ROOT


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The end to write to of a pipe that is full, and that nobody reads."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write_end, True)
    yield write_end
    os.close(read_end)
    os.close(write_end)


def start(program: str, *flags: str, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, program, *flags],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
    )


def member_flags(port: int) -> list[str]:
    flags = ["-join", "-host", "127.0.0.1", "-port", str(port)]
    return [*flags, "-username", "Mute", "-passcode", "abc12"]


@pytest.mark.parametrize(
    ("number", "status"), [(None, 0), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_client_whose_warnings_nobody_reads_ends_all_the_same(
    full_pipe: int, number: int | None, status: int
) -> None:
    with Room() as room:
        mute = start("client.py", *member_flags(room.port), output=full_pipe)
        room.server.shows("Mute joined the chatroom")
        if number is None:
            mute.communicate(b":Exit\n", timeout=DEADLINE_SECONDS)
        else:
            mute.send_signal(number)
            mute.communicate(timeout=DEADLINE_SECONDS)
        assert mute.returncode == status
        room.server.shows("Mute left the chatroom")


def test_a_server_whose_warnings_nobody_reads_ends_all_the_same(full_pipe: int) -> None:
    port = free_port()
    flags = ["-start", "-port", str(port), "-passcode", "secret123"]
    server = start("server.py", *flags, output=full_pipe)
    member = None
    while not member:
        assert server.poll() is None
        with contextlib.suppress(ConnectionRefusedError):
            member = socket.create_connection(("127.0.0.1", port))
    with member:
        member.sendall(b"JOIN Mute secret123\n")
        assert member.recv(3) == b"OK\n"
        server.terminate()
        server.communicate(timeout=DEADLINE_SECONDS)
        assert server.returncode == 0


@pytest.mark.parametrize(
    ("program", "flags", "status"),
    [
        ("client.py", ["-help"], 0),
        ("server.py", ["-version"], 0),
        (
            "client.py",
            ["-join", "-host", "h", "-port", "1", "-username", "a b", "-passcode", "x"],
            1,
        ),
    ],
)
def test_a_full_disk_is_no_traceback(program: str, flags: list[str], status: int) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, program, *flags]
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (status, b"")


def test_a_server_that_never_answers_is_not_waited_for_for_ever() -> None:
    # The deadline is set to nothing: what is stated is that there is one.
    code = (
        "import client, sys, terminal.session as s; s.ANSWER_SECONDS = 0; sys.exit(client.main())"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        command = [sys.executable, "-c", code, *member_flags(port)]
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, check=False, timeout=DEADLINE_SECONDS
        )
    error = f"error: no answer from 127.0.0.1 port {port}\n".encode()
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", error)
