"""The chat protocol, pure: bytes and text in, bytes, text and plain values out.

Complete in itself: framing, handshake, text, commands, the roster of who is there, and the
dispatcher that holds the room's whole behaviour. No socket, clock, file, log or environment is ever
imported here, so that all of it can be tested, fuzzed and reused without a network.
docs/PROTOCOL.md is its specification.
"""

from codec.commands import is_exit
from codec.dispatcher import SHUTTING_DOWN, Dispatcher
from codec.errors import ProtocolError
from codec.events import Event, Kind
from codec.framing import MAX_LINE_BYTES, LineDecoder, LineTooLongError, encode_line
from codec.handshake import (
    BANNED,
    EXPECTED_JOIN,
    HANDSHAKE_TIMED_OUT,
    INCORRECT_PASSCODE,
    MAX_JOIN_BYTES,
    MAX_PASSCODE_BYTES,
    NOT_HERE,
    SERVER_FULL,
    TLS_REQUIRED,
    TOO_LATE,
    TOO_MANY_ATTEMPTS,
    TOO_MANY_CONNECTIONS,
    Join,
    RefusedError,
    Resume,
    format_join,
    format_refusal,
    format_resume,
    format_resumed,
    parse_answer,
    parse_join,
    parse_request,
    parse_resumed,
)
from codec.roster import Roster
from codec.text import decode_text, has_control_or_line_end

__all__ = [
    "BANNED",
    "EXPECTED_JOIN",
    "HANDSHAKE_TIMED_OUT",
    "INCORRECT_PASSCODE",
    "MAX_JOIN_BYTES",
    "MAX_LINE_BYTES",
    "MAX_PASSCODE_BYTES",
    "NOT_HERE",
    "SERVER_FULL",
    "SHUTTING_DOWN",
    "TLS_REQUIRED",
    "TOO_LATE",
    "TOO_MANY_ATTEMPTS",
    "TOO_MANY_CONNECTIONS",
    "Dispatcher",
    "Event",
    "Join",
    "Kind",
    "LineDecoder",
    "LineTooLongError",
    "ProtocolError",
    "RefusedError",
    "Resume",
    "Roster",
    "decode_text",
    "encode_line",
    "format_join",
    "format_refusal",
    "format_resume",
    "format_resumed",
    "has_control_or_line_end",
    "is_exit",
    "parse_answer",
    "parse_join",
    "parse_request",
    "parse_resumed",
]
