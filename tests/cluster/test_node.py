"""One node: what the simulation does not come to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.node import Node
from cluster.outputs import Applied, Delete, Heard, Item, Lost, Minute, Output, Past, Superseded
from cluster.participant import ENTERING, IN, OVER
from cluster.queue import Append
from cluster.records import (
    Author,
    LinesRecord,
    OrderRecord,
    Record,
    Said,
    SnapshotRecord,
    format_record,
    format_state,
    parse_records,
)
from cluster.replica import Entry, Replica
from cluster.snapshots import Trimming, may_be_late
from tests.support.size import examples


def entry_of(append: Append | None, number: int) -> Entry:
    assert append
    return Entry(f"{number}-0", *append[:3])


def entered(name: str = "a") -> Node:
    """A node that has founded a log."""
    node = Node(name, "0")
    node.take([], is_end=True)
    node.take([entry_of(node.next_append(), 1)])
    assert node.phase is IN
    return node


def test_gap_tells_of_the_loss_and_buries_its_author() -> None:
    node = entered()
    author = Author("b", 1)
    node.take([Entry("2-0", author, 0, b"U1\n")])
    assert node.check
    assert node.check[:3] == ("1-0", Author("a", 1), 0)
    node.note_checked(is_there=True)
    assert node.take([Entry("3-0", author, 2, b"JBob\n")]) == [Lost()]
    assert node.take([Entry("4-0", author, 3, b"T2\nx\n")]) == []
    append = node.next_append()
    assert append
    assert append.records == b"Db.1\n"
    node.take([entry_of(append, 5)])
    assert [*node.replica.seats] == ["a"]


def test_entry_of_a_later_version_keeps_its_place() -> None:
    node = entered()
    node.take([Entry("2-0", Author("b", 1), 0, b"U1\n")])
    node.note_checked(is_there=True)
    say = format_record(OrderRecord("say", b"x"))
    rest = [Entry("3-0", Author("b", 1), 1, b"Z1\n"), Entry("4-0", Author("b", 1), 2, say)]
    assert node.take(rest) == [Heard(OrderRecord("say", b"x"))]


def test_notice_waits_for_what_stands_before_it() -> None:
    node = entered()
    notice, line = Item(None), Item(LinesRecord(b"x\n"))
    assert node.submit(notice) == [Applied(notice)]
    node.submit(line)
    append = node.next_append()
    assert node.submit(notice) == []
    assert node.take([entry_of(append, 2)]) == [Applied(line), Applied(notice)]


def test_node_that_is_over_asks_for_nothing() -> None:
    node = entered()
    node.leave()
    node.take([entry_of(node.next_append(), 2)])
    assert node.phase is OVER
    assert node.submit(Item(LinesRecord(b"x\n"))) == node.note_lost() == []
    assert (node.next_append(), node.predecessor) == (None, None)


def test_own_u_needs_no_question() -> None:
    node = entered()
    node.note_lost()
    node.take([Entry("1-0", Author("a", 1), 0, b"U0\n")], is_end=True)
    assert node.phase is ENTERING
    node.take([entry_of(node.next_append(), 2)])
    assert (node.phase, node.check, node.author) == (IN, None, Author("a", 2))


def test_u_of_another_process_of_our_name_needs_a_question() -> None:
    node = entered()
    node.note_lost()
    node.take([Entry("1-0", Author("a", 1), 0, b"U0\n")], is_end=True)
    node.take([Entry("2-0", node.author, 0, b"U9\n")])
    assert node.check


def test_process_that_was_superseded_does_not_come_back() -> None:
    """The newer one entered in the part of the log that a snapshot stands for."""
    node, newer = entered(), Author("a", 2)
    other = Replica()
    log = [Entry("1-0", newer, 0, b"U9\n")]
    other.apply(log[0], parse_records(log[0].records))
    snapshot = format_record(SnapshotRecord("1-0", format_state(other.state)))
    node.note_lost()
    output = node.take([*log, Entry("2-0", newer, 1, snapshot)], is_end=True)
    assert output[-1] == Superseded()
    assert node.phase is OVER


def test_line_that_counted_before_a_burial_is_not_said_again() -> None:
    """Entry, burial and all are in the part of the log that a snapshot stands for."""
    node = entered()
    line = Item(LinesRecord(b"x\n"))
    node.submit(line)
    other = Replica()
    b = Author("b", 1)
    log = [
        Entry("1-0", node.author, 0, b"U0\n"),
        entry_of(node.next_append(), 2),
        Entry("3-0", b, 0, b"U1\n"),
        Entry("4-0", b, 1, b"Da.1\n"),
    ]
    for entry in log:
        other.apply(entry, parse_records(entry.records))
    snapshot = format_record(SnapshotRecord("4-0", format_state(other.state)))
    assert node.note_lost() == [Lost()]
    past = Past((Said(0, b"x\n"),))  # told twice: the line stands there already
    output = node.take([log[-1], Entry("5-0", b, 2, snapshot)], is_end=True)
    assert output == [past, Applied(line), past]
    assert (node.phase, node.author) == (ENTERING, Author("a", 2))
    node.take([entry_of(node.next_append(), 6)])
    assert node.is_quiet


def test_line_that_was_read_before_is_not_shown_again() -> None:
    node, b = entered(), Author("b", 1)
    log = [
        Entry("1-0", node.author, 0, b"U0\n"),
        Entry("2-0", b, 0, b"U1\n"),
        Entry("3-0", b, 1, b"T2\nx\n"),
    ]
    node.take(log[1:])
    assert node.note_checked(is_there=True) == [Heard(LinesRecord(b"x\n"))]
    node.note_lost()
    assert node.take(log, is_end=True) == []


def test_lines_are_shown_in_the_minute_of_their_entry() -> None:
    node, b = entered(), Author("b", 1)
    said = [
        Entry(f"{60_000 * minute}-{at}", b, at, b"T2\nx\n")
        for at, minute in ((1, 2), (2, 2), (3, 3))
    ]
    node.take([Entry("2-0", b, 0, b"U1\n")])
    node.note_checked(is_there=True)
    heard = Heard(LinesRecord(b"x\n"))
    assert node.take(said) == [Minute(2), heard, heard, Minute(3), heard]
    assert [said.minute for said in node.replica.history] == [2, 2, 3]


def test_log_is_trimmed_behind_the_snapshot_before() -> None:
    node = Node("a", "0", snapshot_bytes=1)
    node.take([], is_end=True)
    output: list[Output] = []
    for number in range(1, 7):  # U, then snapshots and lines in turn
        if number in (3, 5):
            node.submit(Item(LinesRecord(b"x\n")))
        output += node.take([entry_of(node.next_append(), number)])
    assert output[-1] == Delete(("1-0", "2-0"))


@examples(100, 1000)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=60))
def test_reader_whose_place_was_deleted_finds_that_it_is_late(
    log: list[tuple[bool, int]],
) -> None:
    """Also when snapshots follow each other closely. Each is of what comes before it."""
    trimming = Trimming(snapshot_bytes=1000)
    entries: dict[str, Entry] = {}
    for number, (is_snapshot, size) in enumerate(log):
        entry = Entry(f"{number}-0", Author("a", 1), number, b"x" * size)
        entries[entry.id] = entry
        trimming.add(entry)
        snapshot = SnapshotRecord(f"{number - 1}-0", b"")
        records: list[Record] = [snapshot] if is_snapshot else []
        for delete in trimming.note_counted(records, True, True):
            assert isinstance(delete, Delete)
            for id in delete.ids:
                del entries[id]
            assert may_be_late([*entries.values()], True, 1000)


def test_nothing_counts_behind_the_end_of_its_author() -> None:
    replica, a = Replica(), Author("a", 1)
    for number, data in enumerate((b"U0\n", b"Da.1\nJBob\n")):
        replica.apply(Entry("1-0", a, number, data), parse_records(data))
    assert replica.members == {}


def test_incarnation_rises_though_the_log_has_forgotten_it() -> None:
    node = entered()
    node.note_lost()
    node.take([], is_end=True)
    assert node.author == Author("a", 2)
