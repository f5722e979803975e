"""A Source reads, and a Sink writes, whatever a standard stream may be, and neither ever stalls."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import resource
import socket
import stat
import termios
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactor import READ, WRITE, Sink, Source, drain, is_null_device
from reactor.stdio import READ_BYTES
from tests.reactor.conftest import EACH_SELECTOR, Loop, fail, new_loop, nothing
from tests.support.faults import fault
from tests.support.size import examples

TEXT = b"".join(b"%06d\n" % number for number in range(50_000))
"""Numbered lines, more than any pipe or terminal holds: 350,000 bytes."""


class Descriptors:
    """Opens descriptors for a test, and closes those that it did not close itself."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "plain"
        self.opened: set[int] = set()

    def pipe(self) -> tuple[int, int]:
        """Where to read, without blocking, and where to write."""
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        self.opened |= {read_end, write_end}
        return read_end, write_end

    def terminal(self) -> tuple[int, int]:
        """The master, which does not block, and the terminal itself, which changes no byte."""
        master, terminal = os.openpty()
        os.set_blocking(master, False)
        tty.setraw(terminal)
        self.opened |= {master, terminal}
        return master, terminal

    def socket(self) -> tuple[int, int]:
        """Both ends of it; the first does not block."""
        ends = [end.detach() for end in socket.socketpair()]
        os.set_blocking(ends[0], False)
        self.opened.update(ends)
        return ends[0], ends[1]

    def open(self, path: Path | str, flags: int) -> int:
        descriptor = os.open(path, flags, 0o600)
        self.opened.add(descriptor)
        return descriptor

    def new_file(self) -> int:
        return self.open(self.path, os.O_RDWR | os.O_CREAT)

    def holding(self, kind: str, data: bytes) -> int:
        """A FIFO whose writer is gone, or a plain file, in which `data` waits and then the end."""
        if kind == "file":
            self.path.write_bytes(data)
            return self.open(self.path, os.O_RDONLY)
        os.mkfifo(self.path)
        read_end = self.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        write_end = self.open(self.path, os.O_WRONLY)
        assert os.write(write_end, data) == len(data)
        self.close(write_end)
        return read_end

    def close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            self.opened.remove(descriptor)
            os.close(descriptor)


@pytest.fixture
def descriptors(tmp_path: Path) -> Iterator[Descriptors]:
    descriptors = Descriptors(tmp_path)
    yield descriptors
    descriptors.close(*descriptors.opened)


def is_blocking(descriptor: int) -> bool:
    return not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK


class AlwaysReady:
    """What poll(2) comes to where another process is faster than we."""

    def register(self, descriptor: int, events: int) -> None:
        pass

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return [(0, 0)]


def refuse(*_: object) -> int:
    raise PermissionError(errno.EACCES, "the pipe, or terminal, of another user")


def fail_to_start(thread: Thread) -> None:
    raise RuntimeError("can't start new thread")


EACH_OPEN = pytest.mark.parametrize("os_open", [os.open, refuse], ids=["anew", "as given"])
EACH_STREAM = pytest.mark.parametrize("stream", ["pipe", "terminal", "socket"])
EACH_KIND = pytest.mark.parametrize("kind", ["FIFO", "file"])

# Source.


class Ear:
    """A Source, and what it has told; it does `deed` whenever it is told something."""

    def __init__(self, loop: Loop, descriptor: int) -> None:
        self.pieces: list[bytes] = []
        self.ends = 0
        self.deed: Callable[[], None] = nothing
        self.source = Source(loop.reactor, descriptor, self.hear, self.end)

    def hear(self, data: bytes) -> None:
        self.pieces.append(data)
        self.deed()

    def end(self) -> None:
        self.ends += 1
        self.deed()

    @property
    def heard(self) -> bytes:
        return b"".join(self.pieces)

    def has_ended_with(self, loop: Loop, data: bytes) -> bool:
        """Whether just this comes and then the end, once, and the loop sleeps again."""
        loop.turn_until(lambda: self.ends)
        loop.turn(3)
        return (self.heard, self.ends) == (data, 1) and loop.is_idle()


@fault(75)
@EACH_STREAM
def test_stream_is_read_as_it_fills_to_its_end(
    loop: Loop, descriptors: Descriptors, stream: str
) -> None:
    read_end, write_end = getattr(descriptors, stream)()
    if stream == "terminal":
        read_end, write_end = write_end, read_end
    os.set_blocking(read_end, True)
    ear = Ear(loop, read_end)
    with patch("select.poll", AlwaysReady):
        ear.source.handle_events(READ)  # another has read it: that is no end
    assert loop.is_idle()
    for count, line in enumerate((b"one\n", b"two\n"), 1):
        os.write(write_end, line)
        loop.turn_until(lambda count=count: len(ear.pieces) == count)  # type: ignore[misc]
    assert (ear.heard, ear.ends) == (b"one\ntwo\n", 0)
    assert is_blocking(read_end), "it is shared"
    descriptors.close(write_end)
    assert ear.has_ended_with(loop, b"one\ntwo\n")


