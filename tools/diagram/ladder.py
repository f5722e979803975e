"""A trace as a ladder: columns for the ends, bands for the turns, a row for each thing to see.

In: the text of a trace (tracing.recorder lists its events). Out: a Ladder, which says what stands
where and knows no pixel. Turns that are alike are folded into one band; of a long trace the middle
is left out, and the picture says how much. Raises ValueError for what is no trace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

Event = dict[str, Any]

MAX_ROWS = 54
"""Rows of a picture that is still looked at."""

MAX_COLUMNS = 6
"""Columns beside the middle one; later ones share the last."""

FLOOD_BYTES = 8 * 1024
"""Turns in a row that each move so much, with nothing else to be seen, are drawn as one."""

MOVES = ("recv", "send")

_SEGMENT = {"peer": int, "bytes": int, "data": str, "lines": int, "rest": int}

FIELDS: dict[str, dict[str, type]] = {
    "begin": {"program": str, "middle": str},
    "turn": {"turn": int},
    "open": {"peer": int, "side": str},
    "recv": _SEGMENT,
    "send": _SEGMENT | {"of": int},
    "fin": {"peer": int, "by": str},
    "close": {"peer": int, "how": str},
    "lost": {"peer": int, "call": str, "error": str},
    "state": {
        "peer": int,
        "who": str,
        "reading": bool,
        "sending": str,
        "waiting": bool,
        "owed": int,
    },
    "deliver": {"lines": int, "text": str, "to": str},
    "watch": {"name": str, "value": int},
    "timer": {"call": str},
    "log": {"text": str},
    "bug": {"error": str},
    "left out": {"events": int},
}
"""Of each event that is drawn, what is looked at."""

_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Column:
    """One end: a client, or a server behind a relay. `hue`: two of one number belong together."""

    title: str
    side: str
    hue: int
    peers: list[int] = field(default_factory=list)


@dataclass
class Row:
    """One thing to see. `kind`: recv, send, fin, reset (arrows), or note. `column`: whose, or None
    for the middle. `count`: lines that a segment ends; `cut_from`: the row in which the line began
    that this segment ends, if TCP has cut it."""

    kind: str
    column: int | None
    text: str
    tone: str = ""  # "bad", "good" or "data"
    by_peer: bool = False  # an arrow to the middle
    detail: str = ""
    size: int = 0
    count: int = 0
    pieces: int = 1
    cut_from: Row | None = None


@dataclass
class Band:
    """A turn, or several that are alike."""

    title: str
    seconds: float | None
    rows: list[Row] = field(default_factory=list)


@dataclass
class Ladder:
    """`first` and `last`: the rows in which a column's connection opens and closes."""

    title: str
    middle: str
    columns: list[Column]
    bands: list[Band]
    footnotes: list[str]


