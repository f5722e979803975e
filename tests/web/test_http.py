"""What a stranger may ask of -web, and how each attack on it ends: the real server, raw sockets.

docs/RELIABILITY.md has the list: the names here are the rows there.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.gate import BURST_ATTEMPTS, MAX_WAITING_REQUESTS
from tests.support.programs import DEADLINE_SECONDS, Room
from tests.support.tls import CERTIFICATE
from tests.web.peer import TEXT, Peer, frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class WebRoom(Room):
    """A room with a page."""

    web = 0

    def open(self) -> None:
        super().open()
        place = re.fullmatch(r"page: https?://[^/]*:(\d+)/", self.server.stderr.take_line())
        assert place
        self.web = int(place[1])

    def request(self, data: bytes) -> bytes:
        """All that is answered to these bytes, to the end of the connection."""
        with self.dial() as sock:
            sock.sendall(data)
            answer = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while part := sock.recv(1 << 16):
                    answer += part
            return bytes(answer)

    def dial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.web), DEADLINE_SECONDS)


def upgrade(**changes: str | None) -> bytes:
    """A browser's request for the WebSocket, with some of it changed or left out."""
    fields: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        "Origin": "http://localhost",
    }
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return ("GET /socket HTTP/1.1\r\n" + "".join(lines) + "\r\n").encode()


@pytest.fixture(scope="module")
def room() -> Iterator[WebRoom]:
    with WebRoom("-web", "0", "-web-name", "chat.example", "-resume", "0") as room:
        yield room


def get(path: str = "/", more: str = "", method: str = "GET", host: str = "localhost") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


