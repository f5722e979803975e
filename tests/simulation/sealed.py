"""TLS by the real ssl module on the simulated network. The handshake is done in memory before the
first byte is sent, so that the model need not know it; records and alerts pass the wire."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, cast

from reactor.outbound import Bytes
from reactor.tls import TlsTransport
from tests.simulation.network import Address, Network, SimulatedSocket
from tests.simulation.scrambled import Stream
from tests.support.tls import server_tls

TLS = server_tls()

_HANDSHAKES: dict[Address, ssl.SSLObject] = {}
"""The server's end of those that the server has not accepted yet."""


def shake_hands(address: Address) -> tuple[Stream, Stream]:
    """What a client's words become on their way, and what it makes of what it hears."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    server = TLS.context.wrap_bio(TLS.incoming, TLS.outgoing, server_side=True)
    for _ in range(2):  # TLS 1.3 takes one and a half
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        TLS.incoming.write(outgoing.read())
        with contextlib.suppress(ssl.SSLWantReadError):
            server.do_handshake()
        incoming.write(TLS.outgoing.read())
    assert client.version() == server.version() == "TLSv1.3"
    _HANDSHAKES[address] = server
    return Writer(client, outgoing), Reader(client, incoming)


class Writer(Stream):
    """What a client says."""

    def __init__(self, session: ssl.SSLObject, outgoing: ssl.MemoryBIO) -> None:
        super().__init__()
        self._session, self._outgoing = session, outgoing

    def apply(self, data: bytes) -> bytes:
        if data:
            self._session.write(data)
        return self._outgoing.read()

    def end(self) -> bytes:
        with contextlib.suppress(ssl.SSLError):
            self._session.unwrap()
        return self._outgoing.read()


class Reader(Stream):
    """What it hears; ssl raises for what is no TLS."""

    def __init__(self, session: ssl.SSLObject, incoming: ssl.MemoryBIO) -> None:
        super().__init__()
        self._session, self._incoming = session, incoming
        self._is_plain: bool | None = None

    def apply(self, data: bytes) -> bytes:
        if self._is_plain is None and data:
            self._is_plain = data.startswith(b"E")  # it is refused at the door
        if self._is_plain or not data:
            return b""
        self._incoming.write(data)
        payload = b""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while piece := self._session.read(1 << 14):
                payload += piece
        return payload


class Sealed(TlsTransport):
    """The server's end, whose witness is told of the payload."""

    __slots__ = ("_network", "_simulated", "sent")

    def __init__(self, sock: SimulatedSocket, network: Network) -> None:
        sock.is_wrapped = True
        super().__init__(TLS, cast(Any, sock), _HANDSHAKES.pop(sock.address))
        self._is_open = True
        self.sent = bytearray()
        """All payload that was taken."""
        self._simulated, self._network = sock, network

    def recv(self, max_bytes: int) -> bytes:
        try:
            payload = super().recv(max_bytes)
        except ConnectionResetError as error:
            if "close_notify" not in str(error.strerror):
                raise
            payload = b""  # FIN alone; the model knows no other end
        self._network.progress += 1
        self._simulated.tell_received(payload)
        return payload

    def send(self, pieces: list[Bytes]) -> int:
        taken = b"".join(pieces)[: super().send(pieces)]
        if taken:
            self.sent += taken
            self._network.witness.taken(self._simulated.address, taken)
        return len(taken)

    def count_unacknowledged(self) -> int:
        own_bytes = len(self._unsent)
        return self._simulated.count_unacknowledged(own_bytes) + own_bytes
