"""The local time for `:mytime`, in the zone that the system is in now.

A term is long, and /etc/localtime may change meanwhile. localtime_r(3) does not look, and tzset(3)
compares the file's time of change by whole seconds alone, so that this looks itself.
"""

from __future__ import annotations

import os
import time

ZONE = "/etc/localtime"
"""The file of the system's zone (tzset(3))."""

_ZoneFile = tuple[int, int, int, int]


class LocalClock:
    """Tells the local time so many seconds from now. One system call each time, as long as the
    file of the zone is the same: /etc/localtime, or the one that TZ names by its path."""

    def __init__(self) -> None:
        self._zone = os.environ.get("TZ", f":{ZONE}")
        path = self._zone.lstrip(":")
        self._path = path if path.startswith("/") else ZONE
        self._zone_file = _look_at(self._path)

    def __call__(self, seconds: int) -> time.struct_time:
        zone_file = _look_at(self._path)
        if zone_file != self._zone_file and _can_be_read(self._path):
            self._zone_file = zone_file
            for zone in ("UTC0", self._zone):  # told another one first, or tzset(3) does not look
                os.environ["TZ"] = zone
                time.tzset()
        return time.localtime(time.time() + seconds)


def _look_at(path: str) -> _ZoneFile | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _can_be_read(path: str) -> bool:
    """Without a free descriptor tzset(3) would take UTC for the zone."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True
