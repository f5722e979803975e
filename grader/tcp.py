"""The TCP sockets of this machine that have to do with given ports, and what waits in them.

Linux only. The kernel is asked by netlink (sock_diag(7)), which picks the ports itself; where it
cannot be, /proc/net/tcp is read, which has every socket of the machine in it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ESTABLISHED, CLOSE_WAIT, LISTEN = 1, 8, 10

_TABLE = Path("/proc/net/tcp")

_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP_REQUEST = 0x301
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
# inet_diag_req_v2, and as much of inet_diag_msg as is of use.
_REQUEST = struct.Struct("=BBBxI2s2s32xIQ")
_MESSAGE = struct.Struct("=BBBB2s2s48xII")
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFFFFFFFFFF


class Queue(NamedTuple):
    """A TCP socket: its two ports, its state, and the bytes that wait in it."""

    local_port: int
    remote_port: int
    state: int
    waiting_bytes: int


def queues(ports: set[int]) -> list[Queue]:
    """All IPv4 sockets with one of these ports at either end."""
    try:
        return [queue for port in ports for queue in _ask(port)]
    except OSError:
        return _read_table(ports)


def is_listening(port: int) -> bool:
    """Whether anybody listens on this port."""
    return any(q.state == LISTEN and q.local_port == port for q in queues({port}))


def connections_to(port: int) -> int:
    """How many clients are connected to this port."""
    return sum(q.state == ESTABLISHED and q.remote_port == port for q in queues({port}))


def _ask(port: int) -> Iterator[Queue]:
    wanted = port.to_bytes(2, "big")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as netlink:
        for ends in ((wanted, b"\0\0"), (b"\0\0", wanted)):
            yield from _dump(netlink, *ends)


def _dump(netlink: socket.socket, local: bytes, remote: bytes) -> Iterator[Queue]:
    request = _REQUEST.pack(
        socket.AF_INET, socket.IPPROTO_TCP, 0, _ANY_STATE, local, remote, 0, _NO_COOKIE
    )
    length = _HEADER.size + len(request)
    netlink.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 0, 0) + request)
    while True:
        data = netlink.recv(65536)
        start = 0
        while start < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, start)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError("the kernel has no sock_diag for TCP")
            fields = _MESSAGE.unpack_from(data, start + _HEADER.size)
            _, state, _, _, source, target, unread, unsent = fields
            yield _queue(
                int.from_bytes(source, "big"), int.from_bytes(target, "big"), state, unread, unsent
            )
            start += (length + 3) & ~3


def _read_table(ports: set[int]) -> list[Queue]:
    wanted = [b":%04X " % port for port in ports]
    found = []
    for line in _TABLE.read_bytes().splitlines():
        if not any(port in line for port in wanted):
            continue
        fields = line.split()
        local, remote = (int(field.rpartition(b":")[2], 16) for field in fields[1:3])
        if local in ports or remote in ports:
            unsent, unread = (int(count, 16) for count in fields[4].split(b":"))
            found.append(_queue(local, remote, int(fields[3], 16), unread, unsent))
    return found


def _queue(local: int, remote: int, state: int, unread: int, unsent: int) -> Queue:
    if state == LISTEN:
        unsent = 0  # netlink tells the length of the queue of connections there
    # A peer's goodbye counts as an unread byte, which a program that does not wait for it never
    # reads.
    if state == CLOSE_WAIT and unread == 1:
        unread = 0
    return Queue(local, remote, state, unread + unsent)
