"""Makes what is sent from the grammar in members.grammar, which tells how it is written.

In: a Random and a symbol. Out: the bytes of one of its forms, the same ones for the same state of
the Random.
"""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path
from random import Random

from tests.fuzz.mutation import TOKENS, mutated
from tests.support.protocol import UNSAFE

_SYMBOL = re.compile(rb"<([a-z]\w*)(?:([*+#])(\d+)|(!))?>")


def _read(text: str) -> dict[bytes, list[bytes]]:
    """Each symbol's forms; one that is to come twice as often is there twice."""
    grammar: dict[bytes, list[bytes]] = {}
    for symbol, weight, forms in re.findall(r"^(\w+)(?:\*(\d+))?: (.*)", text, re.MULTILINE):
        for form in re.findall(r'"(?:[^"\\]|\\.)*"', forms):
            grammar.setdefault(symbol.encode(), []).extend(
                [ast.literal_eval(f"b{form}")] * int(weight or 1)
            )
    return grammar


GRAMMAR = {
    **_read(Path(__file__).with_name("members.grammar").read_text()),
    b"byte": [bytes([byte]) for byte in range(256)],
    b"token": TOKENS,
    b"unsafe": [character.encode() for character in sorted(UNSAFE - {"\n"})],
}


class Maker:
    """Makes forms of symbols for one member; those that are `given` have one form."""

    def __init__(self, random: Random, **given: bytes) -> None:
        self._random = random
        self._given = {symbol.encode(): form for symbol, form in given.items()}
        self._numbers = itertools.count(1)

    def make(self, symbol: bytes) -> bytes:
        if symbol == b"number":
            return b"%d" % next(self._numbers)
        if symbol in self._given:
            return self._given[symbol]
        return _SYMBOL.sub(self._expanded, self._random.choice(GRAMMAR[symbol]))

    def _expanded(self, match: re.Match[bytes]) -> bytes:
        symbol, sign, digits, is_mutated = match.groups()
        if is_mutated:
            return mutated(self._random, self.make(symbol))
        if sign == b"#":
            unit, size = self.make(symbol), int(digits)
            return (unit * (size // len(unit) + 1))[:size]
        count = self._random.randint(0, int(digits)) if sign == b"*" else int(digits or 1)
        return b"".join(self.make(symbol) for _ in range(count))
