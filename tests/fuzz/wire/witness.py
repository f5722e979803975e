"""Looks at every line that comes from a server, and says what is wrong with it.

In: lines that the honest members and the attackers read, as bytes without LF. Out: nothing.
Raised: FindingError. There is no socket and no clock here; seconds are told by the caller.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

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
_FORMS = {
    "reply": REPLY,  # first: `Usage` might be a name
    "joined": re.compile(f"({NAME}) joined the chatroom"),
    "left": re.compile(f"({NAME}) left the chatroom"),
    "said": re.compile(f"({NAME}): .*"),
    "message": re.compile(rf"\[Message from ({NAME})\]: .*"),
}
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


def form_of(text: str) -> tuple[str, str]:
    """Which of the documented forms a member's line has, "" for none, and whose it claims to be."""
    for form, pattern in _FORMS.items():
        if match := pattern.fullmatch(text):
            return form, "" if form == "reply" else match[1]
    return "", ""


def comparable(text: str) -> str:
    """`text` with every time made the same, since whose clock it was cannot be known, and without
    the names of a list, which is looked at apart."""
    return USERS if text.startswith(USERS) else _TIME.sub("<time>", text)


class Debts:
    """Lines that are owed in this order, each with the second since when."""

    def __init__(self, what: str, lines: Iterable[str] = ()) -> None:
        self._what = what
        self._lines = deque((0.0, comparable(line)) for line in lines)

    def __len__(self) -> int:
        return len(self._lines)

    def owe(self, line: str, since: float) -> None:
        self._lines.append((since, comparable(line)))

    def pay(self, line: str) -> None:
        """`line` was read."""
        if not self._lines:
            raise FindingError(f"{self._what}: nothing was owed, and came {line[:200]!r}")
        _, owed = self._lines.popleft()
        if comparable(line) != owed:
            raise FindingError(
                f"{self._what}: owed {owed[:200]!r}, came {line[:200]!r}; then {len(self)} more"
            )

    def look_for_late(self, now: float, patience: float) -> None:
        if self._lines and now - self._lines[0][0] > patience:
            raise FindingError(f"{self._what}: lost, or late: {self._lines[0][1][:200]!r}")


class Witness:
    """What Alice and Bob read, and all that they are to read."""

    def __init__(self, passcode: bytes) -> None:
        self.lines = 0
        self.said: list[dict[str, int]] = [{}, {}]  # what each said to the room, and when
        self._answers = ["", ""]
        self._members: list[list[str] | None] = [None, None]  # as each sees it; None: not known yet
        self._owed = [
            {name: Debts(f"{name}'s lines to {reader}") for name in HONEST} for reader in HONEST
        ]
        self._attackers: dict[str, Attacker] = {}
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
                self._owed[reader][HONEST[key]].owe(text, now)
                if reader != key and form_of(text)[0] == "said":
                    self.said[key][comparable(text)] = len(self.said[key])

    def expect(self, session: Session) -> Attacker:
        """An attacker is about to begin."""
        attacker = Attacker(session, self)
        if session.username and not session.has_shared_name:
            self._attackers[session.username] = attacker
        return attacker

    def has_answer(self, key: int) -> bool:
        """Whether an honest member has been let in."""
        return bool(self._answers[key])

    @property
    def is_quiet(self) -> bool:
        """Whether the honest members have read all they owe each other."""
        return not any(debts for owed in self._owed for debts in owed.values())

    # What is read.

    def hears(self, key: int, line: bytes) -> None:
        """An honest member has read this line."""
        text = readable(line)
        if not self._answers[key]:
            self._answers[key] = text
            if text != "OK":
                raise FindingError(f"{HONEST[key]} was not let in: {text!r}")
            return
        self.lines += 1
        form, name = form_of(text)
        if form == "reply":
            self._owed[key][HONEST[key]].pay(text)
            if text.startswith(USERS):
                self._note_users(key, text.removeprefix(USERS).split(", "))
        elif form in ("joined", "left"):
            self._note_news(key, name, form)
        elif form and name in (self._members[key] or ()):
            self._pay(key, name, text)
        else:
            raise FindingError(f"{HONEST[key]} reads what no member can have said: {text[:200]!r}")
        if form in ("joined", "left") or (form == "said" and name not in HONEST):
            self._compare_order(key, comparable(text))

    def look_for_late(self, now: float, patience: float) -> None:
        for owed in self._owed:
            for debts in owed.values():
                debts.look_for_late(now, patience)
        for name, attacker in list(self._attackers.items()):
            if attacker.ended_at is None or now - attacker.ended_at <= patience:
                continue
            for reader, news in zip(HONEST, attacker.news, strict=True):
                if news == "joined" or (attacker.must_join and not news):
                    missed = "leave" if news else "join"
                    raise FindingError(f"{reader} never saw {name} {missed}")
            del self._attackers[name]

    def _pay(self, key: int, sender: str, text: str) -> None:
        if sender in HONEST:
            self._owed[key][sender].pay(text)
        elif sender in self._attackers:
            self._attackers[sender].owed[key].pay(text)

    def _note_users(self, key: int, names: list[str]) -> None:
        if self._members[key] is None:
            self._members[key] = names
        if names != self._members[key]:
            raise FindingError(f"{HONEST[key]}: {names} where the members are {self._members[key]}")

    def _note_news(self, key: int, name: str, what: str) -> None:
        members = self._members[key]
        if members is not None:
            if (name in members) == (what == "joined"):
                raise FindingError(f"{HONEST[key]} reads that {name} {what}, twice")
            if what == "joined":
                members.append(name)
            else:
                members.remove(name)
        if attacker := self._attackers.get(name):
            attacker.news[key] = what
            lost = len(attacker.owed[key]) if what == "left" and attacker.is_sure else 0
            if lost:
                raise FindingError(f"{HONEST[key]} read {lost} lines of {name} too few")

    def _compare_order(self, key: int, text: str) -> None:
        """What all members read, they read in one order: once both are there."""
        if None in self._members:
            return
        mine, other = self._common[key], self._common[1 - key]
        if not other:
            mine.append(text)
        elif (theirs := other.popleft()) != text:
            raise FindingError(
                f"{HONEST[key]} reads {text[:200]!r} where the other read {theirs[:200]!r}"
            )


