"""The admission gate: what guests may cost, and which of them is judged when.

In: connections that have not joined, and their requests to join. Out: which of them has to go to
make room, and whether a request is judged now, in its turn, or not at all. Members never come here
again: whatever guests do, it costs other guests and never a member.

- At most POOL_CONNECTIONS are guests at a time; a newcomer takes the place of the oldest. Where a
  handshake takes round trips, newcomers wait while guests get in, and until the oldest has had
  SAFE_SECONDS: when a whole room comes back at once, each handshake would otherwise be ended by
  those behind it.
- A wrong passcode costs its source. It may have BURST_ATTEMPTS, and then one in ATTEMPT_SECONDS; a
  request beyond that waits for its turn and is judged as ever. The wait comes before the check: a
  guess that was checked already counts, however late the answer.
- At most MAX_WAITING_REQUESTS of one source wait. Those beyond, and those whose time to join is up
  before their turn, are sent away without being judged.

A source is an address without its port; of IPv6 addresses, the network of 64 bits that one host has
to itself (RFC 7421), since it may pick a new address for each guess. The budget is that of GCRA
(ITU-T I.371, generic cell rate algorithm): one time for each source, when its budget will be whole
again.
"""

from __future__ import annotations

import socket
from typing import Annotated, Protocol

from codec import SERVER_FULL, TOO_MANY_ATTEMPTS, TOO_MANY_CONNECTIONS, ProtocolError
from reactor import Reactor

POOL_CONNECTIONS: Annotated[
    int,
    "Connections that are not members, those that were refused and linger included.",
] = 128

SAFE_SECONDS: Annotated[
    float,
    "How long a guest over TLS, or of the page, is safe from newcomers, since it came and since a "
    "guest got in, three times that at most: a handshake takes round trips, and its peer may be "
    "busy with others.",
] = 1.0

BURST_ATTEMPTS: Annotated[
    int,
    "Wrong passcodes of one source that are judged at once: a class behind one address mistypes.",
] = 20

ATTEMPT_SECONDS: Annotated[
    float,
    "Time for each wrong passcode beyond those: 17,280 guesses a day, of the 60 million that "
    "five letters of one case and digits make.",
] = 5.0

MAX_WAITING_REQUESTS: Annotated[int, "Requests of one source that wait for their turn."] = 16

MAX_SOURCES: Annotated[
    int,
    "Sources whose wrong passcodes are remembered; beyond, that which was wrong longest ago "
    "is not.",
] = 4096


class Applicant(Protocol):
    """A guest, as the gate sees it."""

    source: str

    def go_on(self) -> None:
        """The turn of its request has come."""

    def turn_away(self, error: ProtocolError) -> None:
        """Tell it why it is not let in, and end it politely."""

    def drop(self, error: ProtocolError) -> None:
        """The same, at once: its descriptor is needed."""


def network_of(address: str) -> str:
    """What one peer may have all of: of a global IPv6 address its first 64 bits."""
    if ":" not in address:
        return address
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    is_link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80  # all of a link have these bits
    return address if is_link_local else socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8))


class Gate:
    """All guests of one server."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._admitted_at = 0.0
        self._pool: dict[Applicant, float] = {}  # when it came, in the order they came
        # source -> when its budget is whole again; the one that was wrong longest ago comes first
        self._whole_at: dict[str, float] = {}
        self._queues: dict[str, dict[Applicant, None]] = {}  # source -> who waits, in order

    @property
    def guests(self) -> int:
        """Connections that are not members, those that were refused and linger included."""
        return len(self._pool)

    def has_room(self) -> bool:
        """Whether a newcomer would end no guest that is safe from it."""
        if len(self._pool) < POOL_CONNECTIONS:
            return True
        came_at = next(iter(self._pool.values()))
        # Bounded: one user who joins again and again could keep all other newcomers waiting.
        moved_at = min(max(came_at, self._admitted_at), came_at + 2 * SAFE_SECONDS)
        return self._reactor.now >= moved_at + SAFE_SECONDS

    def arrive(self, guest: Applicant) -> None:
        """A connection has been accepted."""
        self._pool[guest] = self._reactor.now
        if len(self._pool) > POOL_CONNECTIONS:
            self._drop_oldest(ProtocolError(TOO_MANY_CONNECTIONS))

    def admit(self, guest: Applicant) -> None:
        """It becomes a member."""
        self._admitted_at = self._reactor.now
        self.release(guest)

    def release(self, guest: Applicant) -> None:
        """It is gone. Not being there does no harm."""
        self._pool.pop(guest, None)
        self.withdraw(guest)

    def make_room(self) -> bool:
        """Free the descriptor of the oldest; False if there is none."""
        if not self._pool:
            return False
        self._drop_oldest(ProtocolError(SERVER_FULL))
        return True

    def ask(self, guest: Applicant) -> bool:
        """A request to join is complete: whether it may be judged now. If not, `go_on` is called
        when its turn has come, unless it was turned away."""
        source = network_of(guest.source)
        queue = self._queues.get(source)
        if queue is None and self._is_due(source):
            return True
        if queue is None:
            queue = self._queues[source] = {}
            self._call_when_due(source)
        if len(queue) < MAX_WAITING_REQUESTS:
            queue[guest] = None
        else:
            guest.turn_away(ProtocolError(TOO_MANY_ATTEMPTS))
        return False

    def withdraw(self, guest: Applicant) -> None:
        """Its request need not be judged any more."""
        queue = self._queues.get(network_of(guest.source))
        if queue is not None:
            queue.pop(guest, None)

    def note_wrong_passcode(self, source: str) -> None:
        """A request from `source` was judged, and its passcode was wrong."""
        source = network_of(source)
        whole_at = max(self._whole_at.pop(source, 0.0), self._reactor.now)
        self._whole_at[source] = whole_at + ATTEMPT_SECONDS
        if len(self._whole_at) > MAX_SOURCES:
            del self._whole_at[next(iter(self._whole_at))]

    # Details.

    def _drop_oldest(self, error: ProtocolError) -> None:
        guest = next(iter(self._pool))
        self.release(guest)
        guest.drop(error)

    def _due_at(self, source: str) -> float:
        """When one more wrong passcode of `source` is within its budget: in the very sum that
        `_is_due` compares with, or a rounding might wake the loop once more in vain."""
        return self._whole_at.get(source, 0.0) - (BURST_ATTEMPTS - 1) * ATTEMPT_SECONDS

    def _is_due(self, source: str) -> bool:
        return self._reactor.now >= self._due_at(source)

    def _call_when_due(self, source: str) -> None:
        self._reactor.call_at(self._due_at(source), lambda: self._serve(source))

    def _serve(self, source: str) -> None:
        """Let those go on whose turn has come: all, until one of them is wrong."""
        queue = self._queues[source]
        while queue and self._is_due(source):
            guest = next(iter(queue))
            del queue[guest]
            guest.go_on()
        if queue:
            self._call_when_due(source)
        else:
            del self._queues[source]
