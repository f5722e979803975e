"""Where a server listens: `-listen ADDRESS`, as often as there are addresses.

In: IPv4 and IPv6 addresses, and paths of UNIX sockets, which begin with / or ./ or ../. Out:
sockets that listen, all on one port; and what the operator of a room on a network is warned of.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence

from cli.start import reason_of
from reactor import listen, listen_unix, naming

MAX_SHORT_PASSCODE_CHARACTERS = 5
"""The assignment's longest: letters of one case and digits make 60 million, soon tried."""

FIRST_INHERITED_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START (sd_listen_fds(3))."""

_BRACKETS_OR_PORT = re.compile(r"\[(.+)\](?::([0-9]+))?|([0-9.]+):([0-9]+)")


class Address:
    """One address to listen on. `text` is as it was typed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._file: os.stat_result | None = None  # that `listen` has made

    @property
    def is_path(self) -> bool:
        return is_path(self.text)

    @property
    def is_public(self) -> bool:
        """Whether other machines may connect: no path, none of 127.0.0.0/8, not ::1 (RFC 6890)."""
        return not (self.is_path or self.text == "::1" or self.text.startswith("127."))

    @property
    def is_ipv4(self) -> bool:
        return not self.is_path and ":" not in self.text

    def listen(self, port: int) -> socket.socket:
        """A non-blocking socket that listens there. Raises OSError."""
        if not self.is_path:
            return listen(self.text, port)
        sock = listen_unix(self.text)
        self._file = os.stat(self.text)
        return sock

    @property
    def is_gone(self) -> bool:
        """Whether it is a path, and there is no file any more."""
        return self.is_path and not os.path.lexists(self.text)

    def remove(self) -> None:
        """Delete the file that `listen` has made, unless another server has its name by now."""
        with contextlib.suppress(OSError):
            if self._file and os.path.samestat(self._file, os.stat(self.text)):
                os.unlink(self.text)


LOOPBACK = Address("127.0.0.1")
"""The assignment: "Your server should bind to 127.0.0.1 as the host"."""


class Doors:
    """All that one server listens on: `addresses`, on one port, and `inherited`, which are sockets
    that listen already. If there are neither, it is LOOPBACK."""

    def __init__(
        self, addresses: Sequence[Address], port: int, inherited: Sequence[socket.socket] = ()
    ) -> None:
        self.port = port
        """The port; 0 while it is to be a free one and `open` was not called."""
        self.sockets: dict[Address, socket.socket] = {}
        for sock in inherited:
            self._adopt(sock)
        self._addresses = addresses if addresses or inherited else [LOOPBACK]
        self._opening = LOOPBACK

    def open(self) -> None:
        """Listen on each. Raises OSError after closing all of them."""
        try:
            for address in self._addresses:
                self._opening = address
                self.sockets[address] = sock = address.listen(self.port)
                if not address.is_path and not self.port:
                    with naming("getsockname"):
                        self.port = sock.getsockname()[1]
        except OSError:
            for sock in self.sockets.values():
                sock.close()
            self.remove()
            raise

    def _adopt(self, sock: socket.socket) -> None:
        with naming("getsockname"):
            name = sock.getsockname()
        if sock.family == socket.AF_UNIX:
            self.sockets[Address(os.fsdecode(name))] = sock
        else:
            self.sockets[Address(name[0])] = sock
            self.port = self.port or name[1]

    def remove(self) -> None:
        """Delete the files that were made, when no one listens any more."""
        for address in self.sockets:
            address.remove()

    def explain(self, error: OSError) -> str:
        """Why `open` failed."""
        address = self._opening
        is_taken = error.errno == errno.EADDRINUSE and (self.port or address.is_path)
        if not is_taken:
            return f"cannot listen on {self.place(address)}: {reason_of(error)}"
        other = "" if address.is_path else _another_than(address, self.port)
        return f"{self.place(address)} is already in use{other}"

    def place(self, address: Address) -> str:
        """What is listened on, for people."""
        if address.is_path:
            return address.text
        return f"port {self.port}" if address is LOOPBACK else f"{address.text} port {self.port}"


def _another_than(address: Address, port: int) -> str:
    """A suggestion, or ""."""
    for other in range(port + 1, min(port + 100, 65536)):
        with contextlib.suppress(OSError):
            address.listen(other).close()
            return f"; {other} is free"
    return ""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -listen."""
    parser.add_argument(
        *("-listen", "--listen"),
        action="append",
        default=[],
        type=_address,
        help="an IPv4 or IPv6 address, or the path of a UNIX socket, instead of 127.0.0.1; "
        "may be given more than once",
    )


def warn_of_network(
    addresses: Iterable[Address], passcode: bytes, has_tls: bool, has_page: bool
) -> Iterator[str]:
    """Warnings for the operator, a line each. `has_page`: browsers join there, too."""
    public = " and ".join(address.text for address in addresses if address.is_public)
    if public and len(os.fsdecode(passcode)) <= MAX_SHORT_PASSCODE_CHARACTERS:
        short = f"a passcode of {MAX_SHORT_PASSCODE_CHARACTERS} characters or fewer"
        yield f"{short} is soon guessed on a network"
    if public and not has_tls:
        page = " and by the page" if has_page else ""
        yield (
            f"no TLS: the network can read what is said on {public}{page}, and the passcode "
            "(-tls-cert)"
        )


def inherited_descriptors() -> range:
    """Sockets that systemd opened for this process (sd_listen_fds(3)); none if they are for another
    process, whose environment this one has."""
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isdecimal() or os.environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    return range(FIRST_INHERITED_DESCRIPTOR, FIRST_INHERITED_DESCRIPTOR + int(count))


def is_path(host: str) -> bool:
    """Whether this is the path of a UNIX socket, and no name or address."""
    return host.startswith(("/", "./", "../"))


def _address(text: str) -> Address:
    if parts := _BRACKETS_OR_PORT.fullmatch(text):
        host, port = parts[1] or parts[3], parts[2] or parts[4]
        flags = f"-listen {host} -port {port}" if port else f"-listen {host}"
        raise argparse.ArgumentTypeError(f"not an address: {text!r}; write {flags}")
    if not is_path(text) and not _is_numeric(text):
        way_out = "begin a path with ./" if "/" in text else "0.0.0.0 and :: stand for any"
        raise argparse.ArgumentTypeError(f"not an address: {text!r}; {way_out}")
    return Address(text)


def _is_numeric(text: str) -> bool:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        socket.inet_pton(family, text.partition("%")[0])
    except OSError:
        return False
    return True
