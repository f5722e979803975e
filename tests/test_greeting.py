"""What those who ENTER read first: the message of the day, and what was said last."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import history, motd
from chat.history import History
from chat.motd import Motd
from codec import Event, Kind
from tests.support.house import House
from tests.support.size import examples

ENTER = b"ENTER %s abc12\n"


def test_order_is_ok_motd_history_and_members(house: House, tmp_path: Path) -> None:
    path = tmp_path / "motd"
    path.write_bytes(b"Be \x1b kind\r\n\nno end")
    pages = Motd(str(path)), History(2, lambda seconds: [2026, 1, 2, 3, 4, 5])
    house.bus.add_history(pages[1])
    house.room.greet = lambda: [page.page for page in pages]
    message = "OK\n* Be \ufffd kind\n* \n* no end\n".encode()
    ann = house.ask(ENTER % b"Ann")
    ann.reads(message + b"Active Users: Ann\n")
    ann.send(b"one\ntwo\n:Msg Ann secret\n:mytime x\n")
    house.loop.turn(2)
    bob, cid = house.connect(), house.connect()
    bob.types(ENTER % b"Bob")
    cid.types(b"JOIN Cid abc12\n")
    house.busy(lambda: bob.heard.endswith(b"Bob\n") and cid.heard)
    last = (
        b"* History\n* 03:04 Ann: two\n* 03:04 Ann: Wed Sep 24 12:31:44 2025 x\n* End of history\n"
    )
    assert bob.heard.startswith(message + last + b"Active Users: Ann, ")
    assert b"History" not in cid.heard
    assert pages[1].page is pages[1].page


ROOMS = st.lists(st.lists(st.text("ab\u20ac", max_size=30), min_size=1, max_size=4), max_size=12)


@examples(60, 600)
@given(ROOMS, st.integers(1, 9), st.integers(20, 200))
def test_history_is_the_last_lines_that_fit(
    blocks: list[list[str]], max_lines: int, max_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "HISTORY_BYTES", max_bytes)
        minutes = iter(range(99))
        one = History(max_lines, lambda seconds: [0, 0, 0, 0, next(minutes)])
        shown: list[bytes] = []
        for minute, block in enumerate(blocks):
            lines = [f"Ann: {text}\n".encode() for text in block]
            one.apply(Event(Kind.JOINED, "Ann", b"x\n", b"x\n"))
            one.apply(Event(Kind.SAID, "Ann", b"", b"".join(lines)))
            shown += [b"* 00:%02d " % minute + line for line in lines]
            fitting = shown[-max_lines:]
            while sum(map(len, fitting)) > max_bytes:
                del fitting[0]
            assert one.page == b"".join([b"* History\n", *fitting, b"* End of history\n"])
        assert blocks or not one.page


def test_history_is_begun_anew_with_the_minutes_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 60 * 1000 + 30
    monkeypatch.setattr("chat.history.time.time", lambda: float(now))
    one = History(2, lambda seconds: [0, 0, 0, 0, (now + seconds) // 60 % 60])
    one.apply(Event(Kind.SAID, "Ann", b"", b"Ann: gone\n"))
    one.restart([(999, b"Ann: old\nAnn: a\n"), (1000, b"Bob: b\n")])
    past = b"* History\n* 00:39 Ann: a\n* 00:40 Bob: b\n* End of history\n"
    assert one.page == past
    one.minute = 998
    one.apply(Event(Kind.SAID, "Ann", b"", b"Ann: c\n"))
    assert one.page == past.replace(b"* 00:39 Ann: a\n", b"").replace(
        b"b\n", b"b\n* 00:38 Ann: c\n"
    )


def test_message_that_cannot_be_shown_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "motd"
    path.write_bytes(b"old\n")
    message = Motd(str(path))
    for data in (b"x" * 4095, b"x\n" * motd.MOTD_BYTES):
        path.write_bytes(data)
        with pytest.raises(OSError, match=str(path)):
            message.reload()
    assert message.page == b"* old\n"
    path.write_bytes(b"")
    message.reload()
    assert message.page == b""
    with pytest.raises(OSError, match="Not a regular file"):
        Motd(str(tmp_path))
