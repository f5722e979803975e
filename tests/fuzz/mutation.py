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

TOKENS: list[bytes] = [
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
    before, part, after = data[:start], data[start:end], data[end:]
    other = random.choice(others) if others else b""
    first = random.randint(0, len(other))
    return random.choice(
        [
            before + after,
            before + part * random.choice([2, 2, 3, 31]) + after,
            before + bytes(byte ^ 1 << random.randrange(8) for byte in part[:1]) + part[1:] + after,
            before + random.randbytes(len(part)) + after,
            before + other[first : first + random.choice([4, 16, 64])] + part + after,
            before + after + part,
            before + random.choice(TOKENS) + part + after,
        ]
    )
