"""The real server's parts, put together on a simulated network, with a model looking on.

In: a network. Out: a Product. The model is told by subclasses
that override public methods and change nothing: what is asked of the dispatcher, in what order, and
who is let in, turned away, dropped or cut.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, cast

import pytest

import reactor.listener
import reactor.transport
from chat import session
from chat.bus import LocalBus
from chat.journal import Journal
from chat.presence import Presence
from chat.room import Room
from chat.session import ALL_PAGES, Guest, Member
from codec import Dispatcher, Event, Join, Kind, ProtocolError, Resume, Roster
from codec.presence import REQUEST_BYTES
from reactor import Listener, Reactor, SocketTransport, Transport
from reactor.datagrams import Datagrams
from tests.simulation.asker import Asker
from tests.simulation.framed import Framed
from tests.simulation.model import Model
from tests.simulation.network import Address, Network, SimulatedSocket
from tests.simulation.scrambled import Scrambled
from tests.simulation.sealed import Sealed
from tests.support.protocol import PASSCODE, TOO_LONG, local_time

Wrapper: TypeAlias = type[Scrambled] | type[Framed] | type[Sealed]


class WatchedDispatcher(Dispatcher):
    """Tells the model what is asked of it, in order."""

    def __init__(self, model: Model, roster: Roster) -> None:
        super().__init__(PASSCODE, local_time, roster)
        self._model = model
        self._is_asking_itself = False

    def dispatch(self, username: str, line: bytes, echo: bool = False) -> Event | None:
        self._model.typed(username, line)
        self._is_asking_itself = True
        try:
            return super().dispatch(username, line, echo)
        finally:
            self._is_asking_itself = False

    def dispatch_plain(self, username: str, lines: bytes, echo: bool = False) -> Event | None:
        event = super().dispatch_plain(username, lines, echo)
        if event is not None:
            for line in lines.removesuffix(b"\n").split(b"\n"):
                self._model.typed(username, line)
        return event

    def refuse_line(self, username: str, echo: bool = False) -> Event:
        self._model.typed(username, TOO_LONG)
        return super().refuse_line(username, echo)

    def leave(self, username: str) -> Event:
        if not self._is_asking_itself:
            self._model.left(username)
        return super().leave(username)


class WatchedJournal(Journal):
    """Tells the model who was cut."""

    def __init__(self, reactor: Reactor, model: Model) -> None:
        super().__init__(reactor, lambda line: None, is_verbose=True)
        self._model = model

    def note_cut(self, address: str, username: str, reason: str) -> None:
        self._model.cut(_as_address(address), username, reason)
        super().note_cut(address, username, reason)


class WatchedGuest(Guest):
    """Tells the model who was turned away, and who goes on."""

    def __init__(self, model: Model, room: Room, address: Address) -> None:
        super().__init__(room, *address)
        self.refusal = ""
        self._model = model

    def go_on(self) -> None:
        self._model.goes_on((self.source, self.port))
        super().go_on()

    def turn_away(self, error: ProtocolError) -> None:
        self.refusal = str(error)
        self._model.turned_away((self.source, self.port), str(error))
        super().turn_away(error)

    def drop(self, error: ProtocolError) -> None:
        self._model.dropped((self.source, self.port), str(error))
        super().drop(error)


class WatchedMember(Member):
    """Tells the model who goes on."""

    def __init__(self, model: Model, *parts: Any) -> None:
        super().__init__(*parts)
        self._model = model

    def go_on(self) -> None:
        self._model.goes_on(_as_address(self.address))
        self._model.is_late = True
        super().go_on()
        self._model.is_late = False


class WatchedRoom(Room):
    """Tells the model who was let in, who is heard and who has to wait, and when a turn has ended;
    and remembers the guest of each address."""

    model: Model
    guests: dict[Address, WatchedGuest]
    """All that were ever made."""

    def make_guest(self, address: object) -> Guest:
        host, port = cast(Address, address)
        guest = self.guests[host, port] = WatchedGuest(self.model, self, (host, port))
        return guest

    def refuse_at_the_door(self, address: object) -> bytes:
        words = super().refuse_at_the_door(address)
        if words != self.model.refused_at_the_door(cast(Address, address)):
            self.model.blame(f"{address!r} is refused with {words!r}")
        return words

    def join(self, guest: Guest, request: Join | Resume) -> None:
        if isinstance(request, Resume):
            super().join(guest, request)
            return
        reason = self.model.judged(*request)
        super().join(guest, request)
        refusal = cast(WatchedGuest, guest).refusal
        if refusal != reason:
            self.model.blame(f"{request} was answered {refusal!r}, not {reason!r}")
        elif request.echo and not reason:
            self.model.claimed(_as_address(guest.address), request.username)

    def _submit_entries(self) -> None:
        super()._submit_entries()
        self.model.let_in()

    def apply(self, event: Event) -> None:
        if event.kind is Kind.JOINED:
            self.model.joined(_as_address(self._claims[event.origin].address), event.origin)
        elif event.kind is not Kind.LEFT:
            self.model.heard(self.page_bytes, self.filled_bytes)
        super().apply(event)

    def wait_to_talk(self, member: Member) -> None:
        is_full = self.free_bytes(ALL_PAGES, member.pending_bytes) <= 0
        self.model.has_to_wait(_as_address(member.address), is_full)
        super().wait_to_talk(member)

    def _let_waiting_talk(self) -> None:
        self.model.page_was_sent()
        super()._let_waiting_talk()

    @property
    def page_bytes(self) -> int:
        """What a page may hold now."""
        return self.fanout.free_bytes(1 + self.fanout.held_pages) + self.filled_bytes

    @property
    def filled_bytes(self) -> int:
        """What was said in this turn so far."""
        return self.fanout.log.end - self.fanout.log.sealed_end


class Product:
    """The server's parts, as server.py puts them together: all that is known here of how they are
    made. `patch` lasts as long as they do."""

    def __init__(
        self,
        network: Network,
        model: Model,
        report: Callable[[], None],
        on_empty: Callable[[], None],
        patch: pytest.MonkeyPatch,
        wrap: Callable[[Address], Wrapper | None],
    ) -> None:
        patch.setattr(session, "Member", partial(WatchedMember, model))
        patch.setattr(reactor.listener, "os", network)
        patch.setattr(
            reactor.transport, "count_unacknowledged", SimulatedSocket.count_unacknowledged
        )
        self.shown = bytearray()  # what the server would print
        clocks = network.clock, report, lambda: network.cpu_seconds
        self.reactor = loop = Reactor(network.selector, *clocks)
        self.journal = WatchedJournal(loop, model)
        self.roster = Roster()
        bus = LocalBus()
        bus.add_listener(lambda event: self.shown.extend(event.console))
        dispatcher = WatchedDispatcher(model, self.roster)
        self.room = room = WatchedRoom(loop, dispatcher, self.roster, bus, self.journal, on_empty)
        room.model, room.guests = model, {}
        door = cast(socket.socket, network.door)
        doormen = room.make_guest, room.gate.make_room, room.refuse_at_the_door
        self.scrambled: dict[Address, Scrambled | Framed | Sealed] = {}

        def make_transport(sock: socket.socket) -> Transport:
            simulated = cast(SimulatedSocket, sock)
            kind = wrap(simulated.address)
            if not kind:
                return SocketTransport(sock)
            self.scrambled[simulated.address] = transport = kind(simulated, network)
            return transport

        self.listener = Listener(loop, door, *doormen, make_transport)
        self.presence: Datagrams | None = None

    def announce(self, asker: Asker, port: int) -> None:
        """Answer on this socket; it must never break."""
        answer = Presence(self.reactor, self.roster, port).answer
        sock = cast(socket.socket, asker)
        self.presence = Datagrams(self.reactor, sock, answer, REQUEST_BYTES, self._tell_broken)

    def _tell_broken(self, error: OSError) -> None:
        self.room.model.blame(f"no room is announced any more: {error}")


def _as_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)
