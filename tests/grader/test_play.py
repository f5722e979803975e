"""What playing a case rests on."""

from __future__ import annotations

import time

import pytest

from grader import play, rubric


def test_no_clock_tells_an_earlier_second_than_we_note() -> None:
    """`time.localtime()` does, for some milliseconds after a second has begun, if the second is
    noted by `time.time()`."""
    end = int(time.time()) + 1.1
    while time.time() < end:
        noted = play._coarse_time()
        assert time.mktime(time.localtime()) >= int(noted)
        assert time.time() >= noted


@pytest.mark.parametrize("now", [*range(57_840, 57_960, 7), 57_900, 0, 14_700, 14_701, 86_399])
def test_clock_that_is_set_is_never_universal_time(now: int) -> None:
    """A server that tells universal time would otherwise be right at one time of the day."""
    wanted = 16 * 3600 + 5 * 60
    shift = play._shift_to(wanted, now)
    assert (now + shift) % 86_400 == wanted
    assert 60 <= abs(shift) < 25 * 3600  # as much as TZ takes (POSIX, 8.3)


@pytest.mark.parametrize("case", ["time", "time-to-sender", "later", "later-at-midnight"])
def test_time_of_the_day_decides_nothing(case: str) -> None:
    """Before noon twelve hours look like twenty-four, and at midnight an hour is a day."""
    ours = rubric.load(rubric.find(rubric.DEFAULT))
    steps = next(c for c in ours.cases if c.id == case).steps
    assert steps[0].kind == "clock"
