"""Bytes in any pieces are the same lines, only LF ends one, and a limit is met to the byte."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.framing import (
    LINE_TOO_LONG,
    MAX_LINE_BYTES,
    LineDecoder,
    LineTooLongError,
    encode_line,
    has_longer_line,
)
from tests.support.faults import fault

LIMIT = 8

TOO_LONG = "too long"
"""Stands among the lines where one was refused."""

Outcome = bytes | str


def take(decoder: LineDecoder, count: int) -> list[Outcome]:
    """At most `count` outcomes, fewer if more bytes are needed for the next."""
    outcomes: list[Outcome] = []
    while len(outcomes) < count:
        try:
            line = decoder.next_line()
        except LineTooLongError:
            outcomes.append(TOO_LONG)
            continue
        if line is None:
            break
        outcomes.append(line)
    return outcomes


def feed(decoder: LineDecoder, pieces: Iterable[bytes]) -> list[Outcome]:
    """Everything that comes out while `pieces` go in, one after the other."""
    outcomes: list[Outcome] = []
    for piece in pieces:
        decoder.feed_data(piece)
        outcomes += take(decoder, len(piece) + 1)
    return outcomes


def decode_plainly(stream: bytes, limit: int) -> list[Outcome]:
    """The same by splitting the whole stream at once."""
    *lines, rest = (line.removesuffix(b"\r") for line in stream.split(b"\n"))
    outcomes: list[Outcome] = [TOO_LONG if len(line) > limit else line for line in lines]
    return [*outcomes, TOO_LONG] if len(rest) > limit else outcomes


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def byte_by_byte(stream: bytes) -> list[bytes]:
    return [stream[index : index + 1] for index in range(len(stream))]


def with_nothing_between(stream: bytes) -> list[bytes]:
    return [piece for byte in byte_by_byte(stream) for piece in (b"", byte)]


@pytest.mark.parametrize("cut", [whole, byte_by_byte, with_nothing_between])
@pytest.mark.parametrize(
    ("stream", "outcomes"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"hello\n", [b"hello"], id="one line"),
        pytest.param(b"one\ntwo\n", [b"one", b"two"], id="two lines in one burst"),
        pytest.param(b"\n", [b""], id="an empty line"),
        pytest.param(b"\n\n", [b"", b""], id="two empty lines"),
        pytest.param(b"hello\r\n", [b"hello"], id="CR before LF"),
        pytest.param(b"\r\n", [b""], id="an empty line with CR"),
        pytest.param(b"hello\r\r\n", [b"hello\r"], id="only one CR is dropped"),
        pytest.param(b"a\rb\n", [b"a\rb"], id="CR elsewhere"),
        pytest.param(b"\rab\n", [b"\rab"], id="CR in front"),
        pytest.param(b"a\n\rb\n", [b"a", b"\rb"], id="LF CR"),
        pytest.param(b"\0\xff\xc3\n\xa9\n", [b"\0\xff\xc3", b"\xa9"], id="any bytes"),
        pytest.param(b" a\t \n", [b" a\t "], id="blanks are kept"),
        pytest.param(b"12345678\n", [b"12345678"], id="at the limit"),
        pytest.param(b"12345678\r\n", [b"12345678"], id="at the limit, with CR"),
        pytest.param(b"1234567\r\r\n", [b"1234567\r"], id="at the limit, a CR of its own"),
        pytest.param(b"123456789\n", [TOO_LONG], id="one over"),
        pytest.param(b"123456789\r\n", [TOO_LONG], id="one over, with CR"),
        pytest.param(b"12345678\r\r\n", [TOO_LONG], id="one over, a CR of its own"),
        pytest.param(b"12345678\rx\n", [TOO_LONG], id="CR at the limit that ends nothing"),
        pytest.param(b"x" * 100 + b"\n", [TOO_LONG], id="far over"),
        pytest.param(b"a\n123456789\nb\n", [b"a", TOO_LONG, b"b"], id="refused in its place"),
        pytest.param(b"x" * 9 + b"\n" + b"y" * 30 + b"\n", [TOO_LONG] * 2, id="two over"),
        pytest.param(b"x" * 30 + b"\n\nb\n", [TOO_LONG, b"", b"b"], id="an empty line behind"),
    ],
)
class TestEachCase:
    """Each case whole, byte by byte, and with leftovers before and behind it."""

    def test_a_stream_is_its_lines(
        self, stream: bytes, outcomes: list[Outcome], cut: Callable[[bytes], list[bytes]]
    ) -> None:
        assert feed(LineDecoder(LIMIT), cut(stream)) == outcomes

    def test_leftovers_wait_for_the_rest_of_their_line(
        self, stream: bytes, outcomes: list[Outcome], cut: Callable[[bytes], list[bytes]]
    ) -> None:
        decoder = LineDecoder(LIMIT)
        assert feed(decoder, cut(b"head\n" + stream + b"lef")) == [b"head", *outcomes]
        assert feed(decoder, cut(b"t\n" + stream)) == [b"left", *outcomes]

    def test_the_plain_model_agrees(
        self, stream: bytes, outcomes: list[Outcome], cut: Callable[[bytes], list[bytes]]
    ) -> None:
        assert decode_plainly(b"".join(cut(stream)), LIMIT) == outcomes


@fault(14)
@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("end", list("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"))
def test_what_ends_a_line_for_str_ends_none_here(
    end: str, cut: Callable[[bytes], list[bytes]]
) -> None:
    text = f"hi{end}Bob: forged"
    assert len(text.splitlines()) == 2
    assert feed(LineDecoder(), cut(encode_line(text))) == [text.encode()]


@fault(73)
@pytest.mark.parametrize("limit", [0, 1, 2, 255, MAX_LINE_BYTES])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_line_at_the_limit_passes_and_one_byte_more_does_not(limit: int, line_end: bytes) -> None:
    line = b"x" * limit
    decoder = LineDecoder(limit)
    assert feed(decoder, [line + line_end]) == [line]
    assert feed(decoder, [b"x" + line + line_end]) == [TOO_LONG]


def test_a_line_of_chat_is_at_most_4096_bytes() -> None:
    assert MAX_LINE_BYTES == 4096
    assert LineDecoder().max_line_bytes == MAX_LINE_BYTES


def test_the_refusal_names_the_limit() -> None:
    decoder = LineDecoder(4096)
    decoder.feed_data(b"x" * 4097)
    with pytest.raises(LineTooLongError) as refusal:
        decoder.next_line()
    assert str(refusal.value) == "Message too long (limit 4096 bytes); not sent"
    assert refusal.value.kind == str(refusal.value)
    assert refusal.value.code == LINE_TOO_LONG == "Message too long"


@pytest.mark.parametrize(
    ("unfinished", "is_certain"),
    [
        pytest.param(b"x" * LIMIT, False, id="at the limit"),
        pytest.param(b"x" * LIMIT + b"\r", False, id="one more, but a CR that LF may follow"),
        pytest.param(b"x" * LIMIT + b"y", True, id="one more"),
        pytest.param(b"x" * LIMIT + b"\rx", True, id="two more: that CR was part of the line"),
        pytest.param(b"x" * LIMIT + b"\r\r", True, id="two more, both CR"),
    ],
)
def test_a_line_is_refused_as_soon_as_that_is_certain_and_not_before(
    unfinished: bytes, is_certain: bool
) -> None:
    decoder = LineDecoder(LIMIT)
    assert feed(decoder, [unfinished]) == ([TOO_LONG] if is_certain else [])
    assert feed(decoder, [b"\nnext\n"])[-1:] == [b"next"]


def test_the_rest_of_a_refused_line_is_skipped_without_another_word() -> None:
    decoder = LineDecoder(LIMIT)
    assert feed(decoder, [b"x" * 9]) == [TOO_LONG]
    assert feed(decoder, [b"x" * 100, b"", b"\r", b"x\r", b"short"]) == []
    assert feed(decoder, [b"\n"]) == []
    assert feed(decoder, [b"next\n"]) == [b"next"]


def test_the_line_behind_a_skipped_one_is_refused_in_its_turn() -> None:
    decoder = LineDecoder(LIMIT)
    assert feed(decoder, [b"x" * 20, b"x" * 20 + b"\n" + b"y" * 9]) == [TOO_LONG, TOO_LONG]
    assert feed(decoder, [b"y\nnext\n"]) == [b"next"]


def test_nothing_more_comes_until_more_is_fed() -> None:
    decoder = LineDecoder()
    assert decoder.next_line() is None
    decoder.feed_data(b"one\ntwo")
    assert [decoder.next_line() for _ in range(3)] == [b"one", None, None]


def test_lines_wait_in_the_decoder_until_they_are_taken() -> None:
    decoder = LineDecoder(LIMIT)
    decoder.feed_data(b"one\ntw")
    decoder.feed_data(b"o\n" + b"x" * 9)
    decoder.feed_data(b"x\nthree\nfour")
    assert take(decoder, 1) == [b"one"]
    decoder.feed_data(b"\n")
    assert take(decoder, 9) == [b"two", TOO_LONG, b"three", b"four"]


def test_a_line_is_an_immutable_copy() -> None:
    decoder = LineDecoder()
    decoder.feed_data(b"one\n")
    line = decoder.next_line()
    decoder.feed_data(b"two\n")
    assert type(line) is bytes
    assert line == b"one"


def test_the_limit_that_holds_when_a_line_is_taken_is_the_one_applied() -> None:
    decoder = LineDecoder(4)
    decoder.feed_data(b"join\n12345678\n12345678\n123456789\n123")
    assert take(decoder, 1) == [b"join"]
    decoder.max_line_bytes = 8
    assert take(decoder, 1) == [b"12345678"]
    decoder.max_line_bytes = 7
    assert take(decoder, 1) == [TOO_LONG]
    decoder.max_line_bytes = 9
    assert take(decoder, 2) == [b"123456789"]
    decoder.max_line_bytes = 2
    assert take(decoder, 2) == [TOO_LONG]
    decoder.max_line_bytes = 3
    assert feed(decoder, [b"4\n123\n"]) == [b"123"]


@fault(5)
def test_a_line_end_that_never_comes_costs_no_memory() -> None:
    decoder = LineDecoder()
    piece = b"x" * 64 * 1024
    tracemalloc.start()
    try:
        outcomes = feed(decoder, [piece] * 200)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcomes == [TOO_LONG]
    assert peak_bytes < 4 * len(piece)
    assert feed(decoder, [b"\nnext\n"]) == [b"next"]


# Many lines at once.


@pytest.mark.parametrize(
    ("fed", "max_bytes", "lines"),
    [
        (b"", 99, b""),
        (b"unfinished", 99, b""),
        (b"one\n", 99, b"one\n"),
        (b"one\r\n\ntwo\nunfin", 99, b"one\r\n\ntwo\n"),
        (b"one\ntwo\nthree\n", 8, b"one\ntwo\n"),
        (b"one\ntwo\nthree\n", 7, b"one\n"),
        (b"one\ntwo\nthree\n", 4, b"one\n"),
        (b"one\ntwo\nthree\n", 3, b""),
        (b"one\n" + b"x" * 20 + b"\n", 99, b"one\n" + b"x" * 20 + b"\n"),
    ],
)
def test_all_complete_lines_within_some_bytes_can_be_looked_at(
    fed: bytes, max_bytes: int, lines: bytes
) -> None:
    decoder = LineDecoder(LIMIT)
    decoder.feed_data(fed)
    assert decoder.peek_lines(max_bytes) == decoder.peek_lines(max_bytes) == lines


def test_lines_that_were_looked_at_can_be_taken_together_or_each() -> None:
    decoder = LineDecoder(LIMIT)
    decoder.feed_data(b"one\ntwo\nthr")
    decoder.drop(len(decoder.peek_lines(99)))
    assert take(decoder, 9) == []
    decoder.feed_data(b"ee\r\n" + b"x" * 9 + b"\nfour")
    assert decoder.peek_lines(99) == b"three\r\n" + b"x" * 9 + b"\n"
    assert take(decoder, 9) == [b"three", TOO_LONG]
    assert feed(decoder, [b"\n"]) == [b"four"]


def test_no_lines_can_be_looked_at_while_one_is_skipped() -> None:
    decoder = LineDecoder(LIMIT)
    assert feed(decoder, [b"x" * 20]) == [TOO_LONG]
    decoder.feed_data(b"x\nnext\nbut one\n")
    assert decoder.peek_lines(99) == b""
    assert take(decoder, 1) == [b"next"]
    assert decoder.peek_lines(99) == b"but one\n"


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    limit=st.integers(0, 9),
)
@settings(deadline=None, max_examples=300)
def test_a_longer_line_is_found_wherever_it_is(sizes: list[int], limit: int) -> None:
    lines = b"".join(b"x" * size + b"\n" for size in sizes)
    assert has_longer_line(lines, limit) == (max(sizes) > limit)


@pytest.mark.parametrize("limit", [-1, -2, -3, -4, -9])
def test_with_no_room_at_all_every_line_is_longer(limit: int) -> None:
    assert has_longer_line(b"a\n\nb\n", limit)


# Few kinds of pieces, so that line ends, CRs and limits meet often.
PIECES = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"x", b"xx", b"\0", b"\xe2\x80\xa8", b"x" * 6]),
    max_size=6,
).map(b"".join)


@fault(10, 33)
@given(
    steps=st.lists(
        st.tuples(PIECES | st.binary(max_size=12), st.integers(0, 4), st.integers(0, 12)),
        max_size=12,
    ),
    limit=st.integers(0, 7),
)
@settings(deadline=None, max_examples=600)
def test_neither_the_cuts_nor_the_moments_of_taking_matter(
    steps: list[tuple[bytes, int, int]], limit: int
) -> None:
    decoder = LineDecoder(limit)
    outcomes: list[Outcome] = []
    for piece, count, block_bytes in steps:
        decoder.feed_data(piece)
        outcomes += take(decoder, count)
        block = decoder.peek_lines(block_bytes)
        decoder.drop(len(block))
        outcomes += decode_plainly(block, limit)
    stream = b"".join(piece for piece, *_ in steps)
    assert [*outcomes, *take(decoder, len(stream) + 1)] == decode_plainly(stream, limit)


@given(texts=st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"))))
@settings(deadline=None, max_examples=200)
def test_what_is_encoded_is_decoded_again(texts: list[str]) -> None:
    # A CR at the very end would be taken for part of the line end: no text ends with one.
    texts = [text.rstrip("\r") for text in texts]
    stream = b"".join(map(encode_line, texts))
    assert feed(LineDecoder(), [stream]) == [text.encode() for text in texts]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", b"\n"),
        ("hi", b"hi\n"),
        (" a\t", b" a\t\n"),
        ("\u00e9\u20ac", b"\xc3\xa9\xe2\x82\xac\n"),
    ],
)
def test_an_encoded_line_is_utf_8_and_a_lf(text: str, line: bytes) -> None:
    assert encode_line(text) == line
