"""asyncio's loop, turned in steps by ours: one thread, one place to sleep.

prompt_toolkit is written for asyncio. We give asyncio's loop a selector that never sleeps: the
Reactor watches what the loop would wait for, and where the loop would sleep the step ends.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from reactor import Reactor, Timer


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop of asyncio on `reactor`, for its own thread alone. It runs what it is given in
    the same turn of the reactor, or in the next one."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._timer: Timer | None = None
        self.signal_handlers: dict[int, Callable[[], object]] = {}
        """What is to be called for each signal, by the owner of the process's signals."""
        super().__init__(_Selector(reactor, self))
        self.set_exception_handler(self._report)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if not self.is_running():
            self._reactor.call_soon(self.step)
        return super().call_soon(callback, *args, context=context)

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # which would write to a descriptor to wake this thread

    def step(self) -> None:
        """Do what can be done now."""
        if not self.is_running():
            self.set_timer(None)
            self.run_forever()

    def set_timer(self, seconds: float | None) -> None:
        """Step after so many seconds; a time that was set before no longer holds."""
        if self._timer:
            self._timer.cancel()
        self._timer = None if seconds is None else self._reactor.call_later(seconds, self.step)

    # asyncio takes signal.set_wakeup_fd for these, which is ours.

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        self.signal_handlers[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self.signal_handlers.pop(sig, None) is not None

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        try:
            raise context.get("exception") or RuntimeError(context["message"])
        except Exception:
            self._reactor.report()


class _Selector(selectors.BaseSelector):
    """Its descriptors are watched by the reactor."""

    def __init__(self, reactor: Reactor, loop: SteppedLoop) -> None:
        self._reactor = reactor
        self._loop = loop
        self._watched: dict[Any, _Watched] = {}
        self.ready: list[tuple[selectors.SelectorKey, int]] = []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, descriptor, events, data)
        self._watched[fileobj] = _Watched(key, self, self._loop)
        self._reactor.set_interest(descriptor, events, self._watched[fileobj])
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        watched = self._watched.pop(fileobj)
        self._reactor.set_interest(watched.key.fd, 0, watched)
        return watched.key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready, self.ready = self.ready, []
        if not ready and timeout != 0:
            self._loop.set_timer(timeout)
            self._loop.stop()
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {fileobj: watched.key for fileobj, watched in self._watched.items()}


class _Watched:
    """The handler of one descriptor."""

    def __init__(self, key: selectors.SelectorKey, selector: _Selector, loop: SteppedLoop) -> None:
        self.key = key
        self._selector = selector
        self._loop = loop

    def handle_events(self, events: int) -> None:
        self._selector.ready.append((self.key, events))
        self._loop.step()

    def handle_error(self) -> None:
        """A step failed and was reported; the next step may succeed."""
