"""Random typing beside random chat: what was typed is what is sent, and its row is always whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.faults import fault
from tests.support.programs import RawClient
from tests.support.size import examples
from tests.support.window import Window
from tests.terminal.test_links import ENTER, Stub

Typist = tuple[Window, RawClient]


@pytest.fixture(scope="module")
def typist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typist]:
    with Stub(Path(tmp_path_factory.mktemp("typing")) / "clock") as stub:
        window = stub.sit_down(port=stub.stub_port)
        server = stub.accept(ENTER)
        server.types("OK", "Active Users: Bob, Alice")
        window.sees(typed="Alice·2❯")
        yield window, server
        window.keys("\\x04")
        server.stdout.expect_end()
        server.close()
        window.closes(0)


LETTERS = st.text(st.sampled_from("abc é日x1.'"), min_size=1, max_size=4)
KEYS = {"\x1b[D": "left", "\x1b[C": "right", "\x7f": "rubout", "\x01": "home", "\x05": "end"}
STEPS = st.lists(
    st.tuples(st.just("type"), LETTERS)
    | st.tuples(st.just("key"), st.sampled_from(sorted(KEYS)))
    | st.tuples(st.just("chat"), st.text(st.sampled_from("ab 日\t❯│"), min_size=1, max_size=120)),
    max_size=12,
)


def pressed(line: str, place: int, key: str) -> tuple[str, int]:
    """The line and the place of the cursor after one of KEYS."""
    if KEYS[key] == "rubout":
        return line[: max(0, place - 1)] + line[place:], max(0, place - 1)
    moved = {"left": place - 1, "right": place + 1, "home": 0, "end": len(line)}[KEYS[key]]
    return line, max(0, min(len(line), moved))


@fault(57)
@examples(15, 500)
@given(STEPS)
def test_typed_line_is_whole_and_sent_as_typed(
    typist: Typist, steps: list[tuple[str, str]]
) -> None:
    window, server = typist
    line, place = "", 0
    for kind, text in steps:
        if kind == "chat":
            server.types(f"Bob: {text}")
        elif kind == "type":
            window.feed(text.encode())
            line, place = line[:place] + text + line[place:], place + len(text)
        else:
            window.feed(text.encode())
            line, place = pressed(line, place, text)
        window.sees(typed=f"Alice·2❯ {line}".rstrip())
    window.feed(b"\r")
    if line.strip():
        server.shows(line)
        server.types(f"Alice: {line}")
    else:
        window.feed(b"\x05\x15")  # which discards what stands in front of the cursor
    window.sees(typed="Alice·2❯")
