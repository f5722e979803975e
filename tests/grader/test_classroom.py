"""A class: what is found in exports, folders and zips, and the book that is kept of it."""

from __future__ import annotations

import csv
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import archives, dates, exports, solution, submissions
from tests.grader.grading import CLIENT, ROOT, SERVER, SOLUTIONS, run_grader, write_solution

METADATA = """---
submission_1:
  :submitters:
  - :name: 'Ada O''Neil'
    :sid: '901'
  - :name: "Grace \\u00c9"
  :created_at: 2025-09-25 05:30:00.123456000 Z
  :history:
  - :created_at: 2025-09-01 00:00:00 Z
    :name: nobody
submission_2:
  :submitters:
  - :name: Lost
"""


def write_zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries:
            archive.writestr(name, text)
    return path


def test_submissions_of_all_kinds_are_found_and_what_is_none_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "class"
    write_solution(folder, SERVER, CLIENT)
    write_solution(folder / "plain", SERVER, CLIENT)
    export = folder / "export"
    write_solution(export, "", "")
    write_solution(export / "submission_1", SERVER, CLIENT)
    (export / "submission_metadata.yml").write_text(METADATA)
    for name in ("roe_LATE_7_1_server-1.py", "roe_LATE_7_2_server-2.py", "roe_LATE_7_3_client.py"):
        (folder / name).write_text(name)
    write_zip(folder / "zipped.zip", ("pa1/server.py", SERVER), ("pa1/client.py", CLIENT))
    write_zip(folder / "other.zip", ("x/submission_metadata.yml", ""), ("x/s_3/server.py", ""))
    due = dates.parse("2025-09-24 23:59 -0400")
    found, skipped = submissions.find_all(folder, tmp_path, due)
    ada = "Ada O'Neil, Grace \u00c9"
    assert [(one.key, one.name, one.late) for one in found] == [
        ("export/submission_1", ada, "1 h 31 min"),
        ("other/s_3", "", ""),
        ("plain", "", ""),
        ("roe_7", "roe", "late"),
        ("zipped", "", ""),
    ]
    assert (found[3].path / "server.py").read_text() == "roe_LATE_7_2_server-2.py"
    named = {line.partition(":")[0] for line in skipped}
    assert named == {
        *("server.py", "client.py", "export/server.py", "export/client.py"),
        "export/submission_2",
    }


@given(st.text() | st.text("submission_1:\n -name'\"{}[]", min_size=30))
def test_metadata_may_be_anything(text: str) -> None:
    for text_or_part in (text, METADATA[: len(text)] + text, "{" + text):
        exports.parse_metadata(text_or_part)


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("../out.py", "leads out"),
        ("/out.py", "leads out"),
        ("a\\..\\..\\out.py", "leads out"),
        (link("client.py"), "a link"),
    ],
)
def test_zip_that_leads_out_is_not_unpacked(
    name: str | zipfile.ZipInfo, complaint: str, tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "a.zip", (name, "x"))
    with pytest.raises(archives.ArchiveError, match=complaint):
        archives.unpack(path, tmp_path / "in" / "target")
    assert not list(tmp_path.rglob("out.py"))


def test_zip_is_unpacked_within_bounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", ("a", "x" * 60), ("b", "x" * 60))
    monkeypatch.setattr(archives, "MAX_BYTES", 100)
    with pytest.raises(archives.ArchiveError, match="more than it may: b"):
        archives.unpack(path, tmp_path / "target")
    monkeypatch.setattr(archives, "MAX_ENTRIES", 1)
    with pytest.raises(archives.ArchiveError, match="2 entries"):
        archives.unpack(path, tmp_path / "target")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ("server.py client.py old/server.py old/client.py", "server.py client.py"),
        ("Server.py Client.py", "Server.py Client.py"),
        ("a/b/server.py a/b/client.py a/notes.txt", "server.py client.py"),
        ("server/server.py client/client.py", "server/server.py client/client.py"),
        ("pa1_server.py pa1-client.py observer.py", "pa1_server.py pa1-client.py"),
        ("a/server.py a/client.py b/server.py b/client.py", "more than one"),
        ("server.py main.py", "client.py missing in x: found main.py, server.py"),
        (".git/server.py", "server.py and client.py missing in x: there is no file at all"),
    ],
)
def test_two_files_are_found_where_there_is_one_reading(
    files: str, found: str, tmp_path: Path
) -> None:
    for name in files.split():
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).touch()
    try:
        taken = solution.find(tmp_path / "x", tmp_path, "x")
        told = f"{taken.server} {taken.client}"
    except solution.UnusableError as error:
        told = str(error)
    assert told.startswith(found)


def test_class_that_was_stopped_goes_on_and_one_student_is_graded_anew(tmp_path: Path) -> None:
    folder, book = tmp_path / "class", tmp_path / "marks"
    folder.mkdir()
    (folder / "a <b>").symlink_to(SOLUTIONS / "echo")
    waits = f"open({str(tmp_path / 'started')!r}, 'w').close()\nimport time\ntime.sleep(1000)\n"
    last = write_solution(folder / "z", waits, CLIENT)
    flags = ["--all", str(folder), "--report", str(book), "--only", "start,not-to-sender"]
    with subprocess.Popen([sys.executable, "-m", "grader", *flags], cwd=ROOT) as grader:
        while not (tmp_path / "started").exists() or not list(book.glob("a*.html")):
            assert grader.poll() is None
        grader.send_signal(signal.SIGINT)
        assert grader.wait(30) == 128 + signal.SIGINT
    assert [row["solution"] for row in read_rows(book)] == ["a <b>"]
    refused = run_grader(*flags)
    assert (refused.returncode, "results of 1" in refused.stderr) == (2, True)
    write_solution(last, SERVER, CLIENT)
    resumed = run_grader(*flags, "--resume")
    assert "1 of 2 were graded before" in resumed.stdout
    assert [row["total"] for row in read_rows(book)] == ["0", "4"]
    write_solution(last, "raise SystemExit\n", CLIENT)
    run_grader(*flags, "--only-student", "Z")
    rows = read_rows(book)
    assert [row["broadcast/not-to-sender"] for row in rows] == ["0", "0"]
    assert rows[1]["remark"].endswith("printed nothing: is main() ever called?")
    index = (book / "index.html").read_text()
    assert "a &lt;b&gt;" in index
    assert "a <b>" not in index


def read_rows(book: Path) -> list[dict[str, str]]:
    with (book / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))
