"""What is looked at before the first solution, so that one mistake in the setting does not give a
whole class no points. Raises NotReadyError, whose text is one line.
"""

from __future__ import annotations

import contextlib
import pwd
import subprocess
import tempfile
from pathlib import Path

from grader import rubric, run, solution, surroundings
from grader.language import parse_step

START_SECONDS = 20.0
"""Longest that the interpreter may take to tell its version."""

_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"

_SERVER = """import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    print("ready", flush=True)
    client, _ = listener.accept()
    while data := client.recv(100):
        sys.stdout.write(data.decode())
        sys.stdout.flush()
        client.sendall(data)
"""
_CLIENT = """import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
    print("connected", flush=True)
    server.sendall(sys.stdin.readline().encode())
    sys.stdout.write(server.recv(100).decode())
    sys.stdout.flush()
    sys.stdin.read()
"""
_STEPS = ("given Alice", 'Alice types "hello"', 'Alice and server see "hello"')


class NotReadyError(Exception):
    """Nothing can be graded like this. Its text says why, in one line."""


def check_interpreter(python: str, user: str) -> str:
    """The version of what runs the solutions, as `user` if there is one."""
    entry = pwd.getpwnam(user) if user else None
    who = f"cannot run {python}" + (f" as {user}" if user else "")
    try:
        told = subprocess.run(  # noqa: S603
            [python, "-I", "-c", _VERSION],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            user=entry.pw_uid if entry else None,
            group=entry.pw_gid if entry else None,
            extra_groups=[] if entry else None,
        )
    except subprocess.TimeoutExpired:
        raise NotReadyError(f"{who}: it does not answer") from None
    except OSError as error:
        raise NotReadyError(f"{who}: {error.strerror}") from error
    version = told.stdout.strip()
    if told.returncode or not version.replace(".", "").isdigit():
        last = (told.stderr.strip().splitlines() or ["it is no Python"])[-1]
        raise NotReadyError(f"{who}: {last[:200]}")
    return version


def check_writable(path: Path, what: str) -> None:
    """That the file can be written beside what is there; what is there stays as it is."""
    if path.is_dir():
        raise NotReadyError(f"cannot write {what} {path}: it is a folder")
    try:
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=".grade-"):
            pass
        if path.exists():
            with path.open("a"):
                pass
    except OSError as error:
        raise NotReadyError(f"cannot write {what} {path}: {error.strerror}") from error


def check_folder(path: Path, what: str) -> None:
    """That there is such a folder, or can be made, and that files can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotReadyError(f"cannot make {what} {path}: {error.strerror}") from error
    check_writable(path / "index.html", what)


def check_machine(options: run.Options) -> None:
    """That a solution that is right is found right here: a tiny pair of our own is graded."""
    with contextlib.suppress(ValueError, OSError):
        surroundings.raise_descriptor_limit()
    if found := surroundings.trouble() or surroundings.lack_of_processes():
        raise NotReadyError(f"this machine cannot run solutions: {found}")
    with tempfile.TemporaryDirectory(prefix="grade-") as scratch:
        for name, text in (("server.py", _SERVER), ("client.py", _CLIENT)):
            (Path(scratch) / name).write_text(text)
        graded_by = _tiny_rubric()
        try:
            outcome = run.grade(graded_by, Path(scratch), options, graded_by.cases, _ignore)[0]
        except (OSError, solution.UnusableError) as error:
            raise NotReadyError(f"this machine cannot run solutions: {error}") from error
    if not outcome.has_passed:
        raise NotReadyError(f"this machine cannot run solutions: {outcome.summary}")


def _ignore(_: object) -> None:
    pass


def _tiny_rubric() -> rubric.Rubric:
    steps = tuple(parse_step(sentence) for sentence in _STEPS)
    case = rubric.Case("pair", "pair", "A pair that is right", 1, steps, "", ())
    return rubric.Rubric(
        title="A pair that is right",
        host="127.0.0.1",
        passcode="x",
        server=("server.py", "{port}"),
        client=("client.py", "{port}"),
        exit=":q",
        groups=(rubric.Group("pair", "Pair", 1),),
        cases=(case,),
    )
