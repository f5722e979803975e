"""Solutions that are broken or mean harm: each is bounded, told in a clear line, and leaves nothing
behind."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from grader import kernel
from tests.grader import grading
from tests.grader.grading import CLIENT, ROOT, SERVER, SOLUTIONS, grade, needs_root, run_grader
from tools.autograder.run_autograder import USERS

pytestmark = grading.graded_whole

FLOOD = "import os\nwhile True:\n    os.write(1, b'spam' * 1000)\n"
DEAF = "import signal\nfor n in (1, 2, 15):\n    signal.signal(n, signal.SIG_IGN)\n"
BREED = "import os, time\nfor _ in range(200):\n    if os.fork() == 0:\n        time.sleep(1000)\n"
BOMB = """import os, time
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
time.sleep(1000)
"""
"""256 processes below one, to the eighth generation, nearly all in sessions of their own."""

LEAVE = """import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
os.wait()
"""
"""What it starts is no child of its own, and in another session."""

FLOODING_CLIENT = CLIENT.replace(
    "if answer != ", "while answer != 'OK':\n    show('')\nif answer != "
)
DEAF_CLIENT = DEAF + CLIENT.replace("    os._exit(0)\n", "").replace("  break\n", "  pass\n")
PARTIAL_SERVER = SERVER.replace("print(text)", "print(text, end='')")

BROKEN = {
    "ends at once": ("raise SystemExit(3)\n", "ended with status 3"),
    "no such module": ("import nothing_of_this_name\n", "ModuleNotFoundError"),
    "breeds": (BREED + SERVER, "processes; all of them were ended"),
    "spins": ("while True:\n    pass\n", "did not listen on port"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_server_is_told_in_a_line(what: str, tmp_path: Path) -> None:
    server, complaint = BROKEN[what]
    solution = grading.write_solution(tmp_path / "solution", server, CLIENT)
    graded = grade(solution, tmp_path, "--only", "start,connection")
    assert complaint in graded.stories["server-listens"].splitlines()[0]
    assert graded.stories["joined"].startswith("not played, because server-listens failed")
    assert graded.score == 0
    assert graded.status == 1


BROKEN_IN_PART = {
    "client prints without end": (
        SERVER,
        FLOODING_CLIENT,
        "refused",
        "Alice's client.py printed without end",
    ),
    "client ignores signals": (SERVER, DEAF_CLIENT, "interrupt", "Alice's client.py did not end"),
    "server prints no newline": (PARTIAL_SERVER, CLIENT, "banner", "no newline at its end"),
}


@pytest.mark.parametrize("what", BROKEN_IN_PART)
def test_broken_part_costs_its_case_and_no_other(what: str, tmp_path: Path) -> None:
    server, client, case, complaint = BROKEN_IN_PART[what]
    solution = grading.write_solution(tmp_path / "solution", server, client)
    graded = grade(solution, tmp_path, "--only", f"connected,{case}")
    assert graded.failed == {case}
    assert complaint in graded.stories[case]


def test_all_processes_end_with_the_grader(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    server = f"import os\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\n" + "while True: pass\n"
    solution = grading.write_solution(tmp_path / "solution", server, CLIENT)
    with subprocess.Popen(
        [sys.executable, "-m", "grader", str(solution)],
        cwd=SOLUTIONS.parents[2],
        stdout=subprocess.DEVNULL,
    ) as grader:
        while not pids.exists() or not pids.read_text():
            assert grader.poll() is None
        grader.send_signal(signal.SIGTERM)
        assert grader.wait(30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


AS_ANOTHER_USER = ("--user", USERS[-1], "--python", str(grading.PYTHON))


@needs_root
@pytest.mark.parametrize("terminal", [(), ("--pty",)], ids=["pipes", "terminal"])
def test_solution_of_another_user_reaches_nothing_of_root(
    terminal: tuple[str, ...], tmp_path: Path
) -> None:
    """A solution goes on only where it can neither read nor signal what is root's."""
    with tempfile.NamedTemporaryFile() as secret:  # of mode 600, in a folder open to all
        harmless = grading.SPY.format(paths=[secret.name]) + "assert found == []\n"
        solution = grading.write_solution(
            tmp_path / "solution", harmless + SERVER, harmless + CLIENT
        )
        only = ("--only", "connected,exit-ends")
        graded = grade(solution, tmp_path, *only, *AS_ANOTHER_USER, *terminal)
    assert graded.failed == set(), graded.output


@needs_root
def test_own_programs_as_another_user_on_a_terminal(tmp_path: Path) -> None:
    only = ("--only", "connection,users,exit-ends,interrupt")
    graded = grade(ROOT, tmp_path, *AS_ANOTHER_USER, "--pty", *only)
    assert graded.failed == set(), graded.output


