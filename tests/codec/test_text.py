"""What a line may hold, character by character, and what its shortcuts and backslashes become."""

from __future__ import annotations

import calendar
import time
import unicodedata
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.commands import SAY, parse_command
from codec.text import are_plain, decode_text, format_time, has_control_or_line_end, translate
from tests.codec.conftest import UNSAFE, Clock
from tests.support.faults import fault

NOW = "Wed Sep 24 12:31:44 2025"
IN_AN_HOUR = "Wed Sep 24 13:31:44 2025"

SHORTCUTS = {
    ":)": "[feeling happy]",
    ":(": "[feeling sad]",
    ":mytime": NOW,
    ":+1hr": IN_AN_HOUR,
}


def shown(text: str) -> str:
    """`text` as it is shown at 12:31:44 on September 24, 2025."""
    return translate(text, Clock().local_time).text


def no_clock(seconds: int) -> Sequence[int]:
    raise AssertionError("there is no time to be told here")


def decode_slowly(line: bytes) -> str:
    """What `decode_text` is to give, by trying at each byte whether a character begins there."""
    if not line:
        return ""
    for size in range(1, 5):
        try:
            character = line[:size].decode()
        except UnicodeDecodeError:
            continue
        return ("\ufffd" if ord(character) in UNSAFE else character) + decode_slowly(line[size:])
    return "\ufffd" + decode_slowly(line[1:])


# Bytes to text.


@fault(11)
def test_each_unicode_character_passes_or_becomes_one_replacement_character() -> None:
    scalars = [*range(0xD800), *range(0xE000, 0x110000)]
    assert len(scalars) == 1_112_064
    # One by one: in the company of others, a character may take another path through the code.
    expected = {code: "\ufffd" if code in UNSAFE else chr(code) for code in scalars}
    wrong = [hex(code) for code in scalars if decode_text(chr(code).encode()) != expected[code]]
    assert wrong == []
    everything = "".join(map(chr, scalars)).encode()
    assert decode_text(everything) == "".join(expected.values())


@fault(11, 15)
def test_the_unsafe_are_65_controls_two_line_ends_and_twelve_bidi_controls() -> None:
    controls = {code for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"}
    line_ends = {code for code in UNSAFE if unicodedata.category(chr(code)) in {"Zl", "Zp"}}
    bidi = {code for code in UNSAFE if unicodedata.category(chr(code)) == "Cf"}
    assert controls - {ord("\t")} | line_ends | bidi == UNSAFE
    assert (len(controls), len(line_ends), len(bidi)) == (65, 2, 12)


@fault(9)
@pytest.mark.parametrize(
    "invalid",
    [
        *(bytes([byte]) for byte in range(0x80, 0x100)),
        b"\xc0\xaf",  # an overlong slash, in two, three and four bytes
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc0\x80",  # an overlong NUL
        b"\xc1\x9b",  # an overlong [
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80",  # the first and the last surrogate
        b"\xed\xbf\xbf",
        b"\xed\xa0\xbd\xed\xb8\x80",  # an emoji as a pair of surrogates
        b"\xf4\x90\x80\x80",  # U+110000, one too far
        b"\xf7\xbf\xbf\xbf",
        b"\xf8\x88\x80\x80\x80",  # sequences of five and six bytes
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xc3",  # cut short, at every place
        b"\xe2",
        b"\xe2\x82",
        b"\xf0",
        b"\xf0\x9f",
        b"\xf0\x9f\x98",
        b"\x80\xbf",  # continuations of nothing
        b"\xff\xfe",
    ],
    ids=bytes.hex,
)
def test_each_byte_that_is_not_utf_8_becomes_one_replacement_character(invalid: bytes) -> None:
    replaced = "\ufffd" * len(invalid)
    assert decode_text(invalid) == replaced
    assert decode_text(b"a" + invalid + b"b\xc3\xa9") == f"a{replaced}b\u00e9"
    assert decode_text(b"\xc3\xa9\t" + invalid) == f"\u00e9\t{replaced}"


@pytest.mark.parametrize("character", list("\u00e9\u05d0\u20ac\U0001f600\U0010ffff"))
def test_a_character_cut_in_two_lines_is_lost_in_both(character: str) -> None:
    data = character.encode()
    for cut in range(1, len(data)):
        assert decode_text(b"a" + data[:cut]) == "a" + "\ufffd" * cut
        assert decode_text(data[cut:] + b"b") == "\ufffd" * (len(data) - cut) + "b"


@fault(15)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(" \t  a \t\t b\t ", id="blanks"),
        pytest.param(
            "caf\u00e9 e\u0301 \u00a0\u3000\u00ad\ufeff \ufffd", id="Latin and odd spaces"
        ),
        pytest.param("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", id="Hebrew"),
        pytest.param("\u0645\u0631\u062d\u0628\u0627 \u0628\u0643", id="Arabic"),
        pytest.param("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", id="Persian with ZWNJ"),
        pytest.param("\u0915\u094d\u200d\u0937", id="Devanagari with ZWJ"),
        pytest.param("\u4f60\u597d \ud55c\uad6d\uc5b4", id="Chinese and Korean"),
        pytest.param("\U0001f468\u200d\U0001f469\u200d\U0001f467", id="a family with ZWJ"),
        pytest.param("\U0001f3f3\ufe0f\u200d\U0001f308", id="a flag with ZWJ"),
    ],
)
def test_every_script_is_unharmed(text: str) -> None:
    assert decode_text(text.encode()) == text


