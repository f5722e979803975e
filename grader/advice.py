"""What a student learns from a failure. In: what was expected, what was seen, what came too late,
and what stands on standard error. Out: one or two sentences, or none if nothing is recognised.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

NO_FLUSH = (
    "The text was printed only when the program ended: Python keeps what is printed in a buffer"
    " when no terminal is there, so call sys.stdout.flush() after each print."
)


class Evidence(NamedTuple):
    """`expected`: lines without their ends. `seen`, `late` and `errors`: text as it came."""

    expected: list[str]
    seen: str
    late: str
    errors: str
    who: str

    @property
    def lines(self) -> list[str]:
        return self.seen.removesuffix("\n").split("\n") if self.seen else []


def advise(expected: list[str], seen: str, late: str, errors: str, who: str) -> list[str]:
    """The first two that fit, the most telling first."""
    evidence = Evidence(expected, seen, late, errors, who)
    return [sentence for applies, sentence in _RULES if applies(evidence)][:2]


def _is_late(e: Evidence) -> bool:
    return any(line in e.late for line in e.expected)


def _is_merged(e: Evidence) -> bool:
    """Lines stand in one that should have been several."""
    if len(e.expected) < 2:
        return False
    texts = [line.partition(": ")[2] or line for line in e.expected]
    return any(sum(text in line for text in texts) >= 2 for line in e.lines)


def _has_empty_lines(e: Evidence) -> bool:
    return "" in e.lines and "" not in e.expected


def _lacks_end(e: Evidence) -> bool:
    return bool(e.seen) and not e.seen.endswith("\n")


def _differs_in_space(e: Evidence) -> bool:
    wanted, seen = "\n".join(e.expected), "\n".join(e.lines)
    return wanted != seen and re.sub(r"\s", "", wanted) == re.sub(r"\s", "", seen)


def _differs_in_case(e: Evidence) -> bool:
    wanted, seen = "\n".join(e.expected), "\n".join(e.lines)
    return wanted != seen and wanted.lower() == seen.lower()


def _echoes(e: Evidence) -> bool:
    return not e.expected and any(line.startswith(f"{e.who}:") for line in e.lines)


def _has_prompt(e: Evidence) -> bool:
    return any(
        line != wanted and line.endswith(wanted) and re.search(r"[>:?$] ?$", line[: -len(wanted)])
        for wanted in e.expected
        for line in e.lines
        if wanted
    )


def _repeats(e: Evidence) -> bool:
    return any(line and e.lines.count(line) > e.expected.count(line) > 0 for line in e.lines)


def _has(pattern: str) -> Callable[[Evidence], bool]:
    return lambda e: re.search(pattern, e.errors) is not None


_RULES: list[tuple[Callable[[Evidence], bool], str]] = [
    (
        _has(r"SyntaxError|IndentationError|TabError"),
        "Python could not read the file: run `python3 -m py_compile` on it before you submit.",
    ),
    (
        _has(r"ModuleNotFoundError|ImportError"),
        "Something that is imported is not there: the standard library is all you can rely on.",
    ),
    (
        _has(r"can't open file|No such file or directory"),
        "A file is missing: both programs have to be where you submit, under these very names.",
    ),
    (
        _has(r"unrecognized arguments|the following arguments are required|usage:"),
        "The command line was refused: flags have one dash, as in `-port 5000`.",
    ),
    (
        _has(
            r"OSError: \[Errno 9\d?\]|BrokenPipeError|ConnectionResetError|ConnectionAbortedError"
        ),
        "A socket that somebody has closed raises OSError when it is used: catch it where you"
        " send and receive, and treat it, like an empty recv(), as the end of that connection.",
    ),
    (
        _is_late,
        NO_FLUSH,
    ),
    (
        _is_merged,
        "TCP is a stream: two sends can arrive as one. Frame your messages, for example by ending"
        " each with a newline, and split what you receive. To see it, in a checkout of this grader:"
        " `python3 -m tools.tap -port 5001 -to 5000 --join 0.2`, server on 5000, clients on 5001.",
    ),
    (
        _echoes,
        "The sender is among those it was sent to: send to all other clients, as the assignment"
        " says.",
    ),
    (
        _differs_in_space,
        "Only white space differs: spaces and newlines count, and print() adds a newline to what"
        " may have one already.",
    ),
    (
        _has_empty_lines,
        "There are empty lines: print() adds a newline to a text that has one already, and an empty"
        " recv() is the end of the connection, not an empty message.",
    ),
    (_has_prompt, "There is a prompt: input() without an argument prints none."),
    (
        _lacks_end,
        "The last line has no newline at its end: end each line with one, or use print().",
    ),
    (_differs_in_case, "Only the case of letters differs: the texts are compared byte for byte."),
    (
        _repeats,
        "A line came more than once: look for a client that is in your list twice, or for two"
        " places that both print or send it.",
    ),
]
