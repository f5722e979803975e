"""What is handed in: a program and its modules in one file; and what is installed: one package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.flags import VERSION
from tests.support.programs import Program, Stage
from tests.support.size import IS_LONG
from tools import flatten
from tools.flatten import PROGRAMS, ROOT

TREE = {
    "codec/__init__.py": '"""Exports."""\nfrom codec.words import Greeting as Greeting\n',
    "codec/words.py": '''"""Words."""
import os  # which nothing uses
from codec import limits

# How greetings begin: LIMIT is another module's, MAX_WORDS is ours.
MAX_WORDS = 2
"""MAX_WORDS counts."""
unused = 3


class Greeting:
    most = MAX_WORDS
    MAX_WORDS = 5  # the class's own

    def text(self, name: str, most: int = MAX_WORDS + most) -> str:
        """Greet at most MAX_WORDS times."""
        return f"{name}{'!' * most} of {limits.LIMIT} {[open for open in (MAX_WORDS,)]}"


def most() -> str:
    return f"{MAX_WORDS:>{MAX_WORDS}}" f"{limits.open()}"
''',
    "codec/limits.py": '"""Limits."""\nLIMIT = 7\n\n\ndef open() -> str:\n    return "open"\n',
    "reactor/__init__.py": '"""Nothing."""\n',
    "reactor/loop.py": '"""Loop."""\nMAX_WORDS = 9  # of the loop\n',
    "server.py": '''"""The program."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from codec import Greeting, words
from reactor.loop import MAX_WORDS as turns

if __name__ == "__main__":
    print(Greeting().text("Ann"), words.most(), turns, os.sep)
