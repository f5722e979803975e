"""`-cluster`, `-cluster-file`, `-node`: several servers, one room (docs/CLUSTER.md).

In: the flags. Out: a bus and a room on it, in place of the local ones. Nothing is loaded that was
not asked for; what is, needs hiredis (`pip install chatroom[cluster]`).
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from cli.flags import ServerFlags, complain
from cli.passcode import read_first_line
from cli.start import reason_of
from reactor import Reactor

if TYPE_CHECKING:
    from cluster.bus import ClusterBus


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add those flags."""
    parser.add_argument(
        *("-cluster", "--cluster"),
        metavar="URL",
        help="be one of several servers of a room: redis://HOST:PORT/ROOM, rediss:// for TLS",
    )
    parser.add_argument(
        *("-cluster-file", "--cluster-file"),
        metavar="FILE",
        help="a file with that URL in its first line, which does not show in ps",
    )
    parser.add_argument(
        *("-node", "--node"),
        metavar="NAME",
        help="this server's name, different from all others (default: host name and port)",
    )


def make_bus_maker(flags: ServerFlags, port: int) -> BusMaker | None:
    """What makes the bus that was asked for, once Redis was found to be good; None if none was.
    Raises OSError or ImportError, in one line."""
    if flags.cluster is None and flags.cluster_file is None:
        return None
    if flags.cluster is not None and flags.cluster_file is not None:
        raise OSError("-cluster and -cluster-file exclude each other")
    try:
        from secrets import token_hex  # which loads OpenSSL

        from cluster.node import Node
        from cluster.records import RecordError, check_node
        from cluster.redis import RedisEngine
        from cluster.start import ClusterError, find_redis, parse_url
    except ModuleNotFoundError as error:
        what = "hiredis: pip install hiredis" if error.name == "hiredis" else "the folder cluster/"
        raise ImportError(f"-cluster needs {what}") from error
    try:
        name = check_node(flags.node or f"{socket.gethostname()}:{port}")
        address, warnings = find_redis(parse_url(flags.cluster or _read_url(flags.cluster_file)))
    except (ClusterError, RecordError) as error:
        raise OSError(f"-cluster: {error}") from error
    for warning in warnings:
        complain(f"warning: {warning}")

    def make(
        reactor: Reactor, warn: Callable[[str], None], on_end: Callable[[str], None]
    ) -> ClusterBus:
        from cluster.bus import ClusterBus

        node = Node(name, token_hex(8))
        return ClusterBus(reactor, RedisEngine(reactor, address), node, warn, on_end)

    return make


BusMaker = Callable[[Reactor, Callable[[str], None], Callable[[str], None]], "ClusterBus"]


def _read_url(path: str | None) -> str:
    try:
        line, is_readable_by_others = read_first_line(path or "")
    except (OSError, ValueError) as error:
        raise OSError(f"-cluster-file: {path}: {reason_of(error)}") from error
    if is_readable_by_others:
        complain(f"warning: others may read {path}, and the password in it (chmod 600)")
    return line
