"""The commands of README and docs/ can be pasted: each `sh` block is run, or says what it needs.

A block that begins with `# needs …` is for other machines. All others of a document are run, one
line after the other, in one folder. Ports stand for free ones, 192.0.2.10 for this machine; what is
to be pasted is the passcode.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.programs import ROOT, Program, Stage, free_port

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = ("Makefile", "client.py", "server.py", "tools")

_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def commands(document: Path) -> list[str]:
    """Those that are run."""
    blocks = [dedent(block) for block in _BLOCK.findall(document.read_text())]
    runnable = [block for block in blocks if not block.startswith("# needs ")]
    return [line for block in runnable for line in re.sub(r"\\\n *", "", block).splitlines()]


class Reader(Stage):
    """Pastes commands, in a folder that looks like the tree."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.stands_for = {"192.0.2.10": "127.0.0.1"}
        self.stands_for |= {port: str(free_port()) for port in ("65432", "8080")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.env = {"PATH": path, "HOME": str(folder), "PYTHONPATH": str(ROOT)}
        self.running: list[Program] = []
        for name in LINKED:
            (folder / name).symlink_to(ROOT / name)

    def finish(self) -> None:
        while self.running:
            self.running.pop().terminate()
        super().finish()

    def paste(self, command: str) -> None:
        for written, meant in self.stands_for.items():
            command = command.replace(written, meant)
        if re.match(r"python3 (server|client)\.py ", command):
            self._start(command)
        else:
            self._complete(command)

    def _start(self, command: str) -> None:
        shell = [f"--chdir={self.folder}", "sh", "-c", f"exec {command}"]
        self.running.append(self.run(Program, command, ["env", *shell], env=self.env))
        line = self.running[-1].stdout.take_line()
        assert line.startswith(("Server started on port ", "Connected to 127.0.0.1 on port "))
        if "# Ctrl-C ends it" in command:
            self.running.pop().terminate()

    def _complete(self, command: str) -> None:
        passcode = self.folder / "passcode"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env={**os.environ, **self.env},
            input=passcode.read_text() if passcode.exists() else "",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        for fingerprint in re.findall(r"sha256:[0-9a-f]{64}", done.stdout):
            self.stands_for["sha256:..."] = fingerprint


WITH_COMMANDS = [document for document in DOCUMENTS if commands(document)]


@pytest.mark.parametrize("document", WITH_COMMANDS, ids=lambda path: path.name)
def test_commands_of_a_document_do_what_it_says(document: Path, tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for command in commands(document):
            reader.paste(command)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_targets_and_modules_that_a_document_names_exist(document: Path) -> None:
    code = re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", document.read_text(), re.DOTALL)
    text = "\n".join(block or span for block, span in code)
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^make ([a-z-]+)", text, re.M))
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.M))
    for module in re.findall(r"^python3? -m ([\w.]+)", text, re.M):
        assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_stand_in_blocks_of_their_own_kind(document: Path) -> None:
    indented = r"^ {4,}(?:python3?|make|pip|sudo|echo|mkdir|cp|docker|git) .*"
    assert not re.findall(indented, _BLOCK.sub("", document.read_text()), re.M)