@EACH_SELECTOR
def test_file_is_read_to_its_end_a_piece_a_turn(loop: Loop, descriptors: Descriptors) -> None:
    ear = Ear(loop, descriptors.holding("file", TEXT))
    for turns in range(5):
        assert len(ear.pieces) <= turns
        ear.source.pause()
        ear.source.resume()
        ear.source.resume()
        loop.turn()
    assert ear.has_ended_with(loop, TEXT)
    assert max(map(len, ear.pieces)) <= READ_BYTES


@EACH_SELECTOR
def test_descriptor_that_gives_nothing_is_at_its_end(loop: Loop, descriptors: Descriptors) -> None:
    gone, terminal = descriptors.terminal()
    master, other = descriptors.terminal()
    null = descriptors.open(os.devnull, os.O_RDONLY)
    directory = descriptors.open(descriptors.path.parent, os.O_RDONLY)  # EISDIR
    ears = [Ear(loop, descriptor) for descriptor in (terminal, null, directory, master)]
    descriptors.close(gone, other)  # EIO for the master, on Linux
    assert all(ear.has_ended_with(loop, b"") for ear in ears)


@EACH_KIND
def test_paused_source_reads_nothing(loop: Loop, descriptors: Descriptors, kind: str) -> None:
    ear = Ear(loop, descriptors.holding(kind, TEXT[:60_000]))
    ear.source.pause()
    ear.source.pause()
    loop.turn(2)
    assert loop.is_idle()
    assert ear.pieces == []
    ear.source.resume()
    assert ear.has_ended_with(loop, TEXT[:60_000])
    ear.source.resume()
    assert ear.has_ended_with(loop, TEXT[:60_000])


@EACH_KIND
def test_bug_in_listener_ends_source(loop: Loop, descriptors: Descriptors, kind: str) -> None:
    ear = Ear(loop, descriptors.holding(kind, b"all\n"))
    ear.deed = fail
    assert ear.has_ended_with(loop, b"all\n")
    assert [type(error) for error in loop.take_errors()] == [ValueError] * 2, "of the end, too"


# Sink.


class Screen:
    """A Sink, and what it has told: of lines dropped with the bytes that were owed then."""

    def __init__(self, loop: Loop, descriptor: int, max_bytes: float | None = None) -> None:
        self.loop = loop
        self.flushes = 0
        self.dropped: list[tuple[int, int]] = []
        self.errors: list[OSError] = []
        self.sink = Sink(
            loop.reactor,
            descriptor,
            max_bytes=max_bytes,
            on_dropped=lambda lines: self.dropped.append((lines, self.sink.owed_bytes)),
            on_flushed=self.note_flushed,
            on_error=self.errors.append,
        )

    def note_flushed(self) -> None:
        self.flushes += 1

    @property
    def told_lines(self) -> int:
        return sum(lines for lines, _ in self.dropped)

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


@pytest.mark.parametrize("start", [Thread.start, fail_to_start], ids=["thread", "none to be had"])
def test_file_or_device_takes_all(
    loop: Loop, descriptors: Descriptors, start: Callable[[Thread], None]
) -> None:
    devices = [descriptors.open(path, os.O_WRONLY) for path in (os.devnull, "/dev/zero")]
    for descriptor in (*devices, descriptors.new_file()):
        with patch("threading.Thread.start", start):
            screen = Screen(loop, descriptor)
        screen.sink.write(TEXT)
        loop.turn_until(lambda screen=screen: screen.flushes)  # type: ignore[misc]
        assert is_blocking(descriptor)
        assert loop.is_idle()
    assert descriptors.path.read_bytes() == TEXT


@fault(75)
@EACH_STREAM
def test_room_that_another_took_is_waited_for(
    loop: Loop, descriptors: Descriptors, stream: str
) -> None:
    far, near = getattr(descriptors, stream)()
    screen = Screen(loop, near)
    filler = fill(near)
    screen.sink.write(b"patience\n")
    with patch("select.poll", AlwaysReady):
        loop.turn()
    # The kernel empties a terminal when it likes: there may have been room at once.
    assert loop.is_idle() or stream == "terminal"
    loop.clock.advance(5)
    assert screen.shown_on(far, filler + 9)[filler:] == b"patience\n"
    assert screen.errors == []
    assert screen.sink.taken_at == 1005 or stream == "terminal"


