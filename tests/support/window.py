"""A client that draws, in a window: what is on the screen is compared, not what was printed.

A Window is a Program on a pseudo-terminal whose output goes through a terminal emulator (pyte). Its
subclasses know where an interface puts its rows and its typed line, so that one script can be
played through each. Times of day are those of the file `clock`.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyte

from terminal.page import SIDE_COLUMNS, WIDE_COLUMNS
from tests.support.programs import Options, Program, Pump, set_size

if TYPE_CHECKING:
    from typing_extensions import Unpack

PLAIN_SETTING = {
    "TERM": "xterm-256color",
    "INPUTRC": os.devnull,
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "",
}

NOON = """from terminal.interactive import InteractiveClient
InteractiveClient.__init__.__defaults__ = (lambda form: open({path!r}).read(),)"""
"""A patch that takes the time of day from a file."""

_SAID = re.compile("^$|(.{14}|.{8}) [│┆»]( |$)|── new ")
_RULE = re.compile(r"── .*?(?P<state>\d+ here|online|offline|away|connecting) ─")
_NOT_DRAWN = str.maketrans("", "", "\u200d\u2068\u2069")  # after which pyte drops what follows


class _Screen(pyte.HistoryScreen):
    """Remembers bells, and answers the terminal's status as terminals do."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__(columns, lines, history=10_000, ratio=0.5)
        self.bells = 0
        self.answers = b""

    def bell(self, *_: Any) -> None:
        self.bells += 1

    def select_graphic_rendition(self, *attrs: int, **private: Any) -> None:
        """pyte knows no dim: it is a colour here."""
        first = tuple(90 if number == 2 else number for number in attrs[:1])
        super().select_graphic_rendition(*first, *attrs[1:])

    def write_process_input(self, data: str) -> None:
        self.answers += data.encode()


class Window(Program):
    """A program that draws, in a window of `size` lines and columns."""

    USUAL_SIZE = (24, 80)
    """In which what is said has 80 columns."""

    def __init__(
        self, pump: Pump, name: str, command: Sequence[str], **options: Unpack[Options]
    ) -> None:
        lines, columns = options.setdefault("size", self.USUAL_SIZE)
        options["on_terminal"] = options["with_echo"] = True
        options["env"] = {**PLAIN_SETTING, **options.get("env", {})}
        super().__init__(pump, name, command, **options)
        self.screen = _Screen(columns, lines)
        self._stream: Any = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._gone: list[str] = []  # the rows that scrolled away, which are read often

    # What is on the screen.

    def rows(self) -> list[str]:
        """Its rows from the first one that scrolled away on, without what is blank at the end."""
        self._draw()
        gone = self.screen.history.top
        if len(gone) < len(self._gone):  # they were erased
            self._gone.clear()
        self._gone += [self._text(gone[place]) for place in range(len(self._gone), len(gone))]
        shown = [self._text(self.screen.buffer[line]) for line in range(self.screen.lines)]
        return "\n".join([*self._gone, *shown]).rstrip("\n").split("\n")

    def style_of(self, text: str) -> Any:
        """How the last place on the screen is drawn where `text` stands."""
        self._draw()
        for line in reversed(range(self.screen.lines)):
            column = self.screen.display[line].rfind(text)
            if column >= 0:
                return self.screen.buffer[line][column]
        raise AssertionError(f"{text!r} is not on the screen:\n" + "\n".join(self.rows()))

    def said(self) -> list[str]:
        """The rows of what was said."""
        raise NotImplementedError

    def typed(self) -> str:
        """The line that is being typed, with its prompt."""
        raise NotImplementedError

    def offers(self, *words: str) -> bool:
        """Whether these, and no others, are offered to complete the typed word."""
        raise NotImplementedError

    def sees(self, *rows: str, typed: str | None = None) -> None:
        """These rows are the last that were said, or come to be, and this is being typed."""

        def is_seen() -> bool:
            is_typed = typed is None or self.typed() == typed
            return is_typed and self.said()[len(self.said()) - len(rows) :] == list(rows)

        self._pump.wait(lambda: is_seen() or bool(self.stdout.end))
        expected = "\n".join([*rows, "" if typed is None else typed])
        assert is_seen(), f"expected:\n{expected}\nseen:\n" + "\n".join(self.rows())

    def waits_for(self, is_done: Callable[[], bool]) -> None:
        """Until it is, or the deadline has passed."""
        self._pump.wait(is_done)
        assert is_done(), "\n".join(self.rows())

    # What the person does.

    def keys(self, text: str) -> None:
        """These keys, in Python's notation for what is no letter."""
        self.feed(
            codecs.decode(text.encode("latin-1", "backslashreplace"), "unicode_escape").encode()
        )

    def resize(self, lines: int, columns: int) -> None:
        self._draw()
        self.screen.resize(lines, columns)
        self._gone.clear()
        set_size(self._stdin, lines, columns)

    def closes(self, status: int) -> None:
        """It ends so, and has switched off what it switched on."""

        def has_ended() -> bool:
            self._draw()  # which answers what it asks the terminal
            return bool(self.stdout.end)

        self._pump.wait(has_ended)
        private_modes = {mode >> 5 for mode in self.screen.mode} & {1000, 1004, 1006, 1049, 2004}
        assert not private_modes
        assert pyte.modes.DECTCEM in self.screen.mode, "the cursor is hidden"
        self.ends(status)

    # Details.

    def _draw(self) -> None:
        data = self._decoder.decode(bytes(self.stdout.unread))
        self.stdout.unread.clear()
        self._stream.feed(data.translate(_NOT_DRAWN))
        if self.screen.answers and self._stdin >= 0:
            answers, self.screen.answers = self.screen.answers, b""
            self.feed(answers)

    def _text(self, row: Any, columns: int | None = None) -> str:
        columns = columns or self.screen.columns
        return "".join(row[column].data for column in range(columns)).rstrip()


