"""When a submission came, and by how much that was too late."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?:\.\d+)?)?"
    r" ?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?"
)


def parse(text: str) -> datetime:
    """`2025-09-24 23:59 -0400` and its like; universal time where no zone is told. Raises
    ValueError."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise ValueError(f"no time like 2025-09-24 23:59 -0400: {text}")
    clock = found["time"] or "23:59:59"
    when = datetime.fromisoformat(f"{found['day']} {clock}")
    zone = (found["zone"] or "Z").replace(":", "")
    if zone in ("Z", "UTC"):
        return when.replace(tzinfo=timezone.utc)
    minutes = int(zone[1:3]) * 60 + int(zone[3:5])
    offset = timedelta(minutes=minutes if zone[0] == "+" else -minutes)
    return when.replace(tzinfo=timezone(offset))


def lateness(submitted: str, due: datetime | None) -> str:
    """`1 d 2 h 5 min`; empty if it was in time, or if that is not known."""
    try:
        late = parse(submitted) - due if due and submitted else timedelta(0)
    except ValueError:
        return ""
    if late <= timedelta(0):
        return ""
    minutes = int(late.total_seconds()) // 60
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{days} d"] * bool(days) + [f"{hours} h"] * bool(hours) + [f"{minutes} min"]
    return " ".join(parts)