@fault(76)
def test_disk_that_stands_still_is_waited_for_once(loop: Loop, descriptors: Descriptors) -> None:
    """A pipe that is full stands for it: a write that waits."""
    read_end, write_end = descriptors.pipe()
    with patch("stat.S_ISREG", stat.S_ISFIFO):
        screen = Screen(loop, write_end, 20)
    filler = fill(write_end)
    with patch("reactor.file_writer.PROMPT_SECONDS", 0):
        for line in (b"first\n", b"second\n", b"third\n", b"dropped\n"):
            screen.sink.write(line)
            loop.turn()
            assert loop.is_idle()
        assert loop.interest_in(write_end) == 0, "the thread writes, and not the loop"
        assert screen.shown_on(read_end, filler + 19)[filler:] == b"first\nsecond\nthird\n"
        loop.turn_until(lambda: screen.flushes)
    assert (screen.told_lines, screen.sink.owed_bytes, screen.errors) == (1, 0, [])
    filler = fill(write_end)
    with patch("reactor.file_writer.PROMPT_SECONDS", 3600):
        screen.sink.write(b"later\n")
        loop.turn()
    assert loop.is_idle()
    screen.sink.close()
    assert screen.shown_on(read_end, filler + 6)[filler:] == b"later\n"


# Sink: its bound.


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 4)),
        st.tuples(st.just("read"), st.integers(1, 40_000)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=60,
)


LINE_BYTES = 4001


@fault(51)
@examples(35, 500)
@example([("write", 1)] * 3 + [("turn", 0), ("write", 1)], 2 * LINE_BYTES, refuse)
@given(STEPS, st.integers(1, 40_000) | st.just(math.inf), st.sampled_from([os.open, refuse]))
def test_each_line_is_shown_or_counted(
    steps: list[tuple[str, int]], max_bytes: float, os_open: Callable[..., int]
) -> None:
    with new_loop() as loop:
        descriptors = Descriptors(Path())
        read_end, write_end = descriptors.pipe()
        with patch("os.open", os_open):
            screen = Screen(loop, write_end, max_bytes)
        written = dropped = 0
        shown = b""
        for step, size in steps:
            if step == "write":
                owed_bytes, is_dropping = screen.sink.owed_bytes, dropped > screen.told_lines
                lines = (b"%04000d\n" % (written + index) for index in range(size))
                screen.sink.write(b"".join(lines))
                is_kept = not is_dropping and owed_bytes + size * LINE_BYTES <= max_bytes
                assert screen.sink.owed_bytes == owed_bytes + is_kept * size * LINE_BYTES
                written += size
                dropped += (not is_kept) * size
            elif step == "read":
                shown += read_now(read_end, size)
            else:
                loop.turn()
                is_waiting = loop.interest_in(write_end) == WRITE
                assert is_waiting == (screen.sink.owed_bytes > 0)
            owed_lines = math.ceil(screen.sink.owed_bytes / LINE_BYTES)
            assert screen.sink.unwritten_lines == owed_lines + dropped - screen.told_lines
        for _ in range(2 + len(steps)):
            loop.turn()
            shown += read_now(read_end)
        numbers = [int(line) for line in shown.splitlines()]
        assert numbers == sorted(set(numbers))
        assert len(numbers) + dropped == written
        assert screen.told_lines == dropped
        assert screen.sink.owed_bytes == screen.sink.unwritten_lines == 0
        assert all(owed_bytes * 2 <= max_bytes for _, owed_bytes in screen.dropped)
        assert loop.is_idle()
        assert is_blocking(write_end)
        assert screen.errors == []
        screen.sink.close()
        descriptors.close(*descriptors.opened)


# Sink: errors.


@pytest.mark.parametrize(
    ("end", "number"),
    [("idle", errno.EPIPE), ("waiting", errno.EPIPE), ("terminal", errno.EIO)],
)
def test_error_is_told_once_and_breaks_sink(
    loop: Loop, descriptors: Descriptors, end: str, number: int
) -> None:
    read_end, write_end = descriptors.terminal() if end == "terminal" else descriptors.pipe()
    screen = Screen(loop, write_end)
    if end == "waiting":
        fill(write_end)
        screen.sink.write(b"waiting\n")
        loop.turn_until(loop.is_idle)
    descriptors.close(read_end)
    screen.sink.write(b"hello?\n")
    loop.turn_until(lambda: screen.errors)
    screen.sink.write(b"hello?\n")
    screen.sink.flush()
    loop.turn(2)
    assert [error.errno for error in screen.errors] == [number]
    assert screen.sink.is_broken
    assert screen.sink.owed_bytes == 0
    assert loop.is_idle()


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk with room for so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_with_room_again_gets_all_in_order(loop: Loop, descriptors: Descriptors) -> None:
    screen = Screen(loop, descriptors.new_file())
    for written, room in ((30_000, 10_007), (60_000, 50_000)):
        with files_no_larger_than(room):
            screen.sink.write(TEXT[written - 30_000 : written])
            loop.turn()
            screen.sink.flush()
        assert descriptors.path.stat().st_size == room
        assert screen.sink.owed_bytes == written - room
    assert [error.errno for error in screen.errors] == [errno.EFBIG] * 2
    screen.sink.write(TEXT[60_000:70_000])
    loop.turn()
    assert descriptors.path.read_bytes() == TEXT[:70_000]
    assert screen.flushes == 1
    assert loop.is_idle()