@fault(12)
@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"\x1b[2J\x1b]0;owned\x07", "\ufffd[2J\ufffd]0;owned\ufffd"),
        (b"a\rBob: forged", "a\ufffdBob: forged"),
        (b"a\nb\0c\x7f", "a\ufffdb\ufffdc\ufffd"),
        (b"\x9b31m", "\ufffd31m"),  # a lone byte: no UTF-8
        (b"\xc2\x9b31m", "\ufffd31m"),  # the same control as a character
        (b"a\xe2\x80\xa8b", "a\ufffdb"),
        (b"\xe2\x80\xaeevil\xe2\x81\xa9", "\ufffdevil\ufffd"),
    ],
)
def test_tricks_with_a_terminal_are_defused(line: bytes, text: str) -> None:
    assert decode_text(line) == text


# Bytes of all kinds, with those that begin, continue or nearly make a character among them often.
LINES = st.lists(
    st.binary(max_size=4)
    | st.text(max_size=4).map(str.encode)
    | st.sampled_from(
        [
            b"\xc3",
            b"\xe2\x80",
            b"\xf0\x9f\x98",
            b"\x80",
            b"\xae",
            b"\xed\xa0",
            b":)",
            b"\\",
            b"\x1b",
        ]
    ),
    max_size=12,
).map(b"".join)


@fault(9)
@given(line=LINES)
@settings(deadline=None, max_examples=500)
def test_decoding_agrees_with_a_slow_decoder(line: bytes) -> None:
    assert decode_text(line) == decode_slowly(line)


@given(line=LINES)
@settings(deadline=None, max_examples=500)
def test_what_reaches_a_terminal_holds_no_control_character_but_tab(line: bytes) -> None:
    text = shown(decode_text(line))
    assert not UNSAFE & set(map(ord, text))
    assert len(text.splitlines()) <= 1
    assert text.encode().decode() == text


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029])
def test_a_control_or_a_line_end_is_found(code: int) -> None:
    assert has_control_or_line_end(chr(code))
    assert has_control_or_line_end(f"ab{chr(code)}cd")


@pytest.mark.parametrize("text", ["", "Alice", "a b", "\u05d0\u200d\u200e\u00a0", "\udcff"])
def test_other_text_has_none(text: str) -> None:
    assert not has_control_or_line_end(text)


# Shortcuts.


@pytest.mark.parametrize(
    "place", ["{}", "hi {}", "{} hi", "a {} b", " {}", "{} ", "\t{}\t", "a\t{}"]
)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_shortcut_is_translated_wherever_it_is_a_word(shortcut: str, place: str) -> None:
    assert shown(place.format(shortcut)) == place.format(SHORTCUTS[shortcut])


@pytest.mark.parametrize("place", ["x{}", "{}x", "({})", "{}.", ":{}", "{}:", "{0}{0}", "\u00a0{}"])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_shortcut_inside_a_word_is_text(shortcut: str, place: str) -> None:
    text = place.format(shortcut)
    assert translate(text, no_clock) == (text, False)


@pytest.mark.parametrize("shortcut", [":MYTIME", ":MyTime", ":mYTIMe", ":+1HR", ":+1Hr", ":+1hR"])
def test_letter_case_does_not_matter(shortcut: str) -> None:
    assert shown(shortcut) == SHORTCUTS[shortcut.lower()]


