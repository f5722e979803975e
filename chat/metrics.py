"""How the room does, as numbers in the text format of Prometheus (version 0.0.4).

In: the room's events, and how long each turn of the loop took. Out: `format`, all of it, with what
the room and the journal count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from chat.journal import Journal
from chat.room import Room
from codec import Event, Kind

TURN_SECONDS = (0.0001, 0.001, 0.005, 0.02, 0.05, 0.1, 0.5, 1.0)
"""Upper bounds of the buckets of turns."""

_Samples = Iterable[tuple[str, float]]


class Metrics:
    """Counts from when it was made on."""

    def __init__(self, room: Room, journal: Journal) -> None:
        self._room = room
        self._journal = journal
        self._lines = dict.fromkeys(Kind, 0)
        self._said_bytes = 0
        self._turns = [0] * (len(TURN_SECONDS) + 1)
        self._turn_seconds = 0.0

    def apply(self, event: Event) -> None:
        """For the bus."""
        if event.kind is Kind.SAID:
            self._lines[Kind.SAID] += event.room.count(b"\n")
            self._said_bytes += len(event.room)
        else:
            self._lines[event.kind] += 1

    def note_turn(self, seconds: float) -> None:
        """For the loop."""
        self._turns[bisect_left(TURN_SECONDS, seconds)] += 1
        self._turn_seconds += seconds

    def format(self) -> str:
        """Lines, each ended by LF."""
        return "".join(self._families())

    def _families(self) -> Iterator[str]:
        room, counts = self._room, self._journal.counts
        owed = [cursor.owed_bytes for cursor in room.fanout.laggards]
        yield _family("members", "gauge", "Members in the room.", [("", len(room.members))])
        yield _family(
            "guests", "gauge", "Connections that have not joined.", [("", room.gate.guests)]
        )
        yield _family(
            "lines_total",
            "counter",
            "Lines that were said, private ones, and news, by kind.",
            [(_label("kind", kind.value), number) for kind, number in self._lines.items()],
        )
        yield _family(
            "said_bytes_total", "counter", "Bytes that were said to all.", [("", self._said_bytes)]
        )
        for name, event, text in (
            ("cuts_total", "cut", "Members that were cut, by reason."),
            ("refusals_total", "refused", "Guests that were not let in, by reason."),
            ("gone_total", "gone", "Guests and members that went, by way."),
        ):
            of_event = sorted(item for item in counts.items() if item[0][0] == event)
            samples = [(_label("kind", kind), number) for (_, kind), number in of_event]
            yield _family(name, "counter", text, samples)
        yield _family("backlog_bytes", "gauge", "Bytes unsent to all members.", [("", sum(owed))])
        yield _family(
            "backlog_max_bytes",
            "gauge",
            "Bytes unsent to one, at most.",
            [("", max(owed, default=0))],
        )
        yield self._histogram()

    def _histogram(self) -> str:
        """Each bucket holds those below it too."""
        samples: list[tuple[str, float]] = []
        total = 0
        for bound, number in zip((*map(str, TURN_SECONDS), "+Inf"), self._turns, strict=True):
            total += number
            samples.append((f"_bucket{_label('le', bound)}", total))
        samples += [("_sum", self._turn_seconds), ("_count", total)]
        return _family(
            "turn_seconds", "histogram", "How long the loop worked in one turn.", samples
        )


def _family(name: str, kind: str, text: str, samples: _Samples) -> str:
    head = f"# HELP chatroom_{name} {text}\n# TYPE chatroom_{name} {kind}\n"
    return head + "".join(f"chatroom_{name}{suffix} {value}\n" for suffix, value in samples)


def _label(name: str, value: str) -> str:
    """Neither our kinds nor our reasons have a quote, a backslash or a line end."""
    return f'{{{name}="{value}"}}'
