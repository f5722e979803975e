"""The log as objects, one a line (JSON, RFC 8259): `server.py -log json`.

In: entries of the journal, and other lines for the operator. Out: lines of ASCII without line ends.
Each has `time` (UTC, RFC 3339) and `event`, and then, always in this order:

    refused, cut   kind, count, address, port, name, reason    as far as the line tells of them
    total          of, kind, count                             at the end: all there were
    message        level, text                                 info, warning, error, or bug

`count` is what the line stands for: 1, or so many more of that kind, from that address if it has
one. So the counts of all lines come to all that happened. service/fail2ban/ reads these lines.
"""

from __future__ import annotations

import json
import time

from chat.journal import Entry, Style

_LEVELS = ("warning", "error")


def format_entry(entry: Entry) -> str:
    """One line."""
    if entry.is_total:
        return _line("total", of=entry.event, kind=entry.kind, count=entry.number)
    fields: dict[str, str | int] = {"kind": entry.kind, "count": entry.number}
    if entry.address:
        source, _, port = entry.address.rpartition(":")
        is_with_port = bool(source and entry.reason)
        fields["address"] = (source if is_with_port else entry.address).strip("[]")
        if is_with_port:
            fields["port"] = int(port)
    fields |= {"name": entry.username} if entry.username else {}
    fields |= {"reason": entry.reason} if entry.reason else {}
    return _line(entry.event, **fields)


def format_text(text: str) -> str:
    """One line of a text which may have many."""
    level, colon, rest = text.partition(": ")
    if colon and level in _LEVELS:
        return _line("message", level=level, text=rest)
    return _line("message", level="bug" if text.startswith("Traceback") else "info", text=text)


def _line(event: str, **fields: str | int) -> str:
    now = time.time()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    stamp = f"{seconds}.{int(now * 1000) % 1000:03d}Z"
    return json.dumps({"time": stamp, "event": event, **fields})


JSON = Style(format_entry, format_text, tells_sources=True)
