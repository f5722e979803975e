"""TLS 1.2 and 1.3 as a Transport: the ssl module between two pieces of memory, over one socket.

In: a connected socket, and a Tls, which all connections of one program share. Out: a Transport
whose payload is encrypted. Its end of the stream is a close_notify, and then FIN (RFC 8446, 6.1): a
FIN without it may be an attacker's, and is a lost connection. Each half ends by itself.

The handshake is done by `recv` alone, as the peer's bytes come. What is sent before it is over is
kept and sent behind it, once the peer's certificate was found to be right.

A MemoryBIO never shrinks. So there is one of each kind for all connections: a call of the ssl
module takes all that was put in, the beginning of a record too, and what it has written is taken
out before the next call.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Annotated

from reactor.outbound import Bytes
from reactor.transport import SocketTransport, TransportError

HANDSHAKE_BYTES: Annotated[
    int,
    "Most bytes that a peer sends before the handshake is over; an ordinary client sends 600.",
] = 16 * 1024

EARLY_BYTES: Annotated[
    int,
    "Most bytes of payload that are kept until the handshake is over: a request to join.",
] = 4 * 1024

OWN_BYTES: Annotated[
    int,
    "Most unsent bytes of one connection's TLS: a peer that asks for new keys again and again "
    "(RFC 8446, 4.6.3) and does not read the answers is cut.",
] = 256 * 1024

RECORD_BYTES = 16 * 1024
"""What a record holds, at most (RFC 8446, 5.1)."""

PORTION_BYTES: Annotated[
    int,
    "How much is encrypted and sent at a time: what the kernel does not take of it is kept for one "
    "member, where a page is shared by all.",
] = 4 * RECORD_BYTES

LARGE_PORTION_BYTES: Annotated[
    int,
    "How much at a time for a peer of which the kernel took all last time: what the send buffer of "
    "an accepted socket holds. Two sends for a page instead of one cost a sixth of the CPU. A peer "
    "that stops reading may have so much kept for it, once.",
] = 8 * RECORD_BYTES

_HANDSHAKE_RECORD = b"\x16"  # how TLS begins (RFC 8446, 5.1); no letter of a plain text does
_ALERT_RECORD = b"\x15"


class Tls:
    """What all TLS connections of one program share.

    `make_context` is called again by `reload`; connections that there are keep what they have.
    `plain_answer` is what a peer is told that speaks plain text to a server, in plain text.
    """

    def __init__(
        self, make_context: Callable[[], ssl.SSLContext], plain_answer: bytes = b""
    ) -> None:
        """Raises what `make_context` raises."""
        self._make_context = make_context
        self.context = make_context()
        self.plain_answer = plain_answer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def reload(self) -> None:
        """Use a new context from here on. Raises what `make_context` raises, and then goes on with
        the old one."""
        self.context = self._make_context()

    def accept(self, sock: socket.socket) -> TlsTransport:
        """The server's end over an accepted socket."""
        session = self.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        return TlsTransport(self, sock, session)

    def connect(
        self, sock: socket.socket, server_name: str, check: Callable[[bytes], None]
    ) -> TlsTransport:
        """The client's end, whose first `send` begins the handshake. `check` is given the server's
        certificate (DER) before any payload is sent, and raises TransportError if it is wrong."""
        name = server_name if self.context.check_hostname else None
        session = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        return TlsTransport(self, sock, session, check)


