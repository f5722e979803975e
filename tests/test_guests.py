"""Strangers before JOIN: what they say, how they come and go, what they can learn.

On real sockets and a virtual clock, as in tests/test_room.py; tests/test_gate.py has their pool and
their guesses.
"""

from __future__ import annotations

import contextlib
import gc
import hmac
import os
import random
import signal
import socket
import ssl
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.gate import POOL_CONNECTIONS
from chat.session import HANDSHAKE_SECONDS
from codec import MAX_JOIN_BYTES, Dispatcher, Join, ProtocolError, Roster
from reactor.listener import BACKLOG
from tests.support.faults import fault
from tests.support.programs import CLOSED, Room, Stage, free_port
from tests.test_room import JOIN_EXPECTED, PASSCODE, House, local_time, numbered

TIMED_OUT = b"ERROR Handshake timed out\n"


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


# What they say.

GREETINGS = [
    b"GET / HTTP/1.1\r\nHost: chat\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"*1\r\n$4\r\nPING\r\n",  # Redis
    b"NICK bob\r\nUSER bob 0 * :Bob\r\n",  # IRC
    b"\xff\xfd\x18JOIN Bob abc12\r\n",  # telnet options
    b"\xff\xfd\x18\xff\xfd\x20\xff\xfb\x1f",
    b"\x05\x01\x00",  # SOCKS
    b"\0\0\0\x08\x04\xd2\x16\x2f",  # PostgreSQL
]


