"""A Connection loses and doubles no byte, never spins, and dies in one way, told once."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import selectors
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactor import READ, WRITE, Buffer, Connection, SocketTransport
from reactor.connection import LINGER_BYTES, LINGER_SECONDS, READ_BYTES
from reactor.outbound import Bytes
from tests.reactor.conftest import Loop, MakePair, Pair, Recorder, unix_pair
from tests.support.faults import fault

PATTERN = random.Random(0).randbytes(400_000)
"""Bytes that tell when one of them is lost, doubled or out of place: too many for one send."""

SEND_BUFFER_BYTES = 16 * 1024
"""SO_SNDBUF of every connection here, so that the kernel does not take all of PATTERN."""


def connect(
    loop: Loop, pair: Pair, recorder: Recorder | None = None
) -> tuple[Recorder, socket.socket]:
    """A Connection with a protocol that takes notes, and its peer."""
    near, peer = pair
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    recorder = recorder or Recorder()
    Connection(loop.reactor, SocketTransport(near), recorder)
    return recorder, peer


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


def reset(peer: socket.socket) -> None:
    """Close at once, with RST in place of FIN."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def owe_much(loop: Loop, recorder: Recorder) -> None:
    """Let the connection owe more than its peer, which does not read, will take."""
    recorder.connection.write(PATTERN)
    loop.turn_until(loop.is_idle)
    assert recorder.connection.outbound.owed_bytes


# Sending.


