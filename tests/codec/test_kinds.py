"""A line that no server says has no kind. Each that one says has its own: test_dispatcher_model."""

from __future__ import annotations

import pytest

from codec import SHUTTING_DOWN
from codec.framing import MAX_LINE_BYTES
from codec.kinds import LineKind, ShownLine, has_answer, parse_shown


@pytest.mark.parametrize(
    "text",
    [
        *["", "OK", " ", "hello", "Alice", "Alice:", "Alice:hi", ": hi", "Al ice: hi", "*", "*hi"],
        *["Alice joined", "Alice joined the chatroom ", " Alice left the chatroom", "ERROR Full"],
        *["[Message from Alice] hi", "[Message from A B]: hi", "[message to Bob]: hi"],
        *["Active Users: ", "Active Users: A,B", "Active Users: A, ", "No such user: Bob"],
        *["Server is shutting down!", "\u0410lice: hi", "Alice\uff1a hi"],
    ],
)
def test_line_of_another_form_has_no_kind(text: str) -> None:
    assert parse_shown(text) is None


def test_shutdown_is_no_words_of_a_member() -> None:
    assert parse_shown(SHUTTING_DOWN) == ShownLine(LineKind.SHUTDOWN, "", SHUTTING_DOWN)
    assert parse_shown("Server: is shutting down") == (LineKind.SAID, "Server", "is shutting down")


@pytest.mark.parametrize(
    ("text", "is_answer"),
    [
        *[("Alice: hi", True), ("alice: hi", False), ("[Message to Bob]: hi", True)],
        *[("Active Users: Alice", True), ("* Usage: :Msg", True), ("Bob: Alice: hi", False)],
        *[("[Message from Alice]: hi", False), ("Alice joined the chatroom", False)],
    ],
)
def test_answers_are_ones_own_words_and_what_one_reads_alone(text: str, is_answer: bool) -> None:
    shown = parse_shown(text)
    assert shown
    assert shown.answers("Alice") is is_answer


def test_blank_that_is_too_long_has_an_answer() -> None:
    assert not has_answer(b" " * MAX_LINE_BYTES)
    assert has_answer(b" " * (MAX_LINE_BYTES + 1))
