"""Which command each typed line is: the words, their case, and the blanks around them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.commands import (
    COMMANDS,
    EXIT,
    MESSAGE_USAGE,
    MISUSE,
    NOTHING,
    SAY,
    Command,
    is_exit,
    parse_command,
)
from codec.dispatcher import Dispatcher
from tests.support.faults import fault

LIST_USERS = "list_users"
MESSAGE = "message"

BLANKS = ["", " ", "\t", "   ", " \t "]


def test_commands_each_have_a_word_a_method_and_a_help_line() -> None:
    for word, _, verb, help_line in COMMANDS:
        assert re.fullmatch(r":[^ \t]+", word)
        assert not verb.startswith("_")
        assert callable(getattr(Dispatcher, verb, None))
        assert help_line.startswith(f"{word} ")
    words = [row.word.lower() for row in COMMANDS]
    assert len(set(words)) == len(words) > 0


@pytest.mark.parametrize("behind", BLANKS)
@pytest.mark.parametrize("word", [":Users", ":users", ":USERS", ":uSeRs"])
def test_users_is_a_command_when_alone_on_its_line(word: str, behind: str) -> None:
    assert parse_command(word + behind) == Command(LIST_USERS)
    assert not is_exit((word + behind).encode())


@pytest.mark.parametrize("behind", BLANKS)
@pytest.mark.parametrize("word", [":Exit", ":exit", ":EXIT", ":eXiT"])
def test_exit_is_a_command_when_alone_on_its_line(word: str, behind: str) -> None:
    assert parse_command(word + behind) == Command(EXIT)
    assert is_exit((word + behind).encode())


@pytest.mark.parametrize("blank", BLANKS[1:])
@pytest.mark.parametrize("word", [":Msg", ":msg", ":MSG", ":mSg"])
def test_msg_is_a_command_when_it_begins_the_line_as_a_word(word: str, blank: str) -> None:
    line = f"{word}{blank}Bob{blank}hi"
    assert parse_command(line) == Command(MESSAGE, "hi", "Bob")


@pytest.mark.parametrize(
    ("line", "to", "text"),
    [
        (":Msg Bob CS3251 is awesome", "Bob", "CS3251 is awesome"),
        (":Msg Bob two  words\t ", "Bob", "two  words\t "),
        (":Msg bOB x", "bOB", "x"),
        (":Msg Bob :) \\:)", "Bob", ":) \\:)"),
        (":Msg Bob :Exit", "Bob", ":Exit"),
        (":Msg Bob :Msg Bob x", "Bob", ":Msg Bob x"),
        (":Msg :Users x", ":Users", "x"),
        (":Msg \\Bob \\x", "\\Bob", "\\x"),
        (":Msg Bob,Carol hi", "Bob,Carol", "hi"),
        (":Msg B\u00f6b \u05e9\u05dc\u05d5\u05dd", "B\u00f6b", "\u05e9\u05dc\u05d5\u05dd"),
        (":Msg Bob\u00a0x hi", "Bob\u00a0x", "hi"),
        (":Msg Bob \u00a0", "Bob", "\u00a0"),
    ],
)
def test_a_message_has_a_name_as_typed_and_a_text_with_its_blanks(
    line: str, to: str, text: str
) -> None:
    assert parse_command(line) == Command(MESSAGE, text, to)


@pytest.mark.parametrize("line", [":Msg", ":MSG", ":Msg ", ":msg \t ", ":Msg Bob", ":Msg Bob \t"])
def test_a_message_without_a_name_or_a_text_is_told_its_usage(line: str) -> None:
    assert parse_command(line) == Command(MISUSE, MESSAGE_USAGE)
    assert MESSAGE_USAGE == "Usage: :Msg <username> <message>"


@pytest.mark.parametrize("line", BLANKS)
def test_a_line_of_blanks_is_nothing(line: str) -> None:
    assert parse_command(line) == Command(NOTHING)


@pytest.mark.parametrize(
    "text",
    [
        "Hello Room",
        "  leading and trailing blanks \t",
        ":)",
        ":mytime",
        ":",
        "::Users",
        ":Users now",
        ":Users :Users",
        ":Users\u00a0",
        ":Exit now",
        ":Exit.",
        ":Exit\ufffd",
        " :Users",
        "\t:Exit",
        " :Msg Bob secret",
        ":Msgs Bob hi",
        ":MsgBob hi",
        ":Msg\u00a0Bob hi",
        ":Msg:Bob hi",
        ":Help",
        ":List users",
        ": Users",
        "Users",
        "x :Exit",
        "\\:Users",
        "\\:Exit",
        "\\:Msg Bob x",
        ":\\Users",
        ":u\u017fers",  # a long s, whose upper case is S
        ":ex\u0131t",  # a dotless i, whose upper case is I
        ":ex\u0130t",  # a dotted I
        "\uff1aUsers",  # a full width colon
        "\u00a0",  # no blank here
        "\u3000",
    ],
)
def test_every_other_line_is_said_as_typed(text: str) -> None:
    assert parse_command(text) == Command(SAY, text)
    assert not is_exit(text.encode())


@pytest.mark.parametrize(
    "line", [b":Exit\r", b":Exit\0", b":Exit\xff", b"\xff:Exit", b":Msg a :Exit"]
)
def test_no_other_line_asks_to_leave(line: bytes) -> None:
    assert not is_exit(line)


@fault(3)
@given(line=st.text() | st.text(":UuSsEeRrXxIiTtMmGg \t\\B"))
@settings(deadline=None, max_examples=400)
def test_no_text_is_lost_and_none_raises(line: str) -> None:
    command = parse_command(line)
    if command.verb == SAY:
        assert command == (SAY, line, "")
        assert line.strip(" \t")
    elif command.verb == MESSAGE:
        assert line.endswith(command.text)
        assert not set(command.to) & set(" \t")
        assert command.to
        assert command.text.strip(" \t")
    else:
        assert command.verb in {LIST_USERS, EXIT, NOTHING, MISUSE}
    assert is_exit(line.encode()) == (command.verb == EXIT)
