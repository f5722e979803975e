"""The submissions of a class: whose they are, where they lie, when they came.

In: a folder or a zip, with a folder or zip for each submission, an export of Gradescope or Canvas,
or any of these beside each other. Out: Submissions, and a line for each thing that is none. Raises
NoSubmissionsError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from grader import archives, dates, exports

MAX_DEPTH = 2
"""An export may lie in an export's folder, and no deeper."""

_HASHED_BYTES = 64 * 1024 * 1024


class NoSubmissionsError(Exception):
    """There is nothing to grade. Its text says what there is."""


class Submission(NamedTuple):
    """`key` is unique in its class; `name` is a person's, or the key."""

    key: str
    path: Path
    name: str = ""
    late: str = ""
    submitted: str = ""

    @property
    def names(self) -> tuple[str, str, str, str]:
        return self.key, self.name or self.key, self.late, self.submitted

    def digest(self, salt: str) -> str:
        """Of all its files; the same for the same bytes under the same names."""
        found = hashlib.sha256(salt.encode())
        room = _HASHED_BYTES
        paths = [self.path] if self.path.is_file() else sorted(self.path.rglob("*"))
        for path in paths:
            if path.is_file() and not path.is_symlink() and room > 0:
                data = path.read_bytes() if path.stat().st_size <= room else b""
                room -= len(data)
                name = str(path.relative_to(self.path)).encode("utf-8", "surrogateescape")
                found.update(name + b"\0%d\0" % len(data) + data)
        return found.hexdigest()


class _Search:
    def __init__(self, scratch: Path, due: datetime | None) -> None:
        self.skipped: list[str] = []
        self._scratch = scratch
        self._due = due
        self._unpacked = 0

    def look(self, folder: Path, prefix: str, depth: int) -> Iterator[Submission]:
        """All in `folder`."""
        about = exports.read_metadata(folder / exports.METADATA)
        entries = [path for path in sorted(folder.iterdir()) if not _is_noise(path)]
        canvas = exports.canvas_files(path for path in entries if path.is_file())
        for person in canvas:
            yield from self._canvas(person, prefix)
        for path in entries:
            key = prefix + path.name
            if path.is_dir():
                yield from self._folder(path, key, about.get(path.name), depth)
            elif exports.is_canvas(path.name) or path.name == exports.METADATA:
                continue
            elif archives.is_archive(path):
                is_taken = (folder / path.stem).exists()
                key = key if is_taken else prefix + path.stem
                yield from self._archive(path, key, depth)
            elif path.exists():
                self.skipped.append(f"{key}: neither a folder nor a zip, nor named as Canvas does")
            else:
                self.skipped.append(f"{key}: a link to nothing")
        for name in sorted(about.keys() - {path.name for path in entries}):
            self.skipped.append(f"{prefix}{name}: is in {exports.METADATA}, and has no folder")

    def _folder(
        self, path: Path, key: str, about: exports.About | None, depth: int
    ) -> Iterator[Submission]:
        if depth < MAX_DEPTH and _is_export(path):
            yield from self.look(path, f"{key}/", depth + 1)
            return
        about = about or exports.About()
        late = about.late or dates.lateness(about.submitted, self._due)
        yield Submission(key, path, ", ".join(about.names), late, about.submitted)

    def _archive(self, path: Path, key: str, depth: int) -> Iterator[Submission]:
        """A student's zip, or a whole export, which only its content tells."""
        names = [name.split("/") for name in archives.names(path)]
        is_export = any(len(parts) <= 2 and _is_exported(parts[-1]) for parts in names)
        if depth >= MAX_DEPTH or not is_export:
            yield Submission(key, path)
            return
        target = self._new_folder()
        try:
            archives.unpack(path, target, archives.CLASS_FACTOR)
        except archives.ArchiveError as error:
            self.skipped.append(str(error))
            return
        yield from self.look(_the_one_folder(target), f"{key}/", depth + 1)

    def _canvas(self, person: exports.CanvasFiles, prefix: str) -> Iterator[Submission]:
        target = self._new_folder()
        for name, path in person.files.items():
            try:
                archives.copy_file(path, target / name)
            except (archives.ArchiveError, OSError) as error:
                self.skipped.append(f"{path.name}: {error}")
        key = f"{prefix}{person.name}_{person.person}"
        yield Submission(key, target, person.name, person.late)

    def _new_folder(self) -> Path:
        self._unpacked += 1
        folder = self._scratch / f"unpacked-{self._unpacked}"
        folder.mkdir()
        return folder


def find_all(
    source: Path, scratch: Path, due: datetime | None
) -> tuple[list[Submission], list[str]]:
    """All in `source`, by the order of their keys, and what is there and is none. What has to be
    unpacked is unpacked below `scratch`."""
    search = _Search(scratch, due)
    folder = source
    if archives.is_archive(source):
        folder = scratch / "all"
        try:
            archives.unpack(source, folder, archives.CLASS_FACTOR)
        except archives.ArchiveError as error:
            raise NoSubmissionsError(str(error)) from error
        if not (folder / exports.METADATA).exists():
            folder = _the_one_folder(folder)
    elif not source.is_dir():
        raise NoSubmissionsError(f"{source} is neither a folder nor a zip")
    found: dict[str, Submission] = {}
    for submission in search.look(folder, "", 0):
        key, number = submission.key, 2
        while key in found:
            key, number = f"{submission.key} ({number})", number + 1
        found[key] = submission._replace(key=key)
    if not found:
        there = "; ".join(search.skipped[:5]) or "it is empty"
        raise NoSubmissionsError(f"no submissions in {source}: {there}")
    return [found[key] for key in sorted(found)], search.skipped


def _is_export(folder: Path) -> bool:
    """Whether it holds submissions rather than being one."""
    return any(_is_exported(path.name) for path in folder.iterdir() if path.is_file())


def _is_exported(name: str) -> bool:
    return name == exports.METADATA or exports.is_canvas(name)


def _the_one_folder(folder: Path) -> Path:
    """What is in it, where a zip has everything in one folder."""
    entries = [path for path in folder.iterdir() if not _is_noise(path)]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _is_noise(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"