@pytest.mark.parametrize(
    "word",
    [
        ":",
        ":-)",
        ":D",
        ":)s",
        ":mytime1",
        ":my",
        ":+1",
        ":+2hr",
        ":1hr",
        ":Help",
        ":mytıme",
        ":mytİme",
    ],
)
def test_any_other_word_after_a_colon_is_text(word: str) -> None:
    assert translate(word, no_clock) == (word, False)


def test_one_text_may_hold_many_shortcuts() -> None:
    assert shown(":) :( :mytime :+1hr") == f"[feeling happy] [feeling sad] {NOW} {IN_AN_HOUR}"


def test_blanks_are_kept_as_typed() -> None:
    assert shown("  a \t :)   :(\t\tb  ") == "  a \t [feeling happy]   [feeling sad]\t\tb  "


@pytest.mark.parametrize("other_blank", list("\u00a0\u2003\u3000\u200b\ufeff"))
def test_only_space_and_tab_separate_words(other_blank: str) -> None:
    text = f"hi{other_blank}:)"
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "tells_time"),
    [
        (":mytime", True),
        (":+1HR", True),
        ("it is :MyTime now", True),
        (":) :(", False),
        ("\\:mytime", False),
        ("\\:mytime :+1hr", True),
        ("x:mytime", False),
        (NOW, False),
        ("hello", False),
        ("", False),
    ],
)
def test_it_is_told_whether_a_text_tells_the_time(text: str, tells_time: bool) -> None:
    assert translate(text, Clock().local_time).tells_time is tells_time


def test_the_clock_is_asked_once_for_each_time() -> None:
    asked = []

    def local_time(seconds: int) -> Sequence[int]:
        asked.append(seconds)
        return time.gmtime(seconds)

    translate(":+1hr :mytime :) \\:mytime :mytime", local_time)
    assert asked == [3600, 0, 0]


@given(text=st.text(st.characters(exclude_characters=":\\")))
@settings(deadline=None, max_examples=200)
def test_a_text_without_colon_and_backslash_is_unchanged(text: str) -> None:
    assert translate(text, no_clock) == (text, False)


# The backslash.


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (r"\:mytime", ":mytime"),
        (r"\:+1hr", ":+1hr"),
        (r"\:)", ":)"),
        (r"\:Users", ":Users"),
        (r"\:Msg Bob x", ":Msg Bob x"),
        (r"\:Msg Bob :)", ":Msg Bob [feeling happy]"),
        (r"\:anything", ":anything"),
        (r"\:", ":"),
        (r"\\:)", r"\:)"),
        (r"\\\:)", r"\\:)"),
        (r"\\", "\\"),
        (r"\\server\share", r"\server\share"),
        (r"hi \:) there", "hi :) there"),
        (r":) \:) :)", "[feeling happy] :) [feeling happy]"),
        ("\t\\:)\t:)", "\t:)\t[feeling happy]"),
        (r"  \:)  ", "  :)  "),
    ],
)
def test_a_backslash_protects_its_word_and_disappears(typed: str, text: str) -> None:
    assert shown(typed) == text


@pytest.mark.parametrize(
    "text",
    [
        r"C:\path",
        r"\o/",
        "\\",
        r"a \ b",
        r"\hello",
        r"x\:)",
        r":)\ ",
        r"a\\b",
        r":\)",
        "\\\u00a0:)",
        r"\[feeling",
    ],
)
def test_anywhere_else_a_backslash_is_a_backslash(text: str) -> None:
    assert shown(text) == text


def test_a_backslash_alone_protects_nothing_behind_the_blank() -> None:
    assert shown("\\ :)") == "\\ [feeling happy]"


@given(words=st.lists(st.sampled_from([*SHORTCUTS, r"\:)", ":x", "\\", r"\\a", "hi"]), min_size=1))
@settings(deadline=None, max_examples=100)
def test_any_text_can_be_said_as_it_is(words: list[str]) -> None:
    protected = [rf"\{word}" if word.startswith((":", "\\")) else word for word in words]
    assert shown(" ".join(protected)) == " ".join(words)


# Many lines at once: plain ones are shown as typed, and this must never be said of others.


