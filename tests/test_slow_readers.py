"""Members that do not read: who waits for them, and for how long; nothing is lost to the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reactor.connection import LINGER_SECONDS
from reactor.flow import BEHIND_SECONDS, MAX_SEND_QUEUE_BYTES, SEND_QUEUE_BYTES, STALL_SECONDS
from tests.support.faults import fault
from tests.support.house import House, Person, numbered, with_limits
from tests.support.protocol import INCORRECT_PASSCODE, error_line

BLAST = numbered(4_000, 1_000)
FOR_THE_DEAF = b"(for you alone)\n"


def hold(house: House, *others: str, is_full: bool = False) -> list[Person]:
    """Deaf, who does not read, Ann, who talked until she has to wait for it, and `others`, who have
    to wait too if it `is_full`."""
    deaf, ann, *rest = house.join_all("Deaf", "Ann", *others)
    deaf.is_deaf = True
    ann.types(b"".join(BLAST))
    house.busy(lambda: house.room.fanout.held_pages)
    # Much more than its kernel may find room for later: that would end the hold.
    size = MAX_SEND_QUEUE_BYTES if is_full else SEND_QUEUE_BYTES
    deaf.spy.connection.write(FOR_THE_DEAF * (size // len(FOR_THE_DEAF)))
    house.loop.turn()
    return [deaf, ann, *rest]


def lines_since(person: Person, line: bytes) -> list[bytes]:
    """All lines that `person` heard after this one, but for those that `hold` adds."""
    lines = person.heard.partition(line)[2].splitlines(keepends=True)
    return [line for line in lines if line != FOR_THE_DEAF]


@fault(32)
def test_held_room_lets_talkers_wait_and_others_come_and_go(house: House) -> None:
    deaf, ann, bob, cid = hold(house, "Bob", "Cid", is_full=True)
    house.busy(house.is_quiet)
    received_bytes = ann.spy.received_bytes

    bob.send(b"from Bob\n")
    cid.ends()
    dan = house.ask(b"JOIN Dan abc12\nfrom Dan\n")
    house.ask(b"JOIN Eve wrong\n").reads_to_end(error_line(INCORRECT_PASSCODE))
    bob.reads(b"Cid left the chatroom\nDan joined the chatroom\n")
    dan.reads(b"OK\n")
    house.loop.turn(10)
    bob.reads_nothing()
    dan.reads_nothing()
    assert ann.spy.received_bytes == received_bytes

    deaf.is_deaf = False
    house.busy(lambda: all(BLAST[-1] in person.heard for person in (deaf, bob, dan)))
    house.busy(lambda: all(b"from Dan" in person.heard for person in (deaf, ann, bob)))
    story = lines_since(deaf, b"Cid joined the chatroom\n")
    assert [line for line in story if line.startswith(b"Ann: ")] == [b"Ann: " + x for x in BLAST]
    for name, person in ((b"Ann: ", ann), (b"Bob: ", bob), (b"Dan: ", dan)):
        came = b"OK\n" if person is dan else b"Cid joined the chatroom\n"
        if person is dan:
            story = lines_since(deaf, b"Dan joined the chatroom\n")
        assert lines_since(person, came) == [line for line in story if not line.startswith(name)]


@fault(26, 32)
def test_line_passes_while_one_who_pours_has_to_wait(house: House) -> None:
    _, ann, bob = hold(house, "Bob")
    house.busy(house.is_quiet)
    received_bytes = ann.spy.received_bytes
    assert received_bytes < SEND_QUEUE_BYTES + sum(map(len, BLAST)) // 2
    bob.send(b"from Bob\n")
    house.busy(lambda: ann.heard.endswith(b"Bob: from Bob\n"))
    house.loop.turn(10)
    assert ann.spy.received_bytes == received_bytes


@fault(32)
def test_flood_that_begins_in_a_hold_keeps_no_line_waiting(house: House) -> None:
    _, ann, cid, bob = hold(house, "Cid", "Bob")
    house.busy(house.is_quiet)
    cid.types(b"".join(BLAST))
    bob.types(b"from Bob\n")
    house.busy(lambda: ann.heard.endswith(b"Bob: from Bob\n"))
    assert b"Cid: " not in ann.heard


@fault(32)
def test_many_lines_of_one_turn_pass_a_hold(house: House) -> None:
    names = [f"P{number}" for number in range(60)]
    _, ann, *others = hold(house, *names)
    house.busy(house.is_quiet)
    for other in others:
        other.types(b"x" * 100 + b"\n")
    house.busy(lambda: all(b"%s: x" % name.encode() in ann.heard for name in names))


@fault(23)
@pytest.mark.parametrize("go", [Person.ends, Person.resets])
def test_last_lines_of_one_that_waited_come_before_it_left(
    house: House, go: Callable[[Person], None]
) -> None:
    deaf, _, bob = hold(house, "Bob")
    bob.send(b"last\n")
    bob.socket.send(b"words\nhalf")
    go(bob)
    house.loop.turn(10)
    deaf.is_deaf = False
    house.busy(lambda: b"Bob left" in deaf.heard)
    by_bob = [line for line in lines_since(deaf, b"Bob joined the chatroom\n") if b"Bob" in line]
    assert by_bob == [b"Bob: last\n", b"Bob: words\n", b"Bob left the chatroom\n"]


@fault(26)
def test_once_deaf_member_is_cut_all_go_on_and_lose_nothing(house: House) -> None:
    deaf, _, bob = hold(house, "Bob")
    while not house.log:
        assert house.seconds < 2 * BEHIND_SECONDS
        house.loop.pass_seconds(BEHIND_SECONDS / 10)
        house.busy(house.is_quiet)
    house.busy(lambda: BLAST[-1] in bob.heard)
    lines = lines_since(bob, b"OK\n")
    assert lines.count(b"Deaf left the chatroom\n") == 1
    lines.remove(b"Deaf left the chatroom\n")
    assert lines == [b"Ann: " + line for line in BLAST]
    [entry] = house.log
    assert entry.startswith(f"cut {deaf.address} (Deaf): ")
    assert " bytes unsent, behind for " in entry
    assert house.journal.counts == {("cut", "slow reader"): 1}


@with_limits({"reactor.fanout.PAGE_BYTES": 50_000})
def test_member_that_asks_much_and_reads_nothing_is_cut_alone(house: House) -> None:
    deaf, ann, bob = house.join_all("Deaf", "Ann", "Bob")
    deaf.is_deaf = True
    deaf.types(b":Users\n" * 200_000)
    most_bytes = 0
    for _ in range(100):
        house.busy(lambda: True)
        house.loop.turn()
        most_bytes = max(most_bytes, deaf.spy.owed_bytes)
    assert deaf.spy.received_bytes < 1_000_000, "it feels that none reads it"
    assert 50_000 <= most_bytes < 50_000 + 100
    ann.send(b"hello\n")
    bob.reads(b"Ann: hello\n")
    house.loop.pass_seconds(STALL_SECONDS / 2)
    assert not house.log
    bob.send(b"hello too\n")
    ann.reads(b"Bob: hello too\n")
    while not house.log:
        assert house.seconds < 3 * STALL_SECONDS
        house.loop.pass_seconds(STALL_SECONDS / 4)
    ann.reads(b"Deaf left the chatroom\n")
    [entry] = house.log
    assert entry.startswith(f"cut {deaf.address} (Deaf): ")
    assert " bytes unsent, none taken for 1" in entry


@with_limits({"reactor.fanout.PAGE_BYTES": 50_000})
def test_member_that_asks_much_and_reads_all_gets_all(house: House) -> None:
    ann = house.join("Ann")
    ann.types(b":Users\n" * 10_000 + b":Msg Ann end\n")
    house.busy(lambda: ann.heard.endswith(b"end\n"))
    assert ann.heard == b"OK\n" + b"Active Users: Ann\n" * 10_000 + b"[Message from Ann]: end\n"


def test_deaf_member_delays_shutdown_no_longer_than_any_close(house: House) -> None:
    _, ann = hold(house)
    house.room.shut_down()
    house.busy(lambda: ann.heard.endswith(b"Server is shutting down\n"))
    ann.socket.close()
    house.loop.pass_seconds(LINGER_SECONDS + 1)
    assert house.empty_calls == 1
    assert b"left" not in house.shown()
