"""Whether a Redis can keep a room's log: asked once, at the start, before any guest is let in.

In: a URL, `redis://[[USER]:PASSWORD@]HOST[:PORT]/ROOM`, or `rediss://` for TLS. Out: a
RedisAddress, and warnings for the operator. Raised: ClusterError, in one line, if the Redis cannot
keep the log, or could lose lines without a word.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

import hiredis

from cluster import limits
from cluster.redis import RedisAddress, format_command
from reactor import SocketTransport, Transport

_URL = re.compile(
    r"(rediss?)://(?:([^:@/]*):([^@/]*)@)?(\[[0-9a-fA-F:.%]+\]|[^:@/\[\]]+)(?::([0-9]{1,5}))?"
    r"/([A-Za-z0-9_.-]{1,64})"
)


class ClusterError(Exception):
    """Why this server cannot be part of the room."""


class RedisUrl(NamedTuple):
    """The parts of a URL."""

    is_tls: bool
    username: str
    password: str
    host: str
    port: int
    room: str

    @property
    def place(self) -> str:
        """For people; the password is not in it."""
        return f"{self.host}:{self.port}"


def parse_url(url: str) -> RedisUrl:
    """Raises ClusterError, whose text does not hold the URL: it may have a password."""
    parts = _URL.fullmatch(url)
    port = int(parts[5] or 6379) if parts else 0
    if not parts or not 0 < port < 65536:
        raise ClusterError("not a URL like redis://HOST:PORT/ROOM")
    username, password = unquote(parts[2] or ""), unquote(parts[3] or "")
    host = parts[4].strip("[]")
    return RedisUrl(parts[1] == "rediss", username, password, host, port, parts[6])


def find_redis(url: RedisUrl) -> tuple[RedisAddress, list[str]]:
    """Check the Redis at `url`. Returns its address, and warnings. Raises ClusterError."""
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)[
            0
        ]
        make_transport, wrap = _transports(url)
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(limits.START_SECONDS)
            sock.connect(sockaddr)
            info, keepalive = _ask(wrap(sock), url)
    except (OSError, hiredis.HiredisError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise ClusterError(f"Redis at {url.place}: {reason}") from error
    warnings = [f"Redis at {url.place}: {text}" for text in _judge(url, info, keepalive)]
    key = f"chat:{url.room}"
    address = RedisAddress(family, sockaddr, key, url.username, url.password, make_transport)
    return address, warnings


def _transports(
    url: RedisUrl,
) -> tuple[Callable[[socket.socket], Transport], Callable[[socket.socket], socket.socket]]:
    """What makes the transport of a socket of the loop, and what wraps a socket that blocks."""
    if not url.is_tls:
        return SocketTransport, lambda sock: sock
    from reactor.tls import Tls, make_client_context

    tls = Tls(lambda: make_client_context(is_pinned=False))
    context = ssl.create_default_context()
    return (
        lambda sock: tls.connect(sock, url.host, lambda certificate: None),
        lambda sock: context.wrap_socket(sock, server_hostname=url.host),
    )


def _ask(sock: socket.socket, url: RedisUrl) -> tuple[dict[str, str], int]:
    """The fields of INFO, and after how many seconds Redis looks for a vanished peer: 0 if it does
    not say."""
    reader = hiredis.Reader()

    def call(*words: str) -> Any:
        sock.sendall(format_command(words))
        while (answer := reader.gets()) is False:
            if not (data := sock.recv(65536)):
                raise ConnectionError("the connection was closed")
            reader.feed(data)
        return answer

    if url.password:
        user = (url.username,) if url.username else ()
        _raise(call("AUTH", *user, url.password))
    text = b"".join(_raise(call("INFO", part)) for part in ("server", "memory", "persistence"))
    keepalive = call("CONFIG", "GET", "tcp-keepalive")
    is_told = isinstance(keepalive, list) and len(keepalive) == 2
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {key: value for key, _, value in lines}, int(keepalive[1]) if is_told else 0


def _raise(answer: Any) -> bytes:
    if isinstance(answer, Exception):
        raise hiredis.HiredisError(str(answer))
    return answer if isinstance(answer, bytes) else b""


def _judge(url: RedisUrl, info: dict[str, str], keepalive: int) -> list[str]:
    """The warnings. Raises ClusterError."""
    version = info.get("redis_version", "0.0")
    major, minor = (int(word) for word in version.split(".")[:2])
    if (major, minor) < (6, 2):
        raise ClusterError(f"Redis at {url.place}: version {version}; 6.2 or newer is needed")
    if info.get("maxmemory_policy", "").startswith("allkeys"):
        raise ClusterError(
            f"Redis at {url.place}: maxmemory-policy {info['maxmemory_policy']} may delete the "
            "room; set it to noeviction"
        )
    warnings = []
    if info.get("aof_enabled") != "1":
        warnings.append("appendonly is off: what was said is lost when Redis ends")
    if keepalive > limits.MAX_KEEPALIVE_SECONDS:
        warnings.append(
            f"tcp-keepalive is {keepalive}: members of a vanished server leave after "
            f"{2 * keepalive + 25} s; set it to {limits.MAX_KEEPALIVE_SECONDS}"
        )
    return warnings
