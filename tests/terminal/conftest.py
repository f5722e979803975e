"""A room in which Alice sits at a window, whatever the interface, and Bob talks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.programs import PASSCODE, RawClient, Room
from tests.support.window import LineWindow, Window, clock_patch

INTERFACES: dict[str, type[Window]] = {"line": LineWindow}


class Chat(Room):
    """What the server prints and what others read is not looked at: Alice's screen is."""

    def __init__(self, clock: Path, ui: str = "line", flags: Sequence[str] = ()) -> None:
        """The server has these `flags` more."""
        super().__init__(*flags)
        self.clock = clock
        self._ui = ui
        self._people: dict[str, RawClient] = {}

    def finish(self) -> None:
        for person in self._people.values():
            person.close()
        if not self.server.has_ended:
            self.server.terminate()

    def sit_down(
        self,
        *,
        port: int = 0,
        size: tuple[int, int] = (24, 80),
        patch: str = "pass",
        name: str = "Alice",
    ) -> Window:
        """Alice's client, or that of another `name`, starts, after `patch`."""
        patch = f"{clock_patch(self.clock)}; {patch}"
        program = f"import sys, client; {patch}; sys.exit(client.main())"
        words = ["-join", "-host=127.0.0.1", f"-port={port or self.port}", f"-username={name}"]
        words += [f"-passcode={PASSCODE}", f"-ui={self._ui}"]
        command = [sys.executable, "-c", program, *words]
        return self.run(INTERFACES[self._ui], name, command, size=size)

    def alice(self, size: tuple[int, int] = (24, 80)) -> Window:
        """She is in the room, and Bob is."""
        window = self.sit_down(size=size)
        window.sees(typed="Alice·1❯")
        self.person("Bob")
        window.sees(typed="Alice·2❯")
        return window

    def person(self, name: str) -> RawClient:
        """Somebody who is there, or comes in now."""
        if name not in self._people:
            self._people[name] = self.connect(name)
            self._people[name].types(f"JOIN {name} {PASSCODE}")
        return self._people[name]

    def leaves(self, name: str) -> None:
        self._people.pop(name).close()


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    with Chat(tmp_path / "clock") as chat:
        yield chat
