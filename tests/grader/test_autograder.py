"""Gradescope's autograder: what is in the zip, and what it does where Gradescope has unpacked it.

A *site* is a folder laid out as Gradescope's /autograder. Where the tests run as root, so does
run_autograder, and the submission as somebody else.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.grader.grading import ROOT, SOLUTIONS
from tools.autograder import build
from tools.autograder.run_autograder import USERS

SERVER = (SOLUTIONS / "threads" / "server.py").read_text()
CLIENT = (SOLUTIONS / "threads" / "client.py").read_text()

IS_ROOT = os.geteuid() == 0
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") if IS_ROOT else sys.executable

LIMIT_SECONDS = 280

needs_python = pytest.mark.skipif(not PYTHON, reason="root needs a Python that all users may run")

VISIBILITIES = {"hidden", "after_due_date", "after_published", "visible"}
FORMATS = {"text", "html", "simple_format", "md", "ansi"}


# What is in it.


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    """A copy of it has other times and permissions, and what Python and editors leave behind."""
    copy = tmp_path / "copy"
    for name in ("grader", "tools"):
        shutil.copytree(ROOT / name, copy / name, copy_function=shutil.copyfile)
    (copy / "grader" / "run.py").chmod(0o600)
    (copy / "grader" / "run.py~").write_text("")
    (copy / "grader" / "__pycache__").mkdir(exist_ok=True)
    (copy / "grader" / "__pycache__" / "run.cpython-310.pyc").write_text("")
    command = [sys.executable, "-m", "tools.autograder.build", str(tmp_path / "b.zip")]
    subprocess.run(command, cwd=copy, check=True)
    build.build(tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_in_it(tmp_path: Path) -> None:
    build.build(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        scripts = {name: archive.read(name) for name in ("run_autograder", "setup.sh")}
    grader = {f"grader/{path.name}" for path in (ROOT / "grader").glob("*.py")}
    rubrics = {f"grader/rubrics/{path.name}" for path in (ROOT / "grader/rubrics").glob("*.json")}
    assert "grader/rubrics/cs3251-2025.json" in rubrics
    assert set(modes) == {*scripts, *grader, *rubrics}
    for name, mode in modes.items():
        assert mode == stat.S_IFREG | (0o755 if name in scripts else 0o644), name
    assert all(text.startswith(b"#!/") for text in scripts.values())


# The image is built.


@pytest.mark.parametrize(
    ("python", "user", "done"),
    [
        ("good", "there", []),
        ("good", "missing", ["useradd"]),
        ("missing", "missing", ["apt-get update", "apt-get install", "useradd"]),
        ("old", "missing", ["apt-get update", "apt-get install", None]),
    ],
)
def test_setup_does_what_is_missing(
    python: str, user: str, done: list[str | None], tmp_path: Path
) -> None:
    """Beside programs that note how they were called: the real ones would change this machine."""
    (tmp_path / "log").touch()
    tools = {
        "python3": {"good": "exit 0", "old": "exit 1", "missing": 'grep -q install "$LOG"'}[python],
        "id": "exit 0" if user == "there" else "exit 1",
        "apt-get": 'echo "apt-get $*" >> "$LOG"',
        "useradd": 'echo "useradd $*" >> "$LOG"',
    }
    for name, text in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    script = ROOT / "tools" / "autograder" / "setup.sh"
    run = subprocess.run(["/bin/sh", script], env=env, capture_output=True, text=True, check=False)
    noted = (tmp_path / "log").read_text().splitlines()
    assert len(noted) == len([what for what in done if what])
    assert all(line.startswith(what or "?") for line, what in zip(noted, done, strict=False))
    if None in done:
        assert run.returncode == 1
        assert "needs Python 3.10" in run.stderr
    else:
        assert (run.returncode, run.stderr) == (0, "")
    made = [line.split()[-1] for line in noted if line.startswith("useradd")]
    assert made == [USERS[0]] * ("useradd" in done)


# A submission is graded.


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """Open to all users, as /autograder is; `tmp_path` is not."""
    build.build(tmp_path / "autograder.zip")
    with tempfile.TemporaryDirectory() as directory:
        site = Path(directory)
        site.chmod(0o755)
        for name in ("source", "submission", "results"):
            (site / name).mkdir()
        with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
            archive.extractall(site / "source")
        shutil.copyfile(site / "source" / "run_autograder", site / "run_autograder")
        (site / "run_autograder").chmod(0o755)
        yield site


def run_autograder(site: Path, *more: str) -> tuple[dict[str, Any], str]:
    """The results, which are what Gradescope takes, and what the teaching staff reads."""
    env = {**os.environ, "PATH": f"{Path(PYTHON or '').parent}:{os.environ['PATH']}"}
    run = subprocess.run(
        [site / "run_autograder", site, *more],
        cwd=site,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert os.listdir(site / "results") == ["results.json"]
    results = json.loads((site / "results" / "results.json").read_text("utf-8"))
    check_format(results)
    return results, run.stdout


def check_format(results: dict[str, Any]) -> None:
    """By Gradescope's specification of results.json."""
    assert results.keys() - {"score"} == {
        *("output", "output_format", "visibility", "stdout_visibility", "tests"),
    }
    assert isinstance(results["output"], str)
    assert results["output_format"] in FORMATS
    assert {results["visibility"], results["stdout_visibility"]} <= VISIBILITIES
    assert results["stdout_visibility"] == "hidden"
    for test in results["tests"]:
        assert test.keys() == {
            *("name", "score", "max_score", "status", "output", "output_format", "visibility"),
        }
        assert isinstance(test["name"], str)
        assert isinstance(test["output"], str)
        assert 0 <= test["score"] <= test["max_score"]
        assert test["status"] in {"passed", "failed"}
        assert test["output_format"] in FORMATS
        assert test["visibility"] in VISIBILITIES
    if "score" in results:
        assert results["score"] == sum(test["score"] for test in results["tests"])


