"""Looks at every line that comes from a server, and says what is wrong with it.

In: lines that the honest members and the attackers read, as bytes without LF. Out: nothing.
Raised: FindingError. There is no socket and no clock here; seconds are told by the caller.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator

from tests.fuzz.wire.sessions import HONEST, Session, honest_room
from tests.support import protocol
from tests.support.protocol import NAME, USERS

_TIME = re.compile("[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9:]{8} [0-9]{4}")
_FORMS = {
    "reply": protocol.REPLY,  # first: `Usage` might be a name
    "joined": re.compile(f"({NAME}) joined the chatroom"),
    "left": re.compile(f"({NAME}) left the chatroom"),
    "said": re.compile(f"({NAME}): .*"),
    "message": re.compile(rf"\[Message from ({NAME})\]: .*"),
    "sent": re.compile(rf"\[Message to ({NAME})\]: .*"),
}
_NEWS = ("joined", "left")
_ALWAYS_POSSIBLE = (f"ERROR {protocol.SERVER_FULL}", f"ERROR {protocol.HANDSHAKE_TIMED_OUT}")


class FindingError(Exception):
    """What a server did that it should not have."""


def check(is_right: bool, finding: str) -> None:
    if not is_right:
        raise FindingError(finding)


def readable(line: bytes) -> str:
    """The text of a line that is safe to read, or FindingError."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise FindingError(f"not UTF-8: {line[:200]!r}") from error
    check(not protocol.UNSAFE & set(text), f"unsafe: {line[:200]!r}")
    is_short = len(line) <= protocol.DOCUMENTED_LIMITS.line_bytes or text.startswith(USERS)
    check(is_short, f"a line of {len(line)} bytes: {line[:100]!r}...")
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
        check(bool(self._lines), f"{self._what}: nothing was owed, and came {line[:200]!r}")
        _, owed = self._lines.popleft()
        finding = f"{self._what}: owed {owed[:200]!r}, came {line[:200]!r}; then {len(self)} more"
        check(comparable(line) == owed, finding)

    def look_for_late(self, now: float, patience: float) -> None:
        for since, line in itertools.islice(self._lines, 1):
            check(now - since <= patience, f"{self._what}: lost, or late: {line[:200]!r}")


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
        return not any(self._honest_debts())

    def _honest_debts(self) -> Iterator[Debts]:
        return itertools.chain(*(owed.values() for owed in self._owed))

    # What is read.

    def hears(self, key: int, line: bytes) -> None:
        """An honest member has read this line."""
        text = readable(line)
        if not self._answers[key]:
            self._answers[key] = text
            check(text == "OK", f"{HONEST[key]} was not let in: {text!r}")
            return
        self.lines += 1
        form, name = form_of(text)
        if form in _NEWS:
            self._note_news(key, name, form)
        elif form == "reply":
            name = HONEST[key]
        else:
            is_possible = form not in ("", "sent") and name in (self._members[key] or ())
            check(is_possible, f"{HONEST[key]} reads what none can have said: {text[:200]!r}")
        if name not in HONEST:
            self._note_attacker(key, name, form, text)
        elif form not in _NEWS:
            self._owed[key][name].pay(text)
        if text.startswith(USERS):
            self._note_users(key, text.removeprefix(USERS).split(", "))

    def look_for_late(self, now: float, patience: float) -> None:
        for debts in self._honest_debts():
            debts.look_for_late(now, patience)
        for name, attacker in list(self._attackers.items()):
            if attacker.ended_at is None or now - attacker.ended_at <= patience:
                continue
            for reader, members, owed in zip(HONEST, self._members, attacker.owed, strict=True):
                check(name not in (members or ()), f"{reader} never saw {name} leave")
                is_paid = not (attacker.is_sure and owed)
                check(is_paid, f"{reader} missed {len(owed)} lines of {name}")
            del self._attackers[name]

    def _note_attacker(self, key: int, name: str, form: str, text: str) -> None:
        attacker = self._attackers.get(name)
        if attacker and (attacker.is_sure or form != "left"):
            attacker.owed[key].pay(text)
        if form != "message":
            self._compare_order(key, comparable(text))

    def _note_users(self, key: int, names: list[str]) -> None:
        members = self._members[key] = self._members[key] or names
        check(names == members, f"{HONEST[key]}: {names} where the members are {members}")

    def _note_news(self, key: int, name: str, what: str) -> None:
        members = self._members[key]
        if members is not None:
            is_new = (name in members) == (what == "left")
            check(is_new, f"{HONEST[key]} reads that {name} {what}, twice")
            (members.append if what == "joined" else members.remove)(name)

    def _compare_order(self, key: int, text: str) -> None:
        """What all members read, they read in one order: once both are there."""
        if None in self._members:
            return
        mine, other = self._common[key], self._common[1 - key]
        if not other:
            mine.append(text)
        else:
            theirs = other.popleft()
            finding = f"{HONEST[key]} reads {text[:200]!r} where the other read {theirs[:200]!r}"
            check(theirs == text, finding)


