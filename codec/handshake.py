"""JOIN, ENTER, OK and ERROR: the words spoken before the first line of chat.

    C: JOIN <username> <passcode>     or    ENTER <username> <passcode>, to have its lines echoed
    S: OK                             or    ERROR <reason>, and the connection ends

A server that keeps places (`-resume`) answers ENTER by `OK <token>`, and a member that has lost its
connection asks for its place:

    C: RESUME <token> <bytes received>
    S: OK <new token> <bytes received>    or    ERROR <reason>, and the connection ends

Lines come and go here without their line ends; docs/PROTOCOL.md, section 4, is the full text.
Parsing never judges a username or a passcode: a server looks at the passcode first, so that
without it no one learns anything else.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from codec.errors import ProtocolError
from codec.text import decode_text

MAX_USERNAME_CHARACTERS: Annotated[
    int,
    'The assignment: "The display name is a maximum of 8 characters long".',
] = 8

MAX_JOIN_BYTES: Annotated[
    int,
    "Bytes of a JOIN or ENTER line without its line end. What comes in one read with it is kept "
    "too.",
] = 256

MAX_PASSCODE_BYTES: Annotated[
    int,
    "Bytes of the longest passcode that every username can present with JOIN; with ENTER one less. "
    "Set it with the two above.",
] = MAX_JOIN_BYTES - len("JOIN  ") - MAX_USERNAME_CHARACTERS

OK = "OK"
EXPECTED_JOIN = "Expected: JOIN <username> <passcode>"
INCORRECT_PASSCODE = "Incorrect passcode"
HANDSHAKE_TIMED_OUT = "Handshake timed out"
TOO_MANY_ATTEMPTS = "Too many attempts, try again later"
TOO_MANY_CONNECTIONS = "Too many connections"
SERVER_FULL = "Server full"
BANNED = "You are banned"
TOO_LATE = "Too late"
NOT_HERE = "Not a place of this server"
TLS_REQUIRED = "TLS is required here"
INVALID_USERNAME = "Invalid username"
USERNAME_IN_USE = "Username already in use"
NO_ANSWER = "the answer to JOIN was neither OK nor ERROR"

_VERBS = {b"JOIN": False, b"ENTER": True}  # and whether it asks for an echo
_OK_WITH_MORE = "OK ([!-~]+)"
_OK_RESUMED = "OK ([!-~]+) ([0-9]{1,18})"
_RESUME = re.compile(rb"RESUME ([!-~]+) ([0-9]{1,18})")
_USERNAME = re.compile(r"[A-Za-z0-9_.-]+")
_REASON_PREFIX = "ERROR "
_FOR_THE_USER = {  # how a reason begins that another name or passcode can mend, and its code
    INCORRECT_PASSCODE: INCORRECT_PASSCODE,
    f"{INVALID_USERNAME}: ": INVALID_USERNAME,
    f"{USERNAME_IN_USE}: ": USERNAME_IN_USE,
}


class Join(NamedTuple):
    """A request to join. `username` is whatever was asked for, not yet checked. With `echo`, which
    is ENTER, the member reads the list of members first, and its own lines in their place."""

    username: str
    passcode: bytes
    echo: bool = False


class Resume(NamedTuple):
    """A request for the place that `token` stands for, or the answer to it. `received_bytes`: how
    many bytes of the other side's stream have come, from behind the LF of the first OK, or of the
    ENTER line."""

    token: str
    received_bytes: int


def parse_request(line: bytes) -> Join | Resume:
    """A RESUME, or what `parse_join` takes; for servers that keep places. Raises ProtocolError as
    that does."""
    if match := _RESUME.fullmatch(line):
        return Resume(match[1].decode(), int(match[2]))
    return parse_join(line)


def parse_join(line: bytes) -> Join:
    """One space, the name, one space; the rest is the passcode, nothing trimmed.

    Raises ProtocolError(EXPECTED_JOIN) for a line of any other form. Both parts may be empty.
    """
    word, _, rest = line.partition(b" ")
    username, separator, passcode = rest.partition(b" ")
    echo = _VERBS.get(word)
    if echo is None or not separator:
        raise ProtocolError(EXPECTED_JOIN)
    return Join(decode_text(username), passcode, echo)


def format_join(join: Join) -> bytes:
    """The line that asks to join.

    Raises ProtocolError, with a reason that its user can mend, for a request that has no such line:
    one that is too long, or whose username holds a space. A shorter passcode or another username
    is for the server to judge; so is an ENTER that a valid username makes one byte too long, which
    it answers as one that does not know ENTER. The caller keeps control characters out of both.
    """
    verb = b"ENTER" if join.echo else b"JOIN"
    line = b"%s %s %s" % (verb, join.username.encode("utf-8", "surrogateescape"), join.passcode)
    if len(join.passcode) > MAX_PASSCODE_BYTES:
        raise ProtocolError(INCORRECT_PASSCODE)
    if " " in join.username or len(line) > MAX_JOIN_BYTES:
        check_username(join.username)
    return line


def format_resume(request: Resume) -> bytes:
    """The line that asks for a place."""
    return b"RESUME %s %d" % (request.token.encode(), request.received_bytes)


def format_resumed(answer: Resume) -> str:
    """The server's answer to a member that has its place again. `token` is for the next time."""
    return f"{OK} {answer.token} {answer.received_bytes}"


