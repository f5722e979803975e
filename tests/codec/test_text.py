"""What a line may hold, character by character, and what its shortcuts and backslashes become."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given

from codec.commands import COMMANDS, SAY, parse_command
from codec.text import (
    are_plain,
    decode_text,
    format_time,
    has_control_or_line_end,
    is_drawn_from_right,
    is_forged_when_wrapped,
    isolate,
    resembles_command,
    translate,
    wrap,
)
from tests.codec.conftest import UNSAFE
from tests.support.faults import fault
from tests.support.lines import LINES
from tests.support.protocol import IN_AN_HOUR, NOW, SHORTCUTS, local_time, safe_text
from tests.support.size import IS_LONG, examples

TIMES = (":mytime", ":+1hr")


def no_clock(seconds: int) -> Sequence[int]:
    raise AssertionError("there is no time to be told here")


# Bytes to text.


@fault(11, 15)
def test_each_character_passes_or_becomes_one_replacement() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    replaced = dict.fromkeys(UNSAFE, "\ufffd")
    assert decode_text(everything.encode()) == everything.translate(replaced)
    # One by one: in the company of others, a character may take another path through the code.
    alone = everything if IS_LONG else everything[:0x3000] + everything[::61]
    assert not [c for c in alone if decode_text(c.encode()) != c.translate(replaced)]


@fault(9)
@pytest.mark.parametrize(
    "invalid",
    [
        *(bytes([byte]) for byte in range(0x80, 0x100)),
        # An overlong slash in two, three and four bytes; NUL, [ and the last of each length.
        *[b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"],
        *[b"\xc0\x80", b"\xc1\x9b", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf"],
        # The first and the last surrogate, and an emoji as a pair of them.
        *[b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80"],
        # U+110000, one too far, and farther; sequences of five and six bytes.
        *[b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf"],
        *[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
        # Cut short, and continuations of nothing.
        *[b"\xe2\x82", b"\xf0\x9f", b"\xf0\x9f\x98", b"\x80\xbf", b"\xff\xfe"],
    ],
    ids=bytes.hex,
)
def test_each_byte_that_is_not_utf_8_becomes_one_replacement(invalid: bytes) -> None:
    replaced = "\ufffd" * len(invalid)
    assert decode_text(invalid) == replaced
    assert decode_text(b"\xc3\xa9\t" + invalid + b"b\xc3\xa9") == f"\u00e9\t{replaced}b\u00e9"


@fault(9, 12)
@given(line=LINES)
@example(b"\x1b[2J\x1b]0;owned\x07\x9b31m\xc2\x9b31m")
@example(b"a\rBob: forged\nb\0c\x7f\xe2\x80\xa8d")
@example(b"\xe2\x80\xaeevil\xe2\x81\xa9")
@example(b"\xe2\x80\xf0\x9f\x98\xed\xa0\xc3")
@examples(60, 500)
def test_line_on_a_terminal_is_as_the_plain_model_says_and_safe(line: bytes) -> None:
    text = decode_text(line)
    assert text == safe_text(line)
    shown, _ = translate(text, local_time)
    assert not UNSAFE & set(map(ord, shown))
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown


def test_control_or_line_end_is_found_and_nothing_else() -> None:
    found = {code for code in range(0x3000) if has_control_or_line_end(f"ab{chr(code)}cd")}
    assert found == {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029}
    assert not has_control_or_line_end("\udcff")


# Shortcuts.


@pytest.mark.parametrize("place", ["{}", "hi {} bye", " {}", "{} ", "\t{}\t", " \t a  {}  \tb  "])
@pytest.mark.parametrize("shortcut", [*SHORTCUTS, ":MYTIME", ":mYTIMe", ":+1HR", ":+1hR"])
def test_shortcut_is_translated_in_each_place_of_a_word(shortcut: str, place: str) -> None:
    word = shortcut.lower()
    expected = (place.format(SHORTCUTS[word]), word in TIMES)
    assert translate(place.format(shortcut), local_time) == expected


@pytest.mark.parametrize(
    "place", ["x{}", "{}x", "({})", "{}.", ":{}", "{}:", "{0}{0}", "\u00a0{}", "{}\u3000", "\\o{}"]
)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_shortcut_inside_a_word_is_text(shortcut: str, place: str) -> None:
    text = place.format(shortcut)
    assert translate(text, no_clock) == (text, False)


@pytest.mark.parametrize(
    "text",
    [
        *["", "hello", NOW, ":", ":-)", ":D", ":my", ":+1", ":+2hr", ":1hr", ":Help"],
        *[":myt\u0131me", ":myt\u0130me"],  # a dotless i, and a dotted I
        *[r"C:\path", r"\o/", "\\", r"a \ b", r"\hello", r"x\:)", r":)\ ", r"a\\b", r":\)"],
        *["\\\u00a0:)", r"\[feeling"],
    ],
)
def test_other_words_with_colons_and_backslashes_are_text(text: str) -> None:
    assert translate(text, no_clock) == (text, False)


def test_clock_is_asked_for_each_time_of_a_text() -> None:
    asked = []

    def clock(seconds: int) -> Sequence[int]:
        asked.append(seconds)
        return local_time(seconds)

    shown, _ = translate(":+1hr :mytime :) \\:mytime \\ :( :mytime", clock)
    assert shown == f"{IN_AN_HOUR} {NOW} [feeling happy] :mytime \\ [feeling sad] {NOW}"
    assert asked == [3600, 0, 0]


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (r"\:mytime", ":mytime"),
        (r"\:Msg Bob :)", ":Msg Bob [feeling happy]"),
        (r"\:", ":"),
        (r"\\:)", r"\:)"),
        (r"\\\:)", r"\\:)"),
        (r"\\server\share", r"\server\share"),
        (r"hi \:) there", "hi :) there"),
        ("\t\\:)\t:)", "\t:)\t[feeling happy]"),
        (r"  \:)  ", "  :)  "),
    ],
)
def test_backslash_protects_its_word_and_disappears(typed: str, text: str) -> None:
    assert translate(typed, no_clock) == (text, False)


# Many lines at once: plain ones are shown as typed, and this must never be said of others.


@pytest.mark.parametrize(
    "lines",
    [
        b"hello room\nhow are you? \n",
        b"a:b C:\\path x\\:) (:\n",
        b"~!@#$%^&*()_+-={}[]|'<>,./ \n" * 100,
        "caf\u00e9 \u05e9\u05dc\u05d5\u05dd \U0001f600\n\u4f60\u597d\n".encode(),
    ],
)
def test_ordinary_lines_are_plain(lines: bytes) -> None:
    assert are_plain(lines)


@pytest.mark.parametrize(
    "line",
    [
        *[b"", b" ", b"\t", b" \t ", b":Users", b":exit", b":Msg Bob hi", b":)", b":mytime"],
        *[b"hi :)", b"hi\t:)", b"hi :( there", b"it is :+1HR", b"\\:)", b"hi \\\\x", b"hi\t\\:x"],
        *[b"cr\r", b"\xff", b"caf\xc3", b"\xed\xa0\x80", b"\xc2\x9b31m", b"\xe2\x80\xae"],
    ],
)
@pytest.mark.parametrize("lines", [b"%s\n", b"hi\n%s\n", b"%s\nhi\n", b"hi\n%s\nhi\n"])
def test_line_that_needs_a_closer_look_is_plain_in_no_place(line: bytes, lines: bytes) -> None:
    assert are_plain(lines % line) is False


def test_no_unsafe_character_is_plain() -> None:
    unsafe = [chr(code).encode() for code in UNSAFE - {ord("\n")}]
    assert not any(are_plain(b"a%sb\n" % character) for character in unsafe)
    assert not any(are_plain(b"\xc3\xa9%sb\n" % character) for character in unsafe)


# The time.


@pytest.mark.parametrize(
    ("time_parts", "text"),
    [
        ((2025, 9, 24, 12, 31, 44, 2), "Wed Sep 24 12:31:44 2025"),
        ((2026, 1, 1, 0, 0, 0, 3), "Thu Jan 01 00:00:00 2026"),
        ((2016, 12, 31, 23, 59, 60, 5), "Sat Dec 31 23:59:60 2016"),  # a leap second
    ],
)
def test_time_is_in_english_with_two_digits_each(time_parts: Sequence[int], text: str) -> None:
    # Seven plain numbers: nothing here can have asked a locale or a clock.
    assert format_time(time_parts) == text


def test_every_day_and_month_has_its_english_name() -> None:
    days = [format_time((2025, 1, 1, 0, 0, 0, weekday)).split()[0] for weekday in range(7)]
    months = [format_time((2025, month, 1, 0, 0, 0, 0)).split()[1] for month in range(1, 13)]
    assert " ".join(days) == "Mon Tue Wed Thu Fri Sat Sun"
    assert " ".join(months) == "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """New York's rules, spelled out so that no time zone database is needed."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
        time.tzset()
        yield
    time.tzset()


