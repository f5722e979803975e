"""The corpus, played as it stands; and what would be seen if the core were wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st

import codec.dispatcher
import codec.framing
import codec.handshake
import codec.roster
from codec import Event, LineDecoder, Roster
from reactor import Cursor
from tests.fuzz.core import Piece, core, in_bytes, merged, read_script
from tests.fuzz.guided import CORPUS, CORPUS_SCRIPTS, mutated_script
from tests.fuzz.properties import ATTACKS, attack


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_replay_of_the_corpus_finds_nothing(path: Path) -> None:
    core(path.read_bytes())


def test_script_is_read_as_documented() -> None:
    assert read_script(b"") == []
    assert read_script(b"a<1>b<2><3>c<3/>d<5></>") == [
        *[Piece(1, b"a"), Piece(1, b"b"), Piece(2, b""), Piece(3, b"c")],
        *[Piece(3, None), Piece(3, b"d<5></>")],
    ]


def test_script_is_merged_and_cut_into_bytes() -> None:
    script = read_script(b"ab<1>c<2>d<1>e<1/><1>f")
    one, two = Piece(1, b"abc"), Piece(2, b"d")
    assert merged(script) == [one, two, Piece(1, b"e"), Piece(1, None), Piece(1, b"f")]
    assert merged(in_bytes(script)) == merged(script)
    assert in_bytes(script)[:3] == [Piece(1, b"a"), Piece(1, b"b"), Piece(1, b"c")]


WRONG = (AssertionError, UnicodeDecodeError)
"""What is raised for a finding."""

# Bugs that one might make, each put where it would be made; `right` is what stands there.


def splits_as_str_does(right: Any) -> Any:
    ends = re.compile(b"[\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]")
    return lambda decoder, data: right(decoder, ends.sub(b"\n", data))


def decodes_what_it_received(right: Any) -> Any:
    return lambda decoder, data: right(decoder, data.decode("utf-8", "replace").encode())


def passes_bidi_controls(right: Any) -> Any:
    unsafe = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
    return lambda line: unsafe.sub("\ufffd", line.decode("utf-8", "replace"))


def raises_for_bad_utf8(right: Any) -> Any:
    return lambda line: line.decode() and right(line)


def translates_protected_words(right: Any) -> Any:
    return lambda text, time: right(text.replace("\\:", ":"), time)


def allows_any_alphanumeric(right: Any) -> Any:
    return lambda username: None if username.isalnum() else right(username)


def folds_every_script(right: Any) -> Any:
    return str.lower


def forgets_to_remake_the_list(right: Any) -> Any:
    def apply(roster: Roster, event: Event) -> None:
        line = roster._users_line
        right(roster, event)
        roster._users_line = line

    return apply


PLANTED: list[tuple[str, object, str, Callable[[Any], Any]]] = [
    ("line-separators", LineDecoder, "feed_data", splits_as_str_does),
    ("utf8-split", LineDecoder, "feed_data", decodes_what_it_received),
    ("bidi", codec.dispatcher, "decode_text", passes_bidi_controls),
    ("utf8-stray", codec.dispatcher, "decode_text", raises_for_bad_utf8),
    ("name-not-utf8", codec.handshake, "decode_text", raises_for_bad_utf8),
    ("protected-shortcut", codec.dispatcher, "translate", translates_protected_words),
    ("name-cyrillic", codec.dispatcher, "check_username", allows_any_alphanumeric),
    ("name-kelvin", codec.roster, "_fold", folds_every_script),
    ("users-after-leaving", Roster, "apply", forgets_to_remake_the_list),
]
"""Which file of the corpus finds a bug, where that is put, and the bug."""


@pytest.mark.parametrize(
    ("file", "where", "name", "bug"), PLANTED, ids=[bug.__name__ for *_, bug in PLANTED]
)
def test_corpus_finds_a_planted_bug(
    monkeypatch: pytest.MonkeyPatch, file: str, where: object, name: str, bug: Callable[[Any], Any]
) -> None:
    monkeypatch.setattr(where, name, bug(getattr(where, name)))
    with pytest.raises(WRONG):
        core((CORPUS / file).read_bytes())


def test_attack_finds_a_cursor_that_forgets_a_splice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cursor, "skip", lambda cursor, start: None)
    with pytest.raises(AssertionError):
        attack("fan-out", count=60, seed_number=1)


def test_mutations_find_what_a_script_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def hates_colons(line: bytes) -> str:
        assert b":" not in line
        return codec.decode_text(line)

    only = st.builds(mutated_script, st.randoms(), st.just(b"JOIN A abc12\nhi\n"))
    monkeypatch.setitem(ATTACKS, "mutated corpus", (core, only))
    monkeypatch.setattr(codec.dispatcher, "decode_text", hates_colons)
    with pytest.raises(AssertionError):
        attack("mutated corpus", count=400, seed_number=1, findings=tmp_path)
    with pytest.raises(AssertionError):
        core((tmp_path / "finding").read_bytes())


def test_same_seed_mutates_in_the_same_way() -> None:
    first, second = ([mutated_script(Random(5), s) for s in CORPUS_SCRIPTS] for _ in range(2))
    assert first == second
    assert first != CORPUS_SCRIPTS
