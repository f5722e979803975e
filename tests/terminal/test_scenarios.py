"""What a person sees and types, as one table; each interface that draws is played through it.

A script is lines of a mark and a text:

    >   Alice types these keys, in Python's notation
    Bob somebody, who comes in if need be, says this
    -   somebody leaves
    |   this row is, with those beside it, the last that was said
    =   this is what stands where Alice types
    ?   these words are offered to complete the last one
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.support.size import IS_LONG
from tests.terminal.conftest import Chat

HEAD = " " * 15
SCENARIOS = {
    "typed line stays whole while others talk": r"""
        > half a li
        Bob hello
        Bob it is late
        |            Bob │ hello
        |                │ it is late
        = Alice·2❯ half a li
        > \x1b[D\x1b[D\x1b[D\x1b[DX
        = Alice·2❯ half Xa li
        """,
    "own line comes back in place of what was typed": r"""
        > hi :)\r
        |          Alice │ hi [feeling happy]
        = Alice·2❯
        > :Msg bob psst\r
        |          Alice │ hi [feeling happy]
        |          Alice » → Bob: psst
        > :Msg Alice note\r
        |                » → Alice: note
        > :Msg Zed x\r
        |              · │ No such user: Zed
        > :users\r
        |                │ Alice, Bob (2)
        = Alice·2❯
        """,
    "long line wraps at words behind a mark of its own": r"""
        Bob one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        |            Bob │ one two three four five six seven eight nine ten eleven twelve
        |                ┆ thirteen fourteen
        Bob x                                                                      Carol: forged
        |                │ x
        |                ┆ Carol: forged
        """,
    "wide characters and emoji never reach the edge": r"""
        Bob 日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日
        |            Bob │ 日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日
        Bob 日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本
        |                │ 日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日
        |                ┆ 本
        > 日本\x02X
        = Alice·2❯ 日X本
        """,
    "joins that follow joins share a row": r"""
        Carol
        Dave
        | 12:13        · │ Connected to 127.0.0.1 on port PORT
        |                │ no one else is here yet
        |              → │ Bob, Carol, Dave joined
        - Dave
        |              → │ Bob, Carol, Dave joined
        |              ← │ Dave left
        = Alice·3❯
        """,
    "private lines and mentions": r"""
        Bob :Msg Alice psst
        |            Bob » psst
        Bob alice: you there?
        |            Bob │ alice: you there?
        Bob malice
        |                │ malice
        Bob thanks Alice.
        |            Bob │ thanks Alice.
        """,
    "one mark above what came while she was away": r"""
        Bob before
        |            Bob │ before
        > x\x1b[O
        = Alice·2❯ x
        Bob while away
        Bob and more
        |            Bob │ before
        | ── new ────────────────────────────────────────────────────────────────────────
        |            Bob │ while away
        |                │ and more
        > \x1b[Iy
        = Alice·2❯ xy
        Bob back
        |                │ and more
        |                │ back
        """,
    "Tab completes commands and names": r"""
        > :u\t
        = Alice·2❯ :Users
        > !
        = Alice·2❯ :Users!
        > \x15:m\t
        ? :Msg :mytime
        = Alice·2❯ :m
        > \x15:ms\tb\tx
        = Alice·2❯ :Msg Bob x
        > \x15b\tx
        = Alice·2❯ Bob: x
        > \x15hey b\tx
        = Alice·2❯ hey Bob x
        """,
    "history is walked and searched": r"""
        > one\r
        |          Alice │ one
        > two\r
        |                │ two
        > dra\x1b[A\x1b[A
        = Alice·2❯ one
        > \x1b[B\x1b[B
        = Alice·2❯ dra
        > \x15\x12on
        Bob hello
        |            Bob │ hello
        > \x05
        = Alice·2❯ one
        """,
    "paste of several lines waits for Enter": r"""
        > \x1b[200~first\nsecond\x1b[201~
        = Alice·2❯ first\nsecond
        Bob hello
        |            Bob │ hello
        = Alice·2❯ first\nsecond
        > \r
        |          Alice │ first
        |                │ second
        = Alice·2❯
        """,
    "Ctrl-C clears the line": r"""
        > something
        = Alice·2❯ something
        > \x03
        = Alice·2❯
        > other\r
        |          Alice │ other
        > \x1b[A
        = Alice·2❯ other
        > \x03
        = Alice·2❯
        > \x1b[A
        = Alice·2❯ other
        """,
    "help is answered here": r"""
        > :help\r
        |              ? │ :Users lists who is in the room
        |                │ :Msg <username> <message> goes to one member
        |                │ :Exit leaves the room
        |                │ :Help shows this; only you see it
        |                │ :) :( :mytime :+1hr become [feeling happy] [feeling sad], the
        |                ┆ time, an hour later
        |                │ \:mytime \:Users and the like are said as they are, without
        |                ┆ the backslash
        """,
    "mistyped command asks first": r"""
        > :Mgs bob secret\r
        |              ? │ “:Mgs bob secret” is no command, and everyone would read it:
        |                ┆ Enter again says it, Ctrl-C forgets it
        = Alice·2❯ :Mgs bob secret
        > \r
        |          Alice │ :Mgs bob secret
        = Alice·2❯
        """,
    "control characters come to no screen": r"""
        Bob a\x1b[2Jb
        |            Bob │ a�[2Jb
        > \x16\x1b[2J\x1b[D\r
        |          Alice │ �[2J
        """,
}


PLAYED = [(name, "window") for name in SCENARIOS]
if IS_LONG:
    # tmux hands over a report of the focus before keys that came before it: then she is not away.
    PLAYED += [(name, "tmux") for name in SCENARIOS if r"\x1b[O" not in SCENARIOS[name]]


@pytest.mark.parametrize(("name", "chat_anywhere"), PLAYED, indirect=["chat_anywhere"])
def test_person_sees(name: str, chat_anywhere: Chat) -> None:
    chat = chat_anywhere
    window = chat.alice()
    rows: list[str] = []
    for step in [*SCENARIOS[name].strip().split("\n"), ""]:
        mark, _, text = step.strip().partition(" ")
        if mark == "|":
            rows.append(text.replace("PORT", str(chat.port)))
            continue
        if rows:
            window.sees(*rows)
            rows = []
        if mark == ">":
            window.keys(text)
        elif mark == "=":
            window.sees(typed=text.replace(r"\n", "\n"))
        elif mark == "?":
            window.waits_for(functools.partial(window.offers, *text.split()))
        elif mark == "-":
            chat.leaves(text)
        elif mark:
            person = chat.person(mark)
            if text:
                person.types(text.replace(r"\x1b", "\x1b"))
    window.keys("\\x03\\x04")
    window.closes(0)


def test_lines_for_the_reader_stand_out(chat: Chat) -> None:
    window = chat.alice()
    window.keys("mine\\r")
    window.sees("         Alice │ mine")
    chat.person("Bob").types("hi Alice", ":Msg Alice psst", "no more")
    window.sees(f"{HEAD[:-4]}Bob │ hi Alice", f"{HEAD[:-4]}Bob » psst", f"{HEAD[:-4]}Bob │ no more")
    assert window.screen.bells
    assert window.style_of("mine").bold
    assert window.style_of("Bob │ hi").reverse
    assert window.style_of("psst").italics
    assert not any(window.style_of("no more")[3:])
    assert window.style_of("Bob │ no").fg == window.style_of("Bob │ hi").fg != "default"
    window.keys("\\x04")
    window.closes(0)


def test_window_that_is_made_narrow_wraps_what_comes(chat: Chat) -> None:
    window = chat.alice()
    window.keys("half a li")
    window.sees(typed="Alice·2❯ half a li")
    window.resize(24, 40)
    chat.person("Bob").types("one two three four five six seven")
    window.sees(
        "     Bob │ one two three four five six", "         ┆ seven", typed="Alice·2❯ half a li"
    )
    window.keys("\\x15\\x04")
    window.closes(0)


def test_no_color_is_heeded(chat: Chat) -> None:
    window = chat.sit_down(NO_COLOR="1")
    window.sees(typed="Alice·1❯")
    places = [place for row in window.screen.buffer.values() for place in row.values()]
    assert {place.fg for place in places} <= {"default", "brightblack"}, "dim is a colour here"
    window.keys("\\x04")
    window.closes(0)


@pytest.mark.parametrize("ui", ["line"])
def test_inputrc_is_heeded(chat: Chat, tmp_path: Path) -> None:
    settings = tmp_path / "inputrc"
    settings.write_text('"\\C-t": "from a macro"\n')
    window = chat.sit_down(INPUTRC=str(settings))
    window.sees(typed="Alice·1❯")
    window.keys("\\x14")
    window.sees(typed="Alice·1❯ from a macro")
    window.keys("\\x15\\x04")
    window.closes(0)
