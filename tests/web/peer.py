"""The browser's end of a WebSocket, by wsproto: what a test says and hears through one."""

from __future__ import annotations

import os
import struct
from typing import cast

from wsproto.frame_protocol import FrameProtocol, Opcode

TEXT, CONTINUATION, BINARY, CLOSE, PING = 1, 0, 2, 8, 9


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = True
) -> bytes:
    """One frame, right or wrong."""
    return header(opcode, len(payload), fin=fin, rsv=rsv, mask=mask) + payload


def header(opcode: int, size: int, *, fin: bool = True, rsv: int = 0, mask: bool = True) -> bytes:
    """The header of a frame; a mask of zeros leaves the payload as it is."""
    first = fin << 7 | rsv << 4 | opcode
    bit = mask << 7
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + bytes(4 * mask)


class Peer:
    """Decodes what the server sends, strictly."""

    def __init__(self) -> None:
        self._protocol = FrameProtocol(client=True, extensions=[])
        self._message = ""
        self.messages: list[str] = []
        self.pongs: list[bytes] = []
        self.codes: list[int] = []

    def feed(self, data: bytes) -> None:
        """Bytes from the wire. Raises ParseFailed for what is no WebSocket."""
        self._protocol.receive_bytes(data)
        for event in self._protocol.received_frames():
            if event.opcode is Opcode.TEXT:
                self._message += cast(str, event.payload)
                if event.message_finished:
                    self.messages.append(self._message)
                    self._message = ""
            elif event.opcode is Opcode.PONG:
                self.pongs.append(bytes(cast(bytes, event.payload)))
            else:
                assert event.opcode is Opcode.CLOSE, event
                self.codes.append(int(event.payload[0]))

    @property
    def heard(self) -> str:
        """All that has come in whole messages."""
        return "".join(self.messages)

    def say(self, text: str) -> bytes:
        """One masked text message."""
        key = os.urandom(4)
        masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(text.encode()))
        return header(TEXT, len(masked))[:-4] + key + masked
