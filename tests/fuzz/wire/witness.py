"""Looks at every line that comes from a server, and says what is wrong with it.

In: lines that the honest members and the attackers read, as bytes without LF. Out: nothing.
Raised: FindingError. There is no socket and no clock here; seconds are told by the caller.
"""

from __future__ import annotations

import re
from collections import deque

from tests.fuzz.wire.sessions import HONEST, Session, honest_room
from tests.support.protocol import (
    DOCUMENTED_LIMITS,
    HANDSHAKE_TIMED_OUT,
    INCORRECT_PASSCODE,
    NAME,
    NAME_IN_USE,
    REPLY,
    SERVER_FULL,
    TOO_MANY_ATTEMPTS,
    UNSAFE,
    USERS,
)

_TIME = re.compile("[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9:]{8} [0-9]{4}")
_NEWS = re.compile(f"({NAME}) (joined|left) the chatroom")
_SAID = re.compile(f"({NAME}): .*")
_MESSAGE = re.compile(rf"\[Message from ({NAME})\]: .*")
_ALWAYS_POSSIBLE = (f"ERROR {SERVER_FULL}", f"ERROR {HANDSHAKE_TIMED_OUT}")


class FindingError(Exception):
    """What a server did that it should not have."""


def readable(line: bytes) -> str:
    """The text of a line that is safe to read, or FindingError."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise FindingError(f"not UTF-8: {line[:200]!r}") from error
    if unsafe := UNSAFE & set(text):
        raise FindingError(f"unsafe {sorted(unsafe)!r} in {line[:200]!r}")
    if len(line) > DOCUMENTED_LIMITS.line_bytes and not text.startswith(USERS):
        raise FindingError(f"a line of {len(line)} bytes: {line[:100]!r}...")
    return text


def comparable(text: str) -> str:
    """`text` with every time made the same: whose clock it was cannot be known."""
    return _TIME.sub("<time>", text)


class Debts:
    """Lines that are owed in this order, each with the second since when."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lines: deque[tuple[float, str]] = deque()

    def __len__(self) -> int:
        return len(self._lines)

    def owe(self, line: str, since: float = 0.0) -> None:
        self._lines.append((since, comparable(line)))

    def pay(self, line: str, users: list[str] | None = None) -> None:
        """`line` was read. The names behind `Active Users:` must be `users`, if they are known."""
        if not self._lines:
            raise FindingError(f"{self._what}: nothing was owed, and came {line[:200]!r}")
        _, owed = self._lines.popleft()
        if owed.startswith(USERS) and line.startswith(USERS):
            if users is not None and line != USERS + ", ".join(users):
                raise FindingError(f"{self._what}: {line[:300]!r} where the members are {users}")
        elif comparable(line) != owed:
            raise FindingError(
                f"{self._what}: owed {owed[:200]!r}, came {line[:200]!r}; then {len(self)} more"
            )

    def look_for_late(self, now: float, patience: float) -> None:
        if self._lines and now - self._lines[0][0] > patience:
            raise FindingError(f"{self._what}: lost, or late: {self._lines[0][1][:200]!r}")


