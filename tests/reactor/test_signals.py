"""A signal becomes a callback from the loop, whatever the loop is doing when it comes."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from reactor import Reactor, Signals, ending_signals, naming
from tests.reactor.conftest import SELECTORS, Loop, fail
from tests.support.faults import fault


def send(number: int) -> None:
    """A real signal, from this process to itself."""
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def _dispositions_stay_as_they_were() -> Iterator[None]:
    numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


Watch: TypeAlias = Callable[..., list[int]]


@pytest.fixture
def watch(loop: Loop) -> Iterator[Watch]:
    """Watches for signals, and returns the list that those which come are noted in."""
    watching: list[Signals] = []

    def start(*numbers: int) -> list[int]:
        seen: list[int] = []
        watching.append(Signals(loop.reactor, numbers, seen.append))
        return seen

    yield start
    for signals in watching:
        signals.close()


def test_signals_are_told_with_their_numbers_from_loop(loop: Loop, watch: Watch) -> None:
    seen = watch(signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
        send(number)
    assert seen == []
    loop.turn_until(lambda: len(seen) == 4)
    assert sorted(seen) == [signal.SIGINT, signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM]
    assert loop.is_idle()


def test_flood_of_signals_neither_blocks_nor_stays(loop: Loop, watch: Watch) -> None:
    seen = watch(signal.SIGUSR1)
    for _ in range(200):
        signal.raise_signal(signal.SIGUSR1)
    loop.turn_until(lambda: len(seen) == 200)
    for _ in range(5_000):  # more than any socket holds unread
        signal.raise_signal(signal.SIGUSR1)
    loop.turn_until(lambda: len(seen) > 200)
    loop.turn_until(loop.is_idle)
    assert set(seen) == {signal.SIGUSR1}


def test_signal_handled_elsewhere_is_not_told(loop: Loop, watch: Watch) -> None:
    handled: list[int] = []
    signal.signal(signal.SIGUSR2, lambda number, frame: handled.append(number))
    seen = watch(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    signal.raise_signal(signal.SIGUSR1)
    loop.turn_until(lambda: seen)
    assert (handled, seen) == ([signal.SIGUSR2], [signal.SIGUSR1])


@fault(58)
@pytest.mark.parametrize("selector_class", SELECTORS, ids=lambda kind: kind.__name__)
def test_signal_wakes_sleeping_loop(selector_class: type[selectors.BaseSelector]) -> None:
    reactor = Reactor(selector_class())
    seen: list[int] = []

    def note_and_stop(number: int) -> None:
        seen.append(number)
        reactor.stop()

    signals = Signals(reactor, [signal.SIGUSR1], note_and_stop)
    disturber = threading.Timer(0.02, send, [signal.SIGUSR1])
    disturber.start()
    reactor.run()
    disturber.join()
    assert seen == [signal.SIGUSR1]
    signals.close()
    reactor.close()


def test_bug_in_answer_leaves_next_signal_heard(loop: Loop) -> None:
    signals = Signals(loop.reactor, [signal.SIGUSR1], fail)
    for _ in range(2):
        send(signal.SIGUSR1)
        loop.turn_until(loop.is_idle)
        assert loop.takes_one_bug()
    signals.close()


def test_readiness_with_nothing_to_read_does_no_harm(loop: Loop) -> None:
    signals = Signals(loop.reactor, [signal.SIGUSR1], fail)
    signals.handle_events(selectors.EVENT_READ)
    signals.close()


def test_closing_gives_signals_back(loop: Loop) -> None:
    handled: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGUSR1, lambda number, frame: handled.append(number))
    seen: list[int] = []
    signals = Signals(loop.reactor, [signal.SIGUSR1, signal.SIGTERM], seen.append)
    assert signal.getsignal(signal.SIGTERM) is not before
    signals.close()
    signal.raise_signal(signal.SIGUSR1)
    loop.turn(2)
    assert (handled, seen) == ([signal.SIGUSR1], [])
    assert signal.getsignal(signal.SIGTERM) is before
    assert not loop.selector.get_map()
    assert loop.is_idle()


def test_closing_gives_wakeup_descriptor_back(loop: Loop) -> None:
    Signals(loop.reactor, [signal.SIGUSR1], lambda number: None).close()
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        assert signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False) == -1
        Signals(loop.reactor, [signal.SIGUSR1], lambda number: None).close()
        assert signal.set_wakeup_fd(-1) == sender.fileno()


def test_error_tells_the_name_of_its_call() -> None:
    with pytest.raises(OSError, match="'pipe'"), naming("pipe"):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_hang_up_ends_program_unless_started_to_outlive_it() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert ending_signals() == [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup(1) does
    assert ending_signals() == [signal.SIGINT, signal.SIGTERM]


def test_reload_calls_each_once_whatever_the_others_do(loop: Loop) -> None:
    calls: list[str] = []
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # as a parent may have
    ended: list[int] = []
    signals = Signals(
        loop.reactor, [signal.SIGTERM], ended.append, [fail, lambda: calls.append("read")]
    )
    for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM):
        send(number)
    loop.turn_until(lambda: ended)
    signals.close()
    assert calls == ["read"]
    assert ended == [signal.SIGTERM]
    assert loop.takes_one_bug()
