"""One log and many cursors: each member's bytes whole and in order, and no page kept for nobody."""

from __future__ import annotations

import gc
import selectors
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactor import PAGE_BYTES, WRITE, Connection, Cursor, Fanout, SocketTransport, fanout, log
from reactor.flow import MAX_SEND_QUEUE_BYTES
from reactor.log import SMALL_PAGE_BYTES, Log
from reactor.outbound import MAX_PIECES, Bytes
from tests.reactor.conftest import Loop, MakePair, Recorder, unix_pair
from tests.reactor.crowd import PATTERN, Crowd, Member, reset
from tests.support.faults import fault

# The log.


def join(pieces: list[Bytes]) -> bytes:
    return b"".join(pieces)


@settings(deadline=None, max_examples=300)
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
def test_the_log_agrees_with_plain_bytes(
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


def test_what_was_appended_in_one_turn_becomes_one_page() -> None:
    log = Log()
    for data in (b"one ", b"", b"two ", b"three"):
        log.append(data)
    assert log.kept_bytes == 0
    assert log.seal() == b"one two three"
    assert log.between(0, 13) == [b"one two three"]
    assert log.seal() == b""
    assert log.kept_bytes == 13


def test_pieces_of_a_page_are_not_copied() -> None:
    log = Log()
    log.append(PATTERN[:SMALL_PAGE_BYTES])
    page = log.seal()
    log.append(b"next")
    log.seal()
    first, second = log.between(10, SMALL_PAGE_BYTES + 2)
    assert isinstance(first, memoryview)
    assert first.obj is page
    assert first == PATTERN[10:SMALL_PAGE_BYTES]
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
def test_a_small_page_is_joined_with_the_next(sizes: list[int], pages: int) -> None:
    log = Log()
    for size in sizes:
        log.append(PATTERN[log.end : log.end + size])
        log.seal()
    kept = log.between(0, log.end)
    assert join(kept) == PATTERN[: sum(sizes)]
    assert len(kept) == pages


def three_pages() -> Log:
    """A log of three pages of SMALL_PAGE_BYTES each."""
    log = Log()
    for _ in range(3):
        log.append(PATTERN[log.end : log.end + SMALL_PAGE_BYTES])
        log.seal()
    return log


@pytest.mark.parametrize(
    ("position", "kept_pages"),
    [
        (0, 3),
        (1, 3),
        (SMALL_PAGE_BYTES - 1, 3),
        (SMALL_PAGE_BYTES, 2),
        (2 * SMALL_PAGE_BYTES + 1, 1),
        (3 * SMALL_PAGE_BYTES, 0),
        (3 * SMALL_PAGE_BYTES + 1, 0),
    ],
)
def test_a_page_is_forgotten_once_it_ends_at_or_before_the_position(
    position: int, kept_pages: int
) -> None:
    log = three_pages()
    log.drop_before(position)
    assert log.kept_bytes == kept_pages * SMALL_PAGE_BYTES
    assert join(log.between(position, log.end)) == PATTERN[position : log.end]


def test_pages_before_a_position_that_is_forgotten_already_are_none() -> None:
    log = three_pages()
    log.drop_before(SMALL_PAGE_BYTES)
    log.drop_before(0)
    assert log.kept_bytes == 2 * SMALL_PAGE_BYTES
    assert join(log.between(SMALL_PAGE_BYTES, log.end)) == PATTERN[SMALL_PAGE_BYTES : log.end]


# One cursor, sent by hand.


class Sent:
    """A subscribed connection that never sends by itself, and what its member is owed."""

    def __init__(self, loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
        self.fanout = Fanout(loop.reactor, after_turn=lambda: None)
        self.connection = Connection(loop.reactor, SocketTransport(pair[0]), Recorder())
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
def loop() -> Iterator[Loop]:
    """One kind of selector is enough: what is stated here does not depend on it."""
    loop = Loop(selectors.DefaultSelector())
    yield loop
    loop.reactor.close()
    assert loop.take_errors() == []


@pytest.fixture
def sent(loop: Loop) -> Iterator[Sent]:
    pair = unix_pair()
    sent = Sent(loop, pair)
    yield sent
    sent.connection.abort()
    pair[1].close()


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


def test_everything_stands_in_its_place(sent: Sent) -> None:
    speak_all_kinds(sent)
    assert sent.cursor.owed_bytes == len(sent.expected)
    assert join(sent.cursor.pieces()) == sent.expected


@fault(30)
def test_wherever_the_kernel_stops_the_rest_follows(sent: Sent) -> None:
    speak_all_kinds(sent)
    size = len(sent.expected)
    for first in [*range(200), size - SMALL_PAGE_BYTES, *range(size - 20, size + 1)]:
        speak_all_kinds(sent)
        sent.take(len(sent.expected) - size)  # what was left over of the time before
        sent.take(first)
        assert join(sent.cursor.pieces()) == sent.expected


@fault(30)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 16_384])
def test_however_little_the_kernel_takes_all_of_it_arrives(sent: Sent, step: int) -> None:
    speak_all_kinds(sent)
    while sent.expected:
        sent.take(min(step, len(sent.expected)))
    assert sent.cursor.pieces() == []
    assert not sent.cursor.splices


