"""Flags, ports and passcodes, as the two programs take and refuse them."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.limits import format_limits
from tests.support.faults import fault
from tests.support.programs import DEADLINE_SECONDS, ROOT, Room, Stage, free_port

SERVER_FLAGS = ["-start", "-port", "0", "-passcode", "abc12"]
CLIENT_FLAGS = ["-join", "-host", "127.0.0.1", "-port", "1", "-username", "Alice"]
CLIENT_FLAGS += ["-passcode", "abc12"]
HINT = "(-help shows how)"
# Each takes a descriptor, up to the hard limit, and the server needs a few itself.
ROOM_FOR = f"room for {resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 16} members"
WEAK = "the passcode is not 1 to 5 letters or digits, as the assignment asks"


@pytest.mark.parametrize(
    "spelling",
    [
        "-start -port {port} -passcode abc12",
        "-passcode abc12 -port {port} -start",
        "--port {port} --start --passcode abc12",
        "-port={port} -passcode=abc12 -start",
        "--passcode=abc12 -start --port={port}",
        "-start -verbose -strict -port 000{port} -passcode abc12",
    ],
)
def test_the_server_takes_its_flags_in_any_order_and_spelling(spelling: str) -> None:
    with Stage() as stage:
        port = free_port()
        server = stage.start("server.py", *spelling.format(port=port).split())
        server.shows(f"Server started on port {port}. Accepting connections")
        alice = stage.start_client(port, passcode="abc12")
        alice.shows(f"Connected to 127.0.0.1 on port {port}")
        server.shows("Alice joined the chatroom")
        server.signal(signal.SIGTERM)
        alice.hears_goodbye()
        if "-verbose" in spelling:
            server.complains(ROOM_FOR)
        server.exits(0)


CLIENT_SPELLINGS = [
    "-join -host 127.0.0.1 -port {port} -username u1 -passcode abc12",
    "-passcode abc12 -username u2 -port {port} -host 127.0.0.1 -join",
    "--host 127.0.0.1 --passcode abc12 --username u3 --join --port {port}",
    "-host=127.0.0.1 -passcode=abc12 -username=u4 -join -port={port}",
    "--host=127.0.0.1 -join --passcode=abc12 -port {port} --username=u5",
]


def test_the_client_takes_its_flags_in_any_order_and_spelling() -> None:
    with Room() as room:
        for number, spelling in enumerate(CLIENT_SPELLINGS, start=1):
            flags = spelling.format(port=room.port).split()
            client = room.start("client.py", *flags, name=f"u{number}")
            client.shows(f"Connected to 127.0.0.1 on port {room.port}")
            room.welcomes(client)


USAGE_ERRORS = [
    (["server.py"], "-start"),
    (["server.py", *SERVER_FLAGS[1:]], "-start"),
    (["server.py", *SERVER_FLAGS[:3]], "-passcode"),
    (["server.py", "-start", "-passcode", "abc12"], "-port"),
    (["server.py", "-start", "-po", "0", "-passcode", "abc12"], "-port"),
    (["server.py", *SERVER_FLAGS, "-verb"], "-verb"),
    (["server.py", *SERVER_FLAGS, "-nosuch"], "-nosuch"),
    (["server.py", *SERVER_FLAGS, "extra"], "extra"),
    (["server.py", "-start", "-port", "65536", "-passcode", "abc12"], "65536"),
    (["server.py", "-start", "-port", "٦٥٤٣٢", "-passcode", "abc12"], "٦٥٤٣٢"),
    (["server.py", "-start", "-port", "0", "-passcode", ""], "-passcode"),
    (["server.py", "-start", "-port", "0", "-passcode", "a b"], "-passcode"),
    (["server.py", "-start", "-port", "0", "-passcode", "a\x1b"], "-passcode"),
    (["server.py", *SERVER_FLAGS[:3], "-passcode", "secret123", "-strict"], WEAK),
    (["client.py"], "-join"),
    (["client.py", *CLIENT_FLAGS[1:]], "-join"),
    (["client.py", *CLIENT_FLAGS[:-2]], "-passcode"),
    (["client.py", *CLIENT_FLAGS, "-strict"], "-strict"),
    (["client.py", *CLIENT_FLAGS, "-user", "Bob"], "-user"),
    (["client.py", *CLIENT_FLAGS, "-passcode", ""], "-passcode"),
    (["client.py", *CLIENT_FLAGS, "-username", ""], "-username"),
    (["client.py", *CLIENT_FLAGS, "-username", "Al\nice"], "-username"),
    (["client.py", *CLIENT_FLAGS, "-passcode", "abc\r"], "-passcode"),
    (["client.py", *CLIENT_FLAGS, "-port", "x"], "-port"),
]


@fault(65)
def test_a_usage_error_is_one_line_on_standard_error() -> None:
    with Stage() as stage:
        programs = [stage.start(*argv, name=" ".join(argv)) for argv, _ in USAGE_ERRORS]
        for program, (_, culprit) in zip(programs, USAGE_ERRORS, strict=True):
            complaint = program.stderr.take_line()
            assert complaint.startswith("error: ")
            assert complaint.endswith(HINT)
            assert culprit in complaint
            program.exits(2)


@pytest.mark.parametrize("script", ["server.py", "client.py"])
def test_help_has_an_example_to_copy(script: str) -> None:
    with Stage() as stage:
        helpers = [stage.start(script, flag) for flag in ("-help", "-h", "--help")]
        (text,) = {helper.stdout.take_rest().decode() for helper in helpers}
        for helper in helpers:
            helper.exits(0)
        assert text.startswith(f"usage: python3 {script} -")
        example = text.rstrip("\n").splitlines()[-1].strip()
        assert example.startswith(f"python3 {script} -")

        # What is copied starts the program. (A client finds nobody on the example's port.)
        _, *flags = example.removeprefix("python3 ").split()
        flags[flags.index("-port") + 1] = str(free_port())
        copied = stage.start(script, *flags)
        if script == "server.py":
            assert copied.stdout.take_line().startswith("Server started on port ")
            copied.signal(signal.SIGTERM)
            copied.exits(0)
        else:
            assert copied.stderr.take_line().startswith("error: cannot connect to ")
            copied.exits(1)


@pytest.mark.parametrize("script", ["server.py", "client.py"])
def test_the_version_is_one_line(script: str) -> None:
    with Stage() as stage:
        for helper in [stage.start(script, flag) for flag in ("-version", "--version")]:
            assert helper.stdout.take_line()[0].isdigit()
            helper.exits(0)


@fault(65, 66)
def test_a_port_in_use_is_an_error() -> None:
    with Room() as room:
        second = room.start("server.py", "-start", "-port", str(room.port), "-passcode", "abc12")
        second.exits(1, f"error: port {room.port} is already in use")
        room.join("Alice")


NO_PERMISSION = """
import errno, os, socket

