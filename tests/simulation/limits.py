"""The product's limits in one world, so small in most that a short script crosses them often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest

_TABLE = (
    # where it stands, and what it is in a small and in a tiny world
    ("reactor.fanout.PAGE_BYTES", 2048, 128),
    ("reactor.fanout.MIN_PAGE_BYTES", 256, 32),
    ("reactor.fanout.MIN_TURN_BYTES", 16384, 128),
    ("reactor.fanout.MAX_TURN_BYTES", 65536, 512),
    ("reactor.fanout.MAX_PIECES", 8, 3),
    ("reactor.outbound.MAX_PIECES", 8, 3),
    ("web.websocket.MAX_PIECES", 8, 3),
    ("reactor.log.SMALL_PAGE_BYTES", 256, 16),
    ("reactor.flow.SEND_QUEUE_BYTES", 8192, 700),
    ("reactor.flow.MAX_SEND_QUEUE_BYTES", 32768, 4000),
    ("reactor.flow.MAX_UNREAD_BYTES", 16384, 2000),
    ("reactor.flow.DRAIN_BYTES_PER_SECOND", 5120, 640),
    ("reactor.connection.READ_BYTES", 1024, 100),
    ("reactor.connection.LINGER_BYTES", 8192, 400),
    ("reactor.listener.ACCEPTS_PER_TURN", 8, 2),
    ("chat.session.FLOOD_BYTES", 512, 64),
    ("chat.session.BLOCK_BYTES", 512, 48),
    ("chat.session.LINES_PER_TURN", 16, 4),
    ("chat.gate.POOL_CONNECTIONS", 6, 3),
    ("chat.gate.BURST_ATTEMPTS", 3, 2),
    ("chat.gate.MAX_WAITING_REQUESTS", 2, 1),
    ("codec.framing.MAX_LINE_BYTES", 300, 80),
    ("codec.handshake.MAX_JOIN_BYTES", 60, 40),
)


Limits = SimpleNamespace
"""The value of each constant in one world, under its name in lower case."""


def _limits(values: Iterable[int]) -> Limits:
    names = (path.rpartition(".")[2].lower() for path, *_ in _TABLE)
    return Limits(**dict(zip(names, values, strict=True)))


SCALES = {
    "tiny": _limits(tiny for *_, tiny in _TABLE),
    "small": _limits(small for _, small, _ in _TABLE),
    "real": _limits(resolve_name(path) for path, *_ in _TABLE),
}


@contextmanager
def limits_set_to(limits: Limits) -> Iterator[None]:
    """Let the product have these meanwhile. A constant that it no longer has is an error."""
    with pytest.MonkeyPatch.context() as patch:
        for path, *_ in _TABLE:
            patch.setattr(path, getattr(limits, path.rpartition(".")[2].lower()))
        yield
