"""Records: what is formatted parses back, and garbage is a RecordError."""

from __future__ import annotations

import pytest

from cluster.records import (
    Author,
    DeadRecord,
    EnterRecord,
    JoinRecord,
    LeaveRecord,
    LinesRecord,
    ListRecord,
    NodeState,
    OrderRecord,
    PrivateRecord,
    Record,
    RecordError,
    Said,
    SnapshotRecord,
    State,
    format_record,
    format_state,
    parse_author,
    parse_records,
    parse_sequence,
    parse_state,
)

STATE = State(
    (NodeState("host:65432", 3, "0af", 7), NodeState("b", 12, "", 0)),
    (("Ann", "host:65432"),),
    (Said(0, b"\xc3\xa9\n+\n"), Said(29_000_000, b"x\n")),
)

STATE_BYTES = b"""host:65432 3 0af 7
b 12 - 0
Ann host:65432
+0 5
\xc3\xa9
+
+29000000 2
x
"""

RECORDS: dict[bytes, Record] = {
    b"U0af\n": EnterRecord("0af"),
    b"JAnn\n": JoinRecord("Ann"),
    b"LAnn\n": LeaveRecord("Ann"),
    b"T8\nAnn: hi\n": LinesRecord(b"Ann: hi\n"),
    b"MAnn Bob 2\nx\n": PrivateRecord("Ann", "Bob", b"x\n"),
    b"QAnn\n": ListRecord("Ann"),
    b"Dhost:65432.3\n": DeadRecord(Author("host:65432", 3)),
    b"S17-0 67\n" + STATE_BYTES: SnapshotRecord("17-0", format_state(STATE)),
    b"Kkick 3\nAnn": OrderRecord("kick", b"Ann"),
}


def test_record_has_one_spelling_alone_and_in_a_row() -> None:
    for data, record in RECORDS.items():
        assert format_record(record) == data
        assert parse_records(data) == [record]
    assert parse_records(b"".join(RECORDS)) == [*RECORDS.values()]
    assert parse_records(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        *(b"U0af", b"\n", b"X1\n", b"U\n", b"UXYZ\n", b"J\n", b"JA n\n", b"Jtoolongname\n"),
        *(
            b"J\xc3\xa9\n",
            b"T\n",
            b"T-1\n",
            b"T1\nx",
            b"T3\nx\n",
            b"T02\nx\n",
            b"T 2\nx\n",
            b"T0\n",
        ),
        *(b"MAnn 2\nx\n", b"MAnn B,b 2\nx\n", b"D3\n", b"Da.0\n", b"Da b.1\n", b"D.1\n"),
        *(b"Sx 0\n", b"S1-0 3\nb 1", b"KKick 0\n", b"Kkick 1\n", b"Da.99999999999999999999\n"),
    ],
)
def test_what_is_no_record_is_an_error(data: bytes) -> None:
    with pytest.raises(RecordError):
        parse_records(data)


def test_author_and_sequence_are_parsed() -> None:
    assert parse_author("[::1]:65432.12") == Author("[::1]:65432", 12)
    assert parse_sequence("0") == 0
    with pytest.raises(RecordError):
        parse_sequence("-1")


@pytest.mark.parametrize(
    "data",
    [
        *(b"b 1 - 0", b"b 1 - x\n", b"b 1 - 0\nb 2 - 0\n", b"Ann b\n", b"b 1 - 0\nAnn b\n"),
        *(b"+1 2\nx", b"+1 3\nx\n", b"+1 1\nx", b"+01 2\nx\n", b"+1\nx\n", b"+1 2\nx\nb 1 - 0\n"),
        *(b"b 1 a 1\nAnn b\nann b\n", b"b 1 a 1\nAnn\n", b"b 1 a 1\nAnn b\nc 1 - 0\n"),
    ],
)
def test_state_that_cannot_be_is_an_error(data: bytes) -> None:
    with pytest.raises(RecordError):
        parse_state(data)
    for state in (STATE, STATE._replace(history=()), State(history=STATE.history), State()):
        assert parse_state(format_state(state)) == state
