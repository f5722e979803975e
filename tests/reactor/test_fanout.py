"""One log and many cursors: each member's bytes whole and in order, and no page kept for none.

What a member is sent is stated by the model (test_fanout_model.py); here is what it does not see.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactor import PAGE_BYTES, Connection, Fanout, SocketTransport, fanout
from reactor.flow import MAX_SEND_QUEUE_BYTES
from reactor.log import SMALL_PAGE_BYTES, Log
from tests.reactor.conftest import (
    PATTERN,
    Loop,
    MakePair,
    Recorder,
    nothing,
    unix_pair,
)
from tests.reactor.crowd import Crowd
from tests.support.faults import fault
from tests.support.size import examples

# The log.


@examples(60, 1000)
@example([("append", SMALL_PAGE_BYTES), ("seal", 0), ("append", 1), ("seal", 0)], [(0, 1)])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.sampled_from([0, 1, 7, 5_000, 16_383, 16_384, 20_000])),
            st.tuples(st.just("seal"), st.just(0)),
            st.tuples(st.just("drop"), st.integers(0, 120_000)),
        ),
        max_size=40,
    ),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8),
)
def test_log_agrees_with_plain_bytes_and_sizes_of_pages(
    steps: list[tuple[str, int]], ranges: list[tuple[float, float]]
) -> None:
    log, everything, sizes, sealed_end, dropped_end = Log(), b"", [0], 0, 0
    for verb, number in steps:
        if verb == "append":
            log.append(PATTERN[len(everything) : len(everything) + number])
            everything = PATTERN[: len(everything) + number]
        elif verb == "seal":
            assert log.seal() == everything[sealed_end:]
            # A small page is joined with the next.
            if not sizes or sizes[-1] >= SMALL_PAGE_BYTES:
                sizes.append(0)
            sizes[-1] += len(everything) - sealed_end
            sealed_end = len(everything)
        else:
            log.drop_before(min(number, sealed_end))
            dropped_end = max(dropped_end, min(number, sealed_end))
            while sizes and sealed_end - sum(sizes[1:]) <= dropped_end:
                del sizes[0]
        assert (log.end, log.sealed_end) == (len(everything), sealed_end)
        kept_pages = log.between(sealed_end - log.kept_bytes, sealed_end)
        assert [len(page) for page in kept_pages] == [size for size in sizes if size]
        for first, second in ranges:
            start, end = sorted(
                dropped_end + int(share * (sealed_end - dropped_end)) for share in (first, second)
            )
            assert b"".join(log.between(start, end)) == everything[start:end]


def test_page_is_sealed_once_and_its_pieces_are_not_copied() -> None:
    log = Log()
    log.append(PATTERN[:SMALL_PAGE_BYTES])
    page = log.seal()
    assert log.seal() == b""
    log.append(b"next")
    assert log.kept_bytes == len(page), "it is no page yet"
    [piece] = log.between(4, len(page))
    assert isinstance(piece, memoryview)
    assert piece.obj is page


# Many members on real sockets.


@pytest.fixture
def crowd(loop: Loop, make_pair: MakePair) -> Iterator[Crowd]:
    crowd = Crowd(loop, make_pair)
    yield crowd
    crowd.close()


@fault(27)
def test_pages_are_dropped_as_slowest_member_reads(crowd: Crowd) -> None:
    deaf = crowd.join()
    for _ in range(20):
        crowd.say(PATTERN[:SMALL_PAGE_BYTES])
        crowd.loop.turn()
    crowd.leave_owing(deaf)
    kept_bytes = crowd.fanout.log.kept_bytes
    while deaf.cursor.owed_bytes:
        crowd.loop.receive(deaf.peer, 10_000)
        crowd.loop.turn()
        assert crowd.fanout.log.kept_bytes <= kept_bytes
        kept_bytes = crowd.fanout.log.kept_bytes
        assert kept_bytes == 0 or kept_bytes < deaf.cursor.owed_bytes + len(PATTERN)
    crowd.loop.turn()
    assert crowd.fanout.log.kept_bytes == 0


def test_own_lines_in_a_row_are_left_out_as_one(crowd: Crowd) -> None:
    deaf, ann = crowd.join(), crowd.join()
    crowd.leave_owing(deaf)
    for _ in range(100):
        crowd.say(b"own", skip=deaf)
        crowd.loop.turn()
    assert len(deaf.cursor.splices) == 1
    crowd.say(b"heard")
    assert crowd.receives(deaf, PATTERN + b"heard")
    assert crowd.receives(ann, PATTERN + b"own" * 100 + b"heard")
    assert crowd.is_at_rest()


def test_lost_member_is_forgotten_though_subscribed(loop: Loop) -> None:
    fanout = Fanout(loop.reactor, after_turn=nothing)
    near, peer = unix_pair()
    member = Recorder()
    fanout.subscribe(Connection(loop.reactor, SocketTransport(near), member))
    member.connection.abort()
    peer.close()
    fanout.broadcast(b"too late")
    loop.turn(3)
    reference = weakref.ref(member)
    del member
    gc.collect()
    assert reference() is None


# The end of the turn, for what feeds the log.


def test_page_is_full_until_turn_ends(crowd: Crowd) -> None:
    crowd.join()
    crowd.say(b"x" * (PAGE_BYTES - 1))
    assert crowd.fanout.free_bytes() == 1
    assert crowd.fanout.free_bytes(max_pages=2) == PAGE_BYTES + 1
    crowd.say(b"xx")
    assert crowd.fanout.free_bytes() == -1
    crowd.loop.turn()
    assert crowd.fanout.free_bytes() == PAGE_BYTES


def test_after_turn_comes_once_when_something_was_done(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.loop.turn(3)
    assert crowd.turns == 0
    crowd.say(b"one")
    crowd.say(b"two")
    crowd.fanout.queue_turn()
    crowd.loop.turn(3)
    assert crowd.turns == 1
    crowd.fanout.queue_turn()
    crowd.loop.turn(3)
    assert crowd.turns == 2
    crowd.fanout.unsubscribe(ann.cursor)
    crowd.loop.turn(3)
    assert crowd.turns == 3


@pytest.fixture
def small_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3,000 to 6,000 bytes."""
    monkeypatch.setattr(fanout, "PAGE_BYTES", 2_000)
    monkeypatch.setattr(fanout, "MIN_PAGE_BYTES", 800)
    monkeypatch.setattr(fanout, "MIN_TURN_BYTES", 3_000)
    monkeypatch.setattr(fanout, "MAX_TURN_BYTES", 6_000)


