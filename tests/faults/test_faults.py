"""One session for each system call of the server, which fails in it; all of them are tried by
`python -m tests.faults`."""

from __future__ import annotations

import pytest

from tests.faults.injection import ERRORS, Fault, TracingForbiddenError
from tests.faults.session import run_case
from tests.support.faults import fault

FAULTS = [
    Fault("accept4", "EMFILE", 3),
    Fault("recvfrom", "ECONNRESET", 4),
    Fault("sendto", "EPIPE", 6),
    Fault("sendto", "retval=3", 8),
    Fault("sendmsg", "retval=7", 2),
    Fault("epoll_wait", "EINTR", 5),
    Fault("epoll_ctl", "ENOSPC", 2),
    Fault("setsockopt", "EINVAL", 2),
    Fault("getsockname", "ENOBUFS", 2),
    Fault("poll", "ENOMEM", 6),
    Fault("shutdown", "ENOTCONN", 2),
    Fault("close", "EIO", 1),
    Fault("close", "EIO", 5),
    Fault("ioctl", "ENOMEM", 2),
    Fault("write", "ENOSPC", 5),
]


def check(fault: Fault) -> None:
    """The server bears the fault, which must have come. Without strace nothing is checked."""
    try:
        outcome = run_case(fault)
    except TracingForbiddenError as error:
        pytest.skip(f"NO SYSTEM CALL WAS MADE TO FAIL: {error}")
    report = "\n".join([*outcome.complaints, outcome.details])
    assert outcome.verdict == "passed", f"{fault} {outcome.verdict}: {report}"


@fault(64)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_system_call_that_fails_costs_one_connection_at_most(fault: Fault) -> None:
    check(fault)


def test_every_call_is_tried() -> None:
    assert {fault.call for fault in FAULTS} == set(ERRORS)
