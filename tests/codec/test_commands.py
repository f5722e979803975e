"""Which command each typed line is: the words, their case, and the blanks around them."""

from __future__ import annotations

import re

import pytest

from codec.commands import COMMANDS, EXIT, MISUSE, SAY, Command, is_exit, parse_command
from codec.dispatcher import Dispatcher
from tests.support import protocol
from tests.support.faults import fault

LIST_USERS = "list_users"
MESSAGE = "message"


def test_each_command_has_a_word_a_method_and_a_help_line() -> None:
    for word, _, verb, help_line in COMMANDS:
        assert re.fullmatch(r":[^ \t]+", word)
        assert not verb.startswith("_")
        assert callable(getattr(Dispatcher, verb, None))
        assert help_line.startswith(f"{word} ")
    words = [row.word.lower() for row in COMMANDS]
    assert len(set(words)) == len(words) > 0


@pytest.mark.parametrize("behind", ["", " ", "\t", "   ", " \t "])
@pytest.mark.parametrize("word", [":Users", ":users", ":USERS", ":Exit", ":exit", ":eXiT"])
def test_users_and_exit_are_commands_when_alone_on_a_line(word: str, behind: str) -> None:
    verb = {":users": LIST_USERS, ":exit": EXIT}[word.lower()]
    assert parse_command(word + behind) == Command(verb)
    assert is_exit((word + behind).encode()) == (verb == EXIT)


@pytest.mark.parametrize(
    ("line", "to", "text"),
    [
        (":Msg Bob CS3251 is awesome", "Bob", "CS3251 is awesome"),
        (":MSG\tBob\thi", "Bob", "hi"),
        (":mSg \t Bob \t hi", "Bob", "hi"),
        (":msg bOB two  words\t ", "bOB", "two  words\t "),
        (":Msg Bob :) \\:)", "Bob", ":) \\:)"),
        (":Msg Bob :Exit", "Bob", ":Exit"),
        (":Msg Bob :Msg Bob x", "Bob", ":Msg Bob x"),
        (":Msg :Users x", ":Users", "x"),
        (":Msg \\Bob \\x", "\\Bob", "\\x"),
        (":Msg Bob,Carol hi", "Bob,Carol", "hi"),
        (":Msg B\u00f6b\u00a0x \u00a0", "B\u00f6b\u00a0x", "\u00a0"),
    ],
)
def test_message_has_a_name_as_typed_and_a_text_with_its_blanks(
    line: str, to: str, text: str
) -> None:
    assert parse_command(line) == Command(MESSAGE, text, to)
    assert not is_exit(line.encode())


@pytest.mark.parametrize("line", [":Msg", ":MSG", ":Msg ", ":msg \t ", ":Msg Bob", ":Msg Bob \t"])
def test_message_without_a_name_or_a_text_is_a_misuse(line: str) -> None:
    assert protocol.USAGE == "Usage: :Msg <username> <message>"
    assert parse_command(line) == Command(MISUSE, protocol.USAGE)


@fault(3)
@pytest.mark.parametrize(
    "text",
    [
        *["Hello Room", "  blanks in front and behind \t", ":)", ":mytime", ":", "::Users"],
        # More than the command on its line, or a blank in front of it.
        *[":Users now", ":Users :Users", ":Exit now", " :Users", "\t:Exit", " :Msg Bob secret"],
        # Another word.
        *[":Users\u00a0", ":Exit.", ":Exit\ufffd", ":Exit\0", ":Msgs Bob hi", ":MsgBob hi"],
        *[":Msg\u00a0Bob hi", ":Msg:Bob hi", ":Help", ":List users", ": Users", "Users", "x :Exit"],
        *[":\\Users", "\\:Users", "\\:Exit", "\\:Msg Bob x"],
        # A long s and a dotless i, whose upper case is S and I; a dotted I; a full width colon.
        *[":u\u017fers", ":ex\u0131t", ":ex\u0130t", "\uff1aUsers"],
        # No blanks here.
        *["\u00a0", "\u3000"],
    ],
)
def test_every_other_line_is_said_as_typed(text: str) -> None:
    assert parse_command(text) == Command(SAY, text)
    assert not is_exit(text.encode())


def test_line_that_is_no_utf_8_does_not_ask_to_leave() -> None:
    assert not is_exit(b":Exit\xff")
