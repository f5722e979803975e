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
from typing import NamedTuple

import pytest

from grader import kernel
from tests.grader.grading import ROOT, SOLUTIONS, grade, run_grader, write_solution

CLIENT = (SOLUTIONS / "threads" / "client.py").read_text()
SERVER = (SOLUTIONS / "threads" / "server.py").read_text()

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
        with open({path!r}, "a") as file:
            file.write(f"{{os.getpid()}}\\n")
        time.sleep(1000)
    os._exit(0)
os.wait()
"""

DEAF_CLIENT = DEAF + CLIENT.replace("    os._exit(0)\n", "").replace("  break\n", "  pass\n")
PARTIAL_SERVER = SERVER.replace("print(text)", "print(text, end='')")

BROKEN = {
    "never starts": ("import time\ntime.sleep(1000)\n", "did not listen on port"),
    "ends at once": ("raise SystemExit(3)\n", "ended with status 3"),
    "no Python": ("def (:\n", "SyntaxError"),
    "no such module": ("import nothing_of_this_name\n", "ModuleNotFoundError"),
    "prints without end": (FLOOD, "printed without end, and was stopped"),
    "breeds": (BREED + SERVER, "processes; all of them were ended"),
    "spins": ("while True:\n    pass\n", "did not listen on port"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_server_is_told_in_a_line(what: str, tmp_path: Path) -> None:
    server, complaint = BROKEN[what]
    solution = write_solution(tmp_path / "solution", server, CLIENT)
    graded = grade(solution, tmp_path, "--only", "start,connection")
    assert complaint in graded.stories["server-listens"].splitlines()[0]
    assert graded.stories["joined"].startswith("not played, because server-listens failed")
    assert graded.score == 0
    assert graded.status == 1


def test_a_client_that_prints_without_end(tmp_path: Path) -> None:
    solution = write_solution(tmp_path / "solution", SERVER, CLIENT + FLOOD)
    client = CLIENT.replace("if answer != ", "while answer != 'OK':\n    show('')\nif answer != ")
    (solution / "client.py").write_text(client)
    graded = grade(solution, tmp_path, "--only", "refused,connected")
    assert graded.failed == {"refused"}
    assert "Alice printed without end" in graded.stories["refused"]


def test_a_client_that_ignores_signals_is_ended(tmp_path: Path) -> None:
    solution = write_solution(tmp_path / "solution", SERVER, DEAF_CLIENT)
    graded = grade(solution, tmp_path, "--only", "exit-ends,interrupt")
    assert graded.failed == {"exit-ends", "interrupt"}
    assert "Alice's client.py did not end" in graded.stories["interrupt"]


def test_partial_lines_are_seen_as_such(tmp_path: Path) -> None:
    solution = write_solution(tmp_path / "solution", PARTIAL_SERVER, CLIENT)
    graded = grade(solution, tmp_path, "--only", "banner")
    assert "-Server started" in graded.stories["banner"]
    assert "no newline at its end" in graded.stories["banner"]


def test_whoever_is_left_behind_is_ended_and_nobody_else(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        leave = LEAVE.format(path=str(pids))
        solution = write_solution(tmp_path / "solution", leave + SERVER, leave + CLIENT)
        graded = grade(solution, tmp_path, "--only", "connected")
        assert graded.failed == set(), graded.output
        assert bystander.poll() is None
        bystander.kill()
    left = pids.read_text().split()
    assert len(left) == 5  # three servers and two clients: those of the cases needed first, too
    for pid in left:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_the_grader_ends_and_everybody_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    server = f"import os\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\n" + "while True: pass\n"
    solution = write_solution(tmp_path / "solution", server, CLIENT)
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


def test_missing_files(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    run = run_grader(tmp_path, "--json", tmp_path / "results.json")
    assert run.stdout == f"server.py missing in {tmp_path.name}\n"
    assert run.returncode == 1
    assert "server.py missing" in (tmp_path / "results.json").read_text()


PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""
"""One that every user may run."""


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not PYTHON, reason="needs root, and a Python for all"
)

HARMLESS = """import os, signal
assert os.geteuid() != 0 != os.getegid() and os.getgroups() in ([], [os.getegid()])
for act in (
    lambda: open({secret!r}),
    lambda: open({secret!r}, "a"),
    lambda: os.kill({outsider}, signal.SIGTERM),
    lambda: os.kill(os.getppid(), signal.SIGTERM),
    lambda: os.listdir(f"/proc/{{os.getppid()}}/fd"),
):
    try:
        act()
    except PermissionError:
        continue
    raise SystemExit("this was allowed")
