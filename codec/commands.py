"""A typed line becomes a Command.

In: one line of text (see codec.text). Out: a Command, always; nothing is raised. Whether a
command can be obeyed (whether there is such a member, say) is the dispatcher's to find out.

    :Users            alone on its line, blanks after it ignored
    :Exit             alone on its line, blanks after it ignored
    :Msg <v> <text>   when it begins the line as a word
    anything else     is said to the room, as typed

Letter case does not matter, so that a mistyped `:msg Bob secret` never goes to everyone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from codec.text import BLANKS, decode_text

SAY = "say"  # `text` to the room
MESSAGE = "message"  # `text`, which is not blank, to the member `to`, a name as typed
LIST_USERS = "list users"
EXIT = "exit"
NOTHING = "nothing"  # a line of blanks: nobody hears of it
MISUSE = "misuse"  # a command without what it needs; `text` says how it is written

MESSAGE_USAGE = "Usage: :Msg <username> <message>"


class Command(NamedTuple):
    """What a member means. `verb` is one of the constants of this module."""

    verb: str
    text: str = ""
    to: str = ""


def parse_command(text: str) -> Command:
    """The command that a member means by typing `text`."""
    if not text.startswith(":"):
        return Command(SAY, text) if text.strip(BLANKS) else Command(NOTHING)
    word, argument = _split_word(text)
    parse_argument = _COMMANDS.get(word.lower())
    command = parse_argument(argument) if parse_argument else None
    return command or Command(SAY, text)


def is_exit(line: bytes) -> bool:
    """Whether a typed line, given without its line end, asks to leave."""
    return line.startswith(b":") and parse_command(decode_text(line)).verb == EXIT


def _message(argument: str) -> Command | None:
    to, text = _split_word(argument)
    return Command(MESSAGE, text, to) if text else Command(MISUSE, MESSAGE_USAGE)


def _list_users(argument: str) -> Command | None:
    return None if argument else Command(LIST_USERS)


def _exit(argument: str) -> Command | None:
    return None if argument else Command(EXIT)


def _split_word(text: str) -> tuple[str, str]:
    """The first word of `text`, and all behind it but the blanks between the two."""
    word, *rest = _BLANKS.split(text, maxsplit=1)
    return word, rest[0] if rest else ""


_BLANKS = re.compile(f"[{BLANKS}]+")

# Each parses what stands behind its word; None means that the line is text after all.
_COMMANDS: dict[str, Callable[[str], Command | None]] = {
    ":users": _list_users,
    ":exit": _exit,
    ":msg": _message,
}
