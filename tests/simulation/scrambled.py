"""A Transport as TLS is one, for the simulated network: what passes the wire is not the payload,
one record may be taken and not sent, one read of the socket may be worth several of `recv`, and FIN
waits behind the last record. It has no handshake, so that the model need not know it: the witness
is told of the payload, where a plain socket tells of the wire.
"""

from __future__ import annotations

import socket
from typing import Any, cast

from reactor import SocketTransport
from reactor.outbound import Bytes
from tests.simulation.network import Network, SimulatedSocket

RECORD_BYTES = 64


class Stream:
    """One direction: each byte is changed by where it stands."""

    def __init__(self) -> None:
        self._position = 0

    def apply(self, data: bytes) -> bytes:
        """The next bytes, changed; a second Stream changes them back."""
        start = self._position
        self._position += len(data)
        return bytes(byte ^ (at & 0xFF) for at, byte in enumerate(data, start))

    def end(self) -> bytes:
        """What stands in front of FIN."""
        return b""


class Scrambled:
    """The server's end."""

    plain_socket: socket.socket | None = None

    def __init__(self, sock: SimulatedSocket, network: Network) -> None:
        sock.is_wrapped = True
        self.descriptor = sock.fileno()
        self.sent = bytearray()
        """All payload that was taken."""
        self._own = b""
        self._rest = b""
        self._is_shutting = False
        self._simulated, self._network = sock, network
        self._socket = SocketTransport(cast(Any, sock))
        self._out, self._in = Stream(), Stream()
        self.is_lost = self._socket.is_lost
        self.close = self._socket.close

    @property
    def has_output(self) -> bool:
        return bool(self._own)

    @property
    def has_input(self) -> bool:
        return bool(self._rest)

    def recv(self, max_bytes: int) -> bytes:
        if not self._rest:
            self._rest = self._in.apply(self._socket.recv(max_bytes))
            if not self._rest:
                self._network.witness.ended(self._simulated.address)
                return b""
        size = (len(self._rest) + 1) // 2
        payload, self._rest = self._rest[:size], self._rest[size:]
        self._network.progress += 1
        self._network.witness.received(self._simulated.address, payload)
        return payload

    def send(self, pieces: list[Bytes]) -> int:
        data = b"".join(pieces)
        taken = 0
        while self._push() and taken < len(data):
            record = data[taken : taken + RECORD_BYTES]
            taken += len(record)
            self._own = self._out.apply(record)
            self.sent += record
            self._network.witness.taken(self._simulated.address, record)
        return taken

    def shut(self, how: int) -> None:
        if how != socket.SHUT_WR:
            self._own = b""
            self._socket.shut(how)
            return
        self._is_shutting = True
        self._push()

    def count_unacknowledged(self) -> int:
        kernels = self._simulated.count_unacknowledged(len(self._own))
        return kernels + len(self._own)

    def _push(self) -> bool:
        if own := self._own:
            self._own = b""
            self._own = own[self._socket.send([own]) :]
        if self._own:
            return False
        if self._is_shutting:
            self._is_shutting = False
            self._socket.shut(socket.SHUT_WR)
        return True
