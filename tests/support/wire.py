"""A bad wire between two hosts: packets are lost, doubled, swapped and damaged on it by chance.

The hosts are two network namespaces of this process, each with a TUN device as its only link
(Linux, as root); a thread carries what one sends to the other. Nothing is left behind: namespaces
and devices are gone with the last descriptor on them.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator

import pytest

HOME, AWAY = "192.0.2.1", "192.0.2.2"  # RFC 5737, TEST-NET-1

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/net/tun") or not shutil.which("ip"),
    reason="NOT TESTED: namespaces and TUN devices are for root on Linux, with ip(8)",
)

_CLONE_NEWNET = 0x40000000  # sched.h
_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI

_SWAP_SECONDS = 0.01
"""Longest that a packet is held back for another to overtake it."""


class Wire:
    """Two hosts, HOME and AWAY, and the wire between them, faultless until `is_bad`."""

    def __init__(self, seed: int) -> None:
        self.is_bad = False
        self.faults = {"lost": 0, "doubled": 0, "swapped": 0, "damaged": 0}
        self._chance = random.Random(seed)
        self._here = _namespace()
        self._hosts: dict[str, tuple[int, int]] = {}  # address -> namespace, device
        self._held: list[tuple[int, bytes]] = []
        self._wake, self._waker = os.pipe()
        try:
            for address in (HOME, AWAY):
                _call("unshare", _CLONE_NEWNET)
                self._hosts[address] = _namespace(), _tun()
                _ip("link set lo up")
                _ip(f"address add {address}/24 dev wire")
                _ip("link set wire up")
        finally:
            _call("setns", self._here, _CLONE_NEWNET)
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def at(self, address: str) -> Iterator[None]:
        """Sockets that are made within are made there."""
        _call("setns", self._hosts[address][0], _CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", self._here, _CLONE_NEWNET)

    def close(self) -> None:
        os.write(self._waker, b"\n")
        self._thread.join()
        ends = (self._here, self._wake, self._waker)
        for descriptor in itertools.chain(ends, *self._hosts.values()):
            os.close(descriptor)

    # In the thread.

    def _carry(self) -> None:
        (_, home), (_, away) = self._hosts.values()
        other_end = {home: away, away: home}
        while True:
            timeout = _SWAP_SECONDS if self._held else None
            ready, _, _ = select.select([home, away, self._wake], [], [], timeout)
            if self._wake in ready:
                return
            arrived = []
            for device in ready:
                with contextlib.suppress(OSError):  # unplugged
                    arrived.append((other_end[device], os.read(device, 1 << 16)))
            overtaken, self._held = self._held, []
            for device, packet in arrived:
                self._pass_on(device, packet)
            for device, packet in overtaken:
                _deliver(device, packet)

    def _pass_on(self, device: int, packet: bytes) -> None:
        percent = self._chance.randrange(100)
        if not self.is_bad or percent >= 20:
            _deliver(device, packet)
        elif percent < 5:
            self.faults["lost"] += 1
        elif percent < 8:
            self.faults["doubled"] += 1
            _deliver(device, packet)
            _deliver(device, packet)
        elif percent < 18:
            self.faults["swapped"] += 1
            self._held.append((device, packet))
        else:
            self.faults["damaged"] += 1
            damaged = bytearray(packet)
            damaged[self._chance.randrange(len(packet))] ^= 1 << self._chance.randrange(8)
            _deliver(device, bytes(damaged))


def _deliver(device: int, packet: bytes) -> None:
    with contextlib.suppress(OSError):  # unplugged
        os.write(device, packet)


def _namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _tun() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"wire", _TUN_WITHOUT_HEADER))
    return device


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)  # noqa: S607


def _call(name: str, *arguments: int) -> None:
    """A system call that `os` has from Python 3.12 on only."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        raise OSError(ctypes.get_errno(), name)
