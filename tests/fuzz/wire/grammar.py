"""Makes what attackers send from the grammar in attackers.grammar, which tells how it is written.

In: a Random, a name and the passcode. Out: the bytes of one connection, the same ones for the same
state of the Random.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from random import Random

from tests.fuzz.mutation import TOKENS, mutated
from tests.support.protocol import UNSAFE

_SYMBOL = re.compile(rb"<(\w+)(?:([*+#])(\d+)|(!))?>")


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
    **_read(Path(__file__).with_name("attackers.grammar").read_text()),
    b"byte": [bytes([byte]) for byte in range(256)],
    b"token": TOKENS,
    b"unsafe": [character.encode() for character in sorted(UNSAFE - {"\n"})],
}


def stream_of(random: Random, name: bytes, passcode: bytes) -> bytes:
    """All that one attacker sends; `name` is its own, if it uses that."""
    return _Maker(random, name, passcode).symbol(b"attacker")


class _Maker:
    """Makes symbols for one attacker."""

    def __init__(self, random: Random, name: bytes, passcode: bytes) -> None:
        self._random = random
        self._given = {b"name": name, b"pass": passcode}
        self._numbers = 0

    def symbol(self, symbol: bytes) -> bytes:
        if symbol == b"number":
            self._numbers += 1
            return b"%d" % self._numbers
        if symbol in self._given:
            return self._given[symbol]
        return _SYMBOL.sub(self._expanded, self._random.choice(GRAMMAR[symbol]))

    def _expanded(self, match: re.Match[bytes]) -> bytes:
        symbol, sign, digits, is_mutated = match.groups()
        if is_mutated:
            return mutated(self._random, self.symbol(symbol))
        if sign == b"#":
            unit, size = self.symbol(symbol), int(digits)
            return (unit * (size // len(unit) + 1))[:size]
        count = self._random.randint(0, int(digits)) if sign == b"*" else int(digits or 1)
        return b"".join(self.symbol(symbol) for _ in range(count))