@pytest.mark.parametrize(
    "lines",
    [
        b"hello\n",
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
        pytest.param(b"", id="an empty line"),
        b" ",
        b"\t",
        b" \t ",
        b":Users",
        b":exit",
        b":Msg Bob hi",
        b":)",
        b"hi :)",
        b"hi\t:)",
        b"hi :( there",
        b":mytime",
        b"it is :+1HR",
        b"\\:)",
        b"hi \\\\x",
        b"hi\t\\:x",
        b"cr\r",
        b"\xff",
        b"caf\xc3",
        b"\xed\xa0\x80",
        b"\xc2\x9b31m",
        b"\xe2\x80\xae",
    ],
)
def test_a_line_that_needs_a_closer_look_is_not_plain_wherever_it_stands(line: bytes) -> None:
    for lines in (b"%s\n", b"hi\n%s\n", b"%s\nhi\n", b"hi\n%s\nhi\n"):
        assert not are_plain(lines % line)


def test_no_unsafe_character_is_plain() -> None:
    unsafe = [chr(code).encode() for code in UNSAFE - {ord("\n")}]
    assert not any(are_plain(b"a%sb\n" % character) for character in unsafe)
    assert not any(are_plain(b"\xc3\xa9%sb\n" % character) for character in unsafe)


@given(
    lines=st.lists(
        LINES.map(lambda line: line.replace(b"\n", b"")) | st.sampled_from([b"hi", b"a b"]),
        min_size=1,
        max_size=3,
    )
)
@settings(deadline=None, max_examples=400)
def test_plain_lines_are_said_and_shown_as_they_are_typed(lines: list[bytes]) -> None:
    if are_plain(b"".join(line + b"\n" for line in lines)):
        for line in lines:
            text = decode_text(line)
            assert text.encode() == line
            assert parse_command(text) == (SAY, text, "")
            assert translate(text, no_clock) == (text, False)


# The time.


@pytest.mark.parametrize(
    ("local_time", "text"),
    [
        ((2025, 9, 24, 12, 31, 44, 2), "Wed Sep 24 12:31:44 2025"),
        ((2012, 8, 13, 8, 23, 14, 0), "Mon Aug 13 08:23:14 2012"),
        ((2026, 1, 1, 0, 0, 0, 3), "Thu Jan 01 00:00:00 2026"),
        ((2024, 2, 29, 23, 59, 59, 3), "Thu Feb 29 23:59:59 2024"),
        ((2016, 12, 31, 23, 59, 60, 5), "Sat Dec 31 23:59:60 2016"),  # a leap second
    ],
)
def test_the_format_is_english_with_two_digits_each(local_time: Sequence[int], text: str) -> None:
    # Seven plain numbers: nothing here can have asked a locale or a clock.
    assert format_time(local_time) == text


def test_every_day_and_month_has_its_english_name() -> None:
    days = [format_time((2025, 1, 1, 0, 0, 0, weekday))[:3] for weekday in range(7)]
    months = [format_time((2025, month, 1, 0, 0, 0, 0))[4:7] for month in range(1, 13)]
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
    ("utc", "now", "in_an_hour"),
    [
        pytest.param(
            "2025-09-24T16:31:44Z",
            "Wed Sep 24 12:31:44 2025",
            "Wed Sep 24 13:31:44 2025",
            id="an ordinary day",
        ),
        pytest.param(
            "2025-07-04T03:59:59Z",
            "Thu Jul 03 23:59:59 2025",
            "Fri Jul 04 00:59:59 2025",
            id="across midnight",
        ),
        pytest.param(
            "2024-02-29T04:30:00Z",
            "Wed Feb 28 23:30:00 2024",
            "Thu Feb 29 00:30:00 2024",
            id="into a leap day",
        ),
        pytest.param(
            "2026-01-01T04:30:00Z",
            "Wed Dec 31 23:30:00 2025",
            "Thu Jan 01 00:30:00 2026",
            id="across the end of a year",
        ),
        pytest.param(
            "2025-03-09T06:30:00Z",
            "Sun Mar 09 01:30:00 2025",
            "Sun Mar 09 03:30:00 2025",
            id="into daylight saving, where an hour is missing",
        ),
        pytest.param(
            "2025-11-02T05:30:00Z",
            "Sun Nov 02 01:30:00 2025",
            "Sun Nov 02 01:30:00 2025",
            id="out of daylight saving, where an hour comes twice",
        ),
    ],
)
def test_one_hour_later_is_one_real_hour_later(utc: str, now: str, in_an_hour: str) -> None:
    start = calendar.timegm(time.strptime(utc, "%Y-%m-%dT%H:%M:%SZ"))
    text, _ = translate(":mytime :+1hr", lambda seconds: time.localtime(start + seconds))
    assert text == f"{now} {in_an_hour}"
