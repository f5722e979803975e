"""A Connection loses and doubles no byte, never spins, and dies in one way, told once."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactor import READ, WRITE, Connection, SocketTransport
from reactor.connection import (
    LINGER_BYTES,
    LINGER_QUIET_SECONDS,
    LINGER_SECONDS,
    LINGER_TOTAL_SECONDS,
    READ_BYTES,
)
from tests.reactor.conftest import (
    EACH_PAIR,
    EACH_SELECTOR,
    PATTERN,
    Loop,
    MakePair,
    Pair,
    Recorder,
    fail,
    new_loop,
    reset,
    unix_pair,
)
from tests.support.faults import fault
from tests.support.size import examples

SEND_BUFFER_BYTES = 16 * 1024
"""SO_SNDBUF of every connection here, so that the kernel does not take all of PATTERN."""

Connect: TypeAlias = Callable[..., tuple[Recorder, socket.socket]]


def connect_on(loop: Loop, pair: Pair, **deeds: Callable[[Any], object]) -> Recorder:
    """A Connection with a protocol that takes notes, and does `deeds`."""
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    recorder = Recorder(**deeds)
    Connection(loop.reactor, SocketTransport(pair[0]), recorder)
    return recorder


@pytest.fixture
def connect(loop: Loop, make_pair: MakePair) -> Connect:
    """Makes a Connection, and returns its protocol and its peer."""

    def connect(**deeds: Callable[[Any], object]) -> tuple[Recorder, socket.socket]:
        pair = make_pair()
        return connect_on(loop, pair, **deeds), pair[1]

    return connect


def try_to_send(sock: socket.socket, data: bytes) -> int:
    """How many bytes of `data` the kernel takes now."""
    with contextlib.suppress(BlockingIOError):
        return sock.send(data)
    return 0


def try_to_receive(sock: socket.socket, most: int = 1 << 16) -> bytes:
    """What has arrived by now."""
    with contextlib.suppress(BlockingIOError):
        return sock.recv(most)
    return b""


def owe_much(loop: Loop, recorder: Recorder) -> None:
    """Let the connection owe more than its peer, which does not read, will take."""
    recorder.connection.write(PATTERN)
    loop.turn_until(loop.is_idle)
    assert recorder.connection.outbound.owed_bytes


def has_lost(loop: Loop, recorder: Recorder, error: Exception | None = None) -> bool:
    """Whether the end is told, once and last, with this reason, and the loop sleeps again."""
    loop.turn_until(lambda: recorder.lost)
    return loop.is_idle() and recorder.calls[-1] == "lost" and recorder.lost == [error]


def hear_end(loop: Loop, recorder: Recorder, peer: socket.socket) -> None:
    """Let the peer end its half."""
    peer.shutdown(socket.SHUT_WR)
    loop.turn_until(lambda: "eof" in recorder.calls)


# Sending.


def test_what_is_written_when_flushed_comes_before_end(loop: Loop, connect: Connect) -> None:
    def write_more(recorder: Recorder) -> None:
        if (count := len(recorder.calls)) < 10:
            recorder.connection.write(b"%d" % count)

    recorder, peer = connect(flushed=write_more)
    recorder.connection.write(b"1")
    recorder.connection.write_eof()
    assert loop.receive_to_end(peer) == b"123456789"
    assert loop.is_idle()


# Receiving.


@pytest.mark.parametrize("make_pair", [unix_pair], indirect=True, ids=["unix"])
def test_at_most_so_much_is_read_in_a_turn(loop: Loop, connect: Connect) -> None:
    recorder, peer = connect()
    sent = 0
    while sent < READ_BYTES + 1:
        sent += peer.send(PATTERN[sent : READ_BYTES + 1])
    loop.turn()
    assert recorder.calls == ["made", "data"]
    assert len(recorder.received) == READ_BYTES
    loop.turn()
    assert recorder.calls == ["made", "data", "data"]
    assert recorder.received == PATTERN[: READ_BYTES + 1]


# Closing.


@fault(38)
@EACH_PAIR
@pytest.mark.parametrize("owed_bytes", [0, 200_000])
@pytest.mark.parametrize("unread_bytes", [0, 1_000, 200_000])
def test_last_words_arrive_whatever_was_left_unread(
    loop: Loop, connect: Connect, owed_bytes: int, unread_bytes: int
) -> None:
    recorder, peer = connect()
    recorder.connection.pause_reading()
    sent = 0
    while step := try_to_send(peer, PATTERN[sent:unread_bytes]):
        sent += step
    expected = PATTERN[:owed_bytes] + b"last words\n"
    recorder.connection.write(expected)
    recorder.connection.close()
    assert recorder.connection.is_closing
    loop.turn(10)
    assert loop.receive(peer, len(expected)) == expected
    peer.close()
    assert has_lost(loop, recorder)
    assert recorder.calls == ["made", "lost"]


@fault(38)
@pytest.mark.parametrize(
    ("owed_bytes", "seconds"),
    [(0, LINGER_SECONDS), (len(PATTERN), LINGER_SECONDS + LINGER_QUIET_SECONDS)],
)
def test_closing_peer_is_aborted_at_deadline(
    loop: Loop, connect: Connect, owed_bytes: int, seconds: float
) -> None:
    recorder, peer = connect()
    recorder.connection.write(PATTERN[:owed_bytes])
    recorder.connection.close()
    loop.turn(5)
    loop.pass_seconds(seconds / 2)
    recorder.connection.close()  # which does not give it more time
    loop.pass_seconds(seconds / 2 - 0.001)
    assert recorder.lost == []
    loop.pass_seconds(0.001)
    assert has_lost(loop, recorder)
    with pytest.raises(ConnectionError):
        loop.turn_until(lambda: try_to_receive(peer) == b"" and peer.send(b"?") == 0)


@fault(79)
@EACH_PAIR
@pytest.mark.parametrize("pages", [5, 100])
def test_closing_peer_that_reads_slowly_gets_all_for_five_minutes(
    loop: Loop, connect: Connect, pages: int
) -> None:
    recorder, peer = connect()
    text = PATTERN * (pages // 5)
    recorder.connection.write(text)
    recorder.connection.close()
    received = b""
    while not recorder.lost:
        loop.pass_seconds(4)
        with contextlib.suppress(ConnectionResetError):
            received += loop.receive(peer, 80_000)
        if received == text:
            peer.close()
            loop.turn_until(lambda: recorder.lost)
    if received != text:  # what its host has taken by then may still be read
        with contextlib.suppress(ConnectionResetError):
            while data := peer.recv(1 << 16):
                received += data
    assert text.startswith(received)
    assert (received == text) == (pages == 5)
    assert loop.clock.now <= 1004 + LINGER_TOTAL_SECONDS


@fault(38)
@EACH_PAIR
def test_closing_peer_may_say_so_many_bytes_more(loop: Loop, connect: Connect) -> None:
    recorder, peer = connect()
    recorder.connection.close()
    assert loop.receive_to_end(peer) == b""
    spoken = 0
    while spoken < LINGER_BYTES:
        spoken += try_to_send(peer, PATTERN[: min(8_000, LINGER_BYTES - spoken)])
        loop.turn()
    loop.turn_until(lambda: not loop.selector.real.select(0))
    assert recorder.lost == []
    peer.send(b"x")
    assert has_lost(loop, recorder)
    assert recorder.received == b""


# Aborting.


def test_abort_is_told_a_step_later_once_with_reason(loop: Loop, connect: Connect) -> None:
    recorder, peer = connect()
    reason = ConnectionError("too slow")
    owe_much(loop, recorder)
    recorder.connection.close()
    recorder.connection.abort(reason)
    recorder.connection.abort()
    assert recorder.connection.outbound.owed_bytes == 0
    assert recorder.calls == ["made"]
    assert loop.interest_in(recorder.connection.descriptor) == 0
    loop.turn()
    assert loop.is_idle(), "the deadline of the closing stays"
    assert has_lost(loop, recorder, reason)
    with pytest.raises(ConnectionResetError):
        loop.receive_to_end(peer)


@pytest.mark.parametrize("call", ["made", "flushed"])
@pytest.mark.parametrize("end", ["close", "abort"])
def test_protocol_may_end_in_first_or_last_call(
    loop: Loop, connect: Connect, call: str, end: str
) -> None:
    recorder, peer = connect(**{call: lambda it: getattr(it.connection, end)()})
    peer.close()
    recorder.connection.write(b"last words")
    recorder.connection.write_eof()
    assert has_lost(loop, recorder)


@fault(37)
@EACH_SELECTOR
@pytest.mark.parametrize("end", ["abort", "close"])
def test_dead_connection_takes_no_harm_and_does_none(
    loop: Loop, connect: Connect, end: str
) -> None:
    """Though its number is another's by now."""
    recorder, peer = connect()
    connection = recorder.connection
    connection.write(b"never sent" * (end == "abort"))
    getattr(connection, end)()
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    calls = list(recorder.calls)
    others = [connect(), connect()]
    assert connection.descriptor in [other.connection.descriptor for other, _ in others]
    assert connection.send([b"hello?"]) == 0
    connection.write(b"hello?")
    connection.abort(ValueError("never told"))
    for call in ("write_eof", "close", "pause_reading", "resume_reading", "flush"):
        getattr(connection, call)()
    connection.wait_until_writable()
    connection.handle_events(READ | WRITE)
    assert connection.outbound.owed_bytes == 0
    assert loop.is_idle()
    assert recorder.calls == calls
    for other, other_peer in others:
        other_peer.send(b"for the other")
        loop.turn_until(lambda other=other: other.received == b"for the other")  # type: ignore[misc]
        with pytest.raises(BlockingIOError):
            other_peer.recv(1)


