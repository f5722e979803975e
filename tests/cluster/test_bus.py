"""A room on the bus of a cluster, whose engine is a list; time is the test's."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any
from unittest.mock import patch

import pytest

from chat.history import History
from chat.room import Room
from cluster.bus import CONNECTED_AGAIN, NOT_CONNECTED, QUEUED_BYTES, TELL_SECONDS, ClusterBus
from cluster.engine import EngineUser
from cluster.lateness import LATE_SECONDS
from cluster.node import Node
from cluster.queue import Append
from cluster.records import Author
from cluster.replica import Entry
from tests.reactor.conftest import Loop
from tests.support.house import House, numbered

OTHER = Author("b", 1)
LOST, AGAIN = (f"{text}\n".encode() for text in (NOT_CONNECTED, CONNECTED_AGAIN))


class ListEngine:
    """Appends and reads at once, and never fails."""

    def __init__(self) -> None:
        self.user: EngineUser
        self.log: list[Entry] = []
        self._waiting: Callable[[], None] | None = None

    def start(self, user: EngineUser) -> None:
        self.user = user
        user.note_up()

    def append(self, append: Append, answer: Callable[[bool], None]) -> None:
        self.put(*append[:3])
        answer(True)

    def put(self, author: Author, sequence: int, *entries: bytes) -> None:
        """Each in a minute of its own."""
        for number, records in enumerate(entries, sequence):
            self.log.append(Entry(f"{60_000 * (len(self.log) + 1)}-0", author, number, records))
        if self._waiting:
            self._waiting()

    def read(
        self, after: str, waits: bool, answer: Callable[[Sequence[Entry] | None, bool], None]
    ) -> None:
        self._waiting = None
        start = int(after.partition("-")[0]) // 60_000
        entries = self.log[start : start + 16]
        if entries or not waits:
            answer(entries, len(entries) < 16)
        else:
            self._waiting = lambda: self.read(after, waits, answer)

    def ask(self, entry: Entry, answer: Callable[[bool], None]) -> None:
        answer(True)

    def nothing(self, *_: Any) -> None:
        pass

    delete = is_alive = live = stop_reading = close = nothing


class ClusterHouse(House):
    """On an engine whose log begins with `log`, of another server."""

    def __init__(self, log: Sequence[bytes] = ()) -> None:
        loop = Loop(selectors.DefaultSelector())
        self.engine = ListEngine()
        for sequence, records in enumerate(log):
            self.engine.put(OTHER, sequence, records)
        self.warnings: list[str] = []
        tell = self.warnings.append
        self.cluster = ClusterBus(loop.reactor, self.engine, Node("a", "0"), tell, tell)
        super().__init__(self.cluster, loop)
        self.cluster.start()

    def make_room(self, *parts: Any) -> Room:
        return self.cluster.make_room(*parts)


@pytest.fixture
def house() -> Iterator[ClusterHouse]:
    with closing(ClusterHouse()) as house:
        yield house
        house.cluster.close()


def test_lost_engine_is_told_in_time_and_once(house: ClusterHouse) -> None:
    bob = house.join("Bob")
    house.engine.user.note_down("gone")
    house.loop.pass_seconds(TELL_SECONDS - 0.1)
    bob.reads_nothing()
    house.engine.user.note_down("gone still")
    house.engine.user.note_silent(True)
    house.engine.user.note_silent(True)
    bob.reads(LOST)
    house.loop.pass_seconds(10)
    bob.reads_nothing()
    house.engine.user.note_up()
    bob.reads(AGAIN)
    house.loop.pass_seconds(10)
    bob.reads_nothing()
    assert house.warnings == ["cluster: no answer", "cluster: connected again"]
    house.engine.user.note_down("gone")
    house.loop.pass_seconds(TELL_SECONDS)
    bob.reads(LOST)
    house.engine.user.note_up()
    bob.reads(AGAIN)


def test_short_loss_is_not_told(house: ClusterHouse) -> None:
    bob = house.join("Bob")
    house.engine.user.note_down("gone")
    house.loop.pass_seconds(TELL_SECONDS - 0.1)
    house.engine.user.note_up()
    house.loop.pass_seconds(10)
    bob.reads_nothing()
    assert house.warnings == []


def test_lines_beyond_one_turn_are_shown_in_the_next(house: ClusterHouse) -> None:
    """And no time passes."""
    bob = house.join("Bob")
    house.engine.put(OTHER, 0, b"U1\n")
    lines = [b"".join(numbered(200, 1000)) for _ in range(24)]
    for sequence, data in enumerate(lines, 1):
        house.engine.put(OTHER, sequence, b"T%d\n%s" % (len(data), data))
    expected = b"".join(lines)
    house.busy(lambda: len(bob.heard) >= len(expected) + len(b"OK\n"))
    assert bob.heard == b"OK\n" + expected
    assert house.seconds == 0


def test_history_has_the_minutes_of_the_log() -> None:
    """Of what was said before this server came, and since."""
    log = [b"U1\n", b"T7\nAnn: a\n", b"T7\nAnn: b\n"]
    with closing(ClusterHouse(log)) as house:
        history = History(9, lambda seconds: [0, 0, 0, 0, (int(time.time()) + seconds) // 60])
        house.cluster.add_history(history)
        bob = house.join("Bob")
        house.engine.put(OTHER, 3, b"T7\nAnn: c\n")
        bob.reads(b"Ann: c\n")
        entries = house.engine.log
        last = [entry for entry in entries if entry.author == OTHER][1:]
        lines = [b"* 00:%02d %s" % (x.minute, x.records[3:]) for x in last]
        assert history.page == b"".join([b"* History\n", *lines, b"* End of history\n"])
        house.cluster.close()


@pytest.mark.parametrize(("size", "count"), [(2000, 4), (200, 40)])
def test_late_server_has_others_wait_until_it_has_caught_up(
    house: ClusterHouse, size: int, count: int
) -> None:
    """Also if what it has to read are many small entries."""
    house.engine.put(OTHER, 0, b"U1\n")
    house.loop.turn(3)
    data = b"".join(numbered(size, 100))
    house.engine.put(OTHER, 1, *[b"T%d\n%s" % (len(data), data)] * count)
    house.loop.turn(60)
    own = [entry.records for entry in house.engine.log if entry.author != OTHER]
    assert own[1:] == [b"Kwait 1\na", b"Kgo 1\na"]


def test_floods_wait_for_a_late_server_and_single_lines_pass(house: ClusterHouse) -> None:
    """Until it says so, or LATE_SECONDS have passed: it may have been stopped."""
    ann, bob, cid = (house.join(name) for name in ("Ann", "Bob", "Cid"))
    house.busy(lambda: b"Cid" in ann.heard)
    house.engine.put(OTHER, 0, b"U1\n")
    said = b"".join(b"Bob: " + line for line in numbered(1000, 100))
    for number in (1, 3):
        house.engine.put(OTHER, number, b"Kwait 1\nb")
        house.loop.turn(3)
        ann.heard = b""
        bob.types(said.replace(b"Bob: ", b""))
        cid.types(b"Hello\n")
        house.busy(lambda: b"Cid" in ann.heard)
        house.loop.turn(20)
        ann.act()
        assert b"Bob" not in ann.heard
        if number == 1:
            house.engine.put(OTHER, 2, b"Kgo 1\nb")
        else:
            house.loop.pass_seconds(LATE_SECONDS)
        house.busy(lambda: len(ann.heard) >= len(said))
        assert ann.heard.replace(b"Cid: Hello\n", b"") == said


def test_late_server_that_leaves_is_not_waited_for(house: ClusterHouse) -> None:
    ann, bob = house.join("Ann"), house.join("Bob")
    house.engine.put(OTHER, 0, b"U1\nKwait 1\nb")
    house.loop.turn(3)
    bob.types(b"".join(numbered(1000, 100)))
    house.loop.turn(20)
    assert b"Bob" not in ann.heard
    house.engine.put(OTHER, 1, b"Db.1\n")
    house.busy(lambda: len(ann.heard) > 100 * 1000)


def test_what_an_evicted_member_said_keeps_no_one_waiting(house: ClusterHouse) -> None:
    bob, cid = house.join("Bob"), house.join("Cid")
    with patch.object(house.engine, "append"):  # cut off
        bob.types(b"".join(numbered(1500, 1000)))
        house.busy(lambda: house.cluster.queued_bytes > QUEUED_BYTES)
        house.engine.put(OTHER, 0, b"U1\n", b"Da.1\nJBob\n")
        house.loop.turn(9)
    house.cluster.note_up()
    cid.types(b"Hello\n")
    house.busy(lambda: any(b"Hello" in entry.records for entry in house.engine.log))


def test_line_that_comes_with_the_word_to_wait_passes(house: ClusterHouse) -> None:
    """Behind a flood that is under way."""
    ann, bob, cid = (house.join(name) for name in ("Ann", "Bob", "Cid"))
    house.engine.put(OTHER, 0, b"U1\n")
    with patch.object(house.engine, "append") as append:
        bob.types(b"".join(numbered(1000, 100)))
        house.busy(lambda: append.called)
        house.engine.put(OTHER, 1, b"Kwait 1\nb")
        cid.send(b"Hello\n")
    house.engine.append(*append.call_args.args)
    house.busy(lambda: b"Cid: Hello" in ann.heard)
