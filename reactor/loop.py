"""The loop: wait, serve what is ready, run what is due, end the turn.

One thread, one selector, no polling: with nothing to do the process sleeps in `select` until a
descriptor is ready or the next deadline comes. Every turn runs its phases in the same order:

    1. wait          for a ready descriptor or the next deadline; not at all if work is queued
    2. ready         each ready handler, once
    3. timers        each timer that is due
    4. soon          what `call_soon` queued, up to here
    5. end of turn   what `call_at_end` queued, up to here: where bytes are sent

A callback that raises costs its owner, never the loop: it is reported, a handler is told by
`handle_error`, and the turn goes on. Only KeyboardInterrupt and its kin pass.

Pattern: Reactor (Schmidt 1995); the order of phases is that of Redis' ae.c and of asyncio.
"""

from __future__ import annotations

import contextlib
import selectors
import sys
import time
from collections.abc import Callable
from typing import Annotated, Protocol

from reactor.errors import ErrorJudge, Meaning, naming
from reactor.timers import Timer, Timers

GRACE_SECONDS: Annotated[
    float,
    "A sleep that is so much longer than asked for does not count, nor does so long a pause "
    "within a turn: the process was stopped (SIGSTOP) or starved, and no peer is to blame for "
    "what it missed.",
] = 0.5

SELECT_REST_SECONDS: Annotated[
    float,
    "How long the loop sleeps when it cannot wait for events now. Without it, it would spin.",
] = 0.1

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

Callback = Callable[[], None]


def format_exception() -> str:
    """The exception that is being handled, with its traceback, without a line end."""
    import traceback  # a tenth of a small program's start, and hardly ever needed

    return traceback.format_exc().rstrip()


def print_exception() -> None:
    """The same on standard error."""
    print(format_exception(), file=sys.stderr)


class LoopError(OSError):
    """Events cannot be waited for any more, now or later: `errno` and `strerror` say why."""


class EventHandler(Protocol):
    """What is interested in a descriptor."""

    def handle_events(self, events: int) -> None:
        """The descriptor is ready for `events`: READ, WRITE or both. A peer that hung up, or an
        error on the descriptor, comes as whichever of the two was asked for."""

    def handle_error(self) -> None:
        """`handle_events` raised, which is a bug, and it was reported. Let go of the descriptor,
        or it may be ready again at once and for ever."""


