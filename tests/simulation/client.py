"""Somebody at the other end: sends what the script gives it, reads as the script has it read."""

from __future__ import annotations

import errno
import socket

from tests.simulation.network import Address
from tests.simulation.scrambled import Stream
from tests.simulation.script import Step
from tests.simulation.tcp import End

VANISHED_SECONDS = 55.0
"""Until the server's kernel reports that nothing is heard of one who has vanished."""


class Client:
    """One connection's far end. It acts before each turn of the loop."""

    def __init__(
        self,
        end: End,
        address: Address,
        closes_at_end: bool,
        streams: tuple[Stream, Stream] | None = None,
    ) -> None:
        """`streams`: what its transport makes of what it says and hears."""
        self.end = end
        self.heard = bytearray()
        """What it has read, if it has a transport."""
        self._out: Stream | None
        self._in: Stream | None
        self._out, self._in = streams or (None, None)
        self.address = address
        self.outbox = bytearray()
        self._piece = 0
        self._appetite = -1
        self._wants_fin = False
        self._has_said_end = False  # in its transport's words, behind which nothing may come
        self._has_read_end = False
        self._closes_at_end = closes_at_end
        self._vanished_at: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether the same `who` may connect again."""
        return self.end.is_closed or self._vanished_at is not None

    @property
    def is_busy(self) -> bool:
        """Whether `act` would do something now."""
        if self.is_over:
            return False
        return self._can_read or (bool(self.outbox) and self.end.free_bytes > 0)

    def do(self, step: Step, now: float) -> None:
        """What the script wants of it. One that is gone does nothing."""
        if self.is_over:
            return
        match step.verb:
            case "send" | "flood":
                data = step.data * (step.number if step.verb == "flood" else 1)
                if not self._has_said_end:
                    self.outbox += self._out.apply(data) if self._out else data
            case "piece":
                self._piece = step.number
            case "appetite":
                self._appetite = step.number
            case "fin":
                self._wants_fin = True
            case "close" | "reset":
                self._send()
                getattr(self.end, step.verb)()
            case "vanish":
                self._vanished_at = now
            case "fail":
                self.end.peer.fail(step.number)
            case _:
                raise ValueError(f"no such step: {step}")

    def act(self, now: float) -> None:
        """Send and read what can be sent and read now."""
        if self._vanished_at is not None:
            if now >= self._vanished_at + VANISHED_SECONDS:
                self.end.peer.fail(errno.ETIMEDOUT)
        elif not self.end.is_closed:
            if self.outbox or self._wants_fin:
                self._send()
            self._read()

    def settle(self) -> None:
        """From now on read everything, and end when the server does."""
        self._piece = 0
        self._appetite = -1
        self._closes_at_end = True
        if self._vanished_at is not None:
            self.end.peer.fail(errno.ETIMEDOUT)
        elif self._has_read_end:
            self.end.close()

    def _send(self) -> None:
        try:
            # Of much it sends more at a time, or a flood would take for ever.
            size = max(self._piece, len(self.outbox) // 100) if self._piece else len(self.outbox)
            while size and (room := self.end.free_bytes):
                sent = self.end.send(self.outbox[: min(size, room)])
                del self.outbox[:sent]
                size -= sent
            if self._wants_fin and not (self.outbox or self.end.is_shut_write):
                self._end_half()
        except OSError:
            self.outbox.clear()

    def _end_half(self) -> None:
        if self._out and not self._has_said_end:
            self._has_said_end = True
            self.outbox += self._out.end()
            self._send()
        else:
            self.end.shutdown(socket.SHUT_WR)

    @property
    def _can_read(self) -> bool:
        """Whether it wants to read, and `recv` has an answer for it."""
        if not self._appetite or self._has_read_end:
            return False
        end = self.end
        return bool(end.unread) or end.has_fin or bool(end.error) or end.is_dead

    def _read(self) -> None:
        appetite = self._appetite if self._appetite >= 0 else 1 << 30
        while appetite > 0 and self._can_read:
            try:
                data = self.end.recv(appetite)
            except ConnectionError:
                data = b""
            appetite -= len(data)
            if self._in:
                self.heard += self._in.apply(data)
            self._has_read_end = not data
        if self._has_read_end and self._closes_at_end:
            self.end.close()
