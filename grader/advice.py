"""What a student learns from a failure: what was seen of the line that is missing, or of the one
that should not be there. In: Evidence. Out: sentences, none where nothing is recognised.

The rules stand in the order in which they tell most: a traceback, a line that is there and was not
flushed, one that is there with something more, one that is nearly it, one that went to others, one
that came too late. What never came is left to the case's own advice.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from grader.words import visible

NO_FLUSH = (
    "The text was printed only when the program ended: Python keeps what is printed in a buffer"
    " when no terminal is there, so call sys.stdout.flush() after each print."
)

_COLOR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PROMPT = re.compile(r"[>:?$#\]] ?$")
_FRAME = re.compile(r'^\s+File "(?P<path>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
_ERROR = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$", re.M)
_BYTES = re.compile(r"b(['\"])(?P<text>.*?)(?:\\n)?\1")
_NEARLY = 0.75


class Evidence(NamedTuple):
    """Of the program `who`. `expected`: lines without their ends. `seen`: what it printed of this
    act; `late`: what came out only when it was ended. `errors`: its standard error. `others`: what
    each of the others printed meanwhile. `delay`: seconds after which all came that was missing.
    `version`: of Python."""

    who: str
    expected: list[str]
    seen: str = ""
    late: str = ""
    errors: str = ""
    others: Mapping[str, str] = {}
    delay: float = 0.0
    version: str = ""

    @property
    def lines(self) -> list[str]:
        return self.seen.removesuffix("\n").split("\n") if self.seen else []

    @property
    def missing(self) -> list[str]:
        return [line for line in self.expected if line and line not in self.lines]


def advise(evidence: Evidence) -> list[str]:
    """The first that fits: what comes after it is no more than a consequence."""
    return [sentence for rule in _RULES if (sentence := rule(evidence))][:1]


def describe(name: str) -> str:
    """A program by its file, and a client by its user as well."""
    return "server.py" if name.startswith("server") else f"{name}'s client.py"


def where_it_failed(errors: str) -> str:
    """The last traceback in a line: `client.py, line 12: NameError: name 'x' is not defined`."""
    found = [*_ERROR.finditer(errors)]
    if not found:
        return ""
    frames = [*_FRAME.finditer(errors[: found[-1].start()])]
    own = [frame for frame in frames if "/lib/python" not in frame["path"]] or frames
    place = f"{os.path.basename(own[-1]['path'])}, line {own[-1]['line']}: " if own else ""
    return place + visible(found[-1]["kind"][:200])


# Its standard error says it.


def _traceback(e: Evidence) -> str:
    if "Traceback (most recent call last)" not in e.errors and "SyntaxError" not in e.errors:
        return ""
    where = where_it_failed(e.errors)
    for pattern, sentence in _ERRORS:
        if re.search(pattern, where):
            return f"{where}. {sentence.format(version=e.version or '3')}"
    return f"It was stopped by an error: {where}." if where else ""


_ERRORS = [
    (
        r"SyntaxError|IndentationError|TabError",
        "Python {version}, on which it was run, cannot read the file: run `python3 -m py_compile`"
        " on it before you submit.",
    ),
    (
        r"ModuleNotFoundError|ImportError",
        "Something that is imported is not there: the standard library is all you can rely on.",
    ),
    (
        r"[Aa]ddress already in use",
        "Somebody has this port already: bind once, and to the port of the command line, not to a"
        " fixed one.",
    ),
    (
        r"OSError: \[Errno 9\]|BrokenPipeError|ConnectionResetError|ConnectionAbortedError"
        r"|OSError: \[Errno 107\]",
        "A socket that somebody has closed raises OSError when it is used: catch it where you send"
        " and receive, and treat it, like an empty recv(), as the end of that connection.",
    ),
]


def _usage(e: Evidence) -> str:
    if re.search(r"unrecognized arguments|following arguments are required|usage:", e.errors):
        return "The command line was refused: flags have one dash, as in `-port 5000`."
    if re.search(r"can't open file", e.errors):
        return "A file is missing: both have to be where you submit, under these very names."
    return ""


def _on_standard_error(e: Evidence) -> str:
    lines = e.errors.split("\n")
    if any(line in lines for line in e.missing):
        return "The line was printed on standard error: print it on standard output."
    return ""


# The line is there.


def _unflushed(e: Evidence) -> str:
    return NO_FLUSH if any(line in e.late for line in e.missing) else ""


def _prompt(e: Evidence) -> str:
    for wanted in e.expected:
        for line in e.lines:
            before = line[: -len(wanted)] if wanted else line
            if line.endswith(wanted) and before and _PROMPT.search(before):
                shown = visible(before[-60:])
                return f"`{shown}` stands before it; if it is a prompt, call input() without one."
    return ""


def _colors(e: Evidence) -> str:
    bare = [_COLOR.sub("", line) for line in e.lines if "\x1b" in line]
    if any(line in bare for line in e.missing) or (bare and not e.expected):
        return "There are colour codes in it: print the text alone."
    return ""


def _printed_before(e: Evidence) -> str:
    """Nothing is missing, and there is more."""
    if not e.expected or e.missing or len(e.lines) <= len(e.expected):
        return ""
    more = [line for line in e.lines if line and line not in e.expected]
    if not more:
        return ""
    return (
        f"The line is there, and so is `{visible(more[0][:100])}`, which was not asked for: take"
        " out all prints of your own, such as those for debugging."
    )


def _bytes_literal(e: Evidence) -> str:
    for line in e.lines:
        found = _BYTES.search(line)
        if found and (not e.expected or any(found["text"] in wanted for wanted in e.missing)):
            return f"`{visible(line[:100])}` is how Python shows bytes: decode() what you receive."
    return ""


def _merged(e: Evidence) -> str:
    """Lines stand in one that should have been several."""
    texts = [line.partition(": ")[2] or line for line in e.expected]
    if len(texts) > 1 and any(sum(text in line for text in texts) >= 2 for line in e.lines):
        return (
            "TCP is a stream: two sends can arrive as one. Frame your messages, for example by"
            " ending each with a newline, and split what you receive. To see it, in a checkout of"
            " this grader: `python3 -m tools.tap -port 5001 -to 5000 --join 0.2`, server on 5000,"
            " clients on 5001."
        )
    return ""


def _no_end(e: Evidence) -> str:
    if e.seen and not e.seen.endswith("\n"):
        return "The last line has no newline at its end: end each line with one, or use print()."
    return ""


def _empty_lines(e: Evidence) -> str:
    if "" in e.lines and "" not in e.expected:
        return (
            "There are empty lines: print() adds a newline to a text that has one already, and an"
            " empty recv() is the end of the connection, not an empty message."
        )
    return ""


def _blanks(e: Evidence) -> str:
    wanted, seen = "\n".join(e.expected), "\n".join(e.lines)
    if wanted != seen and re.sub(r"\s", "", wanted) == re.sub(r"\s", "", seen):
        return (
            "Only white space differs: spaces and newlines count, and print() adds a newline to"
            " what may have one already."
        )
    return ""


def _letter_case(e: Evidence) -> str:
    wanted, seen = "\n".join(e.expected), "\n".join(e.lines)
    if wanted != seen and wanted.lower() == seen.lower():
        return "Only the case of letters differs: the texts are compared byte for byte."
    return ""


def _repeats(e: Evidence) -> str:
    if any(line and e.lines.count(line) > e.expected.count(line) > 0 for line in e.lines):
        return (
            "A line came more than once: look for a client that is in your list twice, or for two"
            " places that both print or send it."
        )
    return ""


# Something like it is there, or it is elsewhere.


def _nearly(e: Evidence) -> str:
    for wanted in e.missing:
        matcher = difflib.SequenceMatcher(None, wanted, "", autojunk=False)
        for line in e.lines:
            matcher.set_seq2(line[:500])
            if line not in e.expected and matcher.ratio() >= _NEARLY:
                return (
                    f"It says `{visible(line[:100])}`, and `{visible(wanted)}` is expected: texts"
                    " are compared letter by letter."
                )
    return ""


def _echo(e: Evidence) -> str:
    if not e.expected and any(line.startswith(f"{e.who}:") for line in e.lines):
        return (
            "The sender is among those it was sent to: send to all other clients, as the"
            " assignment says."
        )
    return ""


def _elsewhere(e: Evidence) -> str:
    for wanted in e.missing:
        got = [name for name, text in e.others.items() if wanted in text.split("\n")]
        clients = [describe(name) for name in got if not name.startswith("server")]
        if clients:
            return f"{' and '.join(clients)} printed this line, and {describe(e.who)} did not."
        if got and not e.who.startswith("server"):
            return "The server printed this line, so it has arrived there: it was not passed on."
    return ""


def _too_late(e: Evidence) -> str:
    """Nothing else was wrong with it."""
    if not e.delay:
        return ""
    return "It is right, and too late: look for a sleep() or a timeout on the way of that line."


_RULES: list[Callable[[Evidence], str]] = [
    *(_traceback, _usage, _unflushed, _on_standard_error),
    *(_prompt, _colors, _printed_before, _bytes_literal),
    *(_merged, _empty_lines, _blanks, _no_end, _letter_case, _repeats, _nearly),
    *(_echo, _elsewhere, _too_late),
]
