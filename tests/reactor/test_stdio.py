"""A Source reads, and a Sink writes, whatever a standard stream may be, and neither ever stalls."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import resource
import selectors
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactor import READ, WRITE, Sink, Source, drain, is_null_device
from reactor.stdio import READ_BYTES
from tests.reactor.conftest import Loop
from tests.support.faults import fault

TEXT = b"".join(b"%06d\n" % number for number in range(50_000))
"""Numbered lines, more than any pipe or terminal holds: 350,000 bytes."""

DEV_FULL = Path("/dev/full")
"""A disk without any room, where there is such a device."""


class Descriptors:
    """Opens descriptors for a test, and closes those that it did not close itself."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def pipe(self) -> tuple[int, int]:
        """Where to read, without blocking, and where to write."""
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        self._open |= {read_end, write_end}
        return read_end, write_end

    def terminal(self) -> tuple[int, int]:
        """The master, which does not block, and the terminal itself, which changes no byte."""
        master, terminal = os.openpty()
        os.set_blocking(master, False)
        tty.setraw(terminal)
        self._open |= {master, terminal}
        return master, terminal

    def open(self, path: Path | str, flags: int) -> int:
        descriptor = os.open(path, flags, 0o600)
        self._open.add(descriptor)
        return descriptor

    def close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            self._open.remove(descriptor)
            os.close(descriptor)

    def close_all(self) -> None:
        self.close(*self._open)


@pytest.fixture
def descriptors() -> Iterator[Descriptors]:
    opened = Descriptors()
    yield opened
    opened.close_all()


def is_blocking(descriptor: int) -> bool:
    return not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK


def nothing(*_: object) -> None:
    """Takes no notice."""


def fail(*_: object) -> None:
    raise ValueError("a bug")


# Source.


class Ear:
    """A Source, and what it has told."""

    def __init__(self, loop: Loop, descriptor: int) -> None:
        self.pieces: list[bytes] = []
        self.ends = 0
        self.source = Source(loop.reactor, descriptor, self.hear, self.end)

    def hear(self, data: bytes) -> None:
        self.pieces.append(data)

    def end(self) -> None:
        self.ends += 1

    @property
    def heard(self) -> bytes:
        return b"".join(self.pieces)


class ShyEar(Ear):
    """Pauses after each piece."""

    def hear(self, data: bytes) -> None:
        super().hear(data)
        self.source.pause()


def pipe_with(descriptors: Descriptors, data: bytes) -> int:
    """The end of a pipe in which `data` waits and then the end."""
    read_end, write_end = descriptors.pipe()
    assert os.write(write_end, data) == len(data)
    descriptors.close(write_end)
    return read_end


def file_with(descriptors: Descriptors, path: Path, data: bytes) -> int:
    path.write_bytes(data)
    return descriptors.open(path, os.O_RDONLY)


def test_a_pipe_is_read_as_it_fills_and_its_end_is_told_once(
    loop: Loop, descriptors: Descriptors
) -> None:
    read_end, write_end = descriptors.pipe()
    ear = Ear(loop, read_end)
    assert loop.is_idle()
    for line in (b"one\n", b"two\n"):
        os.write(write_end, line)
        loop.turn_until(lambda line=line: ear.heard.endswith(line))  # type: ignore[misc]
    assert (ear.heard, ear.ends) == (b"one\ntwo\n", 0)
    descriptors.close(write_end)
    loop.turn_until(lambda: ear.ends)
    loop.turn(3)
    assert (ear.heard, ear.ends) == (b"one\ntwo\n", 1)
    assert loop.is_idle()


def test_a_file_is_read_to_its_end_a_piece_a_turn(
    loop: Loop, descriptors: Descriptors, tmp_path: Path
) -> None:
    ear = Ear(loop, file_with(descriptors, tmp_path / "typed", TEXT))
    for turns in range(1, 4):
        loop.turn()
        assert len(ear.heard) <= turns * READ_BYTES
    loop.turn_until(lambda: ear.ends)
    assert ear.heard == TEXT
    assert max(map(len, ear.pieces)) <= READ_BYTES
    assert loop.is_idle()
    assert ear.ends == 1


