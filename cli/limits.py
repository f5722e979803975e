"""Every limit of the server in one table: `python3 server.py -limits` prints it.

A limit is a constant of the module where it acts, with its unit at the end of its name and its
reason below it. That is where it is set, in code, before the server is made:

    from chat import gate
    gate.POOL_CONNECTIONS = 32
"""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import codec.framing
import codec.handshake
import reactor.connection
import reactor.fanout
import reactor.flow
import reactor.listener
import reactor.log
import reactor.loop
import reactor.stdio
from chat import gate, journal, session

LIMITED: tuple[ModuleType, ...] = (
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
    reactor.loop,
    journal,
)
"""The modules that have limits, in the order in which a member meets them."""


class Limit(NamedTuple):
    """One bound: `module`.`name` is `value`, in the unit that the name ends with."""

    module: str
    name: str
    value: float
    reason: str


def limits() -> list[Limit]:
    """All of them as they are set now, module by module."""
    return [limit for module in LIMITED for limit in _limits_of(module)]


def format_limits() -> str:
    """A line for each, and its reason below it."""
    return "\n".join(
        f"{limit.module}.{limit.name} = {limit.value:,}\n    {limit.reason}" for limit in limits()
    )


def _limits_of(module: ModuleType) -> list[Limit]:
    """Each public constant of `module` that is a number with a docstring of its own."""
    body = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
    found = []
    for statement, below in pairwise(body):
        match statement, below:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(reason))),
            ):
                value = getattr(module, name)
                if isinstance(value, (int, float)) and not name.startswith("_"):
                    found.append(Limit(module.__name__, name, value, " ".join(reason.split())))
    return found