def bind(sock, address):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

socket.socket.bind = bind
"""


@fault(65)
def test_port_that_may_not_be_had_is_one_line(tmp_path: Path) -> None:
    """A privileged one. `bind` is made to fail: the user may have the privilege."""
    (tmp_path / "sitecustomize.py").write_text(NO_PERMISSION)
    with Stage() as stage:
        env = {"PYTHONPATH": str(tmp_path)}
        server = stage.start("server.py", "-start", "-port=80", "-passcode=abc12", env=env)
        server.exits(1, "error: cannot listen on port 80: Permission denied")


def test_the_port_can_be_had_again_at_once() -> None:
    port = free_port()
    for _ in range(2):
        with Room(port=port) as room:
            room.server.shows(f"Server started on port {port}. Accepting connections")
            room.join("Alice", "Bob")


def test_port_0_is_a_free_port_and_the_banner_names_it() -> None:
    with Room() as one, Room() as other:
        assert 0 < one.port != other.port > 0
        one.join("Alice")
        other.join("Alice")


@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_the_server_listens_on_127_0_0_1_alone(address: str) -> None:
    with Room() as room:
        room.join("Alice")
        with pytest.raises(OSError, match=r"refused|unavailable|assign|unreachable|supported"):
            socket.create_connection((address, room.port)).close()


@pytest.mark.parametrize("passcode", ["a", "abc12", "ZZZZZ", "00000"])
def test_a_passcode_within_the_assignments_limit_needs_no_warning(passcode: str) -> None:
    with Room("-strict", passcode=passcode) as room:
        room.join("Alice")


@pytest.mark.parametrize("passcode", ["secret123", "abc-1", "pässe", "x" * 242], ids=len)
def test_a_passcode_beyond_it_is_taken_with_one_warning(passcode: str) -> None:
    with Room(passcode=passcode) as room:
        room.server.complains(f"warning: {WEAK}")
        room.join("Alice")


def test_a_passcode_is_the_same_bytes_whatever_the_locale() -> None:
    with Room(passcode="pässe", env={"LC_ALL": "C"}) as room:
        room.server.complains(f"warning: {WEAK}")
        alice = room.start_member("Alice", env={"LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1"})
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(alice)
        room.join("Bob")
        alice.types("grüße")
        room.all_show("Alice: grüße", but=alice)


WRONG = ["abc1", "abc123", "ABC12", " abc12", "abc12 ", "x", "secret123", "pässe"]
ENDLESS = ["x" * 242, "x" * 243, "x" * 100_000]


def test_a_wrong_passcode_is_incorrect_whatever_its_length() -> None:
    with Room() as room:
        mallory = [
            room.start_client(room.port, "Mallory", passcode=passcode)
            for passcode in [*WRONG, *ENDLESS]
        ]
        for client in mallory:
            client.shows("Incorrect passcode")
            client.exits(1)


def test_a_passcode_too_long_to_send_is_not_sent() -> None:
    with Stage() as stage:
        nobody_listens_here = free_port()
        client = stage.start_client(nobody_listens_here, passcode="x" * 243)
        client.shows("Incorrect passcode")
        client.exits(1)


@fault(48)
def test_a_refusal_can_be_told_to_the_operator() -> None:
    with Room("-verbose") as room:
        mallory = room.start_client(room.port, "Mallory", passcode="wrong")
        mallory.shows("Incorrect passcode")
        mallory.exits(1)
        room.server.complains(ROOM_FOR)
        line = room.server.stderr.take_line()
        assert re.fullmatch(r"refused 127\.0\.0\.1:\d+: incorrect passcode", line)
        room.server.signal(signal.SIGTERM)
        room.server.exits(0, "total refused 1: incorrect passcode")


def test_the_limits_are_all_there_with_their_reasons() -> None:
    with Stage() as stage:
        for flags in (["-limits"], ["--limits"], [*SERVER_FLAGS, "-limits"]):
            server = stage.start("server.py", *flags)
            assert server.stdout.take_rest().decode() == format_limits() + "\n"
            server.exits(0)


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-", ">/dev/null"])
def test_limits_that_are_lost_are_no_error(redirect: str) -> None:
    with Stage() as stage:
        stage.start("server.py", "-limits", redirect=redirect).exits(0)


def test_limits_for_a_reader_who_is_gone_are_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        command = [sys.executable, "server.py", "-limits"]
        ended = subprocess.run(
            command, stdout=write_end, stderr=subprocess.PIPE, cwd=ROOT, timeout=DEADLINE_SECONDS
        )
    finally:
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (0, b"")
