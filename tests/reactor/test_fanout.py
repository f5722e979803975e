"""One log and many cursors: each member's bytes whole and in order, and no page kept for none.

What a member is sent is stated by the model (test_fanout_model.py); here is what it does not see.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor import PAGE_BYTES, WRITE, Connection, Cursor, Fanout, SocketTransport, fanout
from reactor.flow import MAX_SEND_QUEUE_BYTES
from reactor.log import SMALL_PAGE_BYTES, Log
from reactor.outbound import MAX_PIECES, Bytes
from tests.reactor.conftest import EACH_PAIR, Loop, MakePair, Recorder, unix_pair
from tests.reactor.crowd import PATTERN, Crowd, Member
from tests.support.size import examples

# The log.


def join(pieces: list[Bytes]) -> bytes:
    return b"".join(pieces)


@examples(100, 1000)
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
def test_log_agrees_with_plain_bytes(
    steps: list[tuple[str, int]], ranges: list[tuple[float, float]]
) -> None:
    log, everything, sealed_end, dropped_end = Log(), b"", 0, 0
    for verb, number in steps:
        if verb == "append":
            log.append(PATTERN[len(everything) : len(everything) + number])
            everything = PATTERN[: len(everything) + number]
        elif verb == "seal":
            assert log.seal() == everything[sealed_end:]
            sealed_end = len(everything)
        else:
            log.drop_before(min(number, sealed_end))
            dropped_end = max(dropped_end, min(number, sealed_end))
        assert (log.end, log.sealed_end) == (len(everything), sealed_end)
        assert sealed_end - log.kept_bytes <= dropped_end
        for first, second in ranges:
            start, end = sorted(
                dropped_end + int(share * (sealed_end - dropped_end)) for share in (first, second)
            )
            assert join(log.between(start, end)) == everything[start:end]


def test_page_is_sealed_once_and_its_pieces_are_not_copied() -> None:
    log = Log()
    for data in (b"one ", b"", b"two ", PATTERN[:SMALL_PAGE_BYTES]):
        log.append(data)
    assert log.kept_bytes == 0
    page = log.seal()
    assert page == b"one two " + PATTERN[:SMALL_PAGE_BYTES]
    assert log.seal() == b""
    assert log.kept_bytes == len(page)
    log.append(b"next")
    assert log.kept_bytes == len(page), "it is no page yet"
    log.seal()
    first, second = log.between(4, len(page) + 2)
    assert isinstance(first, memoryview)
    assert first.obj is page
    assert first == page[4:]
    assert second == b"ne"


@pytest.mark.parametrize(
    ("sizes", "pages"),
    [
        ([1] * 1000, 1),
        ([SMALL_PAGE_BYTES - 1, 1, 1], 2),
        ([SMALL_PAGE_BYTES, 1, 1], 2),
        ([SMALL_PAGE_BYTES - 1, SMALL_PAGE_BYTES, SMALL_PAGE_BYTES], 2),
        ([1, SMALL_PAGE_BYTES, 1, 1, SMALL_PAGE_BYTES, 1], 3),
    ],
)
def test_small_page_is_joined_with_next(sizes: list[int], pages: int) -> None:
    log = Log()
    for size in sizes:
        log.append(PATTERN[log.end : log.end + size])
        log.seal()
    kept = log.between(0, log.end)
    assert join(kept) == PATTERN[: sum(sizes)]
    assert len(kept) == pages


@pytest.mark.parametrize(
    ("position", "kept_pages"),
    [
        *[(0, 3), (1, 3), (SMALL_PAGE_BYTES - 1, 3), (SMALL_PAGE_BYTES, 2)],
        *[(2 * SMALL_PAGE_BYTES + 1, 1), (3 * SMALL_PAGE_BYTES, 0), (3 * SMALL_PAGE_BYTES + 1, 0)],
    ],
)
def test_page_is_forgotten_once_it_ends_at_position(position: int, kept_pages: int) -> None:
    log = Log()
    for _ in range(3):
        log.append(PATTERN[log.end : log.end + SMALL_PAGE_BYTES])
        log.seal()
    log.drop_before(position)
    log.drop_before(0)  # which is forgotten already, or nothing ends there
    assert log.kept_bytes == kept_pages * SMALL_PAGE_BYTES
    assert join(log.between(position, log.end)) == PATTERN[position : log.end]


# One cursor, sent by hand.


class Sent:
    """A subscribed connection that never sends by itself, and what its member is owed."""

    def __init__(self, loop: Loop, make_pair: MakePair) -> None:
        self.fanout = Fanout(loop.reactor, after_turn=lambda: None)
        self.connection = Connection(loop.reactor, SocketTransport(make_pair()[0]), Recorder())
        self.cursor = self.fanout.subscribe(self.connection)
        self.expected = b""

    def hear(self, data: bytes) -> None:
        self.fanout.broadcast(data)
        self.expected += data

    def say(self, data: bytes) -> None:
        self.fanout.broadcast(data, skip=self.cursor)

    def read(self, data: bytes) -> None:
        self.connection.write(data)
        self.expected += data

    def seal(self) -> None:
        self.fanout.log.seal()

    def take(self, size: int) -> None:
        """Let the kernel take so many bytes, in one send or in several."""
        while size:
            data = join(self.cursor.pieces())[:size]
            assert data
            assert self.expected.startswith(data)
            self.cursor.advance(len(data))
            self.expected = self.expected[len(data) :]
            size -= len(data)
            assert self.cursor.owed_bytes == len(self.expected)


@pytest.fixture
def sent(loop: Loop, make_pair: MakePair) -> Iterator[Sent]:
    sent = Sent(loop, make_pair)
    yield sent
    sent.connection.abort()


def speak_all_kinds(sent: Sent) -> None:
    """Everything a member may be owed: shared bytes, own bytes left out, private bytes, over
    several pages, with the positions of all of them at and beside the edges of pages."""
    sent.read(b"<before all>")
    sent.say(b"(own at the front)")
    sent.hear(b"heard")
    sent.seal()
    sent.hear(b"at the front of a page")
    sent.say(b"(own in the middle)")
    sent.say(b"(own again)")
    sent.hear(b"between")
    sent.read(b"<private one>")
    sent.read(b"<private two>")
    sent.say(b"(own after private)")
    sent.read(b"<private three>")
    sent.hear(PATTERN[: SMALL_PAGE_BYTES + 3])
    sent.say(b"(own at the end)")
    sent.seal()
    sent.say(b"(own at the front of the next)")
    sent.hear(b"heard too")
    sent.read(b"<after all>")
    sent.seal()
    sent.say(b"(own page)")
    sent.seal()


def test_cursor_goes_on_wherever_a_send_stops(sent: Sent) -> None:
    speak_all_kinds(sent)
    size = len(sent.expected)
    for first in [*range(200), size - SMALL_PAGE_BYTES, *range(size - 20, size + 1)]:
        speak_all_kinds(sent)
        sent.take(len(sent.expected) - size)  # what was left over of the time before
        sent.take(first)
        assert join(sent.cursor.pieces()) == sent.expected
    while sent.expected:
        sent.take(min(7, len(sent.expected)))
    assert sent.cursor.pieces() == []
    assert not sent.cursor.splices
    assert sent.cursor.private_bytes == 0


def test_what_is_not_sealed_cannot_be_sent_yet(sent: Sent) -> None:
    sent.read(b"private")
    sent.hear(b"not yet")
    sent.read(b"behind it")
    assert join(sent.cursor.pieces()) == b"private"
    sent.take(len(b"private"))
    assert sent.cursor.pieces() == []
    assert sent.cursor.owed_bytes == len(b"not yetbehind it")
    sent.seal()
    assert join(sent.cursor.pieces()) == sent.expected


def test_talkers_lines_in_a_row_are_one_cut(sent: Sent) -> None:
    for _ in range(100):
        sent.say(b"own")
        sent.say(b"own")
        sent.seal()
    assert len(sent.cursor.splices) == 1
    assert sent.cursor.owed_bytes == 0
    assert sent.cursor.pieces() == []
    assert sent.cursor.position == sent.fanout.log.end
    sent.hear(b"heard")
    sent.seal()
    assert join(sent.cursor.pieces()) == b"heard"


def test_private_backlog_is_a_page_of_private_bytes(sent: Sent) -> None:
    sent.hear(b"shared")
    sent.read(b"x" * (PAGE_BYTES - 1))
    assert not sent.cursor.has_private_backlog
    sent.read(b"x")
    assert sent.cursor.has_private_backlog


# Many members on real sockets.


@pytest.fixture
def crowd(loop: Loop, make_pair: MakePair) -> Iterator[Crowd]:
    crowd = Crowd(loop, make_pair)
    yield crowd
    crowd.close()


@EACH_PAIR
def test_all_hear_what_is_theirs_when_turn_ends(crowd: Crowd) -> None:
    ann, bob, cid = crowd.join(), crowd.join(), crowd.join()
    crowd.say(b"1")
    crowd.say(b"2", skip=ann)
    bob.connection.write(b"b")
    crowd.say(b"3", skip=bob)
    with pytest.raises(BlockingIOError):
        bob.peer.recv(100)
    crowd.loop.turn()
    cid.connection.write(b"c")
    crowd.say(b"4", skip=cid)
    crowd.say(b"5", skip=cid)
    cid.connection.write(b"d")
    assert crowd.receives(ann, b"1345")
    assert crowd.receives(bob, b"12b45")
    assert crowd.receives(cid, b"123cd")
    assert crowd.is_at_rest()


def test_member_may_subscribe_again(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.say(b"1")
    crowd.fanout.unsubscribe(ann.cursor)
    crowd.say(b"2")
    crowd.loop.turn(2)
    ann.cursor = crowd.fanout.subscribe(ann.connection)
    crowd.say(b"3")
    assert crowd.receives(ann, b"13")
    assert crowd.is_at_rest()


@pytest.mark.parametrize("is_broadcast_first", [True, False])
def test_subscribed_connection_closes_politely(crowd: Crowd, is_broadcast_first: bool) -> None:
    ann = crowd.join()
    if is_broadcast_first:
        crowd.say(b"one")
    ann.connection.close()
    if not is_broadcast_first:
        crowd.say(b"one")
    # It ends although no time passes: not by the deadline of the closing.
    assert crowd.loop.receive_to_end(ann.peer) in (b"one", b"")


def test_deaf_member_holds_no_other_up_and_gets_all_later(crowd: Crowd) -> None:
    deaf, ann = crowd.join(), crowd.join()
    spoken = b""
    while deaf.cursor.owed_bytes < 100_000:
        crowd.say(PATTERN[:50_000])
        spoken += PATTERN[:50_000]
        assert crowd.receives(ann, PATTERN[:50_000])
    assert crowd.loop.interest_in(deaf.connection.descriptor) & WRITE
    assert crowd.fanout.log.kept_bytes >= deaf.cursor.owed_bytes
    deaf.connection.write(b"private")
    crowd.say(b"end")
    assert crowd.receives(deaf, spoken + b"privateend")
    assert crowd.receives(ann, b"end")
    assert crowd.is_at_rest()


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


def test_more_pieces_than_one_send_takes_arrive(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.leave_owing(ann)
    expected = PATTERN
    for number in range(2 * MAX_PIECES + 1):
        crowd.say(b"<not ann %d>" % number, skip=ann)
        ann.connection.write(b"<ann %d>" % number)
        expected += b"<ann %d>" % number
    assert crowd.receives(ann, expected)


# Members that are lost.


def test_pages_and_deadline_go_with_last_who_owed(crowd: Crowd) -> None:
    deaf = crowd.join()
    crowd.leave_owing(deaf)
    deaf.connection.abort()
    assert crowd.is_at_rest()


def count_cursors() -> int:
    gc.collect()
    return sum(isinstance(thing, Cursor) for thing in gc.get_objects())


def test_lost_member_is_forgotten_though_subscribed(loop: Loop) -> None:
    cursors = count_cursors()
    crowd = Fanout(loop.reactor, after_turn=lambda: None)
    near, peer = unix_pair()
    crowd.subscribe(Connection(loop.reactor, SocketTransport(near), Recorder())).connection.abort()
    peer.close()
    crowd.broadcast(b"too late")
    loop.turn(3)
    assert count_cursors() == cursors


# What a protocol does in the middle of the end of a turn.


def fail() -> None:
    raise ZeroDivisionError


def flush_in_the_page(crowd: Crowd, member: Member, deed: Callable[[], None]) -> None:
    """Let `deed` be done while a page is being sent, when `member` has been sent it: one with a
    private line is sent more than the page, and hears that it was flushed."""
    member.when_flushed = deed
    crowd.say(b"page ")
    member.connection.write(b"private ")


def test_members_may_leave_while_page_is_sent(crowd: Crowd) -> None:
    ann, bob, cid, dan = (crowd.join() for _ in range(4))

    def end_all_others() -> None:
        bob.connection.abort()
        crowd.fanout.unsubscribe(cid.cursor)
        crowd.fanout.unsubscribe(dan.cursor)
        dan.connection.close()

    flush_in_the_page(crowd, ann, end_all_others)
    assert crowd.receives(ann, b"page private ")
    assert crowd.receives(cid, b"page ")
    assert crowd.loop.receive_to_end(dan.peer) == b"page "
    crowd.loop.turn_until(lambda: bob.lost == [None])


def test_bug_while_page_is_sent_costs_others_nothing(crowd: Crowd) -> None:
    ann, bob = crowd.join(), crowd.join()
    flush_in_the_page(crowd, ann, fail)
    assert crowd.receives(bob, b"page ")
    assert [type(error) for error in crowd.loop.take_errors()] == [ZeroDivisionError]
    assert crowd.is_at_rest()
    assert ann.lost == [None]


# The end of the turn, for whoever feeds the log.


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


def test_private_line_is_sent_and_judged_in_one_turn(crowd: Crowd) -> None:
    ann, bob = crowd.join(), crowd.join()
    crowd.loop.turn(3)
    turns = crowd.turns
    ann.connection.write(b"private")
    crowd.loop.turn(3)
    assert crowd.turns == turns + 1
    crowd.say(b"said")
    bob.connection.write(b"private")
    crowd.loop.turn(3)
    assert crowd.turns == turns + 2
    assert crowd.receives(ann, b"privatesaid")
    assert crowd.receives(bob, b"saidprivate")
    assert ann.calls.count("flushed") == 1


def test_after_turn_comes_when_slow_reader_takes_something(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.leave_owing(ann)
    turns = crowd.turns
    crowd.loop.receive(ann.peer, len(PATTERN))
    assert crowd.turns > turns


@pytest.fixture
def small_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3,000 bytes, and 1,000 more each turn, up to 6,000."""
    monkeypatch.setattr(fanout, "PAGE_BYTES", 2_000)
    monkeypatch.setattr(fanout, "MIN_PAGE_BYTES", 800)
    monkeypatch.setattr(fanout, "MIN_TURN_BYTES", 3_000)
    monkeypatch.setattr(fanout, "TURN_STEP_BYTES", 1_000)
    monkeypatch.setattr(fanout, "MAX_TURN_BYTES", 6_000)


