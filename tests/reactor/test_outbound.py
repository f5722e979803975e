"""A Buffer gives back the bytes it was given, in order, however they are taken out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reactor import Buffer
from reactor.outbound import MAX_PIECES
from tests.support.faults import fault
from tests.support.size import examples


@fault(30)
@examples(60, 1000)
@given(st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 12))))
def test_buffer_owes_what_was_written_less_what_was_taken(steps: list[tuple[bytes, int]]) -> None:
    buffer = Buffer()
    model = b""
    for data, most in steps:
        buffer.append(data)
        model += data
        sent_bytes = min(most, len(model))
        buffer.advance(sent_bytes)
        model = model[sent_bytes:]
        assert buffer.owed_bytes == len(model)
        assert all(buffer.pieces())
        assert b"".join(buffer.pieces()) == model


def test_buffer_gives_no_more_pieces_than_one_call_takes() -> None:
    buffer = Buffer()
    for _ in range(MAX_PIECES + 1):
        buffer.append(b"x")
    assert len(buffer.pieces()) == MAX_PIECES
    assert buffer.owed_bytes == MAX_PIECES + 1
    buffer.advance(MAX_PIECES)
    assert buffer.pieces() == [b"x"]


def test_piece_sent_in_part_goes_on_without_a_copy() -> None:
    data = bytes(range(200))
    buffer = Buffer()
    buffer.append(data)
    buffer.advance(123)
    [rest] = buffer.pieces()
    assert isinstance(rest, memoryview)
    assert rest.obj is data
    assert rest == data[123:]


def test_discarded_buffer_forgets_all_that_comes() -> None:
    buffer = Buffer()
    buffer.append(b"before")
    buffer.discard()
    buffer.advance(0)  # a failed send discards first and then tells that it sent nothing
    buffer.append(b"after")
    assert buffer.pieces() == []
    assert buffer.owed_bytes == 0