ATTACKS = {
    # what a request is -> (its bytes, the status of the answer)
    "another site's name (DNS rebinding)": (get(host="evil.example"), 421),
    "a name that begins like ours": (get(host="localhost.evil.example"), 421),
    "an address that is not ours": (get(host="192.0.2.7"), 421),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no Host in HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", 400),
    "two Hosts": (get(more="Host: evil.example\r\n"), 400),
    "Host with a user": (get(host="localhost@evil.example"), 400),
    "brackets around what is no IPv6 address": (get(host="[127.0.0.1]"), 400),
    "Host that would write into our headers": (get(host="localhost;x'\\"), 400),
    "a path out of the folder": (get("/../server.py"), 404),
    "the same, encoded": (get("/%2e%2e/%2e%2e/etc/passwd"), 404),
    "a NUL in the path": (get("/\0"), 400),
    "a source file": (get("/http.py"), 404),
    "absolute target": (get("http://evil.example/"), 404),
    "POST": (get(method="POST", more="Content-Length: 5\r\n") + b"a=b&c", 405),
    "TRACE": (get(method="TRACE"), 405),
    "CONNECT": (get("evil.example:443", method="CONNECT"), 405),
    "a body behind GET": (get(more="Content-Length: 3\r\n") + b"abc", 400),
    "chunks (smuggling)": (get(more="Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", 400),
    "both lengths (smuggling)": (
        get(more="Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
        400,
    ),
    "two different lengths": (get(more="Content-Length: 0\r\nContent-Length: 9\r\n"), 400),
    "blank before the colon": (get(more="Content-Length : 0\r\n"), 400),
    "a folded header": (get(more="X-A: b\r\n c: d\r\n"), 200),
    "a NUL in a header": (get(more="X-A: b\0c\r\n"), 400),
    "a header without end": (get(more="X-A: " + "a" * 40_000), 431),
    "headers without number": (get(more="a: b\r\n" * 8000), 431),
    "HTTP/2 by force": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no HTTP at all": (b"JOIN Alice abc12\n\n", 400),
    "TLS to the plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "another site's page (cross-site WebSocket)": (upgrade(Origin="http://evil.example"), 403),
    "Origin null": (upgrade(Origin="null"), 403),
    "Origin of another port": (upgrade(Origin="http://localhost:3000"), 403),
    "Origin that begins like ours": (upgrade(Origin="http://localhost.evil.example"), 403),
    "Origin with ours as its user": (upgrade(Origin="http://localhost@evil.example"), 403),
    "Origin of an extension": (upgrade(Origin="chrome-extension://abc"), 403),
    "an upgrade without a key": (upgrade(Sec_WebSocket_Key=None), 400),
    "a key of another length": (upgrade(Sec_WebSocket_Key="YWJj"), 400),
    "a key that is none": (upgrade(Sec_WebSocket_Key="*" * 24), 400),
    "an old version": (upgrade(Sec_WebSocket_Version="8"), 426),
    "an upgrade to h2c": (upgrade(Upgrade="h2c"), 426),
    "Upgrade without Connection": (upgrade(Connection="close"), 426),
    "a list of protocols that takes time to split": (
        upgrade(Sec_WebSocket_Protocol="b" + " " * 12_000 + "x"),
        101,
    ),
    "an offer to compress (bombs)": (
        upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"),
        101,
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_has_its_answer_and_costs_nobody(room: WebRoom, attack: str) -> None:
    request, status = ATTACKS[attack]
    if status != 101:
        answer = room.request(request)
        assert answer.count(b"HTTP/1.1 ") == 1, "one answer, and then nothing is read"
    else:
        with room.dial() as sock:
            sock.sendall(request)
            answer = sock.recv(1 << 16)
        assert b"Extensions" not in answer
        assert b"Protocol:" not in answer
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert room.request(get("/health")).endswith(b"\r\n\r\nok\n")


def test_answer_has_the_headers_that_keep_a_page_alone(room: WebRoom) -> None:
    head = room.request(get())
    policy = re.search(rb"Content-Security-Policy: (.*)\r", head)
    assert policy
    assert b"'unsafe" not in policy[1]
    for part in (b"default-src 'none'", b"frame-ancestors 'none'", b"base-uri 'none'"):
        assert part in policy[1]
    assert b"X-Content-Type-Options: nosniff\r\n" in head
    tag = re.search(rb'ETag: ("\w+")\r', head)
    assert tag
    more = f"If-None-Match: {tag[1].decode()}\r\n"
    assert room.request(get(more=more)).startswith(b"HTTP/1.1 304 ")
    assert room.request(get(method="HEAD")).endswith(b"\r\n\r\n")
    assert room.request(get(host="chat.example:8080")).startswith(b"HTTP/1.1 200 ")


def test_second_request_and_second_upgrade_are_not_read(room: WebRoom) -> None:
    assert room.request(get("/nope") + get()).count(b"HTTP/1.1") == 1
    with room.dial() as sock:
        sock.sendall(upgrade() + upgrade())  # the second is no frame
        peer = read_frames(sock)
    assert peer.codes == [1002]


def test_frames_behind_the_upgrade_in_one_segment_are_taken(room: WebRoom) -> None:
    with room.dial() as sock:
        sock.sendall(upgrade() + Peer().say("ENTER Early abc12\n:Users\n:Exit\n"))
        peer = read_frames(sock)
    assert peer.heard == "OK\nActive Users: Early\nActive Users: Early\n"
    assert peer.codes == [1000]
    room.server.shows("Early joined the chatroom", "Early: searched up active users")
    room.server.shows("Early left the chatroom")


def test_wrong_passcode_is_refused_as_it_is_to_everyone(room: WebRoom) -> None:
    with room.dial() as sock:
        sock.sendall(upgrade() + Peer().say("ENTER Eve wrong\n"))
        peer = read_frames(sock)
    assert (peer.heard, peer.codes) == ("ERROR Incorrect passcode\n", [1000])


def test_guesses_through_page_and_port_are_counted_together() -> None:
    with WebRoom("-web", "0") as room, contextlib.ExitStack() as stack:
        for number in range(BURST_ATTEMPTS + MAX_WAITING_REQUESTS):
            sock = stack.enter_context(room.dial())
            sock.sendall(upgrade() + Peer().say("ENTER Eve wrong\n"))
            if number < BURST_ATTEMPTS:
                assert read_frames(sock).heard == "ERROR Incorrect passcode\n"
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", room.port)))
        plain.sendall(b"JOIN Eve wrong\n")
        assert plain.recv(100) == b"ERROR Too many attempts, try again later\n"


def test_visitors_beyond_the_pool_cost_one_another(room: WebRoom) -> None:
    member = room.join_raw("Plain")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(room.dial()) for _ in range(140)]
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: local")  # and never the rest (slowloris)
        assert slow[0].recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        assert room.request(get("/health")).endswith(b"ok\n")
    room.nothing_else()
    member.end_input()
    room.misses(member)


def test_slow_header_has_the_time_that_a_slow_join_has() -> None:
    patch = "from chat import session; session.HANDSHAKE_SECONDS = 0.3"
    with WebRoom("-web", "0", patch=patch) as room:
        assert room.request(b"GET / HTT").startswith(b"HTTP/1.1 408 ")


def read_frames(sock: socket.socket, say: bytes = b"") -> Peer:
    """What comes behind the answer to the upgrade, to a Close frame or the end. `say` is sent
    once that answer is there: not every proxy passes on what comes with the request."""
    data = bytearray(sock.recv(1 << 16) if say else b"")
    sock.sendall(say)
    peer = Peer()
    with contextlib.suppress(ConnectionResetError):
        while not peer.codes and (part := sock.recv(1 << 16)):
            data += part
            head, end, rest = bytes(data).partition(b"\r\n\r\n")
            peer = Peer()
            peer.feed(rest if end else b"")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, 1.3
    return peer


def test_certificate_of_the_room_is_that_of_the_page(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    shutil.copy(CERTIFICATE, path)
    path.chmod(0o600)
    with WebRoom("-web", "0", f"-tls-cert={path}", f"-tls-key={path}") as room:
        assert b"use https://" in room.request(get())
        context = ssl.create_default_context(cafile=CERTIFICATE)
        with context.wrap_socket(room.dial(), server_hostname="localhost") as sock:
            sock.sendall(upgrade(Origin="https://localhost"))
            sock.sendall(Peer().say("ENTER Eve abc12\n" + "x" * 4000 + "\n:Exit\n"))
            peer = read_frames(sock)
        assert peer.heard.endswith("Active Users: Eve\nEve: " + "x" * 4000 + "\n")
        room.server.terminate()


def test_trace_holds_lines_and_hides_what_is_private(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with WebRoom("-web", "0", "-trace", str(trace)) as room:
        with room.dial() as sock:
            sock.sendall(upgrade())
            sock.recv(1 << 16)
            sock.sendall(Peer().say("ENTER Eve abc12\n:Msg Eve secret\nhello\n:Exit\n"))
            while sock.recv(1 << 16):
                pass
        room.server.terminate()
    text = trace.read_text()
    assert "Eve: hello" in text
    assert "secret" not in text
    assert "abc12" not in text


def test_proxy_alone_is_believed_about_addresses() -> None:
    for trusted, told in (("127.0.0.1", "203.0.113.9"), ("192.0.2.1", r"127.0.0.1:\d+")):
        with WebRoom("-web", "0", "-trust-proxy", trusted, "-log", "plain") as room:
            room.server.stderr.take_line()  # how many members there is room for
            with room.dial() as sock:
                forged = upgrade(X_Forwarded_For="198.51.100.1, 203.0.113.9", Origin=None)
                sock.sendall(forged + frame(TEXT, b"ENTER Eve wrong\n"))
                read_frames(sock)
            line = room.server.stderr.take_line()
            assert re.fullmatch(f"refused {told}: incorrect passcode", line), line
            room.server.terminate()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["-web-name", "x"], "-web-name and -trust-proxy need -web"),
        (["-web", "99999"], "-web: not a port from 0 to 65535: '99999' (-help shows how)"),
        (["-web", "0", "-web-name", "a/b"], "has no port and no path"),
        (["-web", "0", "-trust-proxy", "here"], "-trust-proxy: not an address: 'here'"),
    ],
)
def test_flags_of_the_page_are_checked(flags: list[str], complaint: str) -> None:
    from tests.support.programs import Stage

    with Stage() as stage:
        start = ["-start", "-port", "0", "-passcode", "abc12"]
        server = stage.start("server.py", *start, *flags)
        assert complaint in server.stderr.take_line()
        server.ends(2)
