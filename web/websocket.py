"""WebSocket (RFC 6455) as a Transport: text frames over another transport, the socket or TLS.

In: a transport whose peer has asked for the upgrade and waits for the answer. Out: a Transport
whose payload is that of the frames. The ends of messages mean nothing: the payload is one stream,
as with TCP. But callers send whole lines, so that each frame of ours ends where a line ends and is
valid UTF-8 by itself. Pages are not copied: one system call sends a frame's header and the page.
Our frames are unmasked, so that all members are sent the same bytes.

A Close frame stands for FIN. A FIN without one is a lost connection. A peer that breaks the
protocol gets a Close frame with a code, and nothing after it.

What comes in goes through wsproto, piece by piece: no message is collected until it is whole.
Lengths are judged by the header, before a byte of payload has come.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from functools import lru_cache
from typing import Any, cast

from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    ParseFailed,
    RsvBits,
)

from reactor.outbound import MAX_PIECES, Bytes
from reactor.transport import Transport
from web import limits

NO_CLOSE_FRAME = "its end without a Close frame"

_FIN_AND_TEXT = 0x81
_NO_RESERVED_BITS = RsvBits(False, False, False)


@lru_cache(maxsize=16)  # a page is sent to all
def frame_header(payload_bytes: int) -> bytes:
    """The header of an unfragmented, unmasked text frame (RFC 6455, 5.2)."""
    if payload_bytes < 126:
        return bytes((_FIN_AND_TEXT, payload_bytes))
    if payload_bytes < 1 << 16:
        return struct.pack("!BBH", _FIN_AND_TEXT, 126, payload_bytes)
    return struct.pack("!BBQ", _FIN_AND_TEXT, 127, payload_bytes)


class Bounds(Extension):
    """Our limits for frames. wsproto asks its extensions about each header, before the payload."""

    name = "bounds"

    def __init__(self) -> None:
        self._message_bytes = 0
        self._fragments = 0

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False  # it is never offered to the peer

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        if opcode is Opcode.TEXT:
            self._message_bytes = self._fragments = 0
        if opcode is Opcode.BINARY:
            return CloseReason.UNSUPPORTED_DATA
        if not opcode.iscontrol():
            self._message_bytes += payload_length
            self._fragments += 1
            if self._message_bytes > limits.MESSAGE_BYTES:
                return CloseReason.MESSAGE_TOO_BIG
            if self._fragments > limits.FRAGMENTS:
                return CloseReason.POLICY_VIOLATION
        return _NO_RESERVED_BITS


class PageSender:
    """Sends a page at once, as `send` of a plain socket does, while no frame is under way."""

    __slots__ = ("_socket", "_transport")

    def __init__(self, transport: WebSocketTransport, sock: socket.socket) -> None:
        self._transport = transport
        self._socket = sock

    def send(self, page: Bytes) -> int:
        """How many bytes of the page were taken. Raises OSError."""
        header = frame_header(len(page))
        taken_bytes = self._socket.sendmsg((header, page)) - len(header)
        if taken_bytes == len(page):
            return taken_bytes
        return self._transport.note_taken(header, len(page), taken_bytes)


class WebSocketTransport:
    """One connection. It sends the answer to the upgrade first, and may be used from the start."""

    __slots__ = (
        *("_control", "_frame_bytes", "_has_closed", "_has_ended", "_is_deaf", "_is_shutting"),
        *("_page_sender", "_parser", "_transport", "_unsent", "plain_socket"),
    )

    def __init__(self, transport: Transport, answer: bytes = b"") -> None:
        """Take over `transport`, over which `answer` is still to be sent."""
        self._transport = transport
        self._parser = FrameProtocol(client=False, extensions=[Bounds()])
        self._unsent = answer  # goes out next, in front of the payload of a frame that was begun
        self._control = b""  # control frames, which go out between two other frames
        self._frame_bytes = 0  # how many bytes of payload the frame that was begun still lacks
        self._has_ended = False  # the peer has closed, and `recv` has not said so yet
        self._is_deaf = False  # what still comes is ignored
        self._has_closed = False  # our Close frame is out: no payload may follow it
        self._is_shutting = False  # FIN follows when all is sent
        sock = transport.plain_socket
        self._page_sender = PageSender(self, sock) if sock else None
        self.plain_socket: Any = None
        self._note_state()

    @property
    def descriptor(self) -> int:
        return self._transport.descriptor

    # Receiving.

    @property
    def has_input(self) -> bool:
        return self._has_ended or self._transport.has_input

    def recv(self, max_bytes: int) -> bytes:
        if self._has_ended:
            self._has_ended = False
            return b""
        data = self._transport.recv(min(max_bytes, limits.RECEIVE_BYTES))
        if self._is_deaf:
            return b"" if not data else self._nothing()
        if not data and self._has_closed:
            return b""  # a FIN in answer to our Close frame, without a Close frame: nothing is lost
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, NO_CLOSE_FRAME)
        return self.take(data) or self._nothing()

    def take(self, data: bytes) -> bytes:
        """The payload in these bytes from the wire."""
        texts: list[str] = []
        self._parser.receive_bytes(data)
        try:
            for frame in self._parser.received_frames():
                if frame.opcode is Opcode.TEXT:
                    texts.append(cast(str, frame.payload))
                else:
                    self._obey(frame.opcode, cast(bytes, frame.payload))
        except ParseFailed as failure:
            self._fail(failure.code)
        return "".join(texts).encode()

    def _nothing(self) -> bytes:
        if self._has_ended:
            self._has_ended = False
            return b""
        raise BlockingIOError

    def _obey(self, opcode: Opcode, payload: bytes) -> None:
        """Do what a control frame asks for."""
        if opcode is Opcode.CLOSE:
            self._is_deaf = self._has_ended = True
        elif opcode is Opcode.PING and len(self._control) < limits.CONTROL_BYTES:
            self._control += self._parser.pong(payload)
            self.plain_socket = None

    def _fail(self, code: CloseReason) -> None:
        """Send the peer a Close frame with `code`, and ignore what it still sends."""
        self._has_ended = self._is_deaf = self._has_closed = self._is_shutting = True
        self._control += self._parser.close(code)
        self.plain_socket = None
        with contextlib.suppress(OSError):
            self._push()
            dropped_bytes = 0
            while dropped_bytes < limits.DRAINED_BYTES and (data := self._transport.recv(1 << 16)):
                dropped_bytes += len(data)

    # Sending.

    @property
    def has_output(self) -> bool:
        return bool(self._unsent or self._control) or self._transport.has_output

    def send(self, pieces: list[Bytes]) -> int:
        if not self._unsent and not self._control and not self._frame_bytes:
            return self._begin_frame(pieces) if pieces else self._push_below()
        taken_bytes = 0
        if self._frame_bytes and pieces:
            if not self._push_unsent():
                return 0
            pieces, rest = split_pieces(pieces, self._frame_bytes)
            taken_bytes = self._transport.send(pieces)
            self._frame_bytes -= taken_bytes
            pieces = rest
        if not self._push():
            return taken_bytes
        return taken_bytes + (self._begin_frame(pieces) if pieces else 0)

    def _begin_frame(self, pieces: list[Bytes]) -> int:
        """One frame around all of `pieces`; how many bytes of them were taken."""
        if len(pieces) >= MAX_PIECES:
            pieces = pieces[: MAX_PIECES - 1]  # the header is one, too
        payload_bytes = sum(map(len, pieces))
        if self._has_closed:
            return payload_bytes
        header = frame_header(payload_bytes)
        taken_bytes = self._transport.send([header, *pieces]) - len(header)
        if taken_bytes == payload_bytes:
            return payload_bytes
        return self.note_taken(header, payload_bytes, taken_bytes)

    def note_taken(self, header: bytes, payload_bytes: int, taken_bytes: int) -> int:
        """Note that `taken_bytes` of a frame's payload were taken; if it is negative, so many bytes
        of the header were not. Returns how many bytes of the payload were taken."""
        if taken_bytes == -len(header):
            return 0
        if taken_bytes < 0:
            self._unsent = header[taken_bytes:]
        self._frame_bytes = payload_bytes - max(0, taken_bytes)
        self._note_state()
        return max(0, taken_bytes)

    def _note_state(self) -> None:
        is_idle = not (self._unsent or self._control or self._frame_bytes or self._has_closed)
        self.plain_socket = self._page_sender if is_idle else None

    def _push_below(self) -> int:
        if self._transport.has_output:
            self._transport.send([])
        return 0

    def _push_unsent(self) -> bool:
        """Send what must come before payload. Whether nothing of it is left."""
        if unsent := self._unsent:
            self._unsent = b""  # if it fails, nothing is sent any more
            self._unsent = unsent[self._transport.send([unsent]) :]
        return not self._unsent

    def _push(self) -> bool:
        """Send what is not payload, and then FIN if it is due. Whether nothing is left, so that a
        frame may begin."""
        if not self._push_unsent() or self._frame_bytes:
            return False
        self._unsent, self._control = self._control, b""
        if not self._push_unsent():
            return False
        if self._is_shutting:
            self._is_shutting = False
            self._transport.shut(socket.SHUT_WR)
        self._note_state()
        return True

    # The end.

    def shut(self, how: int) -> None:
        if how != socket.SHUT_WR:
            self._unsent = self._control = b""
            self._transport.shut(how)
            return
        if not self._has_closed:
            self._has_closed = self._is_shutting = True
            self.plain_socket = None
            self._control += self._parser.close(CloseReason.NORMAL_CLOSURE)
        self._push()

    def is_lost(self) -> bool:
        return self._transport.is_lost()

    def count_unacknowledged(self) -> int:
        own_bytes = len(self._unsent) + len(self._control)
        return self._transport.count_unacknowledged() + own_bytes

    def close(self, is_reset: bool) -> None:
        self.plain_socket = self._page_sender = None  # a cycle would be kept for a while
        self._transport.close(is_reset)


def split_pieces(pieces: list[Bytes], front_bytes: int) -> tuple[list[Bytes], list[Bytes]]:
    """The first `front_bytes` of `pieces`, and the rest, without copying."""
    for index, piece in enumerate(pieces):
        if front_bytes < len(piece):
            view = memoryview(piece)
            front = [*pieces[:index], *([view[:front_bytes]] if front_bytes else [])]
            return front, [view[front_bytes:], *pieces[index + 1 :]]
        front_bytes -= len(piece)
    return pieces, []
