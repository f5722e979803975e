"""Puts together a client that draws. Loaded only when one is asked for."""

from __future__ import annotations

import locale
import os

from codec import Join
from reactor import Reactor
from terminal.interactive import InteractiveClient
from terminal.line import LineScreen
from terminal.link import Room

__all__ = ["Room", "make_client"]


def make_client(reactor: Reactor, room: Room, join: Join) -> InteractiveClient:
    """An InteractiveClient on standard input and output. Raises UnsupportedError where readline
    cannot be had."""
    screen = LineScreen(
        reactor,
        join.username,
        may_colour=not os.environ.get("NO_COLOR"),  # no-color.org
        is_unicode="UTF" in locale.nl_langinfo(locale.CODESET).upper(),
    )
    return InteractiveClient(reactor, screen, room, join)
