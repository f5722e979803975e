"""A room on real sockets and a virtual clock, with people at the other ends of its connections.

A test asks for it by its name, `house` (tests/conftest.py), lets people join and send, and says
what each of them reads next.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable

import pytest

from chat import gate
from chat.bus import LocalBus
from chat.journal import Journal
from chat.resume import Places
from chat.room import Room
from chat.session import Guest
from codec import Dispatcher, Roster
from reactor import Connection, Listener, SocketTransport, listen
from tests.reactor.conftest import Loop, reset
from tests.support.protocol import PASSCODE, local_time


def with_limits(limits: dict[str, float]) -> pytest.MarkDecorator:
    """Have the `house` of a test made after these are set, each named by its module and itself."""
    return pytest.mark.parametrize("house", [limits], indirect=True, ids=["limited"])


def numbered(count: int, size: int) -> list[bytes]:
    """So many lines, no two alike, with `size` bytes behind the number of each."""
    return [b"%d-" % number + b"x" * size + b"\n" for number in range(count)]


class Spy(SocketTransport):
    """The transport of a connection under watch: how much was received for its protocol."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.received_bytes = 0
        self.guest: Guest

    def recv(self, max_bytes: int) -> bytes:
        data = super().recv(max_bytes)
        if not self.connection.is_closing:  # else it is read to be dropped
            self.received_bytes += len(data)
        return data

    @property
    def connection(self) -> Connection:
        return self.guest.connection

    @property
    def owed_bytes(self) -> int:
        """What the room has for this one and the kernel has not taken."""
        return self.guest.connection.outbound.owed_bytes


