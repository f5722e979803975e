"""Blind changes to bytes, with words that a chat knows at hand.

In: a Random and some bytes. Out: other bytes, the same ones for the same state of the Random.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.support.protocol import UNSAFE

DICTIONARY = Path(__file__).with_name("words.dict")

TOKENS = [
    *(ast.literal_eval(f"b{word}") for word in DICTIONARY.read_text().split("\n") if '"' in word),
    *(character.encode() for character in sorted(UNSAFE)),
]
"""Words of the dictionary, and what may not reach a terminal."""


def mutated(random: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """`data` after one to four changes; `others` are inputs that a part may be taken from."""
    for _ in range(random.randint(1, 4)):
        data = _changed(random, data, others)
    return data


def _changed(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
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
    return data[:start] + random.choice(TOKENS) + data[start:]
