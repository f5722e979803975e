"""The loop serves what is ready, due or queued in a fixed order, once, and otherwise sleeps."""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reactor import READ, WRITE, LoopError, Reactor, format_exception
from tests.reactor.conftest import (
    SELECTORS,
    Clock,
    Loop,
    MakePair,
    WatchedSelector,
    fail,
    new_loop,
    nothing,
)
from tests.support.faults import fault


@pytest.fixture(params=SELECTORS, ids=lambda selector: selector.__name__)
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """What is stated here holds on each selector."""
    with new_loop(request.param) as loop:
        yield loop


class Handler:
    """Notes the events it is told of, and then does `action`."""

    def __init__(self, action: Callable[[], object] = nothing) -> None:
        self.seen: list[int] = []
        self.failures = 0
        self._action = action

    def handle_events(self, events: int) -> None:
        self.seen.append(events)
        self._action()

    def handle_error(self) -> None:
        self.failures += 1


def readable_end(make_pair: MakePair) -> socket.socket:
    """A socket with a byte to be read, sooner or later."""
    near, far = make_pair()
    far.send(b"x")
    return near


def ask(loop: Loop, phase: str, callback: Callable[[], None]) -> None:
    """Have `callback` called in this phase of the turn, but for the first."""
    if phase == "timer":
        loop.reactor.call_later(0, callback)
    elif phase == "soon":
        loop.reactor.call_soon(callback)
    else:
        loop.reactor.call_at_end(callback)


def turn_when_ready(loop: Loop, descriptors: int) -> None:
    """One turn that finds so many `descriptors` ready all at once."""
    while len(loop.selector.real.select(1 if descriptors else 0)) < descriptors:
        pass
    loop.turn()


# The turn.


def test_phases_come_in_their_order(loop: Loop, make_pair: MakePair) -> None:
    calls: list[str] = []
    for phase in ("end", "soon", "timer"):
        ask(loop, phase, lambda phase=phase: calls.append(f"{phase} 1"))  # type: ignore[misc]
        ask(loop, phase, lambda phase=phase: calls.append(f"{phase} 2"))  # type: ignore[misc]
    number = readable_end(make_pair).fileno()
    loop.reactor.set_interest(number, READ, Handler(lambda: calls.append("ready")))
    turn_when_ready(loop, 1)
    assert calls == ["ready", "timer 1", "timer 2", "soon 1", "soon 2", "end 1", "end 2"]
    loop.turn()
    assert calls[7:] == ["ready"], "the rest comes once"


@pytest.mark.parametrize("asked_in", ["ready", "timer", "soon", "end"])
@pytest.mark.parametrize("asked_for", ["timer", "soon", "end"])
def test_what_a_phase_asks_for_comes_as_soon_as_it_can(
    loop: Loop, make_pair: MakePair, asked_in: str, asked_for: str
) -> None:
    """In a later phase, or in the next turn, which follows at once."""
    near = readable_end(make_pair)
    calls: list[int] = []

    def in_first_phase() -> None:
        loop.reactor.set_interest(near.fileno(), 0, Handler())
        ask(loop, asked_for, lambda: calls.append(len(loop.selector.waits)))

    if asked_in == "ready":
        loop.reactor.set_interest(near.fileno(), READ, Handler(in_first_phase))
    else:
        ask(loop, asked_in, in_first_phase)
    phases = ["ready", "timer", "soon", "end"]
    turns_later = phases.index(asked_for) <= phases.index(asked_in)
    turn_when_ready(loop, 1 if asked_in == "ready" else 0)
    if turns_later:
        assert calls == []
        loop.reactor.run_once()
        assert loop.selector.waits[-1] == 0
    assert calls == [1 + turns_later]


# Batches: the world may change between two handlers.


@fault(37)
def test_reused_number_brings_no_event_to_next_owner(loop: Loop, make_pair: MakePair) -> None:
    """Two are ready in one batch, and the one that is served first robs the other."""
    ends = [readable_end(make_pair), readable_end(make_pair)]
    quiet, friend = make_pair()
    newcomer = Handler()
    robbed: list[int] = []

    def close_other_and_reuse_its_number(robber: int) -> None:
        number = ends[1 - robber].fileno()
        loop.reactor.set_interest(number, 0, handlers[1 - robber])
        ends[1 - robber].close()
        assert os.dup2(quiet.fileno(), number) == number
        loop.reactor.set_interest(number, READ, newcomer)
        loop.reactor.set_interest(ends[robber].fileno(), 0, handlers[robber])
        robbed.append(number)

    handlers = [Handler(partial(close_other_and_reuse_its_number, robber)) for robber in (0, 1)]
    for end, handler in zip(ends, handlers, strict=True):
        loop.reactor.set_interest(end.fileno(), READ, handler)
    turn_when_ready(loop, 2)
    assert sorted(handler.seen for handler in handlers) == [[], [READ]]
    assert newcomer.seen == []
    friend.send(b"for the newcomer")
    loop.turn_until(lambda: newcomer.seen)
    [number] = robbed
    loop.reactor.set_interest(number, 0, newcomer)
    os.close(number)


