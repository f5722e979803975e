"""Members of a room: what each of them hears, in one order, and what a bug costs."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.session import LINES_PER_TURN
from codec import MAX_LINE_BYTES, Event
from codec.commands import Command
from tests.support.faults import fault
from tests.support.house import House
from tests.support.lines import COMMANDS, LINES
from tests.support.protocol import PlainServer
from tests.support.size import examples

LONG_LINES = st.sampled_from(
    [b"x" * (MAX_LINE_BYTES - 5), b"x" * MAX_LINE_BYTES, b"y" * (3 * MAX_LINE_BYTES)]
)


@fault(2, 10, 33)
@examples(15, 60)
@given(
    st.sampled_from([b"JOIN", b"ENTER"]),
    st.lists(LINES | COMMANDS | LONG_LINES, max_size=15),
    st.lists(st.integers(1, 20) | st.integers(1, 30_000), max_size=8),
)
def test_lines_mean_the_same_however_they_are_cut_and_joined(
    verb: bytes, lines: list[bytes], sizes: list[int]
) -> None:
    """JOIN is one of them: the next may come in one piece with it."""
    data = b"".join(line + b"\n" for line in [verb + b" Bob abc12", *lines, b":Exit"])
    plain = PlainServer()
    plain.receive(1, b"ENTER Alice abc12\n")
    plain.receive(2, data)
    with closing(House()) as house:
        alice, bob = house.connect(), house.connect()
        alice.send(b"ENTER Alice abc12\n")
        for size in sizes:
            bob.send(data[:size])
            data = data[size:]
        bob.send(data)
        alice.reads(plain.peers[1].screen)
        bob.reads_to_end(plain.peers[2].screen)
        assert house.shown() == plain.console


def fail(username: str, command: Command, echo: bool) -> Event:
    raise ZeroDivisionError


@pytest.mark.parametrize("blank_lines", [0, LINES_PER_TURN], ids=["at once", "after a wait"])
def test_bug_in_obeying_a_line_costs_its_sender_the_connection(
    house: House, monkeypatch: pytest.MonkeyPatch, blank_lines: int
) -> None:
    ann, bob = house.join_all("Ann", "Bob")
    monkeypatch.setattr(house.dispatcher, "list_users", fail)
    bob.send(b"before\n" + b"\n" * blank_lines + b":Users\nafter\n")
    ann.reads(b"Bob: before\nBob left the chatroom\n")
    ann.send(b"still here\n:Msg Bob hello\n")
    ann.reads(b"No such user: Bob\n")
    assert [type(error) for error in house.loop.take_errors()] == [ZeroDivisionError]
