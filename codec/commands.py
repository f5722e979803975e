"""A typed line becomes a Command.

In: one line of text (see codec.text). Out: a Command, always; nothing is raised. Whether a
command can be obeyed (whether there is such a member, say) is the dispatcher's to find out.

    :Users                  alone on its line, blanks after it ignored
    :Exit                   alone on its line, blanks after it ignored
    :Msg <username> <text>  when it begins the line as a word
    anything else           is said to the room, as typed

Letter case does not matter, so that a mistyped `:msg Bob secret` never goes to everyone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from codec.text import BLANKS, decode_text

SAY = "say"  # `text` to the room
EXIT = "exit"
NOTHING = "nothing"  # a line of blanks: it is not answered
MISUSE = "misuse"  # a command without what it needs; `text` says how it is written

MESSAGE_USAGE = "Usage: :Msg <username> <message>"


class Command(NamedTuple):
    """What a member means. `verb` is the name of the Dispatcher's method that obeys it."""

    verb: str
    text: str = ""
    to: str = ""


class CommandRow(NamedTuple):
    """One command. `parse` is given `verb` and what stands behind the word; where it returns None,
    the line is text after all. `help` is for people."""

    word: str
    parse: Callable[[str, str], Command | None]
    verb: str
    help: str


def parse_command(text: str) -> Command:
    """The command that a member means by typing `text`."""
    if not text.startswith(":"):
        return Command(SAY, text) if text.strip(BLANKS) else Command(NOTHING)
    word, argument = _split_word(text)
    row = _ROWS.get(word.lower())
    command = row.parse(row.verb, argument) if row else None
    return command or Command(SAY, text)


def is_exit(line: bytes) -> bool:
    """Whether a typed line, given without its line end, asks to leave."""
    return line.startswith(b":") and parse_command(decode_text(line)).verb == EXIT


def _without_argument(verb: str, argument: str) -> Command | None:
    return None if argument else Command(verb)


def _name_and_text(verb: str, argument: str) -> Command | None:
    to, text = _split_word(argument)
    return Command(verb, text, to) if text else Command(MISUSE, MESSAGE_USAGE)


def _split_word(text: str) -> tuple[str, str]:
    """The first word of `text`, and all behind it but the blanks between the two."""
    word, *rest = _BLANKS.split(text, maxsplit=1)
    return word, rest[0] if rest else ""


_BLANKS = re.compile(f"[{BLANKS}]+")

COMMANDS = (
    CommandRow(":Users", _without_argument, "list_users", ":Users lists who is in the room"),
    CommandRow(":Msg", _name_and_text, "message", ":Msg <username> <message> goes to one member"),
    CommandRow(":Exit", _without_argument, EXIT, ":Exit leaves the room"),
)
"""All commands. A new one is a row here and a method of the Dispatcher."""

_ROWS = {row.word.lower(): row for row in COMMANDS}
