"""Blind changes to bytes, with words that a chat knows at hand.

In: a Random and some bytes. Out: other bytes, the same ones for the same state of the Random.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.support.protocol import UNSAFE

TOKENS = [
    *[b"\n", b"\r\n", b"\r", b" ", b"\t", b"JOIN ", b"JOIN Alice abc12\n", b" abc12\n", b":"],
    *[b":Users\n", b":Exit\n", b":Msg Bob ", b":Msg ", b":MSG alice ", b":)", b":(", b":mytime"],
    *[b":+1hr", b"\\:", b"\\\\", b"Alice: ", b"[Message from Bob]: ", b" joined the chatroom"],
    *[b"\x1b[2J", b"\x1b]52;c;!\x07", *sorted(c.encode() for c in UNSAFE), b"\xef\xbf\xbd"],
    *[b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98", b"\xff", b"\xfe"],
    *[b"\xc2\xa0", b"\xe2\x84\xaa", b"\xe2\x80\x8d", b"caf\xc3\xa9", b"ERROR ", b"OK\n"],
]
"""Line ends, words of the protocol, controls, bidi controls, and what is nearly UTF-8."""


def mutated(
    random: Random, data: bytes, others: Sequence[bytes] = (), tokens: Sequence[bytes] = TOKENS
) -> bytes:
    """`data` after one to four changes; `others` are inputs that a part may be taken from."""
    for _ in range(random.randint(1, 4)):
        data = _changed(random, data, others, tokens)
    return data


def _changed(
    random: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]
) -> bytes:
    start = random.randint(0, len(data))
    end = min(len(data), start + random.choice([1, 1, 2, 4, 8, 30]))
    kind = random.randrange(7)
    if kind == 0:  # leave out
        return data[:start] + data[end:]
    if kind == 1:  # repeat
        return data[:end] + data[start:end] * random.choice([1, 1, 2, 30]) + data[end:]
    if kind == 2 and start < len(data):  # flip a bit
        return data[:start] + bytes([data[start] ^ 1 << random.randrange(8)]) + data[start + 1 :]
    if kind == 3:  # replace by anything
        return data[:start] + random.randbytes(end - start) + data[end:]
    if kind == 4 and others:  # put in a part of another
        other = random.choice(others)
        first = random.randint(0, len(other))
        return data[:start] + other[first : first + random.choice([4, 16, 64])] + data[start:]
    if kind == 5:  # move
        return data[:start] + data[end:] + data[start:end]
    return data[:start] + random.choice(tokens) + data[start:]