class Attacked:
    """What one attacker's session is worth to each of the honest."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.ended_at: float | None = None
        self.is_sure = session.is_sure and not session.has_shared_name
        self.owed = [Debts(f"{name} of {session.username}") for name in HONEST]
        for debts, lines in zip(self.owed, session.heard, strict=True):
            for line in lines:
                debts.owe(line)
        self.has_joined = [False, False]
        self.has_left = [False, False]

    @property
    def must_join(self) -> bool:
        return self.is_sure and self.session.answer == "OK"


class Witness:
    """What Alice and Bob read, and all that they are to read."""

    def __init__(self, passcode: bytes) -> None:
        self.members: list[list[str] | None] = [None, None]  # as each sees it; None: not known yet
        self.lines = 0
        self.said: list[dict[str, int]] = [{}, {}]  # what each said to the room, and when
        self._own = [Debts(f"{name}'s own") for name in HONEST]
        self._others = [
            Debts(f"{HONEST[1 - key]}'s lines to {name}") for key, name in enumerate(HONEST)
        ]
        self._attacked: dict[str, Attacked] = {}
        self._common: list[deque[str]] = [deque(), deque()]  # what only one of them has read yet
        self._room = honest_room(passcode)

    # What is done.

    def says(self, key: int, line: bytes, now: float) -> None:
        """An honest member sends this line, without its line end."""
        before = [len(self._room.peers[k].screen) for k in (0, 1)]
        self._room.receive(key, line + b"\n")
        for reader in (0, 1):
            shown = self._room.peers[reader].screen[before[reader] :].decode()
            for text in shown.split("\n")[:-1]:
                (self._own if reader == key else self._others)[reader].owe(text, now)
                if reader != key and _SAID.fullmatch(text):
                    self.said[key][comparable(text)] = len(self.said[key])

    def expect(self, session: Session) -> Attacked:
        """An attacker is about to begin."""
        attacked = Attacked(session)
        if session.username and not session.has_shared_name:
            self._attacked[session.username] = attacked
        return attacked

    @property
    def is_quiet(self) -> bool:
        """Whether the honest members have read all they owe each other."""
        return not any(map(len, [*self._own, *self._others]))

    # What is read.

    def hears(self, key: int, line: bytes) -> None:
        """An honest member has read this line."""
        self.lines += 1
        text = readable(line)
        members = self.members[key]
        said, message, news = _SAID.fullmatch(text), _MESSAGE.fullmatch(text), _NEWS.fullmatch(text)
        if news:
            self._note_news(key, news[1], news[2])
            self._compare_order(key, text)
        elif said and members and said[1] in members:
            self._from(key, said[1], text)
            if said[1] not in HONEST:
                self._compare_order(key, comparable(text))
        elif message and members and message[1] in members:
            self._from(key, message[1], text)
        elif members is None and text.startswith(USERS):
            self.members[key] = text.removeprefix(USERS).split(", ")
            self._own[key].pay(text)
        elif REPLY.fullmatch(text):
            self._own[key].pay(text, members)
        else:
            raise FindingError(f"{HONEST[key]} reads what nobody can have said: {text[:200]!r}")

    def look_for_late(self, now: float, patience: float) -> None:
        for debts in (*self._own, *self._others):
            debts.look_for_late(now, patience)
        for name, attacked in list(self._attacked.items()):
            if attacked.ended_at is None or now - attacked.ended_at <= patience:
                continue
            for key, reader in enumerate(HONEST):
                if attacked.must_join and not attacked.has_joined[key]:
                    raise FindingError(f"{reader} never saw {name} join")
                if attacked.has_joined[key] and not attacked.has_left[key]:
                    raise FindingError(f"{reader} never saw {name} leave")
            del self._attacked[name]

    def _from(self, key: int, sender: str, text: str) -> None:
        if sender == HONEST[key]:
            self._own[key].pay(text)
        elif sender == HONEST[1 - key]:
            self._others[key].pay(text)
        elif sender in self._attacked:
            self._attacked[sender].owed[key].pay(text)

    def _note_news(self, key: int, name: str, what: str) -> None:
        members = self.members[key]
        attacked = self._attacked.get(name)
        if members is not None:
            if (name in members) == (what == "joined"):
                raise FindingError(f"{HONEST[key]} reads that {name} {what}, twice")
            if what == "joined":
                members.append(name)
            else:
                members.remove(name)
        if attacked and what == "joined":
            attacked.has_joined[key] = True
        elif attacked:
            attacked.has_left[key] = True
            lost = len(attacked.owed[key])
            if attacked.is_sure and lost:
                raise FindingError(f"{HONEST[key]} read {lost} lines of {name} too few")

    def _compare_order(self, key: int, text: str) -> None:
        """What everyone reads, everyone reads in one order: once both are there."""
        if None in self.members:
            return
        mine, other = self._common[key], self._common[1 - key]
        if not other:
            mine.append(text)
        elif (theirs := other.popleft()) != text:
            raise FindingError(
                f"{HONEST[key]} reads {text[:200]!r} where the other read {theirs[:200]!r}"
            )


class AttackerView:
    """What one attacker reads."""

    def __init__(self, attacked: Attacked, witness: Witness) -> None:
        self._attacked = attacked
        self._session = attacked.session
        self._witness = witness
        self._answer = ""
        self._replies = Debts(f"replies to {self._session.username}")
        self._heard = [-1, -1]  # which of each honest member's lines was the last
        for line in self._session.replies:
            self._replies.owe(line)

    def hears(self, line: bytes) -> None:
        text = readable(line)
        if not self._answer:
            self._note_answer(text)
        elif self._answer != "OK":
            raise FindingError(f"after {self._answer!r} came {text[:200]!r}")
        elif REPLY.fullmatch(text):  # first: `Usage` might be a name
            self._note_reply(text)
        elif match := (_SAID.fullmatch(text) or _MESSAGE.fullmatch(text)):
            if match[1] == self._session.username:
                self._note_reply(text)
            elif match[1] in HONEST and _SAID.fullmatch(text):
                self._note_honest(HONEST.index(match[1]), comparable(text))
        elif not _NEWS.fullmatch(text):
            raise FindingError(f"no documented line: {text[:200]!r}")

    def ends(self, error: OSError | None, is_finished: bool) -> None:
        """The server has ended the connection; `is_finished`: all steps but WAIT were done."""
        session = self._session
        if not self._attacked.is_sure:
            return
        if not is_finished and not session.is_ended:
            raise FindingError(f"{session.username or 'a stranger'} was cut off: {error or 'EOF'}")
        if session.answer and not self._answer:
            raise FindingError(f"no answer, where {session.answer!r} was owed: {error or 'EOF'}")
        if len(self._replies) and not error:
            raise FindingError(f"{len(self._replies)} replies to {session.username} are missing")

    def _note_answer(self, text: str) -> None:
        self._answer = text
        session = self._session
        is_guess = session.answer == f"ERROR {INCORRECT_PASSCODE}"
        if text in _ALWAYS_POSSIBLE or (is_guess and text == f"ERROR {TOO_MANY_ATTEMPTS}"):
            self._attacked.is_sure = False
            return
        in_use = f"ERROR {NAME_IN_USE}{session.username}"
        if text != session.answer and not (session.has_shared_name and text == in_use):
            raise FindingError(f"the answer was {text[:200]!r}, and not {session.answer!r}")

    def _note_reply(self, text: str) -> None:
        self._replies.pay(text)
        if text.startswith(USERS) and self._attacked.is_sure:
            names = text.removeprefix(USERS).split(", ")
            if missing := {*HONEST, self._session.username} - set(names):
                raise FindingError(f"not among the users: {missing}")
            if len({name.lower() for name in names}) != len(names):
                raise FindingError(f"twice among the users: {text[:300]!r}")

    def _note_honest(self, key: int, text: str) -> None:
        number = self._witness.said[key].get(text)
        if number is None:
            raise FindingError(f"{HONEST[key]} never said {text[:200]!r}")
        if self._heard[key] >= 0 and number != self._heard[key] + 1:
            raise FindingError(f"an attacker missed, or read twice, what {HONEST[key]} said")
        self._heard[key] = number
