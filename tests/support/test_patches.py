"""A patch finds its symbol in whatever file, fits one place or is refused, and leaves Python. A
table gives what is written in it; where it cannot be read, the complaint names file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chat.gate import network_of
from tests.support.patches import Entry, Patch, product_files, read_table

SERVER = '''
LIMIT = 64 * 1024
class Door:
    def open(self, key):
        """Open it."""
        if key in self.keys:  # one of ours
            self.turn(key)
        return self.look(key), self.look(key)
    def shut(self):
        self.turn(0)
def main(): pass
'''
ROOM = "class Room:\n    size: int = 3\n"
CLIENT = "def main():\n    return 1\n"

OURS = Path(__file__).parents[2]

EXAMPLE = Path(__file__).with_name("example.txt")
EXAMPLES = read_table(EXAMPLE)
APPLIED = [entry for entry in EXAMPLES if entry.group == "applied"]
REFUSED = [entry for entry in EXAMPLES if entry.group == "refused"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("chat/deep", "tests", "scratch"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "room.py").write_text(ROOM)
    for package in ("chat", "tests"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "client.py").write_text(CLIENT)
    return tmp_path


def test_product_is_what_stands_at_the_root_and_in_packages(root: Path) -> None:
    files = ["chat/__init__.py", "chat/deep/room.py", "client.py", "server.py"]
    assert product_files(root) == [Path(file) for file in files]


@pytest.mark.parametrize("entry", APPLIED, ids=lambda entry: entry.name)
def test_patch_changes_one_place(root: Path, entry: Entry) -> None:
    before = {path: (root / path).read_text() for path in product_files(root)}
    entry.patch.write(root)
    (changed,) = (path for path, text in before.items() if (root / path).read_text() != text)
    text = (root / changed).read_text()
    assert entry.more in " ".join(text.split())
    assert ":)" in entry.more or compile(text, changed, "exec")


@pytest.mark.parametrize("entry", REFUSED, ids=lambda entry: entry.name)
def test_patch_that_fits_no_place_or_several_is_refused(root: Path, entry: Entry) -> None:
    complaint = " ".join([f"{entry.where}: {entry.name}:", *entry.facts["fails"]])
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        entry.patch.apply(root)


def test_patch_is_planted_for_a_while() -> None:
    with Patch("", "chat.gate:network_of", "", "return 'elsewhere'", "").planted(OURS):
        assert network_of("10.0.0.1") == "elsewhere"
    assert network_of("10.0.0.1") == "10.0.0.1"


def test_patch_is_not_planted_behind_a_decorator() -> None:
    with (
        pytest.raises(ValueError, match="naming is decorated"),
        Patch("", "naming", "", "return", "").planted(OURS),
    ):
        pass


def test_table_is_read() -> None:
    first = EXAMPLES[0]
    old = "if key in self.keys:\n\n    self.turn(key)"
    new = "ready: bool = key in self.keys\nif ready:\n    self.turn(key)"
    assert first.where == f"{EXAMPLE}:8"
    assert first.patch == Patch("all that a table may say", "Door.open", old, new, first.where)
    assert (first.group, first.more) == ("applied", "if ready: self.turn(key)")
    assert (first.facts["also"], first.facts["flags"]) == (["a", "b", "c", "e"], ["--strict"])


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("old 1", "3: not a line of a table, or not here: old 1"),
        (" - 1", "3: not a line of a table, or not here:  - 1"),
        ("in OK", "3: not a line of a table, or not here: in OK"),
        ("## it", "3: not a line of a table, or not here: ## it"),
        ("# group\n- 1", "4: not a line of a table, or not here: - 1"),
        ("- 1\nalso a ALL", "1: it names a set that is not there"),
        ("- 1\n## that\n+ 1", "4: that tells no place or no change"),
        ("fails a", "1: it tells no place or no change"),
    ],
)
def test_table_that_cannot_be_read_is_refused(lines: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "bugs.txt").write_text(f"## it\nin OK\n{lines}\n")
    with pytest.raises(ValueError, match=f"bugs.txt:{re.escape(complaint)}$"):
        read_table(tmp_path / "bugs.txt")
