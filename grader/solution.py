"""A solution: where its two files are, and private copies of them.

Every case is played in a copy of its own, so that what one run leaves behind is not found by the
next. Raises UnusableError, with one line for the student, for what cannot be graded at all.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

FILES = ("server.py", "client.py")

MAX_COPIED_BYTES = 50 * 1024 * 1024
"""A larger folder holds something else than a solution."""

COMPILE_SECONDS = 20

_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "venv", "env")


class UnusableError(Exception):
    """There is nothing to grade. Its text says why."""


def find(folder: Path) -> Path:
    """Where the two files are: in `folder`, or in the one folder in it that has them both."""
    if not folder.is_dir():
        raise UnusableError(f"there is no folder {folder}")
    if _has_all(folder):
        return folder
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and _has_all(path)]
    if len(inner) == 1:
        return inner[0]
    missing = [name for name in FILES if not (folder / name).is_file()]
    raise UnusableError(f"{' and '.join(missing)} missing in {folder.name or folder}")


def take(source: Path, target: Path, python: str) -> None:
    """Copy a solution and compile what it imports, once for all cases."""
    size = sum(
        path.stat(follow_symlinks=False).st_size
        for path in source.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(source).parts)
    )
    if size > MAX_COPIED_BYTES:
        raise UnusableError(f"the folder holds {size:,} bytes; {MAX_COPIED_BYTES:,} is the most")
    shutil.copytree(
        source, target, symlinks=True, ignore=_NOT_COPIED, copy_function=_copy_without_privilege
    )
    try:
        subprocess.run(  # noqa: S603
            # Isolated: a module of the solution's is not to be run in place of Python's own.
            [python, "-I", "-m", "compileall", "-q", "-j", "1", target],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMPILE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return  # it is only slower like this
    except OSError as error:
        raise UnusableError(f"cannot run {python}: {error.strerror}") from error


def copy(source: Path, target: Path, user: str) -> None:
    """A copy for one case, which belongs to `user` if there is one."""
    shutil.copytree(source, target, symlinks=True, copy_function=_copy_file)
    if user:
        entry = pwd.getpwnam(user)
        # From within: nothing is in reach of another case of that user while it is handed over.
        for path in [*sorted(target.rglob("*"), reverse=True), target]:
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def _copy_without_privilege(source: str, target: str) -> None:
    """Without the set-user-ID and set-group-ID bits, which would make it a program of ours."""
    shutil.copyfile(source, target)
    os.chmod(target, stat.S_IMODE(os.stat(source).st_mode) & 0o777)


def _copy_file(source: str, target: str) -> None:
    """Programs are not changed while they run, so that all cases may share them."""
    if source.endswith((".py", ".pyc")) and not os.path.islink(source):
        os.link(source, target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _has_all(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)