def test_the_null_device_ends_at_once(loop: Loop, descriptors: Descriptors) -> None:
    ear = Ear(loop, descriptors.open(os.devnull, os.O_RDONLY))
    loop.turn_until(lambda: ear.ends)
    assert (ear.heard, ear.ends) == (b"", 1)
    assert loop.is_idle()


def test_a_line_typed_at_a_terminal_is_read(loop: Loop, descriptors: Descriptors) -> None:
    master, terminal = descriptors.terminal()
    ear = Ear(loop, terminal)
    assert loop.is_idle()
    os.write(master, b"hello\n")
    loop.turn_until(lambda: ear.heard.endswith(b"\n"))
    assert ear.heard == b"hello\n"
    assert loop.is_idle()


def test_control_d_at_a_terminal_is_the_end(loop: Loop, descriptors: Descriptors) -> None:
    master, terminal = os.openpty()
    descriptors._open |= {master, terminal}
    ear = Ear(loop, terminal)
    os.write(master, b"bye\n\x04")
    loop.turn_until(lambda: ear.ends)
    assert (ear.heard, ear.ends) == (b"bye\n", 1)
    assert loop.is_idle()


def test_a_terminal_that_is_gone_is_the_end(loop: Loop, descriptors: Descriptors) -> None:
    master, terminal = descriptors.terminal()
    ear = Ear(loop, terminal)
    descriptors.close(master)
    loop.turn_until(lambda: ear.ends)
    loop.turn(2)
    assert ear.ends == 1
    assert loop.is_idle()


def test_a_read_that_fails_is_the_end(loop: Loop, descriptors: Descriptors, tmp_path: Path) -> None:
    ears = [Ear(loop, descriptors.open(tmp_path, os.O_RDONLY))]  # EISDIR
    master, terminal = descriptors.terminal()
    descriptors.close(terminal)
    ears.append(Ear(loop, master))  # EIO, on Linux
    loop.turn_until(lambda: all(ear.ends for ear in ears))
    loop.turn(2)
    assert [(ear.heard, ear.ends) for ear in ears] == [(b"", 1)] * 2
    assert loop.is_idle()


def test_readiness_with_nothing_to_read_is_no_end(loop: Loop, descriptors: Descriptors) -> None:
    read_end, _ = descriptors.pipe()
    ear = Ear(loop, read_end)
    ear.source.handle_events(READ)
    assert (ear.heard, ear.ends) == (b"", 0)


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_while_it_is_paused_nothing_is_read_and_nothing_spins(
    loop: Loop, descriptors: Descriptors, tmp_path: Path, kind: str
) -> None:
    if kind == "pipe":
        descriptor = pipe_with(descriptors, TEXT[:60_000])
    else:
        descriptor = file_with(descriptors, tmp_path / "typed", TEXT[:60_000])
    ear = Ear(loop, descriptor)
    ear.source.pause()
    ear.source.pause()
    loop.turn(2)
    assert loop.is_idle()
    assert ear.pieces == []
    ear.source.resume()
    loop.turn_until(lambda: ear.ends)
    assert ear.heard == TEXT[:60_000]
    assert ear.ends == 1


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_it_may_be_paused_by_what_it_tells(
    loop: Loop, descriptors: Descriptors, tmp_path: Path, kind: str
) -> None:
    if kind == "pipe":
        read_end, write_end = descriptors.pipe()
        os.write(write_end, TEXT[:READ_BYTES])
        ear = ShyEar(loop, read_end)
    else:
        ear = ShyEar(loop, file_with(descriptors, tmp_path / "typed", TEXT))
    loop.turn_until(lambda: ear.pieces)
    if kind == "pipe":
        os.write(write_end, TEXT[READ_BYTES : READ_BYTES + 10])
    loop.turn_until(loop.is_idle)
    assert ear.heard == TEXT[:READ_BYTES]
    ear.source.resume()
    loop.turn_until(lambda: len(ear.pieces) == 2)
    assert TEXT.startswith(ear.heard)
    assert loop.is_idle()


