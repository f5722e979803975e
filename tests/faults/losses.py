"""Connections that a relay cuts, with the real programs: `python -m tests.faults.losses [COUNT]`.

Alice and Bob sit at `client.py -ui line`, and come to `server.py -resume` through a relay in which
each connection breaks after a random number of bytes: what it holds is lost, and the two ends see
RST, FIN, or the server nothing at all. They type numbered lines, to all and to each other. Each
line has to come once, in order: on both screens, and at Carol, who is connected without the relay
and reads that nobody `left`.
"""

from __future__ import annotations

import contextlib
import random
import re
import selectors
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.support.programs import PASSCODE, RawClient
from tests.support.window import Window
from tests.terminal.conftest import Chat

COUNT = 200
REST = "import terminal.link; terminal.link.REST_SECONDS = (0.05, 0.1, 0.2)"
"""A patch that has the clients come back soon."""

PIECE_BYTES = 64
_NUMBERED = re.compile(r"[│»] (?:→ \w+: )?([a-z]+\d+)$")


class CuttingRelay(threading.Thread):
    """Relays connections to `port`, and cuts them while some are `left` to be cut."""

    def __init__(self, port: int, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.left = 0
        """How many are still to be cut."""
        self._chance = chance
        self._to = ("127.0.0.1", port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._door, selectors.EVENT_READ, None)
        self._others: dict[socket.socket, socket.socket] = {}
        self._budgets: dict[socket.socket, list[int]] = {}  # one for both ends of a connection
        self._half_open: list[socket.socket] = []  # nothing is heard of these any more
        self._is_over = False

    def run(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select(0.1):
                if key.data is None:
                    self._accept()
                elif key.data in self._others:
                    self._pass_on(key.data)

    def stop(self) -> None:
        self._is_over = True
        self.join()
        for sock in [self._door, *self._others, *self._half_open]:
            sock.close()
        self._selector.close()

    def _accept(self) -> None:
        near, far = self._door.accept()[0], socket.create_connection(self._to)
        budget = [self._chance.choice((20, 60, 100, 150, 300, 800))]
        for sock, other in ((near, far), (far, near)):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._others[sock], self._budgets[sock] = other, budget
            self._selector.register(sock, selectors.EVENT_READ, sock)

    def _pass_on(self, sock: socket.socket) -> None:
        budget, other = self._budgets[sock], self._others[sock]
        data = b""
        with contextlib.suppress(OSError):
            data = sock.recv(self._chance.randint(1, PIECE_BYTES))
        budget[0] -= len(data)
        is_cut = self.left > 0 and budget[0] < 0
        if is_cut:
            data = data[: max(0, budget[0] + len(data))]
        with contextlib.suppress(OSError):
            other.sendall(data)
        if is_cut or not data:
            self.left -= is_cut
            is_client = sock.getsockname() == self._door.getsockname()
            ends = (sock, other) if is_client else (other, sock)
            self._break(*ends, self._chance.choice(("rst", "fin", "half")) if is_cut else "fin")

    def _break(self, client: socket.socket, server: socket.socket, how: str) -> None:
        for sock in (client, server):
            self._selector.unregister(sock)
            del self._others[sock], self._budgets[sock]
            if how == "rst":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "half":
            self._half_open.append(server)
        else:
            server.close()
        client.close()


class Typist:
    """One at a window, who pastes numbered lines, and presses Enter until they are taken."""

    def __init__(self, window: Window, letter: str, other: str) -> None:
        self.window = window
        self.typed: list[str] = []
        self._letter = letter
        self._other = other
        self._pressed_at = 0.0

    @property
    def is_typing(self) -> bool:
        """Whether the last of its lines is not on the screen."""
        rows = self.window.rows()[-200:]  # many may come at once after an absence
        return bool(self.typed) and not any(self.typed[-1] == _number_of(row) for row in rows)

    def act(self, chance: random.Random, is_last: bool = False) -> None:
        """Type, or press Enter again if what was typed is still there. `is_last`: nothing more is
        begun."""
        line = self.window.typed()
        is_late = time.monotonic() > self._pressed_at + 0.2
        if not self.is_typing and not is_last and re.search(r"·\d+❯$", line):
            lines = [self._next_line(chance) for _ in range(chance.randint(1, 4))]
            self.window.keys("\\x1b[200~" + "\\n".join(lines) + "\\x1b[201~\\r")
        elif is_late and re.search(r"·\d+❯ ", line):
            self.window.keys("\\r")
        else:
            return
        self._pressed_at = time.monotonic()

    def _next_line(self, chance: random.Random) -> str:
        is_private = chance.random() < 0.3
        text = f"{'p' * is_private}{self._letter}{len(self.typed)}"
        self.typed.append(text)
        return f":Msg {self._other} {text}" if is_private else text


def run(count: int, seed: int) -> str:
    """Raises AssertionError. Returns how it went, in a line."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, Losing(Path(folder) / "clock") as chat:
        carol = chat.connect("Carol")
        carol.types(f"JOIN Carol {PASSCODE}")
        carol.shows("OK")
        relay = CuttingRelay(chat.port, chance)
        relay.start()
        try:
            return _play(chat, relay, count, carol, chance)
        finally:
            relay.stop()


class Losing(Chat):
    """A room that keeps places."""

    def __init__(self, clock: Path) -> None:
        super().__init__(clock, flags=("-resume", "60"))


def _play(
    chat: Chat, relay: CuttingRelay, count: int, carol: RawClient, chance: random.Random
) -> str:
    size = (24, 80)
    people = []
    for name, friend in (("Alice", "Bob"), ("Bob", "Alice")):
        window = chat.sit_down(port=relay.port, size=size, patch=REST, name=name)
        people.append(Typist(window, name[0].lower(), friend))
    for typist in people:
        typist.window.waits_for(lambda typist=typist: "·3❯" in typist.window.typed())  # type: ignore[misc]
    began_at, relay.left = time.monotonic(), count  # what is lost at first ends a client
    while relay.left > 0:
        for typist in people:
            typist.act(chance)
        chat.pump.turn(0.01)
    while any(typist.is_typing for typist in people):
        for typist in people:
            typist.act(chance, is_last=True)
        chat.pump.turn(0.01)
    lines = sum(len(typist.typed) for typist in people)
    alice, bob = people
    for typist, other in ((alice, bob), (bob, alice)):
        _check_screen(typist, other)
    _check_carol(carol, people)
    for typist in people:
        typist.window.keys(":Exit\\r")
        typist.window.closes(0)
    seconds = time.monotonic() - began_at
    return f"{lines} lines in {seconds:.0f} s: each came once to all who were to read it"


def _check_screen(typist: Typist, other: Typist) -> None:
    """Its own lines and the other's, each once and in order."""
    for texts in (typist.typed, other.typed):
        typist.window.waits_for(lambda texts=texts: set(texts) <= set(_numbered(typist.window)))  # type: ignore[misc]
    shown = _numbered(typist.window)
    for texts in (typist.typed, other.typed):
        assert [text for text in shown if text in set(texts)] == texts
    assert len(shown) == len(typist.typed) + len(other.typed)


def _numbered(window: Window) -> list[str]:
    return [text for row in window.said() if (text := _number_of(row))]


def _number_of(row: str) -> str:
    """The numbered line that a row shows, if any."""
    match = _NUMBERED.search(row.rstrip())
    return match[1] if match else ""


def _check_carol(carol: RawClient, people: list[Typist]) -> None:
    carol.types(":Users")
    read: list[str] = []
    while not read or not read[-1].startswith("Active Users: "):
        read.append(carol.stdout.take_line())
    assert sorted(read[-1].split(": ")[1].split(", ")) == ["Alice", "Bob", "Carol"]
    assert not [line for line in read if line.endswith("left the chatroom")]
    for typist, name in zip(people, ("Alice", "Bob"), strict=True):
        said = [line.removeprefix(f"{name}: ") for line in read if line.startswith(f"{name}: ")]
        assert said == [text for text in typist.typed if text[0] != "p"]


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    print(run(number, random.randrange(1 << 32)))
