"""A solution: where its two files are, and private copies of them.

Every case is played in a copy of its own, so that what one run leaves behind is not found by the
next. Raises UnusableError, with one line for the student, for what cannot be graded at all.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from grader import archives
from grader.rubric import Rubric

FILES = ("server.py", "client.py")

MAX_COPIED_BYTES = 50 * 1024 * 1024
"""A larger folder holds something else than a solution."""

MAX_DEPTH = 3
MAX_LOOKED_AT = 5000
"""Folders below a submission in which its files are looked for, and entries that are looked at."""

MAX_NAMED = 6
"""Of what was found instead, so much is named."""

COMPILE_SECONDS = 20

_IGNORED = (".*", "__pycache__", "__MACOSX", "node_modules", "venv", "env")
_NOT_COPIED = shutil.ignore_patterns(*_IGNORED)
_NAMES = {
    name: re.compile(rf"(?:.*[-_ .])?{name[:-3]}(?:[-_ ]?\(?\d+\)?)?\.py", re.IGNORECASE)
    for name in FILES
}
"""How the two files may be called where there is one such file: `Server.py`, `pa1_server.py`,
`server (1).py`."""


class UnusableError(Exception):
    """There is nothing to grade. Its text says why."""


class Found(NamedTuple):
    """The two files by their paths below `root`. `notices`: what was taken for what."""

    root: Path
    server: str
    client: str
    notices: tuple[str, ...] = ()

    def apply(self, rubric: Rubric) -> Rubric:
        """The rubric, with the command lines of this solution."""
        return rubric._replace(
            server=(self.server, *rubric.server[1:]), client=(self.client, *rubric.client[1:])
        )


def find(submission: Path, scratch: Path, name: str) -> Found:
    """Where the two files are: in `submission`, which is a folder or a zip, or below it, where
    there is one reading. A zip is unpacked into `scratch`. `name`: what it is called."""
    if not submission.exists():
        raise UnusableError(f"there is no folder {submission}")
    folder = _unpack(submission, scratch / "zip") if submission.is_file() else submission
    files = list(_files_below(folder))
    zips = [path for path in files if archives.is_archive(path)]
    if len(zips) == 1 and not any(path.suffix == ".py" for path in files):
        notice = f"graded what is in {zips[0].name}"
        folder = _unpack(zips[0], scratch / "inner")
        found = _find_in(folder, list(_files_below(folder)), name)
        return found._replace(notices=(notice, *found.notices))
    return _find_in(folder, files, name)


def _unpack(archive: Path, target: Path) -> Path:
    if not archives.is_archive(archive):
        raise UnusableError(f"{archive.name} is neither a folder nor a zip")
    try:
        archives.unpack(archive, target)
    except archives.ArchiveError as error:
        raise UnusableError(str(error)) from error
    return target


def _find_in(folder: Path, files: list[Path], name: str) -> Found:
    if all((folder / file).is_file() for file in FILES):
        return Found(folder, *FILES)
    exact = [[path for path in files if path.name == file] for file in FILES]
    servers, clients = (
        same or [path for path in files if _NAMES[file].fullmatch(path.name)]
        for same, file in zip(exact, FILES, strict=True)
    )
    pairs = [(s, c) for s in servers for c in clients if s.parent == c.parent]
    if len(pairs) == 1:
        return _make_found(pairs[0][0].parent, *pairs[0])
    if not pairs and len(servers) == len(clients) == 1:
        common = Path(os.path.commonpath([servers[0].parent, clients[0].parent]))
        return _make_found(common, servers[0], clients[0])
    missing = [f for f, there in zip(FILES, (servers, clients), strict=True) if not there]
    there = _name_some([str(path.relative_to(folder)) for path in files])
    if missing:
        raise UnusableError(f"{' and '.join(missing)} missing in {name}: {there}")
    raise UnusableError(f"more than one server.py or client.py in {name}: {there}")


def _make_found(root: Path, server: Path, client: Path) -> Found:
    paths = [str(path.relative_to(root)) for path in (server, client)]
    notices = tuple(
        f"graded {path} as {file}" for path, file in zip(paths, FILES, strict=True) if path != file
    )
    return Found(root, paths[0], paths[1], notices)


def _files_below(folder: Path) -> Iterator[Path]:
    """Some levels of it, the uppermost first, by name."""
    level = [folder]
    room = MAX_LOOKED_AT
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for parent in level:
            try:
                names = sorted(os.listdir(parent))[: max(room, 0)]
            except OSError as error:
                raise UnusableError(f"{parent.name} cannot be read: {error.strerror}") from error
            room -= len(names)
            for name in sorted(set(names) - _NOT_COPIED(str(parent), names)):
                path = parent / name
                if path.is_dir():
                    if not path.is_symlink():
                        below.append(path)
                elif path.is_file():
                    yield path
        level = below


def _name_some(names: list[str]) -> str:
    if not names:
        return "there is no file at all"
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"found {', '.join(names[:MAX_NAMED])}{more}"


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
