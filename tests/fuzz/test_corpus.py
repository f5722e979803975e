"""The corpus, played as it stands; and what would be seen if the core were wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import codec.dispatcher
import codec.framing
import codec.handshake
import codec.roster
import codec.text
from codec import (
    Dispatcher,
    Event,
    Join,
    Kind,
    LineDecoder,
    ProtocolError,
    Roster,
    encode_line,
)
from codec.commands import Command, parse_command
from codec.framing import LineTooLongError
from codec.handshake import INVALID_USERNAME, USERNAME_IN_USE
from codec.text import are_plain, decode_text, translate
from reactor import Cursor
from tests.fuzz import guided
from tests.fuzz.core import Piece, core, in_bytes, merged, read_script
from tests.fuzz.guided import CORPUS, corpus_inputs, fails, smaller
from tests.fuzz.mutation import mutated
from tests.fuzz.properties import a_cursor_is_a_queue_of_its_own, attack

FILES = sorted(CORPUS.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_replay(path: Path) -> None:
    core(path.read_bytes())


def test_a_script_is_read_as_documented() -> None:
    assert read_script(b"") == []
    assert read_script(b"a<1>b<2><3>c<3/>d<5></>") == [
        *[Piece(1, b"a"), Piece(1, b"b"), Piece(2, b""), Piece(3, b"c")],
        *[Piece(3, None), Piece(3, b"d<5></>")],
    ]


def test_merged_and_in_bytes() -> None:
    script = read_script(b"ab<1>c<2>d<1>e<1/><1>f")
    one, two = Piece(1, b"abc"), Piece(2, b"d")
    assert merged(script) == [one, two, Piece(1, b"e"), Piece(1, None), Piece(1, b"f")]
    assert merged(in_bytes(script)) == merged(script)
    assert in_bytes(script)[:3] == [Piece(1, b"a"), Piece(1, b"b"), Piece(1, b"c")]


# Bugs that somebody might make, each put where it would be made.


def splits_as_str_does(self: LineDecoder, data: bytes) -> None:
    self._buffer += re.sub(b"[\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]", b"\n", data)


def decodes_what_it_received(self: LineDecoder, data: bytes) -> None:
    self._buffer += data.decode("utf-8", "replace").encode()


def forgets_to_skip(self: LineDecoder) -> bool:
    self._skipping = False
    return True


def strips_all_carriage_returns(
    plain: Callable[[LineDecoder], bytes | None],
) -> Callable[[LineDecoder], bytes | None]:
    def next_line(self: LineDecoder) -> bytes | None:
        line = plain(self)
        return line.rstrip(b"\r") if line is not None else None

    return next_line


def passes_bidi_controls(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return re.sub("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", "\ufffd", text)


def raises_for_bad_utf8(line: bytes) -> str:
    line.decode()
    return decode_text(line)


def knows_commands_in_one_case(text: str) -> Command:
    command = parse_command(text)
    word = text.split(" ")[0]
    return command if word in (":Users", ":Exit", ":Msg") else Command("say", text)


def translates_protected_words(text: str, local_time: Any) -> Any:
    return translate(text.replace("\\:", ":"), local_time)


def never_tells_time(text: str, local_time: Any) -> Any:
    return translate(text, local_time)._replace(tells_time=False)


def finds_all_plain(lines: bytes) -> bool:
    return are_plain(lines) or b":" not in lines


def allows_any_alphanumeric(username: str) -> None:
    if not username.isalnum() or len(username) > 8:
        raise ProtocolError(INVALID_USERNAME, ": only A-Z a-z 0-9 _ - . are allowed")


def judges_the_name_first(
    plain: Callable[[Dispatcher, Join], None],
) -> Callable[[Dispatcher, Join], None]:
    def check(self: Dispatcher, request: Join) -> None:
        if self._roster.find(request.username):
            raise ProtocolError(USERNAME_IN_USE, ": ", request.username)
        plain(self, request)

    return check


def tells_everyone(self: Dispatcher, username: str, command: Command) -> Event:
    line = encode_line(f"[Message from {username}]: {command.text}")
    return Event(Kind.PRIVATE, username, line, line)


def says_it_twice(self: Dispatcher, username: str, command: Command) -> Event:
    line = encode_line(f"{username}: {command.text}")
    return Event(Kind.SAID, username, line, line + line)


def has_no_limit(self: Dispatcher, line: bytes) -> bool:
    return False


def forgets_to_remake_the_list(self: Roster, event: Event) -> None:
    if event.kind is Kind.JOINED:
        self._claims.discard(event.origin.lower())
        self._members[event.origin.lower()] = event.origin
        self._users_line = b""
    elif event.kind is Kind.LEFT:
        del self._members[event.origin.lower()]


def keeps_the_claim(self: Roster, event: Event) -> None:
    if event.kind is Kind.JOINED:
        self._members[event.origin.lower()] = event.origin
    elif event.kind is Kind.LEFT:
        del self._members[event.origin.lower()]
    self._users_line = b""


def folds_every_script(username: str) -> str:
    return username.lower()


def one_reason_more(self: LineTooLongError, max_line_bytes: int) -> None:
    ProtocolError.__init__(self, "Message too long")


PLANTED: list[tuple[object, str, object]] = [
    (LineDecoder, "feed_data", splits_as_str_does),
    (LineDecoder, "feed_data", decodes_what_it_received),
    (LineDecoder, "_skip_line", forgets_to_skip),
    (LineDecoder, "next_line", strips_all_carriage_returns(LineDecoder.next_line)),
    (codec.dispatcher, "decode_text", passes_bidi_controls),
    (codec.dispatcher, "decode_text", raises_for_bad_utf8),
    (codec.handshake, "decode_text", raises_for_bad_utf8),
    (codec.dispatcher, "parse_command", knows_commands_in_one_case),
    (codec.dispatcher, "translate", translates_protected_words),
    (codec.dispatcher, "translate", never_tells_time),
    (codec.dispatcher, "are_plain", finds_all_plain),
    (codec.dispatcher, "check_username", allows_any_alphanumeric),
    (codec.roster, "_fold", folds_every_script),
    (codec.dispatcher, "has_longer_line", lambda lines, most: False),
    (Dispatcher, "check", judges_the_name_first(Dispatcher.check)),
    (Dispatcher, "message", tells_everyone),
    (Dispatcher, "say", says_it_twice),
    (Dispatcher, "_is_too_long", has_no_limit),
    (Roster, "apply", forgets_to_remake_the_list),
    (Roster, "apply", keeps_the_claim),
    (LineTooLongError, "__init__", one_reason_more),
]


@pytest.mark.parametrize(
    ("where", "name", "bug"),
    PLANTED,
    ids=[getattr(bug, "__name__", name).strip("<>") for _, name, bug in PLANTED],
)
def test_the_corpus_finds_a_planted_bug(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, bug: object
) -> None:
    monkeypatch.setattr(where, name, bug)
    assert any(fails(path.read_bytes()) for path in FILES)


def test_hypothesis_finds_a_cursor_that_forgets_a_splice(monkeypatch: pytest.MonkeyPatch) -> None:
    def skips_nothing(self: object, start: int) -> None:
        pass

    monkeypatch.setattr(Cursor, "skip", skips_nothing)
    with pytest.raises(AssertionError):
        attack(a_cursor_is_a_queue_of_its_own, examples=100, seed_number=1)


# The loop of mutations.


def test_mutations_find_what_the_corpus_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hates_colons(line: bytes) -> str:
        assert not line.startswith(b":U")
        return decode_text(line)

    monkeypatch.setattr(codec.dispatcher, "decode_text", hates_colons)
    monkeypatch.setattr(guided, "corpus_inputs", lambda: [b"JOIN A abc12\nhi\n"])
    assert not guided.fuzz_blindly(seconds=50, seed=1, findings=tmp_path)
    found = (tmp_path / "finding").read_bytes()
    assert fails(found)
    assert len(found) <= len(b"JOIN A abc12\n:U\n")
    assert str(tmp_path / "finding") in capsys.readouterr().out


def test_a_finding_is_made_as_small_as_it_gets() -> None:
    assert smaller(b"a lot of text with an X in it", lambda data: b"X" in data) == b"X"
    assert smaller(b"abc", lambda data: True) == b""


def test_the_same_seed_mutates_in_the_same_way() -> None:
    inputs = corpus_inputs()
    first, second = (
        [mutated(Random(5), data, inputs) for data in inputs],
        [mutated(Random(5), data, inputs) for data in inputs],
    )
    assert first == second
    assert first != inputs
