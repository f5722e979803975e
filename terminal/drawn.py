"""Puts together a client that draws. Loaded only when one is asked for."""

from __future__ import annotations

import locale
import os
from collections.abc import Sequence

from codec import Join
from reactor import Reactor
from terminal.interactive import DrawnScreen, InteractiveClient
from terminal.link import Server

__all__ = ["Server", "make_client"]


def make_client(
    reactor: Reactor, servers: Sequence[Server], join: Join, is_full: bool
) -> InteractiveClient:
    """An InteractiveClient on standard input and output: on the whole window if `is_full`. Raises
    ImportError where what that needs cannot be had."""
    may_colour = not os.environ.get("NO_COLOR")  # no-color.org
    is_unicode = "UTF" in locale.nl_langinfo(locale.CODESET).upper()
    screen: DrawnScreen
    if is_full:
        from terminal.full import FullScreen

        screen = FullScreen(
            reactor, join.username, servers[0].name, may_colour=may_colour, is_unicode=is_unicode
        )
    else:
        from terminal.line import LineScreen

        screen = LineScreen(reactor, join.username, may_colour=may_colour, is_unicode=is_unicode)
    return InteractiveClient(reactor, screen, servers, join)
