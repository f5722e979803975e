"""An Appender loses no line without a word, and no disk makes the loop wait."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactor import appender, drain
from reactor.appender import RETRY_SECONDS, STILL_SECONDS, Appender
from tests.reactor.conftest import Loop, nothing
from tests.support.faults import fault


class Desk:
    """An Appender, and what it told."""

    def __init__(self, loop: Loop, directory: Path) -> None:
        self.loop = loop
        self.path = directory / "file"
        self.errors: list[int | None] = []
        self.appender = Appender(loop.reactor, 0o640, self._note, self._note_dropped)

    def writes(self, *lines: bytes, name: str = "file") -> None:
        for line in lines:
            self.appender.write(str(self.path.with_name(name)), line)
        self.loop.turn()

    def settles(self) -> None:
        """Until the thread has done what it was given."""
        self.loop.turn_until(lambda: not self.appender.owed_bytes or self.appender.is_failing)

    def _note(self, error: OSError) -> None:
        self.errors.append(error.errno)

    def _note_dropped(self, lines: int) -> None:
        self.writes(b"%d missing\n" % lines)


@pytest.fixture
def desk(loop: Loop, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(loop, tmp_path)
    yield desk
    desk.appender.close()


def test_lines_go_to_their_files_in_order(desk: Desk) -> None:
    desk.writes(b"1\n", b"2\n")
    desk.writes(b"3\n", name="next")
    desk.writes(b"4\n")
    desk.settles()
    assert desk.path.read_bytes() == b"1\n2\n4\n"
    assert desk.path.with_name("next").read_bytes() == b"3\n"
    assert desk.path.stat().st_mode & 0o777 == 0o640 & ~_umask()
    assert desk.loop.is_idle()


@fault(86)
def test_file_that_was_moved_or_removed_is_made_anew(desk: Desk) -> None:
    desk.writes(b"1\n")
    desk.settles()
    desk.path.rename(desk.path.with_name("rotated"))
    desk.writes(b"2\n")
    desk.settles()
    desk.path.unlink()
    desk.writes(b"3\n")
    desk.settles()
    assert desk.path.with_name("rotated").read_bytes() == b"1\n"
    assert desk.path.read_bytes() == b"3\n"


@fault(86)
def test_directory_that_is_gone_is_told_once_and_tried_again(desk: Desk) -> None:
    desk.path = desk.path.with_name("gone") / "file"
    desk.writes(b"1\n")
    desk.settles()
    desk.writes(b"2\n")
    desk.loop.pass_seconds(3 * RETRY_SECONDS)
    assert desk.errors == [errno.ENOENT]
    desk.path.parent.mkdir()
    desk.loop.pass_seconds(RETRY_SECONDS)
    desk.settles()
    assert desk.path.read_bytes() == b"1\n2\n"
    assert desk.loop.is_idle()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_what_another_user_may_have_put_there_is_refused(desk: Desk, make: object) -> None:
    assert callable(make)
    make(desk.path)
    desk.writes(b"1\n")
    desk.settles()
    assert desk.errors[0] in (errno.ENXIO, errno.ELOOP)
    assert desk.appender.unwritten_lines == 1


@fault(86)
def test_disk_that_stands_still_is_told_and_stalls_no_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that is full stands for it: a write that waits."""
    monkeypatch.setattr(appender, "KEPT_BYTES", 24)
    monkeypatch.setattr("reactor.file_writer.PROMPT_SECONDS", 0)
    read_end, write_end = os.pipe()
    os.write(write_end, bytes(1 << 16))
    writer = desk.appender._writer
    monkeypatch.setattr(writer, "_prepare", lambda: None)
    monkeypatch.setattr(writer, "_descriptor", write_end)
    desk.writes(b"1\n", b"2\n", b"3\n", b"a line that is too long\n", b"4\n")
    assert desk.appender.owed_bytes == len(b"1\n2\n3\n2 missing\n")
    assert desk.errors == []
    desk.loop.pass_seconds(STILL_SECONDS)
    assert desk.errors == [errno.ETIMEDOUT]
    drain(desk.loop.reactor, [desk.appender], desk.loop.reactor.now + 60)  # in vain
    assert desk.appender.unwritten_lines == 4
    os.read(read_end, 1 << 16)
    desk.settles()
    desk.loop.turn_until(lambda: not desk.appender.unwritten_lines)
    assert os.read(read_end, 99) == b"1\n2\n3\n2 missing\n"
    monkeypatch.undo()
    os.close(read_end)


def test_bug_costs_the_file_alone(desk: Desk) -> None:
    desk.appender.handle_error()
    desk.writes(b"1\n")
    desk.appender.flush()
    assert desk.appender.is_broken
    assert desk.appender.unwritten_lines == 1


def test_appender_without_a_thread_says_so(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", start)
    with pytest.raises(RuntimeError):
        Appender(loop.reactor, 0o640, nothing, nothing)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
