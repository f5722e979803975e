"""Faults 1 to 37: what strangers and members may send, how they come, stall and go.

Only what no other test covers stands here. Real sockets and a virtual clock, as in tests.test_room;
sizes are what ends in a second or two, and each docstring tells them.
"""

from __future__ import annotations

import gc
import os
import random
import select
import selectors
import socket
import ssl
import struct
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chat.gate import POOL_CONNECTIONS
from chat.session import HANDSHAKE_SECONDS
from codec import MAX_JOIN_BYTES
from reactor import READ
from reactor.connection import LINGER_SECONDS, READ_BYTES
from reactor.flow import STALL_SECONDS
from reactor.listener import ACCEPTS_PER_TURN, BACKLOG
from tests.codec.conftest import UNSAFE
from tests.reactor.conftest import SELECTORS, Loop
from tests.support.faults import fault
from tests.test_room import (
    JOIN_EXPECTED,
    PASSCODE,
    TOO_LONG,
    House,
    Person,
    count_sessions_and_cursors,
    line_by_line,
    lines_since,
    numbered,
)

TIMED_OUT = b"ERROR Handshake timed out\n"
MIB = 1 << 20
BAD = "\N{REPLACEMENT CHARACTER}"

SOCKETS_OF_THE_KERNEL = Path("/proc/net/tcp")


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


def is_safe(shown: bytes) -> bool:
    """Whether lines are UTF-8 and hold no character that may not reach a screen."""
    return not UNSAFE & set(map(ord, shown.decode().replace("\n", "")))


def replaced(line: bytes) -> bytes:
    """The same with U+FFFD for each bad byte and each unsafe character."""
    line = line.removesuffix(b"\r")
    unsafe = UNSAFE | set(range(0xD800, 0xE000))
    return line.decode(errors="surrogateescape").translate(dict.fromkeys(unsafe, BAD)).encode()


def knock(house: House, count: int) -> list[Person]:
    """So many connect, and the room has not turned since the first of them did."""
    door = house.connect().socket.getpeername()
    people = []
    established = select.poll()
    for _ in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(door)
        established.register(sock, select.POLLOUT)
        people.append(Person(house, sock))
    house.people += people
    waiting = {person.socket.fileno() for person in people}
    while waiting:
        for descriptor, _ in established.poll():
            waiting.discard(descriptor)
            established.unregister(descriptor)
    return people


def turns(house: House) -> int:
    """How often the loop has turned."""
    return len(house.loop.selector.waits)


def stay_busy(house: House, count: int) -> None:
    """Let everyone send and read for so many turns."""
    end = turns(house) + count
    house.busy(lambda: turns(house) >= end)


def go_idle(house: House) -> None:
    """Nothing is ready, queued or scheduled any more."""
    house.loop.turn_until(house.loop.is_idle)


# Bytes that make no sense.


@fault(1)
def test_random_bytes_of_a_stranger_are_one_refusal_and_the_end(house: House) -> None:
    """200 bursts of 1 to 2,000 random bytes before JOIN."""
    chance = random.Random(1)
    ann = house.join("Ann")
    house.shown()
    silent = []
    for _ in range(200):
        stranger = house.connect()
        data = chance.randbytes(chance.choice([20, MAX_JOIN_BYTES - 1, MAX_JOIN_BYTES + 9, 2000]))
        stranger.send(data)
        if b"\n" in data or len(data) > MAX_JOIN_BYTES:
            stranger.reads_to_end(JOIN_EXPECTED)
            stranger.socket.close()
        else:
            silent.append(stranger)
    assert 40 < len(silent) < POOL_CONNECTIONS
    house.loop.pass_seconds(HANDSHAKE_SECONDS)
    for stranger in silent:
        stranger.reads_to_end(TIMED_OUT)
        stranger.socket.close()
    go_idle(house)
    ann.reads_nothing()
    assert house.shown() == b""
    assert house.roster.usernames == ["Ann"]


