"""Who is waited for, who is cut and when: to the byte and to the instant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor import SlowReaderError, fanout
from reactor.flow import (
    BEHIND_SECONDS,
    DRAIN_BYTES,
    DRAIN_SECONDS,
    HELD_QUEUE_BYTES,
    MAX_SEND_QUEUE_BYTES,
    PAUSE_SECONDS,
    SEND_QUEUE_BYTES,
    STALL_SECONDS,
    Lag,
)
from tests.reactor.conftest import MakePair, new_loop, tcp_pair, unix_pair
from tests.reactor.crowd import BUFFER_BYTES, PATTERN, Crowd, Member
from tests.support.size import examples

BEHIND = SEND_QUEUE_BYTES + 1
"""The fewest unsent bytes of one who is behind."""

# One reader's Lag, which is told the time.


@pytest.mark.parametrize(
    ("owed_bytes", "is_behind"), [(1, False), (SEND_QUEUE_BYTES, False), (BEHIND, True)]
)
def test_reader_is_behind_above_so_many_unsent_bytes(owed_bytes: int, is_behind: bool) -> None:
    lag = Lag(0)
    assert lag.judge(owed_bytes, 0) is None
    assert lag.holds_room == is_behind


@pytest.mark.parametrize(
    ("taken_bytes", "holds_room"), [(0, False), (DRAIN_BYTES - 1, False), (DRAIN_BYTES, True)]
)
def test_room_is_held_for_one_who_drained_in_last_window(
    taken_bytes: int, holds_room: bool
) -> None:
    lag = Lag(0)
    lag.judge(HELD_QUEUE_BYTES, 0)
    if taken_bytes:
        lag.note_taken(taken_bytes // 2, 0.03)
        lag.note_taken(taken_bytes - taken_bytes // 2, 0.06)
    lag.judge(HELD_QUEUE_BYTES, 0.09)
    assert lag.holds_room, "the doubt is in its favour until one window has passed"
    lag.judge(HELD_QUEUE_BYTES, DRAIN_SECONDS)
    assert lag.holds_room == holds_room


def test_bytes_of_one_window_do_not_count_in_the_next() -> None:
    lag = Lag(0)
    lag.judge(HELD_QUEUE_BYTES, 0)
    lag.note_taken(10 * DRAIN_BYTES, 0.05)
    lag.judge(HELD_QUEUE_BYTES, 0.125)
    assert lag.holds_room
    lag.judge(HELD_QUEUE_BYTES, 0.25)
    assert not lag.holds_room
    lag.note_taken(DRAIN_BYTES, 0.3)
    lag.judge(HELD_QUEUE_BYTES, 0.375)
    assert lag.holds_room


def test_bytes_taken_before_it_fell_behind_do_not_count() -> None:
    lag = Lag(0)
    lag.judge(1, 0)
    lag.note_taken(10 * DRAIN_BYTES, 0.0625)
    lag.judge(HELD_QUEUE_BYTES, 0.0625)
    lag.judge(HELD_QUEUE_BYTES, 0.125)
    assert lag.holds_room
    lag.judge(HELD_QUEUE_BYTES, 0.0625 + DRAIN_SECONDS)
    assert not lag.holds_room


@pytest.mark.parametrize(
    "owed_bytes", [HELD_QUEUE_BYTES, MAX_SEND_QUEUE_BYTES, 10 * MAX_SEND_QUEUE_BYTES]
)
def test_reader_that_drains_well_is_waited_for(owed_bytes: int) -> None:
    lag = Lag(0)
    for window in range(1000):
        now = window * 0.125
        assert lag.judge(owed_bytes, now) is None
        assert lag.holds_room
        lag.note_taken(DRAIN_BYTES, now)


@pytest.mark.parametrize(
    ("owed_bytes", "holds_room"),
    [(BEHIND, False), (HELD_QUEUE_BYTES - 1, False), (HELD_QUEUE_BYTES, True)],
)
def test_pause_holds_room_only_for_one_who_is_owed_much(owed_bytes: int, holds_room: bool) -> None:
    lag = Lag(0)
    lag.judge(owed_bytes, 0)
    lag.note_taken(DRAIN_BYTES, 0.05)
    lag.judge(owed_bytes, 0.05)
    assert lag.holds_room
    assert lag.next_deadline() == min(0.05 + PAUSE_SECONDS, DRAIN_SECONDS)
    lag.judge(owed_bytes, lag.next_deadline())
    assert lag.holds_room == holds_room
    lag.note_taken(1, 0.0875)
    lag.judge(owed_bytes, 0.0875)
    assert lag.holds_room, "it goes on"


def test_reader_silent_before_it_fell_behind_holds_none_up() -> None:
    lag = Lag(0)
    lag.judge(1, 0)
    lag.judge(BEHIND, 5)
    assert not lag.holds_room


def test_time_of_draining_is_not_held_against_reader() -> None:
    lag = Lag(0)
    now = 0.0
    for _ in range(40):  # five seconds behind, all of them draining
        assert lag.judge(BEHIND, now) is None
        lag.note_taken(DRAIN_BYTES, now)
        now += 0.125
    assert lag.judge(BEHIND, now) is None
    start = now
    while lag.judge(BEHIND, now) is None:
        now += 0.125
    assert now == start + BEHIND_SECONDS


def test_windows_without_draining_add_up() -> None:
    lag = Lag(0)
    lag.judge(BEHIND, 0)
    now = 0.0
    for window in range(100):
        if window % 2:
            lag.note_taken(DRAIN_BYTES, now)
        now += 0.125
        if lag.judge(BEHIND, now):
            break
    assert now == 2 * BEHIND_SECONDS - 0.125


def judged_at(lag: Lag, owed_bytes: int, *instants: float) -> list[bool]:
    """Whether it was to be cut at each of these."""
    return [lag.judge(owed_bytes, now) is not None for now in instants]


def test_reader_behind_without_draining_is_cut() -> None:
    lag = Lag(0)
    assert judged_at(lag, 1, 0, 5) == [False, False]
    assert judged_at(lag, BEHIND, 6, 6.25, 6.9375, 7) == [False, False, False, True]
    assert BEHIND_SECONDS == 7 - 6


def test_reader_behind_for_short_stretches_is_not_cut() -> None:
    lag = Lag(0)
    for start in range(0, 10, 2):
        assert judged_at(lag, BEHIND, start, start + 0.9375) == [False, False]
        lag.note_taken(1, start + 0.9375)
        assert lag.judge(SEND_QUEUE_BYTES, start + 0.9375) is None
        assert not lag.holds_room


@pytest.mark.parametrize(
    ("owed_bytes", "is_cut"), [(MAX_SEND_QUEUE_BYTES - 1, False), (MAX_SEND_QUEUE_BYTES, True)]
)
def test_reader_is_cut_at_once_at_so_many_unsent_bytes(owed_bytes: int, is_cut: bool) -> None:
    lag = Lag(0)
    assert lag.judge(BEHIND, 0) is None
    assert judged_at(lag, BEHIND, DRAIN_SECONDS) == [False]
    assert judged_at(lag, owed_bytes, DRAIN_SECONDS) == [is_cut]


@pytest.mark.parametrize("owed_bytes", [1, SEND_QUEUE_BYTES])
def test_reader_that_takes_no_byte_is_cut(
    owed_bytes: int,
) -> None:
    lag = Lag(0)
    assert judged_at(lag, owed_bytes, 0, STALL_SECONDS - 0.5) == [False, False]
    lag.note_taken(1, STALL_SECONDS - 0.5)
    assert judged_at(lag, owed_bytes, STALL_SECONDS, 2 * STALL_SECONDS - 0.75) == [False, False]
    assert judged_at(lag, owed_bytes, 2 * STALL_SECONDS - 0.5) == [True]


def test_reason_tells_the_numbers() -> None:
    lag = Lag(0)
    assert lag.judge(77, STALL_SECONDS + 2) == "77 bytes unsent, none taken for 12.0 s"
    lag = Lag(0)
    lag.judge(BEHIND, 4)
    assert lag.judge(BEHIND + 5, 5.25) == "1048582 bytes unsent, behind for 1.2 s"


def test_reader_is_looked_at_when_verdict_may_change() -> None:
    lag = Lag(0)
    lag.judge(1, 0)
    assert lag.next_deadline() == STALL_SECONDS
    lag.note_taken(1, 3)
    lag.judge(1, 3)
    assert lag.next_deadline() == 3 + STALL_SECONDS
    lag.judge(BEHIND, 3)
    assert lag.next_deadline() == 3 + PAUSE_SECONDS
    lag.judge(BEHIND, 3 + PAUSE_SECONDS)
    assert lag.next_deadline() == 3 + DRAIN_SECONDS
    lag.judge(1, 3 + PAUSE_SECONDS)
    assert lag.next_deadline() == 3 + STALL_SECONDS


@examples(100, 2000)
@given(
    st.floats(0, 1e7),
    st.sampled_from([1, BEHIND, MAX_SEND_QUEUE_BYTES]),
    st.lists(st.sampled_from([0, 1, DRAIN_BYTES]), max_size=20),
)
def test_one_look_at_each_deadline_is_enough(
    start: float, owed_bytes: int, takes: list[int]
) -> None:
    # Otherwise the loop would look again and again, without sleeping, until the clock ticks.
    lag = Lag(start)
    lag.judge(owed_bytes, start)
    for taken_bytes in takes:
        now = lag.next_deadline()
        if taken_bytes:
            lag.note_taken(taken_bytes, now)
        if lag.judge(owed_bytes, now) is not None:
            return
        assert lag.next_deadline() > now


# A room of readers on real sockets, and a clock that the test moves.


@contextmanager
def crowd_on(make_pair: MakePair) -> Iterator[Crowd]:
    with new_loop() as loop:
        crowd = Crowd(loop, make_pair)
        yield crowd
        crowd.close()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    # Not on TCP: there the kernel may find room for some more bytes at any later time.
    with crowd_on(unix_pair) as crowd:
        yield crowd


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
    assert not crowd.fanout.is_held
    if kind == "private":
        deaf.connection.write(b"x")
    else:
        crowd.say(b"x", skip=deaf if kind == "own" else None)
    assert not crowd.fanout.is_held, "it is judged when the turn ends"
    crowd.loop.turn()
    assert crowd.fanout.is_held


def test_unsubscribed_member_is_judged_by_what_it_is_owed(crowd: Crowd) -> None:
    gone, ann = crowd.join(), crowd.join()
    crowd.fanout.unsubscribe(gone.cursor)
    for _ in range(MAX_SEND_QUEUE_BYTES // len(PATTERN) + 1):
        crowd.say(PATTERN)
        read_all(crowd, ann)
    gone.connection.write(PATTERN)
    crowd.loop.pass_seconds(2 * BEHIND_SECONDS)
    assert not crowd.fanout.is_held
    assert gone.lost == []
    assert crowd.fanout.log.kept_bytes == 0
    assert crowd.read(gone, len(PATTERN)) == PATTERN


def test_room_is_held_while_member_behind_drains_well(crowd: Crowd) -> None:
    slow, ann = crowd.join(), crowd.join()
    owe(crowd, slow, 22 * SEND_QUEUE_BYTES)
    pauses = 0
    while crowd.fanout.is_held:
        assert slow.cursor.owed_bytes > SEND_QUEUE_BYTES
        crowd.read(slow, 8 * DRAIN_BYTES)
        crowd.loop.pass_seconds(PAUSE_SECONDS / 2)
        pauses += 1
    assert pauses * PAUSE_SECONDS / 2 > BEHIND_SECONDS
    assert slow.lost == []
    assert slow.cursor.owed_bytes <= SEND_QUEUE_BYTES
    crowd.say(b"end")
    read_all(crowd, ann)
    read_all(crowd, slow)
    assert crowd.is_at_rest()


def test_after_turn_comes_when_room_is_held_no_longer(crowd: Crowd) -> None:
    slow = crowd.join()
    owe(crowd, slow, BEHIND)
    crowd.loop.turn(3)
    turns = crowd.turns
    crowd.loop.turn(3)
    assert crowd.turns == turns, "nothing happens while nobody takes anything"
    crowd.read(slow, 8 * DRAIN_BYTES)
    assert not crowd.fanout.is_held
    assert crowd.turns > turns


def test_member_that_stops_holds_room_for_a_pause_then_is_cut(crowd: Crowd) -> None:
    deaf, ann = crowd.join(), crowd.join()
    owe(crowd, deaf, BEHIND)
    crowd.loop.pass_seconds(PAUSE_SECONDS * 0.9)
    assert crowd.fanout.is_held
    crowd.loop.pass_seconds(PAUSE_SECONDS * 0.2)
    assert not crowd.fanout.is_held
    crowd.say(b"still here")
    read_all(crowd, ann)
    crowd.loop.pass_seconds(BEHIND_SECONDS - 2 * DRAIN_SECONDS)
    assert deaf.lost == []
    crowd.loop.pass_seconds(2 * DRAIN_SECONDS)
    [error] = deaf.lost
    assert isinstance(error, SlowReaderError)
    assert str(error).startswith(f"{BEHIND + len(b'still here')} bytes unsent, behind for 1.")
    crowd.say(b"on it goes")
    read_all(crowd, ann)
    assert crowd.is_at_rest()


def test_member_reading_few_bytes_now_and_then_is_cut(crowd: Crowd) -> None:
    dribbling, ann = crowd.join(), crowd.join()
    owe(crowd, dribbling, 2 * SEND_QUEUE_BYTES)
    start = crowd.loop.clock.now
    while not dribbling.lost:
        dribbling.heard += dribbling.peer.recv(3)
        crowd.loop.pass_seconds(DRAIN_SECONDS / 2)
    assert isinstance(dribbling.lost[0], SlowReaderError)
    assert BEHIND_SECONDS <= crowd.loop.clock.now - start < BEHIND_SECONDS + 2 * DRAIN_SECONDS
    crowd.say(b"on it goes")
    read_all(crowd, ann)
    assert crowd.is_at_rest()


def test_sum_of_private_bytes_cuts_those_owed_most(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = (3_000, 9_000, 1_000, 5_000)
    monkeypatch.setattr(fanout, "MAX_PRIVATE_BYTES", sum(sizes))
    members = [crowd.join() for _ in sizes]
    little, most, least, much = members
    for member, size in zip(members, sizes, strict=True):
        crowd.leave_owing(member)
        member.connection.write(bytes(size))
    crowd.loop.turn(3)
    assert not any(member.lost for member in members), "the log is nobody's own"
    least.connection.write(b"x")
    crowd.loop.turn(3)
    assert [type(error) for error in most.lost] == [SlowReaderError]
    assert str(most.lost[0]) == "9000 bytes unsent to it alone, 18001 to all like it"
    assert little.lost == least.lost == much.lost == []
    monkeypatch.setattr(fanout, "MAX_PRIVATE_BYTES", 1_001)
    crowd.fanout.queue_turn()
    crowd.loop.turn(3)
    assert little.lost
    assert much.lost
    assert not least.lost


def test_member_that_takes_nothing_is_cut_though_not_behind(crowd: Crowd) -> None:
    deaf, ann = crowd.join(), crowd.join()
    crowd.leave_owing(deaf)
    owed_bytes = deaf.cursor.owed_bytes
    assert owed_bytes < SEND_QUEUE_BYTES
    read_all(crowd, ann)
    crowd.loop.pass_seconds(STALL_SECONDS - 0.5)
    assert deaf.lost == []
    crowd.loop.pass_seconds(0.5)
    crowd.loop.turn()
    [error] = deaf.lost
    assert isinstance(error, SlowReaderError)
    assert str(error) == f"{owed_bytes} bytes unsent, none taken for 10.0 s"
    assert crowd.is_at_rest()


def test_cut_is_a_reset() -> None:
    with crowd_on(tcp_pair) as crowd:
        deaf = crowd.join()
        crowd.leave_owing(deaf)
        crowd.loop.pass_seconds(2 * STALL_SECONDS)
        with pytest.raises(ConnectionResetError):
            crowd.loop.receive_to_end(deaf.peer)


def test_slow_member_never_behind_is_left_alone(crowd: Crowd) -> None:
    slow = crowd.join()
    crowd.leave_owing(slow)
    while len(slow.heard) < len(crowd.said):
        crowd.read(slow, min(4 * BUFFER_BYTES, len(crowd.said) - len(slow.heard)))
        crowd.loop.pass_seconds(STALL_SECONDS / 2)
        assert not crowd.fanout.is_held
    assert slow.lost == []
    assert slow.heard == crowd.said
    assert crowd.is_at_rest()


def test_deadline_lasts_only_while_a_member_owes(crowd: Crowd) -> None:
    loop = crowd.loop
    slow, ann = crowd.join(), crowd.join()
    crowd.leave_owing(slow)
    read_all(crowd, ann)
    loop.turn(3)
    loop.selector.waits.clear()
    loop.pass_seconds(STALL_SECONDS - 0.5)
    assert len(loop.selector.waits) <= 2, "it is looked at once, when it may have stalled"
    read_all(crowd, slow)
    assert crowd.is_at_rest()


def test_held_room_wakes_loop_once_for_each_window(crowd: Crowd) -> None:
    deaf = crowd.join()
    owe(crowd, deaf, BEHIND)
    crowd.loop.turn(3)
    crowd.loop.selector.waits.clear()
    crowd.loop.pass_seconds(BEHIND_SECONDS / 2)
    assert len(crowd.loop.selector.waits) <= 2 * BEHIND_SECONDS / DRAIN_SECONDS
