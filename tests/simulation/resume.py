"""Members that lose their connections and come back: nothing is lost, and nothing comes twice.

    python -m tests.simulation.resume 0-49       these seeds, B included

In: a seed. The real room, with its places kept, on the simulated network; members that talk, to all
and to each other, each through a relay that holds bytes back in both directions and cuts. A loss is
FIN, RST, silence or a cut, at any byte and at any moment, in the middle of a resume too; some
come back before the server knows of the loss. Out: how many losses there were. Raised:
AssertionError when a line is missing, doubled or out of order, in either direction, or a member has
`left` in time, or not just once behind it.

What ought to be is said here by counting alone: each line has a number.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import random
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import pytest

import reactor.listener
import reactor.transport
from chat.bus import LocalBus
from chat.journal import Journal
from chat.resume import Places
from chat.room import Room
from codec import Dispatcher, Roster
from reactor import Listener, Reactor, SocketTransport, format_exception, keeper
from tests.simulation.limits import SCALES, limits_set_to
from tests.simulation.network import Faults, Network, SimulatedSocket
from tests.simulation.tcp import End
from tests.support.protocol import PASSCODE, local_time

KEPT_SECONDS = 30.0
PEOPLE = ("Ann", "Bob", "Cid", "Dan")
LOSSES = 20
"""In each seed."""

MOST_ABSENT_SECONDS = 20.0
"""From when one was in the room last: then it is let back."""

BUFFER_BYTES = 300
"""Of each of the four socket buffers on the way."""

RELAY_BYTES = 150
MOST_TURNS = 400
"""Of one wait. The longest of 3,000 sound seeds takes 245."""
MOST_TURNS_OF_AN_ABSENCE = 1_000
"""Until a member's time is up, and a minute more: 661."""
MOST_UNSAID = 2_500
"""Bytes that all together may add while somebody is absent, so that no one is for too many; but
more than are kept for those who are there."""

_ANSWER = re.compile(rb"OK ([!-~]+)(?: (\d+))?\n")


class Witness:
    """Looks away: the network tells more than is needed here."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Person:
    """A member, and the relay between it and the server. `heard` is its stream, `typed` all that it
    has ever said, `sent_bytes` how much of that has gone to the relay."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.heard = bytearray()
        self.typed = bytearray()
        self.sent_bytes = 0
        self.said = 0
        self.token = b""
        self.old_tokens: list[bytes] = []
        self.is_up = False
        self.lost_at = self.back_at = 0.0
        self.end: End | None = None
        self._world = world
        self._answer = bytearray()
        self._down = bytearray()  # in the relay, for us
        self._up = bytearray()  # in the relay, for the server

    def connect(self) -> None:
        self.end = self._world.connect()
        self._down, self._up, self._answer = bytearray(), bytearray(), bytearray()
        if self.token:
            self._up += b"RESUME %s %d\n" % (self.token, len(self.heard))
        else:
            self._up += b"ENTER %s %s\n" % (self.name.encode(), PASSCODE)

    def others(self) -> list[Person]:
        return [person for person in self._world.people if person is not self]

    def say(self) -> None:
        """Something, to all or to one."""
        chance = self._world.chance
        number = b"%d" % self.said + b"x" * chance.choice((0, 3, 100))
        if chance.random() < 0.4:
            number = b":Msg %s %s" % (chance.choice(PEOPLE).encode(), number)
        self.typed += number + b"\n"
        self.said += 1

    def act(self) -> None:
        if self.end is None:
            if self._world.now >= self.back_at:
                self.connect()
            return
        try:
            self._move(self.end)
        except BlockingIOError:
            pass
        except OSError:
            self.go()

    def lose(self) -> None:
        """The connection breaks, one way or another."""
        end, chance = self.end, self._world.chance
        if end is None:
            return
        if chance.random() < 0.3:
            with contextlib.suppress(OSError):
                self._move(end)
        match chance.choice(("fin", "reset", "silence", "half")):
            case "fin":
                end.close()
            case "reset":
                end.reset()
            case "half":
                end.shutdown(1)
            case "silence":
                self._world.silent.append((self._world.now + chance.uniform(0, 60), end))
        self.go()

    def go(self) -> None:
        """There is no connection. What the relay held is lost."""
        if self.is_up:
            self.lost_at = self._world.now
        self.end, self.is_up = None, False
        back_at = self._world.now + self._world.chance.choice((0, 0, 0.01, 1, 5, 25))
        self.back_at = min(back_at, self.lost_at + MOST_ABSENT_SECONDS)

    def _move(self, end: End) -> None:
        """Some bytes, on each part of the way."""
        take = self._world.take
        if self._up and end.free_bytes:
            sent = end.send(take(self._up, end.free_bytes))
            del self._up[:sent]
        if (end.unread or end.has_fin or end.error) and len(self._down) < RELAY_BYTES:
            data = end.recv(RELAY_BYTES - len(self._down))
            if not data:
                raise ConnectionResetError
            self._down += data
        self._hear(take(self._down, RELAY_BYTES))
        if self.is_up and len(self._up) < RELAY_BYTES:
            data = bytes(self.typed[self.sent_bytes :][: RELAY_BYTES - len(self._up)])
            self._up += data
            self.sent_bytes += len(data)

    def _hear(self, data: bytes) -> None:
        del self._down[: len(data)]
        if self.is_up:
            self.heard += data
            return
        self._answer += data
        if answer := _ANSWER.match(self._answer):
            assert bool(answer[2]) == bool(self.token), f"{self.name}: {bytes(self._answer)!r}"
            self.old_tokens.append(self.token)
            self.token, self.is_up = answer[1], True
            self.sent_bytes = int(answer[2] or 0)
            self.heard += self._answer[answer.end() :]
        assert not self._answer.startswith(b"ERROR"), f"{self.name}: {bytes(self._answer)!r}"


