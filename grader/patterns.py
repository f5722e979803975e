"""What lines must look like.

In: a line as a rubric writes it, with placeholders in braces. Out: a pattern that tells whether a
printed line is that one. The placeholders that are left once a rubric has filled in its own:

    {time}         the local time when it was typed or seen, as `Wed Sep 24 12:31:44 2025`
    {time+3600}    so many seconds later
    {names:A,B}    these names joined by ", " in any order

A day of one digit may be written `04`, ` 4` or `4`: the assignment shows none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

_PLACEHOLDER = re.compile(r"\{(time(?:\+(?P<offset>\d+))?|names:(?P<names>[^}]*))\}")
_WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_TIME = re.compile(
    rf"(?:{'|'.join(_WEEKDAYS)}) (?:{'|'.join(_MONTHS)}) (?:[ 0]?[1-9]|[12]\d|3[01])"
    r" \d\d:\d\d:\d\d \d{4}"
)


class Clock(NamedTuple):
    """When something was typed and when its effects were looked at, in seconds since 1970; the
    solution's clock is `shift` seconds ahead of universal time."""

    typed: float
    seen: float
    shift: int

    def times(self, offset: int) -> list[str]:
        """Every second that a solution may have told, `offset` seconds later."""
        return [
            format_time(second + offset, self.shift)
            for second in range(int(self.typed), int(self.seen) + 1)
        ]


def format_time(second: int, shift: int) -> str:
    """In English, whatever the locale, and with a day of two digits."""
    t = time.gmtime(second + shift)
    date = f"{_WEEKDAYS[t.tm_wday]} {_MONTHS[t.tm_mon - 1]} {t.tm_mday:02}"
    return f"{date} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} {t.tm_year}"


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
        elif _two_digit_day(text) not in clock.times(int(placeholder["offset"] or 0)):
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


def split(patterns: Sequence[str], text: str) -> list[str]:
    """Lines that look like `patterns`, where `text` holds them but lacks newlines between them or
    at its end; none otherwise."""
    parts = [f"(?P<line{n}>{_expression(pattern)})\n?" for n, pattern in enumerate(patterns)]
    found = re.fullmatch("".join(parts), text)
    return [found[f"line{n}"] for n in range(len(parts))] if found else []


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
        parts.append("(.*)" if placeholder["names"] is not None else f"({_TIME.pattern})")
        end = placeholder.end()
    return "".join([*parts, re.escape(pattern[end:])])


def _two_digit_day(text: str) -> str:
    weekday, month, day, clock, year = text.split()
    return f"{weekday} {month} {int(day):02} {clock} {year}"
