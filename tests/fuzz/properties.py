"""What always holds, for hypothesis to attack: each function here is one property.

The same properties run with few examples in tests/fuzz/test_properties.py and for as long as
one likes in `python -m tests.fuzz`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from codec import LineDecoder, LineTooLongError
from tests.fuzz.core import core
from tests.support.fanout import HARSH_TAPES, SCRIPTS, Step, Verdict, play
from tests.support.lines import COMMANDS, LINES
from tests.support.protocol import lines_of
from tests.support.size import examples

# Sessions for tests.fuzz.core: joins first, as a rule, and lines in pieces behind them.

JOINS = [
    *[b"JOIN Alice abc12\n", b"JOIN Bob abc12\n", b"JOIN Carol abc12\r\n", b"JOIN BOB abc12\n"],
    *[b"JOIN Dave abc1\n", b"JOIN  abc12\n", b"JOIN D-a.v_e9 abc12\n", b"JOIN Dave9.-_ abc12\n"],
]
MARKS = [b"<1>", b"<2>", b"<3>", b"<4>", b"<1>", b"<2>", b"<3/>"]
EVENTS = st.one_of(
    st.sampled_from(MARKS),
    st.tuples(LINES, st.sampled_from([b"\n", b"\n", b"\r\n", b""])).map(b"".join),
    COMMANDS.map(lambda line: line + b"\n"),
)
OPENINGS = st.lists(
    st.tuples(st.sampled_from(MARKS), st.sampled_from(JOINS)).map(b"".join), max_size=4
).map(b"".join)
SESSIONS = st.tuples(
    OPENINGS | st.just(b"<1>JOIN Alice abc12\n<2>JOIN Bob abc12\n<3>JOIN Carol abc12\n"),
    st.lists(EVENTS, max_size=14).map(b"".join),
).map(b"".join)


def lines_never_depend_on_how_they_were_cut(data: bytes, limit: int) -> None:
    """Every way there is to cut `data`, and what a plain reading of all of it gives."""
    expected = lines_of(data, limit)
    for cuts in itertools.product((False, True), repeat=max(0, len(data) - 1)):
        decoder = LineDecoder(limit)
        taken: list[bytes | None] = []
        start = 0
        for end in [*(index + 1 for index, cut in enumerate(cuts) if cut), len(data)]:
            decoder.feed_data(data[start:end])
            start = end
            taken += taken_lines(decoder)
        assert taken == expected, f"{data!r} at {cuts}"


def lines_come_to_what_is_documented(lines: list[bytes]) -> None:
    core(b"".join([b"JOIN Alice abc12\n<2>JOIN Bob abc12\n<1>", *(line + b"\n" for line in lines)]))


def a_session_is_as_documented(script: bytes) -> None:
    core(script)


def a_cursor_is_a_queue_of_its_own(script: list[Step], tape: list[Verdict]) -> None:
    play(script, tape)


def taken_lines(decoder: LineDecoder) -> list[bytes | None]:
    """All that can be taken now; None for each refusal."""
    taken: list[bytes | None] = []
    while True:
        try:
            line = decoder.next_line()
        except LineTooLongError:
            taken.append(None)
            continue
        if line is None:
            return taken
        taken.append(line)


FRAGMENTS = st.lists(st.sampled_from([b"x", b"x", b"\r", b"\n"]), max_size=9).map(b"".join)
LIMITS = st.integers(1, 6)

PROPERTIES: dict[Callable[..., None], tuple[st.SearchStrategy[Any], ...]] = {
    lines_never_depend_on_how_they_were_cut: (FRAGMENTS, LIMITS),
    lines_come_to_what_is_documented: (st.lists(COMMANDS | LINES, min_size=1, max_size=3),),
    a_session_is_as_documented: (SESSIONS,),
    a_cursor_is_a_queue_of_its_own: (SCRIPTS, HARSH_TAPES),
}
"""Each property and what it is given."""


def attack(function: Callable[..., None], count: int, seed_number: int) -> None:
    """Let hypothesis look for an example that breaks `function`, the same ones for the same seed.
    What it finds it raises, with the smallest example in the notes."""
    test = given(*PROPERTIES[function])(function)
    with_settings = settings(
        examples(count, count),
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    seed(seed_number)(with_settings(test))()