"""


@needs_root
@pytest.mark.parametrize("terminal", [(), ("--pty",)], ids=["pipes", "terminal"])
def test_as_another_user(terminal: tuple[str, ...], tmp_path: Path) -> None:
    """A solution goes on only where it can neither read nor signal what is root's."""
    with tempfile.NamedTemporaryFile("w") as secret:  # of mode 600, in a folder open to all
        secret.write("secret")
        harmless = HARMLESS.format(secret=secret.name, outsider=os.getpid())
        solution = write_solution(tmp_path / "solution", harmless + SERVER, harmless + CLIENT)
        user = ("--user", "nobody", "--python", PYTHON)
        graded = grade(solution, tmp_path, "--only", "connected,exit-ends", *user, *terminal)
    assert graded.failed == set(), graded.output


@needs_root
@pytest.mark.timeout(120)
def test_our_own_programs_as_another_user_on_a_terminal(tmp_path: Path) -> None:
    user = ("--user", "nobody", "--python", PYTHON)
    only = ("--only", "connection,users,exit-ends,interrupt")
    graded = grade(ROOT, tmp_path, *user, "--pty", *only)
    assert graded.failed == set(), graded.output


def test_programs_that_never_sleep_are_graded_all_the_same(tmp_path: Path) -> None:
    server, client = (
        (SOLUTIONS / "select_loop" / name).read_text().replace("[], [])[0]", "[], [], 0)[0]")
        for name in ("server.py", "client.py")
    )
    assert "[], 0)" in server
    assert "[], 0)" in client
    solution = write_solution(tmp_path / "solution", server, client)
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


class Expected(NamedTuple):
    """Points in all, for broadcast and for shortcuts; the cases that fail, None being all; and
    how the remark begins."""

    points: tuple[int, int, int]
    failed: set[str] | None
    remark: str = ""


FOLDER = {
    "bomb": Expected((0, 0, 0), None, "it started "),
    "deaf": Expected((21, 20, 1), {"exit-ends"}, "Alice's client.py did not end"),
    "echo": Expected((19, 16, 3), {"not-to-sender"}, "Alice should have seen nothing"),
    "endless": Expected((0, 0, 0), None, "server.py printed without end, and was stopped"),
    "good": Expected((23, 20, 3), set()),
    "leaves": Expected((23, 20, 3), set()),
    "midnight": Expected((22, 20, 2), {"later-at-midnight"}, "Bob saw something else"),
    "missing": Expected((0, 0, 0), set(), "server.py missing in missing"),
    "one at a time": Expected(
        (5, 5, 0),
        {
            *("second-served", "to-others", "not-to-sender", "conversation", "exact-text"),
            *("later-at-midnight", "exit-ends"),
        },
        "neither server nor Alice saw anything",
    ),
    "partial": Expected(
        (15, 13, 2), {"on-server", "exact-text", "later-at-midnight"}, "server saw something else"
    ),
    "silent": Expected((0, 0, 0), None, "server.py did not listen on port"),
    "syntax": Expected((0, 0, 0), None, "server.py ended with status 1: SyntaxError"),
}
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
    for name in ("echo", "midnight", "one at a time", "good"):
        classic = "threads" if name == "good" else name.replace(" ", "_")
        shutil.copytree(SOLUTIONS / classic, folder / name)
    leave = LEAVE.format(path=os.devnull)
    for name, server, client in [
        ("bomb", BOMB, CLIENT),
        ("deaf", SERVER, DEAF_CLIENT),
        ("endless", FLOOD, CLIENT),
        ("leaves", leave + SERVER, leave + CLIENT),
        ("missing", "", CLIENT),
        ("partial", PARTIAL_SERVER, CLIENT),
        ("silent", "import time\ntime.sleep(1000)\n", CLIENT),
        ("syntax", "def (:\n", CLIENT),
    ]:
        write_solution(folder / name, server, client)
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


@pytest.mark.timeout(300)
@pytest.mark.skipif(not kernel.IS_HERE, reason="needs /proc")
def test_a_folder_of_twelve_of_all_kinds(tmp_path: Path) -> None:
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
    _, *parts = re.split(r"^=== (.*)\n", graded, flags=re.MULTILINE)
    stories = dict(zip(parts[::2], parts[1::2], strict=True))
    assert [row["solution"] for row in rows] == list(stories) == list(FOLDER)
    for row in rows:
        check_row(row, stories[row["solution"]], FOLDER[row["solution"]])


def check_row(row: dict[str, str], story: str, expected: Expected) -> None:
    """And that the story is of this solution alone."""
    name = row["solution"]
    points = tuple(int(row[key]) for key in ("total", "broadcast", "shortcuts"))
    assert (name, points) == (name, expected.points)
    assert row["remark"].startswith(expected.remark), name
    assert bool(row["remark"]) == bool(expected.remark), name
    played = re.findall(r"^(?:ok  |FAIL) \w+/(\S+):", story, re.MULTILINE)
    failed = re.findall(r"^FAIL \w+/(\S+):", story, re.MULTILINE)
    assert len(played) == (0 if name == "missing" else 10), name
    assert set(failed) == (set(played) if expected.failed is None else expected.failed), name
    others = [e.remark for e in FOLDER.values() if e.remark and e.remark != expected.remark]
    assert not [remark for remark in others if remark in story], name
    assert "spam" not in story
