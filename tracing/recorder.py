"""Writes a trace: one event a line, bounded however much happens.

In: events, noted as they happen. Out: lines, handed to `write`. Each event has `t`, the seconds
since the trace began, and `event`, its kind. The kinds and their fields:

    begin     program, middle (what the peers are connected to), format (version of this format)
    turn      turn, ready: what was ready when a turn of the loop began
    open      peer (its number), side: "client" or "server", column (its title), address
    recv      peer, bytes, data, lines (how many it ends), rest (bytes of an unfinished line)
    send      peer, bytes (what the kernel took), of (what it was given), data, lines, rest
    fin       peer, by: "peer" or "us"
    close     peer, how: "close" or "reset"
    lost      peer, call, error: a system call said that the connection is gone
    state     peer, who, reading, sending, waiting (for the kernel to take more), owed (bytes)
    deliver   kind, origin, lines, text, to: an event of the room (codec.events), and who reads it
    watch     name, value: a number of the program's that has changed
    timer     call: a deadline has come
    log       text: what the program tells its operator
    bug       error: an exception that was reported
    left out  events: so many were not recorded here
    end       events, left_out: totals

`data` is text: UTF-8 as it is, all that cannot be printed escaped as Python does, at most
SHOWN_BYTES of the bytes; `bytes` counts all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable

FORMAT = 1

SHOWN_BYTES = 160
"""Bytes of a segment that are shown."""

MAX_TURN_EVENTS = 256
"""Events of one turn that are recorded; the rest is counted."""

MAX_TRACE_BYTES = 64 * 1024 * 1024
"""Bytes of a whole trace; from there on events are only counted."""

_WORDS = {
    "begin": "trace of {program}",
    "turn": "turn {turn}: {ready}",
    "open": "  {peer} opens: {side} {column}",
    "recv": "  {peer} recv {bytes}: {data}   ({lines} lines end, {rest} bytes over)",
    "send": "  {peer} send {bytes} of {of}: {data}   ({lines} lines end, {rest} bytes over)",
    "fin": "  {peer} FIN, by {by}",
    "close": "  {peer} {how}",
    "lost": "  {peer} {call}: {error}",
    "state": "  {peer} is {who}: read {reading}, sending {sending}, waits {waiting}, owed {owed}",
    "deliver": "  {kind} by {origin} to {to}: {text}",
    "watch": "  {name} = {value}",
    "timer": "  timer {call}",
    "log": "  log {text}",
    "bug": "  bug {error}",
    "left out": "  {events} events left out",
    "end": "end: {events} events, {left_out} left out",
}

_YES_NO = {"True": "yes", "False": "no"}


def escape(data: bytes) -> str:
    """Bytes as text that is safe to show, on one line."""
    text = data.decode("utf-8", "surrogateescape").replace("\\", "\\\\")
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


class Recorder:
    """A trace that is being written. `clock` gives seconds; `write` takes whole lines."""

    def __init__(
        self, write: Callable[[bytes], None], clock: Callable[[], float], in_words: bool = False
    ) -> None:
        self._write = write
        self._clock = clock
        self._in_words = in_words
        self._began_at = clock()
        self._turn = 0
        self._ready: str | None = None  # of the turn, while nothing of it is recorded
        self._turn_events = 0
        self._recorded = 0
        self._left_out_in_turn = 0
        self._left_out = 0
        self._bytes = 0
        self._peers = 0
        self._has_ended = False

    def number_peer(self) -> int:
        """A number for a connection: 1, 2, 3."""
        self._peers += 1
        return self._peers

    def begin_turn(self, ready: list[str]) -> None:
        """A turn begins. It is written at once if something was ready, or with its first event."""
        self._turn_events = 0
        self._ready = ", ".join(ready)
        if ready:
            self._tell_turn()

    def note(self, event: str, **fields: object) -> None:
        """Record one event."""
        if self._has_ended:
            return
        if self._ready is not None:
            self._tell_turn()
        self._turn_events += 1
        if self._turn_events > MAX_TURN_EVENTS or self._bytes > MAX_TRACE_BYTES:
            self._left_out_in_turn += 1
        else:
            self._put(event, fields)

    def end_turn(self) -> None:
        """Write how many events of the turn were left out."""
        count, self._left_out_in_turn = self._left_out_in_turn, 0
        self._left_out += count
        if count and self._bytes <= MAX_TRACE_BYTES:
            self._put("left out", {"events": count})

    def note_dropped(self, lines: int) -> None:
        """The file did not take so many lines."""
        self._left_out_in_turn += lines

    def end(self) -> None:
        """Write the last line, even beyond the bound of the trace."""
        self.end_turn()
        self._put("end", {"events": self._recorded, "left_out": self._left_out})
        self._has_ended = True

    def _tell_turn(self) -> None:
        ready, self._ready = self._ready, None
        self._turn += 1
        self.note("turn", turn=self._turn, ready=ready)

    def _put(self, event: str, fields: dict[str, object]) -> None:
        seconds = round(self._clock() - self._began_at, 6)
        if self._in_words:
            said = {name: _YES_NO.get(str(value), value) for name, value in fields.items()}
            line = f"{seconds:10.6f} {_WORDS[event].format_map(said)}".rstrip()
        else:
            line = json.dumps({"t": seconds, "event": event, **fields}, ensure_ascii=False)
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        self._recorded += 1
        self._bytes += len(data)
        self._write(data)
