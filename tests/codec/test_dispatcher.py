"""What is read by each member after everything that happens in the room, exact to the byte."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from codec.dispatcher import Dispatcher
from codec.errors import ProtocolError
from codec.events import Event, Kind
from codec.framing import MAX_LINE_BYTES
from codec.handshake import Join
from codec.roster import Roster
from tests.codec.conftest import CONSOLE, ScreenRoom, Screens, refused
from tests.support import protocol
from tests.support.faults import fault
from tests.support.protocol import PASSCODE

NOW = protocol.NOW.encode()
IN_AN_HOUR = protocol.IN_AN_HOUR.encode()
TOO_LONG = b"Message too long (limit %d bytes); not sent\n"


def others(lines: bytes) -> Screens:
    """The screens of all but Alice."""
    return {CONSOLE: lines, "Bob": lines, "Carol": lines}


def everyone(lines: bytes) -> Screens:
    return {**others(lines), "Alice": lines}


def alice_alone(lines: bytes) -> Screens:
    return {"Alice": lines}


def to_bob(line: bytes) -> Screens:
    return {CONSOLE: b"Alice: send message to Bob\n", "Bob": line}


# What Alice types, and what comes on each screen. Nothing comes on any other.


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"  blanks \t are  kept \t", b"  blanks \t are  kept \t"),
        (b"hi :) and :(\tbye", b"hi [feeling happy] and [feeling sad]\tbye"),
        (rb"\:Msg Bob x", b":Msg Bob x"),
        (b"hi\nBob: forged", b"hi\xef\xbf\xbdBob: forged"),
    ],
)
def test_text_is_shown_to_all_but_its_sender(room: ScreenRoom, line: bytes, text: bytes) -> None:
    assert room.type("Alice", line, Kind.SAID) == others(b"Alice: %s\n" % text)


def test_time_is_asked_for_each_line_and_its_sender_reads_it(room: ScreenRoom) -> None:
    assert room.type("Alice", b":MyTime") == everyone(b"Alice: %s\n" % NOW)
    room.seconds_later = 3600
    line = b" :mytime :) \\:mytime"
    shown = b"Alice:  %s [feeling happy] :mytime\n" % IN_AN_HOUR
    assert room.type("Alice", line, Kind.SAID) == everyone(shown)


def test_users_is_answered_to_the_asker_alone(room: ScreenRoom) -> None:
    assert room.type("Alice", b":users \t", Kind.NOTICE) == {
        CONSOLE: b"Alice: searched up active users\n",
        "Alice": b"Active Users: Alice, Bob, Carol\n",
    }


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b":Msg Bob CS3251 is awesome", b"CS3251 is awesome"),
        (b":msg  BOB\ttwo  words ", b"two  words "),
        (rb":Msg Bob :) \:) at :mytime", b"[feeling happy] :) at " + NOW),
        (b":Msg Bob \xff\x1b", b"\xef\xbf\xbd" * 2),
    ],
)
def test_private_message_is_shown_to_one_member_alone(
    room: ScreenRoom, line: bytes, text: bytes
) -> None:
    shown = b"[Message from Alice]: %s\n" % text
    assert room.type("Alice", line, Kind.PRIVATE) == to_bob(shown)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *[(name, name) for name in (b"Bo", b"Bobby", b":Users", b"\\Bob", b"B\xc3\xb6b")],
        (b"\x1bc\xff", b"\xef\xbf\xbdc\xef\xbf\xbd"),
    ],
)
def test_sender_of_a_message_to_no_member_is_told_so(
    room: ScreenRoom, name: bytes, shown: bytes
) -> None:
    line = b"No such user: %s\n" % shown
    assert room.type("Alice", b":Msg %s hi" % name, Kind.NOTICE) == alice_alone(line)


@pytest.mark.parametrize("line", [b":msg ", b":Msg Bob \t", b":Msg Zed"])
def test_sender_of_an_incomplete_message_is_told_its_usage(room: ScreenRoom, line: bytes) -> None:
    usage = b"Usage: :Msg <username> <message>\n"
    assert room.type("Alice", line, Kind.NOTICE) == alice_alone(usage)


@fault(73)
@pytest.mark.parametrize("line", [b"", b" ", b" \t  "])
def test_line_of_blanks_is_no_event(room: ScreenRoom, line: bytes) -> None:
    assert room.dispatcher.dispatch("Alice", line) is None


def test_exit_is_told_to_the_others_and_ends_membership(room: ScreenRoom) -> None:
    assert room.type("Alice", b":exit \t", Kind.LEFT) == others(b"Alice left the chatroom\n")
    assert room.type("Bob", b"hi") == {CONSOLE: b"Bob: hi\n", "Carol": b"Bob: hi\n"}


def test_refused_line_is_told_to_its_sender_alone(room: ScreenRoom) -> None:
    assert room.refuse_line("Alice") == alice_alone(TOO_LONG % 4089)


# Joining.


@fault(46)
@pytest.mark.parametrize(
    "passcode",
    [b"", b"abc1", b"abc123", b"ABC12", b"abc12 ", b" abc12", b"abc12\r", b"abc1\xff", b"abc12\0"],
)
@pytest.mark.parametrize("username", ["Dave", "alice", "", "not valid"])
def test_guest_without_the_passcode_learns_nothing_else(
    room: ScreenRoom, username: str, passcode: bytes
) -> None:
    with refused("Incorrect passcode"):
        room.join(username, passcode)
    assert room.roster.usernames == ["Alice", "Bob", "Carol"]


@fault(46)
@pytest.mark.parametrize("passcode", [b"abc12", b"p\xc3\xa9", b"\xff", b"two words", b"x" * 242])
def test_passcode_may_be_any_bytes(passcode: bytes) -> None:
    dispatcher = Dispatcher(passcode, protocol.local_time, Roster())
    dispatcher.check(Join("Alice", passcode))
    with refused("Incorrect passcode"):
        dispatcher.check(Join("Bob", passcode + b"x"))


@fault(46)
@pytest.mark.parametrize("username", ["Alice", "Dave", "not valid", "x" * 200])
@pytest.mark.parametrize("passcode", [b"", b"abc12", b"bbc12", b"\xff" * 200])
def test_join_costs_one_comparison_whatever_it_says(
    room: ScreenRoom, username: str, passcode: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the whole passcode, for every name, valid, taken or not. That it takes the same time is
    for `hmac.compare_digest` to promise."""
    compared = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        compared.append({one, other})
        return one == other

    monkeypatch.setattr("codec.dispatcher.compare_digest", compare_digest)
    with contextlib.suppress(ProtocolError):
        room.dispatcher.check(Join(username, passcode))
    assert compared == [{passcode, PASSCODE}]


