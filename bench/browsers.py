"""Browsers beside plain members: `python -m bench.browsers`, in one run against one server each.

Out: for each kind, in turns, the CPU time of the server for a blast to all of them, for their
joins, and what an idle one takes in memory. A browser here is a socket that speaks WebSocket as one
does.
"""

from __future__ import annotations

import os
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.web.peer import Peer

ROOT = Path(__file__).resolve().parents[1]
MEMBERS = 1000
LINES = 20_000
TEXT_BYTES = 50
ROUNDS = 2
PAGE = os.sysconf("SC_PAGE_SIZE")

UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: localhost:%d\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"
    b"Upgrade: websocket\r\nOrigin: http://localhost:%d\r\nSec-WebSocket-Version: 13\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)


class Server:
    """A room with a page, and what it costs."""

    def __init__(self) -> None:
        command = [sys.executable, "server.py", "-start", "-port", "0", "-passcode", "abc12"]
        self._process = subprocess.Popen(
            [*command, "-web", "0", "-resume", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stderr
        self.web = int(self._process.stderr.readline().rpartition(":")[2].strip().strip("/"))
        self.port = int(self._process.stdout.readline().split()[4].strip("."))
        for stream in (self._process.stdout, self._process.stderr):
            threading.Thread(target=stream.read, daemon=True).start()

    @property
    def cpu_seconds(self) -> float:
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9

    @property
    def memory_bytes(self) -> int:
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * PAGE

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Audience:
    """So many members of one kind, who read."""

    def __init__(self, server: Server, is_web: bool) -> None:
        self._selector = selectors.DefaultSelector()
        self._socks: list[socket.socket] = []
        for number in range(MEMBERS):
            sock = self._join(server, f"m{number}", is_web)
            sock.setblocking(False)
            self._socks.append(sock)
            self._selector.register(sock, selectors.EVENT_READ)
        self.read(quiet_seconds=0.5)

    def _join(self, server: Server, name: str, is_web: bool) -> socket.socket:
        line = f"ENTER {name} abc12\n"
        if not is_web:
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.sendall(line.encode())
            sock.recv(3)
            return sock
        sock = socket.create_connection(("127.0.0.1", server.web))
        sock.sendall(UPGRADE % (server.web, server.web))
        sock.recv(4096)
        sock.sendall(Peer().say(line))
        sock.recv(5)
        return sock

    def read(self, quiet_seconds: float) -> int:
        """Everything, until nothing has come for so long. Returns how much it was."""
        count = 0
        while ready := self._selector.select(quiet_seconds):
            for key, _ in ready:
                count += len(key.fileobj.recv(1 << 18))  # type: ignore[union-attr]
        return count

    def close(self) -> None:
        for sock in self._socks:
            sock.close()


def blast(server: Server, audience: Audience) -> float:
    """CPU seconds of the server for the lines of one, to all others."""
    text = b"x" * TEXT_BYTES + b"\n"
    with socket.create_connection(("127.0.0.1", server.port)) as talker:
        talker.sendall(b"JOIN Talker abc12\n")
        talker.recv(3)
        audience.read(0.3)
        before = server.cpu_seconds
        thread = threading.Thread(target=talker.sendall, args=(text * LINES,))
        thread.start()
        count = audience.read(0.5)
        thread.join()
        seconds = server.cpu_seconds - before
    assert count >= MEMBERS * LINES * (len(text) + len("Talker: ")), count
    audience.read(0.3)
    return seconds


def main() -> None:
    found: dict[bool, list[list[float]]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for is_web in (False, True):
            server = Server()
            time.sleep(0.3)
            memory, cpu = server.memory_bytes, server.cpu_seconds
            audience = Audience(server, is_web)
            joins = server.cpu_seconds - cpu
            each = (server.memory_bytes - memory) / MEMBERS
            blasts = [blast(server, audience) for _ in range(3)]
            found[is_web].append([min(blasts), joins, each])
            audience.close()
            server.close()
    rows = ("a blast, CPU s", f"{MEMBERS} joins, CPU s", "an idle member, bytes")
    for row, name in enumerate(rows):
        plain, web = (
            statistics.median(each[row] for each in found[kind]) for kind in (False, True)
        )
        print(f"{name:24} plain {plain:10.3f}   browsers {web:10.3f}   ratio {web / plain:.2f}")


if __name__ == "__main__":
    main()
