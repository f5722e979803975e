"""What lines must look like.

In: a line as a rubric writes it, with placeholders in braces. Out: a pattern that tells whether a
printed line is that one. The placeholders that are left once a rubric has filled in its own:

    {time}         the local time when it was typed or seen, in the rubric's format
    {time+3600}    so many seconds later
    {names:A,B}    these names joined by ", " in any order
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from grader import times

_PLACEHOLDER = re.compile(r"\{(time(?:\+(?P<offset>\d+))?|names:(?P<names>[^}]*))\}")


class Clock(NamedTuple):
    """When something was typed and when its effects were looked at, in seconds since 1970; the
    solution's clock is `shift` seconds ahead of universal time, and is told in one of `formats`."""

    typed: float
    seen: float
    shift: int
    formats: tuple[str, ...] = (times.DEFAULT,)

    def times(self, offset: int) -> list[str]:
        """Every text that a solution may have told, `offset` seconds later."""
        return [
            text
            for form in self.formats
            for second in range(int(self.typed), int(self.seen) + 1)
            for text in times.spellings(second + offset, self.shift, form)
        ]


def matches(pattern: str, line: str, clock: Clock) -> bool:
    """Whether `line` is what `pattern` describes, in every character."""
    found = re.fullmatch(_expression(pattern), line)
    if found is None:
        return False
    for number, placeholder in enumerate(_PLACEHOLDER.finditer(pattern), start=1):
        text = found[number]
        if placeholder["names"] is not None:
            if sorted(text.split(", ")) != sorted(placeholder["names"].split(",")):
                return False
        elif text not in clock.times(int(placeholder["offset"] or 0)):
            return False
    return True


def show(pattern: str, clock: Clock) -> str:
    """An example of what `pattern` describes."""

    def example(placeholder: re.Match[str]) -> str:
        if placeholder["names"] is not None:
            return placeholder["names"].replace(",", ", ")
        return clock.times(int(placeholder["offset"] or 0))[0]

    return _PLACEHOLDER.sub(example, pattern)


class Expectation(NamedTuple):
    """What one program is to print: one of `alternatives`, each a sequence of lines. If not
    `in_order`, the lines may come in any order."""

    alternatives: Sequence[Sequence[str]]
    in_order: bool = True

    def is_met(self, text: str, clock: Clock) -> bool:
        """Whether `text` is one of the alternatives to the last byte."""
        if text and not text.endswith("\n"):
            return False
        lines = text.split("\n")[:-1]
        compare = _are_met if self.in_order else _are_met_somehow
        return any(compare(patterns, lines, clock) for patterns in self.alternatives)

    def is_decided(self, text: str, clock: Clock) -> bool:
        """Whether nothing that may still come is worth waiting for: enough lines are there, or one
        of them is wrong already."""
        lines = text.split("\n")[:-1]
        wrong = 0
        for patterns in self.alternatives:
            if len(lines) >= len(patterns):
                return True
            pairs = zip(patterns, lines, strict=False)
            if self.in_order and not all(matches(*pair, clock) for pair in pairs):
                wrong += 1
        return wrong == len(self.alternatives)


def _are_met(patterns: Sequence[str], lines: Sequence[str], clock: Clock) -> bool:
    return len(patterns) == len(lines) and all(
        matches(pattern, line, clock) for pattern, line in zip(patterns, lines, strict=True)
    )


def _are_met_somehow(patterns: Sequence[str], lines: Sequence[str], clock: Clock) -> bool:
    rest = list(lines)
    for pattern in patterns:
        found = [line for line in rest if matches(pattern, line, clock)]
        if not found:
            return False
        rest.remove(found[0])
    return not rest


def _expression(pattern: str) -> str:
    parts = []
    end = 0
    for placeholder in _PLACEHOLDER.finditer(pattern):
        parts.append(re.escape(pattern[end : placeholder.start()]))
        parts.append("(.*)")
        end = placeholder.end()
    return "".join([*parts, re.escape(pattern[end:])])