''',
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path, text in TREE.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    shutil.copy(ROOT / "LICENSE", tmp_path)
    monkeypatch.setattr(flatten, "ROOT", tmp_path)
    return tmp_path


def run(*command: object) -> str:
    """What a command prints that succeeds, run at the root of the tree."""
    words = list(map(str, command))
    return subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_joined_program_does_what_its_tree_does(tree: Path) -> None:
    before = run(sys.executable, tree / "server.py")
    joined = tree / "joined.py"
    joined.write_text(flatten.Program("server.py").text())

    assert run(sys.executable, joined) == before == "Ann!!!!!!! of 7 [2]  2open 9 /\n"


def test_joined_names_are_told_apart_in_prose_too(tree: Path) -> None:
    text = flatten.Program("server.py").text()

    assert "LIMIT is another module's, WORDS_MAX_WORDS is ours." in text
    assert '"""WORDS_MAX_WORDS counts."""' in text
    assert "    MAX_WORDS = 5  # the class's own\n" in text
    assert "most: int = MAX_WORDS + most) -> str:" in text
    assert "LOOP_MAX_WORDS = 9  # of the loop\n" in text
    assert "def limits_open() -> str:" in text  # the builtin has the name


def test_joined_program_holds_what_it_needs_alone(tree: Path) -> None:
    text = flatten.Program("server.py").text()

    assert "unused" not in text
    assert "HERE" not in text
    assert text.count("import os") == 1
    assert "from codec" not in text


def test_module_used_as_a_value_is_refused(tree: Path) -> None:
    (tree / "reactor/loop.py").write_text(
        '"""Loop."""\nfrom codec import limits\nMAX_WORDS = [limits]\n'
    )

    with pytest.raises(ValueError, match=r"reactor/loop\.py:3: a module of ours is used"):
        flatten.Program("server.py")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    for program in PROGRAMS:
        (folder / program).write_text(flatten.Program(program).text())
    return folder


def test_hand_in_is_as_clean_as_its_source(dist: Path) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--no-cache", "--config", ROOT / "pyproject.toml", dist]

    run(*ruff, "check", *settings)
    run(*ruff, "format", "--check", *settings)


def pythons() -> Iterator[str]:
    """This Python, and the others that are here and run; at a small size the oldest and newest."""
    yield sys.executable
    for minor in range(10, 15) if IS_LONG else (10, 14):
        python = shutil.which(f"python3.{minor}")
        if python and subprocess.run([python, "-c", ""], check=False).returncode == 0:
            yield python


def test_hand_in_is_the_same_from_every_python(dist: Path, tmp_path: Path) -> None:
    for python in pythons():
        subprocess.run([python, "-m", "tools.flatten", str(tmp_path)], check=True, cwd=ROOT)

        for program in PROGRAMS:
            assert (tmp_path / program).read_bytes() == (dist / program).read_bytes(), python


@pytest.mark.parametrize("flag", ["-limits", "-version"])
def test_hand_in_tells_the_same_of_itself(flag: str, dist: Path) -> None:
    told = run(sys.executable, dist / "server.py", flag)

    assert told == run(sys.executable, ROOT / "server.py", flag)


def test_hand_in_starts_where_systemd_waits_for_its_parent(dist: Path) -> None:
    command = [sys.executable, str(dist / "server.py"), "-start", "-port=0", "-passcode=abc12"]
    with Stage() as stage:
        server = stage.run(Program, "joined", command, env={"NOTIFY_SOCKET": "@of-its-parent"})
        assert server.stdout.take_line().startswith("Server started on port ")
        assert server.terminate() == 0


@pytest.mark.parametrize("flag", ["-announce", "-history=5"])
def test_hand_in_tells_which_folder_a_flag_needs(flag: str, dist: Path) -> None:
    command = [sys.executable, str(dist / "server.py"), "-start", "-port=0", "-passcode=abc12"]
    with Stage() as stage:
        server = stage.run(Program, "joined", [*command, flag])
        complaint = server.stderr.take_line()
        assert complaint.startswith("error: cannot start: ")
        assert complaint.endswith(" needs the folder chat/ beside server.py")
        assert flag.partition("=")[0] in complaint
        server.exits(1)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_without_its_packages_says_so(program: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / program, tmp_path)
    (tmp_path / "cli").mkdir()
    others = {
        "server.py": "chat/, codec/ and reactor/",
        "client.py": "codec/, reactor/ and terminal/",
    }

    ended = subprocess.run(
        [sys.executable, str(tmp_path / program)], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"error: {others[program]} are missing beside {program}; "
        "make hand-in joins them into one file\n"
    )


def test_wheel_installs_two_commands_that_chat(tmp_path: Path) -> None:
    for folder in "one", "two":
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / folder)
    one, two = tmp_path.glob("*/*.whl")
    assert one.read_bytes() == two.read_bytes()
    assert one.name.startswith(f"chatroom-{VERSION}-")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, "--no-index", "--no-deps", "--target", tmp_path / "site", one)

    installed = (tmp_path / "site").iterdir()
    assert {path.name for path in installed if path.suffix != ".dist-info"} == {
        "bin",
        "chatroom",
        "share",
    }
    commands = tmp_path / "site/bin"
    env = {"PYTHONPATH": str(tmp_path / "site")}
    with Stage() as stage:
        asked = stage.run(Program, "help", [str(commands / "chatroom-server"), "-help"], env=env)
        assert asked.stdout.take_line().startswith("usage: chatroom-server -start ")
        asked.stdout.take_rest()
        asked.ends(0)
        command = [str(commands / "chatroom-server"), "-start", "-port=0", "-passcode=abc12"]
        server = stage.run(Program, "chatroom-server", command, env=env)
        port = server.stdout.take_line().split()[4].removesuffix(".")
        flags = ["-join", "-host=127.0.0.1", f"-port={port}", "-username=Al", "-passcode=abc12"]
        for command in [str(commands / "chatroom")], [sys.executable, "-m", "chatroom"]:
            client = stage.run(Program, "chatroom", [*command, *flags], env=env)
            client.shows(f"Connected to 127.0.0.1 on port {port}")
            client.types("hi", ":Exit")
            client.exits(0)
            server.shows("Al joined the chatroom", "Al: hi", "Al left the chatroom")
        assert server.terminate() == 0
