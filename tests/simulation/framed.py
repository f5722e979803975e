"""WebSocket on the simulated network, from the first byte: the model need not know HTTP."""

from __future__ import annotations

from typing import Any, cast

from wsproto.frame_protocol import FrameProtocol, Opcode

from reactor import SocketTransport
from reactor.outbound import Bytes
from tests.simulation.network import Network, SimulatedSocket
from tests.simulation.scrambled import Stream
from tests.web.peer import CLOSE, TEXT, frame
from web.websocket import NO_CLOSE_FRAME, WebSocketTransport

MESSAGE_BYTES = 1000


class Writer(Stream):
    """What a browser says: masked frames of text. A byte that is no UTF-8 becomes a character."""

    def apply(self, data: bytes) -> bytes:
        text = data.decode("utf-8", "replace").encode()
        parts = [text[at : at + MESSAGE_BYTES] for at in range(0, len(text), MESSAGE_BYTES)]
        texts = [part.decode("utf-8", "replace").encode() for part in parts]
        return b"".join(frame(TEXT, text) for text in texts)

    def end(self) -> bytes:
        return frame(CLOSE)


class Reader(Stream):
    """What it hears, decoded by wsproto, which raises for what is no WebSocket."""

    def __init__(self) -> None:
        super().__init__()
        self._protocol: FrameProtocol | None = FrameProtocol(client=True, extensions=[])
        self._is_first = True

    def apply(self, data: bytes) -> bytes:
        if not self._protocol:
            return b""
        is_first, self._is_first = self._is_first, False
        if is_first and data.startswith(b"E"):  # as no frame of ours: it is refused at the door
            self._protocol = None
            return b""
        self._protocol.receive_bytes(data)
        frames = self._protocol.received_frames()
        return "".join(
            cast(str, each.payload) for each in frames if each.opcode is Opcode.TEXT
        ).encode()


class Framed(WebSocketTransport):
    """The server's end, whose witness is told of the payload."""

    __slots__ = ("_network", "_simulated", "sent")

    def __init__(self, sock: SimulatedSocket, network: Network) -> None:
        sock.is_wrapped = True
        super().__init__(SocketTransport(cast(Any, sock)))
        self.sent = bytearray()
        """All payload that was taken."""
        self._simulated, self._network = sock, network

    def recv(self, max_bytes: int) -> bytes:
        try:
            payload = super().recv(max_bytes)
        except ConnectionResetError as error:
            if error.strerror != NO_CLOSE_FRAME:
                raise
            payload = b""  # FIN without a Close frame; the model knows FIN alone
        self._network.progress += 1
        self._simulated.tell_received(payload)
        return payload

    def send(self, pieces: list[Bytes]) -> int:
        data, due_bytes = b"".join(pieces), self._frame_bytes
        try:
            taken = data[: super().send(pieces)]
        except OSError:  # behind the rest of a frame, which went out before
            self.sent += data[: due_bytes - self._frame_bytes]
            raise
        if taken:
            self.sent += taken
            self._network.witness.taken(self._simulated.address, taken)
        return len(taken)

    def _note_state(self) -> None:
        self.plain_socket = None  # or the witness would not be told

    def count_unacknowledged(self) -> int:
        own_bytes = len(self._unsent) + len(self._control)
        return self._simulated.count_unacknowledged(own_bytes) + own_bytes