def test_close_without_memory_to_watch_it_is_its_end(
    loop: Loop, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, _ = connect()
    recorder.connection.pause_reading()
    forget = loop.reactor.set_interest

    def watch(descriptor: int, interest: int, handler: Connection) -> None:
        if interest:
            raise OSError(errno.ENOMEM, "epoll_ctl")
        forget(descriptor, interest, handler)

    monkeypatch.setattr(loop.reactor, "set_interest", watch)
    recorder.connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert loop.is_idle(), "nothing is left to be done with it later"


# Peers that vanish.


@fault(23)
@EACH_SELECTOR
@pytest.mark.parametrize("deeds", ["", "owe", "write_eof", "owe close", "close"])
def test_reset_is_told_once_in_every_state(loop: Loop, connect: Connect, deeds: str) -> None:
    recorder, peer = connect()
    for deed in deeds.split():
        owe_much(loop, recorder) if deed == "owe" else getattr(recorder.connection, deed)()
    loop.turn(2)
    reset(peer)
    loop.turn_until(lambda: recorder.lost)
    assert loop.is_idle()
    [error] = recorder.lost
    assert error is None if "close" in deeds else isinstance(error, ConnectionResetError)
    assert recorder.calls[-1] == "lost"
    assert "eof" not in recorder.calls
    assert recorder.connection.is_closing
    assert recorder.connection.outbound.owed_bytes == 0


@fault(35)
@EACH_SELECTOR
@EACH_PAIR
@pytest.mark.parametrize("vanish", [reset, socket.socket.close])
def test_hang_up_with_write_interest_ends_in_one_wakeup(
    loop: Loop, connect: Connect, vanish: Callable[[socket.socket], None]
) -> None:
    recorder, peer = connect()
    recorder.connection.pause_reading()
    owe_much(loop, recorder)
    assert loop.interest_in(recorder.connection.descriptor) == WRITE
    vanish(peer)
    loop.turn_until(lambda: loop.selector.real.select(0))
    loop.turn()
    assert loop.interest_in(recorder.connection.descriptor) == 0
    assert loop.is_idle()
    assert recorder.connection.outbound.owed_bytes == 0
    assert recorder.calls == ["made"]
    recorder.connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert len(recorder.lost) == 1


@fault(39)
@EACH_PAIR
@pytest.mark.parametrize("vanish", [reset, socket.socket.close])
def test_peers_last_words_are_read_after_a_failed_send(
    loop: Loop, connect: Connect, vanish: Callable[[socket.socket], None]
) -> None:
    recorder, peer = connect()
    connection = recorder.connection
    connection.pause_reading()
    peer.send(b"last words")
    vanish(peer)
    # The first send after a FIN succeeds, and is answered by the reset that fails the next one.
    loop.turn_until(lambda: connection.send([b"hello?"]) == 0)
    connection.write(b"too late")
    loop.turn(2)
    assert recorder.received == b""
    connection.resume_reading()
    loop.turn_until(lambda: recorder.calls[-1] in ("eof", "lost"))
    assert recorder.received == b"last words"
    assert "flushed" not in recorder.calls
    connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.calls.count("lost") == 1
    assert loop.is_idle()


def test_descriptor_that_cannot_be_watched_is_the_end(
    loop: Loop, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = OSError(errno.ENOSPC, "epoll_ctl(2): the user watches too many")

    def refuse(*_: object) -> selectors.SelectorKey:
        raise refusal

    monkeypatch.setattr(loop.selector, "register", refuse)
    recorder, _ = connect()
    assert recorder.connection.is_closing
    loop.turn()
    assert recorder.calls == ["made", "lost"]
    assert recorder.lost == [refusal]


@pytest.mark.parametrize("call", ["data", "eof", "flushed", "lost"])
def test_bug_in_protocol_costs_its_own_connection(loop: Loop, connect: Connect, call: str) -> None:
    buggy, peer = connect(eof=lambda it: it.connection.close())
    buggy.deeds[call] = fail
    buggy.connection.write(b"hello")
    other, other_peer = connect()
    peer.send(b"hello")
    peer.shutdown(socket.SHUT_WR)
    assert has_lost(loop, buggy)
    assert loop.takes_one_bug()
    other_peer.send(b"still here")
    loop.turn_until(lambda: other.received == b"still here")


# All of it at once.

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 30_000)),
        st.tuples(st.just("say"), st.integers(1, 30_000)),
        st.tuples(st.just("listen"), st.integers(1, 30_000)),
        st.tuples(st.just("turn"), st.just(0)),
        st.tuples(st.sampled_from(["pause", "resume", "hang up"]), st.just(0)),
    ),
    max_size=40,
)


