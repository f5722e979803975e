"""What the errors of system calls mean, and for whom: the one table of it; and which call it was.

In: the name of a call, and the OSError it raised. Out: a Meaning, which says what to do.

On a socket that belongs to one peer the table is short: EAGAIN and EINTR mean that the call is to
be made again once the socket is ready, and every other error, known or not, costs that peer and no
other. `Connection` and `SocketTransport` say so where they call (recv, send, sendmsg, shutdown,
getsockopt, setsockopt, ioctl, epoll_ctl), and so does the client for each address that it dials.

A descriptor that everyone depends on cannot be dropped like that. There it matters whether an error
passes, and an ErrorJudge tells. An error that the table does not know is given one chance: it is
permanent once it repeats.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from enum import Enum


class Meaning(Enum):
    """What an error asks for."""

    PASSING = "call again when the descriptor is ready"
    SCARCE = "descriptors or memory have run out: free some, or rest and call again"
    PEER = "it concerns one peer that is gone: go on with the next"
    UNKNOWN = "rest and call again: the next one in a row is permanent"
    PERMANENT = "the descriptor is of no use any more"


TABLE: dict[str, dict[Meaning, str]] = {
    "accept": {  # accept(2), "Error handling": errors of the network come from the new socket
        Meaning.PASSING: "EAGAIN EWOULDBLOCK EINTR",
        Meaning.SCARCE: "EMFILE ENFILE ENOBUFS ENOMEM ENOSR",
        Meaning.PEER: "ECONNABORTED ECONNRESET EPROTO EPERM ENETDOWN ENETUNREACH EHOSTDOWN "
        "EHOSTUNREACH ENOPROTOOPT EOPNOTSUPP ENONET ETIMEDOUT",
        # EINVAL: the socket does not listen, or not any more, after shutdown(2) by another process.
        Meaning.PERMANENT: "EBADF EFAULT EINVAL ENOTSOCK ENOSYS",
    },
    "recvfrom": {  # recv(2), udp(7): errors of the network come from what was sent before
        Meaning.PASSING: "EAGAIN EWOULDBLOCK EINTR",
        Meaning.SCARCE: "ENOBUFS ENOMEM",
        Meaning.PEER: "ECONNREFUSED ECONNRESET EHOSTDOWN EHOSTUNREACH EMSGSIZE ENETDOWN "
        "ENETUNREACH",
        Meaning.PERMANENT: "EBADF EFAULT EINVAL ENOTCONN ENOTSOCK ENOSYS",
    },
    "watch": {  # epoll_ctl(2), kevent(2)
        Meaning.PASSING: "EINTR",
        Meaning.SCARCE: "ENOMEM ENOSPC",
        Meaning.PERMANENT: "EBADF EINVAL ELOOP ENOENT EPERM ENOSYS",
    },
    "wait": {  # epoll_wait(2), poll(2), select(2), kevent(2)
        Meaning.PASSING: "EINTR",
        Meaning.SCARCE: "EAGAIN ENOMEM",
        Meaning.PERMANENT: "EBADF EFAULT EINVAL ENOSYS",
    },
}
"""Call -> what its errors mean on a descriptor that everyone depends on."""

NO_DESCRIPTOR_LEFT = frozenset({errno.EMFILE, errno.ENFILE})
"""Which of the scarce is a descriptor: the reserve helps against these."""

_MEANINGS = {
    (call, getattr(errno, name)): meaning
    for call, meanings in TABLE.items()
    for meaning, names in meanings.items()
    for name in names.split()
    if hasattr(errno, name)  # some systems lack some
}


class ErrorJudge:
    """Judges the errors of one call on one such descriptor, in the order in which they come.

    Of PEER errors `max_peers` may come in a row: more peers than the kernel keeps have not gone.
    """

    def __init__(self, call: str, max_peers: int = 0) -> None:
        self._call = call
        self._max_peers = max_peers
        self._peers = 0
        self._is_second_chance = False

    def judge(self, error: OSError) -> Meaning:
        meaning = _MEANINGS.get((self._call, error.errno or 0), Meaning.UNKNOWN)
        if meaning is Meaning.UNKNOWN:
            if self._is_second_chance:
                return Meaning.PERMANENT
            self._is_second_chance = True
        elif meaning is Meaning.PEER:
            self._peers += 1
            if self._peers > self._max_peers:
                return Meaning.PERMANENT
        return meaning

    def note_success(self) -> None:
        """The call has worked: what went wrong before does not count any more."""
        self._peers = 0
        self._is_second_chance = False


@contextlib.contextmanager
def naming(call: str) -> Iterator[None]:
    """An OSError raised within has the name of `call` as its `filename`, unless it has one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or call
        raise
