"""A Redis of a test's own, and several servers of one room on it."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import hiredis

from tests.support.programs import (
    DEADLINE_SECONDS,
    GOODBYE,
    PASSCODE,
    Program,
    RawClient,
    Stage,
    free_port,
)
from tests.support.tls import CERTIFICATE

if TYPE_CHECKING:
    from typing_extensions import Self

IS_THERE = shutil.which("redis-server") is not None

KEY = "chat:room"


class Redis:
    """A real redis-server in a folder of its own, which may be killed and started again."""

    def __init__(
        self, *options: str, is_tls: bool = False, aof: str = "always", password: str = ""
    ) -> None:
        """`aof` is its appendfsync. With "everysec" a killed one may lose what it has answered: it
        does not write while its disk is busy with an fsync (two seconds at most)."""
        self._folder = tempfile.TemporaryDirectory()
        self.port = free_port()
        self.is_tls = is_tls
        self.password = password
        words = f"--dir {self._folder.name} --tcp-keepalive 15 --bind 127.0.0.1".split()
        words += ["--save", "", "--appendonly", "yes" if aof else "no"]
        words += ["--appendfsync", aof] if aof else []
        words += ["--requirepass", password] if password else []
        if is_tls:
            words += f"--port 0 --tls-port {self.port} --tls-auth-clients no".split()
            for name in ("cert", "key", "ca-cert"):
                words += [f"--tls-{name}-file", CERTIFICATE]
        else:
            words += ["--port", str(self.port)]
        self._command = ["redis-server", *words, *options]
        self.process: subprocess.Popen[bytes]
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        self.kill()
        self._folder.cleanup()

    def url(self, password: str = "", host: str = "127.0.0.1") -> str:
        who = f":{quote(password or self.password)}@" if password or self.password else ""
        return f"redis{'s' * self.is_tls}://{who}{host}:{self.port}/room"

    def start(self) -> None:
        """Returns when it answers, with its file read."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                if self.call("PING") == b"PONG":
                    return
            except (ConnectionError, ssl.SSLError):
                time.sleep(0.01)
        raise TimeoutError("Redis does not answer")

    def kill(self) -> None:
        """SIGKILL, and it is gone."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def call(self, *words: str | int) -> Any:
        """The answer to one command."""
        with contextlib.ExitStack() as stack:
            address = ("127.0.0.1", self.port)
            sock = stack.enter_context(socket.create_connection(address, DEADLINE_SECONDS))
            if self.is_tls:
                sock = stack.enter_context(self._trusting().wrap_socket(sock))
            reader = hiredis.Reader()
            hello = [("AUTH", self.password)] if self.password else []
            for command in [*hello, words]:
                sock.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]
                while (answer := reader.gets()) is False:
                    if not (data := sock.recv(65536)):
                        raise ConnectionError("no answer")
                    reader.feed(data)
        return answer

    def _trusting(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


class Node:
    """A running server of the room."""

    def __init__(self, cluster: Cluster, program: Program, port: int) -> None:
        self._cluster = cluster
        self.program = program
        self.port = port
        self.members: list[RawClient] = []
        self.address: tuple[str, int] | str = ("127.0.0.1", port)

    def enter(self, username: str) -> RawClient:
        """A socket that asks to join; what comes of it is for the caller to see."""
        sock = socket.create_connection(("127.0.0.1", self.port), DEADLINE_SECONDS)
        client = self._cluster.take_over(sock, username)
        client.types(f"JOIN {username} {PASSCODE}")
        return client

    def join(self, username: str) -> RawClient:
        client = self.enter(username)
        client.shows("OK")
        self.members.append(client)
        return client

    def ends(self, *may_tell: str) -> None:
        """SIGTERM. Its members are told, and it has told nothing but what it `may_tell`."""
        self.program.signal(signal.SIGTERM)
        for member in self.members:
            while member.stdout.take_line() != GOODBYE:
                pass
            member.goes_home()
        told = self.program.stderr.take_rest().decode().splitlines()
        assert set(told) <= set(may_tell)
        self.program.ends(0)


class Cluster(Stage):
    """Several servers of one room."""

    def start_server(
        self, url: str, *flags: str, prefix: Sequence[str] = (), **env: str
    ) -> Program:
        command = ["-start", "-port", "0", "-passcode", PASSCODE, "-cluster", url, *flags]
        return self.start("server.py", *command, prefix=prefix, env=env)

    def start_node(self, url: str, *flags: str, prefix: Sequence[str] = (), **env: str) -> Node:
        """One that has opened its door."""
        program = self.start_server(url, *flags, prefix=prefix, **env)
        banner = program.stdout.take_line()
        match = re.fullmatch(r"Server started on port (\d+)\. Accepting connections", banner)
        assert match, banner
        return Node(self, program, int(match[1]))


def trusted() -> dict[str, str]:
    """The environment in which the certificate of a Redis with TLS is trusted."""
    return {"SSL_CERT_FILE": str(Path(CERTIFICATE))}
