"""One world: the real server on the simulated network, its clients, and a look at everything after
each turn.

In: a Script. Out: nothing, or a Failure at the first step after which something was wrong.
"""

from __future__ import annotations

import errno
import re
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from reactor import READ, WRITE, Cursor
from reactor.listener import REST_SECONDS
from server import SHUTDOWN_SECONDS
from tests.simulation.asker import PORT as ASKED_PORT
from tests.simulation.asker import Asker
from tests.simulation.client import Client
from tests.simulation.framed import Framed, Reader, Writer
from tests.simulation.limits import limits_set_to
from tests.simulation.model import Model, Peer
from tests.simulation.network import Address, Network, SimulatedSocket
from tests.simulation.patience import TOLERANCE_SECONDS
from tests.simulation.product import Product, Wrapper
from tests.simulation.scrambled import Scrambled, Stream
from tests.simulation.script import Script, Setting, Step
from tests.simulation.sealed import Sealed, shake_hands

MOST_TURNS = 10_000
"""More turns than any one step needs: a loop that takes more of them is spinning."""

MOST_IDLE_TURNS = 4
"""Most turns on end in which the loop neither slept nor did anything, and one more for each
connection: it may have a deadline of its own, each a turn behind the last."""

SLICE_SECONDS = 0.02
"""How often a client that has something to do does some of it, when nothing else happens."""

SETTLING_SECONDS = 70.0
"""In the end, time for every deadline that there is."""

_SHORT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Failure(AssertionError):  # noqa: N818  It is the world that fails, and this says where.
    """Something was wrong after this step; `step` is its index, or that of the end."""

    def __init__(self, step: int, fault: str) -> None:
        super().__init__(f"step {step}: {fault}")
        self.step = step
        self.fault = fault

    @property
    def kind(self) -> list[str]:
        """The fault without its numbers, names and bytes."""
        return re.findall(r"\b[a-z]{3,}\b", re.sub(r"'.*?'", "", self.fault))[:5]


# The world.


