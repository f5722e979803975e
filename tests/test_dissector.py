"""The dissector for Wireshark, by tshark, on packets that really went over loopback."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import DEADLINE_SECONDS, ROOT, free_port

SCRIPT = ROOT / "tools" / "wireshark" / "chatroom.lua"

TOKEN = "5d41402a"

# Who sends, and one segment. Two of the connections are of the same member.
ALICE = [
    (">", b"JOIN Alice abc12\n"),
    ("<", b"OK\n"),
    (">", b":Us"),
    (">", b"ers\nhi \xc3\xa9\n:Msg Bob two  words"),
    (">", b"\n"),
    (
        "<",
        b"Active Users: Alice, Bob\nBob: hello\n[Message from Bob]: yes\nBob left the chatroom\n",
    ),
    (">", b":exit \n"),
]
BOB = [
    (">", b"ENTER Bob abc12\r\n"),
    ("<", b"OK %s\n* No such user: Zed\nZed joined the chatroom\n" % TOKEN.encode()),
]
BOB_AGAIN = [(">", b"RESUME %s 42\n" % TOKEN.encode()), ("<", b"OK 7d793037 11\n")]
EVE = [(">", b"JOIN Eve guess\n"), ("<", b"ERROR Incorrect passcode\n")]
SESSIONS = [ALICE, BOB, BOB_AGAIN, EVE]

SHOWN = [
    "JOIN Alice",
    "OK",
    ":Users | hi é",
    ":Msg Bob two  words",
    "Active Users: Alice, Bob | Bob: hello | [Message from Bob]: yes | Bob left the chatroom",
    ":exit ",
    "ENTER Bob",
    "OK | * No such user: Zed | Zed joined the chatroom",
    "RESUME, 42 bytes received",
    "OK",
    "JOIN Eve",
    "ERROR Incorrect passcode",
]


def play(session: list[tuple[str, bytes]], port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as door:
        client = socket.create_connection(door.getsockname())
        server, _ = door.accept()
    with client, server:
        for mark, data in session:
            sender, receiver = (client, server) if mark == ">" else (server, client)
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sender.sendall(data)
            assert receiver.recv(1 << 16) == data


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sessions, each segment with bytes one packet."""
    for program in ("tshark", "dumpcap"):
        if not shutil.which(program):
            pytest.skip(f"NOT TESTED: there is no {program} (Debian: apt install tshark)")
    path, port = tmp_path_factory.mktemp("capture") / "session.pcapng", free_port()
    wanted = f"tcp port {port} and tcp[tcpflags] & tcp-push != 0"
    count = sum(map(len, SESSIONS))
    command = ["dumpcap", "-q", "-i", "lo", "-f", wanted, "-c", str(count), "-w", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as dumpcap:
        assert dumpcap.stderr
        if not any(line.startswith("File:") for line in dumpcap.stderr):  # it captures from here on
            pytest.skip("NOT TESTED: dumpcap may not capture on loopback (see dumpcap(1))")
        for session in SESSIONS:
            play(session, port)
        dumpcap.wait(DEADLINE_SECONDS)
    return path


def tshark(capture: Path, *how: str) -> str:
    command = ["tshark", "-r", str(capture), "-X", f"lua_script:{SCRIPT}", *how]
    run = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    assert "Lua" not in run.stderr
    return run.stdout


def found(tree: Any) -> Iterator[tuple[str, str]]:
    """All fields of ours in tshark's JSON, and their values."""
    for name, value in tree.items() if isinstance(tree, dict) else ():
        for one in value if isinstance(value, list) else [value]:
            if name.startswith("chatroom.") and isinstance(one, str):
                yield name, one
            yield from found(one)


def test_lines_are_shown_whole_by_packet(capture: Path) -> None:
    infos = tshark(capture, "-Y", "chatroom.line", "-T", "fields", "-e", "_ws.col.Info")
    assert infos.splitlines() == SHOWN


def test_every_field_is_shown_with_what_it_means(capture: Path) -> None:
    fields = list(found({"": json.loads(tshark(capture, "-T", "json", "--no-duplicate-keys"))}))
    declared = set(re.findall(r'(?:text|number)\("(\w+)"', SCRIPT.read_text()))
    assert {name for name, _ in fields} >= {f"chatroom.{name}" for name in declared}
    for field in [
        ("passcode_length", "5"),
        ("token", TOKEN),
        ("bytes_received", "42"),
        ("to", "Bob"),
        ("text", "two  words"),
        ("users", "Alice, Bob"),
        ("kind", "private message"),
        ("reason", "Incorrect passcode"),
    ]:
        assert (f"chatroom.{field[0]}", field[1]) in fields
    assert not [field for field in fields if "abc12" in field[1]]
    members = tshark(capture, "-T", "fields", "-e", "tcp.stream", "-e", "chatroom.member")
    named = {tuple(line.split("\t")) for line in members.splitlines()}
    assert {(s, m.split(",")[0]) for s, m in named if m} == {
        ("0", "Alice"),
        ("1", "Bob"),
        ("2", "Bob"),
    }