def test_to_pause_and_resume_many_times_does_not_read_more_than_once_a_turn(
    loop: Loop, descriptors: Descriptors, tmp_path: Path
) -> None:
    ear = Ear(loop, file_with(descriptors, tmp_path / "typed", TEXT))
    for turns in range(4):
        assert len(ear.pieces) <= turns
        ear.source.pause()
        ear.source.resume()
        ear.source.resume()
        loop.turn()
    loop.turn_until(lambda: ear.ends)
    assert ear.heard == TEXT


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_after_its_end_nothing_makes_it_end_again(
    loop: Loop, descriptors: Descriptors, tmp_path: Path, kind: str
) -> None:
    if kind == "pipe":
        ear = Ear(loop, pipe_with(descriptors, b"all\n"))
    else:
        ear = Ear(loop, file_with(descriptors, tmp_path / "typed", b"all\n"))
    loop.turn_until(lambda: ear.ends)
    ear.source.pause()
    ear.source.resume()
    loop.turn(3)
    assert (ear.heard, ear.ends) == (b"all\n", 1)
    assert loop.is_idle()


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_a_bug_in_whoever_listens_ends_it_and_nothing_else(
    loop: Loop, descriptors: Descriptors, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ear, "hear", fail)
    if kind == "pipe":
        ear = Ear(loop, pipe_with(descriptors, b"all\n"))
    else:
        ear = Ear(loop, file_with(descriptors, tmp_path / "typed", b"all\n"))
    loop.turn_until(lambda: len(loop.selector.waits) > 5)
    assert [repr(error) for error in loop.take_errors()] == ["ValueError('a bug')"]
    assert ear.ends == 1
    assert loop.is_idle()


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_a_bug_in_whoever_is_told_of_the_end_is_reported_once_and_the_loop_goes_on(
    loop: Loop, descriptors: Descriptors, tmp_path: Path, kind: str
) -> None:
    ends: list[str] = []

    def end() -> None:
        ends.append("end")
        raise ValueError("a bug")

    if kind == "pipe":
        descriptor = pipe_with(descriptors, b"")
    else:
        descriptor = file_with(descriptors, tmp_path / "typed", b"")
    Source(loop.reactor, descriptor, nothing, end)
    loop.turn_until(lambda: ends)
    loop.turn(3)
    assert ends == ["end"]
    assert [repr(error) for error in loop.take_errors()] == ["ValueError('a bug')"]
    assert loop.is_idle()


# Sink.


class Screen:
    """A Sink, and what it has told."""

    def __init__(self, loop: Loop, descriptor: int, max_bytes: float | None = None) -> None:
        self.loop = loop
        self.flushes = 0
        self.dropped: list[int] = []
        self.owed_when_dropped: list[int] = []
        self.errors: list[OSError] = []
        self.sink = Sink(
            loop.reactor,
            descriptor,
            max_bytes=max_bytes,
            on_dropped=self.note_dropped,
            on_flushed=self.note_flushed,
            on_error=self.errors.append,
        )

    def note_dropped(self, lines: int) -> None:
        self.dropped.append(lines)
        self.owed_when_dropped.append(self.sink.owed_bytes)

    def note_flushed(self) -> None:
        self.flushes += 1

    def shown_on(self, descriptor: int, count: int) -> bytes:
        """Turn until `count` bytes have been read from `descriptor`."""
        shown = bytearray()

        def is_shown() -> bool:
            shown.extend(read_now(descriptor, count - len(shown)))
            return len(shown) == count

        self.loop.turn_until(is_shown)
        return bytes(shown)


