"""One session for each system call of the server, which fails in it: a handful of them, or one of
each where TEST_LONG is set. `python -m tests.faults` tries them all."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import run
from tests.faults.injection import CALLS, TracingForbiddenError, all_faults, all_start_faults
from tests.support.faults import fault
from tests.support.size import IS_LONG

HANDFUL = [
    *["accept4:EMFILE:3", "recvfrom:ECONNRESET:4", "sendto:EPIPE:6", "sendmsg:retval=7:2"],
    *["epoll_ctl:ENOSPC:2", "write:ENOSPC:5"],
]
"""At the door, in what a member says and hears, in the loop, on the console."""

STARTS = [
    *["server.py:prlimit64:EPERM:1", "server.py:getsockname:ENOBUFS:1", "server.py:bind:EACCES:1"],
    *["client.py:openat:EMFILE:21", "client.py:rt_sigprocmask:EPERM:1"],
]
"""A limit that cannot be read, a port that may not be had, a module that cannot be loaded."""

FAULTS = [
    *HANDFUL,
    *["sendto:retval=3:8", "epoll_wait:EINTR:5", "setsockopt:EINVAL:2", "getsockname:ENOBUFS:2"],
    *["shutdown:ENOTCONN:2", "close:EIO:1", "close:EIO:5", "ioctl:ENOMEM:2"],
]
"""Named as `--only` has them."""


@fault(64, 84)
@pytest.mark.parametrize("name", [*(FAULTS if IS_LONG else HANDFUL), *STARTS])
def test_failing_system_call_costs_one_connection_at_most(name: str) -> None:
    """Or a start, in one line. It must have come. Without strace nothing is checked."""
    every = [*all_faults(), *all_start_faults()]
    (failure,) = (failure for failure in every if str(failure) == name)
    try:
        case = run(failure)
    except TracingForbiddenError as error:
        pytest.skip(f"NO SYSTEM CALL WAS MADE TO FAIL: {error}")
    assert case.verdict == "passed", f"{name} {case.verdict}: {case.details}"


def test_every_call_of_the_server_fails_in_some_session() -> None:
    assert {name.partition(":")[0] for name in FAULTS} == set(CALLS)