def check_username(username: str) -> None:
    """Raise ProtocolError unless `username` is 1 to 8 of A-Z a-z 0-9 _ - . and nothing else.

    `str.isalnum` is no substitute: it passes U+0430, U+00B2 and U+FF41, which look like others.
    """
    if not username:
        raise ProtocolError(INVALID_USERNAME, ": it is empty")
    if not _USERNAME.fullmatch(username):
        raise ProtocolError(INVALID_USERNAME, ": only A-Z a-z 0-9 _ - . are allowed")
    if len(username) > MAX_USERNAME_CHARACTERS:
        raise ProtocolError(INVALID_USERNAME, f": longer than {MAX_USERNAME_CHARACTERS} characters")


def format_refusal(error: ProtocolError) -> str:
    """The server's last line to a guest that it does not let in."""
    return f"{_REASON_PREFIX}{error}"


def parse_answer(line: bytes, echo: bool = False) -> str:
    """Read the server's answer to JOIN, or to ENTER with `echo`: return for OK. What is returned
    is the token that may stand behind the OK to an ENTER, or "".

    Raises RefusedError with the reason for ERROR, and ProtocolError for a line that is neither. A
    server that does not know ENTER refuses it with EXPECTED_JOIN.
    """
    text = decode_text(line)
    if text == OK:
        return ""
    if echo and (ok := re.fullmatch(_OK_WITH_MORE, text)):
        return ok[1]
    raise _refusal(text)


def parse_resumed(line: bytes) -> Resume:
    """Read the server's answer to RESUME. Raises what `parse_answer` raises. A server that keeps no
    places refuses it with EXPECTED_JOIN, one that has given this one up with TOO_LATE, and another
    server of the same room with NOT_HERE."""
    text = decode_text(line)
    if ok := re.fullmatch(_OK_RESUMED, text):
        return Resume(ok[1], int(ok[2]))
    raise _refusal(text)


def _refusal(text: str) -> ProtocolError:
    """What to raise for an answer that is no OK."""
    if text.startswith(_REASON_PREFIX):
        reason = text.removeprefix(_REASON_PREFIX)
        known = (code for start, code in _FOR_THE_USER.items() if reason.startswith(start))
        code = next(known, reason)
        return RefusedError(code, name=reason.removeprefix(code))
    return ProtocolError(NO_ANSWER)


class RefusedError(ProtocolError):
    """The server's ERROR. Its text is the reason alone."""

    @property
    def is_for_the_user(self) -> bool:
        """Whether the user can mend it by another name or passcode (shown as ordinary output),
        not the server's state or a broken client (shown as an error)."""
        return self.code in _FOR_THE_USER.values()
