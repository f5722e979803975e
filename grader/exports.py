"""What Gradescope and Canvas export, as far as it matters here.

Gradescope: a folder for each submission, and submission_metadata.yml, which tells whose it is and
when it came. It is YAML, and Python reads none: of its regular layout, the few fields that are
needed are taken, and everything else is passed over. JSON, which is YAML too, is read as such.

Canvas: files in one folder, each named `<name>[_LATE]_<person>_<file number>_<as it was called>`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

METADATA = "submission_metadata.yml"

MAX_METADATA_BYTES = 64 * 1024 * 1024

_CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<person>\d+)_\d+_(?P<file>.+)")
_VERSION = re.compile(r"(?P<stem>.+?)-(?P<number>\d{1,3})(?P<suffix>\.[A-Za-z]+)")
_TOP = re.compile(r"(['\"]?)(?P<key>[^\s:#'\"][^:]*)\1:\s*")
_FIELD = re.compile(r"(?P<indent> *)(?P<dash>- )?:?(?P<key>[a-z_]+):(?: +(?P<value>.*))?")


class About(NamedTuple):
    """Of one submission. `names`: of its submitters. `late`: as the export has it."""

    names: tuple[str, ...] = ()
    submitted: str = ""
    late: str = ""


class CanvasFiles(NamedTuple):
    """The files of one person, under the names that they had on that person's machine."""

    name: str
    person: str
    late: str
    files: dict[str, Path]


def read_metadata(path: Path) -> dict[str, About]:
    """By folder. Empty if the file cannot be read."""
    try:
        if path.stat().st_size > MAX_METADATA_BYTES:
            return {}
        return parse_metadata(path.read_text("utf-8", "replace"))
    except OSError:
        return {}


def parse_metadata(text: str) -> dict[str, About]:
    """The same for its text. Nothing is raised, whatever it is."""
    if text.lstrip().startswith("{"):
        return _from_json(text)
    found: dict[str, About] = {}
    for key, lines in _sections(text.splitlines()):
        found[key] = _about(lines)
    return found


def canvas_files(paths: Iterable[Path]) -> list[CanvasFiles]:
    """Those of `paths` that Canvas has named, by person. Of several versions of a file, `x.py`,
    `x-1.py`, `x-2.py`, the last counts."""
    people: dict[tuple[str, str], CanvasFiles] = {}
    versions: dict[tuple[str, str, str], int] = {}
    for path in sorted(paths):
        found = _CANVAS.fullmatch(path.name)
        if not found:
            continue
        key = (found["name"], found["person"])
        person = people.setdefault(key, CanvasFiles(*key, "", {}))
        if found["late"]:
            person = people[key] = person._replace(late="late")
        version = _VERSION.fullmatch(found["file"])
        name = version["stem"] + version["suffix"] if version else found["file"]
        number = int(version["number"]) if version else 0
        if number >= versions.get((*key, name), 0):
            versions[(*key, name)] = number
            person.files[name] = path
    return list(people.values())


def is_canvas(name: str) -> bool:
    return _CANVAS.fullmatch(name) is not None


def _sections(lines: list[str]) -> Iterable[tuple[str, list[str]]]:
    """The keys of the first column, with the lines below each."""
    key, own = "", list[str]()
    for line in lines:
        found = _TOP.fullmatch(line)
        if found:
            if key:
                yield key, own
            key, own = found["key"], []
        elif key:
            own.append(line)
    if key:
        yield key, own


def _about(lines: list[str]) -> About:
    """Fields of the submission itself stand two blanks in; of its submitters there is a list."""
    fields: dict[str, str] = {}
    names: list[str] = []
    parent = ""
    for line in lines:
        found = _FIELD.fullmatch(line)
        if not found:
            continue
        key, value = found["key"], _scalar(found["value"] or "")
        if len(found["indent"]) == 2 and not found["dash"]:
            parent = key
            fields.setdefault(key, value)
        elif parent == "submitters" and key == "name":
            names.append(value)
    return _make(names, fields)


def _from_json(text: str) -> dict[str, About]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    found = {}
    for key, value in data.items():
        if isinstance(value, dict):
            fields = {name.lstrip(":"): item for name, item in value.items()}
            people = fields.get("submitters")
            names = [
                str(person.get(":name", person.get("name", "")))
                for person in (people if isinstance(people, list) else ())
                if isinstance(person, dict)
            ]
            found[key] = _make(names, fields)
    return found


def _make(names: list[str], fields: dict[str, Any]) -> About:
    late = str(fields.get("lateness") or fields.get("late") or "")
    if late.lower() in ("false", "no", "null", "~", "0", "00:00:00"):
        late = ""
    if late.lower() in ("true", "yes"):
        late = "late"
    names = [name for name in names if name]
    return About(tuple(names), str(fields.get("created_at") or ""), late)


def _scalar(text: str) -> str:
    """What a value says: quotes are taken off, in either of YAML's manners."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return text.partition(" #")[0]
