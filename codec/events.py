"""What happens in a room, as plain values.

An Event says who caused it, who reads what, and what the server prints. The dispatcher makes
events; a bus (chat.bus) puts them in one order; its listeners carry them out.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What kind of thing happened."""

    JOINED = "joined"
    LEFT = "left"
    SAID = "said"
    PRIVATE = "private"
    NOTICE = "notice"
    ANNOUNCED = "announced"


class Event(NamedTuple):
    """One thing that happened. Every line is bytes, ended by LF; b"" means none.

    - `origin`: the username of the member that caused it.
    - `console`: what the server prints; this and `room` may be several lines.
    - `room`: what every member but the origin reads; with `to_origin` the origin reads it too.
    - `private`: (username, line) pairs, for one member each.

    JOINED and LEFT say so to the room. SAID is a line, or a block of lines, of chat. PRIVATE is a
    line for one member. NOTICE is an answer of the server to the origin alone. ANNOUNCED is a line
    of the operator to all; it has no origin.
    """

    kind: Kind
    origin: str
    console: bytes = b""
    room: bytes = b""
    to_origin: bool = False
    private: tuple[tuple[str, bytes], ...] = ()