@pytest.mark.usefixtures("small_turns")
def test_page_holds_less_with_many_members(crowd: Crowd) -> None:
    assert crowd.fanout.free_bytes() == 2_000
    for page_bytes in (2_000, 1_500, 1_000, 800, 800):
        crowd.join()
        assert crowd.fanout.free_bytes() == page_bytes


@pytest.mark.usefixtures("small_turns")
def test_next_turn_may_last_so_long_at_the_last_ones_pace(crowd: Crowd) -> None:
    members = [crowd.join() for _ in range(3)]
    for said_bytes, turns_seconds, page_bytes in [
        (1_000, 0.75, 1_333),
        (1_333, 1.0, 1_333),
        (1_333, 0.5, 2_000),
        (2_000, 0.0, 2_000),
        (100, 0.001, 1_000),  # too little to learn from
        (2_000, 9.0, 1_000),
    ]:
        crowd.say(bytes(said_bytes))
        members[0].connection.write(b"private")
        seconds = turns_seconds * fanout.TURN_SECONDS
        members[0].deeds["flushed"] = lambda _, seconds=seconds: crowd.loop.cpu_clock.advance(  # type: ignore[misc]
            seconds
        )
        crowd.loop.turn()
        assert crowd.fanout.free_bytes() == page_bytes


# What one member may pin.


def test_talker_that_is_deaf_pins_a_bounded_part_of_log(crowd: Crowd) -> None:
    """It pins its own lines no longer than another would."""
    deaf = crowd.join()
    crowd.leave_owing(deaf)
    for _ in range(3 * MAX_SEND_QUEUE_BYTES // len(PATTERN)):  # in less than STALL_SECONDS
        crowd.say(PATTERN, skip=deaf)
        crowd.loop.pass_seconds(0.05)
    assert crowd.fanout.log.kept_bytes <= MAX_SEND_QUEUE_BYTES + len(PATTERN)
