"""The room in the plainest way: lists of lines, a loop over the members for each of them.

In: what the room obeyed, in its order, as `Recorder` heard it. Out: for every member the bytes that
it is to read, and what the console is to show. No pages, no cursors, nothing shared: what the server
does cleverly is compared with this, byte for byte.
"""

from __future__ import annotations

from codec import Deliveries, Dispatcher, Join, ProtocolError

NOW = (2025, 9, 24, 12, 31, 44, 2)
MYTIME = "Wed Sep 24 12:31:44 2025"


class Member:
    """One who is or was in the room: what it typed that was obeyed, and what it is to read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.obeyed: list[bytes] = []
        self.due = bytearray()
        self.is_present = True


class Model:
    """Everyone who ever joined, in that order; `console` is all that was to be shown."""

    def __init__(self, max_line_bytes: int) -> None:
        self.members: list[Member] = []
        self.console = bytearray()
        self._max_line_bytes = max_line_bytes

    def join(self, name: str) -> None:
        assert self.present(name) is None, f"{name} joined twice"
        self._show(f"{name} joined the chatroom")
        self._tell_all(f"{name} joined the chatroom", None)
        self.members.append(Member(name))
        self._tell(self.members[-1], "OK")

    def leave(self, name: str) -> None:
        member = self._must_be_present(name)
        member.is_present = False
        self._show(f"{name} left the chatroom")
        self._tell_all(f"{name} left the chatroom", None)

    def refuse(self, name: str) -> None:
        self._tell_too_long(self._must_be_present(name))

    def obey(self, name: str, line: bytes) -> None:
        """A line as it was typed, ASCII alone, without its line end."""
        member = self._must_be_present(name)
        member.obeyed.append(line)
        text = line.decode()
        words = text.split(" ")
        if not text.strip():
            return
        if text == ":Exit":
            self.leave(name)
        elif text == ":Users":
            names = ", ".join(each.name for each in self.members if each.is_present)
            self._tell(member, f"Active Users: {names}")
            self._show(f"{name}: searched up active users")
        elif words[0] == ":Msg":
            self._message(member, words[1:])
        else:
            shown = f"{name}: {' '.join(self._translate(word) for word in words)}"
            if len(shown) > self._max_line_bytes:
                self._tell_too_long(member)
                return
            self._show(shown)
            self._tell_all(shown, None if ":mytime" in words else member)

    def present(self, name: str) -> Member | None:
        """Who has that name now, if anybody has."""
        found = [each for each in self.members if each.name == name and each.is_present]
        assert len(found) < 2
        return found[0] if found else None

    # Details.

    def _message(self, member: Member, words: list[str]) -> None:
        if len(words) < 2:
            self._tell(member, "Usage: :Msg <username> <message>")
            return
        to = self.present(words[0])
        if to is None:
            self._tell(member, f"No such user: {words[0]}")
            return
        shown = f"[Message from {member.name}]: {' '.join(words[1:])}"
        if len(shown) > self._max_line_bytes:
            self._tell_too_long(member)
            return
        self._tell(to, shown)
        self._show(f"{member.name}: send message to {to.name}")

    @staticmethod
    def _translate(word: str) -> str:
        return {":)": "[feeling happy]", ":mytime": MYTIME}.get(word, word)

    def _must_be_present(self, name: str) -> Member:
        member = self.present(name)
        assert member is not None, f"{name} is not there (left twice, or talks after it left)"
        return member

    def _tell_all(self, text: str, but: Member | None) -> None:
        for member in self.members:
            if member.is_present and member is not but:
                self._tell(member, text)

    def _tell_too_long(self, member: Member) -> None:
        self._tell(member, f"Message too long (limit {self._max_line_bytes} bytes); not sent")

    @staticmethod
    def _tell(member: Member, text: str) -> None:
        member.due += text.encode() + b"\n"

    def _show(self, text: str) -> None:
        self.console += text.encode() + b"\n"


class Recorder(Dispatcher):
    """The real dispatcher, and the model beside it, which is told what was obeyed and when."""

    def __init__(self, passcode: bytes, model: Model, max_line_bytes: int) -> None:
        super().__init__(passcode, lambda seconds: NOW, max_line_bytes)
        self._model = model
        self._is_obeying = False

    def join(self, join: Join) -> Deliveries:
        deliveries = super().join(join)
        self._model.join(join.username)
        return deliveries

    def dispatch(self, username: str, line: bytes) -> Deliveries:
        self._model.obey(username, line)
        self._is_obeying = True  # what it brings about is known to the model
        try:
            return super().dispatch(username, line)
        finally:
            self._is_obeying = False

    def dispatch_plain(self, username: str, lines: bytes) -> Deliveries | None:
        deliveries = super().dispatch_plain(username, lines)
        if deliveries:
            for line in lines.splitlines():
                self._model.obey(username, line)
        return deliveries

    def refuse(self, username: str, error: ProtocolError) -> Deliveries:
        if not self._is_obeying:
            self._model.refuse(username)
        return super().refuse(username, error)

    def leave(self, username: str) -> Deliveries:
        if not self._is_obeying:
            self._model.leave(username)
        return super().leave(username)
