"""The room in a browser: -web PORT, -web-name NAME, -trust-proxy ADDRESS.

In: those flags, and where the room listens. Out: sockets that listen for browsers, and what serves
them. Without -web neither web/ nor the packages that it needs are loaded.
"""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Callable

from chat.journal import Journal
from chat.room import Room
from cli.addresses import LOOPBACK, Address, Doors
from cli.tls import ServerTls
from cli.trace import Parts
from reactor import Listener, Reactor, SocketTransport

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")

RESUME_SECONDS = 30
"""What -web sets -resume to: phones sleep, and a reloaded page has lost its connection."""

TLS_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 36\r\n\r\nTLS is required here: use https://\r\n"
)


class WebSetupError(Exception):
    """-web was asked for and is not possible. Its text says why, on one line."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -web, -web-name and -trust-proxy."""
    parser.add_argument(
        *("-web", "--web"),
        metavar="PORT",
        type=_port,
        help="serve a page that joins the room, on this port of the same addresses; 0 takes a "
        "free one",
    )
    parser.add_argument(
        *("-web-name", "--web-name"),
        metavar="NAME",
        action="append",
        default=[],
        type=_name,
        help="a name by which browsers may ask for the page, besides localhost and our addresses; "
        "may be given more than once",
    )
    parser.add_argument(
        *("-trust-proxy", "--trust-proxy"),
        metavar="ADDRESS",
        action="append",
        default=[],
        type=_network,
        help="a proxy in front of the page, whose X-Forwarded-For says where a browser is; may be "
        "given more than once",
    )


class Web:
    """All that browsers need, and where it listens."""

    def __init__(self, flags: argparse.Namespace) -> None:
        """Raises WebSetupError where something is missing."""
        try:
            from web import assets, http
        except ImportError as error:
            raise WebSetupError(_lack(error)) from error
        self._http = http
        try:
            self._assets = assets.load_assets()
        except OSError as error:
            raise WebSetupError(f"cannot read {error.filename}: {error.strerror}") from error
        addresses = [address for address in flags.listen if not address.is_path]
        self.doors = Doors(addresses or [LOOPBACK], flags.web)
        self._names = flags.web_name
        self._proxies = flags.trust_proxy

    def serve(
        self,
        reactor: Reactor,
        room: Room,
        journal: Journal,
        tls: ServerTls | None,
        parts: Parts,
        log: Callable[[str], None],
    ) -> Callable[[], None]:
        """Begin to serve; returns what ends it. `log` gets a line if a socket no longer listens."""
        site = self._http.Site(
            *(reactor, room.gate, journal, room.make_guest, self._assets),
            *(self._names, self._proxies),
            # What is traced is lines, not frames: passcodes and private texts are found in these.
            lambda transport: parts.wrap(lambda _: transport)(None),  # type: ignore[arg-type]
        )
        make_transport = tls.make_transport_with(TLS_ANSWER) if tls else SocketTransport

        def listen(address: Address, sock: socket.socket) -> Listener:
            place = self.doors.place(address)
            return Listener(
                *(reactor, sock, site.make_visitor, room.gate.make_room, site.last_words),
                make_transport,
                may_accept=room.gate.has_room,
                open_anew=lambda: address.listen(self.doors.port),
                on_broken=lambda error: log(
                    f"warning: accept: {error.strerror}; opening {place} anew"
                ),
                on_given_up=lambda error: log(
                    f"error: cannot listen on {place} any more: {error.strerror}; no page is served"
                ),
            )

        listeners = [listen(*door) for door in self.doors.sockets.items()]

        def close() -> None:
            for listener in listeners:
                listener.close()
            site.close()

        return close

    def place(self, has_tls: bool) -> str:
        """Where a browser finds the page."""
        address = next(iter(self.doors.sockets)).text
        name = self._names[0] if self._names else _reachable(address)
        return f"{'https' if has_tls else 'http'}://{name}:{self.doors.port}/"


def make_web(flags: argparse.Namespace) -> Web | None:
    """What the flags ask for, and `-resume` with it unless that is set. Raises WebSetupError."""
    if flags.web is None:
        if flags.web_name or flags.trust_proxy:
            raise WebSetupError("-web-name and -trust-proxy need -web")
        return None
    if flags.resume is None:
        flags.resume = RESUME_SECONDS
    return Web(flags)


def is_page_exposed(flags: argparse.Namespace) -> bool:
    """Whether a network can read what a page says: it is served there, and no proxy encrypts."""
    return flags.web is not None and not flags.trust_proxy


def _lack(error: ImportError) -> str:
    package = (error.name or "").partition(".")[0]
    if package in ("h11", "wsproto"):
        return f"-web needs {package}: pip install 'chatroom[web]'"
    return "-web needs the folder web/ beside server.py"


def _reachable(address: str) -> str:
    """An address for a browser, in place of one that stands for all."""
    if address in ("0.0.0.0", "::", LOOPBACK.text):  # noqa: S104
        return "localhost"
    return f"[{address}]" if ":" in address else address


def _port(text: str) -> int:
    if not re.fullmatch("0*[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"not a port from 0 to 65535: {text!r}")
    return int(text)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > 253:
        raise argparse.ArgumentTypeError(f"not a name, which has no port and no path: {text!r}")
    return text


def _network(text: str) -> object:
    import ipaddress  # which takes time

    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not an address: {text!r}") from None