def read_events(text: str) -> list[Event]:
    """The events of a trace. A last line that has no end is left out: its writer was killed. Raises
    ValueError with the number of a line that is none."""
    events = []
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            event = json.loads(line, parse_constant=_refuse)
            fields: dict[str, type] = {"t": float, "event": str}
            fields |= FIELDS.get(event["event"], {})
            events.append(
                event | {name: _taken(event[name], kind) for name, kind in fields.items()}
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"line {number} is no event of a trace") from error
    if not events or events[0]["event"] != "begin":
        raise ValueError("no trace: it does not start with `begin`")
    return events


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _taken(value: Any, kind: type) -> Any:
    """`value`, which is of this kind; a text without what XML cannot hold."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise TypeError
    return _NOT_IN_XML.sub("\ufffd", value) if isinstance(value, str) else value


class Builder:
    """Makes the ladder, event by event."""

    def __init__(self, events: list[Event]) -> None:
        self._columns: list[Column] = []
        self._column_of: dict[int, int] = {}
        self._states: dict[int, Event] = {}
        self._unfinished: dict[tuple[int, str], list[Row]] = {}  # segments of a line that goes on
        self._ended: set[int] = set()  # that have sent FIN
        self._seen: dict[tuple[int, str], list[int]] = {}  # segments, and lines in all of them
        self._find_columns(events)
        turns = [self._band(turn) for turn in _turns(events)]
        bands = list(_fold([band for band in turns if band.rows]))
        self.ladder = Ladder(
            f"Trace of {events[0]['program']}",
            events[0]["middle"],
            self._columns,
            list(_shorten(bands)),
            list(self._footnotes()),
        )

    def _find_columns(self, events: list[Event]) -> None:
        names = {e["peer"]: e["who"][7:] for e in events if _is_member(e)}
        for event in events:
            peer, side = event.get("peer"), event.get("side", "client")
            # In a flood of connections not even each `open` is recorded.
            if event["event"] not in FIELDS or peer is None or peer in self._column_of:
                continue
            number = sum(column.side == side for column in self._columns) + 1
            name = "server" if side == "server" else "client"
            title = names.get(peer) or (f"{name} {number}" if name == "client" else name)
            if len(self._columns) == MAX_COLUMNS:
                self._columns[-1].title = "others"
            else:
                self._columns.append(Column(title, side, number - 1))
            self._columns[-1].peers.append(peer)
            self._column_of[peer] = len(self._columns) - 1
        servers = [column for column in self._columns if column.side == "server"]
        for number, column in enumerate(servers if len(servers) > 1 else [], 1):
            column.title = f"server ({number})"

    def _band(self, events: list[Event]) -> Band:
        turn = events[0]
        is_turn = turn["event"] == "turn"
        band = Band(f"turn {turn['turn']}" if is_turn else "", turn["t"])
        for event in events:
            maker = getattr(self, f"_rows_of_{event['event'].replace(' ', '_')}", None)
            if maker:
                band.rows += maker(event)
        if all(row.kind == "open" for row in band.rows):
            band.rows += [Row("note", row.column, "connects") for row in band.rows]
        band.rows = list(_join_deliveries(band.rows))
        return band

    # Arrows.

    def _rows_of_recv(self, event: Event) -> Iterator[Row]:
        yield self._segment(event, True)

    def _rows_of_send(self, event: Event) -> Iterator[Row]:
        yield self._segment(event, False)

    def _segment(self, event: Event, by_peer: bool) -> Row:
        key = event["peer"], event["event"]
        is_refused = not (by_peer or event["bytes"])
        text = f"none of {event['of']:,} bytes taken" if is_refused else event["data"]
        row = Row(event["event"], self._column_of[event["peer"]], text, by_peer=by_peer)
        row.tone = "data" if event["bytes"] else "bad"
        row.size, row.count = event["bytes"], event["lines"]
        row.detail = f"{event['event']}, {event['bytes']:,} bytes: {event['data']}"
        begun = self._unfinished.get(key, [])
        if event["lines"] and begun and event["bytes"]:
            row.cut_from, row.pieces = begun[0], len(begun) + 1
        if event["lines"]:
            begun = []
        self._unfinished[key] = [*begun, row] if event["rest"] and event["bytes"] else begun
        seen = self._seen.setdefault(key, [0, 0])
        seen[0] += event["bytes"] > 0
        seen[1] += event["lines"]
        return row

    def _rows_of_fin(self, event: Event) -> Iterator[Row]:
        by_peer = event["by"] == "peer"
        if by_peer:
            self._ended.add(event["peer"])
        yield Row("fin", self._column_of[event["peer"]], "FIN", by_peer=by_peer)

    def _rows_of_lost(self, event: Event) -> Iterator[Row]:
        text = f"RST: {event['error']}" if "reset" in event["error"] else event["error"]
        column = self._column_of[event["peer"]]
        yield Row("reset", column, text, "bad", by_peer=True, detail=f"{event['call']} fails")

    def _rows_of_close(self, event: Event) -> Iterator[Row]:
        column = self._column_of[event["peer"]]
        if event["how"] == "reset":
            yield Row("reset", column, "RST", "bad")
        yield Row("end", column, "")

    # Notes.

    def _rows_of_open(self, event: Event) -> Iterator[Row]:
        yield Row("open", self._column_of[event["peer"]], "")

    def _rows_of_state(self, event: Event) -> Iterator[Row]:
        before = self._states.get(event["peer"], {"reading": True, "waiting": False, "who": ""})
        self._states[event["peer"]] = event
        column = self._column_of.get(event["peer"])
        if column is None or event["sending"] == "closed":
            return
        if _is_member(event) and before["who"] != event["who"]:
            yield Row("note", column, f"is {event['who']}", "good")
        if before["reading"] != event["reading"] and event["peer"] not in self._ended:
            yield Row("note", column, "is read again" if event["reading"] else "is not read")
        if before["waiting"] != event["waiting"]:
            text = f"is owed {event['owed']:,} bytes"
            yield Row("note", column, text if event["waiting"] else "has taken all", "bad")

    def _rows_of_deliver(self, event: Event) -> Iterator[Row]:
        text = event["text"].partition("\\n")[0]
        yield Row("note", None, text, "deliver", detail=event["to"], count=event["lines"])

    def _rows_of_watch(self, event: Event) -> Iterator[Row]:
        if event["name"] == "held pages":
            text = "hold: talkers wait for a slow reader" if event["value"] else "the hold is over"
            yield Row("note", None, text, "bad" if event["value"] else "good")

    def _rows_of_timer(self, event: Event) -> Iterator[Row]:
        yield Row("note", None, f"timer: {event['call']}")

    def _rows_of_log(self, event: Event) -> Iterator[Row]:
        yield Row("note", None, event["text"], "bad")

    def _rows_of_bug(self, event: Event) -> Iterator[Row]:
        yield Row("note", None, f"a bug: {event['error']}", "bad")

    def _rows_of_left_out(self, event: Event) -> Iterator[Row]:
        yield Row("note", None, f"{event['events']:,} events were not recorded")

    def _footnotes(self) -> Iterator[str]:
        unframed = [
            self._columns[self._column_of[peer]].title
            for (peer, kind), (segments, lines) in self._seen.items()
            if kind == "recv" and segments > 2 and not lines
        ]
        if unframed:
            names = ", ".join(dict.fromkeys(unframed))
            yield f"No line end in anything from {names}. What tells where a message ends?"


def _is_member(event: Event) -> bool:
    return event["event"] == "state" and bool(event["who"].startswith("member "))


def _turns(events: list[Event]) -> Iterator[list[Event]]:
    turn: list[Event] = []
    for event in events:
        if event["event"] == "turn" and turn:
            yield turn
            turn = []
        turn.append(event)
    yield turn


def _join_deliveries(rows: list[Row]) -> Iterator[Row]:
    """What is delivered in a row, to the same, becomes one row: its first line, and how many."""
    for key, group in groupby(rows, lambda row: row.tone == "deliver" and row.detail):
        if not key:
            yield from group
            continue
        first, *rest = group
        first.count += sum(row.count for row in rest)
        if first.count > 1:
            first.text = f"{first.text[:24]} … {first.count} lines"
        yield first


def _fold(bands: list[Band]) -> Iterator[Band]:
    """A flood becomes one band."""
    for is_flood, group in groupby(bands, _is_flood):
        flood = list(group)
        if not is_flood or len(flood) == 1:
            yield from flood
            continue
        first, last = flood[0], flood[-1]
        band = Band(f"{first.title} to {last.title.removeprefix('turn ')}", first.seconds)
        rows = [row for band in flood for row in band.rows if row.kind in MOVES]
        rows.sort(key=_arrow)
        for (kind, column), alike in groupby(rows, _arrow):
            band.rows.append(_total(kind, column, list(alike)))
        yield band


def _is_flood(band: Band) -> bool:
    is_plain = all(row.tone == "deliver" or (row.kind in MOVES and row.size) for row in band.rows)
    return is_plain and sum(row.size for row in band.rows) >= FLOOD_BYTES


def _arrow(row: Row) -> tuple[str, int]:
    return row.kind, row.column or 0


def _total(kind: str, column: int, rows: list[Row]) -> Row:
    size = sum(row.size for row in rows)
    text = f"{len(rows)} × {kind}: {size:,} bytes"
    return Row(kind, column, text, "data", rows[0].by_peer, text, size)


def _shorten(bands: list[Band]) -> Iterator[Band]:
    """Leave out the middle if there are more than MAX_ROWS."""
    head, tail, rows = 0, len(bands), 0
    while head < tail and rows < MAX_ROWS:
        rows += len(bands[head].rows)
        head += 1
        if head < tail:
            tail -= 1
            rows += len(bands[tail].rows)
    yield from bands[:head]
    if head < tail:
        count = sum(len(band.rows) for band in bands[head:tail])
        text = f"{tail - head:,} turns with {count:,} rows are left out here"
        yield Band("", None, [Row("note", None, text)])
    yield from bands[tail:]
