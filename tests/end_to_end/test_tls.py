"""TLS between real programs. Records, ends and partial sends are in tests/reactor/test_tls.py."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from reactor.tls import fingerprint_of, first_certificate
from tests.support.faults import fault
from tests.support.programs import DEADLINE_SECONDS, PASSCODE, Program, Room
from tests.support.size import IS_LONG
from tests.support.tls import CERTIFICATE, OTHER_CERTIFICATE

HALF_DONE = 1000 if IS_LONG else 200


def pin(path: str) -> str:
    return fingerprint_of(first_certificate(Path(path).read_text()))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A copy that no one else may read."""
    path = tmp_path / "certificate.pem"
    shutil.copy(CERTIFICATE, path)
    path.chmod(0o600)
    return path


def tls_room(certificate: Path, *flags: str, patch: str = "") -> Room:
    return Room(f"-tls-cert={certificate}", f"-tls-key={certificate}", *flags, patch=patch)


def start_client(
    room: Room, name: str, *flags: str, passcode: str = PASSCODE, **env: str
) -> Program:
    start = ["-join", "-host=127.0.0.1", f"-port={room.port}", f"-username={name}"]
    return room.start("client.py", *start, f"-passcode={passcode}", *flags, name=name, env=env)


def join(room: Room, name: str, *flags: str, **env: str) -> Program:
    client = start_client(room, name, *flags, **env)
    client.shows(f"Connected to 127.0.0.1 on port {room.port}")
    room.welcomes(client)
    return client


def test_pinned_and_signed_certificates_are_trusted(certificate: Path) -> None:
    with tls_room(certificate) as room:
        alice = join(room, "Alice", "-tls-fingerprint", pin(CERTIFICATE))
        bob = join(room, "Bob", "-tls", SSL_CERT_FILE=CERTIFICATE)
        alice.types("hello " + "x" * 4000, ":Users")
        alice.shows("Active Users: Alice, Bob")
        room.server.shows("Alice: hello " + "x" * 4000, "Alice: searched up active users")
        bob.shows("Alice: hello " + "x" * 4000)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["-tls"], "its certificate: self-signed certificate"),
        (["-tls-fingerprint", pin(OTHER_CERTIFICATE)], f"its certificate is another one: "
         f"{pin(CERTIFICATE)}"),
        ([], ""),
    ],
    ids=["unknown", "not pinned", "plain"],
)  # fmt: skip
def test_wrong_certificate_or_no_tls_is_one_line(
    certificate: Path, flags: list[str], reason: str
) -> None:
    with tls_room(certificate, "-verbose") as room:
        room.server.complains(f"certificate {pin(CERTIFICATE)}")
        room.server.stderr.take_line()
        stranger = start_client(room, "Mallory", *flags)
        place = f"127.0.0.1 port {room.port}: "
        stranger.exits(1, f"error: {place}{reason}" if flags else "error: TLS is required here")
        if "-tls-fingerprint" not in flags:  # that one has shaken hands and gone
            line = room.server.stderr.take_line()
            assert re.fullmatch(r"refused 127\.0\.0\.1:\d+: no TLS: [A-Za-z0-9 ]+", line), line
        room.server.signal(signal.SIGTERM)
        room.server.stdout.expect_end()
        room.server.has_ended = True


def test_tls_client_of_a_plain_server_says_so() -> None:
    with Room("-verbose") as room:
        room.server.stderr.take_line()
        start_client(room, "Alice", "-tls").exits(
            1, f"error: 127.0.0.1 port {room.port}: plain text instead of TLS"
        )
        assert "expected: JOIN" in room.server.stderr.take_line()
        room.server.signal(signal.SIGTERM)
        room.server.stdout.expect_end()
        room.server.has_ended = True


def test_certificate_is_read_again_and_no_member_notices(certificate: Path) -> None:
    with tls_room(certificate) as room:
        alice = join(room, "Alice", "-tls-fingerprint", pin(CERTIFICATE))
        certificate.write_text("nothing")
        room.server.signal(signal.SIGUSR1)
        room.server.complains(
            f"warning: the certificate stays: {certificate} holds no certificate in PEM form"
        )
        certificate.write_text(Path(OTHER_CERTIFICATE).read_text())
        room.server.signal(signal.SIGUSR1)
        room.server.complains(f"certificate {pin(OTHER_CERTIFICATE)}")
        join(room, "Bob", "-tls-fingerprint", pin(OTHER_CERTIFICATE))
        alice.types("still here")
        room.all_show("Alice: still here", but=alice)


@fault(7, 18, 19)
def test_half_done_handshakes_cost_members_nothing(certificate: Path) -> None:
    hello = ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="a")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    data = hello.read()
    with tls_room(certificate) as room:
        alice, bob = (
            join(room, name, "-tls-fingerprint", pin(CERTIFICATE)) for name in ("Alice", "Bob")
        )
        strangers = [room.connect() for _ in range(HALF_DONE)]
        for number, stranger in enumerate(strangers):
            if number < len(strangers) - 100:  # who never says a word
                stranger.close()
            else:
                stranger.feed(data[: len(data) // 2])
        alice.types("hello")
        room.all_show("Alice: hello", but=alice)
        bob.types("hello")
        room.all_show("Bob: hello", but=bob)
        for stranger in strangers:
            stranger.close()  # or the server would wait for their ends


@fault(18)
def test_crowd_that_shakes_hands_at_once_is_let_in(certificate: Path) -> None:
    patch = "from chat import gate\ngate.POOL_CONNECTIONS, gate.SAFE_SECONDS = 3, 1000.0"
    context = ssl.create_default_context(cafile=CERTIFICATE)
    with tls_room(certificate, patch=patch) as room:
        socks = [socket.create_connection(("127.0.0.1", room.port)) for _ in range(8)]
        crowd = [
            context.wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=False)
            for sock in socks
        ]
        for peer in crowd:
            peer.setblocking(False)
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.do_handshake()
        for number, peer in enumerate(crowd):
            peer.settimeout(DEADLINE_SECONDS)
            peer.do_handshake()
            peer.sendall(f"JOIN m{number} {PASSCODE}\n".encode())
            assert peer.recv(3) == b"OK\n"
            room.server.shows(f"m{number} joined the chatroom")
        for number, peer in enumerate(crowd):
            peer.close()
            room.server.shows(f"m{number} left the chatroom")


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_renegotiation_is_refused(certificate: Path) -> None:
    with tls_room(certificate) as room:
        command = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{room.port}"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as client:
            assert client.stdin
            assert client.stdout
            for line in client.stdout:
                if b"Verify return code" in line:
                    client.stdin.write(b"R\n")
                    client.stdin.flush()
                if b"no renegotiation" in line:
                    break
            else:
                pytest.fail("it was not refused")
            client.kill()
