"""TLS on a server, `-tls-cert FILE -tls-key FILE`; and on a client, `-tls`, `-tls-fingerprint`.

In: the names of two files in PEM form, of which the first begins with the server's own certificate;
or the fingerprint that the client was given. Out: transports, or why there are none, for people.
The ssl module is imported only if TLS is asked for: it takes longer than the rest of a start.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from cli.addresses import is_path
from cli.passcode import is_readable_by_others
from codec import TLS_REQUIRED, ProtocolError, encode_line, format_refusal
from reactor import SocketTransport, Transport, TransportError

_BEGINNINGS = {"certificate": "-----BEGIN CERTIFICATE-----", "private key": "PRIVATE KEY-----"}


class TlsSetupError(Exception):
    """TLS was asked for and is not possible. Its text says why, on one line."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -tls-cert and -tls-key."""
    for name, what in {
        "cert": "serve TLS with the certificate in this PEM file; read again on SIGUSR1",
        "key": "the PEM file with its private key",
    }.items():
        parser.add_argument(f"-tls-{name}", f"--tls-{name}", metavar="FILE", help=what)


def load_tls() -> ModuleType:
    """reactor.tls. Raises TlsSetupError where there is none: in a Python without OpenSSL, and in
    the files to hand in."""
    try:
        from reactor import tls
    except ImportError as error:
        raise TlsSetupError(f"there is no TLS here: {error}") from error
    return tls


def add_client_flags(parser: argparse.ArgumentParser) -> None:
    """Add -tls and -tls-fingerprint."""
    parser.add_argument(
        *("-tls", "--tls"),
        action="store_true",
        help="encrypt, and check the name, dates and issuer of the server's certificate",
    )
    parser.add_argument(
        *("-tls-fingerprint", "--tls-fingerprint"),
        type=_fingerprint,
        metavar="sha256:HEX",
        help="encrypt, and accept only the certificate with this fingerprint",
    )


class ServerTls:
    """The server's certificate, and the transports of all connections that use it."""

    def __init__(self, certificate: str, key: str) -> None:
        """Read both files. Raises TlsSetupError."""
        self._files = certificate, key
        self._tls = load_tls()
        answer = encode_line(format_refusal(ProtocolError(TLS_REQUIRED)))
        try:
            self._shared = self._tls.Tls(self._make_context, answer)
        except OSError as error:
            raise TlsSetupError(self._explain(error)) from error

    def make_transport(self, sock: socket.socket) -> Transport:
        """TLS over an accepted socket."""
        transport: Transport = self._shared.accept(sock)
        return transport

    def make_transport_with(self, answer: bytes) -> Callable[[socket.socket], Transport]:
        """The same, but a peer that speaks plain text is told `answer`."""
        shared = self._tls.Tls(lambda: self._shared.context, answer)

        def make_transport(sock: socket.socket) -> Transport:
            shared.context = self._shared.context  # which `reload` replaces
            transport: Transport = shared.accept(sock)
            return transport

        return make_transport

    def reload(self) -> None:
        """Read both files again, for new connections. After TlsSetupError the old ones stay."""
        try:
            self._shared.reload()
        except OSError as error:
            raise TlsSetupError(self._explain(error)) from error

    def warnings(self) -> list[str]:
        """Warnings for the operator, a line each."""
        key = self._files[1]
        is_open = is_readable_by_others(key, os.stat(key))
        return [f"others may read {key}, the private key (chmod 600)"] if is_open else []

    @property
    def fingerprint(self) -> str:
        """Of the certificate in the file, as `client.py -tls-fingerprint` takes it."""
        text = Path(self._files[0]).read_text("utf-8", "replace")
        fingerprint: str = self._tls.fingerprint_of(self._tls.first_certificate(text))
        return fingerprint

    def _make_context(self) -> object:
        return self._tls.make_server_context(*self._files)

    def _explain(self, error: OSError) -> str:
        certificate, key = self._files
        for path, (kind, beginning) in zip(self._files, _BEGINNINGS.items(), strict=True):
            try:
                text = Path(path).read_text("utf-8", "replace")
            except OSError as unreadable:
                return f"cannot read {path}: {unreadable.strerror}"
            if beginning not in text:
                return f"{path} holds no {kind} in PEM form"
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return f"{key} is not the key of {certificate}"
        reason = getattr(error, "reason", None) or error.strerror
        return f"cannot use {certificate} and {key}: {reason}"


def make_server_tls(flags: argparse.Namespace) -> ServerTls | None:
    """What the flags of `add_flags` ask for. Raises TlsSetupError."""
    if flags.tls_cert is None and flags.tls_key is None:
        return None
    if flags.tls_cert is None or flags.tls_key is None:
        raise TlsSetupError("-tls-cert and -tls-key are needed together")
    return ServerTls(flags.tls_cert, flags.tls_key)


def make_client_transport(flags: argparse.Namespace, host: str, sock: socket.socket) -> Transport:
    """What `flags`, of `add_client_flags`, ask for over a socket that is connected to `host`.
    Raises TlsSetupError."""
    pin = flags.tls_fingerprint
    if not (flags.tls or pin) or is_path(host):  # a path stays on this machine
        return SocketTransport(sock)
    tls = load_tls()

    def check(certificate: bytes) -> None:
        seen = tls.fingerprint_of(certificate)
        if pin and seen != pin:
            raise TransportError(f"its certificate is another one: {seen}")

    shared = tls.Tls(lambda: tls.make_client_context(is_pinned=bool(pin)))
    transport: Transport = shared.connect(sock, host.partition("%")[0], check)
    return transport


def _fingerprint(text: str) -> str:
    """As `fingerprint_of` has it; openssl(1) writes colons and capitals."""
    digits = text.lower().removeprefix("sha256:").replace(":", "")
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise argparse.ArgumentTypeError("not sha256: and 64 hexadecimal digits")
    return f"sha256:{digits}"
