"""The two datagrams of "Which rooms are up?": a request to a multicast group, and a room's reply.

    request   ROOMS? <nonce>, and blanks up to REQUEST_BYTES
    reply     ROOM <nonce> <port> <members>

The nonce is 16 hexadecimal digits that the asker made up: a reply without them answers another
question, or none. The request is as long as it is so that no reply is longer: whoever forges
another's address as the sender makes a room send the victim no more than was spent on the forgery.
docs/PROTOCOL.md, "Which rooms are up", has the whole of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

REQUEST_BYTES = 64
"""The length of a request, to the byte. A reply is never longer."""

GROUP = "239.255.67.82"
"""Where requests are sent: an address of the organization-local scope (RFC 2365, section 6.2)."""

PORT = 21500
"""The UDP port of requests."""

_REQUEST = re.compile(rb"ROOMS\? ([0-9A-Fa-f]{16}) *")
_REPLY = re.compile(rb"ROOM ([0-9A-Fa-f]{16}) ([1-9][0-9]{0,4}) (0|[1-9][0-9]{0,8})")


class RoomReply(NamedTuple):
    """A room listens on `port` and has so many `members`."""

    nonce: bytes
    port: int
    members: int


def format_request(nonce: bytes) -> bytes:
    """Ask which rooms are up; `nonce` is 16 hexadecimal digits."""
    return (b"ROOMS? " + nonce).ljust(REQUEST_BYTES)


def parse_request(data: bytes) -> bytes | None:
    """The nonce of a request, or None: anything else is to be ignored in silence."""
    request = _REQUEST.fullmatch(data) if len(data) == REQUEST_BYTES else None
    return request[1] if request else None


def format_reply(reply: RoomReply) -> bytes:
    """At most REQUEST_BYTES."""
    return b"ROOM %b %d %d" % reply


def parse_reply(data: bytes) -> RoomReply | None:
    """What a room says, or None for anything else."""
    reply = _REPLY.fullmatch(data)
    if not reply or int(reply[2]) > 65535:
        return None
    return RoomReply(reply[1], int(reply[2]), int(reply[3]))
