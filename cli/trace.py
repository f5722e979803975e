"""The flag -trace of both programs, and the parts that they are made of with and without it.

In: the path that was given. Out: Parts, which a program asks for its reactor and its transports.
Without the flag they are the ordinary ones, and nothing of `tracing` is loaded.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable
from typing import Any, Protocol

from cli.flags import complain
from cli.start import reason_of
from reactor import Fanout, Reactor, Transport

MakeTransport = Callable[[socket.socket], Transport]


class Parts(Protocol):
    """What a program asks for its parts and tells about itself."""

    def make_reactor(self, report: Callable[[], None]) -> Reactor:
        """The loop. Make it before the other parts."""

    def wrap(
        self, make: MakeTransport, column: str = "", *, is_to_server: bool = False
    ) -> MakeTransport:
        """What makes the transports, given what would make them, and what is at their other end."""

    def watch_room(self, bus: Any, fanout: Fanout) -> None:
        """`bus` (chat.bus) and `fanout` are those of the room."""

    def note_log(self, line: str) -> None:
        """The operator reads this line."""

    def close(self) -> None:
        """The program ends."""


class Untraced:
    """The ordinary parts, which are told nothing."""

    def make_reactor(self, report: Callable[[], None]) -> Reactor:
        return Reactor(report=report)

    def wrap(
        self, make: MakeTransport, column: str = "", *, is_to_server: bool = False
    ) -> MakeTransport:
        return make

    def watch_room(self, bus: object, fanout: Fanout) -> None:
        pass

    def note_log(self, line: str) -> None:
        pass

    def close(self) -> None:
        pass


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -trace."""
    parser.add_argument(
        *("-trace", "--trace"),
        metavar="FILE",
        default="",
        help="record each turn, segment and line in FILE; - for standard error, in words",
    )


def open_parts(path: str, program: str, middle: str) -> Parts:
    """The parts, traced in the file at `path` unless that is "". A file that cannot be opened ends
    the program, with a line that says so and status 1. `middle`: what the program is, in a picture.
    """
    if not path:
        return Untraced()
    try:
        from tracing import Trace  # for those who ask

        return Trace(path, program, middle)
    except ImportError:
        complain("error: -trace needs the folder tracing/, which is not beside the program")
    except OSError as error:
        complain(f"error: cannot write the trace: {reason_of(error)}")
    sys.exit(1)
