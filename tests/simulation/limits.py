"""The product's limits in one world, so small in most that a short script crosses them often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

import codec.framing
import codec.handshake
import reactor.connection
import reactor.fanout
import reactor.flow
import reactor.listener
import reactor.log
import reactor.outbound
from chat import gate, session


class Limits(NamedTuple):
    """Each is a constant of the product; the names are those in lower case."""

    page_bytes: int = reactor.fanout.PAGE_BYTES
    min_page_bytes: int = reactor.fanout.MIN_PAGE_BYTES
    min_turn_bytes: int = reactor.fanout.MIN_TURN_BYTES
    turn_step_bytes: int = reactor.fanout.TURN_STEP_BYTES
    max_turn_bytes: int = reactor.fanout.MAX_TURN_BYTES
    small_page_bytes: int = reactor.log.SMALL_PAGE_BYTES
    max_pieces: int = reactor.outbound.MAX_PIECES
    send_queue_bytes: int = reactor.flow.SEND_QUEUE_BYTES
    held_queue_bytes: int = reactor.flow.HELD_QUEUE_BYTES
    max_send_queue_bytes: int = reactor.flow.MAX_SEND_QUEUE_BYTES
    drain_bytes: int = reactor.flow.DRAIN_BYTES
    read_bytes: int = reactor.connection.READ_BYTES
    linger_bytes: int = reactor.connection.LINGER_BYTES
    accepts_per_turn: int = reactor.listener.ACCEPTS_PER_TURN
    block_bytes: int = session.BLOCK_BYTES
    lines_per_turn: int = session.LINES_PER_TURN
    pool_connections: int = gate.POOL_CONNECTIONS
    burst_attempts: int = gate.BURST_ATTEMPTS
    max_waiting_requests: int = gate.MAX_WAITING_REQUESTS
    max_line_bytes: int = codec.framing.MAX_LINE_BYTES
    max_join_bytes: int = codec.handshake.MAX_JOIN_BYTES


REAL = Limits()

SMALL = Limits(
    page_bytes=2048,
    min_page_bytes=256,
    min_turn_bytes=16384,
    turn_step_bytes=8192,
    max_turn_bytes=65536,
    small_page_bytes=256,
    max_pieces=8,
    send_queue_bytes=8192,
    held_queue_bytes=16384,
    max_send_queue_bytes=32768,
    drain_bytes=512,
    read_bytes=1024,
    linger_bytes=8192,
    accepts_per_turn=8,
    block_bytes=512,
    lines_per_turn=16,
    pool_connections=6,
    burst_attempts=3,
    max_waiting_requests=2,
    max_line_bytes=300,
    max_join_bytes=60,
)

TINY = Limits(
    page_bytes=128,
    min_page_bytes=32,
    min_turn_bytes=128,
    turn_step_bytes=64,
    max_turn_bytes=512,
    small_page_bytes=16,
    max_pieces=3,
    send_queue_bytes=700,
    held_queue_bytes=2000,
    max_send_queue_bytes=4000,
    drain_bytes=64,
    read_bytes=100,
    linger_bytes=400,
    accepts_per_turn=2,
    block_bytes=48,
    lines_per_turn=4,
    pool_connections=3,
    burst_attempts=2,
    max_waiting_requests=1,
    max_line_bytes=80,
    max_join_bytes=40,
)

SCALES = {"tiny": TINY, "small": SMALL, "real": REAL}

_MODULES = (
    (reactor.fanout, ("page_bytes", "min_page_bytes", "max_pieces")),
    (reactor.log, ("small_page_bytes",)),
    (reactor.fanout, ("min_turn_bytes", "turn_step_bytes", "max_turn_bytes")),
    (reactor.outbound, ("max_pieces",)),
    (reactor.flow, ("send_queue_bytes", "held_queue_bytes", "max_send_queue_bytes", "drain_bytes")),
    (reactor.connection, ("read_bytes", "linger_bytes")),
    (reactor.listener, ("accepts_per_turn",)),
    (session, ("block_bytes", "lines_per_turn")),
    (gate, ("pool_connections", "burst_attempts", "max_waiting_requests")),
    (codec.framing, ("max_line_bytes",)),
    (codec.handshake, ("max_join_bytes",)),
)


@contextmanager
def limits_set_to(limits: Limits) -> Iterator[None]:
    """Let the product have these meanwhile. A constant that it no longer has is an error."""
    with pytest.MonkeyPatch.context() as patch:
        for module, names in _MODULES:
            for name in names:
                patch.setattr(module, name.upper(), getattr(limits, name))
        yield
