"""The words of the log: records parsed and formatted.

In: bytes. Out: records, plain values, and the reverse. Raised: RecordError, for bytes that are no
records; nothing else comes out, whatever goes in. What is parsed has one spelling: it formats to
the bytes that it was parsed from.

A record is a letter, its words, a line feed; where the last word is a length, so many bytes follow:

    U<token>                 I enter: everything older under my name is over
    J<name>  L<name>         this member of mine joins, leaves
    T<length>                lines that were said, as all read them
    M<from> <to> <length>    a line for one member
    Q<name>                  this member asked who is there, which every console shows
    D<node>.<incarnation>    that node is dead
    S<id> <length>           the state of the room behind the entry with that id
    K<verb> <length>         an order of the operator, for every node

An entry of the log is the records of one turn of one node. It names its author, a node and its
incarnation, and has a sequence that begins at 0 with each incarnation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

from codec import ProtocolError
from codec.handshake import check_username

MAX_ENTRY_BYTES: Annotated[
    int,
    "Most bytes of records that a node puts into one entry: as much as a page holds, so that no "
    "other node has more to send for it than for a turn of its own.",
] = 256 * 1024

MAX_NODE_CHARACTERS: Annotated[
    int,
    "Longest name of a node: a host name of 253 and a port.",
] = 260

_NODE = re.compile(r"[A-Za-z0-9_.:\[\]-]+")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_TOKEN = re.compile(r"[0-9a-f]{1,32}")
_ID = re.compile(r"(?:0|[1-9][0-9]{0,19})-(?:0|[1-9][0-9]{0,19})")
_SAID = re.compile(rb"\+([0-9]+) ([0-9]+)\n")
_VERB = re.compile(r"[a-z]{1,16}")


class RecordError(ValueError):
    """These bytes are no records."""


class Author(NamedTuple):
    """A node from one `U` to the next: who wrote an entry."""

    node: str
    incarnation: int

    def __str__(self) -> str:
        return f"{self.node}.{self.incarnation}"


class EnterRecord(NamedTuple):
    """`token` tells this process from another of the same name."""

    token: str


class JoinRecord(NamedTuple):
    name: str


class LeaveRecord(NamedTuple):
    name: str


class LinesRecord(NamedTuple):
    """Lines, each ended by LF, at least one."""

    lines: bytes


class PrivateRecord(NamedTuple):
    """`line` is what the addressee reads, ended by LF."""

    origin: str
    to: str
    line: bytes


class ListRecord(NamedTuple):
    name: str


class DeadRecord(NamedTuple):
    author: Author


class SnapshotRecord(NamedTuple):
    """`state` is a formatted State: all that entries up to the one with the id `upto` come to."""

    upto: str
    state: bytes


class OrderRecord(NamedTuple):
    """What the operator said on one node, for every node."""

    verb: str
    text: bytes


Record = (
    EnterRecord
    | JoinRecord
    | LeaveRecord
    | LinesRecord
    | PrivateRecord
    | ListRecord
    | DeadRecord
    | SnapshotRecord
    | OrderRecord
)


class NodeState(NamedTuple):
    """The highest incarnation of a node, and the sequence of its next entry. If it is dead, `token`
    is "", and `expected` tells which of its entries counted before its end."""

    node: str
    incarnation: int
    token: str
    expected: int


class Said(NamedTuple):
    """Lines of one record, and the minute of their entry by the engine's clock, from 1970 on."""

    minute: int
    lines: bytes