@fault(62)
@pytest.mark.usefixtures("new_york")
@pytest.mark.parametrize(
    ("start", "now", "in_an_hour"),
    [
        # Across the end of a year, into daylight saving, and out of it.
        (1_767_241_800, "Wed Dec 31 23:30:00 2025", "Thu Jan 01 00:30:00 2026"),
        (1_741_501_800, "Sun Mar 09 01:30:00 2025", "Sun Mar 09 03:30:00 2025"),
        (1_762_061_400, "Sun Nov 02 01:30:00 2025", "Sun Nov 02 01:30:00 2025"),
    ],
)
def test_one_hour_later_is_one_real_hour_later(start: int, now: str, in_an_hour: str) -> None:
    text, _ = translate(":mytime :+1hr", lambda seconds: time.localtime(start + seconds))
    assert text == f"{now} {in_an_hour}"


# Lines that pass for somebody else's, or for a command.

FORGERIES = (
    "Bob: no exam|B\u200bob\uff1a\u00a0no exam|[Message from Bob]: x|42: x|Bob left the chatroom"
    "|Active Users: Mal|Server is shutting down"
)


@fault(82)
@pytest.mark.parametrize("gap", ["", "   ", "\t", "\u3000", "\u200b\u2800\ufe0f"])
@pytest.mark.parametrize("start", FORGERIES.split("|"))
def test_row_that_reads_like_another_line_is_found(start: str, gap: str) -> None:
    line = "Mal: ok".ljust(80) + gap + start
    assert is_forged_when_wrapped(line, 80)
    assert not is_forged_when_wrapped(line, 200)
    assert not is_forged_when_wrapped("Mal: ok".ljust(80) + "at 12:30 http://a.b/ " * 30, 80)