class Person:
    """The other end of a connection, in the hands of the test.

    While the house is `busy`, it sends of `unsent` what the kernel takes, and reads what comes
    unless it is deaf. `heard` is all that was read.
    """

    def __init__(self, house: House, sock: socket.socket) -> None:
        self.unsent = memoryview(b"")
        self.heard = b""
        self.is_deaf = False
        self.socket = sock
        self.address = "{}:{}".format(*sock.getsockname())
        self._house = house

    @property
    def spy(self) -> Spy:
        """The room's end of it."""
        return self._house.spies[self.address]

    def send(self, data: bytes) -> None:
        """Send all of it, and let the room turn meanwhile."""
        self.types(data)
        self._house.loop.turn_until(self._has_sent)
        self._house.loop.turn()

    def types(self, data: bytes) -> None:
        """Have this to send, as soon as the house is busy."""
        self.unsent = memoryview(data)

    def act(self) -> None:
        """Send and read what can be sent and read now."""
        try:
            self._has_sent()
            while not self.is_deaf and (data := self.socket.recv(1 << 20)):
                self.heard += data
        except BlockingIOError:
            pass
        except ConnectionError:
            self.socket.close()

    def _has_sent(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            if self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        return not self.unsent

    def reads(self, data: bytes | bytearray) -> None:
        """Just this comes next."""
        received = self._house.loop.receive(self.socket, len(data))
        self.heard += received
        assert received == data

    def reads_nothing(self) -> None:
        """Nothing is on its way."""
        self._house.loop.turn(2)
        with pytest.raises(BlockingIOError):
            self.socket.recv(1)

    def reads_to_end(self, data: bytes | bytearray) -> None:
        """Just this comes next, and then the end."""
        assert self._house.loop.receive_to_end(self.socket) == data

    def ends(self) -> None:
        """Send no more."""
        self.socket.shutdown(socket.SHUT_WR)

    def resets(self) -> None:
        """Be gone at once, with RST in place of FIN."""
        reset(self.socket)


class House:
    """A Room with all it needs: a clock, a door on loopback, a console, and a journal that tells in
    `log` of refusals too."""

    def __init__(self, bus: LocalBus | None = None, loop: Loop | None = None) -> None:
        self.loop = loop or Loop(selectors.DefaultSelector())
        self.roster = Roster()
        self.dispatcher = Dispatcher(PASSCODE, local_time, self.roster)
        self.log: list[str] = []
        self.empty_calls = 0
        self.spies: dict[str, Spy] = {}
        self.people: list[Person] = []
        self._console: list[bytes] = []
        self.bus = bus or LocalBus()
        self.bus.add_listener(lambda event: self._console.append(event.console))
        self.journal = Journal(self.loop.reactor, self.log.append, is_verbose=True)
        self.room = self.make_room(
            *(self.loop.reactor, self.dispatcher, self.roster, self.bus, self.journal),
            self._note_empty,
        )
        self.door = listen("127.0.0.1", 0)
        self._listener = Listener(
            *(self.loop.reactor, self.door, self._make_guest, self.room.gate.make_room),
            *(self.room.refuse_at_the_door, self._make_spy),
        )

    make_room: Callable[..., Room] = Room

    @property
    def seconds(self) -> float:
        """How much time has passed here."""
        return self.loop.clock.now - 1000

    def knock(self, source: str = "") -> Person:
        """A newcomer, from that address, that the kernel has let in and the room has not seen."""
        sock = socket.socket()
        # As little as may be: one that does not read is to be owed something soon.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        # What is sent is to be on its way at once, or a reset would take it back.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, 0))
        sock.connect(self.door.getsockname())
        sock.setblocking(False)
        person = Person(self, sock)
        self.people.append(person)
        return person

    def connect(self, source: str = "") -> Person:
        """A newcomer at the door."""
        person = self.knock(source)
        self.loop.turn_until(lambda: person.address in self.spies)
        return person

    def ask(self, line: bytes, source: str = "") -> Person:
        """A newcomer that has said this."""
        person = self.connect(source)
        person.send(line)
        return person

    def join(self, username: str, *others: Person) -> Person:
        """A new member; the `others`, who are in the room already, read that it joined."""
        person = self.ask(b"JOIN %s %s\n" % (username.encode(), PASSCODE))
        person.reads(b"OK\n")
        for other in others:
            other.reads(b"%s joined the chatroom\n" % username.encode())
        return person

    def join_all(self, *usernames: str) -> list[Person]:
        """New members, who have read of each other."""
        people: list[Person] = []
        for username in usernames:
            people.append(self.join(username, *people))
        return people

    def keep_places(self, patch: pytest.MonkeyPatch, seconds: float = 30.0, block: int = 0) -> None:
        """Keep the places of those who ENTER. Tokens are 0101..., 0202..., and so on."""
        numbers = iter(range(1, 256))
        patch.setattr("chat.resume.urandom", lambda size: bytes([next(numbers)]) * size)
        self.room.places = Places(self.loop.reactor, self.room, seconds, block)

    def use_up_budget(self, source: str = "127.0.0.1") -> None:
        """From now on requests from `source` have to wait for their turn."""
        for _ in range(gate.BURST_ATTEMPTS):
            self.room.gate.note_wrong_passcode(source)

    def busy(self, is_over: Callable[[], object]) -> None:
        """Let everyone send and read while no time passes, until it is over."""

        def act() -> object:
            for person in self.people:
                if person.socket.fileno() >= 0:
                    person.act()
            return is_over()

        self.loop.turn_until(act)

    def is_quiet(self) -> bool:
        """Whether no socket has anything for the room."""
        return not self.loop.selector.real.select(0)

    def wakeups(self, seconds: float) -> int:
        """How often the loop wakes up while so much time passes."""
        self.loop.turn_until(self.is_quiet)
        self.loop.turn(3)
        self.loop.selector.waits.clear()
        self.loop.pass_seconds(seconds)
        return len(self.loop.selector.waits)

    def shown(self) -> bytes:
        """What the console shows that was not asked for yet."""
        self.loop.turn(2)
        shown = b"".join(self._console)
        self._console.clear()
        return shown

    def close(self) -> None:
        for person in self.people:
            person.socket.close()
        for spy in self.spies.values():
            spy.connection.abort()
        self._listener.close()
        self.loop.turn(2)
        self.loop.reactor.close()
        assert self.loop.take_errors() == []

    def _make_spy(self, sock: socket.socket) -> Spy:
        self._spy_at_the_door = Spy(sock)
        return self._spy_at_the_door

    def _make_guest(self, address: object) -> Guest:
        guest = self.room.make_guest(address)
        spy = self.spies[guest.address] = self._spy_at_the_door
        spy.guest = guest
        del self._spy_at_the_door  # or it would keep the last of them
        return guest

    def _note_empty(self) -> None:
        self.empty_calls += 1
