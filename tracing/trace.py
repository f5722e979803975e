"""A trace in a file, and the parts of a program that write it.

In: the path of a file, or `-` for words on standard error. Out: parts in place of the ordinary
ones. The file has mode 0600, since it holds what members say.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from typing import Protocol

from codec import Event
from reactor import Fanout, Reactor, Sink, Transport, drain
from reactor.loop import print_exception
from tracing.parts import TracingReactor, TracingTransport
from tracing.recorder import FORMAT, Recorder, escape

MakeTransport = Callable[[socket.socket], Transport]

CLOSE_SECONDS = 1.0
"""Longest wait until the end of a trace is written."""


class _Bus(Protocol):
    def add_listener(self, listener: Callable[[Event], None]) -> None: ...


class Trace:
    """One trace, and the parts that write it. `middle` names what the peers are connected to.
    `is_lenient`: the connections may speak another protocol than ours (tracing.masking)."""

    def __init__(self, path: str, program: str, middle: str, is_lenient: bool = False) -> None:
        """Open the file, which is emptied. Raises OSError with its name."""
        self._descriptor = os.dup(2) if path == "-" else _open(path)
        self._in_words = path == "-"
        self._begin = {"program": program, "middle": middle, "format": FORMAT}
        self._is_lenient = is_lenient
        self.reactor: TracingReactor
        self.recorder: Recorder
        self._sink: Sink

    def make_reactor(self, report: Callable[[], None] = print_exception) -> Reactor:
        """A Reactor whose turns are recorded. Make it before the other parts."""
        self.reactor = TracingReactor(report)
        self._sink = Sink(
            self.reactor, self._descriptor, on_dropped=lambda n: self.recorder.note_dropped(n)
        )
        self.recorder = Recorder(self._sink.write, self.reactor.time, self._in_words)
        self.reactor.recorder, self.reactor.own = self.recorder, self._sink
        self.reactor.flush = self._sink.flush
        self.recorder.note("begin", **self._begin)
        return self.reactor

    def wrap(
        self, make: MakeTransport, column: str = "", *, is_to_server: bool = False
    ) -> MakeTransport:
        """Make the same transports, and record what passes through them. `column`: what is at the
        other end, by default its address. `is_to_server`: whether that is a server."""

        def make_traced(sock: socket.socket) -> Transport:
            how = {"is_to_server": is_to_server, "is_lenient": self._is_lenient}
            return TracingTransport(make(sock), self.recorder, column, **how)

        return make_traced

    def watch_room(self, bus: _Bus, fanout: Fanout) -> None:
        """Record from now on each event of a room, and whether it is held."""
        bus.add_listener(self._note_event)
        self.reactor.watch("held pages", lambda: fanout.held_pages)

    def note_log(self, line: str) -> None:
        """Record what the program tells its operator."""
        self.recorder.note("log", text=line)

    def close(self) -> None:
        """Record the end, and wait for the file, for CLOSE_SECONDS at most."""
        self.recorder.end()
        self._sink.flush()
        drain(self.reactor, [self._sink], self.reactor.time() + CLOSE_SECONDS)

    def _note_event(self, event: Event) -> None:
        to = "all" if event.to_origin else f"all but {event.origin}"
        readers = [to] if event.room else []
        readers += [f"{username} alone" for username, _ in event.private]
        fields = {"kind": event.kind.value, "origin": event.origin, "to": ", ".join(readers)}
        lines = event.console.count(b"\n")
        self.recorder.note("deliver", lines=lines, text=escape(event.console[:160]), **fields)


def _open(path: str) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)  # it may have been there before
    return descriptor