WRAPPED = "|abc|abc,d|abc,   ,d|ab,\uff21d|\u4f60d,\U0001f600|e\u0301b\u200bc\ufe0f,d|a\t\tb\t,c"


@pytest.mark.parametrize("rows", WRAPPED.split("|"))
def test_line_is_wrapped_where_a_terminal_does(rows: str) -> None:
    assert wrap(rows.replace(",", ""), 3) == rows.split(",")
    assert wrap("a\tb\tc", 9) == ["a\tb\t", "c"]


HEBREW, ARABIC = "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d"


@fault(82)
@pytest.mark.parametrize("text", [HEBREW, f"7 {ARABIC} x", f"x {HEBREW}", "7 :)"])
def test_text_turns_no_line_around_once_isolated(text: str) -> None:
    is_turned = text[0] == HEBREW[0] or ARABIC in text
    assert is_drawn_from_right(f"42: {text}") == is_turned
    assert is_drawn_from_right(f"{isolate('x')}\u2069{text}") == is_turned
    assert not is_drawn_from_right(f"Bob: {text}")
    assert not is_drawn_from_right(f"42: {isolate(text)}")


WORDS = [row.word for row in COMMANDS]
COMMAND_LIKE = (
    " :Msg Bob x|\u00a0:Msg Bob x|\uff1aMsg Bob x|\u200b:msg Bob x|: MSG Bob x|:Msg\u00a0Bob x"
    "|:M\u200bsg Bob x|:\u041csg Bob x|\ua789Msg\u200bBob x|\t:Exit|\ufe55\uff2d\uff53\uff47 Bob"
    "|\u3164\u2236Users|:Users now|\u2060\ufe0f:Exit"
)
OTHERS = r"x|hi :Msg|:Msgs|:)|\:Msg B x|Msg Bob|::Msg|:Help|:M sg"


@fault(82)
@pytest.mark.parametrize("text", f"{COMMAND_LIKE}|{OTHERS}".split("|"))
def test_public_text_that_resembles_a_command_is_found(text: str) -> None:
    assert parse_command(text).verb == SAY
    assert resembles_command(text, WORDS) == (text in COMMAND_LIKE.split("|"))
