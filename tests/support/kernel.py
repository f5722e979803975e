"""What the kernel says of a process that runs (proc(5)): its memory, its time, its descriptors."""

from __future__ import annotations

import os
import re
from pathlib import Path


def status_of(pid: int, field: str) -> int:
    """A number of /proc/<pid>/status; kibibytes where it is memory."""
    (number,) = re.findall(rf"^{field}:\s+(\d+)", _read(pid, "status"), re.MULTILINE)
    return int(number)


def cpu_ticks(pid: int) -> int:
    """Clock ticks of user and system time (stat, fields 14 and 15)."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def count_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()
