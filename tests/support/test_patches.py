"""A patch finds its symbol in whatever file, fits one place or is refused, and leaves Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.patches import Patch, product_files

SERVER = '''
LIMIT = 64 * 1024

class Door:
    """Closed."""

    def open(self, key):
        """Open it."""
        if key in self.keys:  # one of ours
            self.turn(
                key,
            )
        return self.look(key), self.look(key)

    def shut(self):
        self.turn(0)

def main():
    return Door()
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "server.py": SERVER,
        "client.py": "def main():\n    return 1\n",
        "chat/__init__.py": "",
        "chat/deep/room.py": "class Room:\n    size: int = 3\n",
        "tests/__init__.py": "",
        "tests/room.py": "class Room: ...\n",
        "scratch/room.py": "class Room: ...\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_product_is_what_stands_at_the_root_and_in_packages(root: Path) -> None:
    files = ["chat/__init__.py", "chat/deep/room.py", "client.py", "server.py"]
    assert product_files(root) == [Path(file) for file in files]


@pytest.mark.parametrize(
    ("symbol", "old", "new", "file", "changed"),
    [
        ("Room.size", "3", "4", "chat/deep/room.py", "size: int = 4\n"),
        ("client:main", "1", "2", "client.py", "return 2\n"),
        ("LIMIT", "64*1024", "7", "server.py", "LIMIT = 7\n"),
        ("Door.open", "self.turn( key )", "self.turn(1)", "server.py", "self.turn(1)\n"),
        ("Door.open", "key in self.keys", "True", "server.py", "        if True:\n"),
        ("Door.open", "key in self.keys", "return\n...", "server.py", "return\n        if key in"),
        ("Door.open", "self.turn(key)", "...\n...", "server.py", f"{' ' * 12}self.turn(key)\n" * 2),
        ("Door.open", "", "key = 1", "server.py", 'it."""\n        key = 1\n        if'),
        ("Door.shut", "self.turn(0)", "", "server.py", "def shut(self):\n        pass\n"),
    ],
)
def test_one_place_is_changed(
    root: Path, symbol: str, old: str, new: str, file: str, changed: str
) -> None:
    path, text = Patch("it", symbol, old, new).apply(root)
    assert path == Path(file)
    assert changed in text
    compile(text, file, "exec")


@pytest.mark.parametrize(
    ("symbol", "old", "complaint"),
    [
        ("main", "1", "it: main is defined in client.py, server.py"),
        ("Door.lock", "1", "it: Door.lock is defined in no file"),
        ("Door.open", "self.look(key)", "it: 2 places in Door.open read 'self.look(key)'"),
        ("Door.shut", "self.look(key)", "it: 0 places in Door.shut read 'self.look(key)'"),
        ("Door", "return self.look(key)", "it: 0 places in Door read 'return self.look(key)'"),
        ("LIMIT", "", "it: 0 places in LIMIT read ''"),
    ],
)
def test_what_fits_no_place_or_several_is_refused(
    root: Path, symbol: str, old: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        Patch("it", symbol, old, "pass").apply(root)
