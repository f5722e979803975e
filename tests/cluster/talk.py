"""Four who talk and two who listen, on several servers of one room, and an account of every line.

Lines are numbered, so that each listener knows of each talker what is missing, what came twice and
what came too early; and both have to have heard the same order. All run in this one thread.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.support.programs import DEADLINE_SECONDS, PASSCODE

LINE = re.compile(rb"^(T\d): (\d{7}) ", re.MULTILINE)
NOTICE = re.compile(rb"^(\* .*|\S+ (?:joined|left) the chatroom)\n", re.MULTILINE)

TEXT_BYTES = 46  # `T0: ` and this are a line of 50 bytes, and its end
MOST_AHEAD_BYTES = 256 * 1024  # of a talker that is not read from


class Told(NamedTuple):
    """A line that no member has said, and when it came."""

    seconds: float
    text: str


class Peer:
    """A member. `spoken` lines were given to the kernel, or are in `unsent`."""

    def __init__(self, name: str, address: tuple[str, int] | str) -> None:
        self.name = name
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.connect(address)
        self.socket.sendall(f"JOIN {name} {PASSCODE}\n".encode())
        answer = self.socket.recv(3)
        assert answer == b"OK\n", answer
        self.socket.setblocking(False)
        self.spoken = 0
        self.unsent = b""
        self.rest = b""
        self.heard: list[tuple[bytes, bytes]] = []
        self.told: list[Told] = []
        self.is_gone = False

    def send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]

    def read(self, seconds: float) -> None:
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        self.is_gone = not data
        lines, end, self.rest = (self.rest + data).rpartition(b"\n")
        self.heard += LINE.findall(lines + end)
        told = NOTICE.findall(lines + end)
        self.told += [Told(seconds, text.decode()) for text in told]


class Account(NamedTuple):
    """What became of all lines, at the listener for whom it is worst."""

    said: int
    lost: int
    doubled: int
    misplaced: int
    is_one_order: bool


class Talk:
    """Talkers T0 to T3 and listeners L0, L1 at `addresses`, in turn; `rate` lines a second in
    all."""

    def __init__(self, addresses: Sequence[tuple[str, int] | str], rate: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.listeners = [Peer(f"L{i}", addresses[i]) for i in range(2)]
        self.talkers = [Peer(f"T{i}", addresses[i % len(addresses)]) for i in range(4)]
        for peer in self.peers:
            self._selector.register(peer.socket, selectors.EVENT_READ, peer)
        self._rate = rate / len(self.talkers)
        self._seconds = 0.0  # in which they have talked
        self._began_at = time.monotonic()

    @property
    def peers(self) -> list[Peer]:
        return [*self.listeners, *self.talkers]

    @property
    def now(self) -> float:
        return time.monotonic() - self._began_at

    def talk(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Go on for so long."""
        last = self.now
        end = last + seconds
        while self.now < end and not until():
            self._seconds += self.now - last
            last = self.now
            for peer in self.talkers:
                self._speak(peer)
            self._turn(0.005)

    def settle(self, seconds: float) -> None:
        """Say no more, and wait until all that was said is heard, or for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._is_heard():
            for peer in self.talkers:
                peer.send()
            self._turn(0.02)
        end = self.now + 0.5  # for what comes twice
        while self.now < end:
            self._turn(0.05)

    def lose(self, peers: Sequence[Peer]) -> None:
        """Their server is gone; what they have not been heard saying does not count."""
        for peer in peers:
            with contextlib.suppress(KeyError):
                self._selector.unregister(peer.socket)
            peer.socket.close()
            peer.is_gone = True
        self.listeners = [peer for peer in self.listeners if peer not in peers]
        self.talkers = [peer for peer in self.talkers if peer not in peers]

    def account(self) -> Account:
        """Of those that are there."""
        lost = doubled = misplaced = 0
        for listener in self.listeners:
            counts = Counter(listener.heard)
            doubled = max(doubled, sum(count - 1 for count in counts.values()))
            missing = 0
            for talker in self.talkers:
                name = talker.name.encode()
                numbers = [number for origin, number in listener.heard if origin == name]
                missing += talker.spoken - len(set(numbers))
                misplaced += sum(a >= b for a, b in pairwise(numbers))
            lost = max(lost, missing)
        orders = [listener.heard for listener in self.listeners]
        said = sum(talker.spoken for talker in self.talkers)
        return Account(said, lost, doubled, misplaced, all(x == orders[0] for x in orders))

    @property
    def pace(self) -> float:
        """Lines that were said in a second, while they talked."""
        return sum(talker.spoken for talker in self.talkers) / max(self._seconds, 0.001)

    def close(self) -> None:
        for peer in self.peers:
            peer.socket.close()
        self._selector.close()

    def _speak(self, peer: Peer) -> None:
        due = int(self._rate * self._seconds)
        if peer.spoken < due and len(peer.unsent) < MOST_AHEAD_BYTES:
            numbers = range(peer.spoken, min(due, peer.spoken + 2000))
            peer.unsent += b"".join(_text(number) for number in numbers)
            peer.spoken = numbers.stop
        if peer.unsent:
            peer.send()

    def _turn(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            peer: Peer = key.data
            peer.read(self.now)
            if peer.is_gone:
                self._selector.unregister(peer.socket)

    def _is_heard(self) -> bool:
        spoken = sum(talker.spoken for talker in self.talkers)
        names = {talker.name.encode() for talker in self.talkers}
        return all(
            sum(origin in names for origin, _ in listener.heard) >= spoken
            for listener in self.listeners
        )


def _text(number: int) -> bytes:
    return (b"%07d " % number).ljust(TEXT_BYTES, b"x") + b"\n"