def test_what_a_turn_has_not_sealed_yet_cannot_be_sent_yet(sent: Sent) -> None:
    sent.read(b"private")
    sent.hear(b"not yet")
    sent.read(b"behind it")
    assert join(sent.cursor.pieces()) == b"private"
    sent.take(len(b"private"))
    assert sent.cursor.pieces() == []
    assert sent.cursor.owed_bytes == len(b"not yetbehind it")
    sent.seal()
    assert join(sent.cursor.pieces()) == sent.expected


def test_a_talkers_lines_in_a_row_are_one_cut_even_over_several_turns(sent: Sent) -> None:
    sent.hear(b"heard")
    for _ in range(100):
        sent.say(b"own")
        sent.say(b"own")
        sent.seal()
    assert len(sent.cursor.splices) == 1
    assert sent.cursor.owed_bytes == len(b"heard")


def test_one_who_is_owed_nothing_but_its_own_lines_is_owed_nothing(sent: Sent) -> None:
    sent.say(b"own")
    assert sent.cursor.owed_bytes == 0
    sent.seal()
    assert sent.cursor.pieces() == []
    assert sent.cursor.position == sent.fanout.log.end
    assert sent.cursor.owed_bytes == 0


def test_an_empty_broadcast_and_an_empty_line_are_nothing(sent: Sent) -> None:
    sent.hear(b"")
    sent.say(b"")
    sent.read(b"")
    sent.seal()
    assert (sent.cursor.pieces(), sent.cursor.owed_bytes) == ([], 0)
    sent.hear(b"heard")
    sent.read(b"")
    sent.seal()
    assert sent.cursor.pieces() == [b"heard"]


def test_one_send_is_given_no_more_pieces_than_it_takes(sent: Sent) -> None:
    for _ in range(MAX_PIECES):
        sent.hear(b"a")
        sent.read(b"b")
    sent.seal()
    assert len(sent.cursor.pieces()) == MAX_PIECES
    sent.take(1)
    assert len(sent.cursor.pieces()) == MAX_PIECES
    sent.take(len(sent.expected))