# Deadlines.


def test_loop_waits_exactly_until_next_deadline(loop: Loop) -> None:
    calls: list[float] = []
    loop.reactor.run_once(7.0)
    for seconds in (5.0, 2.0, 1.0):
        loop.reactor.call_later(seconds, lambda: calls.append(loop.clock.now))
    for max_wait_seconds in (0.5, 7.0, None, None):
        loop.reactor.run_once(max_wait_seconds)
    assert loop.selector.waits == [7.0, 0.5, 0.5, 1.0, 3.0]
    assert calls == [1008.0, 1009.0, 1012.0]


def test_all_of_a_turn_happens_at_one_instant(loop: Loop) -> None:
    seen: list[float] = []

    def work() -> None:
        seen.append(loop.reactor.now)
        loop.clock.advance(0.25)

    def ask_for_more() -> None:
        loop.reactor.call_later(0.375, work)

    loop.reactor.call_soon(work)
    loop.reactor.call_soon(ask_for_more)
    loop.reactor.call_at_end(work)
    loop.reactor.run_once()
    loop.reactor.run_once()
    assert seen == [1000.0, 1000.0, 1000.5]  # due before that: its seconds count from the instant
    assert loop.selector.waits == [0, 0]


class OversleepingSelector(WatchedSelector):
    """One whose process is stopped for `extra_seconds` in its next sleep."""

    extra_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        self._clock.advance(self.extra_seconds)
        self.extra_seconds = 0.0
        return ready


PAUSES = {
    "stopped in a turn": (2.0, 0.0, 0.0, 7.0),
    # When it was stopped is not known: the sleep of 5 seconds counts for nothing, too.
    "stopped asleep": (0.0, 0.0, 2.0, 12.0),
    "stopped asleep for an hour": (0.0, 0.0, 3600.0, 3610.0),
    "at work, while others were, too": (7.0, 6.75, 0.0, 7.0),
    "a little late in a turn": (0.5, 0.0, 0.0, 5.0),
    "a little late asleep": (0.0, 0.0, 0.5, 5.5),
}
"""How long a turn lasts, how long of that it works, how much too long the next sleep is; and what
the clock says when five seconds of the loop's time have passed."""


@fault(61)
@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
def test_long_pause_alone_counts_for_no_deadline(pause: tuple[float, float, float, float]) -> None:
    turn_seconds, worked_seconds, extra_seconds, due_seconds = pause
    clock, worked = Clock(), Clock()
    selector = OversleepingSelector(selectors.DefaultSelector(), clock)
    reactor = Reactor(cast(Any, selector), clock, cpu_clock=worked)
    calls: list[float] = []
    reactor.call_later(5.0, lambda: calls.append(clock.now - 1000.0))
    reactor.call_soon(lambda: clock.advance(turn_seconds))
    reactor.call_soon(lambda: worked.advance(worked_seconds))
    reactor.run_once()
    selector.extra_seconds = extra_seconds
    reactor.run_once()
    reactor.run_once(9.0)
    reactor.close()
    assert calls == [due_seconds]


def test_wait_without_deadline_is_no_loss_of_time() -> None:
    clock = Clock()
    selector = OversleepingSelector(selectors.DefaultSelector(), clock)
    reactor = Reactor(cast(Any, selector), clock)
    selector.extra_seconds = 3600.0
    reactor.run_once()
    reactor.close()
    assert reactor.now == 4600.0


# Interest.


