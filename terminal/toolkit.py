"""What prompt_toolkit has in place of a terminal, so that it neither reads, nor writes, nor waits.

Keys are fed to its key processor, so its Input has none. What it draws goes to a Sink. A page is
drawn as whole rows: a row that changes is written whole, so that it stays right when terminal and
prompt_toolkit disagree about the width of a character.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import defaultdict
from collections.abc import Callable

from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import DummyInput
from prompt_toolkit.layout import Container, Dimension
from prompt_toolkit.layout.mouse_handlers import MouseHandlers
from prompt_toolkit.layout.screen import Char, Screen, WritePosition
from prompt_toolkit.mouse_events import MouseEvent
from prompt_toolkit.output.vt100 import Vt100_Output

from reactor import Sink
from terminal.device import window_size

_END = Char("|")


class NoInput(DummyInput):
    """Has no keys, and is not at its end."""

    closed = False


class SinkOutput(Vt100_Output):
    """Writes to `sink`. Nothing but a page has control sequences in its cells."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        term = os.environ.get("TERM")
        super().__init__(io.StringIO(), _size, term, enable_bell=False, enable_cpr=False)

    def write_raw(self, data: str) -> None:
        self._sink.write(data.encode(errors="replace"))

    write = write_raw

    def enable_mouse_support(self) -> None:
        """Buttons and the wheel alone: reports of each movement would wake us."""
        self.write_raw("\x1b[?1000h\x1b[?1006h")

    def disable_mouse_support(self) -> None:
        self.write_raw("\x1b[?1006l\x1b[?1000l")


class PageContainer(Container):
    """Draws the rows of `draw`, for so many columns and lines, and tells of the mouse."""

    def __init__(
        self, draw: Callable[[int, int], list[str]], on_mouse: Callable[[MouseEvent], None]
    ) -> None:
        self._draw = draw
        self._on_mouse = on_mouse

    def write_to_screen(
        self,
        screen: Screen,
        mouse_handlers: MouseHandlers,
        write_position: WritePosition,
        parent_style: str,
        erase_bg: bool,
        z_index: int | None,
    ) -> None:
        width, top = write_position.width, write_position.ypos
        for line, text in enumerate(self._draw(width, write_position.height), start=top):
            screen.data_buffer[line][width - 1] = _END  # so the whole row is erased for another
            screen.data_buffer[line][0] = cell = Char(f"\x1b[K{text}\x1b[m")
            cell.width = width
            mouse_handlers.mouse_handlers[line] = defaultdict(lambda: self._on_mouse)
        screen.height = max(screen.height, top + write_position.height)

    def preferred_width(self, max_available_width: int) -> Dimension:
        return Dimension()

    def preferred_height(self, width: int, max_available_height: int) -> Dimension:
        return Dimension()

    def get_children(self) -> list[Container]:
        return []

    def reset(self) -> None: ...


def count_colours() -> int:
    """How many the terminal has (terminfo(5)); 0 if that is not known."""
    with contextlib.suppress(ImportError):
        import curses

        with contextlib.suppress(curses.error):
            curses.setupterm(fd=1)
            return max(0, curses.tigetnum("colors"))
    return 0


def _size() -> Size:
    columns, lines = window_size()
    return Size(rows=lines, columns=columns)
