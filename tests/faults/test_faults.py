"""One session for each system call of the server, which fails in it: a handful of them, or one of
each where TEST_LONG is set. `python -m tests.faults` tries them all."""

from __future__ import annotations

import pytest

from tests.faults.injection import CALLS, Fault, TracingForbiddenError
from tests.faults.session import run_case
from tests.support.faults import fault
from tests.support.size import IS_LONG

HANDFUL = [
    Fault("accept4", "EMFILE", 3),
    Fault("recvfrom", "ECONNRESET", 4),
    Fault("sendto", "EPIPE", 6),
    Fault("sendmsg", "retval=7", 2),
    Fault("epoll_ctl", "ENOSPC", 2),
    Fault("write", "ENOSPC", 5),
]
"""At the door, in what a member says and hears, in the loop, on the console."""

FAULTS = [
    *HANDFUL,
    Fault("sendto", "retval=3", 8),
    Fault("epoll_wait", "EINTR", 5),
    Fault("setsockopt", "EINVAL", 2),
    Fault("getsockname", "ENOBUFS", 2),
    Fault("poll", "ENOMEM", 6),
    Fault("shutdown", "ENOTCONN", 2),
    Fault("close", "EIO", 1),
    Fault("close", "EIO", 5),
    Fault("ioctl", "ENOMEM", 2),
]


@fault(64)
@pytest.mark.parametrize("failure", FAULTS if IS_LONG else HANDFUL, ids=str)
def test_failing_system_call_costs_one_connection_at_most(failure: Fault) -> None:
    """It must have come. Without strace nothing is checked."""
    try:
        case = run_case(failure)
    except TracingForbiddenError as error:
        pytest.skip(f"NO SYSTEM CALL WAS MADE TO FAIL: {error}")
    assert case.verdict == "passed", f"{failure} {case.verdict}: {case.details}"


def test_every_call_of_the_server_fails_in_some_session() -> None:
    assert {failure.call for failure in FAULTS} == set(CALLS)
