"""What everyone reads of everything that happens in the room, exact to the byte."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.dispatcher import SHUTTING_DOWN, Dispatcher
from codec.errors import ProtocolError
from codec.events import Event, Kind
from codec.framing import MAX_LINE_BYTES, LineDecoder, LineTooLongError
from codec.handshake import INCORRECT_PASSCODE, INVALID_USERNAME, Join, parse_join
from codec.roster import Roster
from tests.codec.conftest import CONSOLE, PASSCODE, UNSAFE, Clock, ScreenRoom, Screens, refused
from tests.support.faults import fault

NOW = b"Wed Sep 24 12:31:44 2025"
IN_AN_HOUR = b"Wed Sep 24 13:31:44 2025"

TOO_LONG = b"Message too long (limit 4096 bytes); not sent\n"
USAGE = b"Usage: :Msg <username> <message>\n"


def everyone_but_alice(lines: bytes) -> Screens:
    return {CONSOLE: lines, "Bob": lines, "Carol": lines}


def everyone(lines: bytes) -> Screens:
    return {**everyone_but_alice(lines), "Alice": lines}


def alice_alone(lines: bytes) -> Screens:
    return {"Alice": lines}


def private(text: bytes, to: str = "Bob") -> Screens:
    console = b"Alice: send message to %s\n" % to.encode()
    return {CONSOLE: console, to: b"[Message from Alice]: %s\n" % text}


# What Alice types, and what comes on whose screen. Nothing comes on any other.


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"Hello Room", b"Hello Room"),
        (b"  blanks \t are  kept \t", b"  blanks \t are  kept \t"),
        (b":)", b"[feeling happy]"),
        (b":(", b"[feeling sad]"),
        (b"hi :) and :(\tbye", b"hi [feeling happy] and [feeling sad]\tbye"),
        (b"hi:) (:( :)s", b"hi:) (:( :)s"),
        (b":Users now", b":Users now"),
        (b" :Users", b" :Users"),
        (b":Exit now", b":Exit now"),
        (b"\t:Exit", b"\t:Exit"),
        (b" :Msg Bob secret", b" :Msg Bob secret"),
        (b":Msgs Bob hi", b":Msgs Bob hi"),
        (b":Help", b":Help"),
        (b"::)", b"::)"),
        (rb"\:mytime", b":mytime"),
        (rb"\:Users", b":Users"),
        (rb"\:Exit", b":Exit"),
        (rb"\:Msg Bob x", b":Msg Bob x"),
        (rb"\\:)", rb"\:)"),
        (rb"C:\path \o/", rb"C:\path \o/"),
        (b"caf\xc3\xa9 \xd7\xa9\xd7\x9c", b"caf\xc3\xa9 \xd7\xa9\xd7\x9c"),
        (b"\xff\xfe", b"\xef\xbf\xbd" * 2),
        (b"\x1b[2J", b"\xef\xbf\xbd[2J"),
        (b"hi\rBob: forged", b"hi\xef\xbf\xbdBob: forged"),
        (b"hi\nBob: forged", b"hi\xef\xbf\xbdBob: forged"),
        (b"hi\xe2\x80\xa8Bob: forged", b"hi\xef\xbf\xbdBob: forged"),
        (b"Bob joined the chatroom", b"Bob joined the chatroom"),
        (b"\xc2\xa0", b"\xc2\xa0"),
    ],
)
def test_text_is_shown_to_everyone_but_its_sender(
    room: ScreenRoom, line: bytes, text: bytes
) -> None:
    assert room.type("Alice", line) == everyone_but_alice(b"Alice: %s\n" % text)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b":mytime", NOW),
        (b":MyTime", NOW),
        (b":+1hr", IN_AN_HOUR),
        (b":+1HR", IN_AN_HOUR),
        (b"it is :mytime :)", b"it is %s [feeling happy]" % NOW),
        (b" :mytime :+1hr \\:mytime", b" %s %s :mytime" % (NOW, IN_AN_HOUR)),
    ],
)
def test_a_time_is_shown_to_its_sender_too(room: ScreenRoom, line: bytes, text: bytes) -> None:
    assert room.type("Alice", line) == everyone(b"Alice: %s\n" % text)


def test_the_clock_is_asked_anew_for_each_line(room: ScreenRoom) -> None:
    room.type("Alice", b":mytime")
    room.clock.now += 86_400
    assert room.type("Alice", b":mytime") == everyone(b"Alice: Thu Sep 25 12:31:44 2025\n")


@pytest.mark.parametrize("line", [b":Users", b":users", b":USERS", b":Users ", b":Users\t "])
def test_users_is_answered_to_the_asker_alone(room: ScreenRoom, line: bytes) -> None:
    assert room.type("Alice", line) == {
        CONSOLE: b"Alice: searched up active users\n",
        "Alice": b"Active Users: Alice, Bob, Carol\n",
    }


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b":Msg Bob CS3251 is awesome", b"CS3251 is awesome"),
        (b":msg Bob secret", b"secret"),
        (b":MSG bob secret", b"secret"),
        (b":Msg BOB two  words ", b"two  words "),
        (b":Msg\tBob\thi", b"hi"),
        (b":Msg  Bob \t hi", b"hi"),
        (b":Msg Bob :) at :mytime", b"[feeling happy] at " + NOW),
        (rb":Msg Bob \:) \o/", rb":) \o/"),
        (b":Msg Bob :Exit", b":Exit"),
        (b":Msg Bob \xff\x1b", b"\xef\xbf\xbd" * 2),
    ],
)
def test_a_private_message_is_shown_to_one_member_alone(
    room: ScreenRoom, line: bytes, text: bytes
) -> None:
    assert room.type("Alice", line) == private(text)


@pytest.mark.parametrize("name", [b"Alice", b"alice", b"ALICE"])
def test_a_message_to_oneself_is_delivered(room: ScreenRoom, name: bytes) -> None:
    assert room.type("Alice", b":Msg %s note :+1hr" % name) == private(
        b"note " + IN_AN_HOUR, to="Alice"
    )


@pytest.mark.parametrize(
    "name",
    [
        b"Zed",
        b"zed",
        b"Bo",
        b"Bobby",
        b"Bob,",
        b":Users",
        b"*",
        b"\\Bob",
        b"\xd7\x90",
        b"B\xc3\xb6b",
    ],
)
def test_a_message_to_nobody_is_told_to_its_sender_alone(room: ScreenRoom, name: bytes) -> None:
    assert room.type("Alice", b":Msg %s hi" % name) == alice_alone(b"No such user: %s\n" % name)


def test_the_name_of_nobody_is_safe_to_show(room: ScreenRoom) -> None:
    screens = room.type("Alice", b":Msg \x1bc\xff hi")
    assert screens == alice_alone(b"No such user: \xef\xbf\xbdc\xef\xbf\xbd\n")


@pytest.mark.parametrize("line", [b":Msg", b":msg ", b":Msg Bob", b":Msg Bob \t", b":Msg Zed"])
def test_a_message_without_a_name_or_a_text_is_told_how(room: ScreenRoom, line: bytes) -> None:
    assert room.type("Alice", line) == alice_alone(USAGE)


@pytest.mark.parametrize("line", [b"", b" ", b"\t", b" \t  "])
def test_a_line_of_blanks_is_shown_to_nobody(room: ScreenRoom, line: bytes) -> None:
    assert room.type("Alice", line) == {}


@pytest.mark.parametrize("line", [b":Exit", b":exit", b":EXIT", b":Exit \t"])
def test_exit_ends_membership_and_is_told_to_the_others(room: ScreenRoom, line: bytes) -> None:
    assert room.type("Alice", line) == everyone_but_alice(b"Alice left the chatroom\n")
    assert room.roster.usernames == ["Bob", "Carol"]
    assert room.type("Bob", b"hi") == {CONSOLE: b"Bob: hi\n", "Carol": b"Bob: hi\n"}


def test_who_vanishes_has_left_like_who_exits(room: ScreenRoom) -> None:
    assert room.leave("Alice") == everyone_but_alice(b"Alice left the chatroom\n")
    assert room.roster.usernames == ["Bob", "Carol"]


def test_a_refused_line_is_told_to_its_sender_alone(room: ScreenRoom) -> None:
    assert room.refuse("Alice", LineTooLongError(4096)) == alice_alone(TOO_LONG)


def test_who_is_alone_in_the_room_is_heard_by_the_console(room: ScreenRoom) -> None:
    room.leave("Bob")
    room.leave("Carol")
    assert room.type("Alice", b"hi") == {CONSOLE: b"Alice: hi\n"}
    assert room.type("Alice", b":Exit") == {CONSOLE: b"Alice left the chatroom\n"}
    assert room.roster.usernames == []


def test_the_last_words_of_the_server_are_worded_as_the_documents_say() -> None:
    assert SHUTTING_DOWN == "Server is shutting down"


# Joining.


def test_a_newcomer_reads_ok_and_the_others_that_it_joined() -> None:
    room = ScreenRoom()
    assert room.join("Alice") == {CONSOLE: b"Alice joined the chatroom\n", "Alice": b"OK\n"}
    assert room.join("Bob") == {
        CONSOLE: b"Bob joined the chatroom\n",
        "Alice": b"Bob joined the chatroom\n",
        "Bob": b"OK\n",
    }
    assert room.roster.usernames == ["Alice", "Bob"]


@fault(46)
@pytest.mark.parametrize(
    "passcode",
    [b"", b"abc1", b"abc123", b"ABC12", b"abc12 ", b" abc12", b"abc12\r", b"abc1\xff", b"abc12\0"],
)
@pytest.mark.parametrize("username", ["Dave", "Alice", "alice", "", "not valid", "\u0410lice"])
def test_without_the_passcode_nothing_else_is_learned(
    room: ScreenRoom, username: str, passcode: bytes
) -> None:
    with refused("Incorrect passcode"):
        room.join(username, passcode)
    assert room.roster.usernames == ["Alice", "Bob", "Carol"]


@pytest.mark.parametrize(
    ("join", "code"),
    [
        (Join("Dave", b"guess"), INCORRECT_PASSCODE),
        (Join("not valid", b"guess"), INCORRECT_PASSCODE),
        (Join("not valid", PASSCODE), INVALID_USERNAME),
    ],
)
def test_check_refuses_with_a_code(room: ScreenRoom, join: Join, code: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        room.dispatcher.check(join)
    assert refusal.value.code == code


def test_check_claims_no_name(room: ScreenRoom) -> None:
    room.dispatcher.check(Join("Dave", PASSCODE))
    room.dispatcher.check(Join("Dave", PASSCODE))
    assert room.join("Dave")["Dave"] == b"OK\n"


@fault(46)
@pytest.mark.parametrize("passcode", [b"abc12", b"p\xc3\xa9", b"\xff", b"two words", b"x" * 242])
def test_any_bytes_may_be_the_passcode(passcode: bytes) -> None:
    dispatcher = Dispatcher(passcode, Clock().local_time, Roster())
    dispatcher.check(Join("Alice", passcode))
    with refused("Incorrect passcode"):
        dispatcher.check(Join("Bob", passcode + b"x"))


def test_passcodes_are_compared_in_constant_time(
    room: ScreenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare_digest(presented: bytes, expected: bytes) -> bool:
        compared.append({presented, expected})
        return False

    # No outcome shows how long it took: only the function that was used can.
    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    with refused("Incorrect passcode"):
        room.join("Dave", b"guess")
    assert compared == [{b"guess", PASSCODE}]


@fault(16)
@pytest.mark.parametrize(
    ("username", "reason"),
    [
        ("", "Invalid username: it is empty"),
        ("123456789", "Invalid username: longer than 8 characters"),
        ("A lice", "Invalid username: only A-Z a-z 0-9 _ - . are allowed"),
        ("\u0410lice", "Invalid username: only A-Z a-z 0-9 _ - . are allowed"),
        ("Bob\n", "Invalid username: only A-Z a-z 0-9 _ - . are allowed"),
        ("Alice", "Username already in use: Alice"),
        ("alice", "Username already in use: alice"),
        ("BOB", "Username already in use: BOB"),
    ],
)
def test_a_name_that_is_invalid_or_taken_is_refused_and_nothing_changes(
    room: ScreenRoom, username: str, reason: str
) -> None:
    with refused(reason):
        room.join(username)
    assert room.roster.usernames == ["Alice", "Bob", "Carol"]


@pytest.mark.parametrize("again", ["Alice", "aLICE"])
def test_a_name_is_free_again_as_soon_as_its_owner_left(room: ScreenRoom, again: str) -> None:
    room.type("Alice", b":Exit")
    name = again.encode()
    assert room.join(again)[again] == b"OK\n"
    assert room.roster.usernames == ["Bob", "Carol", again]
    assert room.type("Bob", b":Msg alice hi") == {
        CONSOLE: b"Bob: send message to %s\n" % name,
        again: b"[Message from Bob]: hi\n",
    }
    room.leave(again)
    assert room.join("Alice")["Alice"] == b"OK\n"


@fault(16)
def test_only_ascii_letters_have_case_in_names() -> None:
    room = ScreenRoom("Alice", "Kim")
    # The Kelvin sign is a K that becomes an ASCII k in lower case.
    assert room.type("Alice", ":Msg \u212aim hi".encode()) == alice_alone(
        "No such user: \u212aim\n".encode()
    )


# The list of members.


def listed(room: ScreenRoom, asker: str) -> bytes:
    return room.type(asker, b":Users")[asker]


def test_members_are_listed_in_the_order_they_joined_as_they_spell_themselves() -> None:
    room = ScreenRoom("zoe", "ADA", "Mia", "b-b_b.9")
    assert listed(room, "Mia") == b"Active Users: zoe, ADA, Mia, b-b_b.9\n"


def test_a_list_that_was_asked_for_before_is_up_to_date() -> None:
    room = ScreenRoom("Alice")
    assert listed(room, "Alice") == b"Active Users: Alice\n"
    room.join("Bob")
    assert listed(room, "Alice") == listed(room, "Bob") == b"Active Users: Alice, Bob\n"
    room.join("Carol")
    room.type("Alice", b":Exit")
    assert listed(room, "Bob") == b"Active Users: Bob, Carol\n"
    room.leave("Carol")
    assert listed(room, "Bob") == b"Active Users: Bob\n"
    room.join("ALICE")
    assert listed(room, "ALICE") == b"Active Users: Bob, ALICE\n"


def test_the_list_alone_may_be_longer_than_a_line() -> None:
    names = [f"user{number:04}" for number in range(500)]
    room = ScreenRoom(*names)
    line = listed(room, "user0000")
    assert line == f"Active Users: {', '.join(names)}\n".encode()
    assert len(line) > MAX_LINE_BYTES


# The limit: a line is counted as it would be shown, without its line end.


@fault(73)
def test_what_is_said_may_be_shown_in_4096_bytes_and_not_one_more(room: ScreenRoom) -> None:
    text = b"x" * (4096 - len("Alice: "))
    assert room.type("Alice", text) == everyone_but_alice(b"Alice: %s\n" % text)
    assert room.type("Alice", text + b"x") == alice_alone(TOO_LONG)


def test_a_private_message_may_be_shown_in_4096_bytes_and_not_one_more(room: ScreenRoom) -> None:
    text = b"x" * (4096 - len("[Message from Alice]: "))
    assert room.type("Alice", b":Msg Bob " + text) == private(text)
    assert room.type("Alice", b":Msg Bob x" + text) == alice_alone(TOO_LONG)


def test_a_reply_may_be_shown_in_4096_bytes_and_not_one_more(room: ScreenRoom) -> None:
    name = b"x" * (4096 - len("No such user: "))
    assert room.type("Alice", b":Msg %s hi" % name) == alice_alone(b"No such user: %s\n" % name)
    assert room.type("Alice", b":Msg %sx hi" % name) == alice_alone(TOO_LONG)


def test_a_line_that_grows_is_counted_as_it_is_shown(room: ScreenRoom) -> None:
    faces = b":) " * 255  # 7 + 255 * 16 = 4087 bytes as shown
    shown = b"Alice: %s\n" % (b"[feeling happy] " * 255 + b"x" * 9)
    assert room.type("Alice", faces + b"x" * 9) == everyone_but_alice(shown)
    assert room.type("Alice", faces + b"x" * 10) == alice_alone(TOO_LONG)
    assert room.type("Alice", b":Msg Bob " + faces) == alice_alone(TOO_LONG)
    assert room.type("Alice", b"\xff" * 1363) == everyone_but_alice(
        b"Alice: %s\n" % (b"\xef\xbf\xbd" * 1363)
    )
    assert room.type("Alice", b"\xff" * 1364) == alice_alone(TOO_LONG)


def test_a_line_that_shrinks_is_counted_as_it_is_shown(room: ScreenRoom) -> None:
    text = b"x" * (4096 - len("Alice: :"))
    assert room.type("Alice", b"\\:" + text) == everyone_but_alice(b"Alice: :%s\n" % text)


def test_a_time_that_makes_its_line_too_long_is_shown_to_nobody(room: ScreenRoom) -> None:
    text = b" " + b"x" * (4096 - len(b"Alice:  " + NOW))
    assert room.type("Alice", b":mytime" + text) == everyone(b"Alice: %s%s\n" % (NOW, text))
    assert room.type("Alice", b":mytime" + text + b"x") == alice_alone(TOO_LONG)


def test_who_typed_too_long_a_line_stays_a_member(room: ScreenRoom) -> None:
    room.type("Alice", b"x" * 5000)
    assert room.type("Alice", b"hi") == everyone_but_alice(b"Alice: hi\n")


def test_the_limit_may_be_another() -> None:
    room = ScreenRoom("Alice", "Bob", max_line_bytes=50)
    assert room.type("Alice", b"x" * 43)["Bob"] == b"Alice: %s\n" % (b"x" * 43)
    assert room.type("Alice", b"x" * 44) == alice_alone(
        b"Message too long (limit 50 bytes); not sent\n"
    )


# Many lines at once.


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (b"hi\n", b"Alice: hi\n"),
        (b"one\ntwo\n", b"Alice: one\nAlice: two\n"),
        (b"a:b \n(:\n\xc3\xa9\n", b"Alice: a:b \nAlice: (:\nAlice: \xc3\xa9\n"),
    ],
)
def test_plain_lines_are_shown_each_with_its_sender(
    room: ScreenRoom, lines: bytes, shown: bytes
) -> None:
    assert room.type_plain("Alice", lines) == everyone_but_alice(shown)


@pytest.mark.parametrize(
    "line", [b"", b" ", b":)", b"hi :mytime", b":Users", b":Exit", b":Msg Bob hi", b"\\:)", b"\xff"]
)
def test_where_one_line_needs_a_closer_look_nothing_has_happened(
    room: ScreenRoom, line: bytes
) -> None:
    assert room.type_plain("Alice", b"hi\n%s\nhi\n" % line) is None
    assert room.roster.usernames == ["Alice", "Bob", "Carol"]


def test_lines_among_many_are_counted_as_they_would_be_shown(room: ScreenRoom) -> None:
    line = b"x" * (4096 - len("Alice: ")) + b"\n"
    shown = b"Alice: hi\nAlice: %sAlice: hi\n" % line
    assert room.type_plain("Alice", b"hi\n%shi\n" % line) == everyone_but_alice(shown)
    assert room.type_plain("Alice", b"hi\nx%shi\n" % line) is None


# Events.


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"hi", Kind.SAID),
        (b":mytime", Kind.SAID),
        (b":Msg Bob hi", Kind.PRIVATE),
        (b":Msg Alice hi", Kind.PRIVATE),
        (b":Msg Zed hi", Kind.NOTICE),
        (b":Msg Bob", Kind.NOTICE),
        (b":Users", Kind.NOTICE),
        (b"x" * 5000, Kind.NOTICE),
        (b":Exit", Kind.LEFT),
    ],
)
def test_event_of_a_line_has_its_kind(room: ScreenRoom, line: bytes, kind: Kind) -> None:
    event = room.dispatcher.dispatch("Alice", line)
    assert event
    assert event[:2] == (kind, "Alice")


@fault(73)
@pytest.mark.parametrize("line", [b"", b" ", b" \t  "])
def test_blank_line_is_no_event(room: ScreenRoom, line: bytes) -> None:
    assert room.dispatcher.dispatch("Alice", line) is None


def test_membership_changes_only_when_events_are_applied(room: ScreenRoom) -> None:
    left = room.dispatcher.dispatch("Alice", b":Exit")
    vanished = room.dispatcher.leave("Bob")
    room.roster.claim("Dave")
    joined = room.dispatcher.join("Dave")
    assert room.roster.usernames == ["Alice", "Bob", "Carol"]
    for event in (left, vanished, joined):
        assert event
        room.roster.apply(event)
    assert room.roster.usernames == ["Carol", "Dave"]


def test_asking_for_the_list_shares_the_line_of_the_roster(room: ScreenRoom) -> None:
    for asker in ("Alice", "Bob"):
        event = room.dispatcher.dispatch(asker, b":Users")
        assert event
        assert event.private[0][1] is room.roster.users_line


def test_event_has_no_lines_unless_given() -> None:
    assert Event(Kind.SAID, "Alice") == (Kind.SAID, "Alice", b"", b"", False, ())


# Garbage.

GARBAGE = st.lists(
    st.binary(max_size=6)
    | st.sampled_from([b":Msg", b":Users", b":Exit", b":)", b":mytime", b"\\", b"\\:", b"Bob"])
    | st.sampled_from([b" ", b"\t", b"\r", b"\n", b"\xe2\x80\xa8", b"\xc2\x9b", b"\xff", b"\x1b"])
    | st.just(b"x" * 4000),
    max_size=10,
).map(b"".join)


@fault(2, 49)
@given(line=GARBAGE)
@settings(deadline=None, max_examples=400)
def test_garbage_is_shown_in_whole_lines_that_are_safe_on_a_terminal(line: bytes) -> None:
    room = ScreenRoom("Alice", "Bob", "Carol")
    for lines in room.type("Alice", line).values():
        text = lines.decode()
        assert text.endswith("\n")
        assert not UNSAFE & set(map(ord, text[:-1]))
        assert len(lines) - 1 <= MAX_LINE_BYTES


@fault(3)
@given(stream=GARBAGE | GARBAGE.map(lambda rest: b"JOIN Dave abc12\n" + rest))
@settings(deadline=None, max_examples=400)
def test_stream_of_garbage_gives_events_or_protocol_errors(stream: bytes) -> None:
    roster = Roster()
    dispatcher = Dispatcher(PASSCODE, Clock().local_time, roster)
    decoder = LineDecoder()
    decoder.feed_data(stream)
    outcomes: list[object] = []
    for _ in range(len(stream) + 1):
        try:
            line = decoder.next_line()
            if line is None:
                break
            if roster.usernames:
                event = dispatcher.dispatch(roster.usernames[0], line)
            else:
                join = parse_join(line)
                dispatcher.check(join)
                roster.claim(join.username)
                event = dispatcher.join(join.username)
            if event:
                roster.apply(event)
            outcomes.append(event)
        except ProtocolError as error:
            outcomes.append(error)
    assert all(isinstance(outcome, Event | ProtocolError | None) for outcome in outcomes)
