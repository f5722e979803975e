"""A session on ARM: `python -m tools.arm_session FOLDER` plays it on arm64 and on armhf.

FOLDER/arm64 and FOLDER/armhf become Debian userlands and are kept. They are unpacked and not
configured, which takes seconds instead of minutes: nothing is run there but Python. It runs under
qemu-user, so what is shown is ARM's, and what it takes in time is not.

In each, plain and over TLS, a server, a client on pipes and a client with `-ui line` at a
pseudo-terminal play a session. The clock stands at 1970, as on a small machine without a battery,
and jumps to 2026 in the middle; the monotonic clock does not, as on a real machine. A guest that
connected before has still its time to join. Then MEMBERS join, and the memory is measured. Not
played: `client.py -find`, because qemu 7.2 does not know IP_MULTICAST_IF.

Exit status 0 when all was played, 1 when a program did something else, 2 when it cannot run here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reactor.tls import fingerprint_of, first_certificate
from tests.support.programs import DEADLINE_SECONDS, PASSCODE, Program, Room
from tests.support.tls import CERTIFICATE
from tests.support.window import LineWindow

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tests.support.programs import Options

STARTS_AT = "1970-01-01 00:00:00"
JUMPS_TO = "2026-11-30 12:00:00"

MEMBERS = 100

PYTHON = "usr/bin/python3"
FAKETIME = "usr/lib/*/faketime/libfaketimeMT.so.1"


class Machine(NamedTuple):
    """An architecture of Debian's, and between which addresses qemu has the memory of the program
    it runs: its own is above."""

    name: str
    qemu: tuple[str, ...]
    addresses: range


MACHINES = (
    Machine("arm64", ("qemu-aarch64-static",), range(1 << 39)),
    Machine("armhf", ("qemu-arm-static", "-B", hex(1 << 32)), range(1 << 32, 2 << 32)),
)


class ArmRoom(Room):
    """A room whose programs run on another machine, with a clock of their own."""

    def __init__(self, machine: Machine, userland: Path, *, tls: bool) -> None:
        faketime = next(userland.glob(FAKETIME)).relative_to(userland)
        qemu = [*machine.qemu, "-L", str(userland), "-E", f"LD_PRELOAD=/{faketime}"]
        self._python = [*qemu, str(userland / PYTHON)]
        self._machine = machine
        self._clock = userland / "clock"
        self._tls = tls
        self.set_clock(STARTS_AT)
        pem = str(userland / "certificate.pem")
        super().__init__(*(("-tls-cert", pem, "-tls-key", pem) if tls else ()))

    def set_clock(self, time: str) -> None:
        """It is `time` now, and as long after it as each program has run."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"@{time}\n")
        new.replace(self._clock)

    def start(
        self, script: str, *flags: str, name: str = "", patch: str = "", **options: Unpack[Options]
    ) -> Program:
        assert not patch
        options["env"] = {
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        kind = LineWindow if "-ui" in flags else Program
        return self.run(kind, name or script, [*self._python, script, *flags], **options)

    def join_as(self, username: str, *flags: str) -> Program:
        """Start a client. Who sees it is for the caller to look at."""
        words = ["-join", "-host", "127.0.0.1", "-port", str(self.port), "-username", username]
        tls = (
            ["-tls-fingerprint", fingerprint_of(first_certificate(Path(CERTIFICATE).read_text()))]
            if self._tls
            else []
        )
        return self.start("client.py", *words, "-passcode", PASSCODE, *tls, *flags, name=username)

    def dial(self) -> socket.socket:
        """A connection that has said nothing yet."""
        sock = socket.create_connection(("127.0.0.1", self.port), DEADLINE_SECONDS)
        if not self._tls:
            return sock
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(sock)

    def memory(self, program: Program) -> str:
        """MiB that the program holds, without what is qemu's own (proc(5), smaps)."""
        program.rest()
        text = Path(f"/proc/{program.pid}/smaps").read_text()
        regions = re.findall(r"^([0-9a-f]+)-\S+ .*?\nRss: +(\d+) kB", text, re.M | re.S)
        kib = sum(int(size) for at, size in regions if int(at, 16) in self._machine.addresses)
        return f"{kib / 1024:.1f}"


def play(room: ArmRoom) -> str:
    """A session, and each line that is shown. Returns what the programs hold in memory."""
    empty = room.memory(room.server)
    alice = room.join_as("Alice")
    alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
    room.welcomes(alice)
    bob = room.join_as("Bob", "-ui", "line")
    assert isinstance(bob, LineWindow)
    room.all_show("Bob joined the chatroom")
    bob.waits_for(lambda: bob.typed() == "Bob·2❯")
    _talk(room, alice, bob, "1970")
    with room.dial() as guest:
        room.set_clock(JUMPS_TO)
        _talk(room, alice, bob, "2026")
        _join(guest, "Carol")
        room.all_show("Carol joined the chatroom")
    room.all_show("Carol left the chatroom")
    clients = f"{room.memory(alice)}, -ui line {room.memory(bob)}"
    bob.keys(":Exit\r")
    bob.closes(0)
    room.all_show("Bob left the chatroom")
    alice.types(":Exit")
    alice.exits(0)
    room.misses(alice)
    return f"client {clients}; server {empty}, with {MEMBERS} members {_crowd(room)}"


def _talk(room: ArmRoom, alice: Program, bob: LineWindow, year: str) -> None:
    alice.types(":Users", f":Msg Bob it is {year}")
    alice.shows("Active Users: Alice, Bob")
    room.server.shows("Alice: searched up active users", "Alice: send message to Bob")
    bob.waits_for(lambda: bob.said()[-1].endswith(f"Alice » it is {year}"))
    bob.keys(f"café of {year} :)\r")
    room.all_show(f"Bob: café of {year} [feeling happy]")
    alice.types(":mytime")
    shown = [room.server.stdout.take_line(), alice.stdout.take_line()]
    assert re.fullmatch(rf"Alice: \w+ \w+ \d\d [\d:]+ {year}", shown[0]), shown
    assert shown[0] == shown[1], shown
    bob.waits_for(lambda: bob.said()[-1].endswith(shown[0].removeprefix("Alice: ")))


def _join(sock: socket.socket, username: str) -> None:
    sock.sendall(f"JOIN {username} {PASSCODE}\n".encode())
    answer = sock.recv(3)
    assert answer == b"OK\n", answer


def _crowd(room: ArmRoom) -> str:
    """Members join and leave. Returns what the server holds while they are there."""
    names = [f"m{number}" for number in range(MEMBERS)]
    with contextlib.ExitStack() as stack:
        for name in names:
            _join(stack.enter_context(room.dial()), name)
            room.server.shows(f"{name} joined the chatroom")
        held = room.memory(room.server)
    left = sorted(room.server.stdout.take_line() for _ in names)
    assert left == sorted(f"{name} left the chatroom" for name in names), left
    return held


def make_userland(machine: Machine, folder: Path) -> None:
    """Debian with Python and libfaketime, unpacked in `folder`, unless it is there."""
    if (folder / PYTHON).exists() and any(folder.glob(FAKETIME)):
        return
    shutil.rmtree(folder, ignore_errors=True)
    options = ["--foreign", f"--arch={machine.name}", "--variant=minbase"]
    command = ["debootstrap", *options, "--include=python3,libfaketime", "bookworm", str(folder)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    # With `dpkg-deb -x`, folders would replace the links from /lib to /usr/lib.
    tar = ["tar", "-x", "--keep-directory-symlink", "-C", str(folder)]
    for package in sorted(folder.glob("var/cache/apt/archives/*.deb")):
        read = ["dpkg-deb", "--fsys-tarfile", str(package)]
        data = subprocess.run(read, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(tar, input=data, check=True)
    # The server warns of a key that others may read, as in a checkout.
    certificate = folder / "certificate.pem"
    certificate.write_bytes(Path(CERTIFICATE).read_bytes())
    certificate.chmod(0o600)


def missing() -> list[str]:
    """What a session on ARM needs, and is not here."""
    programs = ["debootstrap", "dpkg-deb", *(machine.qemu[0] for machine in MACHINES)]
    lacks = [program for program in programs if not shutil.which(program)]
    return [*lacks, *(["root"] if os.geteuid() else [])]


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m tools.arm_session FOLDER", file=sys.stderr)
        return 2
    if lacks := missing():
        print(
            "NOT RUN: a session on ARM needs root, debootstrap and qemu-user-static; "
            f"not here: {', '.join(lacks)}",
            file=sys.stderr,
        )
        return 2
    for machine in MACHINES:
        userland = Path(sys.argv[1]).resolve() / machine.name
        userland.parent.mkdir(parents=True, exist_ok=True)
        make_userland(machine, userland)
        for tls in (False, True):
            with ArmRoom(machine, userland, tls=tls) as room:
                held = play(room)
            print(f"{machine.name}, {'TLS' if tls else 'plain'}: played. MiB: {held}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
