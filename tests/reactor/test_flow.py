"""Who is waited for, who is cut and when: to the byte and to the instant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor import SlowReaderError, fanout
from reactor.flow import (
    BEHIND_SECONDS,
    DOUBT_SECONDS,
    DRAIN_BYTES_PER_SECOND,
    MAX_SEND_QUEUE_BYTES,
    MAX_UNREAD_BYTES,
    PATIENCE_SECONDS,
    SEND_QUEUE_BYTES,
    STALL_SECONDS,
    Lag,
)
from tests.reactor.conftest import PATTERN, Loop, tcp_pair, unix_pair
from tests.reactor.crowd import Crowd, Member
from tests.support.faults import fault
from tests.support.size import examples

BEHIND = SEND_QUEUE_BYTES + 1
"""The fewest unsent bytes of one who is behind."""

# One reader's Lag, which is told the time.


TICK = 0.001
RATE = DRAIN_BYTES_PER_SECOND
MAX, UNREAD = MAX_SEND_QUEUE_BYTES, MAX_UNREAD_BYTES
DEBT = DOUBT_SECONDS + BEHIND_SECONDS
"""When one is cut that takes nothing from the moment it fell behind, and had never read."""

VERDICTS = {
    "one is behind above so many unsent bytes": [
        (0, 0, 1, "free"),
        (0, 0, SEND_QUEUE_BYTES, "free"),
        (0, 0, BEHIND, "held"),
    ],
    "one that may never have read is waited for until the doubt is over": [
        (0, UNREAD, 1, "free"),
        (1, 0, BEHIND, "held"),
        (1 + DOUBT_SECONDS - TICK, 0, BEHIND, "held"),
        (1 + DOUBT_SECONDS, 0, BEHIND, "free"),
    ],
    "one that has read is waited for longer": [
        (0, UNREAD + 1, 1, "free"),
        (1, 0, BEHIND, "held"),
        (1 + PATIENCE_SECONDS - TICK, 0, BEHIND, "held"),
        (1 + PATIENCE_SECONDS, 0, BEHIND, "free"),
    ],
    "what one takes buys time, and no more than so much ahead": [
        (0, 0, BEHIND, "held"),
        (0.0625, RATE // 8, BEHIND, "held"),
        (DOUBT_SECONDS + 0.125 - TICK, 0, BEHIND, "held"),
        (DOUBT_SECONDS + 0.125, 0, BEHIND, "free"),
        (0.5, RATE, BEHIND, "held"),
        (0.5 + PATIENCE_SECONDS, 0, BEHIND, "free"),
    ],
    "one that takes little by little what buys the time is waited for, for ever": [
        (step * 0.0625, RATE // 16, BEHIND, "held") for step in range(1000)
    ],
    "all wait for one that is owed much": [
        (step * 0.0625, RATE // 16, MAX - 1 + step % 2, ["held", "full"][step % 2])
        for step in range(100)
    ],
    "one that takes less is cut in the end": [
        (0.5, 0, BEHIND, "held"),
        *[(0.5 * step, int(0.4 * RATE), BEHIND, "free") for step in range(2, 12)],
        (6.125, 0, BEHIND, "cut"),
    ],
    "one that takes a few bytes now and then is cut all the same": [
        *[(0.0625 * step, 3, BEHIND, "held") for step in range(2)],
        *[(0.0625 * step, 3, BEHIND, "free") for step in range(2, 17)],
        (DEBT + 0.001, 3, BEHIND, "cut"),
    ],
    "one that is behind and takes nothing is cut when it owes a second": [
        (0, 0, 1, "free"),
        (5, 0, BEHIND, "held"),
        (5 + DEBT - TICK, 0, BEHIND, "free"),
        (5 + DEBT, 0, BEHIND, "cut"),
    ],
    "one that is never behind is left alone while it takes something": [
        (step * STALL_SECONDS / 2, 1, SEND_QUEUE_BYTES, "free") for step in range(100)
    ],
    "one that is behind for short stretches is not cut": [
        (0, 0, BEHIND, "held"),
        (0.9375, 0, BEHIND, "free"),
        (0.9375, 1, SEND_QUEUE_BYTES, "free"),
        (2, 0, BEHIND, "held"),
        (2.9375, 0, BEHIND, "free"),
    ],
    "one that has read and run out of time is cut at once at so many unsent bytes": [
        (0, UNREAD + 1, MAX, "full"),
        (PATIENCE_SECONDS, 0, MAX - 1, "free"),
        (PATIENCE_SECONDS, 0, MAX, "cut"),
    ],
    "one that may never have read is cut at fewer": [
        (0, UNREAD, UNREAD, "held"),
        (PATIENCE_SECONDS, 0, UNREAD - 1, "free"),
        (PATIENCE_SECONDS, 0, UNREAD, "cut"),
    ],
    "one that takes no byte is cut though it is not behind": [
        (0, 0, SEND_QUEUE_BYTES, "free"),
        (STALL_SECONDS - 0.5, 1, SEND_QUEUE_BYTES, "free"),
        (STALL_SECONDS, 0, 1, "free"),
        (2 * STALL_SECONDS - 0.75, 0, 1, "free"),
        (2 * STALL_SECONDS - 0.5, 0, 1, "cut"),
    ],
}
"""What becomes of one reader: at this instant it took so many bytes, so many are unsent, and so it
is judged. The room is free to go on, or one page of each turn is held for it, or it is held in
full, or the reader is cut."""


@fault(28)
@pytest.mark.parametrize("steps", VERDICTS.values(), ids=VERDICTS)
def test_reader_is_judged_by_what_it_takes(steps: list[tuple[float, int, int, str]]) -> None:
    lag = Lag(0)
    all_taken_bytes = 0
    for now, taken_bytes, unsent_bytes, verdict in steps:
        all_taken_bytes += taken_bytes
        if taken_bytes:
            lag.note_taken(taken_bytes, now)
        is_cut = lag.judge(unsent_bytes, all_taken_bytes, now) is not None
        assert ("cut" if is_cut else ["free", "held", "full"][lag.held_pages]) == verdict, now


def test_reason_tells_the_numbers() -> None:
    lag = Lag(0)
    assert lag.judge(77, 0, STALL_SECONDS + 2) == "77 bytes unsent, none taken for 12.0 s"
    lag = Lag(0)
    for seconds in (4, 4.5, 5.25):
        reason = lag.judge(BEHIND + 5, 0, seconds)
    assert reason == "1048582 bytes unsent, behind for 1.2 s"


def test_reader_is_looked_at_when_verdict_may_change() -> None:
    lag = Lag(0)
    lag.judge(1, 0, 0)
    assert lag.next_deadline() == STALL_SECONDS
    lag.note_taken(1, 3)
    lag.judge(BEHIND, 0, 3)
    assert lag.next_deadline() == 3 + DOUBT_SECONDS
    lag.judge(BEHIND, 0, 3.5)
    assert lag.next_deadline() == 3 + DEBT
    lag.judge(1, 0, 3.5)
    assert lag.next_deadline() == 3 + STALL_SECONDS


@examples(40, 2000)
@given(
    st.floats(0, 1e7),
    st.sampled_from([1, BEHIND, MAX_SEND_QUEUE_BYTES]),
    st.lists(st.sampled_from([0, 1, RATE // 10]), max_size=20),
)
def test_one_look_at_a_deadline_is_enough(start: float, owed_bytes: int, takes: list[int]) -> None:
    # Otherwise the loop would look again and again, without sleeping, until the clock ticks.
    lag = Lag(start)
    lag.judge(owed_bytes, 0, start)
    for taken_bytes in takes:
        now = lag.next_deadline()
        if taken_bytes:
            lag.note_taken(taken_bytes, now)
        if lag.judge(owed_bytes, 0, now) is not None:
            return
        assert lag.next_deadline() > now


# A room of readers on real sockets, and a clock that the test moves.


@pytest.fixture
def crowd(loop: Loop, request: pytest.FixtureRequest) -> Iterator[Crowd]:
    # Not on TCP: there the kernel may find room for some more bytes at any later time.
    crowd = Crowd(loop, getattr(request, "param", unix_pair))
    yield crowd
    crowd.close()


def owe(crowd: Crowd, member: Member, owed_bytes: int) -> None:
    """Let `member`, who does not read, owe just so much, and the others nothing. No time passes."""
    crowd.leave_owing(member)
    while missing_bytes := owed_bytes - member.cursor.owed_bytes:
        assert missing_bytes > 0
        crowd.say(PATTERN[:missing_bytes])
        crowd.loop.turn()
        for other in crowd.members:
            if other is not member:
                read_all(crowd, other)
    assert member.cursor.owed_bytes == owed_bytes


def read_all(crowd: Crowd, member: Member) -> None:
    """Let `member` read all that was said so far."""
    crowd.read(member, len(crowd.said) - len(member.heard))
    assert member.heard == crowd.said


@pytest.mark.parametrize("kind", ["said", "private", "own"])
def test_room_is_held_above_so_many_unsent_bytes(crowd: Crowd, kind: str) -> None:
    """Private lines count, and own lines that are kept for it, too."""
    deaf = crowd.join()
    owe(crowd, deaf, SEND_QUEUE_BYTES)
    crowd.loop.turn()
    assert not crowd.fanout.held_pages
    if kind == "private":
        deaf.connection.write(b"x")
    else:
        crowd.say(b"x", skip=deaf if kind == "own" else None)
    assert not crowd.fanout.held_pages, "it is judged when the turn ends"
    crowd.loop.turn()
    assert crowd.fanout.held_pages


def test_unsubscribed_member_is_judged_by_what_it_is_owed(crowd: Crowd) -> None:
    gone, ann = crowd.join(), crowd.join()
    crowd.fanout.unsubscribe(gone.cursor)
    for _ in range(MAX_SEND_QUEUE_BYTES // len(PATTERN) + 1):
        crowd.say(PATTERN)
        read_all(crowd, ann)
    gone.connection.write(PATTERN)
    crowd.loop.pass_seconds(2 * BEHIND_SECONDS)
    assert not crowd.fanout.held_pages
    assert gone.lost == []
    assert crowd.fanout.log.kept_bytes == 0
    assert crowd.read(gone, len(PATTERN)) == PATTERN


def test_room_is_held_while_member_behind_drains_well(crowd: Crowd) -> None:
    slow, ann = crowd.join(), crowd.join()
    owe(crowd, slow, 12 * SEND_QUEUE_BYTES)
    waits = 0
    while crowd.fanout.held_pages:
        assert slow.cursor.owed_bytes > SEND_QUEUE_BYTES
        assert crowd.fanout.held_pages == 1 + (slow.cursor.owed_bytes >= MAX_SEND_QUEUE_BYTES)
        crowd.loop.pass_seconds(DOUBT_SECONDS * 0.9)
        turns = crowd.turns
        crowd.read(slow, 2 * RATE)
        waits += 1
    assert crowd.turns > turns, "the talkers are resumed"
    assert waits * DOUBT_SECONDS * 0.9 > DOUBT_SECONDS
    assert slow.lost == []
    assert slow.cursor.owed_bytes <= SEND_QUEUE_BYTES
    crowd.say(b"end")
    read_all(crowd, ann)
    read_all(crowd, slow)
    assert crowd.is_at_rest()


def test_sum_of_private_bytes_cuts_those_owed_most(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = (3_000, 9_000, 1_000, 5_000)
    monkeypatch.setattr(fanout, "MAX_PRIVATE_BYTES", sum(sizes))
    members = [crowd.join() for _ in sizes]
    for member, size in zip(members, sizes, strict=True):
        crowd.leave_owing(member)
        member.connection.write(bytes(size))
    crowd.loop.turn(3)
    assert not any(member.lost for member in members), "the log is shared"
    monkeypatch.setattr(fanout, "MAX_PRIVATE_BYTES", 4_000)
    crowd.fanout.queue_turn()
    crowd.loop.turn(3)
    assert [[str(error) for error in member.lost] for member in members] == [
        [],
        ["9000 bytes unsent to it alone, 18000 to all like it"],
        [],
        ["5000 bytes unsent to it alone, 9000 to all like it"],
    ]


def test_bytes_that_newcomers_share_count_once(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "MAX_PRIVATE_BYTES", 9_000)
    members = [crowd.join() for _ in range(4)]
    shared = bytes(8_000)
    for member in members:
        crowd.leave_owing(member)
        member.connection.write(b"OK")
        member.connection.write(shared)
    crowd.loop.turn(3)
    assert not any(member.lost for member in members)
    members[0].connection.write(bytes(2_000))
    crowd.loop.turn(3)
    assert [len(member.lost) for member in members] == [1, 0, 0, 0]


@fault(26, 29, 41)
@pytest.mark.parametrize("crowd", [tcp_pair], indirect=True, ids=["tcp"])
def test_member_that_takes_nothing_is_cut_by_a_reset(crowd: Crowd) -> None:
    """Though it is not behind."""
    deaf, ann = crowd.join(), crowd.join()
    crowd.leave_owing(deaf)
    assert deaf.cursor.owed_bytes < SEND_QUEUE_BYTES
    read_all(crowd, ann)
    crowd.loop.pass_seconds(STALL_SECONDS - 0.5)
    assert deaf.lost == []
    crowd.loop.pass_seconds(STALL_SECONDS)
    assert [type(error) for error in deaf.lost] == [SlowReaderError]
    with pytest.raises(ConnectionResetError):
        crowd.loop.receive_to_end(deaf.peer)
    assert crowd.is_at_rest()
