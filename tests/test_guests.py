"""Guests: connections that have not joined. What they say, how they come and go, what they learn.

tests/test_waiting_guests.py has those that wait for their turn, tests/test_descriptors.py crowds.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import struct
import sys
import tracemalloc
from pathlib import Path

import pytest

from chat.gate import POOL_CONNECTIONS
from chat.session import HANDSHAKE_SECONDS
from codec import MAX_JOIN_BYTES
from reactor import Connection, SocketTransport
from reactor.listener import BACKLOG
from tests.reactor.conftest import unix_pair
from tests.support import protocol
from tests.support.faults import fault
from tests.support.house import House, numbered, with_limits
from tests.support.programs import CLOSED, Room
from tests.support.protocol import PASSCODE, error_line
from tests.support.size import IS_LONG

# What they say.


@fault(1, 38, 45)
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"JOIN ANN wrong", protocol.INCORRECT_PASSCODE),
        (b"JOIN Bob ", protocol.INCORRECT_PASSCODE),
        (b"JOIN ann abc12", f"{protocol.NAME_IN_USE}ann"),
        (b"JOIN Bob! abc12", protocol.STRANGE_NAME),
        (b"J" * (MAX_JOIN_BYTES + 1), protocol.EXPECTED_JOIN),
    ],
)
def test_refused_guest_is_told_why_and_has_no_second_guess(
    house: House, line: bytes, reason: str
) -> None:
    ann = house.join("Ann")
    guest = house.ask(line + b"\nJOIN Bob abc12\n" + b"x" * 200_000)
    guest.reads_to_end(error_line(reason))
    guest.send(b"more")  # it was not reset, which might have overtaken the answer
    ann.reads_nothing()
    assert house.shown() == b"Ann joined the chatroom\n"
    assert house.log == [f"refused {guest.address}: {reason[0].lower()}{reason[1:]}"]
    assert house.roster.usernames == ["Ann"]


GREETINGS = [
    b"GET / HTTP/1.1\r\nHost: chat\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.Random(7).randbytes(506),  # TLS
    b"*1\r\n$4\r\nPING\r\n",  # Redis
    b"NICK bob\r\nUSER bob 0 * :Bob\r\n",  # IRC
    b"\xff\xfd\x18JOIN Bob abc12\r\n",  # telnet options
    b"\xff\xfd\x18\xff\xfd\x20\xff\xfb\x1f",
    b"\x05\x01\x00",  # SOCKS
    b"\0\0\0\x08\x04\xd2\x16\x2f",  # PostgreSQL
    b"J" * MAX_JOIN_BYTES,  # not too long for a line, and no end
    b"J" * MAX_JOIN_BYTES + b"\r",
    b"J" * MAX_JOIN_BYTES + b"\r\r",
]


@fault(1, 4, 7)
def test_strange_bytes_before_join_get_one_refusal(house: House) -> None:
    """At once where they end a line or are too many for one, else at the deadline."""
    chance = random.Random(1)
    sizes = [20, MAX_JOIN_BYTES - 1, MAX_JOIN_BYTES + 1, 2_000]
    bursts = [chance.randbytes(chance.choice(sizes)) for _ in range(200 if IS_LONG else 40)]
    ann = house.join("Ann")
    house.shown()
    silent = []
    for data in [*GREETINGS, *bursts]:
        guest = house.ask(data)
        if b"\n" in data or len(data.removesuffix(b"\r")) > MAX_JOIN_BYTES:
            guest.reads_to_end(error_line(protocol.EXPECTED_JOIN))
            guest.socket.close()
        else:
            silent.append(guest)
    assert 10 < len(silent) < POOL_CONNECTIONS
    for guest in silent:
        guest.reads_nothing()
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    for guest in silent:
        guest.reads_to_end(error_line(protocol.HANDSHAKE_TIMED_OUT))
        guest.socket.close()
    house.loop.turn_until(house.loop.is_idle)
    ann.reads_nothing()
    assert house.shown() == b""
    assert house.roster.usernames == ["Ann"]


# How long they have.


@fault(18)
def test_guest_has_20_seconds_to_join_however_its_bytes_drip(house: House) -> None:
    silent, dripping = house.connect(), house.connect()
    for number, byte in enumerate(b"JOIN Bob a"):
        dripping.send(bytes([byte]))
        house.loop.pass_seconds(1)
        before = house.seconds
        house.join(f"m{number}")
        assert house.seconds == before, "one that joins waits for no guest"
    house.loop.pass_seconds(9)
    silent.reads_nothing()
    dripping.reads_nothing()
    house.loop.pass_seconds(1)
    silent.reads_to_end(error_line(protocol.HANDSHAKE_TIMED_OUT))
    dripping.reads_to_end(error_line(protocol.HANDSHAKE_TIMED_OUT))


@fault(6)
def test_half_lines_wake_no_loop_until_the_deadline(house: House) -> None:
    """30 members and 30 guests have said half a line each."""
    members = [house.join(f"m{number}") for number in range(30)]
    for member in members:
        member.send(b"x" * 1_000)
    guests = [house.ask(b"JOIN half") for _ in range(30)]
    assert house.wakeups(HANDSHAKE_SECONDS - 1) <= 2
    house.loop.pass_seconds(1)
    for guest in guests:
        guest.reads_to_end(error_line(protocol.HANDSHAKE_TIMED_OUT))
        guest.socket.close()
    house.loop.turn_until(house.loop.is_idle)
    members[0].send(b"\n")
    house.busy(lambda: members[1].heard.endswith(b"m0: " + b"x" * 1_000 + b"\n"))


@fault(62)
def test_deadline_to_join_heeds_no_time_of_day(tmp_path: Path) -> None:
    """The server's clock jumps into 2038 and to 1970 while a guest has 20 seconds to join."""
    clock = tmp_path / "clock"
    clock.write_text("1741501800")
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\ntime.time = lambda: float(open({str(clock)!r}).read())\n"
    )
    with Room(env={"PYTHONPATH": str(tmp_path), "TZ": "UTC"}) as room:
        alice = room.join_raw("Alice")
        bob = room.connect("Bob")
        bob.feed(b"JOIN Bob ")
        for seconds, now in (
            (2**31 - 1, "Tue Jan 19 03:14:07 2038"),
            (0, "Thu Jan 01 00:00:00 1970"),
        ):
            clock.write_text(str(seconds))
            alice.types(":mytime")
            room.all_show(f"Alice: {now}")
        bob.types("abc12")
        bob.shows("OK")
        room.welcomes(bob)


