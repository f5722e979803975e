"""How a solution may write a time. In: seconds since 1970 and a format as for strftime(3). Out:
text, in English whatever the locale.

A day of one digit may be written `04`, ` 4` or `4`: the assignment shows none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

DEFAULT = "%a %b %d %H:%M:%S %Y"

_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
]
_DIRECTIVE = re.compile("%(.)")
_WRITERS: dict[str, Callable[[time.struct_time], str]] = {
    "a": lambda t: _WEEKDAYS[t.tm_wday][:3],
    "A": lambda t: _WEEKDAYS[t.tm_wday],
    "b": lambda t: _MONTHS[t.tm_mon - 1][:3],
    "B": lambda t: _MONTHS[t.tm_mon - 1],
    "d": lambda t: f"{t.tm_mday:02}",
    "m": lambda t: f"{t.tm_mon:02}",
    "y": lambda t: f"{t.tm_year % 100:02}",
    "Y": lambda t: f"{t.tm_year}",
    "H": lambda t: f"{t.tm_hour:02}",
    "I": lambda t: f"{t.tm_hour % 12 or 12:02}",
    "M": lambda t: f"{t.tm_min:02}",
    "S": lambda t: f"{t.tm_sec:02}",
    "p": lambda t: "PM" if t.tm_hour >= 12 else "AM",
    "%": lambda t: "%",
}


def unknown(form: str) -> list[str]:
    """What is wrong with a format."""
    return [
        f"%{letter} in {form!r} is not known here"
        for letter in _DIRECTIVE.findall(form)
        if letter not in _WRITERS
    ]


def format_time(second: int, shift: int, form: str = DEFAULT) -> str:
    """With a day of two digits. `shift`: how far the clock is ahead of universal time."""
    t = time.gmtime(second + shift)
    return _DIRECTIVE.sub(lambda found: _WRITERS[found[1]](t), form)


def spellings(second: int, shift: int, form: str) -> list[str]:
    """All that it may look like, the one with a day of two digits first."""
    day = time.gmtime(second + shift).tm_mday
    days = ["%d", f" {day}", str(day)] if day < 10 else ["%d"]
    return [format_time(second, shift, form.replace("%d", text)) for text in days]
