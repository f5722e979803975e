"""The real server's parts, put together on a simulated network, with a model looking on.

In: a loop's selector and clock, a door, a console. Out: a Product. The model is told by subclasses
that override public methods and change nothing: what is asked of the dispatcher, in what order, and
who is let in, turned away, dropped or cut.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import NamedTuple, cast

from chat.journal import Journal
from chat.room import ALL_PAGES, Room, Session
from codec import Deliveries, Dispatcher, Join, LineTooLongError, ProtocolError
from reactor import Cursor, Listener, Reactor, Sink
from tests.simulation.meaning import TOO_LONG
from tests.simulation.model import PASSCODE, Model
from tests.simulation.network import Address, ListeningSocket, Network, SimulatedSelector


class WatchedDispatcher(Dispatcher):
    """Tells the model what is asked of it, in order."""

    def __init__(self, model: Model) -> None:
        super().__init__(PASSCODE, lambda seconds: (2025, 9, 24, 12 + seconds // 3600, 31, 44, 2))
        self._model = model
        self._is_asking_itself = False

    def join(self, join: Join) -> Deliveries:
        reason = self._model.judged(join.username, join.passcode)
        try:
            deliveries = super().join(join)
        except ProtocolError as error:
            if str(error) != reason:
                self._model.blame(f"{join} was refused: {error}, not {reason!r}")
            raise
        if reason:
            self._model.blame(f"{join} was let in, but {reason}")
        return deliveries

    def dispatch(self, username: str, line: bytes) -> Deliveries:
        self._model.typed(username, line)
        self._is_asking_itself = True
        try:
            return super().dispatch(username, line)
        finally:
            self._is_asking_itself = False

    def dispatch_plain(self, username: str, lines: bytes) -> Deliveries | None:
        deliveries = super().dispatch_plain(username, lines)
        if deliveries is not None:
            for line in lines.removesuffix(b"\n").split(b"\n"):
                self._model.typed(username, line)
        return deliveries

    def refuse(self, username: str, error: ProtocolError) -> Deliveries:
        if not self._is_asking_itself:
            assert isinstance(error, LineTooLongError)
            self._model.typed(username, TOO_LONG)
        return super().refuse(username, error)

    def leave(self, username: str) -> Deliveries:
        if not self._is_asking_itself:
            self._model.left(username)
        return super().leave(username)


class WatchedJournal(Journal):
    """Tells the model who was cut."""

    def __init__(self, reactor: Reactor, model: Model) -> None:
        super().__init__(reactor, lambda line: None, is_verbose=True)
        self._model = model

    def note_cut(self, address: str, username: str, reason: str) -> None:
        host, _, port = address.rpartition(":")
        self._model.cut((host, int(port)), username, reason)
        super().note_cut(address, username, reason)


class WatchedSession(Session):
    """Tells the model who was turned away, and who goes on."""

    def __init__(self, model: Model, room: Room, address: Address) -> None:
        super().__init__(room, *address)
        self._model = model
        self._peer_address = address

    def go_on(self) -> None:
        self._model.goes_on(self._peer_address)
        self._model.is_late = True
        super().go_on()
        self._model.is_late = False

    def turn_away(self, error: ProtocolError) -> None:
        self._model.turned_away(self._peer_address, str(error))
        super().turn_away(error)

    def drop(self, error: ProtocolError) -> None:
        self._model.dropped(self._peer_address, str(error))
        super().drop(error)


class WatchedRoom(Room):
    """Tells the model who was let in, who is heard and who has to wait, and when a turn has ended;
    and remembers the session of each address."""

    model: Model

    @property
    def sessions(self) -> dict[Address, Session]:
        """All that were ever made."""
        return self.__dict__.setdefault("made", {})  # type: ignore[no-any-return]

    def make_session(self, address: object) -> Session:
        host, port = cast(Address, address)
        session = self.sessions[host, port] = WatchedSession(self.model, self, (host, port))
        return session

    def refuse_at_the_door(self, address: object) -> bytes:
        words = super().refuse_at_the_door(address)
        if words != self.model.refused_at_the_door(cast(Address, address)):
            self.model.blame(f"{address!r} is refused with {words!r}")
        return words

    def join(self, session: Session, username: str, deliveries: Deliveries) -> Cursor:
        host, _, port = session.address.rpartition(":")
        self.model.joined((host, int(port)), username)
        return super().join(session, username, deliveries)

    def deliver(self, deliveries: Deliveries, sender: Cursor) -> None:
        self.model.heard(self.page_bytes, self.filled_bytes)
        super().deliver(deliveries, sender)

    def wait_to_talk(self, session: Session) -> None:
        host, _, port = session.address.rpartition(":")
        is_full = self.fanout.is_held or self.filled_bytes >= ALL_PAGES * self.page_bytes
        self.model.has_to_wait((host, int(port)), is_full)
        super().wait_to_talk(session)

    def _let_waiting_talk(self) -> None:
        self.model.page_was_sent()
        super()._let_waiting_talk()

    @property
    def page_bytes(self) -> int:
        """What a page may hold now."""
        return self.fanout.free_bytes() + self.filled_bytes

    @property
    def filled_bytes(self) -> int:
        """What was said in this turn so far."""
        return self.fanout.log.end - self.fanout.log.sealed_end


class Console:
    """What the server would print."""

    def __init__(self) -> None:
        self.shown = bytearray()

    def write(self, lines: bytes) -> None:
        self.shown += lines


class Product(NamedTuple):
    """The server's parts, as server.py puts them together."""

    reactor: Reactor
    room: WatchedRoom
    journal: Journal
    listener: Listener
    console: Console


def make_product(
    network: Network,
    selector: SimulatedSelector,
    door: ListeningSocket,
    model: Model,
    report: Callable[[], None],
    on_empty: Callable[[], None],
) -> Product:
    """All that is known here of how the product is made."""
    console = Console()
    reactor = Reactor(selector, network.clock, report, lambda: 0.0)
    journal = WatchedJournal(reactor, model)
    dispatcher = WatchedDispatcher(model)
    room = WatchedRoom(reactor, dispatcher, cast(Sink, console), journal, on_empty)
    room.model = model
    listener = Listener(
        reactor,
        cast(socket.socket, door),
        room.make_session,
        room.gate.make_room,
        room.refuse_at_the_door,
    )
    return Product(reactor, room, journal, listener, console)
