"""Faults that show wherever a program prints, and are to cost points once.

In: what a program printed, and what it should have. Out: the fewest of these faults without which
the text would be right. A text that is wrong in any other way has none of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

from grader.patterns import Clock, Expectation, split

COLOUR = "colour codes"
PROMPT = "a prompt"
EMPTY_LINES = "empty lines"
LINE_END = "no newline at the end"

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PROMPT = re.compile(r"(?m)^[^\n\r]{0,40}?[>:?$#%\u00bb]+ ?(?!\r?\n)")
_TAIL_CHARACTERS = 2000

_Cure = Callable[[str], Iterator[str]]


def faults_of(expectation: Expectation, before: str, seen: str, clock: Clock) -> list[str]:
    """The faults in `seen`, by name; none if it is right, or wrong in another way as well.
    `before`: what the same program printed earlier, which shows its prompt."""
    cures: dict[str, _Cure] = {
        COLOUR: lambda text: iter([_COLOUR.sub("", text)]),
        PROMPT: lambda text: _without_prompts(text, _COLOUR.sub("", before[-_TAIL_CHARACTERS:])),
        EMPTY_LINES: lambda text: iter([re.sub(r"(?m)^\r?\n", "", text)]),
        LINE_END: lambda text: _with_line_ends(text, expectation),
    }
    for count in range(len(cures) + 1):
        for names in itertools.combinations(cures, count):
            texts = {seen}
            for name in names:
                texts = {cured for text in texts for cured in cures[name](text)}
            if any(expectation.is_met(text, clock) for text in texts):
                return list(names)
    return []


def _without_prompts(text: str, before: str) -> Iterator[str]:
    """Without each text that may be the prompt: what a line begins with, but no whole line."""
    for prompt in {found[0] for found in _PROMPT.finditer(before + text)}:
        yield re.sub(rf"(?m)^\r?(?:{re.escape(prompt)})+\r?", "", text)


def _with_line_ends(text: str, expectation: Expectation) -> Iterator[str]:
    for patterns in expectation.alternatives:
        if lines := split(patterns, text):
            yield "".join(f"{line}\n" for line in lines)
