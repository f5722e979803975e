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

from grader.schema import complaints
from tests.grader import grading
from tests.grader.grading import CLIENT, PYTHON, ROOT, SERVER, needs_root, write_solution
from tests.grader.mutants.mutant import copy_programs
from tools.autograder import build
from tools.autograder.run_autograder import USERS

pytestmark = grading.graded_whole

needs_python = pytest.mark.skipif(not PYTHON, reason="root needs a Python that all users may run")

GRADESCOPE = json.loads(Path(__file__).with_name("gradescope.json").read_text("utf-8"))
"""The schema of results.json, by Gradescope's specification of it."""


# What is in it.


def test_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
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


def test_zip_holds_the_grader_its_rubrics_and_two_scripts(tmp_path: Path) -> None:
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
    ("python", "user", "done", "status"),
    [
        ("good", "there", "", 0),
        ("good", "missing", "useradd", 0),
        ("missing", "missing", "apt-get update, apt-get install, useradd", 0),
        ("old", "missing", "apt-get update, apt-get install", 1),
    ],
)
def test_setup_does_what_is_missing(
    python: str, user: str, done: str, status: int, tmp_path: Path
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
    assert [line.split(" -")[0] for line in noted] == done.split(", ") if done else noted == []
    assert (run.returncode, "needs Python 3.10" in run.stderr) == (status, status == 1)
    assert all(line.endswith(f" {USERS[0]}") for line in noted if line.startswith("useradd"))


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
        timeout=grading.LIMIT_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert os.listdir(site / "results") == ["results.json"]
    results = json.loads((site / "results" / "results.json").read_text("utf-8"))
    assert complaints(results, GRADESCOPE) == []
    assert all(test["score"] <= test["max_score"] for test in results["tests"])
    if "score" in results:
        assert results["score"] == sum(test["score"] for test in results["tests"])
    return results, run.stdout


@needs_python
def test_own_programs_in_a_folder_have_the_full_score(site: Path) -> None:
    copy_programs(site / "submission" / "chat")
    results, printed = run_autograder(site)
    assert results["score"] == 100, printed
    assert sum(test["max_score"] for test in results["tests"]) == 100
    assert {test["status"] for test in results["tests"]} == {"passed"}, printed
    assert "100 of 100" in results["output"]


@needs_python
def test_empty_submission_has_no_points_and_says_why(site: Path) -> None:
    results, printed = run_autograder(site)
    assert results["score"] == 0
    assert "server.py and client.py missing in submission" in results["output"]
    assert "missing in submission" in printed


@needs_python
def test_syntax_error_is_told_where_it_is(site: Path) -> None:
    write_solution(site / "submission", "def (:\n", CLIENT)
    results, _ = run_autograder(site)
    assert results["score"] == 0
    first = results["tests"][0]
    assert first["status"] == "failed"
    assert "SyntaxError" in first["output"]
    assert "py_compile" in first["output"]
    assert all(test["output"].startswith("not played, because") for test in results["tests"][1:3])


@needs_python
@pytest.mark.parametrize("broken", ["run.py", "rubrics/cs3251-2025.json", "advice.py", "report.py"])
def test_grader_that_fails_says_so(broken: str, site: Path) -> None:
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
    write_solution(site / "submission", "def (:\n", CLIENT)
    results, printed = run_autograder(site)
    assert (results["score"], results["tests"]) == (0, [])
    assert "says nothing about your work" in results["output"]
    assert "Error" in printed or "error:" in printed


@needs_python
def test_what_was_played_counts_when_time_is_up(site: Path) -> None:
    write_solution(site / "submission", SERVER, CLIENT)
    results, printed = run_autograder(site, "5")
    left = [test for test in results["tests"] if test["output"].startswith("not graded: out of")]
    assert left, printed
    assert not any("status" in test for test in left)
    assert f"not graded: {len(left)} of" in results["output"]
    assert results["tests"][0]["status"] == "passed"


@needs_root
def test_submission_reaches_nothing_of_ours(site: Path) -> None:
    """Nothing of ours: neither by name nor by a link in the submission."""
    secrets = ["source", "results", "submission", "source/grader/rubrics/cs3251-2025.json"]
    paths = [str(site), *(str(site / name) for name in secrets), "link"]
    (site / "submission" / "link").symlink_to(site / "results" / "results.json")
    spy = grading.SPY.format(paths=paths) + "raise SystemExit(f'found {found}')\n"
    write_solution(site / "submission", spy, CLIENT)
    results, _ = run_autograder(site)
    assert "found []" in results["tests"][0]["output"]


@needs_root
def test_no_module_of_a_submission_is_run_as_root(site: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    write = f"import os\nif os.geteuid() == 0:\n    open({str(proof)!r}, 'w').close()\n"
    (site / "submission" / "compileall.py").write_text(write)
    write_solution(site / "submission", "raise SystemExit(1)\n", CLIENT)
    run_autograder(site)
    assert not proof.exists()


SETUID = """import glob, os, stat
files = [os.stat(path) for path in glob.glob(os.path.dirname(os.getcwd()) + "/*/tool")]
roots = [file for file in files if file.st_mode & stat.S_ISUID and file.st_uid == 0]
raise SystemExit(f"{len(roots)} programs run as root")
"""


@needs_root
def test_no_program_of_a_submission_becomes_one_of_root(site: Path) -> None:
    write_solution(site / "submission", SETUID, CLIENT)
    (site / "submission" / "tool").touch()
    (site / "submission" / "tool").chmod(0o4755)
    results, _ = run_autograder(site)
    assert "status 1: 0 programs run as root" in results["tests"][0]["output"]
