"""A crowd on one Fanout: what the tests of the log and of slow readers share."""

from __future__ import annotations

import socket

from reactor import Connection, Fanout, SocketTransport
from tests.reactor.conftest import PATTERN, Loop, MakePair, Recorder

BUFFER_BYTES = 64 * 1024


class Member(Recorder):
    """One who is subscribed to `fanout` until its end, with the other end of its connection."""

    def __init__(self, fanout: Fanout, peer: socket.socket) -> None:
        super().__init__(made=self.subscribe, eof=self.leave, lost=self.leave)
        self.fanout = fanout
        self.peer = peer
        self.heard = bytearray()

    def subscribe(self, _: Recorder) -> None:
        self.cursor = self.fanout.subscribe(self.connection)

    def leave(self, _: Recorder) -> None:
        self.fanout.unsubscribe(self.cursor)
        self.connection.close()


class Crowd:
    """A Fanout and its members. `turns` counts its turns; `said` is what was said to everyone."""

    def __init__(self, loop: Loop, make_pair: MakePair) -> None:
        self.loop = loop
        self.turns = 0
        self.said = bytearray()
        self.fanout = Fanout(loop.reactor, self._count_turn)
        self.members: list[Member] = []
        self._make_pair = make_pair

    def join(self) -> Member:
        near, peer = self._make_pair()
        # Not the kernel's own choice, which on TCP may be megabytes.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        member = Member(self.fanout, peer)
        self.members.append(member)
        Connection(self.loop.reactor, SocketTransport(near), member)
        return member

    def say(self, data: bytes, skip: Member | None = None) -> None:
        self.fanout.broadcast(data, skip.cursor if skip else None)
        if not skip:
            self.said += data

    def read(self, member: Member, size: int) -> bytes:
        """Let `member` read so many bytes, and turn until they have come."""
        data = self.loop.receive(member.peer, size)
        member.heard += data
        return data

    def receives(self, member: Member, data: bytes) -> bool:
        """Whether just this is what arrives, and nothing behind it."""
        received = self.read(member, len(data))
        self.loop.turn()
        try:
            return received + member.peer.recv(1) == data
        except BlockingIOError:
            return received == data

    def is_at_rest(self) -> bool:
        """Whether nothing is owed, kept, ready, queued or scheduled any more."""
        self.loop.turn(3)
        return (
            self.loop.is_idle()
            and self.fanout.log.kept_bytes == 0
            and not any(member.cursor.owed_bytes for member in self.members)
        )

    def leave_owing(self, member: Member) -> None:
        """Say more than the member's kernel takes, and let it take what it does."""
        self.say(PATTERN)
        self.loop.turn()
        self.loop.turn_until(lambda: not self.loop.selector.real.select(0))
        assert member.cursor.owed_bytes

    def close(self) -> None:
        for member in self.members:
            member.connection.abort()
            member.peer.close()
        self.loop.turn(2)

    def _count_turn(self) -> None:
        self.turns += 1
