"""Somebody who asks which rooms are up, over a network that loses, doubles and reorders datagrams.

In: the simulated network and the model. Out: a socket for reactor.datagrams. Each reply is compared
with what was asked, how often, and how many members there are.
"""

from __future__ import annotations

import errno
import random
from collections import Counter

from chat.presence import BURST_REPLIES, REPLY_SECONDS
from codec.presence import REQUEST_BYTES, RoomReply, format_reply, format_request
from reactor import READ
from tests.simulation.model import Model
from tests.simulation.network import Address, Network
from tests.simulation.tcp import error

PORT = 21032
ADDRESS = ("10.0.0.9", 9)

JUNK = (b"", b"ROOMS?", b"ROOMS? 0123456789abcdeg".ljust(64), bytes(64), b"ROOM 0 1 2", b"x" * 65)


class Asker:
    """The server's socket, all that is under way to it, and what came back."""

    def __init__(self, network: Network, model: Model) -> None:
        self.answered = Counter[bytes]()
        """Replies to each nonce."""
        self._network, self._model = network, model
        self._chance = random.Random(f"asker {network.seed}")
        self._began_at = network.clock.now
        self._arrived = Counter[bytes]()
        self._on_the_way: list[bytes] = []
        self._unread: list[bytes] = []
        self._descriptor = network.allocate(self)

    def act(self) -> None:
        """Some of what is under way arrives, in any order; more is sent."""
        chance = self._chance
        if self._network.is_calm or chance.random() < 0.8:
            return
        for _ in range(chance.choice((1, 2, 100))):
            nonce = b"%016x" % chance.getrandbits(64)
            data = format_request(nonce) if chance.random() < 0.7 else chance.choice(JUNK)
            self._on_the_way += [data] * chance.choice((0, 1, 1, 2))
        chance.shuffle(self._on_the_way)
        half = len(self._on_the_way) // 2
        self._arrive(self._on_the_way[half:])
        del self._on_the_way[half:]

    def ask(self, nonce: bytes) -> None:
        """This arrives."""
        self._arrive([format_request(nonce)])

    def _arrive(self, datagrams: list[bytes]) -> None:
        if self._descriptor < 0:
            return
        self._unread += datagrams
        self._arrived.update(data[7:23] for data in datagrams if len(data) == REQUEST_BYTES)

    # System calls.

    def fileno(self) -> int:
        return self._descriptor

    def recvfrom(self, size: int) -> tuple[bytes, Address]:
        self._network.progress += 1
        if not self._unread or self._happens(self._network.faults.again):
            raise error(errno.EAGAIN)
        return self._unread.pop(0)[:size], ADDRESS

    def sendto(self, data: bytes, address: Address) -> None:
        nonce = data[5:21]
        self.answered[nonce] += 1
        seconds = self._network.clock.now - self._began_at
        room = RoomReply(nonce, PORT, len(self._model.members))
        is_right = address == ADDRESS and data == format_reply(room) and len(data) <= REQUEST_BYTES
        is_asked = self.answered[nonce] <= self._arrived[nonce]
        is_seldom = self.answered.total() <= BURST_REPLIES + 1 + seconds / REPLY_SECONDS
        if not (is_right and is_asked and is_seldom):
            self._model.blame(f"{data!r} to {address}, {self.answered.total()} in {seconds} s")
        if self._happens(self._network.faults.fatal):
            raise error(errno.ENOBUFS)

    def close(self) -> None:
        del self._network.owners[self._descriptor]
        self._descriptor = -1

    # For the selector.

    def check_watchable(self) -> None:
        if self._happens(self._network.faults.fatal):
            raise error(errno.ENOMEM)

    def events(self) -> int:
        return READ if self._unread else 0

    def tell(self, events: int) -> int:
        return self.events() & events

    def _happens(self, likelihood: float) -> bool:
        return self._chance.random() < likelihood and not self._network.is_calm