def client_hello() -> bytes:
    """What a browser says first to an https:// address."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="chat.example").do_handshake()
    return outgoing.read()


@fault(1, 7)
def test_strange_bytes_before_join_get_one_refusal(house: House) -> None:
    """At once where they end a line or are too many for one, else at the deadline."""
    chance = random.Random(1)
    sizes = [20, MAX_JOIN_BYTES - 1, MAX_JOIN_BYTES + 9, 2_000]
    bursts = [chance.randbytes(chance.choice(sizes)) for _ in range(200)]
    ann = house.join("Ann")
    house.shown()
    silent = []
    for data in [client_hello(), *GREETINGS, *bursts]:
        stranger = house.connect()
        stranger.send(data)
        if b"\n" in data or len(data) > MAX_JOIN_BYTES:
            stranger.reads_to_end(JOIN_EXPECTED)
            stranger.socket.close()
        else:
            silent.append(stranger)
    assert 40 < len(silent) < POOL_CONNECTIONS
    for stranger in silent:
        stranger.reads_nothing()
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    for stranger in silent:
        stranger.reads_to_end(TIMED_OUT)
        stranger.socket.close()
    house.loop.turn_until(house.loop.is_idle)
    ann.reads_nothing()
    assert house.shown() == b""
    assert house.roster.usernames == ["Ann"]


@fault(6)
def test_half_lines_wake_no_loop_until_the_deadline(house: House) -> None:
    """100 members and 100 strangers have said half a line each."""
    members = [house.join(f"m{number}") for number in range(100)]
    for member in members:
        member.send(b"x" * 1_000)
    strangers = [house.connect() for _ in range(100)]
    for stranger in strangers:
        stranger.send(b"JOIN half")
    house.loop.turn_until(lambda: not house.loop.selector.real.select(0))
    house.loop.selector.waits.clear()
    house.loop.pass_seconds(HANDSHAKE_SECONDS - 1)
    assert len(house.loop.selector.waits) <= 2
    house.loop.pass_seconds(1)
    for stranger in strangers:
        stranger.reads_to_end(TIMED_OUT)
        stranger.socket.close()
    house.loop.turn_until(house.loop.is_idle)
    members[0].send(b"\n")
    house.busy(lambda: members[1].heard.endswith(b"m0: " + b"x" * 1_000 + b"\n"))


# How they come and go.


@fault(20)
@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux tells")
def test_kernel_keeps_newcomers_between_two_turns(house: House) -> None:
    tcpi_sacked = 28  # its offset; of a listening socket it is the backlog
    info = house._listener._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert struct.unpack_from("I", info, tcpi_sacked) == (min(BACKLOG, most),)


def come_and_go(house: House, number: int) -> None:
    """A stranger, gone in one of many ways before it was anybody."""
    stranger = house.connect()
    stranger.socket.send([b"J", b"JOIN half", b"\n", b"x" * 2_000][number % 4])
    house.loop.turn()
    if number % 3:
        stranger.resets()
    else:
        stranger.socket.close()
    house.loop.turn_until(lambda: not house.room._sessions)
    house.people.clear()
    house.spies.clear()


@fault(21)
def test_strangers_who_come_and_go_leave_no_memory_taken(house: House) -> None:
    """2,000, closed or reset at four stages."""
    for number in range(24):
        come_and_go(house, number)
    descriptors = os.listdir("/dev/fd")
    tracemalloc.start()
    try:
        for number in range(100):
            come_and_go(house, number)
        gc.collect()  # a session and its connection know each other until it comes
        early_bytes, _ = tracemalloc.get_traced_memory()
        for number in range(1_900):
            come_and_go(house, number)
        house.loop.selector.waits.clear()
        gc.collect()
        late_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One object more for each of them would be 100 KiB; tables that grow in steps are less.
    assert late_bytes - early_bytes < 64 * 1024
    assert len(os.listdir("/dev/fd")) == len(descriptors)
    house.loop.turn_until(house.loop.is_idle)


@fault(22)
def test_resets_before_accept_are_no_news(house: House) -> None:
    """200 in the backlog, each other one with a JOIN that was not whole."""
    ann = house.join("Ann")
    house.shown()
    for person in [house.knock() for _ in range(200)]:
        if person.socket.fileno() % 2:
            person.socket.send(b"JOIN Bob abc12")
        person.resets()
    house.join("Bob", ann)
    assert house.shown() == b"Bob joined the chatroom\n"
    assert house.log == []
    house.loop.turn_until(lambda: len(house.room._sessions) == 2)
    house.loop.turn_until(house.loop.is_idle)


# What they can have, and learn.


@fault(17)
def test_name_in_use_keeps_its_seat_and_what_is_owed(house: House) -> None:
    """30 attempts to join under the name of one who is owed half a megabyte."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    bob.is_deaf = True
    lines = numbered(500, 1_000)
    ann.types(b"".join(lines))
    house.busy(lambda: not ann.unsent and not house.loop.selector.real.select(0))
    assert bob.spy.connection.outbound.owed_bytes > 0
    house.shown()
    for name in (b"Bob", b"bob", b"BOB") * 10:
        thief = house.connect()
        thief.send(b"JOIN %s %s\n:Exit\n" % (name, PASSCODE))
        thief.reads_to_end(b"ERROR Username already in use: %s\n" % name)
        thief.socket.close()
    assert house.shown() == b""
    ann.send(b":Msg bob for the holder\n")
    bob.is_deaf = False
    house.busy(lambda: bob.heard.endswith(b"holder\n"))
    assert bob.heard == b"".join(
        [b"OK\n", *(b"Ann: " + line for line in lines), b"[Message from Ann]: for the holder\n"]
    )
    bob.send(b"mine\n")
    ann.reads(b"Bob: mine\n")
    assert house.roster.usernames == ["Ann", "Bob"]


