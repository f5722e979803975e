"""The simulated kernel: descriptors, accept, readiness, time, and the account that is given."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from reactor import READ
from tests.simulation.network import FIRST_DESCRIPTOR, Faults, Network, SimulatedSocket
from tests.simulation.tcp import End
from tests.simulation.test_tcp import error_of

ADDRESS = ("10.0.0.1", 1024)
LIMITS = [100, 100, 100, 100]


class Deaf:
    """A witness that wants to know nothing but how often the product woke."""

    wakes = 0

    def woke(self, now: float) -> None:
        self.wakes += 1

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


class Machine(Network):
    """A network with a few calls in short."""

    def __init__(self, faults: Faults = Faults()) -> None:  # noqa: B008  It is a tuple.
        super().__init__(Deaf(), faults)
        self.port = ADDRESS[1]

    def connect(self) -> End:
        """The far end of a connection that is not yet accepted."""
        self.port += 1  # each has chances of its own
        far = self.door.connect(("10.0.0.1", self.port), LIMITS)
        assert far
        return far

    def pair(self) -> tuple[SimulatedSocket, End]:
        """An accepted connection, and its far end."""
        far = self.connect()
        return self.door.accept()[0], far

    def ready(self, timeout: float | None = 0.0) -> dict[int, int]:
        """descriptor -> events"""
        return {key.fd: events for key, events in self.selector.select(timeout)}


@pytest.fixture
def machine() -> Machine:
    return Machine()


# Descriptors.


def test_a_descriptor_is_the_lowest_free_number(machine: Machine) -> None:
    socks = [machine.pair()[0] for _ in range(3)]
    assert [sock.fileno() for sock in socks] == [FIRST_DESCRIPTOR + n for n in (1, 2, 3)]
    socks[1].close()
    assert socks[1].fileno() == -1
    reserve = machine.open("/dev/null", 0)
    assert reserve == FIRST_DESCRIPTOR + 2
    machine.close(reserve)
    assert machine.pair()[0].fileno() == reserve
    assert error_of(lambda: machine.close(reserve)) == errno.EBADF


def test_without_a_descriptor_accept_fails_even_if_none_waits(machine: Machine) -> None:
    assert error_of(machine.door.accept) == errno.EAGAIN
    machine.max_descriptors = len(machine.owners)
    assert error_of(machine.door.accept) == errno.EMFILE
    machine.connect()
    assert error_of(machine.door.accept) == errno.EMFILE
    machine.max_descriptors += 1
    assert machine.door.accept()[1] == ("10.0.0.1", machine.port)
    assert machine.door.calls_of_turn == [errno.EAGAIN, errno.EMFILE, errno.EMFILE, 0]


def test_aborted_accept_takes_the_peer_and_enomem_does_not(machine: Machine) -> None:
    first, second = machine.connect(), machine.connect()
    machine.door.failures.extend([errno.ECONNABORTED, errno.ENOMEM])
    assert error_of(machine.door.accept) == errno.ECONNABORTED
    assert error_of(lambda: first.recv(1)) == errno.ECONNRESET
    assert error_of(machine.door.accept) == errno.ENOMEM
    machine.door.accept()
    assert error_of(lambda: second.recv(1)) == errno.EAGAIN


def test_a_closed_door_resets_who_waits_and_none_may_connect(machine: Machine) -> None:
    far = machine.connect()
    machine.door.close()
    assert error_of(lambda: far.recv(1)) == errno.ECONNRESET
    assert machine.door.connect(ADDRESS, LIMITS) is None
    assert not machine.owners


def test_a_read_of_one_that_was_not_said_to_be_ready_is_noticed(machine: Machine) -> None:
    sock, far = machine.pair()
    far.send(b"ab")
    sock.recv(1)  # right after accept anybody may try
    with pytest.raises(AssertionError):
        sock.recv(1)


# Faults.


def test_a_short_call_takes_a_part_and_at_least_one_byte() -> None:
    machine = Machine(Faults(short=1.0))
    sizes = set()
    for _ in range(50):
        sock, _ = machine.pair()
        sizes.add(sock.send(b"12345"))
    assert sizes == {1, 2, 3, 4, 5}


def test_calls_fail_by_chance_and_not_when_all_is_calm() -> None:
    machine = Machine(Faults(again=0.5, fatal=0.2))
    numbers = []
    for _ in range(200):
        try:
            numbers.append(machine.pair()[0].send(b"x") - 1)
        except OSError as failure:
            numbers.append(failure.errno or 0)
    assert {errno.EAGAIN, errno.EINTR, errno.ENOMEM, 0} < set(numbers)
    machine.is_calm = True
    assert {machine.pair()[0].send(b"x") for _ in range(50)} == {1}


# Readiness and time.


def test_spurious_readiness_and_an_interrupted_wait() -> None:
    machine = Machine(Faults(spurious=1.0))
    sock, _ = machine.pair()
    machine.selector.register(sock.fileno(), READ)
    assert machine.ready() == {sock.fileno(): READ}
    assert error_of(lambda: sock.recv(1)) == errno.EAGAIN
    machine = Machine(Faults(interrupted=1.0))
    machine.selector.register(machine.door.fileno(), READ)
    machine.connect()
    assert machine.ready() == {}
    assert machine.selector.told == -1


def test_time_passes_while_nothing_is_ready(machine: Machine) -> None:
    start = machine.clock.now
    machine.selector.longest_sleep = 5.0
    machine.ready(2.0)
    assert machine.clock.now == start + 2
    machine.ready(None)
    assert machine.clock.now == start + 7
    machine.connect()
    machine.selector.register(machine.door.fileno(), READ)
    machine.ready(2.0)
    assert machine.clock.now == start + 7
    assert machine.witness.wakes == 3


def test_a_sleep_in_which_the_process_was_stopped_does_not_count(machine: Machine) -> None:
    clock = machine.clock
    start = clock.now
    machine.selector.stop_seconds = 30.0
    machine.ready(2.0)
    assert (clock.now, clock.awake) == (start + 30, start)
    sock, _ = machine.pair()
    sock.stop_seconds = 5.0
    sock.send(b"x")
    assert (clock.now, clock.awake) == (start + 35, start)
