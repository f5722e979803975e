"""The screen of `-ui line`: rows that scroll, and one line below them that readline edits.

The terminal's own scrolling and selecting stay: rows are printed and never changed, except the last
one, to which further joins are added. What is to be shown waits for the end of the turn. Then the
line is cleared, the rows are written, and the line is drawn again below them.
"""

from __future__ import annotations

import math

from reactor import Reactor, Sink, Source, is_in_background, stop_process
from terminal.conversation import Row
from terminal.device import discard_input, window_size, write_now
from terminal.formatter import Formatter
from terminal.interactive import DrawnScreenOwner
from terminal.keys import (
    FOCUS_OFF,
    FOCUS_ON,
    INTERRUPT,
    PASTE_OFF,
    PASTE_ON,
    Focus,
    KeyDecoder,
)
from terminal.palette import Palette
from terminal.readline_binding import Readline

_BELL = b"\a"
_MODES_OFF = PASTE_OFF + FOCUS_OFF


class LineScreen:
    """A DrawnScreen on standard input and output, which are a terminal. Raises UnsupportedError
    where readline cannot be had."""

    def __init__(
        self, reactor: Reactor, username: str, *, may_colour: bool, is_unicode: bool
    ) -> None:
        self._reactor = reactor
        self._owner: DrawnScreenOwner
        self._username = username
        self._readline = Readline(self)
        self._palette = Palette(self._colours(may_colour))
        self._formatter = Formatter(self._palette, is_unicode)
        self._decoder = KeyDecoder()
        self._keyboard: Source | None = None
        self._output = Sink(
            reactor,
            1,
            max_bytes=math.inf,
            on_flushed=self._flushed,
            on_error=lambda error: self._owner.screen_failed(),
        )
        self._rows: list[Row] = []
        self._last_height = 0  # of the last row, in rows of the terminal; 0: it cannot be replaced
        self._state = (0, False)
        self._is_draw_queued = False
        self._is_line_shown = False
        self._is_open = False
        self._has_reported = False  # the focus

    @property
    def owed_bytes(self) -> int:
        return self._output.owed_bytes

    def open(self, owner: DrawnScreenOwner) -> None:
        self._owner = owner
        self._is_open = self._is_line_shown = True
        self._readline.open(self._prompt())
        write_now(self._modes_on())
        self._keyboard = Source(self._reactor, 0, self._typed, owner.end_typed)

    def show(self, rows: list[Row]) -> None:
        self._rows += rows
        self._queue_draw()

    def set_server(self, name: str) -> None:
        """The line does not show it."""

    def set_state(self, members: list[str], is_online: bool) -> None:
        state = (len(members), is_online)
        if self._state != state:
            self._state = state
            if members:
                self._palette.keep_only(set(members))
            self._queue_draw()

    def clear_line(self) -> None:
        if self._is_line_shown:
            self._readline.clear_line()

    def ring(self) -> None:
        write_now(_BELL)

    def resize(self) -> None:
        self._last_height = 0
        if self._is_line_shown:
            self._readline.resize()

    def suspend(self) -> None:
        if not is_in_background(0):  # or the shell's prompt stands there already
            self._readline.hide()
        write_now(_MODES_OFF)
        self._readline.give_back()
        stop_process()
        self._last_height = 0
        self._readline.take_again()
        write_now(self._modes_on())
        self._readline.show()

    def close(self) -> None:
        """Write the rows that are left, unless the terminal takes none, and give it back."""
        if not self._is_open:
            return
        self._draw()
        self._is_open = False
        if self._keyboard:
            self._keyboard.pause()
        self._readline.close()
        write_now(_MODES_OFF)
        discard_input(self._has_reported)
        self._readline.give_back()

    # For readline.

    def line_entered(self, text: str) -> bool:
        return self._owner.line_entered(text)

    def end_typed(self) -> None:
        self._owner.end_typed()

    def completions(self, before: str) -> list[str]:
        return self._owner.completions(before)

    def list_completions(self, texts: list[str]) -> None:
        self._owner.list_completions(texts)

    def report(self) -> None:
        self._reactor.report()

    # Details.

    def _typed(self, data: bytes) -> None:
        for part in self._decoder.feed_data(data):
            if isinstance(part, Focus):
                self._has_reported = True
                self._owner.focus_changed(part is Focus.GAINED)
            elif self._is_open:
                self._owner.key_pressed()
                if part == INTERRUPT:
                    self._owner.interrupted()
                else:
                    self._readline.feed_keys(part)

    def _queue_draw(self) -> None:
        if not self._is_draw_queued and self._is_line_shown:
            self._is_draw_queued = True
            self._reactor.call_at_end(self._draw)

    def _draw(self) -> None:
        """Write all rows that wait. The line is drawn again when the terminal has taken them."""
        self._is_draw_queued = False
        if not self._is_open or not self._is_line_shown:
            return
        self._readline.hide()
        self._is_line_shown = False
        if self._keyboard:
            self._keyboard.pause()
        rows, self._rows = self._rows, []
        self._output.write(self._drawn(rows).encode(errors="replace"))
        self._output.flush()

    def _flushed(self) -> None:
        if not self._is_open or self._is_line_shown:
            return
        self._is_line_shown = True
        self._readline.set_prompt(self._prompt())
        self._readline.show()
        if self._keyboard:
            self._keyboard.resume()
        self._owner.screen_flushed()
        if self._rows:
            self._queue_draw()

    def _drawn(self, rows: list[Row]) -> str:
        columns, lines = window_size()
        texts: list[list[str]] = []
        begins_with = ""
        for row in rows:
            text = self._formatter.format(row, columns)
            if row.replaces_last and texts:
                texts[-1] = text
                continue
            if row.replaces_last and 0 < self._last_height < lines:
                begins_with = f"\x1b[{self._last_height}A\r\x1b[J"
            texts.append(text)
        if texts:
            self._last_height = len(texts[-1])
        bell = _BELL.decode() if any(row.rings for row in rows) else ""
        return bell + begins_with + "".join(f"{line}\n" for text in texts for line in text)

    def _prompt(self) -> str:
        parts = self._formatter.format_prompt(self._username, *self._state)
        return "".join(
            f"\x01\x1b[{sgr}m\x02{text}\x01\x1b[m\x02" if sgr else text for text, sgr in parts
        )

    def _modes_on(self) -> bytes:
        return FOCUS_ON + (PASTE_ON if self._readline.wants_paste_marks else b"")

    def _colours(self, may_colour: bool) -> int:
        return self._readline.colours if may_colour else 0
