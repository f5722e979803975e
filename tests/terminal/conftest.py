"""A room in which Alice sits at a window, whatever the interface, and Bob talks."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.programs import PASSCODE, RawClient, Room
from tests.support.window import FullWindow, LineWindow, Window, clock_patch

INTERFACES: dict[str, type[Window]] = {"line": LineWindow, "full": FullWindow}

TMUX_SETTINGS = """
set -g default-terminal screen-256color
set -g status off
set -g focus-events on
set -s escape-time 0
set -g destroy-unattached on
"""


class Chat(Room):
    """What the server prints and what others read is not looked at: Alice's screen is."""

    def __init__(self, clock: Path, ui: str = "line", flags: Sequence[str] = ()) -> None:
        """The server has these `flags` more."""
        super().__init__(*flags, forked=True)
        self.clock = clock
        self._ui = ui
        self.is_in_tmux = False
        self._people: dict[str, RawClient] = {}

    def finish(self) -> None:
        for person in self._people.values():
            person.close()
        if not self.server.has_ended:
            self.server.terminate()

    def sit_down(
        self,
        *flags: str,
        port: int = 0,
        host: str = "127.0.0.1",
        passcode: Sequence[str] = (f"-passcode={PASSCODE}",),
        size: tuple[int, int] | None = None,
        patch: str = "pass",
        forked: bool = True,
        name: str = "Alice",
        **env: str,
    ) -> Window:
        """Alice's client, or that of another `name`, starts, after `patch`."""
        patch = f"{clock_patch(self.clock)}\n{patch}"
        program = f"import sys, client\n{patch}\nsys.exit(client.main())"
        words = ["-join", f"-host={host}", f"-port={port or self.port}", f"-username={name}"]
        command = [sys.executable, "-c", program, *words, *passcode, f"-ui={self._ui}", *flags]
        if self.is_in_tmux:
            command = self._in_tmux(command)
        kind = INTERFACES[self._ui]
        forked = forked and not self.is_in_tmux
        size = size or kind.USUAL_SIZE
        return self.run(kind, name, command, size=size, env=env, forked=forked)

    def _in_tmux(self, command: Sequence[str]) -> list[str]:
        settings = self.clock.with_name("tmux.conf")
        settings.write_text(TMUX_SETTINGS)
        tmux = ["tmux", "-S", str(self.clock.with_name("tmux")), "-f", str(settings)]
        return [*tmux, "new-session", shlex.join(command)]

    def alice(self, size: tuple[int, int] | None = None) -> Window:
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


@pytest.fixture(params=INTERFACES)
def ui(request: pytest.FixtureRequest) -> str:
    """Each interface that draws."""
    return str(request.param)


@pytest.fixture
def chat(tmp_path: Path, ui: str) -> Iterator[Chat]:
    with Chat(tmp_path / "clock", ui) as chat:
        yield chat


@pytest.fixture
def chat_anywhere(request: pytest.FixtureRequest, chat: Chat) -> Chat:
    """Alice's client has the window to itself, or tmux draws there what it draws."""
    chat.is_in_tmux = request.param == "tmux"
    if chat.is_in_tmux and not shutil.which("tmux"):
        pytest.skip("NOT TESTED: there is no tmux")
    return chat
