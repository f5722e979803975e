"""A colour for each name: always the same one, and different from those of the others here."""

from __future__ import annotations

from zlib import crc32

# Each has a contrast of at least 3:1 on white and on the usual dark backgrounds (WCAG 2, 1.4.11),
# since we do not know which background a terminal has.
_OF_256 = (166, 30, 99, 136, 32, 170, 64, 134, 137, 69, 168, 28, 67, 132, 100)
_OF_16 = (33, 36, 35, 32, 34)


class Palette:
    """Hands out SGR parameters (ECMA-48, 8.3.117) for as many `colours` as a terminal has."""

    def __init__(self, colours: int) -> None:
        if colours >= 256:
            self._all = [f"38;5;{number}" for number in _OF_256]
        else:
            self._all = [str(number) for number in _OF_16] if colours >= 8 else [""]
        self.has_colours = colours >= 8
        self._taken: dict[str, str] = {}

    def colour_of(self, name: str) -> str:
        """The colour of `name`, whatever its letter case. If all colours are taken, it shares the
        one that it would have alone."""
        folded = name.lower()
        if folded not in self._taken:
            first = crc32(folded.encode()) % len(self._all)
            in_order = self._all[first:] + self._all[:first]
            taken = set(self._taken.values())
            free = (colour for colour in in_order if colour not in taken)
            self._taken[folded] = next(free, in_order[0])
        return self._taken[folded]

    def keep_only(self, names: set[str]) -> None:
        """Free the colours of all but `names`."""
        kept = {name.lower() for name in names}
        self._taken = {name: colour for name, colour in self._taken.items() if name in kept}
