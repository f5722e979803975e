"""Faults that show everywhere: each is told from the others, and from a text that is wrong."""

from __future__ import annotations

import pytest

from grader.forgive import COLOUR, EMPTY_LINES, LINE_END, PROMPT, faults_of
from grader.patterns import Clock, Expectation

CLOCK = Clock(0.0, 1.0, 0)


@pytest.mark.parametrize(
    ("lines", "before", "seen", "faults"),
    [
        (["Bob: hi"], "", "Bob: hi\n", []),
        (["Bob: hi"], "", "> Bob: hi\n> ", [PROMPT]),
        (["Bob: hi"], "Connected\nYou: ", "Bob: hi\nYou: ", [PROMPT]),
        ([], "Connected\n> ", "> > ", [PROMPT]),
        (["Bob: hi"], "", "\x1b[32mBob: hi\x1b[0m\n", [COLOUR]),
        (["Bob: hi"], "", "\nBob: hi\n\n", [EMPTY_LINES]),
        ([], "", "\n", [EMPTY_LINES]),
        (["a", "b"], "", "ab", [LINE_END]),
        (["Bob: hi"], "", "\x1b[1m>\x1b[0m Bob: hi", [COLOUR, PROMPT, LINE_END]),
        (["Bob: hi"], "", "> Bob: ho\n> ", []),
        ([], "", "Alice: hi\n", []),
        ([], "", "Alice: who?\n", []),
        (["Bob: hi"], "", "hi\n", []),
        (["Bob: hi"], "", "", []),
    ],
)
def test_text_is_wrong_by_these_faults_alone(
    lines: list[str], before: str, seen: str, faults: list[str]
) -> None:
    assert faults_of(Expectation([lines]), before, seen, CLOCK) == faults