@fault(46)
@pytest.mark.parametrize("username", ["Ann", "Bob", "", "not valid", "\u0410nn", "x" * 200])
@pytest.mark.parametrize("passcode", [b"", b"abc1", b"abc12", b"bbc12", b"\xff", b"x" * 200])
def test_join_costs_one_comparison_whatever_it_says(
    username: str, passcode: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the whole passcode, for every name, valid, taken or not. That it takes the same time is
    for `hmac.compare_digest` to promise."""
    compared = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        compared.append({one, other})
        return one == other

    dispatcher = Dispatcher(PASSCODE, local_time, roster := Roster())
    roster.apply(dispatcher.join("Ann"))
    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    with contextlib.suppress(ProtocolError):
        dispatcher.check(Join(username, passcode))
    assert compared == [{passcode, PASSCODE}]


BROKEN_COMPARISON = """
import hmac

def compare_digest(one, other):
    raise ValueError("no comparison today")

hmac.compare_digest = compare_digest
"""


@fault(48)
def test_passcode_is_in_no_traceback_or_environment(tmp_path: Path) -> None:
    """Nor in a complaint. (That it is in no other output is seen wherever outputs are compared in
    whole, and in tests/test_journal.py.)"""
    secret = "S3cr3"
    (tmp_path / "sitecustomize.py").write_text(BROKEN_COMPARISON)
    with Stage() as stage:
        port = free_port()
        flags = ["-start", "-port", str(port), "-passcode", secret]
        server = stage.start("server.py", *flags, env={"PYTHONPATH": str(tmp_path)})
        server.shows(f"Server started on port {port}. Accepting connections")
        stage.start_client(port, passcode=secret).exits(1, CLOSED)
        if Path("/proc/self/environ").exists():
            environment = Path(f"/proc/{server.process.pid}/environ").read_bytes()
            assert environment
            assert secret.encode() not in environment
        server.signal(signal.SIGTERM)
        told = server.stderr.take_rest()
        assert b"Traceback" in told
        assert b"no comparison today" in told
        assert secret.encode() not in told
        server.exits(0)

        for wrong in (["-port", "x"], ["-port", "1", "-nosuch"], ["-passcode", secret + "\x1b"]):
            hasty = stage.start("server.py", "-start", "-passcode", secret, *wrong)
            assert secret not in hasty.stderr.take_line()
            hasty.exits(2)


CLOCK_IN_A_FILE = """
import os, time

def read_clock():
    with open(os.environ["CLOCK"]) as file:
        return float(file.read())

time.time = read_clock
"""


@fault(62)
def test_deadline_to_join_heeds_no_time_of_day(tmp_path: Path) -> None:
    """The clock of both programs jumps by days, into 2038 and across a change of the hour, while a
    stranger has 20 seconds to join."""
    clock = tmp_path / "clock"
    (tmp_path / "sitecustomize.py").write_text(CLOCK_IN_A_FILE)
    env = {"PYTHONPATH": str(tmp_path), "CLOCK": str(clock), "TZ": "EST5EDT,M3.2.0,M11.1.0"}
    spring_forward = 1741501800  # 2025-03-09 06:30 UTC
    clock.write_text(str(spring_forward))
    with Room(env=env) as room:
        alice = room.start_member("Alice", env=env)
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.welcomes(alice)
        stranger = room.connect("Bob")
        stranger.feed(b"JOIN Bob ")
        for seconds, now, in_an_hour in (
            (spring_forward, "Sun Mar 09 01:30:00 2025", "Sun Mar 09 03:30:00 2025"),
            (spring_forward - 86_400, "Sat Mar 08 01:30:00 2025", "Sat Mar 08 02:30:00 2025"),
            (spring_forward + 86_400, "Mon Mar 10 02:30:00 2025", "Mon Mar 10 03:30:00 2025"),
            (2**31 - 1, "Mon Jan 18 22:14:07 2038", "Mon Jan 18 23:14:07 2038"),
            (0, "Wed Dec 31 19:00:00 1969", "Wed Dec 31 20:00:00 1969"),
        ):
            clock.write_text(str(seconds))
            alice.types(":mytime :+1hr")
            room.all_show(f"Alice: {now} {in_an_hour}")
        stranger.types("abc12")
        stranger.shows("OK")
        room.welcomes(stranger)
        room.nothing_else()
