"""One request of a browser: HTTP/1.1 through h11, under the deadlines of the gate.

In: connections, and their requests. Out: the page and its few files, each on a connection of its
own; or the upgrade to a WebSocket, after which the connection is a guest's like any other. Every
other request gets an error. After an answer nothing is read.

A visitor is one of the gate's guests until it is gone or upgraded: it has the same deadline, takes
one of their places, and never that of a member.
"""

from __future__ import annotations

import base64
import binascii
import os
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus

import h11
from wsproto.utilities import generate_accept_token

from chat import session
from chat.gate import Gate
from chat.journal import Journal
from chat.session import Guest, format_address
from codec import ProtocolError
from reactor import Connection, Reactor, Timer, Transport, TransportError
from web import limits
from web.assets import Asset, format_answer
from web.origin import (
    Host,
    Network,
    is_among,
    is_loopback,
    is_same_origin,
    parse_host,
    source_behind,
)
from web.websocket import WebSocketTransport

SOCKET_PATH = "/socket"

Headers = dict[bytes, list[bytes]]


class RefusedRequest(Exception):  # noqa: N818  # it is an answer rather than an error of ours
    """A request that is refused. `reason` is what the operator is told, or "" if that would not
    help."""

    def __init__(self, status: HTTPStatus, reason: str = "", *more: str) -> None:
        self.status = status
        self.reason = reason
        self.more = more


class Site:
    """What all visitors share."""

    def __init__(
        self,
        reactor: Reactor,
        gate: Gate,
        journal: Journal,
        make_guest: Callable[[object], Guest],
        assets: dict[str, Asset],
        names: Iterable[str] = (),
        proxies: Iterable[Network] = (),
        wrap: Callable[[Transport], Transport] = lambda transport: transport,
    ) -> None:
        """`names`: names by which the page may be asked for, besides loopback and our own
        addresses. `proxies`: the networks whose X-Forwarded-For is believed. `wrap` gets the
        transport of each browser that joins, whose payload is lines."""
        self.wrap = wrap
        self.reactor = reactor
        self.gate = gate
        self.journal = journal
        self.make_guest = make_guest
        self.assets = assets
        self.proxies = tuple(proxies)
        self._names = frozenset(name.lower().rstrip(".") for name in names)
        self._visitors: dict[Visitor, None] = {}

    def make_visitor(self, address: object) -> Visitor:
        """A protocol for a new connection from `address`."""
        visitor = Visitor(self, address)
        self._visitors[visitor] = None
        return visitor

    def last_words(self, address: object) -> bytes:
        """The answer to a newcomer when no descriptor is left for it."""
        return format_answer(HTTPStatus.SERVICE_UNAVAILABLE)

    def close(self) -> None:
        """End all that have no answer yet."""
        for visitor in list(self._visitors):
            visitor.connection.abort()

    # For visitors.

    def forget(self, visitor: Visitor) -> None:
        self._visitors.pop(visitor, None)
        self.gate.release(visitor)

    def is_ours(self, host: Host, descriptor: int) -> bool:
        """Whether this is a name of ours; another name that points here belongs to another site."""
        return is_loopback(host.name) or host.name in self._names or host.name == _own(descriptor)


