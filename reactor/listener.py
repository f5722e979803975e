"""The listening socket: accepts a few a turn, makes room when descriptors run out, or rests.

In: a listening socket, and a factory of protocols. Out: Connections, each read at once, since a
peer that speaks first has usually spoken by the time it is accepted. A socket that does not listen
any more is replaced.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Callable
from typing import Annotated

from reactor.connection import Connection, StreamProtocol
from reactor.errors import NO_DESCRIPTOR_LEFT, ErrorJudge, Meaning, naming
from reactor.loop import READ, Reactor
from reactor.transport import SocketTransport, Transport

BACKLOG: Annotated[
    int,
    "Peers that the kernel keeps waiting for `accept` (listen(2); it may keep fewer, somaxconn).",
] = 1024

ACCEPTS_PER_TURN: Annotated[
    int,
    "Most newcomers of one turn, so that a storm of them does not keep the others waiting.",
] = 128

REST_SECONDS: Annotated[
    float,
    "How long to wait for a descriptor, memory or a place to come free. Without it the loop would "
    "spin: the peer that cannot be accepted stays ready.",
] = 0.1

REOPENINGS: Annotated[
    int,
    "Times in a row, with no newcomer in between, that a listening socket which does not work any "
    "more is opened anew; then the error is permanent.",
] = 10

REOPEN_SECONDS: Annotated[
    float,
    "Time between two of them; the first comes at once.",
] = 1.0

SEND_BUFFER_BYTES: Annotated[
    int,
    "SO_SNDBUF of every accepted socket (Linux doubles it). Half of it costs five times the "
    "CPU in a blast; the kernel's own choice hides 3.9 MB for each peer that has stopped "
    "reading.",
] = 64 * 1024

KEEPALIVE_IDLE_SECONDS: Annotated[
    int,
    "Silence after which the kernel asks whether the peer is still there (tcp(7), TCP_KEEPIDLE).",
] = 25

KEEPALIVE_INTERVAL_SECONDS: Annotated[
    int,
    "Time between such questions; three without an answer and the peer is gone (TCP_KEEPINTVL).",
] = 10

UNANSWERED_SECONDS: Annotated[
    int,
    "Longest that sent bytes stay unacknowledged (TCP_USER_TIMEOUT). With the two above, "
    "a peer that vanishes without a FIN is noticed within a minute, and a link may be down for "
    "half of it.",
] = 50


def listen(host: str, port: int) -> socket.socket:
    """A non-blocking socket that listens on `host`, an IPv4 address, or an IPv6 one if there is a
    colon in it, and then for IPv6 alone; `port` 0 takes a free one. Raises OSError.

    SO_REUSEADDR lets a server start while connections of an earlier one are in TIME_WAIT. What is
    set here holds for the accepted sockets as well, and costs them no system call.
    """
    with naming("socket"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:  # or :: would take the port of 0.0.0.0, too (ipv6(7))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _set_option(sock, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _set_option(sock, socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        notice_vanished_peers(sock)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        with naming("ioctl"):
            sock.setblocking(False)
    except Exception:
        sock.close()
        raise
    return sock


def notice_vanished_peers(sock: socket.socket) -> None:
    """Send each write at once, and have the kernel notice within a minute when the peer's host is
    gone without a word. An option that this system does not have is left out."""
    _set_option(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": KEEPALIVE_IDLE_SECONDS,
        "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_SECONDS,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": UNANSWERED_SECONDS * 1000,
    }
    for name, value in options.items():
        if hasattr(socket, name):
            _set_option(sock, socket.IPPROTO_TCP, getattr(socket, name), value)


def _set_option(sock: socket.socket, level: int, option: int, value: int) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(level, option, value)


def raise_descriptor_limit() -> int:
    """Raise the soft limit on open descriptors to the hard one, since each peer takes one; where
    that is refused it stays. Returns the soft limit (getrlimit(2), RLIMIT_NOFILE), or 0
    where a sandbox does not tell it."""
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        return 0
    with contextlib.suppress(OSError, ValueError):  # macOS refuses its own "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


class Listener:
    """Makes a Connection of each peer, with a transport and a protocol of its own.

    `make_protocol` is given the peer's address, as the socket's family spells it. When there is no
    descriptor or memory for a newcomer, `make_room` is asked to end a connection that matters less
    and says whether it did. If it did not, and a descriptor is all that is missing, the newcomer is
    sent `last_words`, given its address, through a descriptor kept in reserve for that. Without
    these two the Listener rests, and the kernel keeps the newcomers.

    Where `may_accept` is given and says no, the Listener rests, too.

    When the socket is of no use any more, its newcomers are reset, and `open_anew` gives another
    one, or raises OSError. `on_broken` is told why each time; `on_given_up`, once, when REOPENINGS
    attempts have brought no newcomer or there is no `open_anew`: it is closed then. By default both
    errors are reported.
    """

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        make_protocol: Callable[[object], StreamProtocol],
        make_room: Callable[[], bool] = lambda: False,
        last_words: Callable[[object], bytes] | None = None,
        make_transport: Callable[[socket.socket], Transport] = SocketTransport,
        *,
        may_accept: Callable[[], bool] | None = None,
        open_anew: Callable[[], socket.socket] | None = None,
        on_broken: Callable[[OSError], None] | None = None,
        on_given_up: Callable[[OSError], None] | None = None,
    ) -> None:
        """Take over `sock`, listening and non-blocking."""
        self._reactor = reactor
        self._socket = sock
        self._make_protocol = make_protocol
        self._make_room = make_room
        self._last_words = last_words
        self._make_transport = make_transport
        self._may_accept = may_accept
        self._open_anew = open_anew
        self._on_broken = on_broken
        self._on_given_up = on_given_up
        self._accepting = ErrorJudge("accept", max_peers=BACKLOG)
        self._watching = ErrorJudge("watch")
        self._reopenings = 0  # since the last newcomer
        self._is_closed = False
        self._reserve: int | None = None
        if last_words:
            self._keep_reserve()
        self._watch()

    def close(self) -> None:
        """Accept no more; what waits in the backlog is reset by the kernel."""
        if not self._is_closed:
            self._is_closed = True
            self._close_socket()
            self._release_reserve()

    def replace(self, sock: socket.socket) -> None:
        """Listen on `sock` from here on. What waits in the old backlog is reset by the kernel."""
        self._close_socket()
        self._socket = sock
        self._watch()

    # For the loop.

    def handle_events(self, events: int) -> None:
        has_accepted = False
        for _ in range(ACCEPTS_PER_TURN):
            if self._is_closed:
                return
            if self._may_accept and not self._may_accept():
                self._rest()
                return
            try:
                sock, address = self._socket.accept()
            except OSError as error:
                if not self._goes_on_after(error, has_accepted):
                    return
                continue
            has_accepted = True
            self._note_newcomer()
            self._serve(sock, address)

    def handle_error(self) -> None:
        self._rest()

    # Details.

    def _goes_on_after(self, error: OSError, has_accepted: bool) -> bool:
        """Do what the error asks for; whether to accept the next one at once."""
        meaning = self._accepting.judge(error)
        if meaning is Meaning.PEER:
            return True
        if meaning is Meaning.PASSING:
            self._accepting.note_success()
            return False
        if meaning is Meaning.PERMANENT:
            self._replace_socket(error)
            return False
        if meaning is Meaning.SCARCE:
            if has_accepted:  # accept(2) says EMFILE even when no one waits: the next turn tells
                return False
            if self._make_room():
                return True
            if error.errno in NO_DESCRIPTOR_LEFT and self._turn_one_away():
                return False
        self._rest()
        return False

    def _note_newcomer(self) -> None:
        self._accepting.note_success()
        self._reopenings = 0

    def _replace_socket(self, error: OSError) -> None:
        """Nothing will come of this socket. To be called where `error` is being handled."""
        self._close_socket()
        if self._open_anew and self._reopenings < REOPENINGS:
            self._tell(self._on_broken, error)
        self._try_to_reopen(error)

    def _try_to_reopen(self, error: OSError) -> None:
        self._reopenings += 1
        if self._open_anew is None or self._reopenings > REOPENINGS:
            self.close()
            self._tell(self._on_given_up, error)
        elif self._reopenings == 1:
            self._reopen()  # at once, since a newcomer would be refused meanwhile
        else:
            self._reactor.call_later(REOPEN_SECONDS, self._reopen)

    def _reopen(self) -> None:
        if self._is_closed or self._open_anew is None:
            return
        try:
            self._socket = self._open_anew()
        except OSError as error:
            self._try_to_reopen(error)
            return
        self._accepting.note_success()
        self._watch()

    def _close_socket(self) -> None:
        self._reactor.set_interest(self._socket.fileno(), 0, self)
        with contextlib.suppress(OSError):  # EIO, EINTR: it is closed all the same
            self._socket.close()

    def _tell(self, callback: Callable[[OSError], None] | None, error: OSError) -> None:
        if callback:
            callback(error)
        else:
            self._reactor.report()

    def _serve(self, sock: socket.socket, address: object) -> None:
        try:
            sock.setblocking(False)
            transport = self._make_transport(sock)
            connection = Connection(self._reactor, transport, self._make_protocol(address))
        except Exception as error:
            if not isinstance(error, OSError):  # the kernel has no memory for this one
                self._reactor.report()
            with contextlib.suppress(OSError):
                sock.close()
            return
        connection.call(lambda: connection.handle_events(READ))

    def _turn_one_away(self) -> bool:
        """Accept a newcomer with the reserve, only to tell it that there is no room."""
        if self._last_words is None or self._reserve is None:
            return False
        self._release_reserve()
        try:
            sock, address = self._socket.accept()
            with contextlib.suppress(OSError), sock:
                sock.setblocking(False)
                sock.send(self._last_words(address))
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1 << 16)  # unread, it would turn our last words into a reset
            return True
        except OSError:
            return False
        finally:
            self._keep_reserve()

    def _keep_reserve(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve = os.open(os.devnull, os.O_RDONLY)

    def _release_reserve(self) -> None:
        if self._reserve is not None:
            reserve, self._reserve = self._reserve, None
            with contextlib.suppress(OSError):
                os.close(reserve)

    def _rest(self) -> None:
        self._reactor.set_interest(self._socket.fileno(), 0, self)
        self._reactor.call_later(REST_SECONDS, self._watch)

    def _watch(self) -> None:
        if self._is_closed or self._socket.fileno() < 0:
            return
        if self._last_words and self._reserve is None:
            self._keep_reserve()
        try:
            self._reactor.set_interest(self._socket.fileno(), READ, self)
        except OSError as error:  # ENOSPC, ENOMEM: epoll_ctl(2), too, may lack memory
            if self._watching.judge(error) is Meaning.PERMANENT:
                self._replace_socket(error)
            else:
                self._reactor.call_later(REST_SECONDS, self._watch)
        else:
            self._watching.note_success()