@pytest.mark.usefixtures("small_turns")
def test_page_holds_less_with_many_members(loop: Loop, make_pair: MakePair) -> None:
    crowd = Crowd(loop, make_pair)
    assert crowd.fanout.free_bytes() == 2_000
    for page_bytes in (2_000, 1_500, 1_000, 800, 800):
        crowd.join()
        assert crowd.fanout.free_bytes() == page_bytes


class Turns:
    """What a page of so many bytes may hold after turns that took so long."""

    def __init__(self, crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
        self.crowd = crowd
        self.seconds = 0.0
        send = Connection.send

        def send_slowly(connection: Connection, pieces: list[Bytes]) -> int:
            crowd.loop.clock.advance(self.seconds / len(crowd.members))
            return send(connection, pieces)

        monkeypatch.setattr(Connection, "send", send_slowly)
        for _ in range(3):
            crowd.join()

    def after(self, said_bytes: int, seconds: float) -> int:
        self.seconds = seconds
        self.crowd.say(b"x" * said_bytes)
        self.crowd.loop.reactor.run_once()
        for member in self.crowd.members:
            assert self.crowd.receives(member, b"x" * said_bytes)
        return self.crowd.fanout.free_bytes()


@pytest.mark.usefixtures("small_turns")
def test_turns_grow_while_they_are_filled_and_quick(
    loop: Loop, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(Crowd(loop, make_pair), monkeypatch)
    quick = 0.49 * fanout.TURN_SECONDS
    assert turns.crowd.fanout.free_bytes() == 1_000
    assert turns.after(999, quick) == 1_000, "it was not full"
    assert turns.after(1_000, quick) == 1_333
    assert turns.after(1_333, 0.51 * fanout.TURN_SECONDS) == 1_333, "it was not quick"
    assert turns.after(1_333, quick) == 1_666
    assert turns.after(2_500, quick) == 2_000
    assert turns.after(2_000, quick) == 2_000, "no further"


@pytest.mark.usefixtures("small_turns")
def test_turns_are_halved_when_long_or_not_half_used(
    loop: Loop, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(Crowd(loop, make_pair), monkeypatch)

    def grow() -> None:
        for _ in range(3):
            turns.after(2_000, 0)
        assert turns.crowd.fanout.free_bytes() == 2_000

    grow()
    assert turns.after(2_000, 0.99 * fanout.TURN_SECONDS) == 2_000
    assert turns.after(2_000, 1.01 * fanout.TURN_SECONDS) == 1_000
    assert turns.after(2_000, 1.01 * fanout.TURN_SECONDS) == 1_000, "and no further"
    grow()
    assert turns.after(1_000, 0) == 2_000
    assert turns.after(999, 0) == 1_000
    assert turns.after(1, 0) == 1_000


def test_what_after_turn_adds_is_sent_in_next_turn_at_once(crowd: Crowd) -> None:
    ann = crowd.join()
    rest = [b"five", b"four", b"three", b"two"]

    def go_on() -> None:
        crowd.say(rest.pop())
        crowd.after_turn = go_on if rest else None

    crowd.say(b"one")
    crowd.after_turn = go_on
    crowd.loop.reactor.run_once()
    for _ in range(4):
        crowd.loop.reactor.run_once()
        assert crowd.loop.selector.waits[-1] == 0
    assert crowd.receives(ann, b"onetwothreefourfive")
    assert crowd.turns == 5
    assert crowd.is_at_rest()


def test_bug_in_after_turn_is_reported(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.after_turn = fail
    crowd.say(b"one")
    crowd.loop.turn()
    assert [type(error) for error in crowd.loop.take_errors()] == [ZeroDivisionError]
    crowd.say(b"two")
    assert crowd.receives(ann, b"onetwo")
    assert crowd.turns == 2


# What one member may pin.


@pytest.mark.parametrize("is_subscribed", [True, False], ids=["talker", "unsubscribed"])
def test_deaf_member_pins_a_bounded_part_of_log(crowd: Crowd, is_subscribed: bool) -> None:
    """One who talks pins its own lines no longer than another would; one who has unsubscribed pins
    nothing that came later."""
    deaf = crowd.join()
    crowd.leave_owing(deaf)
    if not is_subscribed:
        crowd.fanout.unsubscribe(deaf.cursor)
    for _ in range(3 * MAX_SEND_QUEUE_BYTES // len(PATTERN)):  # in less than STALL_SECONDS
        crowd.say(PATTERN, skip=deaf if is_subscribed else None)
        crowd.loop.pass_seconds(0.05)
    assert crowd.fanout.log.kept_bytes <= MAX_SEND_QUEUE_BYTES + len(PATTERN)


def test_late_private_line_harms_no_other_reader(
    crowd: Crowd,
) -> None:
    gone, deaf = crowd.join(), crowd.join()
    crowd.say(b"one")
    crowd.fanout.unsubscribe(gone.cursor)
    crowd.loop.turn(2)
    spoken = b"one"
    for _ in range(40):
        crowd.say(PATTERN[:SMALL_PAGE_BYTES])
        spoken += PATTERN[:SMALL_PAGE_BYTES]
        crowd.loop.turn()
    crowd.leave_owing(deaf)
    gone.connection.write(PATTERN)
    crowd.loop.turn(2)
    assert gone.cursor.owed_bytes
    assert crowd.receives(deaf, spoken + PATTERN)
    assert crowd.receives(gone, b"one" + PATTERN)
    assert crowd.is_at_rest()
