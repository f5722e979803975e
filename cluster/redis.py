"""The engine on Redis 6.2 or newer: the log is a stream, a sign of life is a subscription.

In: the five calls of cluster.engine. Out: commands on three connections, and their answers. One
appends and asks, one reads (it blocks in XREAD, so that a slow node fills no buffer of Redis), one
subscribes (a subscribed RESP2 connection takes no other command).

    append     XADD chat:<room> [NOMKSTREAM] * n <node>.<incarnation> s <sequence> b <records>
    read       XREAD COUNT n BLOCK 0 STREAMS chat:<room> <id>, at first and when late in the same
               piece as XRANGE chat:<room> <id> <id>; or XRANGE chat:<room> <id> + COUNT n
    ask        XRANGE chat:<room> <id> <id>
    delete     XDEL chat:<room> <id> ...
    is alive   PUBSUB NUMSUB chat:<room>:<node>.<incarnation>
    live       SUBSCRIBE chat:<room>:<node>.<incarnation>

hiredis (extra `cluster`) reads answers; sockets and time are the reactor's.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import hiredis

from cluster import engine, limits, snapshots
from cluster.engine import EngineUser
from cluster.queue import Append
from cluster.records import Author, RecordError, parse_author, parse_sequence
from cluster.replica import FIRST_ID, Entry
from cluster.snapshots import may_be_late
from reactor import WRITE, Connection, Reactor, SocketTransport, Timer, Transport
from reactor.listener import notice_vanished_peers

Answer = Callable[[Any], None]


class RedisAddress(NamedTuple):
    """Where Redis is, and who we are there. `sockaddr` is resolved; `make_transport` is for TLS."""

    family: int
    sockaddr: Any
    key: str
    username: str = ""
    password: str = ""
    make_transport: Callable[[socket.socket], Transport] = SocketTransport


class Link:
    """One connection to Redis, made again whenever it is lost. `on_up` is called when it is there,
    `on_down` when it is not, with the reason; what was not answered by then never is. `on_silent`
    tells that an answer is late, and that one has come again."""

    def __init__(
        self,
        reactor: Reactor,
        address: RedisAddress,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        on_silent: Callable[[bool], None],
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._on_up = on_up
        self._on_down = on_down
        self._on_silent = on_silent
        self._is_silent = False
        self._socket: socket.socket | None = None  # while it connects
        self._connection: Connection | None = None
        self._reader = hiredis.Reader()
        self._answers: deque[tuple[Answer, float]] = deque()  # and since when they are due
        self._pause_seconds = 0.0
        self._up_since = 0.0
        self._timer: Timer | None = None
        self._watch: Timer | None = None
        self._is_closed = False
        self.is_up = False

    def connect(self) -> None:
        """Begin to connect."""
        try:
            self._dial()
        except OSError as error:  # EMFILE and ENOMEM too: another attempt may find some
            self._fail(error.strerror or str(error))
        else:
            self._timer = self._reactor.call_later(
                limits.ATTEMPT_SECONDS, lambda: self._fail("timed out")
            )

    def call(self, answer: Answer, *words: str | int | bytes, is_timed: bool = True) -> None:
        """Send one command; `answer` is given what comes back, an Exception for an error."""
        if self._connection is None:
            return
        due_since = self._reactor.now if is_timed else float("inf")
        self._answers.append((answer, due_since))
        self._connection.write(format_command(words))
        if is_timed and self._watch is None:
            self._watch = self._reactor.call_later(limits.SILENT_SECONDS, self._look)

    def reset(self, reason: str = "") -> None:
        """Drop this connection and make another."""
        if self._connection:
            connection, self._connection = self._connection, None
            connection.abort()
            self._note_down(reason)
            self._connect_later()

    def close(self) -> None:
        """Let go of it."""
        self._is_closed = True
        for timer in (self._timer, self._watch):
            if timer:
                timer.cancel()
        if self._socket:
            self._give_up_socket()
        if self._connection:
            self._connection.close_at_once()

    # For the loop, while it connects.

    def handle_events(self, events: int) -> None:
        sock = self._socket
        if sock is None:
            return
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail(os.strerror(number))
            return
        self._reactor.set_interest(sock.fileno(), 0, self)
        self._socket = None
        if self._timer:
            self._timer.cancel()
        self._reader = hiredis.Reader()
        Connection(self._reactor, self._address.make_transport(sock), self)

    def handle_error(self) -> None:
        self._fail("failed")

    # For the connection.

    def connection_made(self, connection: Connection) -> None:
        self._connection = connection
        address = self._address
        if address.password:
            user = (address.username,) if address.username else ()
            self.call(self._note_auth, "AUTH", *user, address.password)
        self.call(self._note_hello, "PING")

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if self._is_silent:
            self._is_silent = False
            self._on_silent(False)
        while self._connection and (answer := self._reader.gets()) is not False:
            if not self._answers:
                continue  # what a channel says, which nobody listens to
            call, _ = self._answers.popleft()
            call(answer)

    def eof_received(self) -> None:
        self.reset("Redis has closed the connection")

    def flushed(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        if self._connection:
            self._connection = None
            reason = error.strerror if isinstance(error, OSError) else None
            self._note_down(reason or "connection lost")
            self._connect_later()

    # Details.

    def _dial(self) -> None:
        sock = self._socket = socket.socket(self._address.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if self._address.family != socket.AF_UNIX:
            notice_vanished_peers(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            sock.connect(self._address.sockaddr)
        self._reactor.set_interest(sock.fileno(), WRITE, self)

    def _note_auth(self, answer: Any) -> None:
        if isinstance(answer, Exception):
            self.reset(str(answer))

    def _note_hello(self, answer: Any) -> None:
        if answer != b"PONG":  # it may be loading its file; or a socket that has met itself
            self.reset(str(answer)[: limits.MAX_REASON_CHARACTERS])
            return
        self._up_since = self._reactor.now
        self.is_up = True
        self._on_up()

    def _note_down(self, reason: str) -> None:
        if self.is_up and self._reactor.now >= self._up_since + limits.MAX_PAUSE_SECONDS:
            self._pause_seconds = 0.0  # one that is closed at once is not dialled without end
        self.is_up = self._is_silent = False
        self._answers.clear()
        if self._watch:
            self._watch.cancel()
            self._watch = None
        if reason:
            self._on_down(reason)

    def _fail(self, reason: str) -> None:
        self._give_up_socket()
        if self._timer:
            self._timer.cancel()
        self._on_down(reason)
        self._connect_later()

    def _give_up_socket(self) -> None:
        sock, self._socket = self._socket, None
        if sock:
            with contextlib.suppress(OSError, ValueError):
                self._reactor.set_interest(sock.fileno(), 0, self)
            sock.close()

    def _connect_later(self) -> None:
        if not self._is_closed:
            self._timer = self._reactor.call_later(self._pause_seconds, self.connect)
            pause = max(limits.FIRST_PAUSE_SECONDS, 2 * self._pause_seconds)
            self._pause_seconds = min(limits.MAX_PAUSE_SECONDS, pause)

    def _look(self) -> None:
        """Whether an answer is late."""
        self._watch = None
        due = [since for _, since in self._answers if since <= self._reactor.now]
        if not due:
            return
        late_seconds = self._reactor.now - due[0]
        if late_seconds >= limits.LOST_SECONDS:
            self.reset("no answer")
            return
        if late_seconds < limits.SILENT_SECONDS:
            self._watch = self._reactor.call_at(due[0] + limits.SILENT_SECONDS, self._look)
            return
        self._watch = self._reactor.call_later(limits.SILENT_SECONDS, self._look)
        if not self._is_silent:
            self._is_silent = True
            self._on_silent(True)


class RedisEngine:
    """Keeps the log of one room in a stream."""

    def __init__(self, reactor: Reactor, address: RedisAddress) -> None:
        self._reactor = reactor
        self._key = address.key
        self._user: EngineUser
        self._author: Author | None = None
        self._looks = True  # whether the place in the log is there
        told = (self._note_up, self._note_down, self._note_silent)
        links = [Link(reactor, address, *told) for _ in range(3)]
        self._writer, self._reader, self._subscriber = links
        self._links = links

    def start(self, user: EngineUser) -> None:
        self._user = user
        for link in self._links:
            link.connect()

    def append(self, append: Append, answer: Callable[[bool], None]) -> None:
        def take(reply: Any) -> None:
            if isinstance(reply, Exception):
                self._user.note_trouble(str(reply))
            else:
                answer(reply is not None)

        create = () if append.is_first else ("NOMKSTREAM",)
        words = ("n", str(append.author), "s", append.sequence, "b", append.records)
        self._writer.call(take, "XADD", self._key, *create, "*", *words)

    def read(
        self, after: str, waits: bool, answer: Callable[[Sequence[Entry] | None, bool], None]
    ) -> None:
        if waits:
            self._read_on(after, answer)
            return

        def take(reply: Any) -> None:
            if isinstance(reply, Exception):
                self._read_again_later(reply)
                return
            is_end = len(reply) < limits.READ_ENTRIES
            entries = _entries(reply)
            if after != FIRST_ID and (not entries or entries.pop(0).id != after):
                answer(None, False)
            else:
                answer(entries, is_end)

        self._reader.call(take, "XRANGE", self._key, after, "+", "COUNT", limits.READ_ENTRIES)

    def ask(self, entry: Entry, answer: Callable[[bool], None]) -> None:
        def take(reply: Any) -> None:
            if isinstance(reply, Exception):
                self._user.note_trouble(str(reply))
            else:
                found = _entries(reply)
                answer([x[:3] for x in found] == [entry[:3]])

        self._writer.call(take, "XRANGE", self._key, entry.id, entry.id)

    def delete(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), 1000):
            self._writer.call(_ignore, "XDEL", self._key, *ids[start : start + 1000])

    def is_alive(self, author: Author, answer: Callable[[bool], None]) -> None:
        def take(reply: Any) -> None:
            if isinstance(reply, list) and len(reply) == 2:
                answer(reply[1] > 0)

        self._writer.call(take, "PUBSUB", "NUMSUB", self._channel(author))

    def live(self, author: Author) -> None:
        if author != self._author:
            self._author = author
            self._subscribe()

    def stop_reading(self) -> None:
        self._reader.reset()

    def close(self) -> None:
        for link in self._links:
            link.close()

    # Details.

    def _read_on(self, after: str, answer: Callable[[Sequence[Entry] | None, bool], None]) -> None:
        """If it `looks`, that the last entry is there, and what is behind it, are asked in one
        piece, between which nothing is deleted. The first costs as much as the second."""
        looks = self._looks
        is_missing = False

        def look(reply: Any) -> None:
            nonlocal is_missing
            is_missing = reply == []
            if is_missing:
                answer(None, False)

        def take(reply: Any) -> None:
            if isinstance(reply, Exception):
                self._read_again_later(reply)
            elif not is_missing and reply:
                entries = _entries(reply[0][1])
                is_end = len(entries) < limits.READ_ENTRIES
                self._looks = may_be_late(entries, is_end, snapshots.SNAPSHOT_BYTES)
                if self._looks and not looks:
                    self._read_on(after, answer)
                else:
                    answer(entries, is_end)

        if looks and after != FIRST_ID:
            self._reader.call(look, "XRANGE", self._key, after, after)
        count = ("COUNT", limits.READ_ENTRIES, "BLOCK", 0)
        self._reader.call(take, "XREAD", *count, "STREAMS", self._key, after, is_timed=False)

    def _note_up(self) -> None:
        if all(link.is_up for link in self._links):
            self._looks = True
            self._subscribe()
            self._user.note_up()

    def _note_down(self, reason: str) -> None:
        """One is lost: all begin again, so that none waits for what another was asked."""
        for link in self._links:
            link.reset()
        self._user.note_down(reason)

    def _note_silent(self, is_silent: bool) -> None:
        if is_silent or all(link.is_up for link in self._links):
            self._user.note_silent(is_silent)

    def _read_again_later(self, error: Exception) -> None:
        self._user.note_trouble(str(error))
        self._reactor.call_later(engine.TROUBLE_SECONDS, self._reader.reset)

    def _subscribe(self) -> None:
        if self._author and self._subscriber.is_up:
            self._subscriber.call(_ignore, "SUBSCRIBE", self._channel(self._author))

    def _channel(self, author: Author) -> str:
        return f"{self._key}:{author}"


def format_command(words: Sequence[str | int | bytes]) -> bytes:
    """A command as Redis reads it: an array of bulk strings (RESP2). hiredis copies a long word
    several times; here it is copied once."""
    pieces = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        pieces += b"$%d\r\n" % len(data), data, b"\r\n"
    return b"".join(pieces)


def _ignore(reply: Any) -> None:
    """The answer tells nothing."""


def _entries(reply: Any) -> list[Entry]:
    """Those of an answer; what another program has put into the stream has an author that never
    enters."""
    return [_entry(id.decode(), fields) for id, fields in reply]


def _entry(id: str, fields: list[bytes]) -> Entry:
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    try:
        author = parse_author(values[b"n"].decode("ascii", "replace"))
        sequence = parse_sequence(values[b"s"].decode("ascii", "replace"))
        return Entry(id, author, sequence, values[b"b"])
    except (KeyError, RecordError):
        return Entry(id, Author("", 0), 0, b"")
