"""What playing a case rests on."""

from __future__ import annotations

import time

from grader import play


def test_nobody_tells_an_earlier_second_than_the_one_we_note() -> None:
    """`time.localtime()` does, for some milliseconds after a second has begun, if the second is
    noted by `time.time()`."""
    end = int(time.time()) + 1.1
    while time.time() < end:
        noted = play._coarse_time()
        assert time.mktime(time.localtime()) >= int(noted)
        assert time.time() >= noted
