"""JOIN and its answers: what is formatted parses back, and every refusal has its exact reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.errors import ProtocolError
from codec.framing import LineDecoder
from codec.handshake import (
    EXPECTED_JOIN,
    HANDSHAKE_TIMED_OUT,
    INCORRECT_PASSCODE,
    INVALID_USERNAME,
    MAX_JOIN_BYTES,
    MAX_PASSCODE_BYTES,
    MAX_USERNAME_CHARACTERS,
    NO_ANSWER,
    OK,
    SERVER_FULL,
    TOO_MANY_ATTEMPTS,
    TOO_MANY_CONNECTIONS,
    USERNAME_IN_USE,
    Join,
    RefusedError,
    check_username,
    format_join,
    format_refusal,
    parse_answer,
    parse_join,
)
from tests.codec.conftest import UNSAFE, refused
from tests.support.faults import fault

EMPTY = "Invalid username: it is empty"
LETTERS = "Invalid username: only A-Z a-z 0-9 _ - . are allowed"
TOO_LONG = "Invalid username: longer than 8 characters"

USERNAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."

VALID_JOINS = st.builds(
    Join,
    username=st.text(USERNAME_CHARACTERS, min_size=1, max_size=MAX_USERNAME_CHARACTERS),
    passcode=st.binary(max_size=MAX_PASSCODE_BYTES),
)

# Lines that are JOIN or nearly so, and lines that are nothing of the kind.
LINES = st.binary(max_size=40) | st.lists(
    st.sampled_from([b"JOIN", b"join", b"OK", b"ERROR", b"Alice", b"abc12", b" ", b"\t", b"\xff"])
    | st.binary(max_size=3),
    max_size=8,
).map(b"".join)


# JOIN.


@pytest.mark.parametrize(
    ("line", "join"),
    [
        (b"JOIN Alice abc12", Join("Alice", b"abc12")),
        (b"JOIN Alice  abc12", Join("Alice", b" abc12")),
        (b"JOIN Alice two words ", Join("Alice", b"two words ")),
        (b"JOIN Alice abc12\r", Join("Alice", b"abc12\r")),
        (b"JOIN Alice ", Join("Alice", b"")),
        (b"JOIN  abc12", Join("", b"abc12")),
        (b"JOIN  ", Join("", b"")),
        (b"JOIN Alice\t abc12", Join("Alice\t", b"abc12")),
        (b"JOIN Alice \xff\x00", Join("Alice", b"\xff\x00")),
        (b"JOIN \xd7\x90\xff\x1b x", Join("\u05d0\ufffd\ufffd", b"x")),
        (b"JOIN Alice p\xc3\xa9", Join("Alice", b"p\xc3\xa9")),
    ],
)
def test_join_is_taken_apart_at_its_first_two_spaces_and_not_trimmed(
    line: bytes, join: Join
) -> None:
    assert parse_join(line) == join


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"JOIN",
        b"JOIN ",
        b"JOIN Alice",
        b"JOIN\tAlice\tabc12",
        b"JOIN\tAlice abc12",
        b"JOIN Alice\tabc12",
        b"join Alice abc12",
        b"Join Alice abc12",
        b" JOIN Alice abc12",
        b"JOINAlice abc12 x",
        b"\xef\xbb\xbfJOIN Alice abc12",
        b"GET / HTTP/1.1",
        b"hello room",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_any_other_line_is_told_what_was_expected(line: bytes) -> None:
    with refused("Expected: JOIN <username> <passcode>"):
        parse_join(line)


def test_a_request_is_formatted_as_one_line() -> None:
    assert format_join(Join("Alice", b"abc12")) == b"JOIN Alice abc12"


@given(join=VALID_JOINS)
@settings(deadline=None, max_examples=300)
def test_what_is_formatted_parses_back(join: Join) -> None:
    line = format_join(join)
    assert len(line) <= MAX_JOIN_BYTES
    assert parse_join(line) == join


@given(line=LINES)
@settings(deadline=None, max_examples=300)
def test_what_parses_is_formatted_back_if_its_username_is_valid(line: bytes) -> None:
    try:
        join = parse_join(line)
        check_username(join.username)
    except ProtocolError:
        return
    assert format_join(join) == line


@given(username=st.text(max_size=300), passcode=st.binary(max_size=300))
@settings(deadline=None, max_examples=300)
def test_formatting_gives_a_line_that_fits_or_refuses(username: str, passcode: bytes) -> None:
    try:
        line = format_join(Join(username, passcode))
    except ProtocolError:
        return
    assert len(line) <= MAX_JOIN_BYTES
    assert parse_join(line).passcode == passcode


@fault(1)
@given(line=LINES)
@settings(deadline=None, max_examples=300)
def test_garbage_is_a_join_or_a_protocol_error(line: bytes) -> None:
    try:
        join = parse_join(line)
    except ProtocolError as error:
        reason = str(error)
    else:
        reason = EXPECTED_JOIN
        assert line.endswith(join.passcode)
        assert not UNSAFE & set(map(ord, join.username))
    assert reason == EXPECTED_JOIN


@pytest.mark.parametrize("username", ["A", "Alice678"])
def test_the_longest_passcode_can_be_presented_by_every_username(username: str) -> None:
    line = format_join(Join(username, b"x" * MAX_PASSCODE_BYTES))
    decoder = LineDecoder(MAX_JOIN_BYTES)
    decoder.feed_data(line + b"\r\n")
    assert decoder.next_line() == line


@pytest.mark.parametrize("username", ["A", "Alice678", "", "two words", "x" * 300])
def test_a_passcode_that_is_longer_can_only_be_wrong(username: str) -> None:
    assert MAX_PASSCODE_BYTES == 242
    with refused("Incorrect passcode"):
        format_join(Join(username, b"x" * 243))


@pytest.mark.parametrize(
    ("username", "reason"),
    [
        ("two words", LETTERS),
        ("Alice ", LETTERS),
        (" Alice", LETTERS),
        pytest.param("x" * 246, TOO_LONG, id="one byte too long for the line"),
        pytest.param("\u05d0" * 123, LETTERS, id="the same in two-byte letters"),
    ],
)
def test_a_username_that_has_no_line_is_refused_as_the_server_would(
    username: str, reason: str
) -> None:
    with refused(reason):
        format_join(Join(username, b"abc12"))


@pytest.mark.parametrize(
    "username",
    ["", "123456789", "\u0410lice", "Al/ce", pytest.param("x" * 245, id="as long as fits")],
)
def test_any_other_username_is_for_the_server_to_judge(username: str) -> None:
    join = Join(username, b"abc12")
    assert parse_join(format_join(join)) == join


def test_a_username_that_was_no_utf_8_on_the_command_line_goes_out_byte_for_byte() -> None:
    assert format_join(Join("Al\udcff", b"abc12")) == b"JOIN Al\xff abc12"


# Usernames.


@pytest.mark.parametrize(
    "username", ["A", "z", "0", "_", "-", ".", "...", "Alice", "a.b-c_d9", "12345678", "ABCDEFGH"]
)
def test_one_to_eight_plain_characters_are_a_username(username: str) -> None:
    check_username(username)


@fault(16)
@pytest.mark.parametrize(
    ("username", "reason"),
    [
        pytest.param("", EMPTY, id="empty"),
        pytest.param("123456789", TOO_LONG, id="nine characters"),
        pytest.param("x" * 240, TOO_LONG, id="very long"),
        pytest.param("Al ce", LETTERS, id="a space"),
        pytest.param("Alice ", LETTERS, id="a space behind"),
        pytest.param(" Alice", LETTERS, id="a space in front"),
        pytest.param(" ", LETTERS, id="nothing but a space"),
        pytest.param("Alice\t", LETTERS, id="TAB"),
        pytest.param("Alice\n", LETTERS, id="LF behind, which $ would pass"),
        pytest.param("Alice\r", LETTERS, id="CR"),
        pytest.param("Alice\0", LETTERS, id="NUL"),
        pytest.param("\u0410lice", LETTERS, id="a Cyrillic A"),
        pytest.param("Alic\u0435", LETTERS, id="a Cyrillic e"),
        pytest.param("\u0391lice", LETTERS, id="a Greek Alpha"),
        pytest.param("\uff21lice", LETTERS, id="a full width A"),
        pytest.param("Bob\u00b2", LETTERS, id="a superscript two"),
        pytest.param("Bob\u0662", LETTERS, id="an Arabic two"),
        pytest.param("\u212aim", LETTERS, id="the Kelvin sign"),
        pytest.param("A\u200blice", LETTERS, id="a zero width space"),
        pytest.param("A\u200dlice", LETTERS, id="a zero width joiner"),
        pytest.param("Alice\u00a0", LETTERS, id="a no-break space"),
        pytest.param("Alice\u0301", LETTERS, id="a combining accent"),
        pytest.param("\u00c5sa", LETTERS, id="a letter with an accent"),
        pytest.param("\u202eecilA", LETTERS, id="a bidi override"),
        pytest.param("\ufffd", LETTERS, id="what was no UTF-8"),
        pytest.param("Alice:", LETTERS, id="a colon"),
        pytest.param("A,Bob", LETTERS, id="a comma"),
        pytest.param("[Alice]", LETTERS, id="brackets"),
        pytest.param("1234567 9", LETTERS, id="too long and with a space"),
    ],
)
def test_no_other_name_is_a_username(username: str, reason: str) -> None:
    with refused(reason):
        check_username(username)


@given(username=st.text(max_size=10) | st.text(USERNAME_CHARACTERS, max_size=10))
@settings(deadline=None, max_examples=300)
def test_a_username_is_what_its_characters_and_length_make_it(username: str) -> None:
    is_valid = 1 <= len(username) <= 8 and set(username) <= set(USERNAME_CHARACTERS)
    try:
        check_username(username)
    except ProtocolError:
        assert not is_valid
    else:
        assert is_valid


# Answers.


def test_ok_lets_in() -> None:
    parse_answer(b"OK")


REASONS = [
    ("Incorrect passcode", True),
    (EMPTY, True),
    (LETTERS, True),
    (TOO_LONG, True),
    ("Username already in use: Alice", True),
    ("Expected: JOIN <username> <passcode>", False),
    ("Handshake timed out", False),
    ("Server full", False),
    ("Too many attempts, try again later", False),
    ("", False),
]


@pytest.mark.parametrize(("reason", "is_for_the_user"), REASONS)
def test_error_tells_the_reason_and_whether_the_user_can_mend_it(
    reason: str, is_for_the_user: bool
) -> None:
    with pytest.raises(RefusedError) as refusal:
        parse_answer(b"ERROR " + reason.encode())
    assert str(refusal.value) == reason
    assert refusal.value.is_for_the_user is is_for_the_user


@pytest.mark.parametrize("reason", [reason for reason, _ in REASONS])
def test_a_refusal_that_is_formatted_parses_back(reason: str) -> None:
    line = format_refusal(ProtocolError(reason))
    assert line == f"ERROR {reason}"
    with pytest.raises(RefusedError) as refusal:
        parse_answer(line.encode())
    assert str(refusal.value) == reason


REFUSALS = [
    (ProtocolError(EXPECTED_JOIN), False),
    (ProtocolError(INCORRECT_PASSCODE), True),
    (ProtocolError(INVALID_USERNAME, ": it is empty"), True),
    (ProtocolError(USERNAME_IN_USE, ": ", "Alice"), True),
    (ProtocolError(USERNAME_IN_USE, ": ", "Al: ice"), True),
    (ProtocolError(HANDSHAKE_TIMED_OUT), False),
    (ProtocolError(TOO_MANY_ATTEMPTS), False),
    (ProtocolError(TOO_MANY_CONNECTIONS), False),
    (ProtocolError(SERVER_FULL), False),
    (ProtocolError(f"Some other reason: {INCORRECT_PASSCODE}"), False),
    (ProtocolError(f"{USERNAME_IN_USE} by a robot"), False),
]


@pytest.mark.parametrize(("refusal", "is_for_the_user"), REFUSALS, ids=str)
def test_code_of_a_refusal_reaches_the_client(
    refusal: ProtocolError, is_for_the_user: bool
) -> None:
    with pytest.raises(RefusedError) as received:
        parse_answer(format_refusal(refusal).encode())
    assert received.value.code == refusal.code
    assert str(received.value) == str(refusal)
    assert received.value.is_for_the_user is is_for_the_user


@pytest.mark.parametrize(
    ("call", "code"),
    [
        pytest.param(lambda: parse_join(b"hi"), EXPECTED_JOIN, id="no join"),
        pytest.param(lambda: format_join(Join("A", b"x" * 243)), INCORRECT_PASSCODE, id="passcode"),
        pytest.param(lambda: format_join(Join("A b", b"")), INVALID_USERNAME, id="no line"),
        pytest.param(lambda: check_username(""), INVALID_USERNAME, id="empty"),
        pytest.param(lambda: check_username("A b"), INVALID_USERNAME, id="a space"),
        pytest.param(lambda: check_username("x" * 9), INVALID_USERNAME, id="nine characters"),
        pytest.param(lambda: parse_answer(b"hi"), NO_ANSWER, id="no answer"),
    ],
)
def test_refusal_has_a_code(call: Callable[[], object], code: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        call()
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("error", "text", "kind"),
    [
        (ProtocolError("Full"), "Full", "Full"),
        (ProtocolError("Bad", ": too big"), "Bad: too big", "Bad: too big"),
        (ProtocolError("Taken", ": ", "Bob"), "Taken: Bob", "Taken"),
    ],
)
def test_error_text_holds_the_name_and_its_kind_does_not(
    error: ProtocolError, text: str, kind: str
) -> None:
    assert str(error) == text
    assert error.kind == kind


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"ok",
        b"OK ",
        b" OK",
        b"OKAY",
        b"OK\0",
        b"ERROR",
        b"ERRORS many",
        b"error Server full",
        b"Alice: hello",
        b"HTTP/1.1 400 Bad Request",
        b"SSH-2.0-OpenSSH_9.6",
    ],
)
def test_any_other_answer_is_no_answer(line: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        parse_answer(line)
    assert not isinstance(error.value, RefusedError)
    assert str(error.value) == "the answer to JOIN was neither OK nor ERROR"


@given(line=LINES | LINES.map(lambda line: b"ERROR " + line))
@settings(deadline=None, max_examples=300)
def test_a_garbled_answer_is_a_protocol_error_that_a_terminal_can_show(line: bytes) -> None:
    reason = ""
    try:
        parse_answer(line)
    except ProtocolError as error:
        reason = str(error)
    else:
        assert line == b"OK"
    assert not UNSAFE & set(map(ord, reason))


def test_the_reasons_are_worded_as_the_documents_say() -> None:
    assert OK == "OK"
    assert INCORRECT_PASSCODE == "Incorrect passcode"
    assert HANDSHAKE_TIMED_OUT == "Handshake timed out"
    assert INVALID_USERNAME == "Invalid username"
    assert USERNAME_IN_USE == "Username already in use"