class Visitor:
    """A connection until its one request is answered."""

    __slots__ = (
        *("_deadline", "_http", "_peer", "_port", "_received_bytes", "_site"),
        *("connection", "source"),
    )

    def __init__(self, site: Site, address: object) -> None:
        self.connection: Connection
        self._site = site
        self._peer, self._port = address[:2] if isinstance(address, tuple) else ("unix", 0)
        self.source = self._peer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.REQUEST_HEAD_BYTES)
        self._received_bytes = 0
        self._deadline: Timer = site.reactor.call_later(session.HANDSHAKE_SECONDS, self._time_out)

    # For the connection.

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection
        self._site.gate.arrive(self)

    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        try:
            if (
                self._received_bytes > limits.REQUEST_HEAD_BYTES
            ):  # before h11 takes time for each header
                raise RefusedRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._http.receive_data(data)
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return
            if isinstance(event, h11.Request):
                self._answer(event)
            else:
                self.connection.close()
        except h11.RemoteProtocolError as error:
            self._refuse(RefusedRequest(HTTPStatus(error.error_status_hint)))
        except RefusedRequest as refused:
            self._refuse(refused)

    def eof_received(self) -> None:
        self.connection.close()

    def flushed(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        self._deadline.cancel()
        self._site.forget(self)
        if isinstance(error, TransportError):
            self._tell(f"no TLS: {error}")

    # For the gate.

    def go_on(self) -> None:
        """Never called: a visitor does not wait for the gate."""

    def turn_away(self, error: ProtocolError) -> None:
        self._refuse(RefusedRequest(HTTPStatus.SERVICE_UNAVAILABLE))

    def drop(self, error: ProtocolError) -> None:
        if not self.connection.is_closing:
            self.turn_away(error)
        self.connection.close_at_once()

    # Details.

    def _time_out(self) -> None:
        self._refuse(RefusedRequest(HTTPStatus.REQUEST_TIMEOUT))

    def _answer(self, request: h11.Request) -> None:
        headers = _headers_of(request)
        host = self._check_host(headers)
        method, target = request.method.decode("ascii"), request.target.decode("ascii")
        path = target.partition("?")[0]
        if method not in ("GET", "HEAD"):
            raise RefusedRequest(HTTPStatus.METHOD_NOT_ALLOWED, "", "Allow: GET, HEAD")
        if headers.get(b"transfer-encoding") or headers.get(b"content-length", [b"0"]) != [b"0"]:
            raise RefusedRequest(HTTPStatus.BAD_REQUEST)  # such a request has no body
        if path == SOCKET_PATH:
            self._upgrade(request, headers, host)
            return
        asset = self._site.assets.get(path)
        if asset is None:
            raise RefusedRequest(HTTPStatus.NOT_FOUND)
        is_known = asset.tag and asset.tag in _only(headers, b"if-none-match")
        status = HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK
        self._end(format_answer(status, asset, host=_text_of(host), has_body=method == "GET"))

    def _check_host(self, headers: Headers) -> Host:
        host = parse_host(_only(headers, b"host"))
        if host is None:
            raise RefusedRequest(HTTPStatus.BAD_REQUEST)
        if not self._site.is_ours(host, self.connection.descriptor):
            reason = "the page was asked for by a name that is not ours (-web-name)"
            raise RefusedRequest(HTTPStatus.MISDIRECTED_REQUEST, reason)
        return host

    def _upgrade(self, request: h11.Request, headers: Headers, host: Host) -> None:
        """From here on this is a guest's connection."""
        key = _check_handshake(request, headers)
        is_proxied = is_among(self._peer, self._site.proxies)
        for origin in headers.get(b"origin", []):
            text = origin.decode("latin-1")
            if not is_same_origin(text, host, is_port_known=not is_proxied):
                reason = "a page of another site opened a WebSocket"
                raise RefusedRequest(HTTPStatus.FORBIDDEN, reason)
        self._http.next_event()  # EndOfMessage: what follows is not HTTP any more
        early = self._http.trailing_data[0]
        self._become_guest(format_upgrade(key), early, self._source(headers))

    def _become_guest(self, answer: bytes, early: bytes, source: str) -> None:
        connection = self.connection
        self._deadline.cancel()
        self._site.forget(self)
        websocket = WebSocketTransport(connection.transport, answer)
        connection.transport = self._site.wrap(websocket)
        port = self._port if source == self._peer else 0
        guest = self._site.make_guest((source, port))
        connection.protocol = guest
        guest.connection_made(connection)
        connection.write(b"")  # queues a flush, which sends the answer when the turn ends
        if payload := websocket.take(early):
            guest.data_received(payload)

    def _source(self, headers: Headers) -> str:
        forwarded = [value.decode("latin-1") for value in headers.get(b"x-forwarded-for", [])]
        return source_behind(self._peer, forwarded, self._site.proxies)

    def _refuse(self, refused: RefusedRequest) -> None:
        if refused.reason:
            self._tell(refused.reason)
        self._end(format_answer(refused.status, more=refused.more))

    def _end(self, answer: bytes) -> None:
        self._deadline.cancel()
        self.connection.write(answer)
        self.connection.close()

    def _tell(self, reason: str) -> None:
        address = format_address(str(self._peer), int(self._port))
        self._site.journal.note_refusal(address, ProtocolError(reason))


def format_upgrade(key: bytes) -> bytes:
    """The answer to an upgrade (RFC 6455, 4.2.2). No extension and no subprotocol is accepted."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + generate_accept_token(key) + b"\r\n\r\n"
    )


def _check_handshake(request: h11.Request, headers: Headers) -> bytes:
    """The key, of a request that asks for WebSocket as RFC 6455, 4.2.1 says."""
    if request.method != b"GET" or request.http_version != b"1.1":
        raise RefusedRequest(HTTPStatus.BAD_REQUEST)
    is_upgrade = b"websocket" in _tokens(headers, b"upgrade")
    if not is_upgrade or b"upgrade" not in _tokens(headers, b"connection"):
        more = ("Upgrade: websocket", "Sec-WebSocket-Version: 13")
        raise RefusedRequest(HTTPStatus.UPGRADE_REQUIRED, "", *more)
    if headers.get(b"sec-websocket-version") != [b"13"]:
        raise RefusedRequest(HTTPStatus.UPGRADE_REQUIRED, "", "Sec-WebSocket-Version: 13")
    key = _only(headers, b"sec-websocket-key").encode("latin-1")
    try:
        is_key = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        is_key = False
    if not is_key:
        raise RefusedRequest(HTTPStatus.BAD_REQUEST)
    return key


def _headers_of(request: h11.Request) -> Headers:
    headers: Headers = {}
    for name, value in request.headers:  # h11 has written the names in small letters
        headers.setdefault(name, []).append(value)
    return headers


def _only(headers: Headers, name: bytes) -> str:
    """The value of a header that occurs exactly once, or ""."""
    values = headers.get(name, [])
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _tokens(headers: Headers, name: bytes) -> set[bytes]:
    return {token.strip().lower() for value in headers.get(name, []) for token in value.split(b",")}


def _text_of(host: Host) -> str:
    name = f"[{host.name}]" if ":" in host.name else host.name
    return f"{name}:{host.port}" if host.port else name


def _own(descriptor: int) -> str:
    """Our own address at this connection, or ""."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            name = sock.getsockname()
    except OSError:
        return ""
    return str(name[0]).partition("%")[0] if isinstance(name, tuple) else ""