class LineWindow(Window):
    """-ui line: rows that scroll, and the typed line below them."""

    def said(self) -> list[str]:
        rows = self.rows()
        return rows[: self._typed_at(rows)]

    def typed(self) -> str:
        rows = self.rows()
        return "\n".join(rows[self._typed_at(rows) :])

    def offers(self, *words: str) -> bool:
        return self.said()[-1] == f"             · │ {'  '.join(words)}"

    def _typed_at(self, rows: list[str]) -> int:
        return max(place + 1 for place, row in enumerate(["", *rows]) if _SAID.match(row)) - 1


class FullWindow(Window):
    """-ui full: rows above a rule, beside the members, and the typed line below it."""

    USUAL_SIZE = (24, 80 + SIDE_COLUMNS)

    def said(self) -> list[str]:
        said = "\n".join(row for row in self._above() if _SAID.match(row))
        return said.rstrip("\n").split("\n")

    def typed(self) -> str:
        place, rule = self._rule()
        state = rule["state"].removesuffix(" here") if rule else ""
        typed = "\n".join(self.rows()[place + 1 :])
        return "Alice" + ("" if state in ("", "online", "connecting") else f"·{state}") + typed

    def offers(self, *words: str) -> bool:
        offered = [row.split()[0] for row in self._above() if row and not _SAID.match(row)]
        return offered == list(words)

    def _above(self) -> list[str]:
        """The rows above the rule, without the members."""
        columns = self.screen.columns
        pane = columns - SIDE_COLUMNS if columns >= WIDE_COLUMNS else columns
        return [self._text(self.screen.buffer[line], pane) for line in range(self._rule()[0])]

    def _rule(self) -> tuple[int, re.Match[str] | None]:
        """Where it is, and what it says."""
        found = [(place, _RULE.match(row)) for place, row in enumerate(self.rows())]
        return next((rule for rule in reversed(found) if rule[1]), (0, None))


def clock_patch(path: Path, time: str = "12:13") -> str:
    """The patch for a clock that stands at `time` until its file is written anew."""
    path.write_text(time)
    return NOON.format(path=str(path))
