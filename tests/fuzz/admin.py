"""Lines of the operator, played to a room: what is answered, and who is there afterwards."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st

from chat.admin import COMMANDS, Admin
from chat.bans import Bans
from chat.bus import LocalBus
from chat.journal import Journal
from chat.metrics import Metrics
from chat.room import Room
from codec import Dispatcher, Roster, decode_text
from reactor import Reactor
from tests.support.protocol import PASSCODE, local_time

WORDS = [row.word for row in COMMANDS]
ARGUMENTS = st.sampled_from(["Ann", "bOB", "Zed", "1.2.3.4", "::1", "5", "0", "-1", "x" * 5000])
LINES = st.lists(
    st.binary(max_size=20)
    | st.builds(
        lambda *words: " ".join(words).encode(),
        st.sampled_from([*WORDS, "", "Kick"]),
        ARGUMENTS | st.text(max_size=5),
        ARGUMENTS | st.text(max_size=5),
    ),
    max_size=8,
)


def obey(lines: list[bytes]) -> None:
    """Play `lines`. Raise if an answer is no line of safe text, or somebody has gone: the members
    are those of another server, which no command ends."""
    reactor, roster, bus = Reactor(), Roster(), LocalBus()
    dispatcher = Dispatcher(PASSCODE, local_time, roster)
    journal = Journal(reactor, lambda line: None)
    room = Room(reactor, dispatcher, roster, bus, journal, lambda: None)
    bans = Bans(reactor)
    operator = Admin(dispatcher, roster, bus, room, Metrics(room, journal), bans)
    for username in ("Ann", "Bob"):
        bus.submit(dispatcher.join(username))
    for line in lines:
        before = Counter(roster.usernames)
        answer = operator.obey(line)
        look_at_answer(answer)
        assert Counter(roster.usernames) == before, line  # they are on another server
    reactor.close()


def look_at_answer(answer: str) -> None:
    """It is lines, ended by LF, that show as they are."""
    assert answer == "" or answer.endswith("\n")
    for line in answer.split("\n"):
        assert decode_text(line.encode()) == line, repr(answer)
