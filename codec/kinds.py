"""What a line of the server is: for a member that came by ENTER its form tells, without exception.

In: the text of one line behind OK (codec.text.decode_text), and lines that a member types. Out: the
kind of a line, and which typed lines have an answer. Nothing is raised.

The forms exclude each other by how they begin (docs/PROTOCOL.md, section 9). Somebody's words stand
behind a username and a colon; no username holds a blank, `*` or `[`, and each other line has one of
these in its beginning. So neither a name nor a text makes a line look like one of another kind. For
JOIN that does not hold: `Usage` is a username, and the usage of a command is a line.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from codec import framing
from codec.commands import EXIT, NOTHING, parse_command
from codec.dispatcher import NOTICE_MARK, REPLY_STARTS, SHUTTING_DOWN
from codec.text import decode_text


class LineKind(Enum):
    """What a line tells."""

    SAID = "said"  # by a member to the room
    MESSAGE = "message"  # from a member, to the reader alone
    SENT = "sent"  # the reader's own message to a member
    JOINED = "joined"
    LEFT = "left"
    USERS = "users"  # who is in the room
    NOTICE = "notice"  # of the server: a reply to the reader alone, or news of the operator
    SHUTDOWN = "shutdown"


class ShownLine(NamedTuple):
    """A line taken apart. `name` is the member that it is about: who has said it, sent it, joined
    or left, or for SENT who is to read it. `text` is the rest; for USERS it is the names."""

    kind: LineKind
    name: str
    text: str

    @property
    def usernames(self) -> list[str]:
        """The names in a USERS line, in the order in which they joined."""
        return self.text.split(", ")

    def answers(self, username: str) -> bool:
        """Whether this is the answer to a line of the reader, `username`, and not news: each line
        for which `has_answer` holds has one, in the order in which they were typed. The list of
        members that comes first of all, and notices before it, answer nothing."""
        if self.kind is LineKind.NOTICE:
            return self.text.startswith(REPLY_STARTS)  # others are news: the operator's words
        own_words = self.kind is LineKind.SAID and self.name == username
        return own_words or self.kind in _ANSWERS


def parse_shown(text: str) -> ShownLine | None:
    """What `text` is, a line that a member that came by ENTER reads behind OK. None for a line
    that no server of this version says: it is to be shown as it is."""
    for kind, fullmatch in _FORMS:
        if match := fullmatch(text):
            return ShownLine(kind, *match.group("name", "text"))
    return None


def has_answer(line: bytes) -> bool:
    """Whether a typed line, given without its line end, gets an answer by ENTER: all do but blank
    ones and `:Exit`. One that is too long is told so, whatever it holds."""
    if len(line) > framing.MAX_LINE_BYTES:
        return True
    return parse_command(decode_text(line)).verb not in (NOTHING, EXIT)


_ANSWERS = (LineKind.SENT, LineKind.USERS)

_NAME = r"(?P<name>[A-Za-z0-9_.-]+)"
_TEXT = r"(?P<text>.*)"

_TEXTS = {  # each has both groups; one of them may have to stand for nothing
    LineKind.SAID: f"{_NAME}: {_TEXT}",
    LineKind.MESSAGE: rf"\[Message from {_NAME}\]: {_TEXT}",
    LineKind.SENT: rf"\[Message to {_NAME}\]: {_TEXT}",
    LineKind.JOINED: f"{_NAME} joined the chatroom(?P<text>)",
    LineKind.LEFT: f"{_NAME} left the chatroom(?P<text>)",
    LineKind.USERS: r"(?P<name>)Active Users: (?P<text>[A-Za-z0-9_.-]+(, [A-Za-z0-9_.-]+)*)",
    LineKind.NOTICE: rf"(?P<name>){re.escape(NOTICE_MARK)}{_TEXT}",
    LineKind.SHUTDOWN: f"(?P<name>)(?P<text>{SHUTTING_DOWN})",
}
_FORMS = [(kind, re.compile(form).fullmatch) for kind, form in _TEXTS.items()]
