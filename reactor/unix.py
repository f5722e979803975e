"""Listening sockets of this machine alone: a path in the file system (unix(7)).

Who may connect is who may write to the file; its mode comes from the umask.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

from reactor import listener
from reactor.errors import naming


def listen_unix(path: str) -> socket.socket:
    """A non-blocking UNIX socket that listens at `path`. The file of a server that ended without
    deleting it is replaced. Raises OSError (EADDRINUSE: another server listens there, or there is
    another kind of file)."""
    with naming("socket"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_left_over(path):
                raise
            os.unlink(path)
            sock.bind(path)
        sock.listen(listener.BACKLOG)
    except Exception:
        sock.close()
        raise
    return sock


def _is_left_over(path: str) -> bool:
    """Whether it is a socket's file on which no process listens."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            probe.setblocking(False)
            return probe.connect_ex(path) == errno.ECONNREFUSED
    return False
