"""What an interface asks or answers by itself, before a typed line goes to the server.

In: a typed line. Out: the local command that it is, or whether to ask about it. Nothing is raised.
The server says every line that is no command to the room, so a mistyped `:Msg` would be read by
everyone.
"""

from __future__ import annotations

import re
import unicodedata

from codec.commands import COMMANDS, SAY, parse_command
from codec.text import BLANKS, resembles_command

HELP = ":Help"

LOCAL_COMMANDS = {HELP: ":Help shows this; only you see it"}
"""Word -> a line of help: commands of every interface that draws."""

_SHORTCUTS = (
    r":) :( :mytime :+1hr become [feeling happy] [feeling sad], the time, an hour later",
    r"\:mytime \:Users and the like are said as they are, without the backslash",
)

# A word behind a colon, but not `:smile:`; a word behind a slash, but no path; a word behind a
# semicolon, which is a colon without Shift.
_LIKE_COMMAND = re.compile(
    r"\s*(:\w{2,}(?![\w:])|/[a-z]+(?![\w/.])|;(users|msg|exit|help)\b)", re.I
)
_NO_COMMAND = re.compile(r"\s*:(mytime|\+1hr)(?![^\s])", re.I)


def local_command(text: str) -> str:
    """The local command that `text` is, or ""."""
    word = text.strip(BLANKS).lower()
    return next((known for known in LOCAL_COMMANDS if word == known.lower()), "")


def help_lines() -> list[str]:
    """All commands, one a line."""
    return [*(row.help for row in COMMANDS), *LOCAL_COMMANDS.values(), *_SHORTCUTS]


def looks_mistyped(text: str) -> bool:
    """Whether `text` would be said to the room, and looks like a command that was mistyped."""
    if parse_command(text).verb != SAY or local_command(text):
        return False
    words = [row.word for row in COMMANDS] + list(LOCAL_COMMANDS)
    if resembles_command(text, words):
        return True
    drawn = unicodedata.normalize("NFKC", text)
    return bool(_LIKE_COMMAND.match(drawn)) and not _NO_COMMAND.match(drawn)
