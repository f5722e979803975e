"""The simulated kernel: descriptors, accept, readiness, time, and the account that is given."""

from __future__ import annotations

import errno
from unittest.mock import Mock

import pytest

from reactor import READ
from tests.simulation.network import FIRST_DESCRIPTOR, Faults, Network, SimulatedSocket
from tests.simulation.tcp import End


class Machine(Network):
    """A network with a few calls in short."""

    def __init__(self, faults: Faults = Faults()) -> None:  # noqa: B008  It is a tuple.
        super().__init__(Mock(), faults)
        self.port = 1024

    def connect(self) -> End:
        """The far end of a connection that is not yet accepted."""
        self.port += 1  # each has chances of its own
        far = self.door.connect(("10.0.0.1", self.port), [100] * 4)
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


def error_of_accept(machine: Machine) -> int:
    with pytest.raises(OSError):  # noqa: PT011  The number is the subject.
        machine.door.accept()
    return machine.door.calls_of_turn[-1]


def test_without_a_descriptor_accept_fails_even_if_none_waits(machine: Machine) -> None:
    assert error_of_accept(machine) == errno.EAGAIN
    machine.max_descriptors = len(machine.owners)
    assert error_of_accept(machine) == errno.EMFILE
    machine.connect()
    assert error_of_accept(machine) == errno.EMFILE
    machine.max_descriptors += 1
    assert machine.door.accept()[1] == ("10.0.0.1", machine.port)


def test_aborted_accept_takes_the_peer_and_enomem_does_not(machine: Machine) -> None:
    first, second = machine.connect(), machine.connect()
    machine.door.failures.extend([errno.ECONNABORTED, errno.ENOMEM])
    assert error_of_accept(machine) == errno.ECONNABORTED
    assert error_of_accept(machine) == errno.ENOMEM
    machine.door.accept()
    assert (first.is_dead, second.is_dead) == (True, False)


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
    machine = Machine(Faults(interrupted=1.0))
    machine.selector.register(machine.door.fileno(), READ)
    machine.connect()
    assert machine.ready() == {}
    assert machine.selector.told == -1
