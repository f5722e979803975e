"""The page behind nginx and Caddy, each with the configuration that service/ has for it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import DEADLINE_SECONDS, ROOT
from tests.web.peer import Peer
from tests.web.test_http import WebRoom, read_frames, upgrade

HOST = "chat.example"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture
def room() -> Iterator[WebRoom]:
    flags = ["-web-name", HOST, "-trust-proxy", "127.0.0.1", "-log", "plain", "-resume", "0"]
    with WebRoom("-web", "0", *flags) as room:
        room.server.stderr.take_line()  # how many members there is room for
        yield room
        room.server.terminate()


def nginx(folder: Path, port: int, web: int) -> list[str]:
    text = (ROOT / "service" / "nginx.conf").read_text()
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(":8080", f":{web}")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
    Path(folder, "nginx.conf").write_text(f"{main}http {{\naccess_log off;\n{temporary}{text}}}\n")
    return ["nginx", "-p", str(folder), "-c", f"{folder}/nginx.conf"]


def caddy(folder: Path, port: int, web: int) -> list[str]:
    text = (ROOT / "service" / "Caddyfile").read_text()
    text = text.replace(f"{HOST} {{", f"http://{HOST}:{port} {{").replace(":8080", f":{web}")
    Path(folder, "Caddyfile").write_text("{\nadmin off\nauto_https off\n}\n" + text)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


@pytest.mark.parametrize("proxy", [nginx, caddy], ids=["nginx", "caddy"])
def test_page_works_behind_a_proxy_at_a_path_below(
    room: WebRoom, tmp_path: Path, proxy: object
) -> None:
    port = free_port()
    assert callable(proxy)
    command = proxy(tmp_path, port, room.web)
    if not shutil.which(command[0]):
        pytest.skip(f"NOT TESTED: there is no {command[0]} here")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        host = f"{HOST}:{port}"
        page = ask(port, f"GET /chat/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        assert b"Content-Security-Policy" in page
        assert b'<script src="chat.js"' in page
        request = upgrade(Host=host, Origin=f"http://{host}", X_Forwarded_For="192.0.2.1")
        request = request.replace(b"GET /socket", b"GET /chat/socket")
        with dial(port) as sock:
            sock.sendall(request)
            peer = read_frames(sock, Peer().say("ENTER Eve wrong\n"))
        assert peer.heard == "ERROR Incorrect passcode\n"
        assert peer.codes[:1] == [1000]
        line = room.server.stderr.take_line()
        assert line.startswith("refused 1"), line
        assert line.endswith(": incorrect passcode"), line
        other = upgrade(Host=host, Origin="http://evil.example")
        assert ask(port, other.replace(b"GET /s", b"GET /chat/s").decode()).startswith(
            b"HTTP/1.1 403"
        )
    finally:
        process.terminate()
        process.wait()


def dial(port: int) -> socket.socket:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # another program starts: there is nothing to wait on


def ask(port: int, request: str) -> bytes:
    with dial(port) as sock:
        sock.sendall(request.encode())
        answer = bytearray()
        while part := sock.recv(1 << 16):
            answer += part
            if answer.startswith(b"HTTP/1.1 403"):
                break
        return bytes(answer)