@fault(2)
def test_random_bytes_of_a_member_are_shown_as_safe_text_or_refused_to_it(house: House) -> None:
    """300 bursts of 1 to 3,000 random bytes after JOIN, in lines of 0 to 5,000."""
    chance = random.Random(2)
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    house.shown()
    others = [byte for byte in range(256) if byte not in b"\n:\\"]
    lines: list[bytes] = []
    while sum(len(line) for line in lines) < 300_000:
        size = chance.choice([0, 1, 3, 80, 500, 1_400, 5_000])
        likely = chance.choice([others, b"\r\x1b\t :)(\\", b":\\" + bytes(others)])
        lines.append(bytes(chance.choices([*others, *likely], k=size)))
    lines.append(b"the end")
    to_ann, to_bob = line_by_line(lines)
    data = b"".join(line + b"\n" for line in lines)
    while data:
        size = chance.randint(1, 3_000)
        bob.send(data[:size])
        data = data[size:]
    ann.reads(to_ann)
    bob.reads(to_bob)
    assert is_safe(to_ann)
    assert all(line.startswith(b"Bob: ") for line in to_ann.splitlines())
    plain = [replaced(line) for line in lines if b":" not in line and b"\\" not in line]
    said = [line for line in plain if line.strip(b" \t") and len(line) <= 4_091]
    assert len(said) > 20
    assert all(b"Bob: %s\n" % line in to_ann for line in said)
    assert to_bob.count(TOO_LONG) == sum(len(line) > 4_090 for line in lines) > 10
    assert house.shown() == to_ann
    ann.send(b"still here\n")
    bob.reads(b"Ann: still here\n")


@fault(4)
def test_16_mib_of_one_line_of_a_stranger_is_refused_when_it_is_too_long(house: House) -> None:
    """16 MiB without a line end before JOIN, the full size."""
    stranger = house.connect()
    data = memoryview(b"J" * (16 * MIB))
    tracemalloc.start()
    try:
        idle_bytes, _ = tracemalloc.get_traced_memory()
        stranger.unsent = data[stranger.socket.send(data) :]
        stranger.reads(JOIN_EXPECTED)
        assert stranger.spy.received_bytes <= READ_BYTES
        stranger.is_deaf = True
        house.busy(lambda: stranger.socket.fileno() < 0)
        go_idle(house)
        assert stranger.spy.received_bytes <= READ_BYTES
        left_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(stranger.unsent) > 8 * MIB, "it felt that nobody listens"
    assert peak_bytes - idle_bytes < 4 * READ_BYTES
    house.spies.clear()
    assert left_bytes - idle_bytes < 2 * READ_BYTES


@fault(5)
def test_16_mib_of_one_line_of_a_member_are_refused_once_and_kept_nowhere(house: House) -> None:
    """16 MiB without a line end after JOIN, the full size."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    data = b"x" * (16 * MIB) + b"\nafter\n"
    tracemalloc.start()
    try:
        idle_bytes, _ = tracemalloc.get_traced_memory()
        bob.types(data)
        ann.is_deaf = bob.is_deaf = True
        house.busy(lambda: not bob.unsent)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes - idle_bytes < 4 * READ_BYTES
    ann.reads(b"Bob: after\n")
    bob.reads(TOO_LONG)
    bob.reads_nothing()
    bob.send(b"and on\n")
    ann.reads(b"Bob: and on\n")


@fault(6)
def test_a_line_whose_end_does_not_come_wakes_nobody(house: House) -> None:
    """100 members and 100 strangers hold half a line."""
    members = [house.join(f"m{number}") for number in range(100)]
    for member in members:
        member.send(b"x" * 1_000)
    go_idle(house)
    strangers = [house.connect() for _ in range(100)]
    for stranger in strangers:
        stranger.send(b"JOIN half")
    house.loop.turn_until(lambda: not house.loop.selector.real.select(0))
    before = turns(house)
    house.loop.pass_seconds(HANDSHAKE_SECONDS - 1)
    assert turns(house) - before <= 2
    house.loop.pass_seconds(1)
    for stranger in strangers:
        stranger.reads_to_end(TIMED_OUT)
        stranger.socket.close()
    go_idle(house)
    members[0].send(b"\n")
    name = b"m0: "
    end = members[1]
    house.busy(lambda: end.heard.endswith(name + b"x" * 1_000 + b"\n"))


def client_hello() -> bytes:
    """What a browser says first to an https:// address."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="chat.example").do_handshake()
    return outgoing.read()