class Reactor:
    """The loop.

    `clock` gives seconds that never go back (the monotonic clock: the time of day may be set at
    will), `cpu_clock` the seconds that this process has worked. `report` is called while an
    exception from a callback is being handled, so that `sys.exc_info` tells which.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector | None = None,
        clock: Callable[[], float] = time.monotonic,
        report: Callable[[], None] = print_exception,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        with naming("epoll_create1"):
            self._selector = selector or selectors.DefaultSelector()
        self._clock = clock
        self._lost_seconds = 0.0
        self._cpu_clock = cpu_clock
        self._cpu_seconds = cpu_clock()
        self._handlers: dict[int, EventHandler] = {}
        self._waiting = ErrorJudge("wait")
        self._timers = Timers()
        self._soon: list[Callback] = []
        self._at_end: list[Callback] = []
        self._is_running = False
        self._report = report
        self.on_turn: Callable[[float], None] | None = None
        """Told at the end of each turn how many seconds it took; it may not raise."""
        self.now = clock()
        """Seconds of the loop's time when this turn woke up: the clock's, less all that the process
        lost while it was stopped. All of a turn happens at one instant."""

    # For those who wait: descriptors, deadlines, queues.

    def set_interest(self, descriptor: int, events: int, handler: EventHandler) -> None:
        """From now on tell `handler` when `descriptor` is ready for `events`; 0 for no more.

        An event of this turn that has not been served yet is not served any more once its
        handler has been taken away, even if the number already belongs to another descriptor.
        Raises OSError when the kernel does not watch such a descriptor (EPERM for a plain file).
        """
        if descriptor not in self._handlers:
            if events:
                self._selector.register(descriptor, events, handler)
                self._handlers[descriptor] = handler
            return
        # First forget it, so that a selector that fails leaves nothing half done.
        del self._handlers[descriptor]
        if events:
            self._selector.modify(descriptor, events, handler)
            self._handlers[descriptor] = handler
        else:
            self._selector.unregister(descriptor)

    def call_later(self, seconds: float, callback: Callback) -> Timer:
        """Call once, `seconds` after this turn woke up or as soon after that as possible."""
        return self.call_at(self.now + seconds, callback)

    def call_at(self, deadline: float, callback: Callback) -> Timer:
        """Call once, when `now` has come to `deadline` or as soon after that as possible."""
        return self._timers.add(deadline, callback)

    def call_soon(self, callback: Callback) -> None:
        """Call once, a step later: in this turn's phase 4, or the next turn's from there on."""
        self._soon.append(callback)

    def call_at_end(self, callback: Callback) -> None:
        """Call once, when all other work of the turn is done; from phase 5, in the next turn."""
        self._at_end.append(callback)

    def time(self) -> float:
        """The loop's time at this very moment, where `now` is when the turn began: to learn how
        long something takes, and not for deadlines."""
        return self._clock() - self._lost_seconds

    def cpu_time(self) -> float:
        """Seconds that this process has worked: to learn how long some work takes, whatever else
        the machine does meanwhile."""
        return self._cpu_clock()

    # For the owner of the loop.

    def run(self) -> None:
        """Turn until somebody calls `stop`."""
        self._is_running = True
        while self._is_running:
            self.run_once()

    def stop(self) -> None:
        """Let `run` return when this turn has ended."""
        self._is_running = False

    def run_once(self, max_wait_seconds: float | None = None) -> None:
        """One turn. It sleeps until there is something to do, or for `max_wait_seconds`. Raises
        LoopError, for good, when the selector does not work any more."""
        wait_seconds = self._wait_seconds(max_wait_seconds)
        asleep_at = self.time()
        ready = self._select(wait_seconds)
        self.now = self.time()
        if wait_seconds is not None and self.now - asleep_at > wait_seconds + GRACE_SECONDS:
            # Stopped, at a moment unknown: none of this sleep counts.
            self._lost_seconds += self.now - asleep_at
            self.now = asleep_at
        for key, events in ready:
            handler: EventHandler = key.data
            # An earlier handler of this batch may have closed this descriptor, and a new one may
            # have its number already: it is the handler that counts, not the number.
            if self._handlers.get(key.fd) is handler:
                try:
                    handler.handle_events(events)
                except Exception:
                    self.report()
                    self._run(handler.handle_error)
        for timer in self._timers.pop_due(self.now):
            if callback := timer.take_callback():
                self._run(callback)
        soon, self._soon = self._soon, []
        for callback in soon:
            self._run(callback)
        at_end, self._at_end = self._at_end, []
        for callback in at_end:
            self._run(callback)
        self._forgive_pause()

    def report(self) -> None:
        """To be called where an exception is being handled that costs its owner only. Without the
        memory to tell of it, it is not told: that ends nothing."""
        with contextlib.suppress(Exception):
            self._report()

    def close(self) -> None:
        """Let go of the selector. Descriptors stay as they are; they have their own owners."""
        self._selector.close()

    # Details.

    def _select(self, wait_seconds: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready. An error that passes costs a short sleep, in which nothing is."""
        try:
            ready = self._selector.select(wait_seconds)
        except OSError as error:
            if self._waiting.judge(error) is Meaning.PERMANENT:
                raise LoopError(error.errno, f"cannot wait for events: {error.strerror}") from error
            time.sleep(SELECT_REST_SECONDS)
            return []
        self._waiting.note_success()
        return ready

    def _wait_seconds(self, max_wait_seconds: float | None) -> float | None:
        if self._soon or self._at_end:
            return 0
        deadline = self._timers.next_deadline()
        if deadline is None:
            return max_wait_seconds
        wait_seconds = max(0.0, deadline - self.time())
        return wait_seconds if max_wait_seconds is None else min(wait_seconds, max_wait_seconds)

    def _forgive_pause(self) -> None:
        """Let the time not have passed in which this turn did not run, if that was long."""
        cpu_seconds = self._cpu_clock()
        turn_seconds = self.time() - self.now
        if self.on_turn:
            self.on_turn(turn_seconds)
        paused_seconds = turn_seconds - (cpu_seconds - self._cpu_seconds)
        self._cpu_seconds = cpu_seconds
        if paused_seconds > GRACE_SECONDS:
            self._lost_seconds += paused_seconds

    def _run(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            self.report()
