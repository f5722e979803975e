"""The transcript is the console with the time, a file for each day, and says what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.transcript import Transcript
from reactor import appender
from tests.support.faults import fault
from tests.support.house import House


class Book:
    """A transcript of the house, on a clock of the test's own."""

    def __init__(self, house: House, directory: Path) -> None:
        self.now = [2026, 10, 25, 2, 59, 58]
        self.directory = directory
        self.warnings: list[str] = []
        self.transcript = Transcript(
            house.loop.reactor, str(directory), lambda seconds: self.now, self.warnings.append
        )
        self._house = house
        house.bus.add_listener(self.transcript.apply)

    def reads(self, name: str) -> bytes:
        self._house.loop.turn(2)
        self._house.loop.turn_until(lambda: not self.transcript.appender.owed_bytes)
        return (self.directory / name).read_bytes()


@pytest.fixture
def book(house: House, tmp_path: Path) -> Iterator[Book]:
    book = Book(house, tmp_path)
    yield book
    book.transcript.close()


def test_console_stands_there_with_the_time_and_no_private_text(house: House, book: Book) -> None:
    ann, bob = house.join_all("Ann", "Bob")
    ann.send(b"one\ntwo\n")
    book.now[5] = 59
    bob.send(b":Msg Ann secret\n:Users\n:Msg Zed secret\n \n\x1b[2J\xff\n:Exit\n")
    bob.reads(b"Ann: one\nAnn: two\nActive Users: Ann, Bob\nNo such user: Zed\n")
    assert book.reads("2026-10-25.log").decode() == (
        "02:59:58 Ann joined the chatroom\n"
        "02:59:58 Bob joined the chatroom\n"
        "02:59:58 Ann: one\n"
        "02:59:58 Ann: two\n"
        "02:59:59 Bob: send message to Ann\n"
        "02:59:59 Bob: searched up active users\n"
        "02:59:59 Bob: \ufffd[2J\ufffd\n"
        "02:59:59 Bob left the chatroom\n"
    )


@fault(87)
def test_each_day_has_its_file_and_a_clock_that_goes_back_is_told(house: House, book: Book) -> None:
    ann = house.join("Ann")
    for day, hour in ((25, 2), (26, 0), (25, 23)):
        book.now[2:4] = day, hour
        ann.send(b"hi\n")
    assert book.reads("2026-10-26.log") == b"00:59:58 Ann: hi\n"
    assert book.reads("2026-10-25.log").decode() == (
        "02:59:58 Ann joined the chatroom\n"
        "02:59:58 Ann: hi\n"
        "23:59:58 * The clock went back from 2026-10-26 00:59:58\n"
        "23:59:58 Ann: hi\n"
    )


@fault(86)
def test_lines_that_were_dropped_are_told_in_their_place(
    house: House, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appender, "KEPT_BYTES", 100)
    ann = house.join("Ann")
    assert b"joined" in book.reads("2026-10-25.log")
    gone = book.directory.rename(book.directory.with_name("gone"))
    for number in range(20):
        ann.send(b"%d\n" % number)
        house.loop.turn_until(lambda: book.warnings)
    assert book.warnings == [f"transcript in {book.directory}: No such file or directory"]
    gone.rename(book.directory)
    house.loop.pass_seconds(appender.RETRY_SECONDS)
    ann.send(b"later\n")
    lines = book.reads("2026-10-25.log").decode().splitlines()
    kept = lines[1:-2]
    assert kept == [f"02:59:58 Ann: {number}" for number in range(len(kept))]
    assert lines[-2:] == [
        f"02:59:58 * {20 - len(kept)} lines are missing here",
        "02:59:58 Ann: later",
    ]


def test_what_is_in_no_file_at_the_end_is_told(house: House, book: Book) -> None:
    (book.directory / "2026-10-25.log").unlink()
    book.directory.rmdir()
    house.join("Ann")
    book.transcript.close()
    house.loop.turn()
    assert book.warnings[-1] == f"transcript in {book.directory}: 1 lines not written"
    book.directory.mkdir()


def test_directory_that_cannot_be_had_is_an_error(house: House, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Transcript(house.loop.reactor, str(tmp_path / "no"), lambda seconds: [0] * 9, print)
