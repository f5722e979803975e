"""Who may not join: names and addresses that the operator has banned, and for how long.

In: a name, whatever its letter case, or an IPv4 or IPv6 address. Raised: ProtocolError, for one
that is neither, and for a guest that is banned. They are forgotten when the server ends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Annotated

from chat.gate import network_of
from codec import BANNED, ProtocolError
from codec.handshake import check_username
from reactor import Reactor

MAX_BANS: Annotated[int, "Names and addresses that are banned at the same time."] = 1024

FOR_EVER = float("inf")


class Bans:
    """The bans of one server. A ban whose time is over does not count."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._ends: dict[str, float] = {}  # who, as `canonical` spells it -> when it ends

    def add(self, who: str, seconds: float) -> None:
        """Ban for so long, instead of for what was left. Raises ProtocolError."""
        key = canonical(who)
        self._forget_ended()
        if key not in self._ends and len(self._ends) >= MAX_BANS:
            raise ProtocolError("Too many bans", f": {MAX_BANS} at most")
        self._ends[key] = self._reactor.now + seconds

    def remove(self, who: str) -> bool:
        """Whether it was banned. Raises ProtocolError."""
        self._forget_ended()
        return self._ends.pop(canonical(who), None) is not None

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Who is banned, and for how many seconds more, in the order of the bans."""
        self._forget_ended()
        return iter([(who, end - self._reactor.now) for who, end in self._ends.items()])

    def holds(self, username: str, source: str) -> bool:
        """Whether this name or this source is banned. Only a source that is an address can be."""
        names = [username.lower()]
        if "." in source or ":" in source:
            names.append(network_of(source))
        return any(self._ends.get(name, 0.0) > self._reactor.now for name in names)

    def check(self, username: str, source: str) -> None:
        """Raise ProtocolError(BANNED) if `holds`."""
        if self._ends and self.holds(username, source):
            raise ProtocolError(BANNED)

    def _forget_ended(self) -> None:
        self._ends = {who: end for who, end in self._ends.items() if end > self._reactor.now}


def canonical(who: str) -> str:
    """One spelling for each name, and for each address; of an IPv6 address its network, as the gate
    sees it. Raises ProtocolError."""
    try:
        if ":" in who:
            return network_of(who.removesuffix("/64").strip("[]"))
        return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, who))
    except OSError:
        pass
    try:
        check_username(who)
    except ProtocolError as error:
        raise ProtocolError("Neither a username nor an address", ": ", who) from error
    return who.lower()
