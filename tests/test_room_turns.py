"""Members who have much to say leave the others their turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chat.session import LINES_PER_TURN
from codec.commands import MISUSE, NOTHING, Command
from reactor.connection import READ_BYTES
from tests.support.faults import fault
from tests.test_room import House, numbered


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()
    assert house.loop.take_errors() == []


@fault(31)
@pytest.mark.parametrize(("line", "verb"), [(b"\n", NOTHING), (b":msg\n", MISUSE)])
def test_so_many_lines_of_one_and_then_the_others(
    house: House, line: bytes, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 8 * LINES_PER_TURN
    taken = 0

    def take(username: str, command: Command) -> None:
        nonlocal taken
        taken += 1

    ann = house.join("Ann")
    bob = house.join("Bob", ann)
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


def turns(house: House) -> int:
    """How often the loop has turned."""
    return len(house.loop.selector.waits)


@fault(31, 32)
def test_flooders_take_turns_and_keep_no_other_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten members pour 1,000 lines of 500 bytes each, another says a word now and then, and all
    read what comes. Pages are small, so that a kernel takes each at once: one who is owed a page
    is not heard, and who that is would be chance."""
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
        end = turns(house) + 5
        house.busy(lambda: turns(house) >= end)  # noqa: B023  called here
        before = turns(house)
        quiet.types(b"word %d\n" % number)
        house.busy(lambda: ear.heard.count(b"\nQuiet: word ") > number)  # noqa: B023
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
