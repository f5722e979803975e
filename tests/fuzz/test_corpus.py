"""The corpus, played as it stands; and what would be seen if the core were wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st

import codec.dispatcher
from reactor import Cursor
from tests.fuzz.core import Piece, core, in_bytes, merged, read_script
from tests.fuzz.guided import CORPUS, mutated_script
from tests.fuzz.properties import ATTACKS, attack
from tests.support.patches import Entry, read_table

ROOT = Path(__file__).parents[2]

PLANTED = read_table(Path(__file__).with_name("planted.txt"))


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


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_corpus_finds_a_planted_bug(bug: Entry) -> None:
    with bug.patch.planted(ROOT), pytest.raises(WRONG):
        core((CORPUS / bug.facts["fails"][0]).read_bytes())


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
