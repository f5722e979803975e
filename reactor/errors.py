"""Names the system call behind an error that would otherwise tell a reason alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def naming(call: str) -> Iterator[None]:
    """An OSError raised within has the name of `call` as its `filename`, unless it has one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or call
        raise
