"""What the kernel says of a process that runs (proc(5)): its memory, its time, its descriptors."""

from __future__ import annotations

import os
import re
from pathlib import Path


def status_of(pid: int, field: str) -> int:
    """A number of /proc/<pid>/status; kibibytes where it is memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    (number,) = re.findall(rf"^{field}:\s+(\d+)", text, re.MULTILINE)
    return int(number)


def cpu_ticks(pid: int) -> int:
    """Clock ticks of user and system time (stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def count_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
