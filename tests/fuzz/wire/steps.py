"""What is done to a server, one step at a time, and how a run is written down.

In a file each step is one line: seconds, `#` and the number of the connection, what is done, and
for bytes their hexadecimal digits (`78*300` for 300 times the same) and how they look.

    12.345 #17 send 68690a b'hi\\n'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

OPEN = "open"  # connect; `data` is the address it comes from, b"" for any
SEND = "send"
URGENT = "urgent"  # one byte out of band (MSG_OOB), which is no part of the stream
DEAF = "deaf"  # read nothing from here on
FIN = "fin"  # half-close
RESET = "reset"
CLOSE = "close"  # vanish: close whatever may be unread
WAIT = "wait"  # for the server to end it

ENDINGS = (FIN, RESET, CLOSE, WAIT)

KEPT_STEPS = 100_000
"""How much of a run is written down when something is found: what was done since before a line that
is told to be late was owed. A busy minute or less, and some 40 MiB."""

_SHOWN_BYTES = 60


class Step(NamedTuple):
    """`who` is the number of a connection; the honest members are 0 and 1."""

    who: int
    verb: str
    data: bytes = b""


def format_step(seconds: float, step: Step) -> str:
    start = f"{seconds:.3f} #{step.who} {step.verb}"
    if not step.data:
        return start
    shown = repr(step.data[:_SHOWN_BYTES]) + ("..." if len(step.data) > _SHOWN_BYTES else "")
    return f"{start} {_digits(step.data)} {shown}"


def parse_steps(lines: Iterable[str]) -> Iterator[Step]:
    """The steps in a file; lines that begin with `#` are comments. Raises ValueError."""
    for line in lines:
        if line.strip() and not line.startswith("#"):
            _, who, verb, *rest = line.split(maxsplit=4)
            yield Step(int(who.removeprefix("#")), verb, _bytes(rest[0]) if rest else b"")


def _digits(data: bytes) -> str:
    is_run = len(data) > 1 and data == data[:1] * len(data)
    return f"{data[:1].hex()}*{len(data)}" if is_run else data.hex()


def _bytes(digits: str) -> bytes:
    unit, _, count = digits.partition("*")
    return bytes.fromhex(unit) * int(count or 1)