# The limit: a line is counted as it would be shown, without its line end. Its sender is told how
# much of that might have been text.


@fault(73)
@pytest.mark.parametrize(
    ("typed", "shown", "screens"),
    [
        pytest.param(b"", b"Alice: ", others, id="text"),
        pytest.param(b":) " * 250, b"Alice: " + b"[feeling happy] " * 250, others, id="faces grow"),
        pytest.param(b"\xff" * 1363, b"Alice: " + b"\xef\xbf\xbd" * 1363, others, id="so do bytes"),
        pytest.param(b"\\:", b"Alice: :", others, id="a protected word shrinks"),
        pytest.param(b":mytime ", b"Alice: %s " % NOW, everyone, id="a time"),
        pytest.param(b":Msg Bob ", b"[Message from Alice]: ", to_bob, id="a private message"),
        pytest.param(b":Msg Bob \\:", b"[Message from Alice]: :", to_bob, id="one that shrinks"),
    ],
)
def test_line_is_shown_in_4096_bytes_and_not_in_one_more(
    room: ScreenRoom, typed: bytes, shown: bytes, screens: Callable[[bytes], Screens]
) -> None:
    filling = b"x" * (4096 - len(shown))
    limit = 4096 - len(shown.partition(b": ")[0]) - 2
    assert room.type("Alice", typed + filling) == screens(b"%s%s\n" % (shown, filling))
    refused = room.type("Alice", typed + filling + b"x", Kind.NOTICE)
    assert refused == alice_alone(TOO_LONG % limit)
    assert room.type("Alice", b"hi") == others(b"Alice: hi\n")


