"""Bytes in any pieces are the same lines, only LF ends one, and a limit is met to the byte."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codec.framing import (
    MAX_LINE_BYTES,
    LineDecoder,
    LineTooLongError,
    encode_line,
    has_longer_line,
)
from tests.codec.conftest import refused
from tests.support.faults import fault
from tests.support.protocol import TOO_LONG, Line, lines_of
from tests.support.size import examples

LIMIT = 8


def take(decoder: LineDecoder, count: int) -> list[Line]:
    """At most `count` outcomes, fewer if more bytes are needed for the next."""
    outcomes: list[Line] = []
    while len(outcomes) < count:
        try:
            line = decoder.next_line()
        except LineTooLongError:
            outcomes.append(TOO_LONG)
            continue
        if line is None:
            break
        assert type(line) is bytes  # and no view that another line may change
        outcomes.append(line)
    return outcomes


def feed(decoder: LineDecoder, pieces: Iterable[bytes]) -> list[Line]:
    """Everything that comes out while `pieces` go in, one after the other."""
    outcomes: list[Line] = []
    for piece in pieces:
        decoder.feed_data(piece)
        outcomes += take(decoder, len(piece) + 1)
    return outcomes


def cut(stream: bytes, size: int) -> list[bytes]:
    """`stream` in pieces of `size` bytes."""
    return [stream[start : start + size] for start in range(0, len(stream), size)]


@fault(73)
@pytest.mark.parametrize("size", [1, 2, 99])
@pytest.mark.parametrize(
    ("stream", "outcomes"),
    [
        pytest.param(b"one\ntwo\n", [b"one", b"two"], id="two lines in one burst"),
        pytest.param(b"hello\r\n\r\n", [b"hello", b""], id="CR before LF"),
        pytest.param(b"hello\r\r\n", [b"hello\r"], id="only one CR is dropped"),
        pytest.param(b"\ra\rb\n\rc\n", [b"\ra\rb", b"\rc"], id="CR elsewhere"),
        pytest.param(b"\0\xff\xc3\n\xa9\n", [b"\0\xff\xc3", b"\xa9"], id="any bytes"),
        pytest.param(b"12345678\n", [b"12345678"], id="at the limit"),
        pytest.param(b"12345678\r\n", [b"12345678"], id="at the limit, with CR"),
        pytest.param(b"1234567\r\r\n", [b"1234567\r"], id="at the limit, a CR of its own"),
        pytest.param(b"123456789\n", [TOO_LONG], id="one over"),
        pytest.param(b"12345678\r\r\n", [TOO_LONG], id="one over, a CR of its own"),
        pytest.param(b"12345678\rx\n", [TOO_LONG], id="CR at the limit that ends nothing"),
        pytest.param(b"a\n123456789\nb\n", [b"a", TOO_LONG, b"b"], id="refused in its place"),
        pytest.param(b"x" * 9 + b"\n" + b"y" * 30 + b"\n", [TOO_LONG] * 2, id="two over"),
        pytest.param(b"x" * 30 + b"\n\nb\n", [TOO_LONG, b"", b"b"], id="an empty line behind"),
    ],
)
def test_stream_is_its_lines_with_any_cuts_and_leftovers(
    stream: bytes, outcomes: list[Line], size: int
) -> None:
    decoder = LineDecoder(LIMIT)
    assert feed(decoder, cut(stream + b"lef", size)) == outcomes
    assert not decoder.is_empty
    assert decoder.pending_bytes == len(decoder.rest) > 0
    assert feed(decoder, cut(b"t\n" + stream, size)) == [b"left", *outcomes]
    assert decoder.is_empty
    assert lines_of(stream, LIMIT) == outcomes


@fault(14)
@pytest.mark.parametrize("end", list("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"))
def test_other_line_ends_of_str_end_no_line_here(end: str) -> None:
    text = f"hi{end}Bob: forged"
    assert len(text.splitlines()) == 2
    assert feed(LineDecoder(), [encode_line(text)]) == [text.encode()]


def test_line_of_chat_is_at_most_4096_bytes_and_refusal_says_so() -> None:
    assert MAX_LINE_BYTES == 4096
    decoder = LineDecoder()
    decoder.feed_data(b"x" * 4097)
    with refused("Message too long (limit 4096 bytes); not sent", "Message too long"):
        decoder.next_line()


def test_limit_is_the_one_that_holds_when_a_line_is_taken() -> None:
    decoder = LineDecoder(4)
    decoder.feed_data(b"join\n12345678\n12345678\n")
    assert take(decoder, 1) == [b"join"]
    decoder.max_line_bytes = 8
    assert take(decoder, 1) == [b"12345678"]
    decoder.max_line_bytes = 7
    assert take(decoder, 1) == [TOO_LONG]


class CountingBuffer(bytearray):
    """Counts the bytes that are looked at."""

    searched_bytes = 0

    def find(self, sub: bytes, start: int = 0) -> int:  # type: ignore[override]
        self.searched_bytes += len(self) - start
        return super().find(sub, start)


def test_line_that_comes_byte_by_byte_is_searched_once() -> None:
    decoder = LineDecoder()
    decoder._buffer = buffer = CountingBuffer()  # no outcome shows how often a byte was looked at
    assert feed(decoder, cut(b"x" * 50 + b"\n", size=1)) == [b"x" * 50]
    assert buffer.searched_bytes == 51


@fault(5)
def test_line_end_that_never_comes_costs_no_memory() -> None:
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
        (b"\nunfinished", 99, b"\n"),
        (b"one\r\n\ntwo\nunfin", 99, b"one\r\n\ntwo\n"),
        (b"one\ntwo\nthree\n", 8, b"one\ntwo\n"),
        (b"one\ntwo\nthree\n", 7, b"one\n"),
        (b"one\ntwo\nthree\n", 3, b""),
        (b"one\n" + b"x" * 20 + b"\n", 99, b"one\n" + b"x" * 20 + b"\n"),
    ],
)
def test_complete_lines_within_some_bytes_can_be_looked_at(
    fed: bytes, max_bytes: int, lines: bytes
) -> None:
    decoder = LineDecoder(LIMIT)
    decoder.feed_data(fed)
    assert decoder.peek_lines(max_bytes) == decoder.peek_lines(max_bytes) == lines


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=8), limit=st.integers(-9, 9))
@example(sizes=[4, 5, 4], limit=5)
@example(sizes=[4, 5, 6], limit=5)
@example(sizes=[1, 0, 1], limit=-1)
@example(sizes=[1, 0, 1], limit=-2)
@example(sizes=[1], limit=0)
@examples(50, 300)
def test_longer_line_is_found_in_any_place(sizes: list[int], limit: int) -> None:
    lines = b"".join(b"x" * size + b"\n" for size in sizes)
    assert has_longer_line(lines, limit) == (max(sizes) > limit)


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
@example(steps=[(b"\nx\r\n", 9, 0)], limit=0)
@example(steps=[(b"one\ntw", 0, 0), (b"o\n" + b"x" * 6, 0, 0), (b"\nthree", 1, 0)], limit=5)
@example(steps=[(b"one\ntwo\nthr", 0, 99), (b"ee\r\n" + b"x" * 9 + b"\nfour", 0, 99)], limit=5)
# Until its end comes, the rest of a refused line is skipped, not looked at.
@example(steps=[(b"x" * 9, 1, 9), (b"x\nnext\nlast\n", 0, 99), (b"", 1, 99)], limit=7)
@examples(40, 600)
def test_neither_the_cuts_nor_the_moments_of_taking_matter(
    steps: list[tuple[bytes, int, int]], limit: int
) -> None:
    decoder = LineDecoder(limit)
    outcomes: list[Line] = []
    for piece, count, block_bytes in steps:
        decoder.feed_data(piece)
        outcomes += take(decoder, count)
        block = decoder.peek_lines(block_bytes)
        decoder.drop(len(block))
        outcomes += lines_of(block, limit)
    stream = b"".join(piece for piece, *_ in steps)
    assert [*outcomes, *take(decoder, len(stream) + 1)] == lines_of(stream, limit)