def test_pages_alone_are_no_more_pieces_than_one_send_takes(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SMALL_PAGE_BYTES", 1)
    for _ in range(MAX_PIECES + 1):
        sent.hear(b"x")
        sent.seal()
    sent.read(b"private")
    assert len(sent.cursor.pieces()) == MAX_PIECES


def test_one_who_has_unsubscribed_is_owed_what_came_before_and_what_is_written_to_it(
    sent: Sent,
) -> None:
    sent.hear(b"before")
    sent.fanout.unsubscribe(sent.cursor)
    sent.fanout.broadcast(b"after")
    sent.seal()
    sent.read(b"to you alone")
    sent.fanout.broadcast(b"after")
    sent.seal()
    assert join(sent.cursor.pieces()) == b"beforeto you alone"
    sent.take(len(b"beforeto"))
    assert join(sent.cursor.pieces()) == b" you alone"


def test_to_skip_one_who_has_unsubscribed_changes_nothing(sent: Sent) -> None:
    sent.hear(b"before")
    sent.fanout.unsubscribe(sent.cursor)
    sent.fanout.broadcast(b"for the others")
    sent.say(b"for the others")
    assert sent.cursor.owed_bytes == len(b"before")
    sent.seal()
    assert join(sent.cursor.pieces()) == b"before"


def test_one_who_is_gone_is_owed_nothing_whatever_comes(sent: Sent) -> None:
    speak_all_kinds(sent)
    sent.cursor.discard()
    for _ in range(2):
        assert (sent.cursor.pieces(), sent.cursor.owed_bytes) == ([], 0)
        sent.fanout.broadcast(b"more")
        sent.say(b"own")
        sent.connection.write(b"private")
        sent.seal()


# Many members on real sockets.


@pytest.fixture
def crowd(loop: Loop, make_pair: MakePair) -> Iterator[Crowd]:
    crowd = Crowd(loop, make_pair)
    yield crowd
    for member in crowd.members:
        member.connection.abort()
    loop.turn(2)


def test_everyone_hears_all_that_is_theirs_in_one_order(crowd: Crowd) -> None:
    ann, bob, cid = crowd.join(), crowd.join(), crowd.join()
    crowd.say(b"1")
    crowd.say(b"2", skip=ann)
    bob.connection.write(b"b")
    crowd.say(b"3", skip=bob)
    crowd.loop.turn()
    cid.connection.write(b"c")
    crowd.say(b"4", skip=cid)
    crowd.say(b"5", skip=cid)
    cid.connection.write(b"d")
    assert crowd.receives(ann, b"1345")
    assert crowd.receives(bob, b"12b45")
    assert crowd.receives(cid, b"123cd")
    assert crowd.is_at_rest()


def test_nothing_is_sent_before_the_turn_ends(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.say(b"one")
    with pytest.raises(BlockingIOError):
        ann.peer.recv(100)
    assert crowd.receives(ann, b"one")


def test_one_who_subscribes_within_a_turn_hears_what_comes_after(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.say(b"before ")
    bob = crowd.join()
    bob.connection.write(b"welcome ")
    crowd.say(b"after")
    cid = crowd.join()
    assert crowd.receives(ann, b"before after")
    assert crowd.receives(bob, b"welcome after")
    assert crowd.receives(cid, b"")
    crowd.say(b" all")
    assert [crowd.receives(member, b" all") for member in crowd.members] == [True] * 3
    assert crowd.is_at_rest()


def test_one_who_unsubscribes_within_a_turn_hears_what_came_before(crowd: Crowd) -> None:
    ann, bob = crowd.join(), crowd.join()
    crowd.say(b"before ")
    crowd.fanout.unsubscribe(bob.cursor)
    crowd.fanout.unsubscribe(bob.cursor)
    crowd.say(b"after")
    bob.connection.write(b"goodbye")
    assert crowd.receives(ann, b"before after")
    assert crowd.receives(bob, b"before goodbye")
    assert crowd.is_at_rest()


def test_one_may_subscribe_again(crowd: Crowd) -> None:
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
def test_one_who_leaves_and_closes_gets_its_last_words_and_then_the_end(
    crowd: Crowd, is_broadcast_first: bool
) -> None:
    ann = crowd.join()
    if is_broadcast_first:
        crowd.say(b"last words")
    else:
        ann.connection.write(b"last words")
    crowd.fanout.unsubscribe(ann.cursor)
    ann.connection.close()
    crowd.say(b"not for you")
    assert crowd.loop.receive_to_end(ann.peer) == b"last words"


@pytest.mark.parametrize("is_broadcast_first", [True, False])
def test_a_connection_that_closes_while_it_is_subscribed_ends_politely_too(
    crowd: Crowd, is_broadcast_first: bool
) -> None:
    ann = crowd.join()
    if is_broadcast_first:
        crowd.say(b"one")
        ann.connection.close()
    else:
        ann.connection.close()
        crowd.say(b"one")
    # It ends although no time passes: not by the deadline of the closing.
    assert crowd.loop.receive_to_end(ann.peer) in (b"one", b"")


@fault(36)
def test_one_who_does_not_read_holds_nobody_up_and_gets_everything_later(crowd: Crowd) -> None:
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


@fault(27)
def test_pages_that_nobody_needs_any_more_are_dropped_as_the_slowest_reads(crowd: Crowd) -> None:
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


def test_more_pieces_than_one_send_takes_arrive_whole_and_in_order(crowd: Crowd) -> None:
    ann, bob = crowd.join(), crowd.join()
    expected = b""
    for number in range(2 * MAX_PIECES + 1):
        crowd.say(b"<all %d>" % number)
        ann.connection.write(b"<ann %d>" % number)
        crowd.say(b"<not ann %d>" % number, skip=ann)
        expected += b"<all %d><ann %d>" % (number, number)
    assert crowd.receives(ann, expected)
    crowd.loop.receive(bob.peer, bob.cursor.owed_bytes)


def test_more_pieces_than_one_send_takes_arrive_after_a_stall_too(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.leave_owing(ann)
    expected = PATTERN
    for number in range(2 * MAX_PIECES + 1):
        crowd.say(b"<not ann %d>" % number, skip=ann)
        ann.connection.write(b"<ann %d>" % number)
        expected += b"<ann %d>" % number
    assert crowd.receives(ann, expected)


# Members that are lost.


@fault(74)
def test_a_member_that_was_reset_costs_the_others_nothing(
    loop: Loop, make_tcp_pair: MakePair
) -> None:
    crowd = Crowd(loop, make_tcp_pair)
    members = [crowd.join() for _ in range(5)]
    reset(members[0].peer)
    reset(members[2].peer)
    crowd.say(b"one")
    loop.turn()
    crowd.say(b"two")
    for number in (1, 3, 4):
        assert crowd.receives(members[number], b"onetwo")
    loop.turn_until(lambda: members[0].lost and members[2].lost)
    assert [len(member.lost) for member in members] == [1, 0, 1, 0, 0]
    for member in members:
        member.connection.abort()
    loop.turn(2)


def test_a_member_that_dies_in_the_turn_of_its_own_broadcast_is_forgotten(crowd: Crowd) -> None:
    ann, bob = crowd.join(), crowd.join()
    crowd.say(b"one", skip=ann)
    ann.connection.write(b"private")
    ann.connection.abort()
    crowd.say(b"two", skip=ann)
    assert crowd.receives(bob, b"onetwo")
    assert crowd.is_at_rest()


def test_when_the_last_one_who_owed_dies_its_pages_go_and_no_deadline_stays(crowd: Crowd) -> None:
    deaf = crowd.join()
    crowd.leave_owing(deaf)
    deaf.connection.abort()
    assert crowd.is_at_rest()


def count_cursors() -> int:
    gc.collect()
    return sum(isinstance(thing, Cursor) for thing in gc.get_objects())


def test_one_who_is_lost_is_forgotten_even_if_nobody_unsubscribes_it(loop: Loop) -> None:
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


def test_what_is_written_when_a_page_was_sent_follows_it(crowd: Crowd) -> None:
    ann, bob = crowd.join(), crowd.join()
    flush_in_the_page(crowd, ann, lambda: bob.connection.write(b"written"))
    assert crowd.receives(bob, b"page written")
    assert crowd.receives(ann, b"page private ")
    assert crowd.is_at_rest()


def test_what_is_said_when_a_page_was_sent_follows_it_at_once(crowd: Crowd) -> None:
    ann, bob, cid = crowd.join(), crowd.join(), crowd.join()
    flush_in_the_page(crowd, bob, lambda: crowd.say(b"said", skip=cid))
    assert crowd.receives(ann, b"page said")
    assert crowd.receives(bob, b"page private said")
    assert crowd.receives(cid, b"page ")
    assert crowd.is_at_rest()


def test_one_may_subscribe_while_a_page_is_sent(crowd: Crowd) -> None:
    ann = crowd.join()
    flush_in_the_page(crowd, ann, lambda: crowd.join().connection.write(b"welcome"))
    crowd.loop.turn()
    crowd.say(b"after")
    assert crowd.receives(ann, b"page private after")
    assert crowd.receives(crowd.members[1], b"welcomeafter")


@fault(74)
def test_others_may_leave_while_a_page_is_sent(crowd: Crowd) -> None:
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


def test_a_bug_of_one_member_while_a_page_is_sent_costs_the_others_nothing(crowd: Crowd) -> None:
    ann, bob = crowd.join(), crowd.join()
    flush_in_the_page(crowd, ann, fail)
    assert crowd.receives(bob, b"page ")
    assert [type(error) for error in crowd.loop.take_errors()] == [ZeroDivisionError]
    assert crowd.is_at_rest()
    assert ann.lost == [None]


# The end of the turn, for whoever feeds the log.


def test_a_page_is_full_at_so_many_bytes_until_the_turn_ends(crowd: Crowd) -> None:
    crowd.join()
    crowd.say(b"x" * (PAGE_BYTES - 1))
    assert crowd.fanout.free_bytes() == 1
    assert crowd.fanout.free_bytes(max_pages=2) == PAGE_BYTES + 1
    crowd.say(b"xx")
    assert crowd.fanout.free_bytes() == -1
    crowd.loop.turn()
    assert crowd.fanout.free_bytes() == PAGE_BYTES


def test_after_turn_comes_once_for_a_turn_in_which_something_was_done(crowd: Crowd) -> None:
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


def test_after_turn_comes_when_a_private_line_was_sent_or_a_slow_reader_took_something(
    crowd: Crowd,
) -> None:
    ann = crowd.join()
    ann.connection.write(b"private")
    crowd.loop.turn(3)
    assert crowd.turns
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
def test_with_many_members_a_page_holds_less_but_never_less_than_a_bound(
    loop: Loop, make_pair: MakePair
) -> None:
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
def test_turns_grow_step_by_step_while_they_are_filled_and_quick(
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
def test_turns_are_halved_when_they_take_long_or_are_not_half_used(
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


def test_what_after_turn_adds_is_sent_in_the_next_turn_which_follows_at_once(crowd: Crowd) -> None:
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


def test_a_bug_in_after_turn_is_reported_and_the_next_turn_ends_well(crowd: Crowd) -> None:
    ann = crowd.join()
    crowd.after_turn = fail
    crowd.say(b"one")
    crowd.loop.turn()
    assert [type(error) for error in crowd.loop.take_errors()] == [ZeroDivisionError]
    crowd.say(b"two")
    assert crowd.receives(ann, b"onetwo")
    assert crowd.turns == 2


# What one member may pin.


def speak_on(crowd: Crowd, skip: Member | None) -> None:
    """Three times what may be kept for one member, in much less time than STALL_SECONDS."""
    for _ in range(3 * MAX_SEND_QUEUE_BYTES // len(PATTERN)):
        crowd.say(PATTERN, skip)
        crowd.loop.pass_seconds(0.05)


def test_a_talker_who_does_not_read_pins_its_own_lines_no_longer_than_another_would(
    crowd: Crowd,
) -> None:
    deaf = crowd.join()
    crowd.leave_owing(deaf)
    speak_on(crowd, skip=deaf)
    assert crowd.fanout.log.kept_bytes <= MAX_SEND_QUEUE_BYTES + len(PATTERN)


def test_one_who_has_unsubscribed_and_does_not_read_pins_nothing_that_came_later(
    crowd: Crowd,
) -> None:
    deaf = crowd.join()
    crowd.leave_owing(deaf)
    crowd.fanout.unsubscribe(deaf.cursor)
    speak_on(crowd, skip=None)
    assert crowd.fanout.log.kept_bytes <= MAX_SEND_QUEUE_BYTES + len(PATTERN)


def test_a_private_line_to_one_who_unsubscribed_long_ago_harms_no_other_reader(
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
