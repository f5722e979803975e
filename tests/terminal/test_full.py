"""What the whole window has beyond what a line has: it scrolls, finds, folds, and knows a mouse."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.window import Window
from tests.terminal.conftest import Chat


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    with Chat(tmp_path / "clock", "full") as chat:
        yield chat


def test_scrolled_window_stays_and_counts_what_is_new(chat: Chat) -> None:
    window = chat.alice()
    bob = chat.person("Bob")
    bob.types(*(f"row {number}" for number in range(60)))
    window.sees("               │ row 59")
    window.keys("\\x1b[5~")
    window.sees("               │ row 38")
    bob.types("row 60", "row 61")
    window.waits_for(lambda: " 2 new ──" in "".join(window.rows()))
    window.sees("               │ row 38")
    window.keys("\\x1b[<64;5;5M")
    window.sees("               │ row 35")
    window.keys("\\x06ROW 1")
    window.waits_for(lambda: window.style_of("row 19").reverse)
    window.keys("\\r")
    window.waits_for(lambda: window.style_of("row 18").reverse)
    window.keys("\\x1b")
    window.sees("               │ row 61", typed="Alice·2❯")
    assert " new ──" not in "".join(window.rows())
    window.keys("\\x06row\\x03\\x04")
    window.closes(0)


def test_click_or_tab_on_a_name_begins_a_private_line(chat: Chat) -> None:
    window = chat.alice()
    chat.person("Bob").types("hello")
    window.sees("           Bob │ hello")
    click = "\\x1b[<0;{column};{line}M\\x1b[<0;{column};{line}m"
    window.keys("psst" + click.format(column=84, line=2))
    window.sees(typed="Alice·2❯ :Msg Bob psst")
    window.keys("\\x15" + click.format(column=13, line=4))
    window.sees(typed="Alice·2❯ :Msg Bob")
    window.keys("\\x15bo\\t\\tpsst\\r")
    window.sees("         Alice » → Bob: psst", typed="Alice·2❯")


def begins_a_row(window: Window, text: str) -> bool:
    return any(row.startswith(text) for row in window.rows())


def ends_a_row(window: Window, text: str, is_wanted: bool) -> bool:
    return any(row.endswith(text) for row in window.rows()) is is_wanted


def test_window_of_any_size_is_drawn_anew(chat: Chat) -> None:
    window = chat.alice()
    chat.person("Bob").types("hello")
    window.keys("half")
    for lines, columns in ((5, 20), (100, 300), (9, 79), (24, 80)):
        window.resize(lines, columns)
        said = "Bob│hello" if columns < 24 else "           Bob │ hello"
        window.waits_for(functools.partial(begins_a_row, window, said))
        window.sees(typed="Alice·2❯ half")
        has_members = functools.partial(ends_a_row, window, "│ Bob", columns >= 80)
        window.waits_for(has_members)