@fault(30, 36)
@examples(50, 1000)
@example([("pause", 0), ("say", 5), ("write", 30_000), ("turn", 0), ("resume", 0)], "close")
@example([("hang up", 0), ("turn", 0), ("write", 30_000), ("turn", 0)], "write_eof")
@given(STEPS, st.sampled_from(["close", "write_eof"]))
def test_each_side_hears_what_the_other_said(steps: list[tuple[str, int]], end: str) -> None:
    with new_loop() as loop:
        near, peer = unix_pair()
        recorder = connect_on(loop, (near, peer))
        connection, calls = recorder.connection, recorder.calls
        written = said = 0
        heard = b""
        flushes = 0
        has_hung_up = is_paused = False
        for step, size in steps:
            if step == "write":
                connection.write(PATTERN[written : written + size])
                written += size
            elif step == "say" and not has_hung_up:
                said += try_to_send(peer, PATTERN[said : said + size])
            elif step == "listen":
                heard += try_to_receive(peer, size)
            elif step == "hang up":
                peer.shutdown(socket.SHUT_WR)
                has_hung_up = True
            elif step == "turn":
                received_bytes, owed_bytes = len(recorder.received), connection.outbound.owed_bytes
                loop.turn()
                flushes += owed_bytes > 0 and connection.outbound.owed_bytes == 0
                assert calls.count("flushed") == flushes
                assert not (is_paused and len(recorder.received) > received_bytes)
                reads = READ if not is_paused and "eof" not in calls else 0
                writes = WRITE if connection.outbound.owed_bytes else 0
                assert loop.interest_in(connection.descriptor) == reads | writes
            elif step != "say":
                getattr(connection, f"{step}_reading")()
                is_paused = step == "pause"
        connection.pause_reading()
        connection.resume_reading()
        loop.turn()
        getattr(connection, end)()
        heard += loop.receive_to_end(peer)
        if end == "close":
            connection.write(b"too late")
        peer.close()
        loop.turn_until(lambda: "eof" in calls or recorder.lost)
        connection.close()
        assert has_lost(loop, recorder)
        assert heard == PATTERN[:written]
        assert recorder.received == PATTERN[: len(recorder.received)]
        assert calls.count("eof") <= 1
        assert written or "flushed" not in calls, "the end alone is not told"
        if end == "write_eof":
            assert len(recorder.received) == said


# Ending at once, because the descriptor is needed.


def close_at_once(recorder: Recorder) -> None:
    """It frees the descriptor."""
    descriptor = recorder.connection.descriptor
    os.fstat(descriptor)
    recorder.connection.close_at_once()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(descriptor)


@pytest.mark.parametrize("is_closing", [False, True])
def test_close_at_once_sends_all(loop: Loop, connect: Connect, is_closing: bool) -> None:
    recorder, peer = connect()
    recorder.connection.write(b"last ")
    recorder.connection.write(b"words")
    if is_closing:
        recorder.connection.close()
        loop.turn(2)
    close_at_once(recorder)
    assert not loop.selector.get_map()
    assert recorder.lost == []
    assert loop.receive_to_end(peer) == b"last words"
    recorder.connection.close_at_once()
    assert has_lost(loop, recorder)
