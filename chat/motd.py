"""The message of the day: a file that all who ENTER read first (`server.py -motd FILE`).

In: a file of text. Out: its lines, each behind `* ` and made safe as what members say is. The file
is read when the server starts, and again when it is asked to (reactor.signals, RELOAD_SIGNAL).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Annotated

from codec import decode_text, encode_line, framing

MOTD_BYTES: Annotated[
    int,
    "Bytes of a message of the day: a screen or two.",
] = 8 * 1024

_MARK = "* "


class Motd:
    """`page` is what is shown: lines, each ended by LF; b"" for an empty file."""

    def __init__(self, path: str) -> None:
        """Raises OSError with the path where the file cannot be shown."""
        self._path = path
        self.page = b""
        self.reload()

    def reload(self) -> None:
        """Read the file again. Raises OSError with the path, and the page is what it was."""
        lines = _read(self._path).split(b"\n")
        if not lines[-1]:
            del lines[-1]
        page = [encode_line(_MARK + decode_text(line.removesuffix(b"\r"))) for line in lines]
        if max(map(len, page), default=0) > framing.MAX_LINE_BYTES:
            raise OSError(errno.EMSGSIZE, "A line is too long", self._path)
        self.page = b"".join(page)


def _read(path: str) -> bytes:
    """A regular file of at most MOTD_BYTES; reading another kind might block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", path)
        data = os.read(descriptor, MOTD_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MOTD_BYTES:
        raise OSError(errno.EFBIG, f"Larger than {MOTD_BYTES} bytes", path)
    return data
