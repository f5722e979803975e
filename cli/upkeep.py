"""What a room that runs for a term is given: -transcript.

In: the flags, and the parts of a server. Out: what was asked for, listening on the bus; and what
the server has to heed for its sake. Nothing is loaded that was not asked for.
"""

from __future__ import annotations

import argparse
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from chat.bus import Bus
from codec.text import LocalTime
from reactor import Reactor

if TYPE_CHECKING:
    from cli.flags import ServerFlags
    from reactor.stdio import Owing


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -transcript."""
    parser.add_argument(
        *("-transcript", "--transcript"),
        metavar="DIR",
        help="append what the console shows, with the time, to a file for each day in DIR",
    )


class Upkeep:
    """What was asked for, running."""

    def __init__(
        self,
        flags: ServerFlags,
        reactor: Reactor,
        bus: Bus,
        local_time: LocalTime,
        warn: Callable[[str], None],
    ) -> None:
        """`warn` takes one line for the operator. Raises OSError with the name of the file that
        cannot be had."""
        self.owing: list[Owing] = []
        """What may be drained at the end."""
        self.reloaders: list[Callable[[], None]] = []
        """What reads its file again when it is asked to."""
        self._closers: list[Callable[[], None]] = []
        self._reactor = reactor
        self._bus = bus
        self._local_time = local_time
        self._warn = warn
        if flags.transcript:
            self._keep_transcript(flags.transcript)

    def close(self) -> None:
        """The server has ended."""
        for close in self._closers:
            close()

    def _keep_transcript(self, directory: str) -> None:
        from chat.transcript import Transcript

        try:
            transcript = Transcript(self._reactor, directory, self._local_time, self._warn)
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, str(error), directory) from error
        self._bus.add_listener(transcript.apply)
        self.owing.append(transcript.appender)
        self._closers.append(transcript.close)