def test_nothing_is_sent_before_the_turn_ends_and_then_all_in_order(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write(b"one ")
    recorder.connection.write(b"")
    recorder.connection.write(b"two")
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    assert recorder.connection.outbound.owed_bytes == 7
    assert loop.receive(peer, 7) == b"one two"
    assert recorder.connection.outbound.owed_bytes == 0


def test_what_is_written_while_the_connection_is_made_is_sent(
    loop: Loop, make_pair: MakePair
) -> None:
    class Greeter(Recorder):
        def connection_made(self, connection: Connection) -> None:
            super().connection_made(connection)
            connection.write(b"welcome")

    recorder, peer = connect(loop, make_pair(), Greeter())
    assert loop.receive(peer, 7) == b"welcome"
    assert recorder.calls == ["made", "flushed"]


@fault(30)
def test_partial_sends_go_on_at_the_exact_byte(loop: Loop, make_pair: MakePair) -> None:
    recorder, peer = connect(loop, make_pair())
    chance = random.Random(1)
    written = 0
    while written < 300_000:
        step = chance.randint(1, 20_000)
        recorder.connection.write(PATTERN[written : written + step])
        written += step
        loop.turn()
    received = b""
    while len(received) < written:
        received += loop.receive(peer, min(chance.randint(1, 5_000), written - len(received)))
    assert received == PATTERN[:written]
    loop.turn_until(lambda: recorder.calls[-1] == "flushed")
    assert loop.is_idle()


def test_a_peer_that_never_reads_costs_write_interest_and_no_turns(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    owe_much(loop, recorder)
    assert loop.interest_in(recorder.connection.descriptor) == READ | WRITE
    recorder.connection.write(b"more")
    loop.turn_until(loop.is_idle)
    assert recorder.calls == ["made"]
    assert loop.receive(peer, len(PATTERN) + 4) == PATTERN + b"more"
    assert loop.interest_in(recorder.connection.descriptor) == READ


@fault(36)
def test_write_readiness_is_asked_for_only_while_something_is_owed(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    descriptor = recorder.connection.descriptor
    assert loop.interest_in(descriptor) == READ
    recorder.connection.write(b"little")
    assert loop.interest_in(descriptor) == READ
    loop.turn()
    assert loop.interest_in(descriptor) == READ
    recorder.connection.wait_until_writable()
    assert loop.interest_in(descriptor) == READ
    loop.receive(peer, 6)
    assert loop.is_idle()


def test_a_connection_that_waits_for_its_kernel_does_not_ask_it_in_vain(
    loop: Loop, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends: list[int] = []
    send = Connection.send

    def count_and_send(connection: Connection, pieces: list[Bytes]) -> int:
        sends.append(send(connection, pieces))
        return sends[-1]

    monkeypatch.setattr(Connection, "send", count_and_send)
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write(PATTERN)
    loop.turn()
    assert len(sends) == 1  # which was partial, so the next one waits for readiness
    loop.turn_until(loop.is_idle)
    sends.clear()
    recorder.connection.write(b"more")
    loop.turn()
    assert sends == []
    assert loop.receive(peer, len(PATTERN) + 4) == PATTERN + b"more"
    assert 0 not in sends


def test_more_pieces_than_one_call_takes_are_sent_in_several(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    for number in range(5_000):
        recorder.connection.write(b"%d " % number)
    expected = b"".join(b"%d " % number for number in range(5_000))
    assert loop.receive(peer, len(expected)) == expected


def test_a_direct_send_tells_how_much_the_kernel_took(loop: Loop, make_pair: MakePair) -> None:
    recorder, peer = connect(loop, make_pair())
    connection = recorder.connection
    assert connection.send([b"one ", memoryview(b"two")]) == 7
    assert connection.send([b" three"]) == 6
    assert loop.receive(peer, 13) == b"one two three"
    while connection.send([PATTERN]):
        pass
    assert connection.send([PATTERN]) == 0
    assert not connection.is_closing


# The callback `flushed`.


def test_flushed_comes_once_for_each_send_that_leaves_nothing_owed(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, _ = connect(loop, make_pair())
    for _ in range(2):
        recorder.connection.write(b"a")
        recorder.connection.write(b"b")
        loop.turn(3)
    assert recorder.calls == ["made", "flushed", "flushed"]


def test_flushed_comes_when_the_last_byte_was_taken_and_not_before(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    owe_much(loop, recorder)
    assert "flushed" not in recorder.calls
    loop.receive(peer, len(PATTERN))
    loop.turn_until(loop.is_idle)
    assert recorder.calls == ["made", "flushed"]


def test_what_is_written_when_flushed_is_sent_as_well(loop: Loop, make_pair: MakePair) -> None:
    class Counting(Recorder):
        def flushed(self) -> None:
            super().flushed()
            if (count := len(self.calls)) < 10:
                self.connection.write(b"%d" % count)

    recorder, peer = connect(loop, make_pair(), Counting())
    recorder.connection.write(b"1")
    assert loop.receive(peer, 9) == b"123456789"
    assert loop.is_idle()


def test_what_is_owed_and_cannot_be_sent_yet_is_not_flushed_and_keeps_the_end_waiting(
    loop: Loop, make_pair: MakePair
) -> None:
    class Held(Buffer):
        """Owes its bytes, and gives none of them away before it is released."""

        is_released = False

        def pieces(self) -> list[Bytes]:
            return super().pieces() if self.is_released else []

    recorder, peer = connect(loop, make_pair())
    held = recorder.connection.outbound = Held()
    recorder.connection.write(b"later")
    recorder.connection.write_eof()
    loop.turn_until(loop.is_idle)
    assert recorder.calls == ["made"]
    held.is_released = True
    recorder.connection.flush()
    assert recorder.calls == ["made", "flushed"]
    assert loop.receive_to_end(peer) == b"later"


# Receiving.


def test_all_that_the_peer_sends_is_received_in_bounded_portions(
    loop: Loop, make_pair: MakePair
) -> None:
    sizes: list[int] = []

    class Measuring(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            sizes.append(len(data))

    recorder, peer = connect(loop, make_pair(), Measuring())
    sent = 0

    def has_received_all() -> bool:
        nonlocal sent
        if sent < len(PATTERN):
            sent += try_to_send(peer, PATTERN[sent:])
        return len(recorder.received) == len(PATTERN)

    loop.turn_until(has_received_all)
    assert recorder.received == PATTERN
    assert max(sizes) <= READ_BYTES
    assert min(sizes) > 0
    assert set(recorder.calls) == {"made", "data"}


def test_one_read_a_turn_and_no_more(loop: Loop) -> None:
    near, peer = unix_pair()
    with near, peer:
        recorder, _ = connect(loop, (near, peer))
        sent = 0
        while sent < READ_BYTES + 1:
            sent += peer.send(PATTERN[sent : READ_BYTES + 1])
        loop.turn()
        assert recorder.calls == ["made", "data"]
        assert len(recorder.received) == READ_BYTES
        loop.turn()
        assert recorder.calls == ["made", "data", "data"]


def test_readiness_with_nothing_to_do_does_no_harm(loop: Loop, make_pair: MakePair) -> None:
    recorder, _ = connect(loop, make_pair())
    recorder.connection.handle_events(READ | WRITE)
    assert recorder.calls == ["made"]
    assert not recorder.connection.is_closing


def test_while_reading_is_paused_nothing_comes_and_nothing_spins(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.pause_reading()
    peer.send(b"hello")
    loop.turn()
    assert loop.is_idle()
    assert recorder.calls == ["made"]
    recorder.connection.resume_reading()
    recorder.connection.resume_reading()
    loop.turn_until(lambda: recorder.received)
    assert recorder.received == b"hello"


def test_while_reading_is_paused_what_is_written_is_sent_nevertheless(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.pause_reading()
    owe_much(loop, recorder)
    assert loop.interest_in(recorder.connection.descriptor) == WRITE
    assert loop.receive(peer, len(PATTERN)) == PATTERN
    assert loop.interest_in(recorder.connection.descriptor) == 0
    assert loop.is_idle()


def test_a_protocol_may_pause_from_within_and_hears_no_more_until_it_resumes(
    loop: Loop, make_pair: MakePair
) -> None:
    class OneAtATime(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.connection.pause_reading()

    recorder, peer = connect(loop, make_pair(), OneAtATime())
    peer.send(b"a")
    loop.turn_until(lambda: recorder.received)
    peer.send(b"b")
    loop.turn_until(loop.is_idle)
    assert recorder.received == b"a"
    recorder.connection.resume_reading()
    loop.turn_until(lambda: recorder.received == b"ab")


# Halves.


def test_a_peer_that_has_ended_its_half_is_heard_to_the_end_and_can_be_answered(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    peer.send(b"question")
    peer.shutdown(socket.SHUT_WR)
    loop.turn_until(lambda: "eof" in recorder.calls)
    assert recorder.received == b"question"
    assert loop.is_idle()
    recorder.connection.write(PATTERN)
    assert loop.receive(peer, len(PATTERN)) == PATTERN
    recorder.connection.close()
    assert loop.receive_to_end(peer) == b""
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]
    assert recorder.calls.count("eof") == 1


def test_after_write_eof_all_that_was_owed_arrives_and_the_peer_is_heard_still(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write(PATTERN)
    recorder.connection.write_eof()
    recorder.connection.write_eof()
    assert loop.receive_to_end(peer) == PATTERN
    peer.send(b"I have it")
    loop.turn_until(lambda: recorder.received == b"I have it")
    peer.close()
    loop.turn_until(lambda: "eof" in recorder.calls)
    assert recorder.lost == []
    recorder.connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]
    assert loop.is_idle()


def test_flushed_is_not_told_when_nothing_was_sent(loop: Loop, make_pair: MakePair) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write_eof()
    assert loop.receive_to_end(peer) == b""
    assert recorder.calls == ["made"]


def test_writing_after_the_end_of_our_half_was_sent_is_harmless(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write_eof()
    assert loop.receive_to_end(peer) == b""
    recorder.connection.write(b"too late")
    loop.turn(2)
    peer.send(b"still there?")
    loop.turn_until(lambda: recorder.received == b"still there?")
    assert recorder.connection.outbound.owed_bytes == 0
    assert recorder.lost == []


def test_when_both_halves_have_ended_nothing_is_watched_and_closing_takes_one_turn(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write_eof()
    peer.shutdown(socket.SHUT_WR)
    loop.turn_until(lambda: "eof" in recorder.calls)
    assert loop.is_idle()
    recorder.connection.close()
    loop.turn(2)
    assert recorder.lost == [None]
    assert loop.is_idle()


# Closing.


@fault(38)
@pytest.mark.parametrize("owed_bytes", [0, 200_000])
@pytest.mark.parametrize("unread_bytes", [0, 1_000, 60_000, 200_000])
def test_the_last_words_of_a_closed_connection_arrive_whatever_was_left_unread(
    loop: Loop, make_pair: MakePair, owed_bytes: int, unread_bytes: int
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.pause_reading()
    sent = 0
    while step := try_to_send(peer, PATTERN[sent:unread_bytes]):
        sent += step
    recorder.connection.write(PATTERN[:owed_bytes] + b"last words\n")
    recorder.connection.close()
    assert recorder.connection.is_closing
    loop.turn(10)
    expected = PATTERN[:owed_bytes] + b"last words\n"
    assert loop.receive(peer, len(expected)) == expected
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]
    assert recorder.received == b""
    assert loop.is_idle()


def test_after_close_the_only_callback_is_connection_lost(loop: Loop, make_pair: MakePair) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write(b"goodbye")
    recorder.connection.close()
    peer.send(b"wait")
    assert loop.receive_to_end(peer) == b"goodbye"
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.calls == ["made", "lost"]


def test_closing_waits_for_the_peer_to_end_its_half_and_no_longer(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.close()
    assert loop.receive_to_end(peer) == b""
    loop.pass_seconds(LINGER_SECONDS / 2)
    assert recorder.lost == []
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]
    assert loop.is_idle()


@fault(38)
@pytest.mark.parametrize("owed_bytes", [0, len(PATTERN)])
def test_a_peer_that_lets_the_closing_wait_is_aborted_at_the_deadline(
    loop: Loop, make_tcp_pair: MakePair, owed_bytes: int
) -> None:
    recorder, peer = connect(loop, make_tcp_pair())
    recorder.connection.write(PATTERN[:owed_bytes])
    recorder.connection.close()
    loop.turn(5)
    loop.pass_seconds(LINGER_SECONDS - 0.001)
    assert recorder.lost == []
    loop.pass_seconds(0.001)
    assert recorder.lost == [None]
    assert loop.is_idle()
    with pytest.raises(ConnectionError):
        loop.turn_until(lambda: try_to_receive(peer) == b"" and peer.send(b"?") == 0)


def test_closing_twice_does_not_give_the_peer_more_time(loop: Loop, make_pair: MakePair) -> None:
    recorder, _ = connect(loop, make_pair())
    recorder.connection.close()
    loop.pass_seconds(LINGER_SECONDS / 2)
    recorder.connection.close()
    loop.pass_seconds(LINGER_SECONDS / 2)
    assert recorder.lost == [None]


@fault(38)
def test_a_peer_that_goes_on_talking_is_heard_no_longer_than_so_many_bytes(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.close()
    assert loop.receive_to_end(peer) == b""
    spoken = 0

    def is_cut_off() -> bool:
        nonlocal spoken
        if not recorder.lost and spoken <= LINGER_BYTES:
            spoken += peer.send(PATTERN[: min(8_000, LINGER_BYTES + 1 - spoken)])
        return bool(recorder.lost)

    loop.turn_until(is_cut_off)
    assert spoken == LINGER_BYTES + 1
    assert recorder.lost == [None]
    assert recorder.received == b""
    assert loop.is_idle()


def test_a_peer_that_talks_just_so_much_may_end_in_its_own_time(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.close()
    assert loop.receive_to_end(peer) == b""
    spoken = 0
    while spoken < LINGER_BYTES:
        spoken += peer.send(PATTERN[: min(8_000, LINGER_BYTES - spoken)])
        loop.turn()
    loop.turn_until(lambda: not loop.selector.real.select(0))
    assert recorder.lost == []
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]


def test_a_peer_that_ends_before_all_was_sent_still_gets_all(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    owe_much(loop, recorder)
    recorder.connection.close()
    peer.shutdown(socket.SHUT_WR)
    loop.turn(5)
    assert recorder.lost == []
    assert loop.receive_to_end(peer) == PATTERN
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]
    assert loop.is_idle()


def test_closing_from_within_any_callback_is_polite(loop: Loop, make_pair: MakePair) -> None:
    class OneAnswer(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.connection.write(b"no")
            self.connection.close()

    recorder, peer = connect(loop, make_pair(), OneAnswer())
    peer.send(b"please")
    assert loop.receive_to_end(peer) == b"no"
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]


# Aborting.


def test_an_abort_is_told_a_step_later_once_and_with_its_reason(
    loop: Loop, make_tcp_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_tcp_pair())
    reason = ConnectionError("too slow")
    recorder.connection.abort(reason)
    recorder.connection.abort()
    assert recorder.calls == ["made"]
    assert loop.interest_in(recorder.connection.descriptor) == 0
    loop.turn(3)
    assert recorder.lost == [reason]
    with pytest.raises(ConnectionResetError):
        loop.receive(peer, 1)


def test_an_abort_lets_go_of_what_is_owed(loop: Loop, make_pair: MakePair) -> None:
    recorder, _ = connect(loop, make_pair())
    owe_much(loop, recorder)
    recorder.connection.abort()
    assert recorder.connection.outbound.owed_bytes == 0
    loop.turn(2)
    assert recorder.lost == [None]
    assert loop.is_idle()


def test_an_abort_ends_the_politeness_of_close_and_its_deadline(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, _ = connect(loop, make_pair())
    recorder.connection.close()
    recorder.connection.abort()
    loop.turn(2)
    assert recorder.lost == [None]
    assert loop.is_idle()


def test_an_abort_when_flushed_is_told_once_even_if_both_halves_have_ended(
    loop: Loop, make_pair: MakePair
) -> None:
    class Hasty(Recorder):
        def flushed(self) -> None:
            super().flushed()
            self.connection.abort()

    recorder, peer = connect(loop, make_pair(), Hasty())
    peer.shutdown(socket.SHUT_WR)
    loop.turn_until(lambda: "eof" in recorder.calls)
    recorder.connection.write(b"last words")
    recorder.connection.write_eof()
    loop.turn(3)
    assert recorder.calls == ["made", "eof", "flushed", "lost"]


def test_one_protocol_may_abort_all_others_in_a_loop_over_them(
    loop: Loop, make_pair: MakePair
) -> None:
    members: dict[Recorder, None] = {}

    class Tyrant(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            for member in members:
                if member is not self:
                    member.connection.abort()

        def connection_lost(self, error: Exception | None) -> None:
            super().connection_lost(error)
            del members[self]

    peers = []
    for _ in range(5):
        recorder, peer = connect(loop, make_pair(), Tyrant())
        members[recorder] = None
        peers.append(peer)
    everyone = list(members)
    for peer in peers:
        peer.send(b"down with them")
    loop.turn_until(lambda: len(members) == 1)
    [survivor] = members
    assert survivor.received == b"down with them"
    for recorder in everyone:
        assert recorder is survivor or recorder.calls == ["made", "lost"]


def test_a_protocol_may_abort_while_it_is_ready_for_both(loop: Loop, make_pair: MakePair) -> None:
    class Touchy(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.connection.abort()

    recorder, peer = connect(loop, make_pair(), Touchy())
    owe_much(loop, recorder)
    peer.send(b"hey")
    recorder.connection.pause_reading()  # until there is room as well
    while not loop.selector.real.select(0):
        try_to_receive(peer)
    recorder.connection.resume_reading()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.calls == ["made", "data", "lost"]


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_protocol_may_refuse_its_connection_while_it_is_made(
    loop: Loop, make_pair: MakePair, how: str
) -> None:
    class Refusing(Recorder):
        def connection_made(self, connection: Connection) -> None:
            super().connection_made(connection)
            getattr(connection, how)()

    recorder, peer = connect(loop, make_pair(), Refusing())
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]
    assert loop.is_idle()


@pytest.mark.parametrize("end", ["abort", "close"])
def test_whatever_is_asked_of_a_dead_connection_is_harmless(
    loop: Loop, make_pair: MakePair, end: str
) -> None:
    recorder, peer = connect(loop, make_pair())
    connection = recorder.connection
    getattr(connection, end)()
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    calls = list(recorder.calls)
    connection.write(b"anybody there?")
    connection.write_eof()
    connection.close()
    connection.abort(ValueError("never told"))
    connection.pause_reading()
    connection.resume_reading()
    connection.flush()
    connection.wait_until_writable()
    connection.handle_events(READ | WRITE)
    assert connection.outbound.owed_bytes == 0
    assert loop.is_idle()
    assert recorder.calls == calls


@pytest.mark.parametrize("end", ["abort", "close"])
def test_a_direct_send_on_a_dead_connection_takes_nothing_and_tells_nothing(
    loop: Loop, make_pair: MakePair, end: str
) -> None:
    recorder, peer = connect(loop, make_pair())
    getattr(recorder.connection, end)()
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    calls = list(recorder.calls)
    assert recorder.connection.send([b"anybody there?"]) == 0
    loop.turn(2)
    assert recorder.calls == calls


@fault(37)
def test_the_number_of_a_dead_connection_may_be_used_by_another(
    loop: Loop, make_pair: MakePair
) -> None:
    first, _ = connect(loop, make_pair())
    first.connection.write(b"never sent")
    first.connection.abort()
    second, peer = connect(loop, make_pair())
    third, _ = connect(loop, make_pair())
    numbers = {second.connection.descriptor, third.connection.descriptor}
    assert first.connection.descriptor in numbers
    first.connection.resume_reading()
    first.connection.write(b"never sent")
    loop.turn(2)
    peer.send(b"for the second")
    loop.turn_until(lambda: second.received)
    assert second.received == b"for the second"
    with pytest.raises(BlockingIOError):
        peer.recv(100)


# Peers that vanish.


def half_shut(loop: Loop, recorder: Recorder) -> None:
    recorder.connection.write_eof()
    loop.turn()


def close_owing(loop: Loop, recorder: Recorder) -> None:
    owe_much(loop, recorder)
    recorder.connection.close()
    loop.turn()


def close_with_nothing_owed(loop: Loop, recorder: Recorder) -> None:
    recorder.connection.close()
    loop.turn(2)


def stay_idle(loop: Loop, recorder: Recorder) -> None:
    loop.turn()


@fault(23)
@pytest.mark.parametrize(
    "arrange", [stay_idle, owe_much, half_shut, close_owing, close_with_nothing_owed]
)
def test_a_reset_is_told_once_in_every_state(
    loop: Loop, make_tcp_pair: MakePair, arrange: Callable[[Loop, Recorder], None]
) -> None:
    recorder, peer = connect(loop, make_tcp_pair())
    arrange(loop, recorder)
    reset(peer)
    loop.turn_until(lambda: recorder.lost)
    assert loop.is_idle()
    assert len(recorder.lost) == 1
    assert recorder.calls[-1] == "lost"
    assert "eof" not in recorder.calls
    assert recorder.connection.is_closing
    assert recorder.connection.outbound.owed_bytes == 0


@pytest.mark.parametrize("arrange", [stay_idle, owe_much, half_shut])
def test_the_reason_of_a_loss_is_the_error_from_the_network(
    loop: Loop, make_tcp_pair: MakePair, arrange: Callable[[Loop, Recorder], None]
) -> None:
    recorder, peer = connect(loop, make_tcp_pair())
    arrange(loop, recorder)
    reset(peer)
    loop.turn_until(lambda: recorder.lost)
    [error] = recorder.lost
    assert isinstance(error, ConnectionResetError)


@pytest.mark.parametrize("arrange", [close_owing, close_with_nothing_owed])
def test_after_close_a_loss_has_no_reason_even_if_the_peer_resets(
    loop: Loop, make_tcp_pair: MakePair, arrange: Callable[[Loop, Recorder], None]
) -> None:
    recorder, peer = connect(loop, make_tcp_pair())
    arrange(loop, recorder)
    reset(peer)
    loop.turn_until(lambda: recorder.lost)
    assert recorder.lost == [None]


def test_a_loss_while_reading_is_paused_is_noticed_when_it_goes_on(
    loop: Loop, make_tcp_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_tcp_pair())
    recorder.connection.pause_reading()
    reset(peer)
    loop.turn_until(loop.is_idle)
    assert recorder.calls == ["made"]
    recorder.connection.resume_reading()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.calls == ["made", "lost"]


def test_a_reset_after_the_end_of_the_peers_half_is_noticed_by_the_next_word_to_it(
    loop: Loop, make_tcp_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_tcp_pair())
    peer.shutdown(socket.SHUT_WR)
    loop.turn_until(lambda: "eof" in recorder.calls)
    reset(peer)
    loop.turn_until(loop.is_idle)
    assert recorder.lost == []
    recorder.connection.write(b"anybody there?")
    recorder.connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.calls.count("lost") == 1
    assert loop.is_idle()


@fault(35)
@pytest.mark.parametrize("vanish", [reset, socket.socket.close])
def test_a_hang_up_with_only_write_interest_ends_in_one_wakeup(
    loop: Loop, make_pair: MakePair, vanish: Callable[[socket.socket], None]
) -> None:
    recorder, peer = connect(loop, make_pair())
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
@pytest.mark.parametrize("vanish", [reset, socket.socket.close])
def test_the_last_words_of_a_peer_are_read_even_when_a_send_to_it_failed_before(
    loop: Loop, make_pair: MakePair, vanish: Callable[[socket.socket], None]
) -> None:
    recorder, peer = connect(loop, make_pair())
    connection = recorder.connection
    connection.pause_reading()
    peer.send(b"last words")
    vanish(peer)
    # The first send after a FIN succeeds, and is answered by the reset that fails the next one.
    loop.turn_until(lambda: connection.send([b"anybody there?"]) == 0)
    connection.write(b"nobody there")
    loop.turn(2)
    assert recorder.received == b""
    connection.resume_reading()
    loop.turn_until(lambda: recorder.calls[-1] in ("eof", "lost"))
    assert recorder.received == b"last words"
    connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert recorder.calls.count("lost") == 1
    assert loop.is_idle()


def test_a_peer_that_takes_nothing_more_is_gone_even_if_it_stays_silent(loop: Loop) -> None:
    near, peer = unix_pair()
    with near, peer:
        recorder, _ = connect(loop, (near, peer))
        peer.shutdown(socket.SHUT_RD)
        recorder.connection.write(b"anybody there?")
        loop.turn_until(lambda: "eof" in recorder.calls)
        recorder.connection.close()
        loop.turn_until(lambda: recorder.lost)
        assert recorder.calls.count("lost") == 1
        assert loop.clock.now == 1000.0
        assert loop.is_idle()


def test_a_failed_send_is_not_called_flushed(loop: Loop, make_pair: MakePair) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.pause_reading()
    owe_much(loop, recorder)
    peer.close()
    loop.turn_until(lambda: not recorder.connection.outbound.owed_bytes)
    loop.turn(2)
    assert "flushed" not in recorder.calls


def test_a_peer_that_vanishes_while_we_end_politely_is_gone_at_once(
    loop: Loop, make_pair: MakePair
) -> None:
    """The send fails, the stream ends, and no deadline has to pass."""
    recorder, peer = connect(loop, make_pair())
    peer.shutdown(socket.SHUT_WR)
    loop.turn_until(lambda: "eof" in recorder.calls)
    owe_much(loop, recorder)
    recorder.connection.close()
    peer.close()
    loop.turn_until(lambda: recorder.lost)
    assert len(recorder.lost) == 1
    assert loop.clock.now == 1000.0
    assert loop.is_idle()


def test_a_descriptor_that_cannot_be_watched_costs_its_connection(
    loop: Loop, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> selectors.SelectorKey:
        raise OSError(errno.ENOSPC, "epoll_ctl(2): the user watches too many")

    with monkeypatch.context() as patch:
        patch.setattr(loop.selector, "register", refuse)
        recorder, _ = connect(loop, make_pair())
    assert recorder.connection.is_closing
    loop.turn()
    assert recorder.calls == ["made", "lost"]
    [error] = recorder.lost
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC


# Protocols with bugs.


def fail(*_: object) -> None:
    raise ValueError("a bug")


@pytest.mark.parametrize("callback", ["data_received", "eof_received", "flushed"])
def test_a_bug_in_a_protocol_costs_its_own_connection_and_no_other(
    loop: Loop, make_pair: MakePair, callback: str
) -> None:
    class Echo(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.connection.write(data)

    pairs = [connect(loop, make_pair(), Echo()) for _ in range(3)]
    (_, first), (buggy, second), (_, third) = pairs
    setattr(buggy, callback, fail)
    second.send(b"two")
    second.shutdown(socket.SHUT_WR)
    first.send(b"one")
    third.send(b"three")
    assert loop.receive(first, 3) == b"one"
    assert loop.receive(third, 5) == b"three"
    loop.turn_until(lambda: buggy.lost)
    assert buggy.lost == [None]
    assert [repr(error) for error in loop.take_errors()] == ["ValueError('a bug')"]
    first.send(b"still here")
    assert loop.receive(first, 10) == b"still here"
    assert loop.is_idle()


def test_a_bug_when_a_slow_flush_ends_costs_the_connection(
    loop: Loop, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, peer = connect(loop, make_pair())
    monkeypatch.setattr(recorder, "flushed", fail)
    owe_much(loop, recorder)

    def is_lost() -> bool:
        if not recorder.lost:
            try_to_receive(peer)
        return bool(recorder.lost)

    loop.turn_until(is_lost)
    assert [repr(error) for error in loop.take_errors()] == ["ValueError('a bug')"]


def test_a_bug_in_connection_lost_is_reported_and_that_is_all(
    loop: Loop, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, _ = connect(loop, make_pair())
    other, peer = connect(loop, make_pair())
    monkeypatch.setattr(recorder, "connection_lost", fail)
    recorder.connection.abort()
    peer.send(b"go on")
    loop.turn_until(lambda: other.received)
    assert [repr(error) for error in loop.take_errors()] == ["ValueError('a bug')"]
    assert loop.is_idle()


# All of it at once.

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 30_000)),
        st.tuples(st.just("say"), st.integers(1, 30_000)),
        st.tuples(st.just("listen"), st.integers(1, 30_000)),
        st.tuples(st.sampled_from(["turn", "pause", "resume"]), st.just(0)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(STEPS, st.sampled_from(["close", "write_eof"]))
def test_however_both_sides_speak_listen_and_pause_each_hears_what_the_other_said(
    steps: list[tuple[str, int]], end: str
) -> None:
    loop = Loop(selectors.DefaultSelector())
    near, peer = unix_pair()
    recorder, _ = connect(loop, (near, peer))
    written = said = 0
    heard = b""
    for step, size in steps:
        if step == "write":
            recorder.connection.write(PATTERN[written : written + size])
            written += size
        elif step == "say":
            said += try_to_send(peer, PATTERN[said : said + size])
        elif step == "listen":
            heard += try_to_receive(peer, size)
        elif step == "turn":
            loop.turn()
        else:
            getattr(recorder.connection, f"{step}_reading")()
    if end == "write_eof":
        recorder.connection.resume_reading()
    getattr(recorder.connection, end)()
    heard += loop.receive_to_end(peer)
    peer.close()
    loop.turn_until(lambda: recorder.calls[-1] in ("eof", "lost"))
    recorder.connection.close()
    loop.turn_until(lambda: recorder.lost)
    assert heard == PATTERN[:written]
    assert recorder.received == PATTERN[: len(recorder.received)]
    if end == "write_eof":
        assert len(recorder.received) == said
    assert loop.is_idle()
    loop.reactor.close()
    assert loop.take_errors() == []


# Ending at once, because the descriptor is needed.


def is_free(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def test_close_at_once_sends_what_is_owed_and_frees_the_descriptor_on_return(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write(b"last ")
    recorder.connection.write(b"words")
    recorder.connection.close_at_once()
    assert is_free(recorder.connection.descriptor)
    assert not loop.selector.get_map()
    assert recorder.lost == []
    assert loop.receive_to_end(peer) == b"last words"
    loop.turn(2)
    assert recorder.calls[-1] == "lost"
    assert recorder.lost == [None]
    assert loop.is_idle()


def test_close_at_once_hurries_a_close_that_waits_for_its_peer(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    recorder.connection.write(b"last words")
    recorder.connection.close()
    loop.turn(2)
    assert not is_free(recorder.connection.descriptor)
    recorder.connection.close_at_once()
    assert is_free(recorder.connection.descriptor)
    assert loop.receive_to_end(peer) == b"last words"
    loop.turn(2)
    recorder.connection.close_at_once()
    loop.turn(2)
    assert recorder.lost == [None]
    assert loop.is_idle()


def test_close_at_once_does_not_wait_for_a_peer_who_does_not_read(
    loop: Loop, make_pair: MakePair
) -> None:
    recorder, peer = connect(loop, make_pair())
    owe_much(loop, recorder)
    recorder.connection.write(b"last words")
    recorder.connection.close_at_once()
    assert is_free(recorder.connection.descriptor)
    heard = loop.receive_to_end(peer)
    assert 0 < len(heard) < len(PATTERN)
    assert PATTERN.startswith(heard)
    loop.turn(2)
    assert recorder.lost == [None]
    assert loop.is_idle()


def test_close_at_once_after_the_peer_has_ended_or_is_gone(
    loop: Loop, make_tcp_pair: MakePair
) -> None:
    for go in (lambda peer: peer.shutdown(socket.SHUT_WR), reset):
        recorder, peer = connect(loop, make_tcp_pair())
        go(peer)
        recorder.connection.write(b"last words")
        recorder.connection.close_at_once()
        assert is_free(recorder.connection.descriptor)
        loop.turn(2)
        assert recorder.lost == [None]
        assert loop.is_idle()


def test_close_at_once_in_the_midst_of_reading_is_the_end_of_it(
    loop: Loop, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, peer = connect(loop, make_pair())
    monkeypatch.setattr(recorder, "data_received", lambda data: recorder.connection.close_at_once())
    peer.send(b"hello")
    loop.turn_until(lambda: recorder.lost)
    assert loop.receive_to_end(peer) == b""
    assert recorder.calls == ["made", "lost"]
    assert loop.is_idle()
