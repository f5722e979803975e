"""Flags, ports and passcodes of real processes. Each spelling and refusal is in test_flags.py."""

from __future__ import annotations

import re
import resource
import signal
import socket
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.programs import HAS_PROC, PASSCODE, Room, Stage, free_port
from tests.support.protocol import INCORRECT_PASSCODE

# Each takes a descriptor, up to the hard limit, and the server needs a few itself.
ROOM_FOR = f"room for {resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 16} members"
WEAK = "the passcode is not 1 to 5 letters or digits, as the assignment asks"


@fault(65)
@pytest.mark.parametrize("script", ["server.py", "client.py"])
def test_usage_error_is_one_line_on_standard_error(script: str) -> None:
    with Stage() as stage:
        program = stage.start(script, "-nosuch")
        complaint = program.stderr.take_line()
        assert re.fullmatch(r"error: .* \(-help shows how\)", complaint)
        program.exits(2)


@fault(65, 66)
def test_port_in_use_is_an_error() -> None:
    with Room() as room:
        second = room.start("server.py", "-start", f"-port={room.port}", "-passcode=abc12")
        complaint = second.stderr.take_line()
        told = re.fullmatch(rf"error: port {room.port} is already in use; (\d+) is free", complaint)
        assert told
        assert int(told[1]) > room.port
        second.exits(1)


def test_server_listens_on_127_0_0_1_alone() -> None:
    with Room() as room:
        for address in ("127.0.0.2", "::1"):
            with pytest.raises(OSError, match=r"refused|unavailable|assign|unreachable|supported"):
                socket.create_connection((address, room.port)).close()
        room.join_raw("Alice")


def test_room_is_one_whatever_address_it_is_entered_by(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Room("-listen=127.0.0.2", "-listen=::1", f"-listen={path}", "-verbose") as room:
        for name, host in {"A": "127.0.0.2", "B": "::1", "C": str(path)}.items():
            member = room.start_client(room.port, name, host=host)
            member.shows(f"Connected to {host} on port {room.port}")
            room.welcomes(member)
        flags = ["-join", "-host", str(path), "-username=D", "-passcode=wrong"]
        stranger = room.start("client.py", *flags)
        stranger.shows(INCORRECT_PASSCODE)
        stranger.exits(1)
        room.server.complains(ROOM_FOR, "refused unix: incorrect passcode")
        room.server.signal(signal.SIGTERM)
        for someone in room.members:
            someone.hears_goodbye()
        room.server.exits(0, "total refused 1: incorrect passcode")
        assert not path.exists()


def test_passcode_is_the_same_bytes_in_every_locale() -> None:
    with Room(passcode="pässe", env={"LC_ALL": "C"}) as room:
        room.server.complains(f"warning: {WEAK}")
        alice = room.start_member("Alice", env={"LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1"})
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(alice)
        alice.types("grüße")
        room.server.shows("Alice: grüße")


def test_passcode_too_long_to_send_is_not_sent() -> None:
    with Stage() as stage:
        unused_port = free_port()
        client = stage.start_client(unused_port, passcode="x" * 243)
        client.shows(INCORRECT_PASSCODE)
        client.exits(1)


@fault(48)
def test_verbose_server_tells_refusals_without_the_passcode() -> None:
    with Room("-verbose") as room:
        mallory = room.connect()
        mallory.types("JOIN Mallory wrong")
        mallory.shows(f"ERROR {INCORRECT_PASSCODE}")
        mallory.goes_home()
        room.server.complains(ROOM_FOR)
        line = room.server.stderr.take_line()
        assert re.fullmatch(r"refused 127\.0\.0\.1:\d+: incorrect passcode", line)
        room.server.signal(signal.SIGTERM)
        room.server.exits(0, "total refused 1: incorrect passcode")


@fault(47, 48)
@pytest.mark.usefixtures("in_earnest")
def test_passcode_of_a_file_shows_in_no_output_or_ps(tmp_path: Path) -> None:
    path = tmp_path / "typed"
    path.write_text("Secr3t!\nhello\n:Exit\n")
    path.chmod(0o600)
    with Stage() as stage:
        port = str(free_port())
        server = stage.start("server.py", "-start", "-port", port, f"-passcode-file={path}")
        server.shows(f"Server started on port {port}. Accepting connections")
        flags = ["-join", "-host=127.0.0.1", "-port", port, "-username=Alice"]
        # Standard input is a file that is read on behind its first line.
        alice = stage.start("client.py", *flags, "-passcode-file=/dev/stdin", redirect=f"<{path}")
        commands = [Path(f"/proc/{each.pid}/cmdline") for each in (server, alice) if HAS_PROC]
        assert b"Secr3t" not in b"".join(command.read_bytes() for command in commands)
        alice.shows(f"Connected to 127.0.0.1 on port {port}")
        server.shows("Alice joined the chatroom", "Alice: hello", "Alice left the chatroom")
        alice.exits(0)
        server.signal(signal.SIGTERM)
        server.exits(0, f"warning: {WEAK}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_client_without_a_server_says_so(host: str) -> None:
    with Stage() as stage:
        port = free_port()
        client = stage.start_client(port, host=host)
        client.exits(
            1,
            f"error: cannot connect to {host} port {port}: Connection refused"
            " (is the server running?)",
        )


def test_client_joins_the_first_server_that_answers() -> None:
    with Room() as room:
        gone = str(free_port())
        flags = ["-join", "-host=127.0.0.1", "-port", gone, "-host=localhost", f"-port={room.port}"]
        member = room.start("client.py", *flags, "-username=Alice", f"-passcode={PASSCODE}")
        member.complains(
            f"warning: cannot connect to 127.0.0.1 port {gone}: Connection refused"
            " (is the server running?)"
        )
        member.shows(f"Connected to localhost on port {room.port}")
        room.server.shows("Alice joined the chatroom")
        member.end_input()
        member.exits(0)
        room.server.shows("Alice left the chatroom")


@pytest.mark.parametrize("host", ["no..such", "x" * 300], ids=len)
def test_what_is_no_host_is_one_line(host: str) -> None:
    with Stage() as stage:
        client = stage.start_client(1, host=host)
        assert client.stderr.take_line().startswith(f"error: cannot connect to {host} port 1: ")
        client.exits(1)


IPV6_FIRST = """
import socket

found = socket.getaddrinfo

def getaddrinfo(host, port, *hints):
    there = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
    return [there, *found(host, port, *hints)]

socket.getaddrinfo = getaddrinfo
"""


def test_localhost_works_where_it_is_ipv6_first(tmp_path: Path) -> None:
    # A machine on which localhost is ::1 first cannot be had for the asking; its resolver can.
    (tmp_path / "sitecustomize.py").write_text(IPV6_FIRST)
    with Room() as room:
        env = {"PYTHONPATH": str(tmp_path)}
        alice = room.start_client(room.port, host="localhost", passcode=PASSCODE, env=env)
        alice.shows(f"Connected to localhost on port {room.port}")
        room.welcomes(alice)