@fault(7)
@pytest.mark.parametrize(
    ("greeting", "answer"),
    [
        pytest.param(client_hello(), JOIN_EXPECTED, id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: chat\r\n\r\n", JOIN_EXPECTED, id="HTTP"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", JOIN_EXPECTED, id="HTTP/2"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", JOIN_EXPECTED, id="SSH"),
        pytest.param(b"*1\r\n$4\r\nPING\r\n", JOIN_EXPECTED, id="Redis"),
        pytest.param(b"NICK bob\r\nUSER bob 0 * :Bob\r\n", JOIN_EXPECTED, id="IRC"),
        pytest.param(b"\xff\xfd\x18JOIN Bob abc12\r\n", JOIN_EXPECTED, id="telnet options"),
        pytest.param(b"\xff\xfd\x18\xff\xfd\x20\xff\xfb\x1f", TIMED_OUT, id="telnet options alone"),
        pytest.param(b"\x05\x01\x00", TIMED_OUT, id="SOCKS"),
        pytest.param(b"\0\0\0\x08\x04\xd2\x16\x2f", TIMED_OUT, id="PostgreSQL"),
    ],
)
def test_the_first_words_of_another_protocol_are_refused(
    house: House, greeting: bytes, answer: bytes
) -> None:
    """One greeting of each of ten protocols."""
    ann = house.join("Ann")
    stranger = house.connect()
    stranger.send(greeting)
    if answer == TIMED_OUT:
        stranger.reads_nothing()
        house.loop.pass_seconds(HANDSHAKE_SECONDS)
    stranger.reads_to_end(answer)
    stranger.socket.close()
    go_idle(house)
    ann.reads_nothing()


@fault(8)
def test_urgent_bytes_harm_no_line_and_keep_nobody_awake(house: House) -> None:
    """An out-of-band byte before and inside JOIN, before, inside and after a line."""
    ann = house.join("Ann")
    bob = house.connect()
    for piece in (b"", b"JOIN B"):
        bob.send(piece)
        bob.socket.send(b"!", socket.MSG_OOB)
        house.loop.turn(2)
    for piece in (b"ob abc12\n", b"hel", b"lo\n"):
        bob.send(piece)
        bob.socket.send(b"!", socket.MSG_OOB)
        go_idle(house)
    ann.reads(b"Bob joined the chatroom\nBob: hello\n")
    bob.reads(b"OK\n")
    ann.send(b"hi\n")
    bob.reads(b"Ann: hi\n")
    go_idle(house)


# Text that tries to look like something else.


@fault(10)
def test_a_line_is_shown_whole_wherever_it_is_split(house: House) -> None:
    """Every split point of a line of 1,040 bytes, in characters of 1 to 4."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    line = "aé€😀".encode() * 104 + b"\n"
    for cut in range(1, len(line)):
        bob.send(line[:cut])
        bob.send(line[cut:])
    ann.reads((b"Bob: " + line) * (len(line) - 1))


@fault(13, 14)
@pytest.mark.parametrize("end", [*"\r\b\v\f\x1c\x1d\x1e\x85\u2028\u2029\n", "\r\r"])
def test_one_typed_line_is_one_shown_line_of_its_true_sender(house: House, end: str) -> None:
    """The separators that `str.splitlines` knows, and BS, in speech and secret,
    among plain lines and alone."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    forged = f"hi{end}Cid: forged{end}Cid left the chatroom".encode()
    house.shown()
    bob.send(b"plain\n" + forged + b"\nplain\n")
    bob.send(forged + b"\n")
    bob.send(b":Msg Ann " + forged + b"\n:Msg Ann end\n")
    house.busy(lambda: ann.heard.endswith(b"end\n"))
    heard = lines_since(ann, b"Bob joined the chatroom\n")
    assert is_safe(ann.heard)
    speech = [line for line in heard if line.startswith(b"Bob: ")]
    secret = [line for line in heard if line.startswith(b"[Message from Bob]: ")]
    assert len(speech) + len(secret) == len(heard)
    assert len(secret) == 2
    assert len(speech) == (10 if end == "\n" else 4)
    shown = house.shown()
    assert is_safe(shown)
    assert all(line.startswith(b"Bob: ") for line in shown.splitlines())


@fault(17)
def test_who_has_a_name_keeps_it_and_all_that_is_owed_to_it(house: House) -> None:
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


# Strangers in numbers.


@fault(18)
def test_dribbled_handshakes_end_at_their_deadline_and_newcomers_are_served(house: House) -> None:
    """120 strangers send a byte of JOIN each 0.7 s, and somebody joins meanwhile."""
    ann = house.join("Ann")
    slow = [house.connect() for _ in range(120)]
    start = house.loop.clock.now
    request = b"JOIN Slow " + b"x" * 100
    for step in range(28):
        for stranger in slow:
            stranger.socket.send(request[step : step + 1])
        house.loop.pass_seconds(0.7)
        now = house.loop.clock.now
        house.join(f"new{step}", ann)
        assert house.loop.clock.now == now, "who joins waits for nobody"
    assert house.loop.clock.now < start + HANDSHAKE_SECONDS
    for stranger in slow:
        stranger.reads_nothing()
    house.loop.pass_seconds(start + HANDSHAKE_SECONDS - house.loop.clock.now)
    for stranger in slow:
        stranger.reads_to_end(TIMED_OUT)
    assert house.loop.clock.now == start + HANDSHAKE_SECONDS


@fault(19)
def test_members_are_served_while_silent_strangers_come_in_a_storm(house: House) -> None:
    """500 silent connections at once, beside two members who talk."""
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    storm = knock(house, 500)
    inside = len(house.spies)
    ann.socket.send(b"hello\n")
    house.loop.turn()
    assert len(house.spies) - inside == ACCEPTS_PER_TURN
    assert bob.read(len(b"Ann: hello\n")) == b"Ann: hello\n"
    assert len(house.spies) - inside < len(storm), "she was not kept waiting by all of them"
    house.loop.turn_until(lambda: storm[-1].address in house.spies)
    staying = storm[-POOL_CONNECTIONS:]
    for stranger in storm[:-POOL_CONNECTIONS]:
        stranger.reads_to_end(b"ERROR Too many connections\n")
    for stranger in staying:
        stranger.reads_nothing()
    staying[0].send(b"JOIN Cid abc12\n")
    bob.reads(b"Cid joined the chatroom\n")
    assert house.roster.usernames == ["Ann", "Bob", "Cid"]


TCP_INFO_MAX_BACKLOG = 28  # offset of tcpi_sacked, which for a listening socket is its backlog
TCP_INFO_TOTAL_RETRANSMITS = 100


def tcp_info(sock: socket.socket, offset: int) -> int:
    """A counter of Linux' struct tcp_info."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("I", info, offset)[0])


@fault(20)
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how often it sent a SYN")
def test_the_kernel_keeps_all_who_come_between_two_turns(house: House) -> None:
    """500 connections made while the loop does not turn; none is asked to come again."""
    somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_text())
    listening = house._listener._socket
    assert tcp_info(listening, TCP_INFO_MAX_BACKLOG) == min(BACKLOG, somaxconn)
    count = min(500, somaxconn)
    crowd = knock(house, count)
    assert [tcp_info(person.socket, TCP_INFO_TOTAL_RETRANSMITS) for person in crowd] == [0] * count
    before = turns(house)
    house.loop.turn_until(lambda: crowd[-1].address in house.spies)
    assert turns(house) - before <= count // ACCEPTS_PER_TURN + 1


def come_and_go(house: House, number: int) -> None:
    """A stranger, gone in one of many ways before it was anybody."""
    stranger = house.connect()
    stranger.socket.send([b"", b"JOIN half", b"\n", b"x" * 2_000][number % 4] or b"J")
    house.loop.turn()
    if number % 3:
        stranger.resets()
    else:
        stranger.socket.close()
    house.loop.turn_until(lambda: not house.room._sessions)
    house.people.clear()
    house.spies.clear()


@fault(21)
def test_connections_that_come_and_go_leave_nothing_behind(house: House) -> None:
    """2,000 connections, closed or reset at four stages."""
    for number in range(24):
        come_and_go(house, number)
    count, descriptors = count_sessions_and_cursors(), os.listdir("/dev/fd")
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
    assert count_sessions_and_cursors() == count
    go_idle(house)


@fault(22)
def test_who_resets_before_it_is_accepted_costs_nobody_anything(house: House) -> None:
    """200 resets in the backlog, with and without a JOIN before it."""
    ann = house.join("Ann")
    house.shown()
    gone = knock(house, 200)
    for number, person in enumerate(gone):
        if number % 2:
            person.socket.send(b"JOIN Bob abc12")  # not whole: nobody joins by it
        person.resets()
    bob = house.join("Bob", ann)
    assert set(house.room._sessions) >= {ann.spy.session, bob.spy.session}
    assert house.shown() == b"Bob joined the chatroom\n"
    assert house.log == []
    house.people[1].resets()  # whoever `knock` asked the way
    house.loop.turn_until(lambda: len(house.room._sessions) == 2)
    go_idle(house)


# Resets and ends at every stage of a session.


def stay_silent(house: House, bob: Person) -> None:
    bob.send(b"")


def ask_by_half(house: House, bob: Person) -> None:
    bob.send(b"JOIN Bob a")


def be_refused(house: House, bob: Person) -> None:
    bob.send(b"JOIN Bob wrong\n")


def join(house: House, bob: Person) -> None:
    bob.send(b"JOIN Bob abc12\n")
    bob.reads(b"OK\n")


def talk_by_half(house: House, bob: Person) -> None:
    join(house, bob)
    bob.send(b"half")


def be_owed_much(house: House, bob: Person) -> None:
    join(house, bob)
    bob.is_deaf = True
    bob.types(b":Users\n" * 200_000)
    house.busy(lambda: bob.spy.connection.outbound.owed_bytes > 100_000)
    bob.unsent = memoryview(b"")


def exit_and_linger(house: House, bob: Person) -> None:
    join(house, bob)
    bob.send(b":Exit\n")


def end_and_linger(house: House, bob: Person) -> None:
    join(house, bob)
    bob.ends()
    house.loop.turn(2)


def be_told_of_the_end(house: House, bob: Person) -> None:
    join(house, bob)
    bob.spy.connection.write(b"owed\n")
    bob.ends()


STRANGERS = [stay_silent, ask_by_half, be_refused]
MEMBERS = [
    join,
    talk_by_half,
    be_owed_much,
    exit_and_linger,
    end_and_linger,
    be_told_of_the_end,
]


@fault(23)
@pytest.mark.parametrize(
    ("stage", "times_left"), [(x, 0) for x in STRANGERS] + [(x, 1) for x in MEMBERS]
)
def test_a_reset_at_any_stage_is_one_departure_or_none(
    house: House, stage: Callable[[House, Person], None], times_left: int
) -> None:
    """A reset at each of nine stages of a session."""
    ann = house.join("Ann")
    bob = house.connect()
    stage(house, bob)
    bob.resets()
    house.loop.turn_until(lambda: list(house.room._sessions) == [ann.spy.session])
    house.loop.pass_seconds(HANDSHAKE_SECONDS + LINGER_SECONDS)
    shown = house.shown()
    assert shown.count(b"Bob joined the chatroom\n") == times_left
    assert shown.count(b"Bob left the chatroom\n") == times_left
    go_idle(house)
    house.join("bob")
    assert house.roster.usernames == ["Ann", "bob"]
    assert house.log == []


@fault(29)
@pytest.mark.skipif(not SOCKETS_OF_THE_KERNEL.exists(), reason="the kernel does not tell")
def test_the_kernel_keeps_nothing_of_one_who_was_cut(house: House) -> None:
    """One member, cut while it is owed a quarter of a megabyte."""
    ann = house.join("Ann")
    deaf = house.join("Deaf", ann)
    deaf.is_deaf = True
    # It has said nothing that is not read yet: that alone would make any end of it a reset.
    ann.types(b"".join(numbered(500, 1_000)))
    house.busy(lambda: deaf.spy.connection.outbound.owed_bytes > 200_000)
    house.busy(lambda: not ann.unsent)
    ours, theirs = (
        f":{port:04X} " for port in (deaf.socket.getpeername()[1], deaf.socket.getsockname()[1])
    )

    def has_kernel() -> bool:
        """Whether there is still a socket of the room's, of any state, for this member."""
        lines = SOCKETS_OF_THE_KERNEL.read_text().splitlines()
        return any(ours in line[:21] and theirs in line[21:35] for line in lines)

    assert has_kernel()
    house.loop.pass_seconds(2 * STALL_SECONDS)
    assert len(house.log) == 1
    assert not has_kernel()
    ann.reads(b"Deaf left the chatroom\n")
    assert house.roster.usernames == ["Ann"]


# Floods and trickles.


@fault(31, 32)
def test_ten_who_flood_take_turns_and_keep_nobody_else_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten members pour 1,000 lines of 500 bytes each, another says a word now and
    then, and all read what comes. Pages are small, so that a kernel takes each at once: whoever is
    owed a page is not heard, and who that is would be chance."""
    monkeypatch.setattr("reactor.fanout.PAGE_BYTES", READ_BYTES)
    ear = house.join("Ear")
    quiet = house.join("Quiet")
    lines = numbered(1_000, 500)
    flooders = {f"f{number}": house.join(f"f{number}") for number in range(10)}
    house.busy(lambda: b"f9 joined" in ear.heard)
    start = len(ear.heard) - 1
    for flooder in flooders.values():
        flooder.types(b"".join(lines))
    longest_turns = widest_spread = 0
    for number in range(4):
        stay_busy(house, 5)
        before = turns(house)
        quiet.types(b"word %d\n" % number)
        house.busy(lambda: ear.heard.count(b"\nQuiet: word ") > number)  # noqa: B023  called here
        longest_turns = max(longest_turns, turns(house) - before)
        counts = [ear.heard.count(b"\n%s: " % name.encode(), start) for name in flooders]
        widest_spread = max(widest_spread, max(counts) - min(counts))
    assert ear.heard.count(b"-x") < 10_000, "they have not come to an end yet"
    house.busy(lambda: ear.heard.count(b"-x") == 10_000)
    heard = ear.heard[start + 1 :].splitlines(keepends=True)
    for name in flooders:
        said = b"%s: " % name.encode()
        assert [line for line in heard if line.startswith(said)] == [said + x for x in lines]
    assert longest_turns <= 2 * len(flooders)
    assert widest_spread <= 3 * READ_BYTES // len(lines[-1])
    assert house.log == []


@fault(33)
def test_lines_that_come_byte_by_byte_are_whole(house: House) -> None:
    """Eight members write ten lines each, a byte at a time and all at once; every other
    line has a shortcut."""
    ear = house.join("Ear")
    names = [f"m{number}" for number in range(8)]
    lines = [line + b"hi :)\n" * (number % 2) for number, line in enumerate(numbered(10, 20))]
    members = [house.join(name, ear) for name in names]
    data = b"".join(lines)
    for position in range(len(data)):
        for member in members:
            member.socket.send(data[position : position + 1])
        house.loop.turn()
    house.busy(lambda: ear.heard.count(b"\nm") == 8 + 8 * 15)
    heard = lines_since(ear, b"m7 joined the chatroom\n")
    shown = data.replace(b":)", b"[feeling happy]").splitlines(keepends=True)
    for name in names:
        said = f"{name}: ".encode()
        assert [line for line in heard if line.startswith(said)] == [said + x for x in shown]
    assert len(heard) == 8 * 15


@fault(34)
@pytest.mark.parametrize(
    ("said", "is_member", "shown"),
    [
        pytest.param(b"", False, b"", id="before JOIN"),
        pytest.param(b"JOIN Bob", False, b"", id="inside JOIN"),
        pytest.param(b"JOIN Bob abc12", False, b"", id="before its line end"),
        pytest.param(b"JOIN Bob abc12\n", True, b"", id="after JOIN"),
        pytest.param(b"JOIN Bob abc12\nhel", True, b"", id="inside a line"),
        pytest.param(b"JOIN Bob abc12\nhello\n", True, b"Bob: hello\n", id="after a line"),
        pytest.param(b"JOIN Bob abc12\nhello\nhal", True, b"Bob: hello\n", id="inside the next"),
    ],
)
@pytest.mark.parametrize("is_at_once", [True, False], ids=["at once", "later"])
def test_who_shuts_its_half_is_heard_to_the_last_line_end_and_gone(
    house: House, said: bytes, is_member: bool, shown: bytes, is_at_once: bool
) -> None:
    """FIN at each of seven stages, by one who never closes its other half."""
    ann = house.join("Ann")
    bob = house.connect()
    house.shown()
    if is_at_once:
        bob.socket.send(said or b"\r")
    else:
        bob.send(said)
    bob.ends()
    bob.reads_to_end(b"OK\n" if is_member else b"")
    if is_member:
        shown = b"Bob joined the chatroom\n" + shown + b"Bob left the chatroom\n"
    ann.read(len(shown))
    assert ann.heard[len(b"OK\n") :] == shown == house.shown()
    go_idle(house)
    assert list(house.room._sessions) == [ann.spy.session]


@fault(34)
def test_one_who_shuts_its_half_and_does_not_read_what_it_is_owed_wakes_nobody(
    house: House,
) -> None:
    """FIN of one who is owed a quarter of a megabyte, until it is aborted for it."""
    ann = house.join("Ann")
    deaf = house.join("Deaf", ann)
    deaf.is_deaf = True
    ann.types(b"".join(numbered(500, 1_000)))
    house.busy(lambda: deaf.spy.connection.outbound.owed_bytes > 200_000)
    house.busy(lambda: not ann.unsent)
    deaf.ends()
    ann.reads(b"Deaf left the chatroom\n")
    house.loop.turn_until(lambda: not house.loop.selector.real.select(0))
    house.loop.turn(2)
    before = turns(house)
    house.loop.pass_seconds(LINGER_SECONDS / 2)
    assert turns(house) - before <= 2
    assert deaf.spy.connection.outbound.owed_bytes > 0
    house.loop.pass_seconds(LINGER_SECONDS)
    assert list(house.room._sessions) == [ann.spy.session]
    go_idle(house)


# The loop.


@fault(36)
def test_nobody_who_is_owed_nothing_is_watched_for_writing(house: House) -> None:
    """Five members, each of whom was owed half a megabyte and has caught up."""
    ann = house.join("Ann")
    slow = [house.join(f"s{number}") for number in range(5)]
    for person in slow:
        person.is_deaf = True
    lines = numbered(500, 1_000)
    ann.types(b"".join(lines) + b":Msg s0 private\n")
    house.busy(lambda: not ann.unsent and not house.loop.selector.real.select(0))
    for person in slow:
        assert house.loop.interest_in(person.spy.connection.descriptor) != READ
        person.is_deaf = False
    house.busy(lambda: all(lines[-1] in person.heard for person in slow))
    house.busy(lambda: slow[0].heard.endswith(b"private\n"))
    for person in (ann, *slow):
        assert house.loop.interest_in(person.spy.connection.descriptor) == READ
    go_idle(house)


class Owner:
    """Owns one descriptor, and takes what is said to it for somebody else as an error."""

    def __init__(self, owners: Owners, number: int) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.descriptor = self.near.fileno()
        self.is_open = True
        self._owners = owners
        self._number = number
        owners.loop.reactor.set_interest(self.descriptor, READ, self)

    def speak(self) -> None:
        self.far.send(b"%d" % self._number)

    def handle_events(self, events: int) -> None:
        assert self.is_open, "it was told of a descriptor that it had given back"
        assert self.near.recv(100) == b"%d" % self._number, "it was told of another's bytes"
        self._owners.told += 1
        self._owners.shuffle()

    def handle_error(self) -> None:
        self.close()

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._owners.loop.reactor.set_interest(self.descriptor, 0, self)
            self.near.close()
            self.far.close()


class Owners:
    """Some owners of descriptors, of whom any may be closed and followed by another at any time."""

    def __init__(self, loop: Loop, seed: int) -> None:
        self.loop = loop
        self.told = 0
        self.reused = 0
        self._chance = random.Random(seed)
        self._number = 0
        self._owners = [self._make() for _ in range(6)]

    def shuffle(self) -> None:
        """One after the other may go and be followed by a new one, which has its number."""
        for index, owner in enumerate(self._owners):
            if self._chance.random() < 0.3:
                owner.close()
                self._owners[index] = new = self._make()
                self.reused += new.descriptor == owner.descriptor

    def turn(self) -> None:
        for owner in self._owners:
            if self._chance.random() < 0.7:
                owner.speak()
        self.loop.turn()

    def close(self) -> None:
        for owner in self._owners:
            owner.close()

    def _make(self) -> Owner:
        self._number += 1
        return Owner(self, self._number)


@fault(37)
@pytest.mark.parametrize("selector", SELECTORS)
def test_a_number_that_is_used_again_in_one_turn_brings_no_event_to_the_wrong_one(
    selector: type[selectors.BaseSelector],
) -> None:
    """150 seeded schedules of 8 turns on each selector."""
    told = reused = 0
    loop = Loop(selector())
    for seed in range(150):
        owners = Owners(loop, seed)
        for _ in range(8):
            owners.turn()
        owners.close()
        assert loop.take_errors() == []
        told += owners.told
        reused += owners.reused
    loop.reactor.close()
    assert told > 1_000
    assert reused > 1_000