class World:
    """The room, and all that goes on around it."""

    def __init__(self, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.chance = random.Random(f"resume {seed}")
        faults = Faults(short=self.chance.choice((0, 0.3)), again=self.chance.choice((0, 0.1)))
        self.network = network = Network(Witness(), faults, seed)
        patch.setattr(reactor.listener, "os", network)
        count = SimulatedSocket.count_unacknowledged
        patch.setattr(reactor.transport, "count_unacknowledged", count)
        patch.setattr(keeper, "KEPT_BYTES", 4 * BUFFER_BYTES + 2 * RELAY_BYTES)
        self.loop = loop = Reactor(
            network.selector, network.clock, self._fail, lambda: network.cpu_seconds
        )
        self.roster, bus, self.console = Roster(), LocalBus(), bytearray()
        bus.add_listener(lambda event: self.console.extend(event.console))
        dispatcher = Dispatcher(PASSCODE, local_time, self.roster)
        journal = Journal(loop, lambda line: None)
        self.room = room = Room(loop, dispatcher, self.roster, bus, journal, lambda: None)
        room.places = Places(loop, room, KEPT_SECONDS)
        door = cast(Any, network.door)
        doormen = room.make_guest, room.gate.make_room, room.refuse_at_the_door
        Listener(loop, door, *doormen, SocketTransport)
        self.silent: list[tuple[float, End]] = []
        self.people = [Person(name, self) for name in PEOPLE]
        self._connections = 0
        self.losses = 0
        self.faults: list[str] = []
        """Exceptions that the loop has reported."""

    @property
    def now(self) -> float:
        return self.network.clock.now

    def connect(self) -> End:
        self._connections += 1
        end = self.network.door.connect(("10.0.0.1", 1024 + self._connections), [BUFFER_BYTES] * 4)
        assert end
        return end

    def take(self, data: bytearray, most: int) -> bytes:
        """As much of it as the way takes now."""
        return bytes(data[: min(most, self.chance.choice((0, 1, 7, 40, 1 << 20)))])

    def turn(self) -> None:
        for end in [end for at, end in self.silent if at <= self.now]:
            if not end.is_closed:
                end.peer.fail(errno.ETIMEDOUT)
        self.silent = [(at, end) for at, end in self.silent if at > self.now]
        for person in self.people:
            person.act()
        self.network.selector.longest_sleep = self.chance.choice((0.001, 0.01, 0.5))
        self.loop.run_once(0.5)
        assert not self.faults, self.faults[0]

    def turn_until(self, is_done: Callable[[], bool], most_turns: int = MOST_TURNS) -> None:
        for _ in range(most_turns):
            if is_done():
                return
            self.turn()
        raise AssertionError("it does not end: " + self.describe())

    def describe(self) -> str:
        """Who has what."""
        return ", ".join(
            f"{p.name} {'up' if p.is_up else 'away'} {p.sent_bytes}/{len(p.typed)}"
            for p in self.people
        )

    def _fail(self) -> None:
        self.faults.append(format_exception())


class Lines(NamedTuple):
    """Somebody's stream, by what its lines are."""

    public: list[str]
    private: list[str]
    own_private: list[str]


def run(seed: int) -> int:
    """Raises AssertionError. Returns how many losses there were."""
    with limits_set_to(SCALES["small"]), pytest.MonkeyPatch.context() as patch:
        world = World(seed, patch)
        world.turn_until(lambda: all(person.is_up for person in world.people))
        _live(world)
        world.turn_until(lambda: _is_quiet(world))
        for person in world.people:
            assert b"left the chatroom" not in person.heard, f"{person.name} reads of a departure"
        _check(world)
        _check_old_tokens(world)
        _check_departure(world)
        _check_too_many_bytes(world)
        return world.losses


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.resume")
    parser.add_argument("seeds", help="A-B")
    first, _, last = parser.parse_args().seeds.partition("-")
    losses = 0
    for seed in range(int(first), int(last or first) + 1):
        try:
            losses += run(seed)
        except AssertionError as error:
            print(f"seed {seed}: {error}")
            return 1
    print(f"{losses} losses, and every line came once")
    return 0


def _live(world: World) -> None:
    """Talk and lose connections."""
    chance, unsaid = world.chance, 0
    while world.losses < LOSSES:
        away = [person for person in world.people if not person.is_up]
        unsaid = unsaid if away else 0
        talker = chance.choice(world.people)
        if unsaid < MOST_UNSAID and chance.random() < 0.5:
            before = len(talker.typed)
            talker.say()
            unsaid += len(talker.typed) - before
        loser = chance.choice(world.people)
        may_resume = world.now < loser.lost_at + MOST_ABSENT_SECONDS
        if chance.random() < 0.05 and loser.end and (loser.is_up or may_resume):
            loser.lose()
            world.losses += 1
        world.turn()


def _is_quiet(world: World) -> bool:
    """Whether all that was typed has been answered, and everyone has the same."""
    if not all(person.is_up for person in world.people):
        return False
    said = [_lines_of(person).public for person in world.people]
    answers = [len(s.public) + len(s.own_private) for s in map(_own_lines, world.people)]
    is_answered = answers == [person.said for person in world.people]
    return (
        is_answered
        and all(map(_has_private_lines, world.people))
        and all(lines == said[0] for lines in said)
    )


def _has_private_lines(person: Person) -> bool:
    """Whether as many as others have sent to it have come."""
    typed = b"".join(other.typed for other in person.others())
    return len(_lines_of(person).private) == typed.count(b":Msg %s " % person.name.encode())


def _check(world: World) -> None:
    """Each line, once, in its sender's order, with all who are to read it."""
    lines = {person.name: _lines_of(person) for person in world.people}
    for person in world.people:
        own = _own_lines(person)
        numbers = [int(re.match(r"\d+", text.rpartition(": ")[2])[0]) for text in own.public]  # type: ignore[index]
        typed = person.typed.decode().splitlines()
        public = [number for number, text in enumerate(typed) if not text.startswith(":")]
        assert numbers == public, f"{person.name} said {public}, read were {numbers}"
        for other in PEOPLE:
            private = [t.split(" ", 2)[2] for t in typed if t.startswith(f":Msg {other} ")]
            start = f"[Message from {person.name}]: "
            if other == person.name:
                start = f"[Message to {other}]: "
            read = [t.removeprefix(start) for t in lines[other].private if t.startswith(start)]
            if other == person.name:
                read = [
                    t.removeprefix(start) for t in lines[other].own_private if t.startswith(start)
                ]
            assert read == private, f"{other} of {person.name}: {read} and not {private}"


def _check_old_tokens(world: World) -> None:
    """They are worth nothing; that which was presented last may be good still."""
    for person in world.people:
        for token in person.old_tokens[1:-1][-2:]:
            end = world.connect()
            end.send(b"RESUME %s %d\n" % (token, len(person.heard)))
            world.turn_until(lambda end=end: len(end.unread) > 5)  # type: ignore[misc]
            assert end.unread.startswith(b"ERROR"), f"{person.name}: {token!r} is good"
            end.close()


def _check_departure(world: World) -> None:
    """One that does not come back has left when the time is up, once."""
    gone, *others = world.people
    left = f"{gone.name} left the chatroom\n".encode()
    assert gone.end
    gone.end.reset()
    gone.go()
    gone.back_at, lost_at = 1e9, world.now

    def is_long_gone() -> bool:
        is_early = world.now < lost_at + KEPT_SECONDS
        assert not (is_early and left in world.console), f"{gone.name} left too early"
        return world.now > lost_at + KEPT_SECONDS + 60

    world.turn_until(is_long_gone, MOST_TURNS_OF_AN_ABSENCE)
    for person in others:
        assert person.heard.count(left) == 1, f"{person.name} reads of {gone.name} once"
    assert gone.name not in world.roster.usernames


def _check_too_many_bytes(world: World) -> None:
    """One that has received a byte more than was sent to it has left, too."""
    liar, other = world.people[1:3]
    assert liar.end
    liar.end.reset()
    liar.go()
    liar.back_at = 1e9
    end = world.connect()
    end.send(b"RESUME %s %d\n" % (liar.token, len(liar.heard) + 1))
    world.turn_until(lambda: len(end.unread) > 5)
    assert end.unread.startswith(b"ERROR"), f"{liar.name} received more than was sent"
    left = f"{liar.name} left the chatroom\n".encode()
    world.turn_until(lambda: left in other.heard)


def _lines_of(person: Person) -> Lines:
    texts = person.heard.decode().split("\n")[:-1]
    return Lines(
        [text for text in texts if re.match(r"\w+: \d", text)],
        [text for text in texts if text.startswith("[Message from ")],
        [text for text in texts if text.startswith("[Message to ")],
    )


def _own_lines(person: Person) -> Lines:
    lines = _lines_of(person)
    own = [text for text in lines.public if text.startswith(f"{person.name}: ")]
    return lines._replace(public=own)


if __name__ == "__main__":
    sys.exit(main())
