"""The pure parts of an interface that draws: rows, widths, colours, completions, keys."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyte.graphics import FG_BG_256

from codec.kinds import parse_shown
from codec.text import is_drawn_from_right
from terminal.completer import completions
from terminal.conversation import LISTED_NAMES, MERGED_NAMES, Conversation, Row, RowKind
from terminal.formatter import Formatter
from terminal.keys import MAX_PASTE_BYTES, KeyDecoder
from terminal.measure import width_of, wrap_words
from terminal.page import Page
from terminal.palette import Palette
from terminal.questions import looks_mistyped
from terminal.scrollback import Scrollback


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
        bar = f"\x1b[{palette.quiet}m│\x1b[m"
        assert f"\x1b[1mBob\x1b[m {bar} \x1b[1mhi\x1b[m" in formatter.format(own, 80)[0]
        assert ("38;5" in formatter.format(said, 80)[0]) is (colours == 256)
    ascii_row = Formatter(Palette(0), is_unicode=False).format(said, 80)[0]
    assert ascii_row.isascii()


def test_colours_are_readable_on_white_and_on_black() -> None:
    """WCAG 2.2: contrast, and relative luminance."""
    palette = Palette(256)
    texts = [palette.quiet, palette.good, palette.bad, palette.private]
    names = [palette.colour_of(f"n{number}") for number in range(15)]
    for sgr in texts + names:
        red, green, blue = (
            (int(FG_BG_256[int(sgr[5:])][place : place + 2], 16) / 255 + 0.055) / 1.055
            for place in (0, 2, 4)
        )
        light = 0.2126 * red**2.4 + 0.7152 * green**2.4 + 0.0722 * blue**2.4
        assert min(1.05 / (light + 0.05), (light + 0.05) / 0.05) > 4.4 - 0.3 * (sgr in names)


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


def scrollback_of(count: int) -> Scrollback:
    scrollback = Scrollback(lambda row, columns: wrap_words(row.text, columns))
    for number in range(count):
        scrollback.add(Row(RowKind.SAID, f"row {number}", "Bob", "", "Bob"))
    return scrollback


def texts_of(scrollback: Scrollback, columns: int = 20, lines: int = 3) -> list[str]:
    return [shown.text for shown in scrollback.show(columns, lines)]


MOVES = st.lists(st.integers(-9, 9) | st.sampled_from(["row", "narrow", "wide"]), max_size=30)


@given(st.integers(0, 12), MOVES)
def test_window_is_full_and_stays_where_it_was_scrolled(count: int, moves: list[object]) -> None:
    scrollback, columns = scrollback_of(count), 20
    for move in moves:
        before = texts_of(scrollback, columns)
        if isinstance(move, int):
            scrollback.scroll(move)
        elif move == "row":
            scrollback.add(Row(RowKind.SAID, f"row {count}", "Bob", "", "Bob"))
            count += 1
            assert scrollback.follows or texts_of(scrollback, columns) == before
        else:
            columns = 3 if move == "narrow" else 20
        whole = texts_of(scrollback_of(count), columns, 999)
        shown = texts_of(scrollback, columns)
        assert len(shown) == min(3, len(whole))
        assert " ".join(shown) in " ".join(whole)
        assert not scrollback.follows or shown == whole[-3:]


def test_scrollback_keeps_so_many_rows_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terminal.scrollback.KEPT_ROWS", 5000)
    scrollback = scrollback_of(7000)
    kept = texts_of(scrollback, 20, 9999)
    assert 5000 <= len(kept) < 6000
    assert kept[-1] == "row 6999"
    monkeypatch.setattr("terminal.scrollback.KEPT_BYTES", 100_000)
    scrollback.add(Row(RowKind.SAID, "x"))
    for _ in range(20):
        scrollback.add(Row(RowKind.SAID, "y" * 50_000))
    assert len(scrollback.show(99_999, 9999)) <= 2


def test_search_goes_to_older_and_newer_rows() -> None:
    scrollback = scrollback_of(30)
    assert len(scrollback.show(20, 3)) == 3
    assert scrollback.find("ROW 1")
    assert any(row.is_found and row.text == "row 19" for row in scrollback.show(20, 3))
    assert scrollback.find("row 1", is_next=True)
    assert any(row.is_found and row.text == "row 18" for row in scrollback.show(20, 3))
    assert scrollback.find("row 1", towards_oldest=False, is_next=True)
    assert any(row.is_found and row.text == "row 19" for row in scrollback.show(20, 3))
    assert not scrollback.find("row 99")


def test_newer_unread_mark_takes_the_place_of_the_older() -> None:
    scrollback = scrollback_of(1)
    for text in ("new", "new"):
        scrollback.add(Row(RowKind.UNREAD, text))
        scrollback.add(Row(RowKind.SAID, "x"))
    assert texts_of(scrollback, 20, 9) == ["row 0", "x", "new", "x"]
    scrollback.remove_mark()
    assert texts_of(scrollback, 20, 9) == ["row 0", "x", "x"]


@given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 30), st.booleans())
def test_page_fits_every_window(columns: int, lines: int, people: int, is_online: bool) -> None:
    page = Page("Alice", "host port 65432", Palette(0), Formatter(Palette(0)))
    page.members = ["Alice", *(f"n{number}" for number in range(people))]
    page.state, page.is_online, page.new_rows = f"{people + 1} here", is_online, people
    page.offers = [":Users", ":Exit"][:people]
    page.scrollback.add(Row(RowKind.SAID, "日本 " * 40, "Bob", "12:13", "Bob"))
    rows = page.draw(columns, lines)
    assert len(rows) == lines
    for row in rows[:-1]:
        text, _, side = row.partition(f"\x1b[{columns - 9}G")
        assert width_of(re.sub("\x1b[^m]*m", "", text)) <= max(columns - 10 if side else columns, 7)
        assert width_of(re.sub("\x1b[^m]*m", "", side)) <= 10
    assert width_of(re.sub("\x1b[^m]*m", "", rows[-1])) <= max(columns, 14)


def test_paste_without_end_is_not_kept_for_ever() -> None:
    decoder = KeyDecoder()
    assert decoder.feed_data(b"\x1b[200~" + b"x" * MAX_PASTE_BYTES)[0][-6:] == b"\x1b[201~"  # type: ignore[index]
    assert decoder.feed_data(b"y") == [b"y"]
