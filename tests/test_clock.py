"""The server's local time."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from chat.clock import LocalClock
from tests.support.faults import fault


def change_zone(zone: Path, hours: int) -> None:
    """To a new file (tzfile(5)), as system tools do it."""
    new = zone.with_suffix(".new")
    new.write_bytes(
        b"TZif" + struct.pack(">16x6llbb4s", 0, 0, 0, 0, 1, 4, hours * 3600, 0, 0, b"X")
    )
    new.replace(zone)


@fault(85)
def test_local_time_is_that_of_the_zone_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = tmp_path / "zone"
    monkeypatch.setenv("TZ", f":{zone}")
    clock = LocalClock()
    for hours in (1, 9, -3):
        change_zone(zone, hours)
        assert clock(0).tm_gmtoff == hours * 3600
    zone.unlink()
    assert clock(0).tm_gmtoff == -3 * 3600
    monkeypatch.undo()
    time.tzset()
