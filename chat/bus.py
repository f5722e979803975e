"""One order for everything that guests and members do.

In: events, submitted by the room. Out: the same events, applied: each listener is told of each of
them, in one order that is the same for all. Other machines may stand between the two one day; the
local bus applies at once. The server's last words are no event: each server says them for itself.

A listener only queues and remembers. It never submits, or its event would overtake the one that is
being applied: what follows from an event comes a step later (Reactor.call_soon). One that raises
costs the connection whose event it is, like any other bug.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from codec import Event

if TYPE_CHECKING:
    from chat.history import History

EventListener = Callable[[Event], None]


class Bus(Protocol):
    """Where events get their order."""

    def add_listener(self, listener: EventListener) -> None:
        """Call `listener` with each event that is applied from here on, behind those before it."""

    def submit(self, event: Event) -> None:
        """Give `event` its place in the order. It is applied before this returns, or later. A join
        whose name another guest has won is not applied: Room.refuse_claim is called instead, before
        the winner's join is applied."""

    def add_history(self, history: History) -> None:
        """Tell `history` what is said: if there are other servers, also what they have heard before
        this one."""

    def order(self, verb: str, text: str) -> bool:
        """Have all other servers of the room obey the operator; False if there are none."""


class LocalBus:
    """The order of a single server: that of the calls."""

    def __init__(self) -> None:
        self._listeners: list[EventListener] = []

    def add_listener(self, listener: EventListener) -> None:
        self._listeners.append(listener)

    def submit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def add_history(self, history: History) -> None:
        self.add_listener(history.apply)

    def order(self, verb: str, text: str) -> bool:
        return False