class TlsTransport:
    """One connection. It is `open` once the handshake is over."""

    __slots__ = (
        *("_check", "_early", "_failure", "_has_ended", "_is_open", "_is_server", "_is_shutting"),
        *("_payload", "_portion_bytes", "_received_bytes", "_session", "_socket", "_tls"),
        *("_unsent", "descriptor"),
    )

    plain_socket = None

    def __init__(
        self,
        tls: Tls,
        sock: socket.socket,
        session: ssl.SSLObject,
        check: Callable[[bytes], None] | None = None,
    ) -> None:
        """Take over `sock`, connected and non-blocking."""
        self._tls = tls
        self._socket = SocketTransport(sock)
        self._session = session
        self._check = check
        self._is_server = check is None
        self._is_open = False
        self._is_shutting = False  # FIN follows, when all is sent
        self._received_bytes = 0  # of the handshake
        self._early = b""
        self._unsent = b""
        self._portion_bytes = PORTION_BYTES
        self._payload = b""  # that `recv` has not given yet
        self._has_ended = False  # by close_notify, which `recv` has not told yet
        self._failure: TransportError | None = None  # the same
        self.descriptor = self._socket.descriptor
        if not self._is_server:
            self._decrypt(b"")

    # Receiving.

    @property
    def has_input(self) -> bool:
        return bool(self._payload or self._has_ended or self._failure)

    def recv(self, max_bytes: int) -> bytes:
        if not self.has_input:
            data = self._socket.recv(max_bytes)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "its end without a close_notify")
            self._decrypt(data)
        if self._payload:
            payload, self._payload = self._payload[:max_bytes], self._payload[max_bytes:]
            return payload
        if self._failure:
            failure, self._failure = self._failure, None
            with contextlib.suppress(OSError):
                self._push()  # an alert, which says why
            raise failure
        if self._has_ended:
            self._has_ended = False
            return b""
        raise BlockingIOError

    def _decrypt(self, data: bytes) -> None:
        """Take these bytes from the wire: payload, an end, a failure or an answer comes of them."""
        incoming, pieces = self._tls.incoming, list[bytes]()
        incoming.write(data)
        try:
            if not self._is_open:
                self._shake_hands(data)
            while piece := self._session.read(RECORD_BYTES):
                pieces.append(piece)
            self._has_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # it was our end, too
            self._has_ended = True
        except TransportError as failure:
            self._failure = failure
        except ssl.SSLError as error:
            self._failure = TransportError(_reason_of(error))
        finally:
            incoming.read()  # what an end or a failure has left there
            self._unsent += self._tls.outgoing.read()
        self._payload = b"".join(pieces)
        if len(self._unsent) > OWN_BYTES:
            self._failure = TransportError("it asks for more than it reads")

    def _shake_hands(self, data: bytes) -> None:
        """Go on with the handshake. Raises ssl.SSLError, SSLWantReadError until it is over, and
        TransportError."""
        if data and not self._received_bytes:
            self._look_at_first_byte(data[:1])
        self._received_bytes += len(data)
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            if self._received_bytes > HANDSHAKE_BYTES:
                raise TransportError("a handshake without end") from None
            raise
        if self._check:
            self._check(self._session.getpeercert(binary_form=True) or b"")
        self._is_open = True
        if self._early:
            self._session.write(self._early)
            self._early = b""

    def _look_at_first_byte(self, byte: bytes) -> None:
        if byte in (_HANDSHAKE_RECORD, _ALERT_RECORD):
            return
        self._unsent += self._tls.plain_answer
        raise TransportError("plain text instead of TLS")

    # Sending.

    @property
    def has_output(self) -> bool:
        return bool(self._unsent)

    def send(self, pieces: list[Bytes]) -> int:
        if not self._push() and self._is_open:
            return 0
        if not self._is_open:
            return self._keep_early(pieces)
        taken_bytes = 0
        outgoing, write, send = self._tls.outgoing, self._session.write, self._socket.send
        for portion in portions_of(pieces, self._portion_bytes):
            taken_bytes += write(portion)
            data = outgoing.read()
            if (sent_bytes := send([data])) < len(data):
                self._unsent = data[sent_bytes:]
                self._portion_bytes = PORTION_BYTES
                return taken_bytes
        self._portion_bytes = LARGE_PORTION_BYTES
        return taken_bytes

    def _keep_early(self, pieces: list[Bytes]) -> int:
        taken = b"".join(pieces)[: EARLY_BYTES - len(self._early)]
        self._early += taken
        return len(taken)

    def _push(self) -> bool:
        """Send what is encrypted, and FIN if that was the last; whether nothing is left."""
        if unsent := self._unsent:
            self._unsent = b""  # if it fails, nothing is sent any more
            self._unsent = unsent[self._socket.send([unsent]) :]
        if self._unsent:
            return False
        if self._is_shutting:
            self._is_shutting = False
            self._socket.shut(socket.SHUT_WR)
        return True

    # The end.

    def shut(self, how: int) -> None:
        if how != socket.SHUT_WR or not self._is_open:  # what is early has no one to read it
            self._early = self._unsent = b""
            self._socket.shut(how)
            return
        with contextlib.suppress(ssl.SSLError):  # SSLWantReadError: the peer's end is not there yet
            self._session.unwrap()
        self._unsent += self._tls.outgoing.read()
        self._is_shutting = True
        self._push()

    def is_lost(self) -> bool:
        return self._socket.is_lost()

    def count_unacknowledged(self) -> int:
        own_bytes = len(self._unsent) + len(self._early)
        return self._socket.count_unacknowledged() + own_bytes

    def close(self, is_reset: bool) -> None:
        self._socket.close(is_reset)


def portions_of(pieces: list[Bytes], portion_bytes: int) -> Iterator[Bytes]:
    """All of `pieces`, in their order, `portion_bytes` at a time and the rest at the end."""
    if len(pieces) == 1 and len(pieces[0]) <= portion_bytes:
        yield pieces[0]
        return
    portion: list[Bytes] = []
    free_bytes = portion_bytes
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            portion.append(rest[:free_bytes])
            rest = rest[free_bytes:]
            free_bytes -= len(portion[-1])
            if not free_bytes:
                yield portion[0] if len(portion) == 1 else b"".join(portion)
                portion, free_bytes = [], portion_bytes
    if portion:
        yield portion[0] if len(portion) == 1 else b"".join(portion)


def make_server_context(certificate: str, key: str) -> ssl.SSLContext:
    """A server's, from two files in PEM form. Raises OSError, of which ssl.SSLError is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A peer that begins anew costs us a handshake each time; and no one resumes a chat.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.load_cert_chain(certificate, key, password=_refuse_to_ask)
    return context


def make_client_context(is_pinned: bool) -> ssl.SSLContext:
    """A client's, which checks name and chain; `is_pinned`: it checks neither, since the caller
    knows the certificate itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if is_pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs()
    return context


def fingerprint_of(certificate: bytes) -> str:
    """The SHA-256 of a certificate in DER form: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def first_certificate(text: str) -> bytes:
    """The first of a PEM file that has been found good, in DER form."""
    _, begin, rest = text.partition(ssl.PEM_HEADER)
    return ssl.PEM_cert_to_DER_cert(begin + rest.partition(ssl.PEM_FOOTER)[0] + ssl.PEM_FOOTER)


def _refuse_to_ask() -> str:
    """OpenSSL would ask on the terminal."""
    raise OSError(errno.EINVAL, "the key is encrypted")


def _reason_of(error: ssl.SSLError) -> str:
    """OpenSSL's word for it, which holds nothing of the peer's choice."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {error.verify_message.rstrip('.')}"
    return (error.reason or "it speaks no TLS that we know").lower().replace("_", " ")
