"""A relay that shows what passes: `python3 -m tools.tap -port P -to Q`.

Start a server on port Q and clients on port P: all that they say to each other passes here and is
recorded, and cut, joined or delayed on the way, as the network may do it at any time. A program
that frames its messages does not notice. An end passes as an end, a reset as a reset.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import deque

from cli.flags import complain
from cli.start import reason_of
from reactor import Connection, Listener, Signals, SocketTransport, ending_signals, listen
from terminal.dial import connect
from tracing import Trace

HOST = "127.0.0.1"
GAP_SECONDS = 0.02  # between two pieces, so that each is read by itself
HIGH_WATER_BYTES = 256 * 1024  # of one direction, held here or not taken yet


class End:
    """One end of a relayed connection: what comes here goes to `other`, the other end of it."""

    def __init__(self, options: Namespace, trace: Trace, other: End | None = None) -> None:
        self.options, self.trace, self.reactor = options, trace, trace.reactor
        self.other = other or self
        self.connection: Connection
        self._joined = b""  # waits for more
        self._pieces: deque[tuple[float, bytes]] = deque()  # not before that moment
        self._held_bytes = self._passed_bytes = 0

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection
        if self.other is not self:
            return
        try:
            sock = connect(HOST, self.options.to)
        except OSError as error:
            complain(f"error: cannot connect to port {self.options.to}: {reason_of(error)}")
            connection.abort()
        else:
            self.other = End(self.options, self.trace, self)
            wrap = self.trace.wrap(SocketTransport, "server", is_to_server=True)
            Connection(self.reactor, wrap(sock), self.other)

    def data_received(self, data: bytes) -> None:
        if not self._joined:
            self.reactor.call_later(self.options.join, self.release)
        self._held_bytes += len(data)
        self._joined += data
        if self._held_bytes + self.other.connection.outbound.owed_bytes > HIGH_WATER_BYTES:
            self.connection.pause_reading()

    def eof_received(self) -> None:
        self.release(is_end=True)

    def flushed(self) -> None:
        self.other.connection.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if error:
            self.other.connection.abort()

    def release(self, is_end: bool = False) -> None:
        """What was joined may pass, in pieces if it is to be split."""
        data, self._joined = self._joined, b""
        size = self.options.split or len(data) or 1
        due, is_busy = self.reactor.now + self.options.delay, bool(self._pieces)
        for start in [*range(0, len(data), size), *([len(data)] if is_end else [])]:
            self._pieces.append((due, data[start : start + size]))
        if self._pieces and not is_busy:
            self.reactor.call_at(due, self.pass_next)

    def pass_next(self) -> None:
        """The next piece; the one behind it after a gap, however late this one is."""
        self.pass_on(self._pieces[0][1])
        self._pieces.popleft()
        if self._pieces:
            gap_seconds = GAP_SECONDS if self.options.split else 0.0
            due = max(self._pieces[0][0], self.reactor.now + gap_seconds)
            self.reactor.call_at(due, self.pass_next)

    def pass_on(self, piece: bytes) -> None:
        """`piece` comes next; b"" is the end."""
        self._held_bytes -= len(piece)
        self._passed_bytes += len(piece)
        self.other.connection.write(piece)
        if not piece:
            self.other.connection.write_eof()
        for end in (self, self.other):
            if self.connection.sending and self.other.connection.sending:  # both have ended
                end.connection.close()
            elif 0 < self.options.reset_after <= self._passed_bytes:
                self.reactor.call_later(GAP_SECONDS, end.connection.abort)
        if self._held_bytes < HIGH_WATER_BYTES > self.other.connection.outbound.owed_bytes:
            self.connection.resume_reading()


def main() -> None:
    parser = ArgumentParser("python3 -m tools.tap", description="Shows what passes between two.")
    for flag, kind, default, text in [
        ("-port", int, None, "where clients connect"),
        ("-to", int, None, "where the server listens"),
        ("-trace", str, "-", "a file for tools.diagram; -, the default, for words on this screen"),
        ("--split", int, 0, "bytes of each piece that passes"),
        ("--join", float, 0.0, "seconds to wait for more that passes with it"),
        ("--delay", float, 0.0, "seconds that everything takes"),
        ("--reset-after", int, 0, "bytes of one direction, and then both connections are reset"),
    ]:
        parser.add_argument(flag, type=kind, default=default, required=default is None, help=text)
    options = parser.parse_args()
    if min(options.split, options.join, options.delay, options.reset_after) < 0:
        parser.error("a number is below 0")
    try:
        sock, trace = listen(HOST, options.port), Trace(options.trace, "tools.tap", "tap", True)
    except (OSError, OverflowError) as error:
        parser.exit(1, f"error: {reason_of(error)}\n")
    reactor = trace.make_reactor()
    wrap = trace.wrap(SocketTransport)
    Listener(reactor, sock, lambda address: End(options, trace), make_transport=wrap)
    Signals(reactor, ending_signals(), lambda number: reactor.stop())
    complain("warning: passcodes of protocols that are not this room's are recorded as they pass")
    reactor.run()
    trace.close()


if __name__ == "__main__":
    main()
