"""A colour for each name: always the same one, and different from those of the others here.

All colours are SGR parameters (ECMA-48, 8.3.117). We do not know which background a terminal has,
so each of the 256 below has a contrast of at least 4.1 to 1 with white and with black, and those of
texts 4.4 to 1. No colour has more than 4.58 with both (WCAG 2.2, 1.4.3 asks for 4.5). Most
terminals choose their own eight colours so that only red and magenta can be read on both.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32


class _Colours(NamedTuple):
    names: tuple[str, ...] = ("",)
    quiet: str = "2"
    good: str = ""
    bad: str = ""
    private: str = ""


_NAMES = (130, 30, 98, 131, 31, 164, 64, 133, 65, 63, 162, 28, 129, 97, 29)
_OF_256 = _Colours(
    tuple(f"38;5;{number}" for number in _NAMES), "38;5;243", "38;5;28", "38;5;131", "38;5;163"
)
_OF_8 = _Colours(("35", "31"), bad="31", private="35")


class Palette:
    """Hands out colours for a terminal that has so many. `quiet` is that of what matters least."""

    def __init__(self, colours: int) -> None:
        of = _OF_256 if colours >= 256 else _OF_8 if colours >= 8 else _Colours()
        self._names, self.quiet, self.good, self.bad, self.private = of
        self._taken: dict[str, str] = {}

    def colour_of(self, name: str) -> str:
        """The colour of `name`, whatever its letter case. If all colours are taken, it shares the
        one that it would have alone."""
        folded = name.lower()
        if folded not in self._taken:
            first = crc32(folded.encode()) % len(self._names)
            in_order = self._names[first:] + self._names[:first]
            taken = set(self._taken.values())
            free = (colour for colour in in_order if colour not in taken)
            self._taken[folded] = next(free, in_order[0])
        return self._taken[folded]

    def keep_only(self, names: set[str]) -> None:
        """Free the colours of all but `names`."""
        kept = {name.lower() for name in names}
        self._taken = {name: colour for name, colour in self._taken.items() if name in kept}
