"""A server with all that a term needs, and what no file and no output of it may hold."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.faults import fault
from tests.support.programs import ROOT, Room

PASSCODE = "Pa55c"
SECRET = "between us"
GUESS = "gue55ed"
FAIL2BAN = shutil.which("fail2ban-regex") or ""


def ask(path: Path, lines: str) -> str:
    """What the operator's socket answers to all of `lines`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(lines.encode())
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(1 << 16), b"")).decode()


def session(folder: Path) -> None:
    """Ann and Bob talk, in private too; a guest guesses; the operator is there. What comes of it is
    in the files of `folder`."""
    path, message = folder / "admin", folder / "motd"
    message.write_text("Welcome\n")
    flags = ["-transcript", str(folder), "-history", "9", "-motd", str(message)]
    with Room(
        *(*flags, "-admin", str(path), "-log", "json"),
        passcode=PASSCODE,
        redirect=f"2> {folder / 'log'}",
    ) as room:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        ann, bob = room.join_raw("Ann"), room.join_raw("Bob")
        ann.types(f":Msg Bob {SECRET}")
        bob.shows(f"[Message from Ann]: {SECRET}")
        room.server.shows("Ann: send message to Bob")
        ann.types("hello")
        bob.shows("Ann: hello")
        room.server.shows("Ann: hello")
        mallory = room.connect()
        mallory.types(f"JOIN Mallory {GUESS}")
        mallory.shows("ERROR Incorrect passcode")
        mallory.goes_home()
        message.write_text("Read again\n")
        room.server.signal(signal.SIGUSR1)
        assert "incorrect passcode" in ask(path, "members\nstatus\nbans\nhelp\n")
        cid = room.connect("Cid")
        cid.types(f"ENTER Cid {PASSCODE}")
        cid.shows("OK", "* Read again", "* History")
        assert cid.stdout.take_line()[-10:] == "Ann: hello"
        cid.shows("* End of history", "Active Users: Ann, Bob, Cid")
        room.welcomes(cid)
        path.unlink()
        room.server.signal(signal.SIGUSR1)
        while not path.exists():  # the signal may come to a thread that has yet to run
            cid.types(":Users")
            room.server.shows("Cid: searched up active users")
            cid.shows("Active Users: Ann, Bob, Cid")
        assert ask(path, "kick Cid\n") == "ok\n"
        for reader in (ann, bob, room.server):
            reader.shows("* Cid was kicked", "Cid left the chatroom")
        room.members.remove(cid)
        cid.shows("* Cid was kicked")
        cid.goes_home()
    assert not path.exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upkeep")
    session(folder)
    return folder


@fault(48)
def test_no_file_has_private_text_or_a_passcode(folder: Path) -> None:
    (transcript,) = folder.glob("*.log")
    lines = [line[9:] for line in transcript.read_text().splitlines()]
    # Cid asked until the signal had come, perhaps not once.
    assert [line for line in lines if line != "Cid: searched up active users"] == [
        "Ann joined the chatroom",
        "Bob joined the chatroom",
        "Ann: send message to Bob",
        "Ann: hello",
        "Cid joined the chatroom",
        "* Cid was kicked",
        "Cid left the chatroom",
    ]
    for file in folder.iterdir():
        for secret in (SECRET, PASSCODE, GUESS):
            assert secret not in file.read_text()
    events = [json.loads(line)["event"] for line in (folder / "log").read_text().splitlines()]
    assert events == ["message", "refused", "total", "total"]


@pytest.mark.skipif(not FAIL2BAN, reason="NOT TESTED: there is no fail2ban here")
def test_fail2ban_finds_the_address_in_the_log(folder: Path) -> None:
    files = [str(folder / "log"), str(ROOT / "service/fail2ban/chatroom.conf")]
    found = subprocess.run([FAIL2BAN, "-o", "ip", *files], capture_output=True, check=True)
    assert found.stdout == b"127.0.0.1\n"
