"""What was said, as rows: the one model of every interface that draws.

In: lines of the server taken apart (codec.kinds), news of the connection, and the time of day as a
text, `12:13`. Out: Rows, each of one paragraph. There is no clock, no width and no colour here, and
nothing is raised.
"""

from __future__ import annotations

import re
from enum import Enum
from sys import intern
from typing import NamedTuple

from codec.kinds import LineKind, ShownLine, parse_shown

MERGED_NAMES = 10
"""Most names in a row of joins, which is drawn again for each name."""

LISTED_NAMES = 40
"""Most names in the list that comes first; `:Users` lists them all."""

JOINED, LEFT, PLAIN = "→", "←", "·"


class RowKind(Enum):
    """What a row is, for the formatter."""

    SAID = "said"
    OWN = "own"
    MENTION = "mention"  # of the reader's name
    PRIVATE = "private"  # to the reader alone
    SENT = "sent"  # by the reader, to one member alone
    COMING = "coming"  # or going
    HISTORY = "history"  # said before the reader came
    NOTICE = "notice"
    GOOD = "good"  # news of the connection
    BAD = "bad"
    UNREAD = "unread"  # what is below it came while the reader was away


class Row(NamedTuple):
    """One paragraph. `time` and `label` are "" where they are those of the row above. `speaker`:
    the username whose colour it has. `replaces_last`: it takes the place of the row above."""

    kind: RowKind
    text: str
    label: str = ""
    time: str = ""
    speaker: str = ""
    replaces_last: bool = False

    @property
    def rings(self) -> bool:
        """Whether it is for the reader, who may look elsewhere."""
        return self.kind in (RowKind.MENTION, RowKind.PRIVATE)


class Conversation:
    """All of one person's. `username` is the reader's own."""

    def __init__(self, username: str) -> None:
        self.username = username
        self._folded = username.lower()
        self._mention = re.compile(rf"(?<![\w.-]){re.escape(username)}(?![\w-])", re.IGNORECASE)
        self._members: dict[str, str] = {}  # folded -> as its owner spells it
        self._time = ""
        self._last_kind, self._last_label = RowKind.NOTICE, ""  # even where it was not repeated
        self._shown = Row(RowKind.NOTICE, "")  # the last one, as it was shown
        self._together: list[str] = []  # who are in the last row, if that is one of joins
        self._is_away = False
        self._has_mark = False

    @property
    def members(self) -> list[str]:
        """Who are here as far as is known, the reader included once the list has come."""
        return list(self._members.values())

    def set_away(self, is_away: bool) -> None:
        """The reader looks elsewhere, or is back. Rows that come meanwhile stand below one mark."""
        if is_away != self._is_away:
            self._is_away = is_away
            self._has_mark = False

    def forget_members(self) -> None:
        """The connection is gone: we no longer know who is here."""
        self._members.clear()

    def take(self, line: ShownLine, time: str) -> list[Row]:
        """The rows for a line of the server."""
        if line.kind in (LineKind.JOINED, LineKind.LEFT):
            return [self._take_coming(line, time)]
        self._together = []
        if line.kind in _WORDS:
            return self._take_words(line, time)
        if line.kind is LineKind.USERS:
            self._members = {name.lower(): name for name in line.usernames}
            return [self._row(RowKind.NOTICE, f"{line.text} ({len(self._members)})", PLAIN, time)]
        if line.kind is LineKind.NOTICE:
            return [self._take_notice(line.text, time)]
        return [self._row(RowKind.BAD, line.text, PLAIN, time)]

    def take_first_list(self, line: ShownLine, time: str) -> list[Row]:
        """The rows for the first list of members, which is shortened: the reader did not ask for
        it."""
        self._members = {name.lower(): name for name in line.usernames}
        self._together = []
        names = [name for name in self.members if name != self.username]
        if len(names) > LISTED_NAMES:
            names[LISTED_NAMES:] = [f"{len(names) - LISTED_NAMES:,} more"]
        text = f"here: {', '.join(names)}" if names else "no one else is here yet"
        return [self._row(RowKind.COMING, text, PLAIN, time)]

    def tell(self, kind: RowKind, text: str, time: str, label: str = PLAIN) -> Row:
        """The row for news of ours."""
        self._together = []
        return self._row(kind, text, label, time)

    # Details.

    def _take_coming(self, line: ShownLine, time: str) -> Row:
        has_joined = line.kind is LineKind.JOINED
        if has_joined:
            self._members[line.name.lower()] = line.name
        else:
            self._members.pop(line.name.lower(), None)
        label = JOINED if has_joined else LEFT
        can_merge = self._last_kind is RowKind.COMING and self._last_label == label
        is_merged = can_merge and 0 < len(self._together) < MERGED_NAMES
        self._together = [*self._together, line.name] if is_merged else [line.name]
        text = f"{', '.join(self._together)} {'joined' if has_joined else 'left'}"
        if is_merged:
            self._shown = self._shown._replace(text=text, replaces_last=True)
            return self._shown
        return self._row(RowKind.COMING, text, label, time)

    def _take_notice(self, text: str, time: str) -> Row:
        """A notice, or before the first list of members a line of history with its own time."""
        past = None if self._members else _PAST.fullmatch(text)
        line = parse_shown(past["line"]) if past else None
        if past and line and line.kind is LineKind.SAID:
            return self._row(RowKind.HISTORY, line.text, line.name, past["time"])
        return self._row(RowKind.NOTICE, text, PLAIN, time)

    def _take_words(self, line: ShownLine, time: str) -> list[Row]:
        if line.kind is LineKind.SENT:
            text = f"{JOINED} {line.name}: {line.text}"
            return [self._row(RowKind.SENT, text, self.username, time)]
        if line.name == self.username and line.kind is LineKind.SAID:
            return [self._row(RowKind.OWN, line.text, line.name, time)]
        marks = []
        if self._is_away and not self._has_mark:
            self._has_mark = True
            marks.append(self._row(RowKind.UNREAD, "new", "", ""))
        kind = RowKind.PRIVATE
        if line.kind is LineKind.SAID:
            kind = RowKind.MENTION if self._has_mention(line.text) else RowKind.SAID
        return [*marks, self._row(kind, line.text, line.name, time)]

    def _has_mention(self, text: str) -> bool:
        return self._folded in text.lower() and bool(self._mention.search(text))

    def _row(self, kind: RowKind, text: str, label: str, time: str) -> Row:
        label = intern(label)  # of which one copy is enough for all rows that are kept
        speaker = label if kind in _SPOKEN else ""
        is_same = label == self._last_label and (kind in _PRIVATE) == (self._last_kind in _PRIVATE)
        self._last_kind, self._last_label = kind, label
        shown_time = ""
        if time and time != self._time:  # an unread mark has none
            shown_time = self._time = time
        is_repeated = is_same and not shown_time and kind is not RowKind.MENTION
        self._shown = Row(kind, text, "" if is_repeated else label, shown_time, speaker)
        return self._shown


_PAST = re.compile(r"(?P<time>\d\d:\d\d) (?P<line>.*)")  # docs/PROTOCOL.md, section 9

_WORDS = (LineKind.SAID, LineKind.MESSAGE, LineKind.SENT)
_SPOKEN = {RowKind.SAID, RowKind.OWN, RowKind.MENTION, RowKind.PRIVATE, RowKind.SENT}
_SPOKEN |= {RowKind.HISTORY}
_PRIVATE = (RowKind.PRIVATE, RowKind.SENT)  # tuples: the hash of an Enum is slow