def read_now(descriptor: int, most: int = 1 << 20) -> bytes:
    """What can be read without waiting."""
    data = bytearray()
    with contextlib.suppress(BlockingIOError):
        while len(data) < most and (piece := os.read(descriptor, most - len(data))):
            data += piece
    return bytes(data)


def fill(descriptor: int) -> int:
    """Write until there is no room for one byte more; how many bytes there was room for."""
    written = 0
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            written += os.write(descriptor, bytes(1 << 16))
    os.set_blocking(descriptor, True)
    return written


def test_lines_are_written_in_order_when_the_turn_ends(
    loop: Loop, descriptors: Descriptors
) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    screen.sink.write(b"one\n")
    screen.sink.write(b"two\nthree\n")
    assert screen.sink.owed_bytes == 14
    assert screen.sink.unwritten_lines == 3
    assert read_now(read_end) == b""
    loop.turn()
    assert read_now(read_end) == b"one\ntwo\nthree\n"
    assert screen.flushes == 1
    assert screen.sink.owed_bytes == screen.sink.unwritten_lines == 0
    assert loop.is_idle()


def test_a_file_takes_everything_in_one_turn(
    loop: Loop, descriptors: Descriptors, tmp_path: Path
) -> None:
    path = tmp_path / "shown"
    screen = Screen(loop, descriptors.open(path, os.O_WRONLY | os.O_CREAT))
    screen.sink.write(TEXT)
    loop.turn()
    assert path.read_bytes() == TEXT
    assert screen.flushes == 1
    assert loop.is_idle()


@pytest.mark.parametrize("device", [os.devnull, "/dev/zero"])
def test_a_device_that_takes_everything_gets_it_in_one_turn(
    loop: Loop, descriptors: Descriptors, device: str
) -> None:
    screen = Screen(loop, descriptors.open(device, os.O_WRONLY))
    screen.sink.write(TEXT)
    loop.turn()
    assert screen.flushes == 1
    assert loop.is_idle()


def test_a_full_pipe_that_is_read_later_loses_nothing_and_never_blocks(
    loop: Loop, descriptors: Descriptors
) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end, max_bytes=math.inf)
    for start in range(0, len(TEXT), 70_000):
        screen.sink.write(TEXT[start : start + 70_000])
        loop.turn()
    loop.turn_until(loop.is_idle)
    assert screen.sink.owed_bytes > 0
    assert loop.interest_in(write_end) == WRITE
    assert is_blocking(write_end)
    assert screen.shown_on(read_end, len(TEXT)) == TEXT
    loop.turn_until(loop.is_idle)
    assert loop.interest_in(write_end) == 0
    assert screen.flushes == 1
    assert (screen.dropped, screen.errors) == ([], [])


