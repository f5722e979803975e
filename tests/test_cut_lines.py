"""A line that a terminal has cut short is not sent."""

from __future__ import annotations

import os
import termios
import tty

import pytest

from terminal.cut_lines import CANONICAL_BYTES, CutLines
from tests.support.faults import fault

LONGEST = b"y" * (CANONICAL_BYTES - 1)


@fault(78)
@pytest.mark.parametrize(
    ("typed", "sent", "cuts"),
    [
        (LONGEST, LONGEST, 0),
        (LONGEST + b"y", None, 1),
        (2 * LONGEST, None, 1),
        (2 * LONGEST + b"\x04the rest", None, 1),
        # The server has its beginning: it is to refuse the whole.
        (b"half\x04" + 2 * LONGEST, b"half" + LONGEST + b"y ", 0),
    ],
    ids=["not cut", "one more", "twice", "Ctrl-D", "half sent"],
)
def test_line_that_a_terminal_cut_is_withheld(typed: bytes, sent: bytes | None, cuts: int) -> None:
    master, terminal = os.openpty()
    mode = termios.tcgetattr(terminal)
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
    heard, told = bytearray(), []
    lines = CutLines(terminal, heard.extend, lambda: told.append(1))
    expected = (b"" if sent is None else sent + b"\n") + b"afterwards\n"
    os.write(master, typed + b"\nafterwards\n")
    while not heard.endswith(b"afterwards\n"):
        lines.take(os.read(terminal, 65536))
    assert (bytes(heard), len(told)) == (expected, cuts)
    tty.setraw(terminal)
    lines.take(LONGEST + b"y")
    assert heard.endswith(LONGEST + b"y"), "a raw terminal drops nothing"
    os.close(master)
    os.close(terminal)
