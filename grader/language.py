"""The sentences of which cases are made. In: text from a rubric. Out: Steps. Raises ValueError.

Acts; before each of them, what the one before was to bring about is waited for and compared:

    given the server                         it listens; what it prints does not matter here
    given Alice, Bob and Carol               they have joined one after the other, likewise
    given User1 to User20                    so many
    given Alice through a network that cuts  or `joins`: TCP as it may be (network.py)
    the clock shows 23:30                    for every program that starts after this
    server starts                            also `server2 starts`: another on the same port
    Alice joins                              + ` as Bob` + ` with the passcode "abc1"`
    Alice types "one" "two"                  each line ended by a newline, all in one write
    Alice types "caf\\u00e9" byte by byte     each byte in a write of its own
    Alice's input ends                       end of file, or Ctrl-D on a terminal
    Alice presses Ctrl-C                     SIGINT to the program's process group
    Alice is killed                          SIGKILL

What comes of them, in any number after an act:

    Bob and server see "one" "two"           these lines, each ended by a newline, and no more
    Bob sees "one" or nothing                one of these
    Bob sees in any order "one" "two"
    Bob sees nothing
    Bob sees something                       whatever it is: another case looks at that
    Alice or server sees something           at least one of them
    Alice does not see "Bob"                 anywhere in what she sees
    Alice ends                               + ` with status 0`
    Alice keeps running
    Alice shows no traceback                 on either stream, since it started
    Alice complains of nothing               nothing on standard error, likewise
    server listens on 127.0.0.1 alone        as the kernel has it

`strict: ` before a sentence: it counts only in strict grading; `lenient: `: only in the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from grader.patterns import Expectation

_WHO = r"[A-Za-z][A-Za-z0-9]*"
_LIST = rf"{_WHO}(?:, {_WHO})*(?: and {_WHO})?"
_TEXT = r'"(?:[^"\\]|\\.)*"'
_TEXTS = rf"{_TEXT}(?: {_TEXT})*"


class Step(NamedTuple):
    """One sentence. `who`: the names it is about. `lines`: what is typed or presented. `sentence`:
    for people. What else it says is in the fields that its kind has a use for."""

    kind: str
    who: tuple[str, ...]
    sentence: str
    lines: tuple[str, ...] = ()
    expectation: Expectation | None = None
    detail: str = ""
    is_strict: bool | None = None  # None: in both

    @property
    def is_act(self) -> bool:
        return self.kind in ACTS


ACTS = frozenset({"given", "clock", "start", "join", "type", "end input", "interrupt", "kill"})


def parse_step(sentence: str) -> Step:
    """Raises ValueError for what is no sentence of this language."""
    mode = _MODE.match(sentence)
    rest = sentence[mode.end() :] if mode else sentence
    is_strict = mode[1] == "strict" if mode else None
    for pattern, build in _SENTENCES.items():
        found = re.fullmatch(pattern, rest)
        if found:
            step = build(found.groupdict(""), rest)
            return step._replace(is_strict=is_strict)
    raise ValueError(f"no sentence of the language: {sentence}")


_MODE = re.compile(r"(strict|lenient): ")


def _given(found: Mapping[str, str], sentence: str) -> Step:
    who = _names(found["who"])
    if found.get("last"):
        first, last = (re.fullmatch(r"(\D+)(\d+)", found[end]) for end in ("who", "last"))
        if not first or not last or first[1] != last[1]:
            raise ValueError(f"no sequence of names: {sentence}")
        who = tuple(f"{first[1]}{n}" for n in range(int(first[2]), int(last[2]) + 1))
    return Step("given", who, sentence, detail=found.get("network", ""))


def _join(found: Mapping[str, str], sentence: str) -> Step:
    who = _names(found["who"])
    return Step("join", who, sentence, _texts(found["passcode"]), detail=found["username"])


def _type(found: Mapping[str, str], sentence: str) -> Step:
    lines = _texts(found["texts"])
    return Step("type", _names(found["who"]), sentence, lines, detail=found["bytewise"])


def _see(found: Mapping[str, str], sentence: str) -> Step:
    alternatives = [_texts(part) for part in _split_alternatives(found["what"])]
    expectation = Expectation(alternatives, in_order=not found["any_order"])
    return Step("see", _names(found["who"]), sentence, expectation=expectation)


def _see_without(found: Mapping[str, str], sentence: str) -> Step:
    return Step("see without", _names(found["who"]), sentence, _texts(found["what"]))


def _plain(kind: str) -> Callable[[Mapping[str, str], str], Step]:
    def build(found: Mapping[str, str], sentence: str) -> Step:
        who = _names(found.get("who", ""))
        return Step(kind, who, sentence, detail=found.get("detail", ""))

    return build


_WHAT = rf"(?:{_TEXTS}|nothing)"
_SENTENCES: dict[str, Callable[[Mapping[str, str], str], Step]] = {
    r"given the (?P<who>server)": _given,
    rf"given (?P<who>{_LIST})(?: through a network that (?P<network>cuts|joins))?": _given,
    rf"given (?P<who>{_WHO}) to (?P<last>{_WHO})": _given,
    r"the clock shows (?P<detail>\d\d:\d\d)": _plain("clock"),
    rf"(?P<who>{_WHO}) starts": _plain("start"),
    rf"(?P<who>{_WHO}) joins(?: as (?P<username>{_WHO}))?"
    rf"(?: with the passcode (?P<passcode>{_TEXT}))?": _join,
    rf"(?P<who>{_WHO}) types (?P<texts>{_TEXTS})(?P<bytewise> byte by byte)?": _type,
    rf"(?P<who>{_WHO})'s input ends": _plain("end input"),
    rf"(?P<who>{_WHO}) presses Ctrl-C": _plain("interrupt"),
    rf"(?P<who>{_WHO}) is killed": _plain("kill"),
    rf"(?P<who>{_LIST}) sees? something": _plain("something"),
    rf"(?P<who>{_WHO}(?: or {_WHO})+) sees something": _plain("anything"),
    rf"(?P<who>{_LIST}) sees? (?P<any_order>in any order )?(?P<what>{_WHAT}(?: or {_WHAT})*)": _see,
    rf"(?P<who>{_LIST}) do(?:es)? not see (?P<what>{_TEXTS})": _see_without,
    r"(?P<who>server) listens on (?P<detail>\S+) alone": _plain("listen"),
    rf"(?P<who>{_LIST}) ends?(?: with status (?P<detail>\d+))?": _plain("end"),
    rf"(?P<who>{_LIST}) keeps? running": _plain("run on"),
    rf"(?P<who>{_LIST}) shows? no traceback": _plain("no traceback"),
    rf"(?P<who>{_LIST}) complains? of nothing": _plain("no complaint"),
}


def _names(text: str) -> tuple[str, ...]:
    return tuple(re.split(r", | and | or ", text)) if text else ()


def _texts(text: str) -> tuple[str, ...]:
    return tuple(json.loads(quoted) for quoted in re.findall(_TEXT, text))


def _split_alternatives(text: str) -> list[str]:
    return [found[0] for found in re.finditer(_WHAT, text)]
