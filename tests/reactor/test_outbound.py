"""A Buffer gives back the bytes it was given, in order, however they are taken out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reactor import Buffer
from reactor.outbound import MAX_PIECES
from tests.support.faults import fault


def taken(buffer: Buffer, sizes: list[int]) -> bytes:
    """All of `buffer`, sent in portions of `sizes` bytes where there are so many, then whole."""
    out = bytearray()
    portions = iter(sizes)
    while pieces := buffer.pieces():
        front = b"".join(pieces)
        sent_bytes = min(next(portions, len(front)), len(front))
        out += front[:sent_bytes]
        buffer.advance(sent_bytes)
    return bytes(out)


@fault(30)
@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=8)), st.lists(st.integers(0, 20)))
def test_however_sends_cut_them_the_bytes_come_out_as_they_went_in(
    writes: list[bytes], sizes: list[int]
) -> None:
    buffer = Buffer()
    for data in writes:
        buffer.append(data)
    assert buffer.owed_bytes == sum(map(len, writes))
    assert taken(buffer, sizes) == b"".join(writes)
    assert buffer.owed_bytes == 0


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 12))))
def test_what_is_owed_is_what_was_written_less_what_was_taken(
    steps: list[tuple[bytes, int]],
) -> None:
    buffer = Buffer()
    model = b""
    for data, most in steps:
        buffer.append(data)
        model += data
        sent_bytes = min(most, len(model))
        buffer.advance(sent_bytes)
        model = model[sent_bytes:]
        assert buffer.owed_bytes == len(model)
        assert b"".join(buffer.pieces()) == model


def test_looking_takes_nothing_out() -> None:
    buffer = Buffer()
    buffer.append(b"word")
    assert buffer.pieces() == buffer.pieces() == [b"word"]
    assert buffer.owed_bytes == 4


def test_no_piece_is_empty() -> None:
    buffer = Buffer()
    for data in (b"", b"a", b"", b"b", b""):
        buffer.append(data)
    assert buffer.pieces() == [b"a", b"b"]
    buffer.advance(1)
    assert buffer.pieces() == [b"b"]
    buffer.advance(1)
    assert buffer.pieces() == []


def test_no_more_pieces_are_given_than_one_call_takes() -> None:
    buffer = Buffer()
    for _ in range(MAX_PIECES + 1):
        buffer.append(b"x")
    assert len(buffer.pieces()) == MAX_PIECES
    assert buffer.owed_bytes == MAX_PIECES + 1
    buffer.advance(MAX_PIECES)
    assert buffer.pieces() == [b"x"]


def test_a_piece_that_was_sent_in_part_goes_on_at_the_next_byte_without_a_copy() -> None:
    data = bytes(range(200))
    buffer = Buffer()
    buffer.append(data)
    buffer.advance(123)
    [rest] = buffer.pieces()
    assert isinstance(rest, memoryview)
    assert rest.obj is data
    assert rest == data[123:]


def test_what_is_discarded_is_forgotten_and_so_is_all_that_comes_later() -> None:
    buffer = Buffer()
    buffer.append(b"before")
    buffer.discard()
    buffer.append(b"after")
    assert buffer.pieces() == []
    assert buffer.owed_bytes == 0


def test_a_send_of_nothing_changes_nothing_even_when_nothing_is_left() -> None:
    buffer = Buffer()
    buffer.advance(0)
    buffer.append(b"x")
    buffer.discard()
    buffer.advance(0)  # a failed send discards first and then tells that it sent nothing
    assert buffer.owed_bytes == 0
