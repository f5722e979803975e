"""A Reactor and a Transport that record what they do and behave like the ordinary ones.

The reactor records turns, timers and changes of its connections. Just before it sleeps it looks for
such changes and has the trace written. The transport records what one connection moves.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Callable
from typing import TypeVar

from reactor import READ, WRITE, Connection, Reactor, Timer, Transport
from reactor.connection import CLOSED
from reactor.loop import Callback, EventHandler
from reactor.outbound import Bytes
from tracing.masking import Mask
from tracing.recorder import SHOWN_BYTES, Recorder, escape

Result = TypeVar("Result")
State = tuple[str, bool, str, bool]


class TracingTransport:
    """A Transport around another one, which records what passes."""

    __slots__ = ("_received", "_recorder", "_sent", "_transport", "peer")

    plain_socket: socket.socket | None = None  # what is sent there would not be recorded

    def __init__(
        self,
        transport: Transport,
        recorder: Recorder,
        column: str = "",
        *,
        is_to_server: bool = False,
        is_lenient: bool = False,
    ) -> None:
        """`is_lenient`: tracing.masking."""
        self._transport = transport
        self._recorder = recorder
        client = Mask(True, is_lenient)
        server = Mask(False, is_lenient, answered=client)
        received, sent = (server, client) if is_to_server else (client, server)
        self._received, self._sent = Direction(received), Direction(sent)
        self.peer = recorder.number_peer()
        address = address_of(transport.descriptor)
        side = "server" if is_to_server else "client"
        self._note("open", side=side, column=column or address, address=address)

    @property
    def descriptor(self) -> int:
        return self._transport.descriptor

    @property
    def has_output(self) -> bool:
        return self._transport.has_output

    @property
    def has_input(self) -> bool:
        return self._transport.has_input

    def recv(self, max_bytes: int) -> bytes:
        data = self._call("recv", lambda: self._transport.recv(max_bytes))
        if data:
            self._note("recv", bytes=len(data), **self._received.describe(data))
        else:
            self._note("fin", by="peer")
        return data

    def send(self, pieces: list[Bytes]) -> int:
        count = self._call("send", lambda: self._transport.send(pieces))
        if pieces:
            fields = self._sent.describe(b"".join(pieces)[:count])
            self._note("send", bytes=count, of=sum(map(len, pieces)), **fields)
        return count

    def shut(self, how: int) -> None:
        self._transport.shut(how)
        self._note("fin", by="us")

    def is_lost(self) -> bool:
        return self._transport.is_lost()

    def count_unacknowledged(self) -> int:
        return self._transport.count_unacknowledged()

    def close(self, is_reset: bool) -> None:
        self._note("close", how="reset" if is_reset else "close")
        self._transport.close(is_reset)

    def _call(self, name: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except (BlockingIOError, InterruptedError):
            raise
        except OSError as error:
            self._note("lost", call=name, error=error.strerror)
            raise

    def _note(self, event: str, **fields: object) -> None:
        self._recorder.note(event, peer=self.peer, **fields)


class Direction:
    """What has passed in one direction: its lines, and its secrets."""

    __slots__ = ("_mask", "_rest_bytes")

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._rest_bytes = 0  # of an unfinished line

    def describe(self, data: bytes) -> dict[str, object]:
        """The fields of an event about `data`, the next bytes."""
        lines = data.count(b"\n")
        self._rest_bytes = len(data) - data.rfind(b"\n") - 1 + (0 if lines else self._rest_bytes)
        text = escape(self._mask.show(data, SHOWN_BYTES))
        text += "…" if len(data) > SHOWN_BYTES else ""
        return {"data": text, "lines": lines, "rest": self._rest_bytes}


class TracingReactor(Reactor):
    """A Reactor, and a record of its turns. `flush` is called before each sleep."""

    def __init__(self, report: Callable[[], None]) -> None:
        super().__init__(report=report)
        self.recorder: Recorder
        self.flush: Callable[[], None]
        self.own: EventHandler | None = None
        """Writes the trace. A turn that only does this is not recorded."""
        self._interests: dict[Connection, int] = {}
        self._states: dict[Connection, State] = {}
        self._watched: dict[str, tuple[Callable[[], object], object]] = {}

    def watch(self, name: str, look: Callable[[], object]) -> None:
        """From now on record the value of `look`, under `name`, in each turn that changed it."""
        self._watched[name] = look, look()

    def set_interest(self, descriptor: int, events: int, handler: EventHandler) -> None:
        super().set_interest(descriptor, events, handler)
        if isinstance(handler, Connection):
            self._interests[handler] = events

    def call_at(self, deadline: float, callback: Callback) -> Timer:
        if deadline <= self.now:  # another way to say "soon"
            return super().call_at(deadline, callback)

        def call() -> None:
            self.recorder.note("timer", call=name_of(callback))
            callback()

        return super().call_at(deadline, call)

    def report(self) -> None:
        self.recorder.note("bug", error=type(sys.exc_info()[1]).__name__)
        super().report()

    def _select(self, wait_seconds: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        self._note_changes()
        self.recorder.end_turn()
        self.flush()
        ready = super()._select(wait_seconds)
        self.recorder.begin_turn(
            [_ready_name(key.data, events) for key, events in ready if key.data is not self.own]
        )
        return ready

    def _note_changes(self) -> None:
        for connection, interest in list(self._interests.items()):
            state = _state_of(connection, interest)
            if state != self._states.get(connection):
                self._states[connection] = state
                self._note_state(connection, state)
            if connection.sending is CLOSED:
                del self._interests[connection], self._states[connection]
        for name, (look, before) in self._watched.items():
            if (now := look()) != before:
                self._watched[name] = look, now
                self.recorder.note("watch", name=name, value=now)

    def _note_state(self, connection: Connection, state: State) -> None:
        fields = dict(zip(("who", "reading", "sending", "waiting"), state, strict=True))
        owed = connection.outbound.owed_bytes
        self.recorder.note("state", peer=_peer_of(connection), owed=owed, **fields)


def address_of(descriptor: int) -> str:
    """The address of a socket's peer, or "" if the peer is gone. For a UNIX socket it is `unix` and
    the path, if there is one."""
    sock = socket.socket(fileno=descriptor)
    try:
        address = sock.getpeername()
        if isinstance(address, str):
            return f"unix {address}".rstrip()
        host, port = address[:2]
        return f"{host}:{port}"
    except OSError:
        return ""
    finally:
        sock.detach()


def name_of(callback: Callback) -> str:
    """The name of the method that a callback is or was made in, such as `Guest._time_out`."""
    name = getattr(callback, "__qualname__", type(callback).__name__)
    return str(name).partition(".<locals>")[0]


def _ready_name(handler: object, events: int) -> str:
    if isinstance(handler, Connection):
        kinds = [kind for event, kind in ((READ, "read"), (WRITE, "write")) if events & event]
        return f"{_peer_of(handler)} {'+'.join(kinds)}"
    return type(handler).__name__.lower()


def _peer_of(connection: Connection) -> int:
    return int(getattr(connection.transport, "peer", 0))


def _state_of(connection: Connection, interest: int) -> State:
    protocol = connection.protocol
    who = (
        f"{type(protocol).__name__.strip('_').lower()} {getattr(protocol, 'username', '')}".rstrip()
    )
    sending = connection.sending.name.lower()
    return who, bool(interest & READ), sending, bool(interest & WRITE)
