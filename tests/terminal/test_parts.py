"""The pure parts of an interface that draws: rows, widths, colours, completions, keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.kinds import parse_shown
from codec.text import is_drawn_from_right
from terminal.completer import completions
from terminal.conversation import LISTED_NAMES, MERGED_NAMES, Conversation, Row, RowKind
from terminal.formatter import Formatter
from terminal.keys import MAX_PASTE_BYTES, KeyDecoder
from terminal.measure import width_of, wrap_words
from terminal.palette import Palette
from terminal.questions import looks_mistyped


def rows_of(conversation: Conversation, *lines: str, time: str = "12:13") -> list[Row]:
    parsed = [parse_shown(line) for line in lines]
    assert None not in parsed
    return [row for line in parsed if line for row in conversation.take(line, time)]


def test_time_stands_where_the_minute_changes() -> None:
    conversation = Conversation("Alice")
    shown = [
        rows_of(conversation, "Bob: x", time=time)[0][2:4] for time in ("12:13", "12:13", "12:14")
    ]
    assert shown == [("Bob", "12:13"), ("", ""), ("Bob", "12:14")]


def test_row_of_joins_has_a_bound() -> None:
    lines = [f"n{number} joined the chatroom" for number in range(MERGED_NAMES + 1)]
    rows = rows_of(Conversation("Alice"), *lines)
    assert [row.replaces_last for row in rows] == [False] + [True] * (MERGED_NAMES - 1) + [False]
    assert rows[-2].time == "12:13", "as the row that it takes the place of"


def test_first_list_is_short_and_members_are_exact() -> None:
    conversation = Conversation("Alice")
    names = [f"n{number}" for number in range(LISTED_NAMES + 5)]
    line = parse_shown("Active Users: " + ", ".join([*names, "Alice"]))
    assert line
    (row,) = conversation.take_first_list(line, "12:13")
    assert row.text.endswith(f"n{LISTED_NAMES - 1}, 5 more")
    rows_of(conversation, "N0 left the chatroom", "Zed joined the chatroom")
    assert conversation.members == [*names[1:], "Alice", "Zed"]


def test_bell_rings_for_the_reader_alone() -> None:
    lines = ["Bob: hi Alice!", "[Message from Bob]: x", "Bob: Alice2", "Alice: Alice"]
    rows = rows_of(
        Conversation("Alice"), *lines, "[Message to Bob]: Alice", "Alice left the chatroom"
    )
    assert [row.rings for row in rows] == [True, True, False, False, False, False]


def test_history_is_dim_and_has_its_own_times() -> None:
    conversation = Conversation("Alice")
    lines = ["* History", "* 11:58 Bob: hi Alice", "* 11:59 Alice: hi", "* End of history"]
    rows = rows_of(conversation, *lines, "Active Users: Bob, Alice", "* 11:58 Bob: x")
    assert [row[:4] for row in rows[1:3]] == [
        (RowKind.HISTORY, "hi Alice", "Bob", "11:58"),
        (RowKind.HISTORY, "hi", "Alice", "11:59"),
    ]
    assert "\x1b[2mBob\x1b[m" in Formatter(Palette(0)).format(rows[1], 80)[0]
    assert [row.kind for row in (rows[0], *rows[3:])] == [RowKind.NOTICE] * 4


TEXTS = st.text(
    st.sampled_from("ab  \u0301日é👩\u200d👧\ufe0fשל1\u2764\U0001f1e9")
    | st.characters(exclude_categories=["C"])
)


@given(TEXTS, st.integers(1, 90), st.sampled_from(sorted({*RowKind} - {RowKind.UNREAD}, key=str)))
def test_no_row_reaches_the_edge_or_turns_around(text: str, columns: int, kind: RowKind) -> None:
    """So the terminal never wraps, and what begins a row is always of our own making."""
    formatter = Formatter(Palette(0))
    for row in formatter.format(Row(kind, text, "Bob", "12:13", "Bob"), columns):
        plain = "".join(row.split("\x1b[m")).replace("\t", "")
        for style in ("1", "2", "3", "7"):
            plain = plain.replace(f"\x1b[{style}m", "")
        assert not is_drawn_from_right(plain) or columns <= 24
        widest = max(map(width_of, text), default=1)
        assert width_of(plain) < max(columns, 5 + widest)


@given(TEXTS, st.integers(2, 30))
def test_wrapped_rows_hold_all_but_blanks(text: str, columns: int) -> None:
    rows = wrap_words(text, columns)
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")


def test_formats_have_the_colours_of_the_terminal() -> None:
    said, mention, own = (
        Row(kind, "hi", "Bob", "", "Bob") for kind in (RowKind.SAID, RowKind.MENTION, RowKind.OWN)
    )
    for colours, colour in ((256, "38;5;"), (16, "3"), (0, "")):
        palette = Palette(colours)
        formatter = Formatter(palette)
        assert f"\x1b[{colour}" in formatter.format(said, 80)[0]
        assert "\x1b[7" in formatter.format(mention, 80)[0]
        assert "\x1b[1mBob\x1b[m \x1b[2m│\x1b[m \x1b[1mhi\x1b[m" in formatter.format(own, 80)[0]
        assert ("38;5" in formatter.format(said, 80)[0]) is (colours == 256)
    ascii_row = Formatter(Palette(0), is_unicode=False).format(said, 80)[0]
    assert ascii_row.isascii()


def test_colours_of_those_present_differ() -> None:
    palette = Palette(256)
    names = [f"n{number}" for number in range(15)]
    colours = {name: palette.colour_of(name) for name in names}
    assert len(set(colours.values())) == len(names)
    palette.keep_only(set(names[:5]))
    assert {name: palette.colour_of(name) for name in names[:5]}.items() <= colours.items()
    assert palette.colour_of("one too many") in colours.values()


@pytest.mark.parametrize(
    ("before", "found"),
    [
        (":u", [":Users"]),
        (":M", [":Msg ", ":mytime"]),
        (":h", [":Help"]),
        ("c", ["carol: "]),
        ("C", ["carol: "]),
        ("hey c", ["carol "]),
        (":msg ", ["bob ", "carol "]),
        ("x :my", [":mytime"]),
        ("x :u", []),
        ("hey ", []),
    ],
)
def test_completions(before: str, found: list[str]) -> None:
    assert completions(before, ["carol", "bob"], [":Help"]) == found


MISTYPED = [":Mgs bob x", " :Msg bob x", "\uff1aMsg bob x", "/quit", "/msg bob x", ";msg bob x"]
MISTYPED += [":Users now", ":Exit please", ":quit", ": Msg bob x", "\u200b:msg bob x", "\uff0fquit"]
MEANT = [":Msg bob x", ":users", ":Exit ", ":Help", ":)", ":( sad", ":mytime", ":+1hr later"]
MEANT += [":D", ":-)", r"\:Msg bob x", "/usr/bin is full", "a :Msg b", "12:30", ":smile:", "/"]
MEANT += [";-)", "", "// x"]


@pytest.mark.parametrize("text", MISTYPED + MEANT)
def test_mistyped_command_is_asked_about(text: str) -> None:
    assert looks_mistyped(text) is (text in MISTYPED)


def test_paste_without_end_is_not_kept_for_ever() -> None:
    decoder = KeyDecoder()
    assert decoder.feed_data(b"\x1b[200~" + b"x" * MAX_PASTE_BYTES)[0][-6:] == b"\x1b[201~"  # type: ignore[index]
    assert decoder.feed_data(b"y") == [b"y"]
