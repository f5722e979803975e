"""Whether this machine can run solutions at all: the loopback interface, room for temporary files,
descriptors, processes. What is wrong here is never a solution's fault.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import tempfile

NEEDED_DESCRIPTORS = 256
"""For each process of ours: the largest case has 21 programs of three pipes each."""

NEEDED_PROCESSES = 32
"""The largest case has 21 programs, beside its own process and threads."""


TIMEOUT_SECONDS = 1.0
"""Longest that the loopback interface may take."""


def trouble() -> str:
    """What keeps every solution from running, in a few words; empty if nothing does. Cheap: some
    system calls."""
    for look in (_look_at_loopback, _look_at_temporary_files, _look_at_descriptors):
        try:
            found = look()
        except OSError as error:
            found = f"{_SUBJECTS[look.__name__]}: {error.strerror or error}"
        if found:
            return found
    return ""


def lack_of_processes() -> str:
    """The same for the number of processes, which takes some milliseconds to find out."""
    started: list[int] = []
    ours, theirs = os.pipe()
    try:
        for _ in range(NEEDED_PROCESSES):
            pid = os.fork()
            if pid == 0:
                os.close(theirs)
                os.read(ours, 1)
                os._exit(0)
            started.append(pid)
    except OSError as error:
        return f"only {len(started)} of {NEEDED_PROCESSES} processes start: {error.strerror}"
    finally:
        os.close(theirs)
        os.close(ours)
        for pid in started:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    return ""


def raise_descriptor_limit() -> None:
    """As far as a case needs, if we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = NEEDED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(NEEDED_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def _look_at_loopback() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_SECONDS)
        with socket.create_connection(listener.getsockname(), timeout=TIMEOUT_SECONDS) as near:
            far, _ = listener.accept()
            with far:
                far.settimeout(TIMEOUT_SECONDS)
                near.sendall(b"x")
                return "" if far.recv(1) == b"x" else _SUBJECTS["_look_at_loopback"]


def _look_at_temporary_files() -> str:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(64 * 1024))
        file.flush()
    return ""


def _look_at_descriptors() -> str:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < NEEDED_DESCRIPTORS:
        return f"only {soft} descriptors may be open, and a case needs {NEEDED_DESCRIPTORS}"
    return ""


_SUBJECTS = {
    "_look_at_loopback": "nothing can connect to 127.0.0.1",
    "_look_at_temporary_files": "no temporary file can be written",
    "_look_at_descriptors": "the number of descriptors is unknown",
}
