"""Zips from strangers, unpacked within bounds. Raises ArchiveError, whose text is one line.

Nothing is written outside the target: absolute names, `..` and links are refused, and so is a zip
that holds more than it may. What macOS and editors add is left out.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

MAX_ENTRIES = 2000
MAX_BYTES = 50 * 1024 * 1024
"""Unpacked, of one submission: a larger one holds something else."""

CLASS_FACTOR = 20
"""So much more of both for a class's export."""

_CHUNK_BYTES = 64 * 1024
_ENCRYPTED = 0x1
_LEFT_OUT = ("__MACOSX", "__pycache__", ".git", ".DS_Store")


class ArchiveError(Exception):
    """A zip that is not unpacked."""


def is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def names(path: Path) -> list[str]:
    """What a zip says is in it, up to what a class's export may have; nothing if it cannot be
    read."""
    try:
        with zipfile.ZipFile(path) as opened:
            return opened.namelist()[: MAX_ENTRIES * CLASS_FACTOR]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def unpack(archive: Path, target: Path, factor: int = 1) -> None:
    """Write what is in `archive` into `target`, which is made."""
    target.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            if len(entries) > MAX_ENTRIES * factor:
                raise ArchiveError(
                    f"{archive.name} has {len(entries):,} entries, which is too many"
                )
            room = MAX_BYTES * factor
            for entry in entries:
                room = _unpack_entry(opened, entry, target, room)
                if room < 0:
                    raise ArchiveError(
                        f"{archive.name} unpacks to more than it may: {entry.filename}"
                    )
    except ArchiveError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{archive.name} cannot be unpacked: {error}") from error
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{archive.name} cannot be unpacked: {error}") from error


def _unpack_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, room: int) -> int:
    """How many bytes there is room for after it."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if any(part in _LEFT_OUT for part in name.parts) or entry.is_dir():
        return room
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or not name.parts:
        raise ArchiveError(f"a name in the zip leads out of it: {entry.filename}")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise ArchiveError(f"there is a link in the zip: {entry.filename}")
    if entry.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"the zip is encrypted: {entry.filename}")
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # What the entry says of its size may be a lie: what comes out is counted.
    with opened.open(entry) as source, path.open("wb") as file:
        while room >= 0 and (data := source.read(_CHUNK_BYTES)):
            room -= len(data)
            if room >= 0:
                file.write(data)
    return room


def copy_file(source: Path, target: Path) -> None:
    """Its bytes alone, never what a link leads to."""
    if source.is_symlink():
        raise ArchiveError(f"{source.name} is a link")
    shutil.copyfile(source, target)