# How they come and go.


@fault(20)
@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux tells")
def test_kernel_keeps_newcomers_between_two_turns(house: House) -> None:
    tcpi_sacked = 28  # its offset; of a listening socket it is the backlog
    info = house.door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert struct.unpack_from("I", info, tcpi_sacked) == (min(BACKLOG, most),)


WAYS = [b"J", b"JOIN half", b"\n", b"x" * 2_000, b"JOIN Bob abc12\nhi", b"JOIN Bob abc12\n:Exit\n"]


def memory_after(house: House, count: int) -> int:
    """Bytes in use when so many guests, or the members that they became, have come and gone."""
    for number in range(count):
        guest = house.connect()
        guest.socket.send(WAYS[number % 6])
        house.loop.turn()
        if number // 6 % 2:
            guest.resets()
        else:
            guest.socket.close()
        house.loop.turn_until(lambda: not house.room._sessions)
        house.people.clear()
        house.spies.clear()
        house.loop.selector.waits.clear()
        house.shown()
    gc.collect()  # a session and its connection know each other until it comes
    return tracemalloc.get_traced_memory()[0]


@fault(21)
def test_connections_that_come_and_go_leave_nothing_behind(house: House) -> None:
    """No memory and no descriptor of 120 of them, or of 2,400 at full size."""
    count = 2_400 if IS_LONG else 120
    memory_after(house, 24)
    descriptors = os.listdir("/dev/fd")
    tracemalloc.start()
    try:
        early_bytes = memory_after(house, 60)
        late_bytes = memory_after(house, count)
    finally:
        tracemalloc.stop()
    # One object more for each of them would be some 50 bytes; tables that grow in steps are less.
    assert late_bytes - early_bytes < 2 * 1024 + count * 24
    assert len(os.listdir("/dev/fd")) == len(descriptors)
    house.loop.turn_until(house.loop.is_idle)


