"""Every limit of codec, reactor and chat in one table, and its flag: `server.py -limits`.

A limit is a constant of the module where it acts, with its unit at the end of its name and its
reason in its annotation. That is where it is set, in code, before the server is made:

    from chat import gate
    gate.POOL_CONNECTIONS = 32
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import NamedTuple, get_type_hints

import codec.framing
import codec.handshake
import reactor.connection
import reactor.fanout
import reactor.file_writer
import reactor.flow
import reactor.listener
import reactor.log
import reactor.loop
import reactor.stdio
from chat import gate, journal, session
from cli.flags import Show

LIMITED: tuple[ModuleType | str, ...] = (
    gate,
    session,
    codec.handshake,
    codec.framing,
    reactor.listener,
    reactor.connection,
    reactor.fanout,
    reactor.log,
    reactor.flow,
    reactor.stdio,
    reactor.file_writer,
    reactor.loop,
    journal,
    "reactor.tls",
    "reactor.datagrams",
    "chat.presence",
    "reactor.appender",
    "chat.history",
    "chat.motd",
    "chat.resume",
    "reactor.keeper",
    "chat.admin",
    "chat.bans",
    "web.limits",
    "cluster.records",
    "cluster.replica",
    "cluster.snapshots",
    "cluster.engine",
    "cluster.bus",
    "cluster.lateness",
    "cluster.limits",
)
"""The modules that have limits, in the order in which a member meets them; by its name, one that is
imported only when asked."""


class Limit(NamedTuple):
    """One bound: `module`.`name` is `value`, in the unit that the name ends with."""

    module: str
    name: str
    value: float
    reason: str


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -limits."""
    parser.add_argument(
        *("-limits", "--limits"),
        action=Show,
        text=format_limits,
        help="show every limit with its reason and exit",
    )


def limits() -> list[Limit]:
    """All of them as they are set now, module by module."""
    modules = (each for module in LIMITED for each in _loaded(module))
    return [limit for module in modules for limit in _limits_of(module)]


def format_limits() -> str:
    """A line for each, and its reason below it."""
    return "\n".join(
        f"{limit.module}.{limit.name} = {limit.value:,}\n    {limit.reason}" for limit in limits()
    )


def _loaded(module: ModuleType | str) -> Iterator[ModuleType]:
    """The module, unless its folder is not here."""
    with contextlib.suppress(ImportError):
        yield import_module(module) if isinstance(module, str) else module


def _limits_of(module: ModuleType) -> list[Limit]:
    """Each constant of `module` whose annotation holds a reason."""
    hints = get_type_hints(module, include_extras=True)
    return [
        Limit(module.__name__, name, getattr(module, name), hint.__metadata__[0])
        for name, hint in hints.items()
        if hasattr(hint, "__metadata__")
    ]
