"""Who is late, and who is waited for, by itself; on a bus: test_bus.py."""

from __future__ import annotations

import selectors
from collections.abc import Iterator

import pytest

from cluster.lateness import GO_ON, LATE_SECONDS, SHORT_BYTES, WAIT, Lateness
from tests.reactor.conftest import Loop, new_loop

KIB = 1024


class Server:
    """With what it has ordered; `others` are in the room."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.orders: list[str] = []
        self.others = ["b", "c"]
        self.changes = 0
        self.lateness = Lateness(
            loop.reactor, self.orders.append, lambda name: name in self.others, self.note_change
        )

    def note_change(self) -> None:
        self.changes += 1

    def reads(self, read_bytes: int, is_end: bool = False, is_in: bool = True) -> list[str]:
        self.lateness.note_read(read_bytes, is_end, len(self.others), is_in)
        return self.orders

    def has_floods_wait(self) -> bool:
        return self.lateness.limit(10**6, 0, SHORT_BYTES + 1) == 0


@pytest.fixture
def server() -> Iterator[Server]:
    with new_loop(selectors.DefaultSelector) as loop:
        yield Server(loop)


@pytest.mark.parametrize(("others", "kib"), [(0, 512), (1, 512), (3, 3 * 512), (9, 2048)])
def test_late_is_512_kib_for_each_other_server(server: Server, others: int, kib: int) -> None:
    server.others = ["b"] * others
    assert server.reads(kib * KIB) == []
    assert server.reads(1) == [WAIT]
    assert server.reads(kib * KIB) == [WAIT]
    server.lateness.note_own_wait()
    assert server.orders == [WAIT, GO_ON]


def test_server_that_has_read_all_or_is_not_in_is_not_late(server: Server) -> None:
    assert server.reads(900 * KIB, is_end=True) == []
    assert server.reads(900 * KIB) == []
    server.reads(0, is_end=True)
    assert server.reads(9000 * KIB, is_in=False) == []
    assert server.reads(0, is_end=True, is_in=False) == []
    assert server.reads(900 * KIB) == []


def test_each_wait_lasts_until_go_or_for_its_time(server: Server) -> None:
    server.lateness.note_other("b", WAIT)
    server.loop.pass_seconds(LATE_SECONDS - 1)
    server.lateness.note_other("b", WAIT)
    server.lateness.note_other("c", WAIT)
    server.lateness.note_other("c", GO_ON)
    server.loop.pass_seconds(LATE_SECONDS - 1)
    assert server.has_floods_wait()
    assert server.lateness.limit(10**6, 24, SHORT_BYTES) == SHORT_BYTES - 24
    changes = server.changes
    server.loop.pass_seconds(1)
    assert not server.has_floods_wait()
    assert server.changes == changes + 1
    assert server.lateness.limit(9, 24, 5) == 9


def test_server_that_is_not_in_the_room_is_not_waited_for(server: Server) -> None:
    """It may never have been, or have left while others waited."""
    server.lateness.note_other("z", WAIT)
    assert not server.has_floods_wait()
    server.lateness.note_other("b", WAIT)
    server.lateness.drop_gone()
    assert server.has_floods_wait()
    server.others.remove("b")
    changes = server.changes
    server.lateness.drop_gone()
    assert not server.has_floods_wait()
    assert server.changes == changes + 1
