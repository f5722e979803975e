"""The page of `-ui full`: what was said, who is here, what may be completed, and a rule.

In: its state, and its size. Out: one text for each row of the terminal, with our control sequences,
and the name that stands at a place. Nothing is raised.

    12:13      bob │ hello                                                        │ Alice
                   │ it is late                                                   │ bob
       :Users   lists who is in the room                                          │
    ── Alice ── 127.0.0.1 port 65432 ── 2 here ─────────────────────────────── 3 new ──
"""

from __future__ import annotations

import re

from codec.commands import COMMANDS
from terminal.formatter import Formatter
from terminal.palette import Palette
from terminal.questions import LOCAL_COMMANDS
from terminal.scrollback import Scrollback, ShownRow

WIDE_COLUMNS = 80
"""Columns from which there is a list of members."""

SIDE_COLUMNS = 10
"""Of that list: `│ ` and the longest username."""

MENU_LINES = 8

HINT = "Tab completes, PgUp scrolls, Ctrl-D leaves"

_BOLD = "1"
_NAME_ENDS = 14  # the columns of a time and of a name
_HELPS = {row.word: row.help.removeprefix(row.word) for row in COMMANDS}
_HELPS |= {word: text.removeprefix(word) for word, text in LOCAL_COMMANDS.items()}
_HELPS |= {":mytime": " becomes the time", ":+1hr": " becomes the time in an hour"}


class Page:
    """What is to be drawn; each of these may be set at any time."""

    def __init__(self, username: str, server: str, palette: Palette, formatter: Formatter) -> None:
        self.server = server
        self.scrollback = Scrollback(formatter.format)
        self.members: list[str] = []
        self.state = "connecting"
        self.is_online = True
        self.new_rows = 0
        self.offers: list[str] = []
        self.needle = ""
        self.hint = HINT
        self._username = username
        self._palette = palette
        self._quiet = palette.quiet
        self._paint = formatter.paint
        self._pane = 0  # columns of what was said
        self._shown: list[ShownRow] = []
        self._sorted: list[str] = []

    def draw(self, columns: int, lines: int) -> list[str]:
        """The rows, as many as `lines`."""
        has_side = columns >= WIDE_COLUMNS
        self._pane = columns - SIDE_COLUMNS if has_side else columns
        menu = self._menu(lines // 2)
        height = max(0, lines - 1 - len(menu))
        self._shown = self.scrollback.show(self._pane, height)
        texts = [self._marked(row) for row in self._shown]
        texts += [""] * (height - len(texts)) + menu
        if has_side:
            bar = f"\x1b[{self._pane + 1}G{self._paint('│', self._quiet)} "
            texts = [
                text + bar + name for text, name in zip(texts, self._side(lines - 1), strict=True)
            ]
        return [*texts, self._rule(columns)][-lines:]

    def name_at(self, column: int, line: int) -> str:
        """The username there, or ""."""
        if column >= self._pane:
            return self._sorted[line] if line < len(self._sorted) else ""
        row = self._shown[line].row if line < len(self._shown) else None
        return row.speaker if row and column < _NAME_ENDS else ""

    # Details.

    def _marked(self, shown: ShownRow) -> str:
        """The row, with what was searched for reversed; control sequences are skipped."""
        if not shown.is_found or not self.needle:
            return shown.text
        pattern = rf"(\x1b\[[0-9;]*m)|({re.escape(self.needle)})"
        return re.sub(
            pattern,
            lambda found: found[1] or f"\x1b[7m{found[2]}\x1b[27m",
            shown.text,
            flags=re.IGNORECASE,
        )

    def _menu(self, lines: int) -> list[str]:
        lines = min(lines, MENU_LINES)
        offers = self.offers[:lines]
        width = max(map(len, offers), default=0)
        texts = []
        for offer in offers:
            word = f"   {offer.ljust(width)} "[: self._pane - 1]
            about = _HELPS.get(offer.strip(), "")[: self._pane - 1 - len(word)]
            texts.append(word + self._paint(about, self._quiet))
        if len(self.offers) > lines > 0:
            more = f"   and {len(self.offers) - lines + 1} more"[: self._pane - 1]
            texts[-1:] = [self._paint(more, self._quiet)]
        return texts

    def _side(self, lines: int) -> list[str]:
        self._sorted = sorted(self.members, key=str.lower)
        if len(self._sorted) > lines:
            self._sorted[max(0, lines - 1) :] = []
        texts = [self._member(name) for name in self._sorted]
        if len(texts) < min(lines, len(self.members)):
            texts.append(self._paint(f"+{len(self.members) - len(texts):,}", self._quiet))
        return texts + [""] * (lines - len(texts))

    def _member(self, name: str) -> str:
        if name == self._username:
            return self._paint(name, _BOLD)
        return self._paint(name, "", self._palette.colour_of(name))

    def _rule(self, columns: int) -> str:
        """What does not fit is left out: the hint first, the state and what is new last."""
        name, server = (self._username, _BOLD, ""), (self.server, "", "")
        left = [name, server, (self.state, "", "" if self.is_online else self._palette.bad)]
        hint, back = (self.hint, self._quiet, ""), ("scrolled back", "", "")
        new = (f"{self.new_rows:,} new", "", self._palette.bad)
        is_told = {hint: self.hint, back: not self.scrollback.follows, new: self.new_rows}
        right = [part for part, is_it in is_told.items() if is_it]
        for part in (hint, back, server, name, new):
            if _width(left + right) + 2 * (part is hint) > columns:  # it has a dash before it
                left = [x for x in left if x != part]
                right = [x for x in right if x != part]
        dash = self._paint("─" * max(0, columns - _width(left + right)), self._quiet)
        edge = self._paint("──", self._quiet)
        begins = "".join(f"{edge} {self._paint(*part)} " for part in left)
        ends = "".join(f" {self._paint(*part)} {edge}" for part in right)
        return f"{begins}{dash}{ends}"


def _width(parts: list[tuple[str, str, str]]) -> int:
    return sum(len(text) + 4 for text, _, _ in parts)
