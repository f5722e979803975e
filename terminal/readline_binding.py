"""GNU readline's callback interface (its manual, section 2.4.12), through ctypes.

In: bytes as a terminal sends them. Out: the calls of a LineOwner. Readline edits one line, and
draws it with its prompt on standard output, as ~/.inputrc says; it runs only within calls from
here. The process has one readline, so there is one Readline at a time. Raises UnsupportedError if
the `readline` module is missing, is libedit, or lacks a symbol.

Readline reads no descriptor. It gets each byte from here, and is told that no more bytes wait, so
that it never blocks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import termios
from collections.abc import Callable
from typing import Any, Protocol

from reactor import set_terminal
from terminal.device import take_interrupt

HISTORY_LINES = 1000
"""Most lines that are remembered, in memory alone: private ones are among them."""

_EOF = -1
_COMMAND = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)
_GETC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_HOOK = ctypes.CFUNCTYPE(ctypes.c_int)
_LINE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_FUNCTIONS = (
    *("rl_bind_keyseq_in_map", "rl_callback_handler_install", "rl_callback_handler_remove"),
    *("rl_callback_read_char", "rl_callback_sigcleanup", "rl_clear_visible_line"),
    *("rl_forced_update_display", "rl_free_undo_list", "rl_get_keymap_by_name"),
    *("rl_invoking_keyseqs_in_map", "rl_named_function", "rl_on_new_line", "rl_prep_terminal"),
    *("rl_resize_terminal", "rl_set_prompt", "rl_variable_value", "stifle_history"),
)
_VARIABLES = (
    *("rl_catch_signals", "rl_catch_sigwinch", "rl_change_environment", "rl_deprep_term_function"),
    *("rl_done", "rl_end", "rl_getc_function", "rl_input_available_hook", "rl_line_buffer"),
    *("rl_prep_term_function", "rl_readline_state"),
)
_MESSAGE_STATES = 0x80 | 0x100 | 0x400  # RL_STATE_ISEARCH, _NSEARCH, _NUMERICARG

_SETTINGS = (
    "set enable-bracketed-paste on",
    "set completion-ignore-case on",
    "set show-all-if-ambiguous on",
    "set blink-matching-paren off",  # it would wait for half a second
    "tab: complete",
)
_KEYMAPS = ("emacs", "vi-insert", "vi-move")
_ACCEPTING = ("accept-line", "operate-and-get-next")


class UnsupportedError(ImportError):
    """This Python has no GNU readline that we can use. The text says why."""


class LineOwner(Protocol):
    """What a Readline tells its owner."""

    def line_entered(self, text: str) -> bool:
        """Enter was pressed. Whether the line is taken; otherwise it stays as it is."""

    def end_typed(self) -> None:
        """Ctrl-D on an empty line."""

    def completions(self, before: str) -> list[str]:
        """Whole words for the last one before the cursor."""

    def list_completions(self, texts: list[str]) -> None:
        """Show these; there are several."""

    def report(self) -> None:
        """Report the exception that is being handled: it is a bug."""


class Readline:
    """One line that is being edited. From `open` to `close` the terminal is readline's."""

    def __init__(self, owner: LineOwner) -> None:
        self._owner = owner
        self._module, self._library = load()
        self._libc = ctypes.CDLL(None)
        self._keys = bytearray()
        self._is_installed = False
        self._has_taken = False
        self._prompt = b""
        self._found: list[str] = []
        self._as_found: list[Any] = []
        self._raw: list[Any] = []
        # ctypes keeps no reference to what it is given.
        self._on_enter = _COMMAND(self._guarded(self._enter, 0))
        self._on_line = _LINE(self._guarded(self._line_done, None))
        self._next_key = _GETC(self._guarded(self._take_key, _EOF))
        self._has_key = _HOOK(self._guarded(self._is_key_there, 0))

    # The terminal.

    def open(self, prompt: str) -> None:
        """Take the terminal of standard input, and show the prompt. Raises termios.error."""
        self._as_found = termios.tcgetattr(0)
        self._set_up()
        # Readline would give the terminal back for a moment with each line, and the kernel would
        # echo what is typed in that moment. So we take the terminal once.
        self._library.rl_prep_terminal(1)
        for name in ("rl_prep_term_function", "rl_deprep_term_function"):
            self._variable(name, ctypes.c_void_p).value = None
        self._raw = termios.tcgetattr(0)
        self._raw[0] &= ~(termios.IXON | termios.IXOFF)  # Ctrl-S searches, and nothing stands still
        self._raw[3] |= termios.NOFLSH  # Ctrl-Z drops neither rows on their way nor what is typed
        take_interrupt(self._raw)
        self._prompt = prompt.encode(errors="replace")
        self.take_again()
        self._install()

    def give_back(self) -> None:
        """Leave the terminal as it was found; the line stays as it is, to be hidden before."""
        set_terminal(0, self._as_found)

    def take_again(self) -> None:
        """Undo `give_back`."""
        set_terminal(0, self._raw)

    def close(self) -> None:
        """Edit no more: the line is gone from the screen."""
        if self._is_installed:
            self.hide()
            self._is_installed = False
            self._library.rl_callback_handler_remove()

    @property
    def wants_paste_marks(self) -> bool:
        """Whether pastes are to be marked, as ~/.inputrc says."""
        return bool(self._library.rl_variable_value(b"enable-bracketed-paste") == b"on")

    @property
    def colours(self) -> int:
        """How many colours the terminal has (terminfo(5)); 0 if that is not known."""
        with contextlib.suppress(AttributeError):
            return max(0, int(self._library.tgetnum(b"Co")))
        return 0

    # The line.

    def feed_keys(self, data: bytes) -> None:
        """What was typed, in pieces that a KeyDecoder makes."""
        self._keys += data
        while self._keys and self._is_installed:
            self._library.rl_callback_read_char()

    def hide(self) -> None:
        """Clear the prompt and the line from the screen. The cursor is where they began."""
        if self._is_installed:
            self._library.rl_clear_visible_line()
            self._libc.fflush(None)

    def show(self) -> None:
        """Draw them where the cursor is, at the beginning of a row."""
        if self._is_installed:
            self._library.rl_on_new_line()
            self._library.rl_forced_update_display()

    def set_prompt(self, prompt: str) -> None:
        """Another one from the next `show` on, unless a search has its own in that place. Texts
        between \\x01 and \\x02 take no columns."""
        encoded = prompt.encode(errors="replace")
        has_message = self._variable("rl_readline_state").value & _MESSAGE_STATES
        if encoded != self._prompt and not has_message:
            self._prompt = encoded
            self._library.rl_set_prompt(encoded)

    def clear_line(self) -> None:
        """Forget what is typed, as Ctrl-C does."""
        if self._is_installed:
            self.hide()
            self._keys.clear()
            self._library.rl_callback_sigcleanup()
            self._library.rl_free_undo_list()
            self._library.rl_callback_handler_remove()
            self._install()

    def resize(self) -> None:
        """The terminal has another size."""
        if self._is_installed:
            self._library.rl_resize_terminal()

    # For readline.

    def _enter(self, count: int, key: int) -> int:
        self._has_taken = self._owner.line_entered(self._text())
        if self._has_taken:
            self._library.rl_clear_visible_line()
            self._variable("rl_done").value = 1
        return 0

    def _line_done(self, pointer: int | None) -> None:
        """`pointer` is of the line, which is to be freed, or NULL: the end of what is typed."""
        if pointer is None:
            self.hide()
            self._owner.end_typed()
            return
        text = _decoded(ctypes.string_at(pointer))
        self._libc.free(ctypes.c_void_p(pointer))
        has_taken, self._has_taken = self._has_taken, False
        if not has_taken:  # it came by a command that calls readline's own Enter
            self._owner.line_entered(text)
        # Readline begins a new line behind this one's entry, which must be there by now.
        for line in filter(str.strip, text.split("\n")):
            length = self._module.get_current_history_length()
            if not length or self._module.get_history_item(length) != line:
                self._module.add_history(line)

    def _take_key(self, stream: int) -> int:
        if not self._keys:  # within a key, where a command wants one more and has not been left
            with contextlib.suppress(OSError):
                self._keys += os.read(0, 1)
        return self._keys.pop(0) if self._keys else _EOF

    def _is_key_there(self) -> int:
        return int(bool(self._keys))

    def _complete(self, word: str, state: int) -> str | None:
        """The interface of readline.set_completer."""
        if not state:
            before = self._module.get_line_buffer()
            before = before.encode(errors="surrogateescape")[: self._module.get_endidx()]
            self._found = self._owner.completions(_decoded(before))
        return self._found[state] if state < len(self._found) else None

    def _list(self, word: str, matches: list[str], longest: int) -> None:
        self._owner.list_completions(matches)

    # Details.

    def _set_up(self) -> None:
        for name in ("rl_catch_signals", "rl_catch_sigwinch", "rl_change_environment"):
            self._variable(name).value = 0
        for name, hook in (
            ("rl_getc_function", self._next_key),
            ("rl_input_available_hook", self._has_key),
        ):
            address = ctypes.cast(hook, ctypes.c_void_p).value
            self._variable(name, ctypes.c_void_p).value = address
        module = self._module
        module.set_completer(self._complete)
        module.set_completer_delims(" \t\n")
        module.set_completion_display_matches_hook(self._list)
        # CPython switches marked pastes off. ~/.inputrc has the last word, so it is read again.
        for setting in _SETTINGS:
            module.parse_and_bind(setting)
        with contextlib.suppress(OSError):
            module.read_init_file()
        if not os.isatty(2):  # where readline rings
            module.parse_and_bind("set bell-style none")
        module.set_auto_history(False)
        self._library.stifle_history(HISTORY_LINES)
        for keymap in _KEYMAPS:
            self._bind_enter(self._library.rl_get_keymap_by_name(keymap.encode()))

    def _bind_enter(self, keymap: int) -> None:
        """What accepts a line there comes to `_enter`: readline's own leaves it on the screen."""
        for command in _ACCEPTING:
            function = self._library.rl_named_function(command.encode())
            sequences = self._library.rl_invoking_keyseqs_in_map(function, keymap)
            place = 0
            while sequences and sequences[place]:
                self._library.rl_bind_keyseq_in_map(sequences[place], self._on_enter, keymap)
                place += 1

    def _install(self) -> None:
        self._is_installed = True
        self._library.rl_callback_handler_install(self._prompt, self._on_line)

    def _text(self) -> str:
        buffer = self._variable("rl_line_buffer", ctypes.c_void_p).value
        return _decoded(ctypes.string_at(buffer or 0, self._variable("rl_end").value))

    def _variable(self, name: str, kind: Any = ctypes.c_int) -> Any:
        return kind.in_dll(self._library, name)

    def _guarded(self, call: Callable[..., Any], otherwise: int | None) -> Callable[..., Any]:
        """`call` without its exceptions: readline is C and cannot handle one."""

        def guarded(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except Exception:
                self._owner.report()
                return otherwise

        return guarded


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def load() -> tuple[Any, ctypes.CDLL]:
    """The module and the library that it uses. Raises UnsupportedError."""
    try:
        import readline
    except ImportError as error:
        raise UnsupportedError(f"this Python has no readline module ({error})") from error
    if "libedit" in (readline.__doc__ or "") or getattr(readline, "backend", "") == "editline":
        raise UnsupportedError("this Python has libedit in place of GNU readline")
    try:
        library = ctypes.CDLL(getattr(readline, "__file__", None))
        for name in (*_FUNCTIONS, *_VARIABLES):
            getattr(library, name)
    except (OSError, AttributeError) as error:
        raise UnsupportedError(f"this Python's readline is too old ({error})") from error
    pointer = ctypes.c_void_p
    library.rl_get_keymap_by_name.restype = pointer
    library.rl_named_function.restype = pointer
    library.rl_variable_value.restype = ctypes.c_char_p
    library.rl_invoking_keyseqs_in_map.restype = ctypes.POINTER(ctypes.c_char_p)
    library.rl_invoking_keyseqs_in_map.argtypes = [pointer, pointer]
    library.rl_bind_keyseq_in_map.argtypes = [ctypes.c_char_p, _COMMAND, pointer]
    library.rl_callback_handler_install.argtypes = [ctypes.c_char_p, _LINE]
    return readline, library
