"""The other end of a TLS connection, in the hands of a test, and a certificate for localhost."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from reactor.tls import Tls, make_server_context

CERTIFICATE = str(Path(__file__).with_name("certificate.pem"))
"""A certificate that signs itself, and behind it its key; they guard nothing."""

OTHER_CERTIFICATE = str(Path(__file__).with_name("other_certificate.pem"))


def server_tls(plain_answer: bytes = b"") -> Tls:
    return Tls(lambda: make_server_context(CERTIFICATE, CERTIFICATE), plain_answer)


class TlsPeer:
    """A client over a non-blocking socket. It does nothing but when it is told to `act`."""

    def __init__(self, sock: socket.socket, version: ssl.TLSVersion | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if version:
            context.maximum_version = version
        self.socket = sock
        self.heard = bytearray()
        self.has_ended = False
        """By close_notify."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self._outgoing)
        self.unsent = bytearray()
        """Bytes for the wire."""
        self._early = b""
        self._is_open = False

    def say(self, data: bytes) -> None:
        """Have this to send, once the handshake is over."""
        if self._is_open:
            self.session.write(data)
        else:
            self._early += data

    def end(self) -> None:
        """Send a close_notify behind the rest, and FIN behind that."""
        with contextlib.suppress(ssl.SSLError):
            self.session.unwrap()
        while self.unsent or self._outgoing.pending:
            self.send()
        self.socket.shutdown(socket.SHUT_WR)

    def act(self, max_bytes: int = 1 << 16) -> None:
        """Read at most so many bytes, and send all."""
        with contextlib.suppress(BlockingIOError):
            self._incoming.write(self.socket.recv(max_bytes))
        with contextlib.suppress(ssl.SSLWantReadError):
            self._decrypt()
        self.send()

    def sees(self, condition: Callable[[], object]) -> Callable[[], object]:
        """The same condition, before which this one acts."""

        def act_and_look() -> object:
            self.act()
            return condition()

        return act_and_look

    def send(self, max_bytes: int = 1 << 16) -> None:
        """Send at most so many bytes of what there is."""
        self.unsent += self._outgoing.read()
        with contextlib.suppress(BlockingIOError):
            if self.unsent:
                del self.unsent[: self.socket.send(self.unsent[:max_bytes])]

    def _decrypt(self) -> None:
        if not self._is_open:
            self.session.do_handshake()
            self._is_open = True
            if self._early:
                self.session.write(self._early)
        while not self.has_ended:
            try:
                data = self.session.read(1 << 14)
            except ssl.SSLZeroReturnError:
                data = b""
            self.heard += data
            self.has_ended = not data