class Attacker:
    """One attacker: what it reads, and what the honest are to read of it."""

    def __init__(self, session: Session, witness: Witness) -> None:
        self.is_finished = False  # all its steps but WAIT were done
        self.ended_at: float | None = None
        self.is_sure = session.is_sure and not session.has_shared_name
        self.must_join = self.is_sure and session.answer == "OK"
        self.owed = [
            Debts(f"{reader} of {session.username}", lines)
            for reader, lines in zip(HONEST, session.heard, strict=True)
        ]
        self.news = ["", ""]  # what each of the honest last read of it: joined, or left
        self._session = session
        self._witness = witness
        self._answer = ""
        self._replies = Debts(f"replies to {session.username}", session.replies)
        self._heard = [-1, -1]  # which of each honest member's lines was the last

    def finishes(self, now: float) -> None:
        self.is_finished = True
        self.ended_at = now

    def hears(self, line: bytes) -> None:
        text = readable(line)
        form, name = form_of(text)
        if not self._answer:
            self._note_answer(text)
        elif self._answer != "OK":
            raise FindingError(f"after {self._answer!r} came {text[:200]!r}")
        elif form == "reply" or (form in ("said", "message") and name == self._session.username):
            self._note_reply(text)
        elif form == "said" and name in HONEST:
            self._note_honest(HONEST.index(name), comparable(text))
        elif not form:
            raise FindingError(f"no documented line: {text[:200]!r}")

    def ends(self, error: OSError | None, now: float) -> None:
        """The server has ended the connection."""
        session = self._session
        if self.ended_at is None:
            self.ended_at = now
        if not self.is_sure:
            return
        if not self.is_finished and not session.is_ended:
            raise FindingError(f"{session.username or 'a stranger'} was cut off: {error or 'EOF'}")
        if session.answer and not self._answer:
            raise FindingError(f"no answer, where {session.answer!r} was owed: {error or 'EOF'}")
        if self._replies and not error:
            raise FindingError(f"{len(self._replies)} replies to {session.username} are missing")

    def _note_answer(self, text: str) -> None:
        self._answer = text
        session = self._session
        is_guess = session.answer == f"ERROR {INCORRECT_PASSCODE}"
        if text in _ALWAYS_POSSIBLE or (is_guess and text == f"ERROR {TOO_MANY_ATTEMPTS}"):
            self.is_sure = self.must_join = False
            return
        in_use = f"ERROR {NAME_IN_USE}{session.username}"
        if text != session.answer and not (session.has_shared_name and text == in_use):
            raise FindingError(f"the answer was {text[:200]!r}, and not {session.answer!r}")

    def _note_reply(self, text: str) -> None:
        self._replies.pay(text)
        if text.startswith(USERS) and self.is_sure:
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
