"""`client.py -find`: asks the network which rooms are up, and says what it was told.

In: nothing but the network's interfaces. Out: `127.0.0.1 port 21032: 1 member`, a line for each
room. It lists and never joins: any host on the network may answer, and a false room could collect
passcodes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from codec.presence import GROUP, PORT, REQUEST_BYTES, format_request, parse_reply
from reactor import Reactor, naming
from reactor.datagrams import Datagrams

LOOPBACK = "127.0.0.1"

ASK_AGAIN_SECONDS = 0.2
"""A datagram may be lost: each question is asked twice."""

FIND_SECONDS = 0.4
"""How long answers are waited for, in all."""


class Finder:
    """Asks on each interface of this machine, and remembers each room that answers, once."""

    def __init__(self, reactor: Reactor) -> None:
        """Raises OSError when not one question can be asked."""
        self.rooms: dict[tuple[str, int], int] = {}
        """(address, port) -> members."""
        self._nonce = os.urandom(8).hex().encode()
        self._sockets: list[socket.socket] = []
        self._askers: list[Datagrams] = []
        error = OSError(0, "there is no network interface")
        for index, name in socket.if_nameindex():
            try:
                sock = _socket_on(index, is_loopback=name.startswith("lo"))
                self._sockets.append(sock)
                self._ask_on(sock)
            except OSError as failure:  # it has no IPv4 address, or is down
                error = failure
                continue
            self._askers.append(
                Datagrams(reactor, sock, self._note, REQUEST_BYTES, on_broken=lambda _: None)
            )
        if not self._askers:
            self.close()
            raise error

    def ask_again(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                self._ask_on(sock)

    def close(self) -> None:
        for asker in self._askers:
            asker.close()
        for sock in self._sockets:
            sock.close()

    def _ask_on(self, sock: socket.socket) -> None:
        with naming("sendto"):
            sock.sendto(format_request(self._nonce), (GROUP, PORT))

    def _note(self, data: bytes, address: Any) -> bytes:
        reply = parse_reply(data)
        if reply and reply.nonce == self._nonce:
            self.rooms[address[0], reply.port] = reply.members
        return b""


def find_rooms(say: Callable[[str], None], complain: Callable[[str], None]) -> int:
    """Say which rooms are up. Returns the exit status: 1 when there is none."""
    reactor = Reactor()
    try:
        finder = Finder(reactor)
    except OSError as error:
        complain(f"error: cannot ask for rooms: {error.strerror}")
        return 1
    reactor.call_later(ASK_AGAIN_SECONDS, finder.ask_again)
    reactor.call_later(FIND_SECONDS, reactor.stop)
    reactor.run()
    finder.close()
    for (address, port), members in sorted(finder.rooms.items()):
        say(f"{address} port {port}: {members} member{'' if members == 1 else 's'}")
    if not finder.rooms:
        complain("no room answered (a server answers with -announce)")
    return 0 if finder.rooms else 1


def _socket_on(index: int, is_loopback: bool) -> socket.socket:
    """One that sends to the group through this interface alone, and no further than its network
    (ip(7): IP_MULTICAST_IF, IP_MULTICAST_TTL)."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        interface = struct.pack("@4s4si", bytes(4), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0 if is_loopback else 1)
        if is_loopback:  # or the kernel takes another interface's address as the sender's
            sock.bind((LOOPBACK, 0))
        sock.setblocking(False)
    except Exception:
        sock.close()
        raise
    return sock
