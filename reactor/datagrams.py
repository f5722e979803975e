"""Datagrams: messages without a connection (UDP, RFC 768), each on its own.

A TCP socket is a stream between two; a UDP socket is a letter box. One `recvfrom` takes one whole
message and the address that its sender wrote on it. Nothing else is promised:

- *Loss.* A router or a full buffer drops a message, and neither end is told. So ask again.
- *Duplication.* A message may come twice, and a question asked again is answered twice. So give
  each question a number, and count no answer twice.
- *Reordering.* A later message may overtake. So let no message depend on another.
- *Spoofing.* The sender's address is whatever the sender wrote. So believe no message on account
  of where it came from, and put into the question what a forger of answers cannot know.
- *Amplification.* A reply goes to the address on the question: to a victim, if that was forged.
  So never answer with more bytes than were asked with, and only so often.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Annotated, Any

from reactor.errors import ErrorJudge, Meaning
from reactor.loop import READ, Reactor

DATAGRAMS_PER_TURN: Annotated[
    int,
    "Most datagrams that are read at once. What a flood brings beyond them the kernel drops when "
    "its buffer is full, which takes no time of ours.",
] = 64

PAUSE_SECONDS: Annotated[
    float,
    "Time before more are read. Datagrams that come one by one would each cost a turn.",
] = 0.05


class Datagrams:
    """Reads what comes to a bound UDP socket, and sends one answer at most to each sender.

    `answer` is given a datagram and the address on it, and returns the reply, or b"" for none. A
    datagram of more than `max_bytes` is not for us, and ignored. An answer that the kernel does
    not take at once is lost, as it may be on any way. `on_broken` is told, once, when the socket
    is of no use any more; it is closed then.
    """

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        answer: Callable[[bytes, Any], bytes],
        max_bytes: int,
        on_broken: Callable[[OSError], None],
    ) -> None:
        """Take over `sock`, which does not block."""
        self._reactor = reactor
        self._socket = sock
        self._answer = answer
        self._max_bytes = max_bytes
        self._on_broken = on_broken
        self._receiving = ErrorJudge("recvfrom", max_peers=DATAGRAMS_PER_TURN)
        self._watch()

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._reactor.set_interest(self._socket.fileno(), 0, self)
            self._socket.close()

    def handle_events(self, events: int) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                # One byte more, since the kernel cuts what is longer without a word.
                data, address = self._socket.recvfrom(self._max_bytes + 1)
            except OSError as error:
                if self._receiving.judge(error) is Meaning.PERMANENT:
                    self.close()
                    self._on_broken(error)
                break
            self._receiving.note_success()
            if len(data) <= self._max_bytes and (reply := self._answer(data, address)):
                with contextlib.suppress(OSError):
                    self._socket.sendto(reply, address)
        self.handle_error()

    def handle_error(self) -> None:
        """Pause, whether something went wrong or not."""
        if self._socket.fileno() >= 0:
            self._reactor.set_interest(self._socket.fileno(), 0, self)
            self._reactor.call_later(PAUSE_SECONDS, self._watch)

    def _watch(self) -> None:
        if self._socket.fileno() >= 0:
            try:
                self._reactor.set_interest(self._socket.fileno(), READ, self)
            except OSError:  # epoll_ctl(2) may lack memory
                self._reactor.call_later(PAUSE_SECONDS, self._watch)
