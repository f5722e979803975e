"""Guests that ENTER come in together, and know from then on who is there."""

from __future__ import annotations

import pytest

from chat.session import HANDSHAKE_SECONDS
from codec import Event, roster
from tests.support.house import House
from tests.support.protocol import NAME_IN_USE, error_line


def test_those_who_enter_in_one_turn_share_one_list(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, *others = house.join("Ann"), *[house.connect() for _ in range(3)]
    names = ["Bob", "Cid", "Dan"]
    lists: list[str] = []

    def encode_list(text: str) -> bytes:
        lists.append(text)
        return f"{text}\n".encode()

    monkeypatch.setattr(roster, "encode_line", encode_list)
    for person, name in zip(others, names, strict=True):
        person.socket.send(f"ENTER {name} abc12\n".encode())
    ann.socket.send(b"hello\n:Msg Bob psst\n")
    house.loop.turn(3)
    order = house.roster.usernames[1:]
    assert sorted(order) == names
    assert lists == [f"Active Users: {', '.join(['Ann', *order])}"]
    for person in others:
        person.reads(f"OK\n{lists[0]}\n".encode())
        person.reads_nothing()
    news = "".join(f"{name} joined the chatroom\n" for name in order)
    ann.reads(f"No such user: Bob\n{news}".encode())


def test_name_of_one_that_is_to_enter_is_taken(house: House) -> None:
    bob, twin = house.connect(), house.connect()
    for person in (bob, twin):
        person.socket.send(b"ENTER Bob abc12\n")
    house.loop.turn(3)
    answers = [person.socket.recv(1000) for person in (bob, twin)]
    assert sorted(answers) == [error_line(f"{NAME_IN_USE}Bob"), b"OK\nActive Users: Bob\n"]


def test_one_that_is_gone_when_the_turn_ends_has_not_joined(house: House) -> None:
    ann, bob = house.join("Ann"), house.connect()
    bob.socket.send(b"ENTER Bob abc12\n")
    house.loop.reactor.call_soon(lambda: bob.spy.connection.abort())
    house.loop.turn(3)
    ann.reads_nothing()
    house.join("Bob", ann)


def test_one_that_is_to_enter_is_no_guest_any_more(house: House) -> None:
    bob = house.connect()
    bob.socket.send(b"ENTER Bob abc12\n")
    has_made_room: list[bool] = []
    house.loop.reactor.call_soon(lambda: has_made_room.append(house.room.gate.make_room()))
    house.loop.turn(3)
    assert has_made_room == [False]
    bob.reads(b"OK\nActive Users: Bob\n")


def test_one_whose_time_is_up_as_it_enters_comes_in(house: House) -> None:
    bob = house.connect()
    bob.socket.send(b"ENTER Bob abc12\n")
    house.loop.clock.now += HANDSHAKE_SECONDS
    house.loop.turn(3)
    bob.reads(b"OK\nActive Users: Bob\n")


def test_bug_as_one_enters_costs_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    bob, cid = house.connect(), house.connect()
    submit = house.room._bus.submit

    def fail_for_bob(event: Event) -> None:
        if event.origin == "Bob":
            raise ZeroDivisionError
        submit(event)

    monkeypatch.setattr(house.room._bus, "submit", fail_for_bob)
    bob.socket.send(b"ENTER Bob abc12\n")
    cid.socket.send(b"ENTER Cid abc12\n")
    house.loop.turn(3)
    cid.reads(b"OK\nActive Users: Cid\n")
    assert [type(error) for error in house.loop.take_errors()] == [ZeroDivisionError]
