"""Loses packets on their way to a TCP socket, on loopback.

Before TCP sees a packet, the kernel shows it to the filter of the socket that it is for (Linux,
SO_ATTACH_FILTER). One that the filter refuses is lost as it would be on a bad link: it is not
acknowledged, and its sender has to send it again.
"""

from __future__ import annotations

import ctypes
import socket
import struct

import pytest

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; the socket module does not have them
_SO_DETACH_FILTER = 27

_LOAD_WORD = 0x20  # linux/bpf_common.h: BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_RANDOM = 0xFFFFF000 + 56  # linux/filter.h: SKF_AD_OFF + SKF_AD_RANDOM
_WHOLE = 0xFFFFFFFF


def lose_all(sock: socket.socket) -> None:
    """From now on nothing reaches `sock`: its host is off, for all that others can tell."""
    _attach(sock, (_RETURN, 0, 0, 0))


def lose_some(sock: socket.socket, percent: int) -> None:
    """From now on so many packets to `sock` are lost, by chance."""
    _attach(
        sock,
        (_LOAD_WORD, 0, 0, _RANDOM),
        (_JUMP_IF_GREATER, 1, 0, _WHOLE // 100 * percent),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _WHOLE),
    )


def lose_none(sock: socket.socket) -> None:
    """Everything reaches `sock` again."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _attach(sock: socket.socket, *instructions: tuple[int, int, int, int]) -> None:
    """Each is a code, how far to jump if it holds and if not, and an operand (linux/filter.h)."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(instructions), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _why_not() -> str:
    """Why no packet can be lost here; "" where that can be done."""
    with socket.socket() as sock:
        try:
            lose_all(sock)
        except OSError as error:
            return f"NOT TESTED: the kernel takes no filter of packets: {error.strerror}"
    return ""


needs_filters = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "not skipped")
