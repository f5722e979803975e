"""`-announce`: tells who asks the network that this room is up, on which port, and how many are in.

In: datagrams (codec.presence) to the multicast group, on the interfaces that the server listens
on. Out: one short reply to each, a few a second in all. No name and no passcode is told. A server
on loopback alone hears and answers this machine alone.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

from codec.presence import GROUP, PORT, REQUEST_BYTES, RoomReply, format_reply, parse_request
from codec.roster import Roster
from reactor import Reactor, naming
from reactor.datagrams import Datagrams

BURST_REPLIES: Annotated[
    int,
    "Requests about rooms that are answered at once: a class that looks for its room.",
] = 40

REPLY_SECONDS: Annotated[
    float,
    "Time for each reply beyond those, to all askers together: a flood gets 20 a second.",
] = 0.05

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - where it says so, it is what the user asked for
_IP_MULTICAST_ALL = 49
"""ip(7). At 0, a socket hears its own interfaces only, and not those that another socket of this
machine has joined the group on. Python has no name for it."""


def open_group(addresses: Iterable[str]) -> socket.socket:
    """A UDP socket, non-blocking, that hears the group on the interfaces of these IPv4 addresses.
    Raises OSError, with the name of the call.

    It is bound to the group's address, so that nothing else comes to it, and several rooms of one
    machine share it: each of them gets every request.
    """
    with naming("-announce: socket"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        # BSD and macOS share a multicast address by another name (setsockopt(2), SO_REUSEPORT).
        shared = socket.SO_REUSEADDR if sys.platform == "linux" else socket.SO_REUSEPORT
        with naming("-announce: setsockopt"):
            sock.setsockopt(socket.SOL_SOCKET, shared, 1)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        with naming("-announce: bind"):
            sock.bind((GROUP, PORT))
        with naming("-announce: setsockopt"):
            for membership in _memberships(addresses):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        sock.setblocking(False)
    except Exception:
        sock.close()
        raise
    return sock


def _memberships(addresses: Iterable[str]) -> list[bytes]:
    """struct ip_mreq, or ip_mreqn with an interface's number (ip(7), IP_ADD_MEMBERSHIP)."""
    group = socket.inet_aton(GROUP)
    addresses = set(addresses)
    if _EVERYWHERE in addresses:
        any_address = socket.inet_aton(_EVERYWHERE)
        return [
            struct.pack("@4s4si", group, any_address, index) for index, _ in socket.if_nameindex()
        ]
    return [group + socket.inet_aton(address) for address in sorted(addresses)]


def announce(
    reactor: Reactor,
    roster: Roster,
    addresses: Sequence[str],
    port: int,
    on_broken: Callable[[OSError], None],
) -> Datagrams:
    """Answer for the room on `port` of these IPv4 addresses until that is closed, or broken.
    Raises OSError, without a number if there are none."""
    if not addresses:
        raise OSError("-announce needs an IPv4 address to listen on")
    answer = Presence(reactor, roster, port).answer
    return Datagrams(reactor, open_group(addresses), answer, REQUEST_BYTES, on_broken)


class Presence:
    """What the room answers with. The budget is that of GCRA, as in chat.gate."""

    def __init__(self, reactor: Reactor, roster: Roster, port: int) -> None:
        self._reactor = reactor
        self._roster = roster
        self._port = port
        self._whole_at = 0.0  # when BURST_REPLIES may be sent at once again

    def answer(self, data: bytes, address: Any) -> bytes:
        """The reply to one datagram, or b"" for none (reactor.datagrams, `answer`)."""
        nonce = parse_request(data)
        now = self._reactor.now
        if not nonce or self._whole_at > now + (BURST_REPLIES - 1) * REPLY_SECONDS:
            return b""
        self._whole_at = max(self._whole_at, now) + REPLY_SECONDS
        return format_reply(RoomReply(nonce, self._port, len(self._roster)))
