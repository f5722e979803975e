"""A turn that fails half way, for want of memory: who was not served then is served in the next.

A MemoryError is raised before the n-th line that is run once a page was sealed, for each n until a
turn has no more lines: nearly every line may need memory.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

from reactor import SocketTransport, connection, fanout, log, transport
from reactor.fanout import RETRY_SECONDS, Fanout
from reactor.log import Log
from tests.reactor.conftest import PATTERN, new_loop, unix_pair
from tests.reactor.crowd import Crowd
from tests.support.fanout import Simulation, Step

FILES = {module.__file__ for module in (connection, fanout, log, transport)}
"""Where lines are counted."""

PAGE = PATTERN[:30_000]
"""More than a small page, and less than a socket takes."""

MOST_LINES = 1_000
"""More lines than the end of such a crowd's turn has."""


class FailingLine:
    """While it is entered, a MemoryError before one line: the `number`-th that is run after
    `Log.seal` has returned, but for those of `_end_turn`, which has to see to it, and what comes
    behind. `is_reached`: whether there were so many."""

    def __init__(self, number: int) -> None:
        self.is_reached = False
        self._left = number
        self._is_sealed = False
        self._previous = sys.gettrace()

    def __enter__(self) -> FailingLine:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(self._previous)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "return" and frame.f_code is _code_of(Log.seal):
            self._is_sealed = True
        elif event == "return" and frame.f_code is _code_of(Fanout._end_turn):
            self._is_sealed = False
        elif event == "line" and self._is_sealed and frame.f_code is not _code_of(Fanout._end_turn):
            self._left -= 1
            if self._left < 0:
                self.is_reached = True
                sys.settrace(None)
                raise MemoryError
        return self._trace


def _code_of(function: Callable[..., object]) -> CodeType:
    return function.__code__


@contextlib.contextmanager
def crowd_of_four() -> Iterator[Crowd]:
    """They have been sent something before."""
    with new_loop() as loop:
        crowd = Crowd(loop, unix_pair)
        for _ in range(4):
            crowd.join()
        crowd.say(b"first ")
        crowd.loop.turn()
        yield crowd
        crowd.close()


def check_all_heard(crowd: Crowd, own: bytes, said_next: bytes, where: str) -> None:
    """All but one, which may be lost, have heard everything, and the second its `own` line."""
    assert crowd.loop.take_errors() == [], where
    assert sum(bool(member.lost) for member in crowd.members) <= 1, where
    for index, member in enumerate(crowd.members):
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while data := member.peer.recv(1 << 20):
                member.heard += data
        expected = [b"first ", own if index == 1 else b"", PAGE, said_next]
        assert member.lost or member.heard == b"".join(expected), f"member {index}, {where}"


@pytest.mark.parametrize("own", [b"", b"private "], ids=["all alike", "one has a private line"])
def test_member_missed_by_failed_turn_is_served_in_next(own: bytes) -> None:
    for number in range(MOST_LINES):
        with crowd_of_four() as crowd:
            if own:
                crowd.members[1].connection.write(own)
            crowd.say(PAGE)
            with FailingLine(number) as line:
                crowd.loop.turn()
            if not line.is_reached:
                break
            assert [type(error) for error in crowd.loop.take_errors()] == [MemoryError]
            crowd.loop.pass_seconds(RETRY_SECONDS)
            check_all_heard(crowd, own, b"", f"line {number}")
            crowd.say(b"next")
            crowd.loop.turn()
            check_all_heard(crowd, own, b"next", f"line {number}")
    else:
        pytest.fail("there is no end to it")
    assert number > 20, "hardly any line was made to fail"


class FailingTransport(SocketTransport):
    """Each send is a bug."""

    def send(self, pieces: list[Any]) -> int:
        raise IndexError

    def close(self, is_reset: bool) -> None:
        """There is no socket."""


@pytest.mark.parametrize("is_plain", [True, False])
def test_bug_in_a_send_costs_one_member(is_plain: bool) -> None:
    simulation = Simulation([])
    for _ in range(2):
        simulation.do(Step("join"))
    simulation.reactor.run_once()
    broken, other = simulation.members
    broken.socket.send = FailingTransport.send.__get__(broken.socket)  # type: ignore[method-assign]
    if not is_plain:
        broken.connection.transport = FailingTransport(None)  # type: ignore[arg-type]
    simulation.do(Step("say", size=3))
    simulation.reactor.run_once()
    assert [type(error) for error in simulation.errors] == [IndexError]
    assert broken.connection.is_closing
    assert other.socket.taken == other.queue
