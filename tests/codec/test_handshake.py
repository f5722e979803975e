"""JOIN and its answers: what is formatted parses back, and every refusal has its exact reason."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import codec
from codec.errors import ProtocolError
from codec.handshake import (
    INVALID_USERNAME,
    MAX_JOIN_BYTES,
    MAX_PASSCODE_BYTES,
    TOO_LATE,
    USERNAME_IN_USE,
    Join,
    RefusedError,
    Resume,
    check_username,
    format_join,
    format_refusal,
    format_resume,
    format_resumed,
    parse_answer,
    parse_join,
    parse_request,
    parse_resumed,
)
from tests.codec.conftest import UNSAFE, refused
from tests.support import protocol
from tests.support.faults import fault
from tests.support.lines import LINES
from tests.support.protocol import EMPTY_NAME, EXPECTED_JOIN, PASSCODE, fault_of_join, split_join
from tests.support.size import IS_LONG, examples

USERNAME_CHARACTERS = "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
USERNAMES = st.text(USERNAME_CHARACTERS, max_size=10) | st.text(max_size=10)


# What is refused, and by which words. The model and all other tests take them from one place.


@pytest.mark.parametrize(
    "name",
    [
        *["EXPECTED_JOIN", "INCORRECT_PASSCODE", "HANDSHAKE_TIMED_OUT", "TOO_MANY_ATTEMPTS"],
        *["TOO_MANY_CONNECTIONS", "SERVER_FULL", "SHUTTING_DOWN", "TOO_LATE", "NOT_HERE"],
    ],
)
def test_words_of_the_server_are_those_of_the_model(name: str) -> None:
    """And those are in the document: tests/support/test_protocol.py."""
    assert getattr(codec, name) == getattr(protocol, name)


def test_package_has_each_name_that_it_exports() -> None:
    assert not [name for name in codec.__all__ if not hasattr(codec, name)]


# JOIN.


@fault(1)
@pytest.mark.parametrize(
    ("line", "join"),
    [
        (b"JOIN Alice abc12", Join("Alice", b"abc12")),
        (b"JOIN Alice  two words \r", Join("Alice", b" two words \r")),
        (b"JOIN  ", Join("", b"")),
        (b"ENTER Alice  two words ", Join("Alice", b" two words ", echo=True)),
        (b"JOIN Alice\t abc12", Join("Alice\t", b"abc12")),
        (
            b"JOIN \xd7\x90\xff\x1b p\xc3\xa9\xff\x00",
            Join("\u05d0\ufffd\ufffd", b"p\xc3\xa9\xff\0"),
        ),
    ],
)
def test_join_is_taken_apart_at_two_spaces_and_not_trimmed(line: bytes, join: Join) -> None:
    assert parse_join(line) == join


@pytest.mark.parametrize(
    "line",
    [
        *[b"", b" ", b"JOIN", b"JOIN ", b"JOIN Alice", b"JOINAlice abc12 x", b" JOIN Alice abc12"],
        *[b"JOIN\tAlice\tabc12", b"JOIN\tAlice abc12", b"JOIN Alice\tabc12", b"join Alice abc12"],
        *[b"\xef\xbb\xbfJOIN Alice abc12", b"GET / HTTP/1.1", b"\x16\x03\x01\x02\x00"],
        *[b"ENTER", b"ENTER Alice", b"enter Alice abc12", b" ENTER Alice abc12", b" Alice abc12"],
    ],
)
def test_any_other_line_is_told_what_was_expected(line: bytes) -> None:
    with refused(EXPECTED_JOIN):
        parse_join(line)


@fault(1)
@given(line=LINES | st.builds(bytes.__add__, st.sampled_from([b"JOIN ", b"ENTER "]), LINES))
@examples(40, 300)
def test_garbage_is_a_join_or_a_protocol_error(line: bytes) -> None:
    if join := split_join(line):
        assert parse_join(line) == join
    else:
        with refused(EXPECTED_JOIN):
            parse_join(line)


@given(username=USERNAMES, passcode=st.binary(max_size=300), echo=st.booleans())
@example("Alice678", b"x" * 242, False)
@example("Alice678", b"x" * 243, False)
@example("A", b"x" * 243, True)
@example("x" * 245, b"abc12", False)
@example("x" * 245, b"abc12", True)
@example("x" * 246, b"abc12", False)
@example("\u05d0" * 123, b"abc12", False)
@example("\u0410l/ce", b"two words ", True)
@example("two words", b"", False)
@example("two words", b"x" * 243, False)
@examples(40, 300)
def test_request_that_fits_parses_back_and_another_is_refused(
    username: str, passcode: bytes, echo: bool
) -> None:
    """Refused with what the server would say, were there a line to ask it by."""
    name = username.encode()
    if len(passcode) > 242:
        with refused("Incorrect passcode"):
            format_join(Join(username, passcode, echo))
    elif " " in username or len(name + passcode) > 256 - len("ENTER  " if echo else "JOIN  "):
        with refused(fault_of_join(username, PASSCODE, []), INVALID_USERNAME):
            format_join(Join(username, passcode, echo))
    else:
        line = format_join(Join(username, passcode, echo))
        assert parse_join(line) == Join(protocol.safe_text(name), passcode, echo)


def test_longest_passcode_may_be_too_long_behind_enter() -> None:
    """The server answers as one that does not know ENTER; JOIN is left."""
    assert len(format_join(Join("Alice678", b"x" * 241, echo=True))) == MAX_JOIN_BYTES
    assert len(format_join(Join("Alice678", b"x" * 242, echo=True))) > MAX_JOIN_BYTES


def test_request_is_formatted_as_one_line() -> None:
    assert (MAX_JOIN_BYTES, MAX_PASSCODE_BYTES) == (256, 242)
    assert format_join(Join("Alice", b"abc12")) == b"JOIN Alice abc12"


def test_username_that_was_no_utf_8_goes_out_byte_for_byte() -> None:
    assert format_join(Join("Al\udcff", b"abc12")) == b"JOIN Al\xff abc12"


# Usernames.


def is_username(text: str) -> bool:
    try:
        check_username(text)
    except ProtocolError:
        return False
    return True


@fault(16)
def test_username_may_hold_65_ascii_characters_and_no_other() -> None:
    last = sys.maxunicode if IS_LONG else 0xFFFF  # letters that look like ASCII are before that
    # Behind others, where a pattern that ends in $ would let LF pass.
    passed = [chr(code) for code in range(last + 1) if is_username(f"Bob{chr(code)}")]
    assert "".join(passed) == USERNAME_CHARACTERS


@fault(16)
@given(username=USERNAMES)
@example("")
@example("12345678")
@example("123456789")
@example("1234567 9")
@example(" Alice")
@example("\u0410lice")  # a Cyrillic A
@example("\U0001d400lice")  # a mathematical one
@examples(40, 300)
def test_username_is_judged_as_by_the_plain_model(username: str) -> None:
    if reason := fault_of_join(username, PASSCODE, []):
        with refused(reason, INVALID_USERNAME):
            check_username(username)
    else:
        check_username(username)


# Answers.


def test_ok_lets_in() -> None:
    assert [parse_answer(b"OK"), parse_answer(b"OK", echo=True)] == ["", ""]
    assert parse_answer(b"OK 7f.A-", echo=True) == "7f.A-"
    for line in (b"OK ", b"OK  7f", b"OK 7 f", b"OK \xff", b"OK 7f "):
        with refused("the answer to JOIN was neither OK nor ERROR"):
            parse_answer(line, echo=True)


@pytest.mark.parametrize(
    ("refusal", "text", "is_for_the_user"),
    [
        (ProtocolError("Incorrect passcode"), "Incorrect passcode", True),
        (ProtocolError(INVALID_USERNAME, ": it is empty"), EMPTY_NAME, True),
        (ProtocolError(USERNAME_IN_USE, ": ", "Al: ice"), "Username already in use: Al: ice", True),
        (ProtocolError(f"{USERNAME_IN_USE} by me"), "Username already in use by me", False),
        (ProtocolError("See: Incorrect passcode"), "See: Incorrect passcode", False),
        (ProtocolError(EXPECTED_JOIN), EXPECTED_JOIN, False),
        (ProtocolError(""), "", False),
    ],
)
def test_refusal_reaches_the_client_with_code_and_text(
    refusal: ProtocolError, text: str, is_for_the_user: bool
) -> None:
    line = format_refusal(refusal)
    assert line == f"ERROR {text}"
    with pytest.raises(RefusedError) as received:
        parse_answer(line.encode())
    assert (received.value.code, str(received.value)) == (refusal.code, text)
    assert received.value.is_for_the_user is is_for_the_user


def test_kind_of_an_error_is_its_text_without_the_name() -> None:
    assert ProtocolError("Full").kind == "Full"
    assert ProtocolError("Bad", ": too big").kind == "Bad: too big"
    assert ProtocolError("Taken", ": ", "Bob").kind == "Taken"


@pytest.mark.parametrize(
    "line",
    [
        *[
            b"",
            b"ok",
            b"OK ",
            b"OK 7f",
            b" OK",
            b"OKAY",
            b"OK\0",
            b"ERROR",
            b"ERRORS many",
            b"error Full",
        ],
        *[b"Alice: hello", b"HTTP/1.1 400 Bad Request", b"SSH-2.0-OpenSSH_9.6"],
    ],
)
def test_any_other_answer_is_no_answer(line: bytes) -> None:
    with refused("the answer to JOIN was neither OK nor ERROR") as error:
        parse_answer(line)
    assert not isinstance(error.value, RefusedError)


@given(line=LINES | LINES.map(lambda line: b"ERROR " + line))
@example(b"ERROR \x1b[2J\xff")
@examples(40, 300)
def test_garbled_answer_is_an_error_that_a_terminal_can_show(line: bytes) -> None:
    if line != b"OK":
        with pytest.raises(ProtocolError) as error:
            parse_answer(line)
        assert not UNSAFE & set(map(ord, str(error.value)))


# A place that is taken again.

PLACES = st.builds(Resume, st.text("!-~1.af", min_size=1, max_size=40), st.integers(0, 10**18 - 1))


@given(PLACES)
def test_request_for_a_place_and_its_answer_parse_back(place: Resume) -> None:
    assert parse_request(format_resume(place)) == place
    assert parse_resumed(format_resumed(place).encode()) == place


def test_request_is_for_a_place_or_to_join() -> None:
    assert parse_request(b"JOIN Alice abc12") == Join("Alice", b"abc12")
    for line in (b"RESUME 1.af", b"RESUME 1.af -1", b"RESUME 1.af 1 ", b"RESUME 1.af " + b"9" * 19):
        with refused(EXPECTED_JOIN):
            parse_request(line)


def test_answer_to_a_request_for_a_place_may_refuse_it() -> None:
    with pytest.raises(RefusedError, match=TOO_LATE):
        parse_resumed(b"ERROR Too late")
    with refused("the answer to JOIN was neither OK nor ERROR"):
        parse_resumed(b"OK 1.af")