@fault(81)
@with_limits({"chat.gate.MAX_SOURCES": 16})
def test_addresses_of_strangers_who_left_are_forgotten(house: House) -> None:
    """Of 200,000 at full size. What `sys.intern` is given, Python 3.12 keeps for ever."""

    def blocks_after(numbers: range) -> int:
        for number in numbers:
            near, far = unix_pair()
            address = f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}", number
            guest = house.room.make_guest(address)
            Connection(house.loop.reactor, SocketTransport(near), guest)
            far.send(b"JOIN Mallory wrong\n")
            far.close()
            while house.room._sessions:
                house.loop.turn()
        house.loop.selector.waits.clear()
        gc.collect()
        return sys.getallocatedblocks()

    strangers = 200_000 if IS_LONG else 1_000
    early_blocks = blocks_after(range(1_000))
    assert blocks_after(range(1_000, 1_000 + strangers)) - early_blocks < 500


def test_calls_that_mean_nothing_to_a_session_do_nothing(house: House) -> None:
    """To a guest nothing is written that could be flushed, and a member was a connection before."""
    guest, ann = house.connect().spy.connection, house.join("Ann").spy.connection
    guest.protocol.flushed()
    ann.protocol.connection_made(ann)
    assert house.room._sessions == {guest.protocol: None, ann.protocol: None}


# What they can have, and learn.


@fault(17)
def test_name_in_use_keeps_its_seat_and_what_is_owed(house: House) -> None:
    """Nine attempts to join under the name of one that is owed half a megabyte."""
    ann, bob = house.join_all("Ann", "Bob")
    bob.is_deaf = True
    lines = numbered(500, 1_000)
    ann.types(b"".join(lines))
    house.busy(lambda: not ann.unsent and house.is_quiet())
    assert bob.spy.owed_bytes > 0
    for name in ("Bob", "bob", "BOB") * 3:
        thief = house.ask(b"JOIN %s %s\n:Exit\n" % (name.encode(), PASSCODE))
        thief.reads_to_end(error_line(protocol.NAME_IN_USE + name))
    ann.send(b":Msg bob for the holder\n")
    bob.is_deaf = False
    house.busy(lambda: bob.heard.endswith(b"holder\n"))
    assert bob.heard == b"".join(
        [b"OK\n", *(b"Ann: " + line for line in lines), b"[Message from Ann]: for the holder\n"]
    )
    bob.send(b"mine\n")
    ann.reads(b"Bob: mine\n")
    assert house.roster.usernames == ["Ann", "Bob"]


@fault(48)
@pytest.mark.usefixtures("in_earnest")
def test_passcode_is_in_no_traceback_or_environment() -> None:
    """That it is in no other output is seen wherever outputs are compared in whole, in
    tests/test_journal.py and in tests/test_flags.py."""
    secret = "S3cr3"
    patch = "import codec.dispatcher as d; d.compare_digest = lambda one, other: one.none_today"
    with Room(passcode=secret, patch=patch) as room:
        room.start_member("Alice").exits(1, CLOSED)
        if Path("/proc/self/environ").exists():
            environment = Path(f"/proc/{room.server.pid}/environ").read_bytes()
            assert environment
            assert secret.encode() not in environment
        room.server.signal(signal.SIGTERM)
        told = room.server.stderr.take_rest()
        assert b"Traceback" in told
        assert b"none_today" in told
        assert secret.encode() not in told
        room.server.exits(0)
