"""Who is in the room: names are claimed, admitted, found and freed.

In: names, checked already (codec.handshake), and the room's events. Out: who is there, in the
order in which they joined. Raised: ProtocolError, by `claim` alone. Names that differ in letter
case alone are one name.

A join takes three steps: check the request, claim the name, admit its owner. Claim and admission
are apart because another machine may have to grant the name: until it has, no other guest can claim
it here, and its owner is not listed yet.
"""

from __future__ import annotations

from codec.errors import ProtocolError
from codec.events import Event, Kind
from codec.framing import encode_line
from codec.handshake import USERNAME_IN_USE


class Roster:
    """The names of one room. A member is named as its owner spells it."""

    def __init__(self) -> None:
        self._claims: set[str] = set()  # folded; not admitted yet
        self._members: dict[str, str] = {}  # folded -> as its owner spells it, in join order
        self._users_line = b""  # made when first asked for, until membership changes

    def __len__(self) -> int:
        """How many members there are."""
        return len(self._members)

    @property
    def usernames(self) -> list[str]:
        """The members in the order they joined."""
        return list(self._members.values())

    @property
    def users_line(self) -> bytes:
        """All of them in one line, the answer to `:Users`; the same object until one comes or
        goes, so that a thousand askers share it."""
        if not self._users_line:
            self._users_line = encode_line(f"Active Users: {', '.join(self._members.values())}")
        return self._users_line

    def find(self, name: str) -> str | None:
        """The member of that name, whatever the letter case, or None."""
        return self._members.get(_fold(name))

    def claim(self, username: str) -> None:
        """Reserve a name. Raises ProtocolError if it is claimed or a member has it."""
        folded = _fold(username)
        if folded in self._members or folded in self._claims:
            raise ProtocolError(USERNAME_IN_USE, ": ", username)
        self._claims.add(folded)

    def free(self, username: str) -> None:
        """Give up a claim that came to nothing."""
        self._claims.discard(_fold(username))

    def apply(self, event: Event) -> None:
        """Follow the room: a join puts its origin at the end of the list, a departure frees it."""
        if event.kind is Kind.JOINED:
            self._claims.discard(_fold(event.origin))
            self._members[_fold(event.origin)] = event.origin
            self._users_line = b""
        elif event.kind is Kind.LEFT:
            self._members.pop(_fold(event.origin), None)
            self._users_line = b""


def _fold(username: str) -> str:
    """One spelling for a name in any letter case. Only ASCII has case here: U+212A, the Kelvin
    sign, is no k."""
    return username.lower() if username.isascii() else username