@pytest.mark.parametrize(
    ("username", "to", "limit"), [("Alice", "Bob", 4074), ("Bob", "longname", 4073)]
)
def test_message_by_enter_fits_the_longer_of_its_two_lines(
    username: str, to: str, limit: int
) -> None:
    room = ScreenRoom(to)
    room.join(username, echo=True)
    text = b"x" * limit
    shown = room.type(username, b":Msg %s %s" % (to.encode(), text), Kind.PRIVATE)
    assert shown[to] == b"[Message from %s]: %s\n" % (username.encode(), text)
    assert shown[username] == b"[Message to %s]: %s\n" % (to.encode(), text)
    refused = room.type(username, b":Msg %s %sx" % (to.encode(), text), Kind.NOTICE)
    assert refused == {username: b"* " + TOO_LONG % limit}


def test_operator_is_heard_by_all_but_not_in_the_words_of_a_reply(room: ScreenRoom) -> None:
    text = "x" * 4094
    said = Event(Kind.ANNOUNCED, "", *2 * (b"* %s\n" % text.encode(),))
    assert room.dispatcher.announce(text) == said
    for wrong in (text + "x", "No such user: Bob", "Usage: none", "Message too long"):
        with pytest.raises(ProtocolError):
            room.dispatcher.announce(wrong)


def test_reply_is_shown_in_4096_bytes_and_not_in_one_more(room: ScreenRoom) -> None:
    name = b"x" * (4096 - len("No such user: "))
    assert room.type("Alice", b":Msg %s hi" % name) == alice_alone(b"No such user: %s\n" % name)
    assert room.type("Alice", b":Msg %sx hi" % name) == alice_alone(TOO_LONG % 4082)


def test_list_of_members_alone_may_be_longer() -> None:
    names = [f"user{number:04}" for number in range(500)]
    line = ScreenRoom(*names).type("user0000", b":Users")["user0000"]
    assert line == f"Active Users: {', '.join(names)}\n".encode()
    assert len(line) > MAX_LINE_BYTES


# Many lines at once.


@pytest.mark.parametrize("line", [b"", b"hi :mytime", b":Exit", b":Msg Bob hi", b"\\:)", b"\xff"])
def test_no_line_is_obeyed_where_one_needs_a_closer_look(room: ScreenRoom, line: bytes) -> None:
    assert room.type_plain("Alice", b"hi\n%s\nhi\n" % line) is None


def test_each_of_many_lines_is_counted_as_it_would_be_shown(room: ScreenRoom) -> None:
    line = b"x" * (4096 - len("Alice: ")) + b"\n"
    shown = b"Alice: hi\nAlice: %sAlice: hi\n" % line
    assert room.type_plain("Alice", b"hi\n%shi\n" % line) == others(shown)
    assert room.type_plain("Alice", b"hi\nx%shi\n" % line) is None


# Events.


def test_dispatcher_itself_changes_no_membership_and_no_claim(room: ScreenRoom) -> None:
    room.dispatcher.dispatch("Alice", b":Exit")
    room.dispatcher.leave("Bob")
    room.dispatcher.check(Join("Dave", PASSCODE))
    room.dispatcher.join("Dave")
    assert room.roster.usernames == ["Alice", "Bob", "Carol"]
    room.roster.claim("Dave")


def test_each_answer_to_users_is_the_line_of_the_roster_itself(room: ScreenRoom) -> None:
    event = room.dispatcher.dispatch("Bob", b":Users")
    assert event
    assert event.private[0][1] is room.roster.users_line


def test_event_has_no_lines_unless_given() -> None:
    assert Event(Kind.SAID, "Alice") == (Kind.SAID, "Alice", b"", b"", False, ())
