"""A small reactor: one thread, one selector, many sockets. It has never heard of a chat.

It is a loop (Reactor, Timer), non-blocking sockets (Listener, Connection), a log that thousands
read at their own pace (Fanout, Cursor), standard streams that never stall (Source, Sink),
and signals as events (Signals). TLS is a Transport (reactor.tls), UDP has reactor.datagrams; both
are imported only when asked for. It is not a framework: no coroutines, and no threads but the one
that waits for a disk (reactor.file_writer).

Any line server can stand on it. A complete one, which tells everyone what anyone says:

    import socket

    from reactor import Connection, Fanout, Listener, Reactor, listen

    class Shout:
        def __init__(self, fanout: Fanout) -> None:
            self.fanout = fanout
            self.unfinished = b""

        def connection_made(self, connection: Connection) -> None:
            self.connection = connection
            self.cursor = self.fanout.subscribe(connection)

        def data_received(self, data: bytes) -> None:
            *lines, self.unfinished = (self.unfinished + data).split(b"\\n")
            for line in lines:
                self.fanout.broadcast(line + b"\\n", skip=self.cursor)

        def eof_received(self) -> None:
            self.fanout.unsubscribe(self.cursor)
            self.connection.close()

        def flushed(self) -> None:
            pass

        def connection_lost(self, error: Exception | None) -> None:
            self.fanout.unsubscribe(self.cursor)

    def serve(sock: socket.socket) -> Reactor:
        reactor = Reactor()
        fanout = Fanout(reactor, after_turn=lambda: None)
        Listener(reactor, sock, lambda address: Shout(fanout))
        return reactor

    if __name__ == "__main__":
        serve(listen("127.0.0.1", 7000)).run()
"""

from reactor.connection import Connection, StreamProtocol
from reactor.errors import naming
from reactor.fanout import PAGE_BYTES, Cursor, Fanout
from reactor.flow import SlowReaderError
from reactor.listener import Listener, listen, notice_vanished_peers, raise_descriptor_limit
from reactor.loop import READ, WRITE, EventHandler, LoopError, Reactor, format_exception
from reactor.outbound import Buffer, Outbound
from reactor.signals import Signals, end_by_signal, ending_signals
from reactor.stdio import (
    Sink,
    Source,
    discard_typed,
    drain,
    is_null_device,
)
from reactor.timers import Timer
from reactor.transport import SocketTransport, Transport, TransportError
from reactor.tty import is_in_background, set_terminal, stop_process
from reactor.unix import listen_unix

__all__ = [
    "PAGE_BYTES",
    "READ",
    "WRITE",
    "Buffer",
    "Connection",
    "Cursor",
    "EventHandler",
    "Fanout",
    "Listener",
    "LoopError",
    "Outbound",
    "Reactor",
    "Signals",
    "Sink",
    "SlowReaderError",
    "SocketTransport",
    "Source",
    "StreamProtocol",
    "Timer",
    "Transport",
    "TransportError",
    "discard_typed",
    "drain",
    "end_by_signal",
    "ending_signals",
    "format_exception",
    "is_in_background",
    "is_null_device",
    "listen",
    "listen_unix",
    "naming",
    "notice_vanished_peers",
    "raise_descriptor_limit",
    "set_terminal",
    "stop_process",
]