class World:
    """Everything that one script moves."""

    def __init__(self, setting: Setting, patch: pytest.MonkeyPatch) -> None:
        """`patch` lasts as long as this world does."""
        self.setting = setting
        self.limits = setting.limits
        self.model = model = Model(
            self.limits, lambda: bool(self.network.door.backlog), self._is_lost
        )
        self.network = network = Network(
            model, setting.faults, setting.seed, self.limits.max_pieces
        )
        model.now = network.clock.awake
        self.selector, self.door = network.selector, network.door
        self.selector.turn_seconds = setting.turn_seconds
        self.clients: dict[int, Client] = {}
        self._connects = Counter[int]()
        watchers = self._note_exception, self._note_empty
        self.product = Product(network, model, *watchers, patch, self._wrap)
        self.asker: Asker | None = None
        if setting.is_announced:
            self.asker = Asker(network, model)
            self.product.announce(self.asker, ASKED_PORT)
        self._idle_turns = 0
        self._largest_page = 0  # that could have been made so far, in bytes
        self._grown = 0  # the log in the last turn, in bytes
        self._door_failed_at = -REST_SECONDS
        self._is_empty = False
        self._is_stopped = False

    def _is_lost(self, address: Address) -> bool:
        """For the model."""
        ends = [client.end.peer for client in self.clients.values() if client.address == address]
        return any(end.is_dead for end in ends)

    def _wrap(self, address: Address) -> Wrapper | None:
        if not address[1] & 1:
            return None
        if self.setting.is_sealed:
            return Sealed
        if self.setting.is_framed:
            return Framed
        return Scrambled if self.setting.is_scrambled else None

    def _streams(self, address: Address) -> tuple[Stream, Stream] | None:
        kind = self._wrap(address)
        if kind is Sealed:
            return shake_hands(address)
        if kind is Framed:
            return Writer(), Reader()
        return (Stream(), Stream()) if kind else None

    def _note_exception(self) -> None:
        """For the reactor: a callback has raised."""
        self.model.blame("an exception: " + traceback.format_exc())

    # Steps.

    def do(self, step: Step) -> None:
        """Do it. What was wrong meanwhile is in `model.faults`."""
        client = self.clients.get(step.who)
        match step.verb:
            case "connect":
                if client is None or client.is_over:
                    self._connect(step)
            case "accept":
                self.door.failures.append(step.number)
                self.model.has_lacked_descriptors |= step.number in _SHORT_OF_DESCRIPTORS
            case "descriptors":
                count = len(self.network.owners) + step.number
                self.network.max_descriptors = count if step.number >= 0 else 1 << 16
                self.model.has_lacked_descriptors |= step.number >= 0
            case "stop":
                self.selector.stop_seconds = step.number / 1000
            case "turn":
                for _ in range(step.number):
                    self._turn(0.0)
            case "rest":
                self._rest()
            case "pass":
                self._pass(step.number / 1000)
            case "shutdown":
                self._shut_down()
            case "settle":
                self._settle()
            case "stop_in_call":
                for sock, peer in self._sockets():
                    if client and peer.address == client.address:
                        sock.stop_seconds = step.number / 1000
            case _:
                if client:
                    client.do(step, self.network.clock.now)

    def _settle(self) -> None:
        """No more faults, everyone reads, everyone has time; and then nothing may be left over."""
        self.network.is_calm = True
        self.network.max_descriptors = 1 << 16
        self.door.failures.clear()
        for sock, _ in self._sockets():
            sock.stop_seconds = 0.0
        for client in self.clients.values():
            client.settle()
        self._pass(SETTLING_SECONDS)
        self._rest()
        if not self._is_stopped:
            self._check_presence()
            self._check_settled()
            self._shut_down()
            self._pass(2 * SHUTDOWN_SECONDS)
        self._check_ended()

    # Time.

    def _turn(self, longest_sleep: float) -> None:
        if self._is_stopped or self.model.faults:
            return
        for client in self.clients.values():
            client.act(self.network.clock.now)
        if self.asker:
            self.asker.act()
        progress, log_bytes = self._progress(), len(self.model.log.data)
        self.door.calls_of_turn.clear()
        self.selector.longest_sleep = longest_sleep
        self.product.reactor.run_once()
        if self._progress() > progress or not self._was_awake():
            self._idle_turns = 0
        else:
            self._idle_turns += 1
        if self._idle_turns > MOST_IDLE_TURNS + len(self.model.peers):
            self.model.blame("the loop spins")
        # What a turn's end lets others say belongs to the next turn's page.
        grown = len(self.model.log.data) - log_bytes
        page = self._grown + grown + self.limits.small_page_bytes
        self._largest_page, self._grown = max(self._largest_page, page), grown
        self._check_turn()

    def _rest(self) -> None:
        for _ in range(MOST_TURNS):
            self._turn(0.0)
            if self._is_stopped or self.model.faults:
                return
            if not self._was_awake() and not self._anyone_busy():
                self._check_rest()
                return
        self.model.blame("the loop does not come to rest")

    def _pass(self, seconds: float) -> None:
        clock = self.network.clock
        end = clock.now + seconds
        for _ in range(MOST_TURNS):
            left = end - clock.now
            if left <= 0 or self._is_stopped or self.model.faults:
                return
            self._turn(min(left, SLICE_SECONDS) if self._anyone_busy() else left)
        self.model.blame("time does not pass: the loop spins")

    def _was_awake(self) -> bool:
        """Whether the last turn had a reason to begin at once."""
        wait = self.selector.asked_wait
        is_due = wait is not None and wait <= self.setting.turn_seconds
        return self.selector.told != 0 or is_due

    def _anyone_busy(self) -> bool:
        return any(client.is_busy for client in self.clients.values())

    def _progress(self) -> int:
        return self.network.progress + self.model.events

    # Details.

    def _connect(self, step: Step) -> None:
        self._connects[step.who] += 1
        address = (f"10.0.0.{step.number}", 1023 + step.who * 64 + self._connects[step.who])
        setting = self.setting
        limits = [setting.send_buffer, setting.receive_buffer] * 2
        end = self.door.connect(address, limits)
        if end:
            self.clients[step.who] = Client(
                *(end, address), step.who % 3 < 2, self._streams(address)
            )

    def _shut_down(self) -> None:
        if not self.model.is_shutting_down:
            self.product.reactor.call_soon(self._end_server)

    def _end_server(self) -> None:
        """As server.py does when a signal comes."""
        if self.model.is_shutting_down:
            return
        self.model.shut_down()
        self.product.listener.close()
        if self.product.presence:
            self.product.presence.close()
        self.product.reactor.call_later(SHUTDOWN_SECONDS, self._stop)
        self.product.room.shut_down()

    def _note_empty(self) -> None:
        self._is_empty = self._is_stopped = True

    def _stop(self) -> None:
        self._is_stopped = True

    # What has to hold.

    def _check_turn(self) -> None:
        model = self.model
        model.end_turn()
        if model.console != self.product.shown:
            model.blame(f"the console shows {self.product.shown!r}, not {model.console!r}")
        model.console.clear()
        self.product.shown.clear()
        for sock, peer in self._sockets():
            self._check_socket(sock, peer)
        for client in self.clients.values():
            transport = self.product.scrambled.get(client.address)  # or refused at the door
            if transport and not transport.sent.startswith(client.heard):
                model.blame(f"{client.address}: what was read is not what was sent")
        self._check_door()
        self._check_page()
        self._check_memory()

    def _check_socket(self, sock: SimulatedSocket, peer: Peer) -> None:
        guest = self.product.room.guests.get(peer.address)
        if guest is None or guest.connection is None:
            self.model.blame(f"{peer.address}: has a descriptor, and no connection")
            return
        outbound = guest.connection.outbound
        owed_bytes = outbound.owed_bytes
        if owed_bytes != peer.owed_bytes:
            self.model.blame(f"{peer.username}: owes {owed_bytes} bytes, not {peer.owed_bytes}")
        has_output = guest.connection.transport.has_output
        if not (peer.owed_bytes or has_output) and self.selector.interest_in(sock.fileno()) & WRITE:
            self.model.blame(f"{peer.username}: waits to write, and nothing is owed")
        if isinstance(outbound, Cursor) and len(outbound.splices) > peer.pieces + 1:
            self.model.blame(
                f"{peer.username}: {len(outbound.splices)} splices, {peer.pieces} pieces"
            )

    def _check_door(self) -> None:
        calls, door = self.door.calls_of_turn, self.door
        if not _SHORT_OF_DESCRIPTORS.isdisjoint(calls):
            self._door_failed_at = self.model.now
            return
        is_enough = not calls or len(calls) >= self.limits.accepts_per_turn
        if is_enough or not door.backlog or calls[-1] in (errno.EAGAIN, errno.EINTR):
            return
        self.model.blame(f"somebody waits at the door, after {calls}")

    def _check_page(self) -> None:
        """Turns grow and shrink, between their bounds."""
        limits, page_bytes = self.limits, self.product.room.page_bytes
        members = self.model.members.values()
        # One that has just died counts no more, or does still.
        most, fewest = len(members), sum(not (p.is_closed or p.has_failed) for p in members)
        least = min(limits.page_bytes, limits.min_turn_bytes // max(1, most))
        largest = min(limits.page_bytes, limits.max_turn_bytes // max(1, fewest))
        floor = limits.min_page_bytes
        if not max(floor, least) <= page_bytes <= max(floor, largest):
            self.model.blame(f"a page has {page_bytes} bytes, with {most} members")

    def _check_memory(self) -> None:
        log, model = self.product.room.fanout.log, self.model
        most = max((peer.kept_bytes for peer in model.peers.values()), default=0)
        allowed = min(most, self.limits.max_send_queue_bytes + self._largest_page)
        if log.kept_bytes > allowed + self._largest_page:
            model.blame(f"the log keeps {log.kept_bytes} bytes, {allowed} are needed or allowed")

    def _check_rest(self) -> None:
        """The loop would sleep now: everything that could be done has been done."""
        limits, model = self.limits, self.model
        is_held = any(peer.kept_bytes > limits.send_queue_bytes for peer in model.peers.values())
        for sock, peer in self._sockets():
            interest = self.selector.interest_in(sock.fileno())
            if peer.owed_bytes and not interest & WRITE:
                model.blame(f"{peer.username}: {peer.owed_bytes} bytes are owed, and not sent")
            is_waiting = not peer.username and model.has_guessed_too_often(peer.address[0])
            may_wait = is_held or is_waiting or peer.own_bytes >= limits.page_bytes
            is_unheard = sock.events() & READ and not interest & READ and not peer.has_eof
            if not may_wait and (is_unheard or (peer.lines.lines and not peer.is_ending)):
                model.blame(f"{peer.address} {peer.username}: is not heard")
        is_resting = self.model.now <= self._door_failed_at + REST_SECONDS + TOLERANCE_SECONDS
        if self.door.backlog and not is_resting:
            model.blame("the door is not answered")

    def _check_settled(self) -> None:
        """Nothing is under way, and everyone who is left is a member that has everything."""
        model, fanout = self.model, self.product.room.fanout
        for client in self.clients.values():
            if not client.is_over and (client.outbox or client.address not in model.peers):
                model.blame(f"{client.address} was forgotten, {bytes(client.outbox[:99])!r} unsent")
        for peer in model.peers.values():
            if peer.is_closed:
                continue
            if model.members.get(peer.username) is not peer:
                model.blame(f"{peer.address} {peer.username} is still there")
            if peer.owed_bytes or peer.lines.lines:
                model.blame(
                    f"{peer.username}: {peer.owed_bytes} owed, {peer.lines.lines} not taken"
                )
        usernames = self.product.roster.usernames
        if usernames != list(model.members):
            model.blame(f"members are {usernames}, not {list(model.members)}")
        if fanout.log.kept_bytes or fanout.held_pages:
            model.blame(f"{fanout.log.kept_bytes} bytes are kept, held: {fanout.held_pages}")
        if self.selector.asked_wait is not None:
            model.blame(f"the loop has nothing to do, and sleeps {self.selector.asked_wait} s")
        cuts = self.product.journal.counts["cut", "slow reader"]
        if cuts < model.cuts:
            model.blame(f"{cuts} were cut by the journal, {model.cuts} in fact")

    def _check_presence(self) -> None:
        """Whatever was asked before, who asks now is answered."""
        if self.asker:
            self.asker.ask(b"0123456789abcdef")
            self._pass(1.0)
            self._rest()
            if not self.asker.answered[b"0123456789abcdef"]:
                self.model.blame("the room does not say that it is up")

    def _check_ended(self) -> None:
        if self.model.faults:
            return
        if not self._is_stopped:
            self.model.blame("the server does not end")
        elif self.network.owners and self._is_empty:
            self.model.blame(f"descriptors are left open: {list(self.network.owners)}")

    def _sockets(self) -> list[tuple[SimulatedSocket, Peer]]:
        """The open ones whose connection has not failed."""
        peers = self.model.peers
        return [
            (owner, peers[owner.address])
            for owner in self.network.owners.values()
            if isinstance(owner, SimulatedSocket) and not peers[owner.address].has_failed
        ]


def run(script: Script, tell: Callable[[str], None] | None = None) -> None:
    """Run it from beginning to end, and `tell` everything that happens. Raises Failure."""
    with limits_set_to(script.setting.limits), pytest.MonkeyPatch.context() as patch:
        world = World(script.setting, patch)
        if tell:
            tell(f"{script.setting}")
            tell_all(world, tell)
        for index, step in enumerate([*script.steps, Step("settle")]):
            if tell:
                tell(f"{index}: {step}")
            world.do(step)
            if world.model.faults:
                raise Failure(index, world.model.faults[0])


def tell_all(world: World, tell: Callable[[str], None]) -> None:
    """Have everything told that the model hears, when it hears it."""
    model = world.model

    def hear_and_tell(name: str, hear: Callable[..., object], *arguments: object) -> object:
        shown = " ".join(map(_shorten, arguments))
        tell(f"    {world.network.clock.now:.3f} {name} {shown}")
        return hear(*arguments)

    for name in (
        *("accepted", "received", "ended", "failed", "taken", "closed", "judged", "joined"),
        *("claimed", "let_in"),
        *("turned_away", "dropped", "cut", "refused_at_the_door", "typed", "left"),
    ):
        setattr(model, name, partial(hear_and_tell, name, getattr(model, name)))


def _shorten(argument: object) -> str:
    if isinstance(argument, tuple):
        return ":".join(map(str, argument))
    if isinstance(argument, bytes) and len(argument) > 120:
        return f"{argument[:100]!r}... ({len(argument)} bytes)"
    return repr(argument)
