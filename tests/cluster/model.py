"""What a log comes to, told in the obvious way: the oracle of the simulation.

It reads all of a log from its first entry on, with nothing left out, and shares nothing with
cluster.replica but the words of the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cluster.records import (
    DeadRecord,
    EnterRecord,
    JoinRecord,
    LeaveRecord,
    LinesRecord,
    PrivateRecord,
    parse_records,
)
from cluster.replica import Entry


class Outcome(NamedTuple):
    """Who is alive (node -> incarnation), the members (name, node) and the lines, in order; of
    these, those that were said to all."""

    alive: dict[str, int]
    members: list[tuple[str, str]]
    lines: list[bytes]
    said: list[bytes]


def outcome_of(log: Iterable[Entry]) -> Outcome:
    """What every node that has read this log has to agree on."""
    alive: dict[str, int] = {}
    highest: dict[str, int] = {}
    expected: dict[str, int] = {}
    members: list[tuple[str, str]] = []
    lines: list[bytes] = []
    all_said: list[bytes] = []

    def bury(node: str) -> None:
        del alive[node]
        members[:] = [member for member in members if member[1] != node]

    for entry in log:
        node, incarnation = entry.author
        for number, record in enumerate(parse_records(entry.records)):
            if number == 0 and isinstance(record, EnterRecord):
                if incarnation <= highest.get(node, 0):
                    break
                if node in alive:
                    bury(node)
                highest[node] = alive[node] = incarnation
                expected[node] = 1
                continue
            if alive.get(node) != incarnation:
                break
            if number == 0 and entry.sequence != expected[node]:
                break
            expected[node] = entry.sequence + 1
            match record:
                case JoinRecord(name):
                    if name.lower() not in [other.lower() for other, _ in members]:
                        members.append((name, node))
                case LeaveRecord(name):
                    members[:] = [member for member in members if member != (name, node)]
                case DeadRecord(author):
                    if alive.get(author.node) == author.incarnation:
                        bury(author.node)
                case LinesRecord(said):
                    lines += said.splitlines(keepends=True)
                    all_said += said.splitlines(keepends=True)
                case PrivateRecord(_, _, line):
                    lines.append(line)
    return Outcome(alive, members, lines, all_said)