def test_a_descriptor_that_turns_out_to_be_full_after_all_is_waited_for(
    loop: Loop, descriptors: Descriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has made it non-blocking, and writes to it between our look and our write."""
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    os.set_blocking(write_end, False)

    def look_and_let_another_write() -> bool:
        fill(write_end)
        os.set_blocking(write_end, False)
        return True

    screen.sink.write(b"patience\n")
    with monkeypatch.context() as patch:
        patch.setattr(screen.sink, "_has_room", look_and_let_another_write)
        loop.turn()
    assert screen.errors == []
    assert loop.is_idle()
    read_now(read_end)
    assert screen.shown_on(read_end, 9) == b"patience\n"


# Sink: its bound.


@fault(51)
def test_beyond_its_bound_whole_lines_are_dropped_and_told_once_when_it_flows_again(
    loop: Loop, descriptors: Descriptors
) -> None:
    read_end, write_end = descriptors.pipe()
    filler = fill(write_end)
    screen = Screen(loop, write_end, max_bytes=20)
    screen.sink.write(b"kept one\n")
    screen.sink.write(b"kept two\n")
    screen.sink.write(b"too long\n")
    screen.sink.write(b"a\n")  # would fit, but then it would come before its elder
    loop.turn()
    screen.sink.write(b"b\nc\n")
    loop.turn_until(loop.is_idle)
    assert screen.dropped == []
    assert screen.sink.unwritten_lines == 2 + 4
    assert screen.shown_on(read_end, filler + 18)[filler:] == b"kept one\nkept two\n"
    loop.turn(2)
    assert screen.dropped == [4]
    assert screen.sink.unwritten_lines == 0
    screen.sink.write(b"d\n")
    loop.turn(2)
    assert read_now(read_end) == b"d\n"
    assert screen.dropped == [4]


def test_what_fits_exactly_is_kept(loop: Loop, descriptors: Descriptors) -> None:
    _, write_end = descriptors.pipe()
    fill(write_end)
    screen = Screen(loop, write_end, max_bytes=10)
    screen.sink.write(b"12345\n")
    screen.sink.write(b"789\n")
    assert screen.sink.owed_bytes == 10
    screen.sink.write(b"\n")
    assert screen.sink.owed_bytes == 10


def test_dropping_goes_on_until_half_of_the_bound_has_been_taken(
    loop: Loop, descriptors: Descriptors
) -> None:
    read_end, write_end = descriptors.pipe()
    fill(write_end)
    screen = Screen(loop, write_end, max_bytes=100_000)
    screen.sink.write(TEXT[:98_000])
    screen.sink.write(TEXT[98_000:105_000])
    dropped_lines = 1_000
    while screen.sink.owed_bytes > 60_000:
        read_now(read_end, 4096)
        loop.turn()
        screen.sink.write(b"dropped\n")
        dropped_lines += 1
    assert screen.dropped == []
    loop.turn_until(lambda: screen.dropped or not read_now(read_end, 4096))
    assert screen.dropped == [dropped_lines]
    [owed_bytes] = screen.owed_when_dropped
    assert 40_000 < owed_bytes <= 50_000


def test_lines_that_could_never_fit_are_dropped_and_told_at_once(
    loop: Loop, descriptors: Descriptors
) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end, max_bytes=10)
    screen.sink.write(b"far too long\nand more\n")
    loop.turn()
    assert screen.dropped == [2]
    assert read_now(read_end) == b""
    assert loop.is_idle()


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(1, 4)),
            st.tuples(st.just("read"), st.integers(1, 40_000)),
            st.tuples(st.just("turn"), st.just(0)),
        ),
        max_size=60,
    ),
    st.integers(1, 40_000),
)
def test_every_line_is_shown_in_order_or_counted_as_dropped(
    steps: list[tuple[str, int]], max_bytes: int
) -> None:
    loop = Loop(selectors.DefaultSelector())
    descriptors = Descriptors()
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end, max_bytes)
    written = 0
    shown = b""
    for step, size in steps:
        if step == "write":
            screen.sink.write(b"".join(b"%04000d\n" % (written + index) for index in range(size)))
            written += size
        elif step == "read":
            shown += read_now(read_end, size)
        else:
            loop.turn()
    for _ in range(2 + len(steps)):
        loop.turn()
        shown += read_now(read_end)
    numbers = [int(line) for line in shown.splitlines()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + sum(screen.dropped) == written
    assert all(owed_bytes * 2 <= max_bytes for owed_bytes in screen.owed_when_dropped)
    assert loop.is_idle()
    loop.reactor.close()
    descriptors.close_all()
    assert loop.take_errors() == []


# Sink: errors.


@pytest.mark.parametrize("is_full", [False, True], ids=["idle", "waiting"])
def test_a_reader_that_died_is_told_of_once_and_nothing_more_is_written(
    loop: Loop, descriptors: Descriptors, is_full: bool
) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    if is_full:
        fill(write_end)
        screen.sink.write(b"waiting\n")
        loop.turn_until(loop.is_idle)
    descriptors.close(read_end)
    screen.sink.write(b"anybody there?\n")
    loop.turn_until(lambda: screen.errors)
    screen.sink.write(b"hello?\n")
    screen.sink.flush()
    loop.turn(2)
    assert [type(error) for error in screen.errors] == [BrokenPipeError]
    assert screen.sink.is_broken
    assert screen.sink.owed_bytes == 0
    assert loop.is_idle()


def test_a_descriptor_that_was_closed_is_an_error_like_any_other(
    loop: Loop, descriptors: Descriptors
) -> None:
    _, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    descriptors.close(write_end)
    screen.sink.write(b"hello\n")
    loop.turn(2)
    assert [error.errno for error in screen.errors] == [errno.EBADF]
    assert screen.sink.is_broken
    assert loop.is_idle()


def test_there_is_no_sink_on_a_closed_descriptor(loop: Loop, descriptors: Descriptors) -> None:
    _, write_end = descriptors.pipe()
    descriptors.close(write_end)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        Sink(loop.reactor, write_end)


@pytest.mark.skipif(not DEV_FULL.exists(), reason="no such device here")
def test_a_full_disk_is_told_of_once_and_what_it_did_not_take_is_kept(
    loop: Loop, descriptors: Descriptors
) -> None:
    screen = Screen(loop, descriptors.open(DEV_FULL, os.O_WRONLY))
    for count in (1, 2, 3):
        screen.sink.write(b"hello\n")
        loop.turn(2)
        assert screen.sink.unwritten_lines == count
        assert loop.is_idle()
    assert [error.errno for error in screen.errors] == [errno.ENOSPC]
    assert not screen.sink.is_broken
    assert screen.flushes == 0


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk with room for so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_has_room_again_gets_all_of_it_in_order_and_may_fail_again(
    loop: Loop, descriptors: Descriptors, tmp_path: Path
) -> None:
    path = tmp_path / "shown"
    screen = Screen(loop, descriptors.open(path, os.O_WRONLY | os.O_CREAT))
    for written, room in ((30_000, 10_007), (60_000, 50_000)):
        with files_no_larger_than(room):
            screen.sink.write(TEXT[written - 30_000 : written])
            loop.turn()
            screen.sink.flush()
        assert path.stat().st_size == room
        assert screen.sink.owed_bytes == written - room
    assert [error.errno for error in screen.errors] == [errno.EFBIG] * 2
    screen.sink.write(TEXT[60_000:70_000])
    loop.turn()
    assert path.read_bytes() == TEXT[:70_000]
    assert screen.flushes == 1
    assert loop.is_idle()


def test_without_anybody_to_tell_it_copes_alone(loop: Loop, descriptors: Descriptors) -> None:
    read_end, write_end = descriptors.pipe()
    sink = Sink(loop.reactor, write_end, max_bytes=10)
    sink.write(b"far too long to be kept\n")
    sink.write(b"x\n")
    loop.turn(2)
    assert sink.unwritten_lines == 0
    descriptors.close(read_end)
    sink.write(b"y\n")
    loop.turn(2)
    assert sink.is_broken
    assert loop.is_idle()


def test_a_bug_in_whoever_is_told_costs_the_sink_and_not_the_loop(
    loop: Loop, descriptors: Descriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Screen, "note_flushed", fail)
    read_end, write_end = descriptors.pipe()
    filler = fill(write_end)
    screen = Screen(loop, write_end)
    screen.sink.write(b"hello\n")
    loop.turn_until(loop.is_idle)
    assert screen.shown_on(read_end, filler + 6)[filler:] == b"hello\n"
    loop.turn_until(lambda: screen.sink.is_broken)
    assert [repr(error) for error in loop.take_errors()] == ["ValueError('a bug')"]
    assert loop.is_idle()


@pytest.mark.parametrize("is_full", [False, True], ids=["idle", "waiting"])
def test_after_close_nothing_is_written_and_the_descriptor_is_left_as_it_was(
    loop: Loop, descriptors: Descriptors, is_full: bool
) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    filler = fill(write_end) if is_full else 0
    screen.sink.write(b"never\n")
    if is_full:
        loop.turn_until(loop.is_idle)
    screen.sink.close()
    screen.sink.close()
    screen.sink.write(b"never\n")
    read_now(read_end, filler)
    loop.turn(2)
    assert read_now(read_end) == b""
    assert loop.interest_in(write_end) == 0
    assert os.write(write_end, b"still open") == 10
    assert screen.errors == []


# Sink: terminals.


def cannot_tell(descriptor: int) -> str:
    raise OSError(errno.ENODEV, "no name for this terminal, as in some containers")


@pytest.fixture(params=["opened anew", "as given"])
def terminal(
    request: pytest.FixtureRequest, descriptors: Descriptors, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int]:
    """A terminal which the Sink can open by its name, and one where it cannot."""
    if request.param == "as given":
        monkeypatch.setattr(os, "ttyname", cannot_tell)
    return descriptors.terminal()


def test_a_terminal_shows_what_is_written(loop: Loop, terminal: tuple[int, int]) -> None:
    master, own = terminal
    screen = Screen(loop, own)
    screen.sink.write(b"hello\n")
    assert screen.shown_on(master, 6) == b"hello\n"
    loop.turn_until(lambda: screen.flushes)
    assert loop.is_idle()
    screen.sink.close()


@fault(52)
def test_a_terminal_paused_with_control_s_never_blocks_and_gets_everything_afterwards(
    loop: Loop, terminal: tuple[int, int]
) -> None:
    master, own = terminal
    screen = Screen(loop, own)
    termios.tcflow(own, termios.TCOOFF)
    screen.sink.write(TEXT[:70_000])
    loop.turn_until(loop.is_idle)
    assert screen.sink.owed_bytes == 70_000
    assert is_blocking(own)
    termios.tcflow(own, termios.TCOON)
    assert screen.shown_on(master, 70_000) == TEXT[:70_000]
    loop.turn_until(lambda: screen.flushes)
    assert is_blocking(own)
    assert loop.is_idle()
    screen.sink.close()


def test_a_terminal_that_nobody_looks_at_never_blocks_and_gets_everything_afterwards(
    loop: Loop, terminal: tuple[int, int]
) -> None:
    master, own = terminal
    screen = Screen(loop, own)
    screen.sink.write(TEXT[:140_000])
    loop.turn_until(loop.is_idle)
    assert 0 < screen.sink.owed_bytes < 140_000
    assert screen.shown_on(master, 140_000) == TEXT[:140_000]
    assert is_blocking(own)
    screen.sink.close()


def test_a_terminal_that_is_gone_is_an_error(
    loop: Loop, terminal: tuple[int, int], descriptors: Descriptors
) -> None:
    master, own = terminal
    screen = Screen(loop, own)
    descriptors.close(master)
    screen.sink.write(b"hello\n")
    loop.turn_until(lambda: screen.errors)
    loop.turn(2)
    assert [error.errno for error in screen.errors] == [errno.EIO]
    assert screen.sink.is_broken
    assert loop.is_idle()


def test_the_terminal_is_closed_by_its_sink_only_where_that_has_opened_it(
    loop: Loop, descriptors: Descriptors
) -> None:
    _, own = descriptors.terminal()
    before = set(os.listdir("/dev/fd"))
    sink = Sink(loop.reactor, own)
    assert len(set(os.listdir("/dev/fd")) - before) == 1
    sink.close()
    sink.close()
    assert set(os.listdir("/dev/fd")) == before
    assert os.isatty(own)


# Draining.


def test_draining_takes_no_time_when_nothing_is_owed(loop: Loop, descriptors: Descriptors) -> None:
    _, write_end = descriptors.pipe()
    drain(loop.reactor, [Screen(loop, write_end).sink], loop.clock.now + 2)
    assert loop.selector.waits == []


def test_draining_goes_on_until_a_slow_reader_has_everything(
    loop: Loop, descriptors: Descriptors
) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    screen.sink.write(TEXT)
    ear = Ear(loop, read_end)
    drain(loop.reactor, [screen.sink], loop.clock.now + 2)
    assert screen.sink.owed_bytes == 0
    assert loop.clock.now == 1000.0
    loop.turn_until(lambda: ear.heard == TEXT)


def test_draining_ends_at_the_deadline(loop: Loop, descriptors: Descriptors) -> None:
    _, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    screen.sink.write(TEXT)
    drain(loop.reactor, [screen.sink], loop.clock.now + 2)
    assert screen.sink.owed_bytes > 0
    assert loop.clock.now == 1002.0


@pytest.mark.parametrize("is_closed", [False, True], ids=["reader died", "closed"])
def test_draining_does_not_wait_for_one_that_is_broken(
    loop: Loop, descriptors: Descriptors, is_closed: bool
) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    screen.sink.write(TEXT)
    if is_closed:
        screen.sink.close()
    else:
        descriptors.close(read_end)
    drain(loop.reactor, [screen.sink], loop.clock.now + 2)
    assert screen.sink.is_broken
    assert loop.clock.now == 1000.0


# The descriptors themselves.


def test_only_the_null_device_is_the_null_device(descriptors: Descriptors, tmp_path: Path) -> None:
    read_end, write_end = descriptors.pipe()
    _, terminal = descriptors.terminal()
    others = [
        read_end,
        write_end,
        terminal,
        descriptors.open("/dev/zero", os.O_RDONLY),
        descriptors.open(tmp_path / "empty", os.O_RDWR | os.O_CREAT),
    ]
    assert is_null_device(descriptors.open(os.devnull, os.O_RDONLY))
    assert is_null_device(descriptors.open(os.devnull, os.O_WRONLY))
    assert not any(map(is_null_device, others))
    descriptors.close(read_end)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        is_null_device(read_end)


RESERVE = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from reactor import is_null_device, reserve_standard_descriptors
closed = reserve_standard_descriptors()
null = list(filter(is_null_device, (0, 1, 2)))
with socket.socket() as sock, open(sys.argv[2], "w") as report:
    print(sorted(closed), null, sock.fileno() > 2, file=report)
"""


@pytest.mark.parametrize(
    "closed", [list(some) for count in range(4) for some in combinations((0, 1, 2), count)], ids=str
)
def test_the_null_device_takes_the_place_of_each_standard_stream_that_is_closed(
    tmp_path: Path, closed: list[int]
) -> None:
    report = tmp_path / "report"
    stream = str(tmp_path / "stream")
    root = str(Path(__file__).parents[2])
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_CLOSE, number)
        if number in closed
        else (os.POSIX_SPAWN_OPEN, number, stream, os.O_RDWR | os.O_CREAT, 0o600)
        for number in (0, 1, 2)
    ]
    command = [sys.executable, "-I", "-c", RESERVE, root, str(report)]
    # A coverage tool would open files of its own before anything of ours runs.
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("COV")}
    pid = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
    assert os.waitpid(pid, 0)[1] == 0
    assert report.read_text() == f"{closed} {closed} True\n"


@fault(52)
@pytest.mark.parametrize("make", [Screen, Ear])
def test_nothing_is_done_to_a_descriptor_that_others_share(
    loop: Loop, descriptors: Descriptors, tmp_path: Path, make: Callable[[Loop, int], Screen | Ear]
) -> None:
    plain = descriptors.open(tmp_path / "plain", os.O_RDWR | os.O_CREAT)
    read_end, write_end = descriptors.pipe()
    os.set_blocking(read_end, True)
    _, terminal = descriptors.terminal()
    shared = [plain, read_end if make is Ear else write_end, terminal]
    made = [make(loop, descriptor) for descriptor in shared]
    loop.turn(2)
    assert all(map(is_blocking, shared))
    for one in made:
        if isinstance(one, Screen):
            one.sink.close()
    assert all(map(is_blocking, shared))
