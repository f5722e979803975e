"""The TCP sockets of this machine that have to do with given ports, and what waits in them.

Linux only. The kernel is asked by netlink (sock_diag(7)), which picks the ports itself; where it
cannot be, /proc/net/tcp is read, which has every socket of the machine in it.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ESTABLISHED, TIME_WAIT, CLOSE_WAIT, LISTEN = 1, 6, 8, 10

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP_REQUEST = 0x301
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
# inet_diag_req_v2, and as much of inet_diag_msg as is of use.
_REQUEST = struct.Struct("=BBBxI2s2s32xIQ")
_MESSAGE = struct.Struct("=BBBB2s2s16s16x16xII")
_ALIVE = 0xFFFFFFFF & ~(1 << TIME_WAIT | 1 << LISTEN)
_ATTRIBUTE = struct.Struct("=HH")
_BYTECODE = 1  # INET_DIAG_REQ_BYTECODE
_OPERATION = struct.Struct("=BBH")
_JUMP = 1
_LOCAL, _REMOTE = 2, 4  # INET_DIAG_BC_S_GE and _D_GE; the next number is "at most"
_NO_COOKIE = 0xFFFFFFFFFFFFFFFF


class Queue(NamedTuple):
    """A TCP socket: its address and two ports, its state, the bytes in it that were not read, and
    those that have not arrived at the other end."""

    address: str
    local_port: int
    remote_port: int
    state: int
    unread_bytes: int
    unsent_bytes: int


def queues(ports: set[int]) -> list[Queue]:
    """All sockets with one of these ports at either end."""
    try:
        with _open() as netlink:
            return _ask(netlink, ports)
    except OSError:
        return _read_tables(ports)


def listening_addresses(port: int) -> list[str]:
    """The addresses on which anybody listens on this port."""
    try:
        with _open() as netlink:
            found = _ask_listeners(netlink, port)
    except OSError:
        found = _read_tables({port})
    return [q.address for q in found if q.state == LISTEN and q.local_port == port]


def connections_to(port: int) -> set[int]:
    """The ports from which clients are connected to this port."""
    try:
        with _open() as netlink:
            found = list(_dump(netlink, socket.AF_INET, 1 << ESTABLISHED, [(_REMOTE, port)]))
    except OSError:
        found = _read_tables({port})
    return {q.local_port for q in found if q.state == ESTABLISHED and q.remote_port == port}


def _open() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)


def _ask(netlink: socket.socket, ports: set[int]) -> list[Queue]:
    """IPv6 is asked for where somebody listens by it: the kernel walks through all of its sockets
    for each question, but for those that listen."""
    ends = [(end, port) for port in sorted(ports) for end in (_LOCAL, _REMOTE)]
    found = list(_dump(netlink, socket.AF_INET, _ALIVE | 1 << LISTEN, ends))
    listeners = [(_LOCAL, port) for port in sorted(ports)]
    listening = list(_dump(netlink, socket.AF_INET6, 1 << LISTEN, listeners))
    if listening:
        found += [*listening, *_dump(netlink, socket.AF_INET6, _ALIVE, ends)]
    return found


def _ask_listeners(netlink: socket.socket, port: int) -> list[Queue]:
    wanted = [(_LOCAL, port)]
    return [q for family in _FAMILIES for q in _dump(netlink, family, 1 << LISTEN, wanted)]


def _dump(
    netlink: socket.socket, family: int, states: int, ends: list[tuple[int, int]]
) -> Iterator[Queue]:
    """Sockets in one of `states`, bits by their number, with one of these ports at that end."""
    test = _one_of(ends)
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, states, b"", b"", 0, _NO_COOKIE)
    request += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(test), _BYTECODE) + test
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
            _, state, _, _, source, target, address, unread, unsent = fields
            host = socket.inet_ntop(family, address[: 4 if family == socket.AF_INET else 16])
            ports = int.from_bytes(source, "big"), int.from_bytes(target, "big")
            yield _queue(host, *ports, state, unread, unsent)
            start += (length + 3) & ~3


def _one_of(ends: list[tuple[int, int]]) -> bytes:
    """The kernel's test of a socket, `struct inet_diag_bc_op`: each end as "at least, and at most,
    and then to the accepting end"; what jumps beyond that is refused."""
    test = b""
    for end, port in reversed(ends):
        beyond = 0 if test else 4
        argument = _OPERATION.pack(0, 0, port)
        test = b"".join(
            (
                *(_OPERATION.pack(end, 8, 20 + beyond), argument),
                *(_OPERATION.pack(end + 1, 8, 12 + beyond), argument),
                _OPERATION.pack(_JUMP, 4, 4 + len(test)),
                test,
            )
        )
    return test


def _read_tables(ports: set[int]) -> list[Queue]:
    wanted = [b":%04X " % port for port in ports]
    found = []
    for family, table in zip(_FAMILIES, _TABLES, strict=True):
        for line in table.read_bytes().splitlines() if table.exists() else []:
            if not any(port in line for port in wanted):
                continue
            fields = line.split()
            local, remote = (int(field.rpartition(b":")[2], 16) for field in fields[1:3])
            if local in ports or remote in ports:
                unsent, unread = (int(count, 16) for count in fields[4].split(b":"))
                host = _host(family, fields[1].partition(b":")[0].decode())
                found.append(_queue(host, local, remote, int(fields[3], 16), unread, unsent))
    return found


def _host(family: int, digits: str) -> str:
    """An address as /proc writes it: words of 32 bits in this machine's own order of bytes."""
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    return socket.inet_ntop(family, b"".join(word.to_bytes(4, sys.byteorder) for word in words))


def _queue(host: str, local: int, remote: int, state: int, unread: int, unsent: int) -> Queue:
    if state == LISTEN:
        unsent = 0  # netlink tells the length of the queue of connections there
    # A peer's goodbye counts as an unread byte, which a program that does not wait for it never
    # reads.
    if state == CLOSE_WAIT and unread == 1:
        unread = 0
    return Queue(host, local, remote, state, unread, unsent)