class Attacker:
    """One attacker: what it reads, and what the honest are to read of it."""

    def __init__(self, session: Session, witness: Witness) -> None:
        self.ended_at: float | None = None  # by itself: all its steps but WAIT were done; or not
        self.is_sure = session.is_sure and not session.has_shared_name
        self.owed = [
            Debts(f"{reader} of {session.username}", lines)
            for reader, lines in zip(HONEST, session.heard, strict=True)
        ]
        self._session = session
        self._witness = witness
        self._answer = ""
        self._replies = Debts(f"replies to {session.username}", session.replies)
        self._heard = [-1, -1]  # which of each honest member's lines was the last
        self._members: list[str] | None = None  # who is in the room, as its ENTER has told it

    def hears(self, line: bytes) -> None:
        text = readable(line)
        form, name = form_of(text)
        if not self._answer:
            self._note_answer(text)
            return
        check(self._answer == "OK", f"after {self._answer!r} came {text[:200]!r}")
        check(bool(form), f"no documented line: {text[:200]!r}")
        if self._session.enters:
            self._note_members(form, name, text)
        is_own = form in ("said", "message") and name == self._session.username
        if form in ("reply", "sent") or is_own:
            self._note_reply(text)
        elif form == "said" and name in HONEST:
            self._note_honest(HONEST.index(name), comparable(text))

    def ends(self, error: OSError | None, now: float) -> None:
        """The server has ended the connection."""
        session = self._session
        is_finished = self.ended_at is not None
        self.ended_at = self.ended_at or now
        if not self.is_sure:
            return
        name, why = session.username or "a stranger", error or "EOF"
        check(is_finished or session.is_ended, f"{name} was cut off: {why}")
        is_answered = bool(self._answer) or not session.answer
        check(is_answered, f"no answer, where {session.answer!r} was owed: {why}")
        is_told = bool(error) or not self._replies
        check(is_told, f"{len(self._replies)} replies to {name} are missing")

    def _note_answer(self, text: str) -> None:
        self._answer = text
        session = self._session
        is_guess = session.answer == f"ERROR {protocol.INCORRECT_PASSCODE}"
        if text in _ALWAYS_POSSIBLE or (is_guess and text == f"ERROR {protocol.TOO_MANY_ATTEMPTS}"):
            self.is_sure = False
            return
        in_use = f"ERROR {protocol.NAME_IN_USE}{session.username}"
        is_right = text == session.answer or (session.has_shared_name and text == in_use)
        check(is_right, f"the answer was {text[:200]!r}, and not {session.answer!r}")

    def _note_reply(self, text: str) -> None:
        self._replies.pay(text)
        if text.startswith(USERS) and self.is_sure:
            names = text.removeprefix(USERS).split(", ")
            missing = {*HONEST, self._session.username} - set(names)
            check(not missing, f"not among the users: {missing}")
            different = {name.lower() for name in names}
            check(len(different) == len(names), f"twice among the users: {text[:300]!r}")

    def _note_members(self, form: str, name: str, text: str) -> None:
        """The list that comes first is exact, and stays so by what follows it."""
        if text.startswith(USERS):
            names = text.removeprefix(USERS).split(", ")
            members = self._members = self._members or names
            check(names == members, f"{names} where by what it has read they are {members}")
            return
        check(self._members is not None, f"{text[:200]!r} comes before the list of members")
        members = self._members or []
        if form in _NEWS:
            is_new = (name in members) == (form == "left")
            check(is_new, f"an attacker that knows of {members} reads that {name} {form}")
            (members.append if form == "joined" else members.remove)(name)
        elif form == "said":
            check(name in members, f"{name} speaks, and is not among the users")

    def _note_honest(self, key: int, text: str) -> None:
        number = self._witness.said[key].get(text, -1)
        check(number >= 0, f"{HONEST[key]} never said {text[:200]!r}")
        is_next = self._heard[key] in (-1, number - 1)
        check(is_next, f"an attacker missed, or read twice, what {HONEST[key]} said")
        self._heard[key] = number
