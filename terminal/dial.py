"""Connects to a host by name or address, or to a UNIX socket by its path.

In: a host and a port, or a path. Out: a connected, non-blocking socket. Raises OSError, and
UnicodeError for a text that cannot be the name of a host. This blocks, for a bounded time: no loop
runs yet. `dial` does not, and leaves the rest to a loop that runs.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any

from reactor import notice_vanished_peers

LOOKUP_SECONDS = 5.0
"""Longest that is waited for the addresses of a host's name."""

CONNECT_SECONDS = 10.0
"""Longest that each address of the host is tried."""


def connect(host: str, port: int) -> socket.socket:
    """A non-blocking connection to the first address of `host` that takes one. Raises OSError,
    and UnicodeError for what cannot be a host's name."""
    failure: OSError | None = None
    for address in resolve(host):
        try:
            sock = socket.create_connection((address, port), CONNECT_SECONDS)
        except OSError as error:
            failure = failure or error
            continue
        notice_vanished_peers(sock)
        sock.setblocking(False)
        return sock
    raise failure or OSError("it has no address")


def dial(address: str, port: int) -> socket.socket:
    """A socket that is being connected to one of the addresses that `resolve` gives, or to the path
    of a UNIX socket. When it becomes writable, SO_ERROR tells whether it is connected (connect(2),
    EINPROGRESS). Raises OSError."""
    family: int = socket.AF_UNIX
    place: Any = address
    if "/" not in address:
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        found = socket.getaddrinfo(address, str(port), 0, socket.SOCK_STREAM, 0, flags)
        family, _, _, _, place = found[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(place)
    except OSError:
        sock.close()
        raise
    return sock


def connect_unix(path: str) -> socket.socket:
    """A non-blocking connection to the UNIX socket at `path` (unix(7)). Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_SECONDS)
        sock.connect(path)
        sock.setblocking(False)
    except Exception:
        sock.close()
        raise
    return sock


def resolve(host: str) -> list[str]:
    """The addresses of `host`, in the order in which to try them. A host that is an address is the
    only one.

    getaddrinfo(3) may wait a minute for a silent name server. Therefore a thread calls it, which we
    abandon after LOOKUP_SECONDS. Raises OSError and UnicodeError.
    """
    with contextlib.suppress(socket.gaierror):
        return _look_up(host, socket.AI_NUMERICHOST)
    import threading  # for names alone

    outcome: list[list[str] | Exception] = []

    def look_up() -> None:
        try:
            outcome.append(_look_up(host))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads for this user
        return _look_up(host)
    thread.join(LOOKUP_SECONDS)
    if not outcome:
        raise TimeoutError(errno.ETIMEDOUT, "the name service does not answer")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _look_up(host: str, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM, 0, flags)
    return [_as_text(*socket_address) for *_, socket_address in found]


def _as_text(address: str, port: int, flow: int = 0, scope: int = 0) -> str:
    return f"{address}%{scope}" if scope else address  # fe80::1%eth0 (RFC 4007, section 11)
