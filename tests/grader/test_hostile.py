"""Solutions that are broken or mean harm: each is bounded, told in a clear line, and leaves nothing
behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.grader.grading import SOLUTIONS, grade, run_grader, write_solution

CLIENT = (SOLUTIONS / "threads" / "client.py").read_text()
SERVER = (SOLUTIONS / "threads" / "server.py").read_text()

FLOOD = "import os\nwhile True:\n    os.write(1, b'spam' * 1000)\n"
DEAF = "import signal\nfor n in (1, 2, 15):\n    signal.signal(n, signal.SIG_IGN)\n"
BREED = "import os, time\nfor _ in range(200):\n    if os.fork() == 0:\n        time.sleep(1000)\n"
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
    client = DEAF + CLIENT.replace("    os._exit(0)\n", "").replace(
        "        break\n", "        pass\n"
    )
    solution = write_solution(tmp_path / "solution", SERVER, DEAF + client)
    graded = grade(solution, tmp_path, "--only", "exit-ends,interrupt")
    assert graded.failed == {"exit-ends", "interrupt"}
    assert "Alice's client.py did not end" in graded.stories["interrupt"]


def test_partial_lines_are_seen_as_such(tmp_path: Path) -> None:
    server = SERVER.replace("print(text)", "print(text, end='')")
    graded = grade(write_solution(tmp_path / "s", server, CLIENT), tmp_path, "--only", "banner")
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


@pytest.mark.skipif(os.geteuid() != 0 or not PYTHON, reason="needs root, and a Python for all")
def test_as_another_user(tmp_path: Path) -> None:
    server = "import os\nif os.geteuid() == 0:\n    raise SystemExit('I am root')\n" + SERVER
    solution = write_solution(tmp_path / "solution", server, CLIENT)
    graded = grade(
        solution, tmp_path, "--only", "connected", "--user", "nobody", "--python", PYTHON
    )
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
