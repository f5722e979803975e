"""Puts together a client that draws. Loaded only when one is asked for."""

from __future__ import annotations

import locale
import os

from codec import Join
from reactor import Reactor
from terminal.dial import resolve
from terminal.interactive import InteractiveClient
from terminal.line import LineScreen


def make_client(reactor: Reactor, host: str, port: int, join: Join) -> InteractiveClient:
    """An InteractiveClient on standard input and output. Raises UnsupportedError where readline
    cannot be had, and OSError and UnicodeError for a host without an address."""
    screen = LineScreen(
        reactor,
        join.username,
        may_colour=not os.environ.get("NO_COLOR"),  # no-color.org
        is_unicode="UTF" in locale.nl_langinfo(locale.CODESET).upper(),
    )
    return InteractiveClient(reactor, screen, resolve(host), host, port, join)
