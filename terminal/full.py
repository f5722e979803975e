"""The screen of `-ui full`: the whole window, with its keys and its line edited by prompt_toolkit.

In: rows, keys, and the size. Out: bytes for the terminal, for new rows at most once in
FRAME_SECONDS, and calls of a DrawnScreenOwner. All of it runs on our loop, which turns asyncio's in
steps.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import termios

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, has_focus, is_searching
from prompt_toolkit.formatted_text import AnyFormattedText
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.mouse_events import MouseEvent, MouseEventType
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.search import accept_search
from prompt_toolkit.widgets import SearchToolbar

from reactor import Reactor, Sink, Source, Timer, stop_process
from terminal.asyncio_steps import SteppedLoop
from terminal.conversation import Row, RowKind
from terminal.device import discard_input, take_interrupt, window_size, write_now
from terminal.formatter import Formatter
from terminal.interactive import DrawnScreenOwner
from terminal.keys import FOCUS_OFF, FOCUS_ON, INTERRUPT, Focus, KeyDecoder
from terminal.page import Page
from terminal.palette import Palette
from terminal.toolkit import NoInput, PageContainer, SinkOutput, count_colours

FRAME_SECONDS = 1 / 30
"""Least time between two drawings of new rows."""

ESCAPE_SECONDS = 0.1
"""How long after Esc the rest of a control sequence may come; after that it was the Esc key."""

WHEEL_LINES = 3
FIND_HINT = "Enter and Up find older, Down newer, Esc ends"

_BELL = b"\a"
_MOUSE = b"\x1b[<"
_UNFINISHED = re.compile(rb"\x1b(\[[0-9;<]*|O)?$")
_DEPTHS = (ColorDepth.DEPTH_1_BIT, ColorDepth.DEPTH_8_BIT)  # of what is edited
_NEWS = (RowKind.SAID, RowKind.MENTION, RowKind.PRIVATE)


class FullScreen:
    """A DrawnScreen on standard input and output, which are a terminal. `server` is its name."""

    def __init__(
        self, reactor: Reactor, username: str, server: str, *, may_colour: bool, is_unicode: bool
    ) -> None:
        self._reactor = reactor
        self._owner: DrawnScreenOwner
        self._palette = Palette(count_colours() if may_colour else 0)
        formatter = Formatter(self._palette, is_unicode)
        self._prompt = formatter.paint("❯ ")
        self._page = Page(username, server, self._palette, formatter)
        self._decoder = KeyDecoder()
        self._escape: Timer | None = None
        self._keyboard: Source | None = None
        self._output = Sink(
            reactor,
            1,
            max_bytes=math.inf,
            on_flushed=self._flushed,
            on_error=lambda error: self._owner.screen_failed(),
        )
        self._loop = SteppedLoop(reactor)
        self._line, self._sought = Buffer(multiline=False), Buffer(multiline=False)
        self._line.on_text_changed += lambda _: self._forget_offers()
        self._sought.on_text_changed += lambda _: self._find(is_next=False)
        self._app = self._make_application()
        self._parser = Vt100Parser(self._app.key_processor.feed)
        self._offers: list[str] = []  # asked for by Tab
        self._drawn_at = -math.inf
        self._is_draw_due = False
        self._is_open = False
        self._is_away = False
        self._has_reported = False

    @property
    def owed_bytes(self) -> int:
        """Nothing: rows that the terminal has not taken yet are drawn over."""
        return 0

    def open(self, owner: DrawnScreenOwner) -> None:
        self._owner = owner
        self._as_found = termios.tcgetattr(0)
        self._is_open = True
        self._take_terminal()
        self._keyboard = Source(self._reactor, 0, self._typed, owner.end_typed)
        run = self._app.run_async(handle_sigint=False, set_exception_handler=False)
        self._task = self._loop.create_task(run)
        self._loop.step()  # it takes no key before it has begun

    def show(self, rows: list[Row]) -> None:
        page = self._page
        for row in rows:
            page.scrollback.add(row)
            if row.kind is RowKind.UNREAD:
                self._is_away, page.new_rows = True, 0
            elif (self._is_away or not page.scrollback.follows) and row.kind in _NEWS:
                page.new_rows += 1
        if any(row.rings for row in rows):
            write_now(_BELL)
        self._queue_draw()

    def set_server(self, name: str) -> None:
        if name != self._page.server:
            self._page.server = name
            self._queue_draw()

    def set_state(self, members: list[str], is_online: bool) -> None:
        page = self._page
        if is_online:
            state = f"{len(members)} here" if members else "online"
        else:
            state = "away" if members else "offline"
        if (members, state) == (page.members, page.state):
            return
        page.members, page.is_online, page.state = members, is_online, state
        if members:
            self._palette.keep_only(set(members))
        self._queue_draw()

    def clear_line(self) -> None:
        if self._app.layout.has_focus(self._sought):
            self._end_find()
        else:
            self._app.layout.focus(self._line)
            self._line.reset()
        self._app.quoted_insert = False
        self._forget_offers()
        self._app.invalidate()

    def ring(self) -> None:
        write_now(_BELL)

    def resize(self) -> None:
        if handler := self._loop.signal_handlers.get(signal.SIGWINCH):
            self._loop.call_soon(handler)

    def suspend(self) -> None:
        self._app.renderer.erase()
        self._give_terminal()
        stop_process()
        self._take_terminal()
        self._app.invalidate()

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._keyboard:
            self._keyboard.pause()
        with contextlib.suppress(Exception):  # it ends in any case
            self._app.exit()
        self._task.cancel()
        self._loop.step()
        self._loop.close()
        self._give_terminal()

    # The terminal.

    def _take_terminal(self) -> None:
        """Keys come one by one. Ctrl-Z and Ctrl-\\ stay signals, and discard nothing."""
        mode = termios.tcgetattr(0)
        mode[0] &= ~(termios.IXON | termios.IXOFF | termios.ICRNL | termios.INLCR | termios.IGNCR)
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
        mode[3] |= termios.NOFLSH
        take_interrupt(mode)
        termios.tcsetattr(0, termios.TCSANOW, mode)
        write_now(FOCUS_ON)

    def _give_terminal(self) -> None:
        self._output.flush()
        write_now(FOCUS_OFF)
        discard_input(self._has_reported)
        with contextlib.suppress(termios.error):  # EIO: it is gone
            termios.tcsetattr(0, termios.TCSANOW, self._as_found)

    def _typed(self, data: bytes) -> None:
        self._has_reported |= _MOUSE in data
        for part in self._decoder.feed_data(data):
            if isinstance(part, Focus):
                self._has_reported = True
                self._is_away &= part is Focus.LOST
                self._owner.focus_changed(part is Focus.GAINED)
            elif self._is_open:
                self._is_away = False
                self._owner.key_pressed()
                if part == INTERRUPT:
                    self._end_escape()
                    self._loop.step()  # the keys before it
                    self._owner.interrupted()
                else:
                    self._feed_keys(part)

    def _feed_keys(self, keys: bytes) -> None:
        self._parser.feed(keys.decode("utf-8", "surrogateescape"))
        self._loop.call_soon(self._app.key_processor.process_keys)
        if self._escape:
            self._escape.cancel()
            self._escape = None
        if _UNFINISHED.search(keys):
            self._escape = self._reactor.call_later(ESCAPE_SECONDS, self._end_escape)

    def _end_escape(self) -> None:
        """Nothing followed: Esc is a key of its own."""
        self._parser.flush()
        self._loop.call_soon(self._app.key_processor.process_keys)

    def _queue_draw(self) -> None:
        if not self._is_draw_due:
            self._is_draw_due = True
            due_at = max(self._reactor.now, self._drawn_at + FRAME_SECONDS)
            self._reactor.call_at(due_at, self._draw)

    def _draw(self) -> None:
        """Draw, as soon as the terminal has taken what was drawn before."""
        if not self._output.owed_bytes:
            self._is_draw_due = False
            self._drawn_at = self._reactor.now
            self._app.invalidate()

    def _flushed(self) -> None:
        if self._is_draw_due:
            self._is_draw_due = False
            self._queue_draw()

    # What is drawn.

    def _make_application(self) -> Application[None]:
        is_finding = has_focus(self._sought)
        app: Application[None] = Application(
            layout=self._make_layout(is_finding),
            key_bindings=self._make_bindings(is_finding),
            full_screen=True,
            mouse_support=True,
            erase_when_done=True,
            enable_page_navigation_bindings=False,
            max_render_postpone_time=None,
            terminal_size_polling_interval=None,
            color_depth=_DEPTHS[bool(self._palette.good)],
            include_default_pygments_style=False,
            input=NoInput(),
            output=SinkOutput(self._output),
        )
        app.timeoutlen = None  # type: ignore[assignment]  # or each key is followed by a timer
        app.ttimeoutlen = 0
        return app

    def _make_layout(self, is_finding: Condition) -> Layout:
        search = SearchToolbar()
        edited = BufferControl(
            self._line,
            input_processors=[BeforeInput(self._format_prompt)],
            search_buffer_control=search.control,
            preview_search=True,
        )
        sought = BufferControl(self._sought, input_processors=[BeforeInput("find: ")])
        body = HSplit(
            [
                PageContainer(self._draw_page, self._mouse_used),
                ConditionalContainer(_window(edited), ~is_finding),
                ConditionalContainer(_window(sought), is_finding),
                search,
            ]
        )
        return Layout(body, focused_element=edited)

    def _format_prompt(self) -> AnyFormattedText:
        return [("bold fg:#008700" if self._page.is_online else "", self._prompt)]

    def _draw_page(self, columns: int, lines: int) -> list[str]:
        page = self._page
        before = self._line.document.text_before_cursor
        page.offers = self._offers
        if not self._offers and re.fullmatch(r":\S*", before):
            page.offers = [text for text in self._owner.completions(before) if text != before]
        page.needle = self._sought.text
        rows = page.draw(columns, lines)
        if page.new_rows and page.scrollback.follows and not self._is_away:
            page.new_rows = 0
            rows = page.draw(columns, lines)
        return rows

    # What is pressed.

    def _make_bindings(self, is_finding: Condition) -> KeyBindings:
        is_empty = Condition(lambda: not self._line.text)
        editing = ~is_finding & ~is_searching
        scrollback = self._page.scrollback
        bindings = KeyBindings()
        for key, call, when in (
            ("enter", self._enter, editing),
            ("tab", self._complete, editing),
            ("c-d", lambda: self._owner.end_typed(), editing & is_empty),
            ("c-f", self._begin_find, editing),
            ("home", scrollback.scroll_to_oldest, editing & is_empty),
            ("end", scrollback.follow, editing & is_empty),
            ("pageup", lambda: scrollback.scroll_page(1), ~is_searching),
            ("pagedown", lambda: scrollback.scroll_page(-1), ~is_searching),
            ("escape", self._end_find, is_finding),
            ("c-g", self._end_find, is_finding),
            *((key, self._find, is_finding) for key in ("enter", "c-f", "up")),
            ("down", lambda: self._find(towards_oldest=False), is_finding),
        ):
            bindings.add(key, filter=when, eager=key == "escape")(lambda event, call=call: call())
        for key in ("c-a", "c-e", "home", "end", "left", "right"):
            bindings.add(key, filter=is_searching)(_accept_search)
        bindings.add("c-v", filter=editing)(get_by_name("quoted-insert"))
        return bindings

    def _enter(self) -> None:
        if self._owner.line_entered(self._line.text):
            for text in filter(str.strip, self._line.text.split("\n")):
                if text != next(iter(reversed(self._line.history.get_strings())), ""):
                    self._line.history.append_string(text)
            self._line.reset()
            self._page.scrollback.remove_mark()
            self._page.scrollback.follow()
            self._page.hint = ""

    def _complete(self) -> None:
        before = self._line.document.text_before_cursor
        found = self._owner.completions(before)
        word = re.split("[ \t]", before)[-1]
        common = os.path.commonprefix(found)  # noqa: RUF071 (of characters)
        if not found and before.rstrip(": ") in self._page.members:
            self._begin_private(before.rstrip(": "))
        elif len(common) > len(word):
            self._line.delete_before_cursor(len(word))
            self._line.insert_text(common)
        self._offers = found if len(found) > 1 else []

    def _begin_private(self, name: str) -> None:
        text = re.sub(rf"^(:Msg \S+ |{re.escape(name)}:? *$)", "", self._line.text)
        self._line.text = f":Msg {name} {text}"
        self._line.cursor_position = len(self._line.text)

    def _forget_offers(self) -> None:
        self._offers = []

    def _begin_find(self) -> None:
        self._sought.reset()
        self._app.layout.focus(self._sought)
        self._page.hint = FIND_HINT

    def _end_find(self) -> None:
        self._app.layout.focus(self._line)
        self._page.scrollback.follow()
        self._page.hint = ""

    def _find(self, towards_oldest: bool = True, is_next: bool = True) -> None:
        text, scrollback = self._sought.text, self._page.scrollback
        if not text:
            scrollback.follow()
        has_found = not text or scrollback.find(text, towards_oldest, is_next)
        self._page.hint = FIND_HINT if has_found else "not found"

    def _mouse_used(self, event: MouseEvent) -> None:
        if event.event_type is MouseEventType.SCROLL_UP:
            self._page.scrollback.scroll(WHEEL_LINES)
        elif event.event_type is MouseEventType.SCROLL_DOWN:
            self._page.scrollback.scroll(-WHEEL_LINES)
        elif event.event_type is MouseEventType.MOUSE_UP:
            name = self._page.name_at(event.position.x, event.position.y)
            if name:
                self._begin_private(name)


def _window(control: BufferControl) -> Window:
    """As high as its text, up to a third of the window."""

    def height() -> Dimension:
        return Dimension(min=1, max=max(1, window_size().lines // 3))

    return Window(control, height=height, wrap_lines=True, dont_extend_height=True)


def _accept_search(event: KeyPressEvent) -> None:
    """As readline has it: a key that moves ends the search, and moves."""
    accept_search()
    event.key_processor.feed(event.key_sequence[-1], first=True)