def test_programs_that_never_sleep_are_graded(tmp_path: Path) -> None:
    server, client = (
        (SOLUTIONS / "select_loop" / name).read_text().replace("[], [])[0]", "[], [], 0)[0]")
        for name in ("server.py", "client.py")
    )
    assert "[], 0)" in server
    assert "[], 0)" in client
    solution = grading.write_solution(tmp_path / "solution", server, client)
    graded = grade(solution, tmp_path, "--only", "not-to-sender", "--jobs", "1")
    assert graded.failed == set(), graded.output


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no names but in UTF-8")
def test_names_of_folders_that_mean_harm(tmp_path: Path) -> None:
    """They neither end the run nor command a terminal or a spreadsheet."""
    folder = tmp_path / "all"
    for name in (b"=HYPERLINK()", b"\x1b[2Jx", b"not UTF-8: \xff", b"ordinary"):
        os.makedirs(os.fsencode(folder) + b"/" + name)
    run = run_grader("--all", folder, "--csv", tmp_path / "scores.csv")
    assert run.stderr == ""
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as stream:
        names = [row["solution"] for row in csv.DictReader(stream)]
    assert names == ["\\x1b[2Jx", "'=HYPERLINK()", "not UTF-8: \\udcff", "ordinary"]
    assert "\x1b" not in run.stdout


with Path(__file__).with_name("hostile.csv").open(newline="") as stream:
    FOLDER = {row["solution"]: row for row in csv.DictReader(stream)}
"""What is to be said of each solution: as in the grader's own table, and the cases that fail. Here
a remark is only the beginning of one."""

PLAYED = "start,broadcast,exit-ends,later-at-midnight"

MEASURED = """import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""
"""Runs the rest of its command line, and writes into a file what the largest process took."""

MAX_KIBIBYTES = 80 * 1024
MAX_PRINTED_BYTES = 64 * 1024


def write_folder(folder: Path) -> None:
    folder.mkdir()
    for name in ("echo", "midnight", "one at a time"):
        shutil.copytree(SOLUTIONS / name.replace(" ", "_"), folder / name)
    (folder / "good").symlink_to(SOLUTIONS / "threads")
    (folder / "empty").mkdir()
    for name, server, client in [
        ("bomb", BOMB, CLIENT),
        ("deaf", SERVER, DEAF_CLIENT),
        ("endless", FLOOD, CLIENT),
        ("leaves", LEAVE + SERVER, LEAVE + CLIENT),
        ("missing", "", CLIENT),
        ("partial", PARTIAL_SERVER, CLIENT),
        ("silent", "import time\ntime.sleep(1000)\n", CLIENT),
        ("syntax", "def (:\n", CLIENT),
    ]:
        grading.write_solution(folder / name, server, client)
    (folder / "missing" / "server.py").unlink()


def find_at_home_in(scratch: Path) -> set[int]:
    """The processes whose environment names `scratch`: the grader has its temporary files there,
    and all of a solution's have their home there."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and bytes(scratch) in (entry / "environ").read_bytes():
                found.add(int(entry.name))
    return found


@pytest.mark.skipif(not kernel.IS_HERE, reason="needs /proc")
def test_folder_of_solutions_of_all_kinds(tmp_path: Path) -> None:
    write_folder(tmp_path / "all")
    scratch, table, printed = (tmp_path / name for name in ("scratch", "scores.csv", "printed"))
    scratch.mkdir()
    measured = [sys.executable, "-c", MEASURED, str(tmp_path / "size"), sys.executable]
    command = ["-m", "grader", "--all", str(tmp_path / "all"), "--only", PLAYED, "--csv"]
    with (
        printed.open("w") as output,
        subprocess.Popen(
            [*measured, *command, str(table)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(scratch)},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as grader,
    ):
        most = 0
        while grader.poll() is None:
            most = max(most, len(find_at_home_in(scratch)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                grader.wait(0.2)
    assert most > 10, "the mark is in no environment"
    assert find_at_home_in(scratch) == set()
    assert list(scratch.iterdir()) == []
    assert grader.returncode == 1
    assert int((tmp_path / "size").read_text()) < MAX_KIBIBYTES
    assert printed.stat().st_size < MAX_PRINTED_BYTES
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    graded, _, _ = printed.read_text().partition("\nsolution ")
    graded = re.sub(r"^\d+ of \d+  .*\n", "", graded, flags=re.MULTILINE)
    _, *parts = re.split(r"^=== (.*)\n", graded, flags=re.MULTILINE)
    stories = dict(zip(parts[::2], parts[1::2], strict=True))
    assert [row["solution"] for row in rows] == sorted(stories) == list(FOLDER)
    for row in rows:
        check_row(row, stories[row["solution"]], FOLDER[row["solution"]])


def check_row(row: dict[str, str], story: str, expected: dict[str, str]) -> None:
    """And that the story is of this solution alone."""
    name = row["solution"]
    points = ("solution", "total", "broadcast", "shortcuts")
    assert [row[key] for key in points] == [expected[key] for key in points]
    assert row["remark"].startswith(expected["remark"]), name
    assert bool(row["remark"]) == bool(expected["remark"]), name
    played = re.findall(r"^(?:ok  |FAIL) \w+/(\S+):", story, re.MULTILINE)
    failed = re.findall(r"^FAIL \w+/(\S+):", story, re.MULTILINE)
    assert len(played) == (0 if "missing" in expected["remark"] else 10), name
    expected_failed = played if expected["failed"] == "all" else expected["failed"].split()
    assert set(failed) == set(expected_failed), name
    others = {e["remark"] for e in FOLDER.values()} - {expected["remark"], ""}
    assert not [remark for remark in others if remark in story], name
    assert "spam" not in story
