"""The datagrams of "Which rooms are up?", to the byte."""

from __future__ import annotations

import pytest

from codec.presence import (
    REQUEST_BYTES,
    RoomReply,
    format_reply,
    format_request,
    parse_reply,
    parse_request,
)

NONCE = b"4f1d00c2a77be310"
REPLY = RoomReply(NONCE, 21032, 1)


def test_request_is_64_bytes_and_nothing_else_is_one() -> None:
    request = format_request(NONCE)
    assert request == b"ROOMS? 4f1d00c2a77be310" + b" " * 41
    assert parse_request(request) == NONCE
    for wrong in (request + b" ", request[:-1], request.replace(b"4f", b"xx"), b""):
        assert parse_request(wrong) is None


def test_reply_names_a_port_and_how_many_are_there() -> None:
    assert format_reply(REPLY) == b"ROOM 4f1d00c2a77be310 21032 1"
    assert parse_reply(format_reply(REPLY)) == REPLY
    for wrong in (b"0 1", b"65536 1", b"21032 01", b"21032 1 ", b"21032"):
        assert parse_reply(b"ROOM %s %s" % (NONCE, wrong)) is None


@pytest.mark.parametrize("members", [0, 1, 10**9 - 1])
def test_no_reply_is_longer_than_its_request(members: int) -> None:
    assert len(format_reply(RoomReply(NONCE, 65535, members))) <= REQUEST_BYTES