class State(NamedTuple):
    """All that a log comes to: its nodes, (username, node) of its members in join order, and what
    was said last."""

    nodes: tuple[NodeState, ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    history: tuple[Said, ...] = ()


# Format.


def format_record(record: Record) -> bytes:
    """The bytes of one record."""
    match record:
        case EnterRecord(token):
            return b"U%s\n" % token.encode()
        case JoinRecord(name):
            return b"J%s\n" % name.encode()
        case LeaveRecord(name):
            return b"L%s\n" % name.encode()
        case LinesRecord(lines):
            return b"T%d\n" % len(lines) + lines
        case PrivateRecord(origin, to, line):
            return b"M%s %s %d\n%s" % (origin.encode(), to.encode(), len(line), line)
        case ListRecord(name):
            return b"Q%s\n" % name.encode()
        case DeadRecord(author):
            return b"D%s\n" % str(author).encode()
        case SnapshotRecord(upto, state):
            return b"S%s %d\n%s" % (upto.encode(), len(state), state)
    return b"K%s %d\n%s" % (record.verb.encode(), len(record.text), record.text)


def format_state(state: State) -> bytes:
    """The body of a snapshot."""
    nodes = (
        f"{node} {incarnation} {token or '-'} {expected}\n"
        for node, incarnation, token, expected in state.nodes
    )
    members = (f"{name} {node}\n" for name, node in state.members)
    history = (b"+%d %d\n%s" % (minute, len(lines), lines) for minute, lines in state.history)
    return b"".join(["".join([*nodes, *members]).encode(), *history])


# Parse.


def parse_records(data: bytes) -> list[Record]:
    """All records of an entry, in order. Raises RecordError."""
    records: list[Record] = []
    position = 0
    while position < len(data):
        end = data.find(b"\n", position)
        if end < 0:
            raise RecordError("a record without an end")
        letter, words = _decode(data[position : position + 1]), _decode(data[position + 1 : end])
        position = end + 1
        if parse := _WITH_BODY.get(letter):
            rest, space, length = words.rpartition(" ")
            if bool(space) != (letter != "T"):
                raise RecordError("lines have a length alone, all others more")
            start, position = position, position + _number(length)
            if position > len(data):
                raise RecordError("a record is cut short")
            records.append(parse(rest, data[start:position]))
        elif parse_words := _WITHOUT_BODY.get(letter):
            records.append(parse_words(words))
        else:
            raise RecordError(f"no record begins with {letter!r}")
    return records


def parse_author(text: str) -> Author:
    """The author of an entry, `<node>.<incarnation>`, which is 1 or more. Raises RecordError."""
    node, _, incarnation = text.rpartition(".")
    if (number := _number(incarnation)) == 0:
        raise RecordError("an incarnation of 0")
    return Author(check_node(node), number)


def parse_sequence(text: str) -> int:
    """The sequence of an entry. Raises RecordError."""
    return _number(text)


def check_node(name: str) -> str:
    """`name`, if a node may be called so. Raises RecordError."""
    if not _NODE.fullmatch(name) or len(name) > MAX_NODE_CHARACTERS:
        raise RecordError(f"not a name of a node: {name[:MAX_NODE_CHARACTERS]!r}")
    return name


def parse_state(data: bytes) -> State:
    """What `format_state` made. Raises RecordError, also where a member's node is not alive."""
    start = 0 if data[:1] == b"+" else data.find(b"\n+") + 1 or len(data)
    *lines, rest = _decode(data[:start]).split("\n")
    if rest:
        raise RecordError("a state that is cut short")
    count = sum(line.count(" ") == 3 for line in lines)
    nodes = tuple(map(_parse_node, lines[:count]))
    alive = {node.node for node in nodes if node.token}
    members = tuple(_parse_member(line, alive) for line in lines[count:])
    if len({node.node for node in nodes}) < len(nodes):
        raise RecordError("a node that stands twice in a state")
    if len({name.lower() for name, _ in members}) < len(members):
        raise RecordError("a member that stands twice in a state")
    return State(nodes, members, tuple(_parse_history(data, start)))


def _parse_history(data: bytes, position: int) -> Iterator[Said]:
    while position < len(data):
        header = _SAID.match(data, position)
        if not header:
            raise RecordError("not what was said, and when")
        minute, length = (_number(_decode(word)) for word in header.groups())
        position = header.end() + length
        if position > len(data):
            raise RecordError("what was said is cut short")
        yield Said(minute, _lines(data[header.end() : position]))


def _parse_node(line: str) -> NodeState:
    node, incarnation, token, expected = _words(line, 4)
    author = parse_author(f"{node}.{incarnation}")
    is_dead = token == "-"  # noqa: S105  no password
    return NodeState(*author, "" if is_dead else _match(_TOKEN, token), _number(expected))


def _parse_member(line: str, alive: set[str]) -> tuple[str, str]:
    name, node = _words(line, 2)
    if node not in alive:
        raise RecordError("a member of a node that is not there")
    return _name(name), node


def _parse_private(words: str, body: bytes) -> PrivateRecord:
    origin, to = _words(words, 2)
    return PrivateRecord(_name(origin), _name(to), _lines(body))


def _parse_snapshot(words: str, body: bytes) -> SnapshotRecord:
    parse_state(body)
    return SnapshotRecord(_match(_ID, words), body)


def _parse_lines(words: str, body: bytes) -> LinesRecord:
    return LinesRecord(_lines(body))


_WITH_BODY: dict[str, Callable[[str, bytes], Record]] = {
    "T": _parse_lines,
    "M": _parse_private,
    "S": _parse_snapshot,
    "K": lambda words, body: OrderRecord(_match(_VERB, words), body),
}

_WITHOUT_BODY: dict[str, Callable[[str], Record]] = {
    "U": lambda words: EnterRecord(_match(_TOKEN, words)),
    "J": lambda words: JoinRecord(_name(words)),
    "L": lambda words: LeaveRecord(_name(words)),
    "Q": lambda words: ListRecord(_name(words)),
    "D": lambda words: DeadRecord(parse_author(words)),
}


def _decode(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise RecordError("the words of a record are ASCII") from error


def _words(text: str, count: int) -> Iterator[str]:
    words = text.split(" ")
    if len(words) != count:
        raise RecordError(f"{len(words)} words where {count} belong")
    return iter(words)


def _match(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise RecordError(f"a word that is not understood: {text[:40]!r}")
    return text


def _number(text: str) -> int:
    return int(_match(_NUMBER, text))


def _name(text: str) -> str:
    try:
        check_username(text)
    except ProtocolError as error:
        raise RecordError(str(error)) from error
    return text


def _lines(body: bytes) -> bytes:
    if body[-1:] != b"\n":
        raise RecordError("lines without an end")
    return body
