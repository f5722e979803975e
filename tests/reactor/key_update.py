"""A TLS 1.3 client that asks for new keys (RFC 8446, 4.6.3): by libssl, Python cannot."""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
from collections.abc import Callable

UPDATE_REQUESTED = 1


def key_updater(sock: socket.socket) -> Callable[[], bool]:
    """Each call goes on with the handshake; once that is over, it asks for new keys and reads
    nothing. True: it was sent. Raises OSError where there is no libssl."""
    library = ctypes.CDLL(ctypes.util.find_library("ssl"))
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = ctypes.c_void_p
    new, pointer = library.SSL_new, ctypes.c_void_p
    session = pointer(new(pointer(library.SSL_CTX_new(pointer(library.TLS_client_method())))))
    library.SSL_set_fd(session, sock.fileno())

    def ask() -> bool:
        if library.SSL_connect(session) == 1:
            library.SSL_key_update(session, UPDATE_REQUESTED)
        return bool(library.SSL_do_handshake(session) == 1)

    return ask
