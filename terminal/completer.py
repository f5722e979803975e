"""What Tab completes: commands and shortcuts, and the names of those who are here.

In: the line up to the cursor, and names. Out: what may stand in place of its last word, whole.
Nothing is raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from codec.commands import COMMANDS

SHORTCUTS = (":mytime", ":+1hr")


def completions(before: str, names: Iterable[str], local: Iterable[str] = ()) -> list[str]:
    """Whole words for the last one of `before`, whatever its letter case. `local` are commands of
    the interface's own.

    A command that takes an argument has a blank behind it, and one that takes none has not; a name
    that begins the line has a colon.
    """
    word = re.split("[ \t]", before)[-1].lower()
    is_first = len(before) == len(word)
    is_recipient = re.fullmatch("[ \t]*:msg[ \t]+", before[: len(before) - len(word)].lower())
    found = []
    if word.startswith(":") or (is_first and not word):
        if is_first:
            found += [row.word + (" " if "<" in row.help else "") for row in COMMANDS]
            found += local
        if word:
            found += SHORTCUTS
    elif not is_recipient and not word:
        return []
    end = ": " if is_first else " "
    if not word.startswith(":"):
        found += sorted((name + end for name in names), key=str.lower)
    return [text for text in found if text.lower().startswith(word)]
