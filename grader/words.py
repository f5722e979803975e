"""What was expected and what was seen, in words for students: no placeholder and no escape of the
rubric's is shown as it stands there.

In: sentences of a rubric, texts of programs. Out: Lines of a report, each with its look: `right`,
`wrong`, `head`, or none.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from grader.patterns import Clock, Expectation, matches, show

MAX_LINES = 40
"""Shown of what was expected, and of what was seen."""

MAX_SEEN_CHARACTERS = 20_000

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAMES = re.compile(r"\{names:([^}]*)\}")
_MARKS = {"right": "\u2713 ", "wrong": "\u2717 ", "": "  "}


class Line(NamedTuple):
    """One line of a report."""

    text: str
    look: str = ""


def visible(text: str) -> str:
    """Control characters as Python writes them; the last of trailing blanks as an open box."""
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return shown.replace(" \u23ce", "\u2423\u23ce")


def fill(text: str, **values: str) -> str:
    """With what a case decides, such as its port, in the place of `{port}`."""
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def tell(sentence: str, clock: Clock) -> str:
    """A sentence of a case as a person would say it: with what is typed and seen, to the letter."""

    def quote(found: re.Match[str]) -> str:
        return f"\u201c{visible(show(json.loads(found[0]), clock))}\u201d"

    any_order = ", the names in any order" * bool(_NAMES.search(sentence))
    return _QUOTED.sub(quote, sentence) + any_order


def nearest(expectation: Expectation, seen: str, clock: Clock) -> list[str]:
    """That one of the alternatives to which `seen` comes closest, with what is free in it as it
    was seen, or else an example of it."""
    lines = seen.split("\n")

    def shown(patterns: Sequence[str]) -> list[str]:
        return [_nearest_line(pattern, lines, clock) for pattern in patterns]

    def closeness(candidate: list[str]) -> float:
        text = "".join(f"{line}\n" for line in candidate)
        return difflib.SequenceMatcher(None, text[:2000], seen[:2000], autojunk=False).ratio()

    return max(map(shown, expectation.alternatives), key=closeness)


def _nearest_line(pattern: str, lines: Sequence[str], clock: Clock) -> str:
    for line in lines:
        if matches(pattern, line, clock):
            return line
    found = _NAMES.search(pattern)
    if found:
        # In the order in which they were seen, if they are on one line at all.
        wanted = found[1].split(",")
        for line in lines:
            if all(name in line for name in wanted):
                order = sorted(wanted, key=line.index)
                pattern = pattern.replace(found[0], ", ".join(order))
                break
    return show(pattern, clock)


def compare(expected: Sequence[str], seen: str) -> list[Line]:
    """Both, one below the other. The arrow is the end of a line; a caret shows where a line that
    is nearly right begins to be wrong."""
    wanted = [f"{line}\u23ce" for line in expected]
    yours = seen[:MAX_SEEN_CHARACTERS].split("\n")
    yours = [f"{line}\u23ce" for line in yours[:-1]] + yours[-1:] * bool(yours[-1])
    matcher = difflib.SequenceMatcher(None, wanted, yours, autojunk=False)
    lines = [Line("expected:", "head")]
    lines += _cut([Line(f"  {visible(line)}", "right") for line in wanted])
    lines.append(Line("yours:", "head"))
    shown: list[Line] = []
    for kind, start, end, first, last in matcher.get_opcodes():
        pairs = wanted[start:end] if kind == "replace" else []
        for number, line in enumerate(yours[first:last]):
            look = "right" if kind == "equal" else "wrong"
            shown.append(Line(_MARKS[look] + visible(line), look))
            if number < len(pairs):
                shown += _caret(pairs[number], line)
    return lines + _cut(shown)


def _cut(lines: list[Line]) -> list[Line]:
    if not lines:
        return [Line("  (nothing)")]
    more = len(lines) - MAX_LINES
    return lines[:MAX_LINES] + ([Line(f"  ... and {more} lines more")] if more > 0 else [])


def _caret(wanted: str, line: str) -> list[Line]:
    """Below the first character that differs, if the two have something in common."""
    pairs = enumerate(zip(wanted, line, strict=False))
    start = next((i for i, (a, b) in pairs if a != b), min(len(wanted), len(line)))
    likeness = difflib.SequenceMatcher(None, wanted, line, autojunk=False).ratio()
    if likeness < 0.5:
        return []
    return [Line(" " * (2 + len(visible(line[:start]))) + "^ from here")]