@needs_python
@pytest.mark.timeout(300)
def test_our_own_programs_in_a_folder_of_the_submission(site: Path) -> None:
    submission = site / "submission" / "chat"
    submission.mkdir()
    for path in ROOT.glob("*.py"):
        shutil.copyfile(path, submission / path.name)
    for name in ("codec", "reactor"):
        shutil.copytree(ROOT / name, submission / name)
    results, printed = run_autograder(site)
    assert results["score"] == 100, printed
    assert sum(test["max_score"] for test in results["tests"]) == 100
    assert {test["status"] for test in results["tests"]} == {"passed"}, printed
    assert "100 of 100" in results["output"]


@needs_python
def test_an_empty_submission(site: Path) -> None:
    results, printed = run_autograder(site)
    assert results["score"] == 0
    assert "server.py and client.py missing in submission" in results["output"]
    assert "missing in submission" in printed


@needs_python
def test_a_submission_that_python_cannot_read(site: Path) -> None:
    (site / "submission" / "server.py").write_text("def (:\n")
    (site / "submission" / "client.py").write_text(CLIENT)
    results, _ = run_autograder(site)
    assert results["score"] == 0
    first = results["tests"][0]
    assert first["status"] == "failed"
    assert "SyntaxError" in first["output"]
    assert "py_compile" in first["output"]
    assert all(test["output"].startswith("not played, because") for test in results["tests"][1:3])


@needs_python
@pytest.mark.parametrize("broken", ["run.py", "rubrics/cs3251-2025.json", "advice.py", "report.py"])
def test_the_grader_fails(broken: str, site: Path) -> None:
    """At its start, for want of a rubric, and in its midst."""
    path = site / "source" / "grader" / broken
    text = path.read_text()
    path.write_text(
        {
            "report.py": text.replace("    mark = ", "    raise OSError('no more')\n    mark = "),
            "advice.py": text + "raise OSError('no more')\n",
        }.get(broken, "no more")
    )
    assert path.read_text() != text
    shutil.copyfile(SOLUTIONS / "threads" / "client.py", site / "submission" / "client.py")
    (site / "submission" / "server.py").write_text("def (:\n")
    results, printed = run_autograder(site)
    assert (results["score"], results["tests"]) == (0, [])
    assert "says nothing about your work" in results["output"]
    assert "Error" in printed or "error:" in printed


@needs_python
@pytest.mark.timeout(120)
def test_there_is_no_more_time(site: Path) -> None:
    """What has been played counts."""
    for name, text in (("server.py", SERVER), ("client.py", CLIENT)):
        (site / "submission" / name).write_text(text)
    results, printed = run_autograder(site, "8")
    assert "score" not in results, "it has been played to the end"
    assert "What was not played has no points" in results["output"]
    assert "The grader was stopped after 8 seconds." in printed
    assert [test for test in results["tests"] if test["output"].startswith("Not played: ")]
    assert results["tests"][0]["status"] == "passed"


SPY = """import os
found = []
for path in {paths!r}:
    found += [path for mode in (os.R_OK, os.W_OK, os.X_OK) if os.access(path, mode)]
for pid in {{os.getppid(), *(int(name) for name in os.listdir("/proc") if name.isdigit())}}:
    try:
        if os.stat(f"/proc/{{pid}}").st_uid != os.geteuid():
            os.kill(pid, 0)
            found.append(pid)
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        pass
raise SystemExit(f"{{os.geteuid() and 'somebody else'}} found {{found}}")
"""


@needs_python
@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_what_a_submission_can_reach(site: Path) -> None:
    """Nothing of ours: neither by name nor by a link in the submission."""
    secrets = ["source", "results", "submission", "source/grader/rubrics/cs3251-2025.json"]
    paths = [str(site), *(str(site / name) for name in secrets), "link"]
    (site / "submission" / "link").symlink_to(site / "results" / "results.json")
    (site / "submission" / "server.py").write_text(SPY.format(paths=paths))
    (site / "submission" / "client.py").write_text(CLIENT)
    results, _ = run_autograder(site)
    assert "somebody else found []" in results["tests"][0]["output"]


@needs_python
@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_no_module_of_a_submission_is_run_as_root(site: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    write = f"import os\nif os.geteuid() == 0:\n    open({str(proof)!r}, 'w').close()\n"
    (site / "submission" / "compileall.py").write_text(write)
    (site / "submission" / "server.py").write_text("raise SystemExit(1)\n")
    (site / "submission" / "client.py").write_text(CLIENT)
    run_autograder(site)
    assert not proof.exists()


SETUID = """import glob, os, stat
files = [os.stat(path) for path in glob.glob(os.path.dirname(os.getcwd()) + "/*/tool")]
roots = [file for file in files if file.st_mode & stat.S_ISUID and file.st_uid == 0]
raise SystemExit(f"{len(roots)} programs run as root")
"""


@needs_python
@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_no_program_of_a_submission_becomes_one_of_root(site: Path) -> None:
    for name, text in (("server.py", SETUID), ("client.py", CLIENT), ("tool", "")):
        (site / "submission" / name).write_text(text)
    (site / "submission" / "tool").chmod(0o4755)
    results, _ = run_autograder(site)
    assert "status 1: 0 programs run as root" in results["tests"][0]["output"]