def test_change_that_fails_leaves_nothing_half_done(
    loop: Loop, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = readable_end(make_pair).fileno()
    handler, newcomer = Handler(), Handler()

    def fail_to_modify(fileobj: int, *_: object) -> None:
        loop.selector.real.unregister(fileobj)  # as the selectors of the kernel do
        raise OSError("no more of these")

    loop.reactor.set_interest(number, READ, handler)
    monkeypatch.setattr(loop.selector, "modify", fail_to_modify)
    with pytest.raises(OSError, match="no more of these"):
        loop.reactor.set_interest(number, READ | WRITE, handler)
    loop.turn()
    assert handler.seen == []
    loop.reactor.set_interest(number, 0, handler)
    loop.reactor.set_interest(number, READ, newcomer)
    turn_when_ready(loop, 1)
    assert newcomer.seen == [READ]


# Errors.


@pytest.mark.parametrize("phase", ["timer", "soon", "end"])
def test_callback_that_raises_is_reported(loop: Loop, phase: str) -> None:
    calls: list[str] = []
    ask(loop, phase, fail)
    ask(loop, phase, lambda: calls.append("next"))
    loop.reactor.call_at_end(lambda: calls.append("end"))
    loop.turn(2)
    assert calls == ["next", "end"]
    assert loop.takes_one_bug()


@pytest.mark.parametrize("is_hopeless", [False, True])
def test_handler_that_raises_is_told_and_others_served(
    loop: Loop, make_pair: MakePair, is_hopeless: bool
) -> None:
    """Even if it raises again when it is told."""
    calls: list[str] = []
    handlers = [Handler(), Handler(fail), Handler()]
    if is_hopeless:
        handlers[1].handle_error = fail  # type: ignore[method-assign]
    for handler in handlers:
        loop.reactor.set_interest(readable_end(make_pair).fileno(), READ, handler)
    loop.reactor.call_soon(lambda: calls.append("soon"))
    turn_when_ready(loop, 3)
    assert [handler.seen for handler in handlers] == [[READ]] * 3
    assert [handler.failures for handler in handlers] == [0, not is_hopeless, 0]
    assert calls == ["soon"]
    assert len(loop.take_errors()) == 1 + is_hopeless


@pytest.mark.parametrize("phase", ["ready", "timer", "soon", "end"])
def test_interrupt_passes(loop: Loop, make_pair: MakePair, phase: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    if phase == "ready":
        loop.reactor.set_interest(readable_end(make_pair).fileno(), READ, Handler(interrupt))
    else:
        ask(loop, phase, interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.turn_until(lambda: False)


def test_error_is_told_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    for reactor in (Reactor(), Reactor(report=lambda: told.append(format_exception() + "\n"))):
        reactor.call_soon(fail)
        reactor.run_once()
        reactor.close()
    for text in (capsys.readouterr().err, *told):
        assert text.startswith("Traceback")
        assert text.endswith("ValueError: a bug\n")
    assert len(told) == 1


@fault(80)
@pytest.mark.parametrize(
    ("failures", "is_end"),
    [
        *[([errno.EINTR] * 9, False), ([errno.ENOMEM] * 9, False), ([errno.EIO, 0] * 9, False)],
        *[([errno.EBADF], True), ([0, errno.EINVAL], True), ([errno.EIO] * 2, True)],
    ],
)
def test_loop_ends_when_it_can_wait_no_more(
    failures: list[int], is_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def select(timeout: float | None) -> list[object]:
        if number := failures.pop(0):
            raise OSError(number, os.strerror(number))
        return []

    monkeypatch.setattr("reactor.loop.SELECT_REST_SECONDS", 0.0)
    reactor = Reactor(cast(Any, SimpleNamespace(select=select)))
    with pytest.raises(LoopError) if is_end else nullcontext():
        while failures:
            reactor.run_once(0)
    assert failures == []


# Running.


def test_loop_runs_until_it_is_stopped_and_runs_again(loop: Loop) -> None:
    calls: list[str] = []

    def stop() -> None:
        loop.reactor.stop()
        calls.append("stop")
        loop.reactor.call_at_end(lambda: calls.append("end"))
        loop.reactor.call_later(0, lambda: calls.append("next"))

    loop.reactor.call_later(3600, stop)
    loop.reactor.run()
    assert calls == ["stop", "end"]
    assert loop.clock.now == 4600.0
    loop.reactor.call_later(1.0, loop.reactor.stop)
    loop.reactor.run()
    assert calls == ["stop", "end", "next"]
    assert loop.clock.now == 4601.0


def test_closing_lets_go_of_selector_alone(loop: Loop, make_pair: MakePair) -> None:
    near, _ = make_pair()
    loop.reactor.set_interest(near.fileno(), READ, Handler())
    loop.reactor.close()
    assert not loop.selector.get_map()
    assert near.send(b"still open") == len(b"still open")
