"""A trace tells what passed, and no secret."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.programs import Program, RawClient, Room, Stage, free_port
from tools.diagram.ladder import Builder, read_events
from tools.diagram.svg import draw
from tracing.masking import Mask
from tracing.recorder import MAX_TURN_EVENTS, Recorder

SECRET = b"QZQZ"  # in nothing else below
REQUEST = b"JOIN Alice QZQZ\n"
TYPED = b"hi all\n:msg \tBob  QZQZ Q\njoin us\n"
ANSWERED = b"OK QZQZ\nBob: hi\n[Message from Bob]: QZQZ\n[Message to Bob]: QZQZ\n"
SHOWN = (
    b"JOIN Alice ***\nhi all\n:msg \tBob  ***\njoin us\n",
    b"OK ***\nBob: hi\n[Message from Bob]: ***\n[Message to Bob]: ***\n",
)
GUESSES = [b"join Alice QZQZ\n", b"JOIN QZQZ\n", b"QZQZ\n", b"RESUME QZQZ 5\n", b":Users QZQZ\n"]
PLACES = st.lists(st.integers(0, 200), max_size=8)


def events_of(trace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.read_text().splitlines()]


def show(mask: Mask, data: bytes, places: list[int]) -> bytes:
    """What is shown of `data` when TCP cuts it there."""
    edges = sorted({0, len(data), *(place % len(data) for place in places)})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    return b"".join(mask.show(piece, 999) for piece in pieces)


@given(PLACES, st.booleans())
def test_no_cut_lets_a_secret_through(places: list[int], is_lenient: bool) -> None:
    client = Mask(True, is_lenient)
    server = Mask(False, is_lenient, answered=client)
    asked = show(client, REQUEST, places)
    answered = show(server, ANSWERED, places)
    shown = asked + show(client, TYPED, places), answered
    assert not {*SECRET} & {*b"".join(shown)}
    assert places or is_lenient or shown == SHOWN


@given(st.lists(st.sampled_from(GUESSES), min_size=1), PLACES)
def test_guest_that_was_not_let_in_shows_no_guess(guesses: list[bytes], places: list[int]) -> None:
    assert not {*SECRET} & {*show(Mask(True), b"".join(guesses), places)}


def test_rest_of_a_line_that_a_lost_connection_has_cut_is_hidden() -> None:
    client = Mask(True)
    server = Mask(False, answered=client)
    assert client.show(b"RESUME QZQZ 5\n", 99) == b"RESUME ***\n"
    assert server.show(b"OK QZQZ 7\nQZQZ\nBob: hi\n", 99) == b"OK ***\n***\nBob: hi\n"
    assert [client.show(data, 99) for data in (b"QZ", b"QZ\nhi\n")] == [b"***", b"***\nhi\n"]


def test_trace_tells_turns_segments_lines_and_states(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.touch(0o644)
    with Room("-trace", str(trace)) as room:
        alice, bob = room.join_raw("Alice"), room.join_raw("Bob")
        alice.feed(b"one\ntw")
        bob.shows("Alice: one")
        room.server.shows("Alice: one")
        alice.feed(b"o\n:Msg Bob quiet\n")
        room.server.shows("Alice: two", "Alice: send message to Bob")
        bob.shows("Alice: two", "[Message from Alice]: quiet")
    assert trace.stat().st_mode & 0o777 == 0o600
    events = events_of(trace)
    moves = [(e["peer"], e["data"], e["lines"], e["rest"]) for e in events if e["event"] == "recv"]
    assert moves[:4] == [
        (1, "JOIN Alice ***\\n", 1, 0),
        (2, "JOIN Bob ***\\n", 1, 0),
        (1, "one\\ntw", 1, 2),
        (1, "o\\n:Msg Bob ***\\n", 2, 0),
    ]
    assert room.passcode not in trace.read_text()
    assert "quiet" not in trace.read_text()
    kinds = {e["event"] for e in events}
    assert kinds >= {"begin", "turn", "open", "send", "fin", "close", "state", "deliver", "end"}
    assert events[-1] == events[-1] | {"event": "end", "left_out": 0}
    picture = draw(Builder(read_events(trace.read_text())).ladder)
    assert "cut in 2, 2 lines" in picture


def test_trace_of_a_stranger_in_which_nothing_was_received_is_drawn() -> None:
    begin = {"event": "begin", "t": 0.0, "program": "p", "middle": "m"}
    nothing = {"event": "recv", "t": 0.0, "peer": 1, "bytes": 0, "data": "", "lines": 0, "rest": 0}
    trace = "".join(f"{json.dumps(event)}\n" for event in (begin, nothing))
    assert "0 bytes" in draw(Builder(read_events(trace)).ladder)


def test_flood_of_events_is_counted_and_not_recorded() -> None:
    lines: list[bytes] = []
    recorder = Recorder(lines.append, lambda: 0.0)
    for _ in range(3):
        recorder.begin_turn(["1 read"])
        for _ in range(MAX_TURN_EVENTS + 9):
            recorder.note("timer", call="x")
        recorder.end_turn()
    recorder.end()
    assert len(lines) == 3 * (MAX_TURN_EVENTS + 1) + 1
    assert json.loads(lines[-1])["left_out"] == 30


def test_trace_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    with Stage() as stage:
        flags = ["-start", "-port", "0", "-passcode", "abc12", "-trace", str(tmp_path)]
        program = stage.start("server.py", *flags)
        program.exits(1, f"error: cannot write the trace: {tmp_path}: Is a directory")


@pytest.mark.parametrize("lines", ["", "[]", '{"t": 0, "event": "turn"}', '{"t": 0}'])
def test_what_is_no_trace_is_refused(lines: str) -> None:
    with pytest.raises(ValueError, match="trace"):
        read_events(f"{lines}\n")


@contextlib.contextmanager
def tapped(room: Room, trace: Path, *how: str) -> Iterator[RawClient]:
    """Alice, who joins through a tap."""
    port = free_port()
    words = ["-m", "tools.tap", "-port", str(port), "-to", str(room.port), "-trace", str(trace)]
    tap = room.run(Program, "tap", [sys.executable, *words, *how])
    tap.stderr.take_line()
    alice = room.take_over(socket.create_connection(("127.0.0.1", port)), "Alice")
    alice.types(f"JOIN Alice {room.passcode}")
    alice.shows("OK")
    room.server.shows("Alice joined the chatroom")
    yield alice
    alice.stdout.expect_end()
    room.server.shows("Alice left the chatroom")
    tap.terminate()


@pytest.mark.parametrize("how", [["--split", "1"], ["--join", "0.2"], ["--delay", "0.02"]])
def test_tap_passes_every_byte_and_the_end(tmp_path: Path, how: list[str]) -> None:
    trace = tmp_path / "trace"
    with Room() as room, tapped(room, trace, *how) as alice:
        alice.feed(b"one\n")
        alice.feed(b"two\n")
        room.server.shows("Alice: one", "Alice: two")
        alice.end_input()
    events = events_of(trace)
    sent = [e["data"] for e in events if e["event"] == "send" and e["peer"] == 2]
    assert "".join(sent).startswith("JOIN ")
    assert "".join(sent).endswith("***\\none\\ntwo\\n")
    assert room.passcode not in "".join(sent)
    if "--split" in how:
        assert {e["bytes"] for e in events if e["event"] == "send"} == {1}
    if "--join" in how:
        assert "one\\ntwo\\n" in sent


def test_tap_resets_both_ends(tmp_path: Path) -> None:
    with Room() as room, tapped(room, tmp_path / "trace", "--reset-after", "25") as alice:
        alice.types("this is more than it takes")
        room.server.shows("Alice: this is more than it takes")
        room.pump.wait(lambda: bool(alice.stdout.end))
        assert alice.stdout.end == "Connection reset by peer"
        alice.stdout.end = "the end"
