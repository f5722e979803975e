"""A member who has much to say in lines that fill no page leaves the others their turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chat.session import LINES_PER_TURN
from codec.commands import MISUSE, NOTHING, Command
from tests.support.faults import fault
from tests.test_room import House


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
