"""Members that have much to say: they take turns, no line is lost, no one waits for their end."""

from __future__ import annotations

import pytest

from chat.session import LINES_PER_TURN
from codec.commands import MISUSE, NOTHING, Command
from reactor.connection import READ_BYTES
from tests.support.faults import fault
from tests.support.house import House, numbered, with_limits


@fault(31)
@pytest.mark.parametrize(("line", "verb"), [(b"\n", NOTHING), (b":msg\n", MISUSE)])
def test_so_many_lines_of_one_and_then_the_others(
    house: House, line: bytes, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 8 * LINES_PER_TURN
    taken = 0

    def take(username: str, command: Command, echo: bool) -> None:
        nonlocal taken
        taken += 1

    ann, bob = house.join_all("Ann", "Bob")
    monkeypatch.setattr(house.dispatcher, verb, take)
    ann.socket.send(line * count + b"end\n")
    bob.socket.send(b"hello\n")
    before = taken
    while taken < count:
        house.loop.turn()
        # Two at the most fall into one turn: what was read in it, and what had to wait.
        assert taken - before <= 2 * LINES_PER_TURN
        before = taken
        if taken <= 2 * LINES_PER_TURN:
            ann.reads(b"Bob: hello\n")
    bob.reads(b"Ann: end\n")


@fault(31, 32)
@pytest.mark.parametrize(("count", "size"), [(10_000, 1), (4_000, 50), (150, 2_000)])
@with_limits({"reactor.fanout.PAGE_BYTES": READ_BYTES})
def test_members_that_fill_pages_take_turns_and_lose_nothing(
    house: House, count: int, size: int
) -> None:
    """Three say all their lines and leave. A page is small, so that a kernel takes it at once: a
    member that is owed one is not heard, and which one that is would be chance."""
    ear, *talkers = house.join_all("Ear", "Ann", "Bob", "Cid")
    lines = numbered(count, size)
    ear.heard = b""
    for talker in talkers:
        talker.types(b"".join(lines) + b":Exit\n" + lines[0])
    house.busy(lambda: ear.heard.count(b"left the chatroom\n") == 3)
    said = {
        name: [*(b"%s: " % name + line for line in lines), b"%s left the chatroom\n" % name]
        for name in (b"Ann", b"Bob", b"Cid")
    }
    numbers = dict.fromkeys(said, 0)
    widest_spread = 0
    for line in ear.heard.splitlines(keepends=True):
        name = line[:3]
        assert line == said[name][numbers[name]]
        numbers[name] += 1
        if count not in numbers.values():
            widest_spread = max(widest_spread, max(numbers.values()) - min(numbers.values()))
    assert widest_spread <= 3 * READ_BYTES // len(lines[-1])


@with_limits({"reactor.fanout.PAGE_BYTES": 8_192})
def test_line_does_not_wait_for_floods_that_came_before_it(house: House) -> None:
    ear, quiet, *flooders = house.join_all("Ear", "Quiet", "f0", "f1", "f2", "f3", "f4")
    log = house.room.fanout.log
    start = log.end - len(ear.heard)  # where in the log its hearing began
    for flooder in flooders:
        flooder.types((b"x" * 500 + b"\n") * 300)
    house.busy(lambda: all(ear.heard.count(b"f%d: " % number) > 50 for number in range(5)))
    quiet.socket.send(b"a word\n")
    said_at = log.end
    house.busy(lambda: b"Quiet: a word\n" in ear.heard)
    assert ear.heard.count(b": x") < 1_500, "they have not come to an end yet"
    assert start + ear.heard.index(b"Quiet: a word\n") - said_at <= 8_192


@fault(32)
def test_no_more_is_read_of_a_talker_that_has_to_wait(house: House) -> None:
    _, ann = house.join_all("Ear", "Annabell")
    log = house.room.fanout.log
    start, received_before = log.end, ann.spy.received_bytes
    # Short lines, which fill a page soon: each is shown with a name in front of it.
    ann.types(b"x\n" * 400_000)
    most_bytes = obeyed_bytes = 0
    while obeyed_bytes < 800_000:
        house.busy(lambda: True)
        house.loop.turn()
        obeyed_bytes = (log.end - start) // len(b"Annabell: x\n") * len(b"x\n")
        most_bytes = max(most_bytes, ann.spy.received_bytes - received_before - obeyed_bytes)
    assert 0 < most_bytes <= READ_BYTES