def test_bug_in_listener_costs_sink_alone(loop: Loop, descriptors: Descriptors) -> None:
    read_end, write_end = descriptors.pipe()
    fill(write_end)
    sink = Sink(loop.reactor, write_end, on_flushed=fail)
    sink.write(b"hello\n")
    loop.turn_until(loop.is_idle)
    read_now(read_end)
    loop.turn_until(lambda: sink.is_broken)
    assert loop.takes_one_bug()
    assert loop.is_idle()


# Sink: terminals.


@fault(52)
@EACH_SELECTOR
@pytest.mark.parametrize("is_paused", [False, True], ids=["full", "Control-S"])
@EACH_OPEN
def test_paused_terminal_never_blocks_and_gets_all_later(
    loop: Loop, descriptors: Descriptors, is_paused: bool, os_open: Callable[..., int]
) -> None:
    master, own = descriptors.terminal()
    with patch("os.open", os_open):
        screen = Screen(loop, own)
    if is_paused:
        termios.tcflow(own, termios.TCOOFF)
    screen.sink.write(TEXT[:140_000])
    loop.turn_until(loop.is_idle)
    assert 0 < screen.sink.owed_bytes < 140_000 + is_paused
    assert is_blocking(own)
    if is_paused:
        termios.tcflow(own, termios.TCOON)
    assert screen.shown_on(master, 140_000) == TEXT[:140_000]
    loop.turn_until(lambda: screen.flushes)
    assert is_blocking(own)
    assert loop.is_idle()
    screen.sink.close()


@pytest.mark.parametrize("stream", ["terminal", "pipe"])
def test_only_what_was_opened_anew_is_closed(
    loop: Loop, descriptors: Descriptors, stream: str
) -> None:
    far, own = getattr(descriptors, stream)()
    before = set(os.listdir("/dev/fd"))
    sink = Sink(loop.reactor, own)
    ear = Ear(loop, far if stream == "pipe" else own)
    assert len(set(os.listdir("/dev/fd")) - before) == 2
    sink.close()
    sink.close()
    ear.source.handle_error()
    assert set(os.listdir("/dev/fd")) == before


# Draining.


def test_draining_waits_until_slow_reader_has_all(loop: Loop, descriptors: Descriptors) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    drain(loop.reactor, [screen.sink], loop.clock.now + 2)
    assert loop.selector.waits == [], "nothing was owed"
    screen.sink.write(TEXT)
    ear = Ear(loop, read_end)
    drain(loop.reactor, [screen.sink], loop.clock.now + 2)
    assert screen.sink.owed_bytes == 0
    assert loop.clock.now == 1000.0
    loop.turn_until(lambda: ear.heard == TEXT)


@pytest.mark.parametrize("end", ["deadline", "reader died", "closed"])
def test_draining_ends_at_deadline_or_when_broken(
    loop: Loop, descriptors: Descriptors, end: str
) -> None:
    read_end, write_end = descriptors.pipe()
    screen = Screen(loop, write_end)
    screen.sink.write(TEXT)
    if end == "closed":
        screen.sink.close()
    elif end == "reader died":
        descriptors.close(read_end)
    drain(loop.reactor, [screen.sink], loop.clock.now + 2)
    assert screen.sink.is_broken == (end != "deadline")
    assert loop.clock.now == (1002.0 if end == "deadline" else 1000.0)


# The descriptors themselves.


def test_only_null_device_is_null_device(descriptors: Descriptors) -> None:
    zero = descriptors.open("/dev/zero", os.O_RDONLY)
    others = [*descriptors.pipe(), *descriptors.terminal(), zero, descriptors.new_file()]
    assert is_null_device(descriptors.open(os.devnull, os.O_RDONLY))
    assert is_null_device(descriptors.open(os.devnull, os.O_WRONLY))
    assert not any(map(is_null_device, others))
    descriptors.close(zero)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        is_null_device(zero)
