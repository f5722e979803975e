"""How a client that draws begins, loses its room, finds it again, and ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactor.tls import fingerprint_of, first_certificate
from tests.end_to_end.test_idle import switches_once_asleep
from tests.support.faults import fault
from tests.support.programs import (
    HAS_PROC,
    PASSCODE,
    Program,
    RawClient,
    Room,
    Stage,
    free_port,
)
from tests.support.tls import CERTIFICATE
from tests.support.window import Window
from tests.terminal.conftest import Chat


class Stub(Chat):
    """A server that is what the test makes of it, beside the real one."""

    def open(self) -> None:
        super().open()
        self._listener = self._resources.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.stub_port: int = self._listener.getsockname()[1]

    def close_door(self) -> None:
        """Nothing listens there any more."""
        self._listener.close()

    def accept(self, *expected: str, door: socket.socket | None = None) -> RawClient:
        """The next connection, which has said so; at another `door` than the usual."""
        peer = self.take_over((door or self._listener).accept()[0], "the server's end")
        peer.shows(*expected)
        return peer


@pytest.fixture
def stub(tmp_path: Path, ui: str) -> Stub:
    return Stub(tmp_path / "clock", ui)


CAME_BACK = "Connected to 127.0.0.1 on port {port}"
QUICK_RESTS = """
from terminal.link import Link
set_timer = Link._set_timer
Link._set_timer = lambda link, seconds, call: set_timer(
    link, seconds * (0.05 if call == link._begin else 1), call
)
"""
"""A patch by which the rests before it dials again are short, and are told as ever."""

ENTER, JOIN = f"ENTER Alice {PASSCODE}", f"JOIN Alice {PASSCODE}"


def test_lost_room_is_joined_again_with_the_line_kept(stub: Stub) -> None:
    with stub:
        window = stub.sit_down(port=stub.stub_port, patch=QUICK_RESTS)
        server = stub.accept(ENTER)
        server.types("OK", "* a notice of the server's", "Active Users: Bob, Alice")
        window.sees(
            f"12:13        · │ Connected to 127.0.0.1 on port {stub.stub_port}",
            "               │ a notice of the server's",
            "               │ here: Bob",
            typed="Alice·2❯",
        )
        window.keys("one\\rtwo\\r  \\x15:users\\rhalf")
        server.shows("one", "two", ":users")
        server.types("Alice: one")
        window.sees("         Alice │ one")
        server.close()
        window.sees(
            "             · │ connection closed by the server; trying again in 1 s",
            "             ? │ not confirmed: two",
            "               │ not confirmed: :users",
            typed="Alice·offline❯ half",
        )
        window.keys("\\r")
        window.sees(
            "             · │ not connected: the line stays here until you press Enter again"
        )
        server = stub.accept(ENTER)
        server.types("ERROR Username already in use: Alice")
        server = stub.accept(ENTER)
        server.types("OK", "Active Users: Alice")
        window.sees("               │ no one else is here yet", typed="Alice·1❯ half")
        window.keys("\\r")
        server.shows("half")
        server.close()
        server = stub.accept(ENTER)
        server.types("ERROR Incorrect passcode")
        window.closes(1)
        assert "Incorrect passcode" in window.rows()


def test_silence_is_told_until_there_is_an_answer(stub: Stub) -> None:
    with stub:
        patch = "from terminal import interactive; interactive.SILENCE_SECONDS = 0.1"
        window = stub.sit_down(port=stub.stub_port, patch=patch)
        server = stub.accept(ENTER)
        waiting = f"· │ waiting for 127.0.0.1 port {stub.stub_port} …"
        window.sees(f"12:13        {waiting}")
        server.types("OK", "Active Users: Alice")
        window.sees("               │ no one else is here yet", typed="Alice·1❯")
        window.keys("one\\rtwo\\r")
        server.shows("one", "two")
        server.types("Alice: one")
        window.sees("         Alice │ one", f"             {waiting}")
        server.types("Alice: two")
        window.sees("         Alice │ two")
        window.keys(":exit\\r")
        server.shows(":exit")
        server.stdout.expect_end()
        server.close()
        window.closes(0)


def test_place_that_is_kept_is_taken_again_to_the_byte(stub: Stub) -> None:
    with stub:
        window = stub.sit_down(port=stub.stub_port)
        stub.accept(ENTER).types("ERROR Username already in use: Alice")
        window.sees("12:13        · │ Username already in use: Alice; trying again in 1 s")
        server = stub.accept(ENTER)
        server.types("OK t1", "Active Users: Bob, Alice")
        window.sees("               │ here: Bob", typed="Alice·2❯")
        window.keys("one\\rtwo\\rhalf")
        server.shows("one", "two")
        server.feed(b"Alice: one\nBob: h")
        window.sees("         Alice │ one")
        server.close()
        window.sees(
            "             · │ connection closed by the server; away, trying again in 1 s",
            typed="Alice·away❯ half",
        )
        server = stub.accept(f"RESUME t1 {len('Active Users: Bob, Alice_Alice: one_Bob: h')}")
        server.feed(b"OK t2 6\ni\n")
        server.shows("o")
        server.types("Alice: two")
        window.sees(
            "               │ back again: nothing was lost",
            "           Bob │ hi",
            "         Alice │ two",
            typed="Alice·2❯ half",
        )
        window.keys("\\r")
        server.shows("half")
        server.close()
        count = len("Active Users: Bob, Alice_Alice: one_Bob: hi_Alice: two_")
        stub.accept(f"RESUME t2 {count}").types("ERROR Too late")
        server = stub.accept(ENTER)
        server.types("OK t3", "Active Users: Alice")
        window.sees(
            "               │ your place is gone: what was said meanwhile is lost",
            "             ? │ not confirmed: half",
            f"             · │ Connected to 127.0.0.1 on port {stub.stub_port}",
            "               │ no one else is here yet",
        )
        window.keys("\\x04")
        server.shows(":Exit")
        server.close()
        window.closes(0)


def test_lost_server_is_followed_by_the_next(stub: Stub) -> None:
    with stub, socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        flags = ["-host=127.0.0.1", f"-port={port}"]
        window = stub.sit_down(*flags, port=stub.stub_port, patch=QUICK_RESTS)
        server = stub.accept(ENTER)
        server.types("OK t1", "Active Users: Bob, Alice")
        window.sees(typed="Alice·2❯")
        window.keys("one\\r")
        server.shows("one")
        server.close()
        server = stub.accept("RESUME t1 25")  # it may be the network alone
        stub.close_door()
        server.close()
        stub.accept("RESUME t1 25", door=other).types("ERROR Not a place of this server")
        window.sees(
            "               │ your place is gone: what was said meanwhile is lost",
            "             ? │ not confirmed: one",
        )
        for _ in range(2):  # the one that is gone is not declared dead yet
            stub.accept(ENTER, door=other).types("ERROR Username already in use: Alice")
        server = stub.accept(ENTER, door=other)
        server.types("OK", "Active Users: Alice")
        window.sees(
            f"               │ Connected to 127.0.0.1 on port {port}",
            "               │ no one else is here yet",
            typed="Alice·1❯",
        )
        window.keys("\\x04")
        server.close()
        window.closes(0)


def test_server_without_enter_is_joined_and_own_lines_are_drawn(stub: Stub) -> None:
    with stub:
        window = stub.sit_down(port=stub.stub_port)
        stub.accept(ENTER).types("ERROR Expected: JOIN <username> <passcode>")
        server = stub.accept(JOIN)
        server.types("OK")
        window.sees(typed="Alice❯")
        window.keys("hi :)\\r:Msg bob psst\\r:mytime\\r")
        server.shows("hi :)", ":Msg bob psst", ":mytime")
        server.types("Alice: Wed Sep 24 12:31:44 2025")
        window.sees(
            "         Alice │ hi [feeling happy]",
            "         Alice » → bob: psst",
            "         Alice │ Wed Sep 24 12:31:44 2025",
        )
        window.keys(":exit\\r")
        server.shows(":exit")
        server.stdout.expect_end()
        server.close()
        window.closes(0)


@pytest.mark.parametrize(
    ("answer", "said", "complained"),
    [
        ("ERROR Incorrect passcode", "Incorrect passcode", ""),
        ("ERROR Server full", "", "error: Server full\n"),
        (
            "HTTP/1.1 400",
            "",
            "error: 127.0.0.1 port {port} is not a chat server (is the port right?)\n",
        ),
        ("", "", "error: connection closed by the server\n"),
    ],
)
def test_refusal_at_first_ends_with_status_1(
    stub: Stub, answer: str, said: str, complained: str
) -> None:
    with stub:
        window = stub.sit_down(port=stub.stub_port)
        server = stub.accept(ENTER)
        server.types(*[answer][: bool(answer)])
        server.close()
        window.stderr.expect(complained.format(port=stub.stub_port).encode())
        window.closes(1)
        assert window.rows()[-1] == said


def test_no_server_ends_with_status_1(chat: Chat) -> None:
    port = free_port()
    window = chat.sit_down(port=port)
    window.complains(
        f"error: cannot connect to 127.0.0.1 port {port}: "
        "Connection refused (is the server running?)"
    )
    window.closes(1)


def test_room_is_joined_over_tls_or_a_unix_socket_and_traced(tmp_path: Path) -> None:
    path = f"{tmp_path}/socket"
    listen = ["-listen=127.0.0.1", f"-listen={path}"]
    listen += [f"-tls-cert={CERTIFICATE}", f"-tls-key={CERTIFICATE}"]
    with Chat(tmp_path / "clock", flags=listen) as chat:
        pin = fingerprint_of(first_certificate(Path(CERTIFICATE).read_text()))
        for host, flags in ((path, []), ("127.0.0.1", [f"-tls-fingerprint={pin}"])):
            trace = tmp_path / "trace"
            window = chat.sit_down(*flags, f"-trace={trace}", host=host)
            window.sees(typed="Alice·1❯")
            window.keys("hello\\r:Msg Alice psst\\r")
            window.sees("         Alice │ hello", "         Alice » → Alice: psst")
            window.keys("\\x04")
            window.closes(0)
            assert "hello\\\\n" in trace.read_text()
            assert not {PASSCODE, "psst"} & {*re.findall(r"\w+", trace.read_text())}


# A passcode that is not given is asked for.


def test_passcode_is_asked_for_and_not_shown(chat: Chat) -> None:
    window = chat.sit_down(passcode=())
    window.waits_for(lambda: window.rows() == ["Passcode:"])
    window.keys(f"x\\x15{PASSCODE}\\r")
    window.sees("               │ no one else is here yet", typed="Alice·1❯")
    assert PASSCODE not in "".join(window.rows())
    window.keys("\\x04")
    window.closes(0)


def test_empty_passcode_is_a_usage_error(chat: Chat) -> None:
    window = chat.sit_down(passcode=())
    window.waits_for(lambda: window.rows() == ["Passcode:"])
    window.keys("\\r")
    window.complains("error: the passcode must not be empty (-help shows how)")
    window.closes(2)


# The terminal is left as it was found.


def settings(window: Window) -> list[object]:
    return termios.tcgetattr(window.stdout.fileno())


@pytest.fixture
def as_found() -> Iterator[list[object]]:
    """The settings of a window's terminal before its client, which begins at once, changes them."""
    ours, theirs = os.openpty()
    yield termios.tcgetattr(ours)
    os.close(ours)
    os.close(theirs)


def test_signal_leaves_the_terminal_that_is_asked_as_it_was(
    chat: Chat, as_found: list[object]
) -> None:
    window = chat.sit_down(passcode=())
    window.waits_for(lambda: window.rows() == ["Passcode:"])
    assert settings(window) != as_found
    window.keys("half\\x03")
    window.closes(-signal.SIGINT)
    assert settings(window) == as_found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP])
def test_signal_leaves_the_terminal_as_it_was(
    chat: Chat, number: int, as_found: list[object]
) -> None:
    window = chat.sit_down()
    window.sees(typed="Alice·1❯")
    assert settings(window) != as_found
    window.keys("half")
    window.sees(typed="Alice·1❯ half")
    window.signal(number)
    window.closes(-number)
    assert "half" not in window.rows()[-1]
    # A terminal that no one else has open is as its last user has left it.
    assert settings(window) == as_found


def test_crash_leaves_the_terminal_as_it_was(chat: Chat, as_found: list[object]) -> None:
    crash = "from terminal.conversation import Conversation; Conversation.take_first_list = crash"
    window = chat.sit_down(patch=f"crash = lambda *_: sys.exit(7); {crash}")
    window.closes(7)
    assert settings(window) == as_found


def test_vanished_terminal_ends_the_client(chat: Chat) -> None:
    bob = chat.enter("Bob")
    window = chat.sit_down()
    window.sees(typed="Alice·2❯")
    bob.shows("Alice joined the chatroom")
    window.hang_up()
    bob.shows("Alice left the chatroom")
    window.ends(-signal.SIGHUP)
    bob.close()


# Where it is not possible.

WITHOUT = {
    "sys.modules['readline'] = None": ("line", "this Python has no readline module "),
    "import readline, types; sys.modules['readline'] = types.ModuleType('readline', 'libedit')": (
        "line",
        "this Python has libedit in place of GNU readline",
    ),
    "from terminal import readline_binding as b; b._FUNCTIONS += ('rl_of_tomorrow',)": (
        "line",
        "this Python's readline is too old ",
    ),
    "sys.modules['prompt_toolkit'] = None": (
        "full",
        "it needs prompt_toolkit: pip install 'chatroom[tui]'",
    ),
    "del sys.modules['terminal'], sys.path[:2]": (
        "full",
        "it needs the folder terminal/, which is not beside the program",
    ),
}


@pytest.mark.parametrize("patch", WITHOUT)
def test_missing_package_is_told_in_one_line(tmp_path: Path, patch: str) -> None:
    ui, lack = WITHOUT[patch]
    with Chat(tmp_path / "clock", ui) as chat:
        window = chat.sit_down(patch=patch, forked=False)
        line = window.stderr.take_line()
        assert line.startswith(f"error: -ui {ui} is not possible: {lack}")
        window.closes(2)


def test_dumb_or_missing_terminal_is_a_usage_error() -> None:
    with Stage() as stage:
        flags = ["-join", "-host=x", "-port=1", "-username=A", "-passcode=p", "-ui=line"]
        command = [sys.executable, "client.py", *flags]
        piped = stage.run(Program, "piped", command)
        piped.exits(
            2, "error: -ui line needs a terminal, and standard input is none (-help shows how)"
        )
        dumb = stage.run(Program, "dumb", command, on_terminal=True, env={"TERM": "dumb"})
        dumb.exits(
            2,
            "error: -ui line needs a terminal, and TERM says that this one cannot draw"
            " (-help shows how)",
        )


def test_programs_load_no_feature_that_is_not_asked_for() -> None:
    """What a session without flags has loaded by its end."""
    features = {"ssl", "tracing", "chat.admin", "chat.history", "chat.transcript", "terminal.line"}
    features |= {"ctypes", "readline", "terminal.conversation", "terminal.link", "chat.resume"}
    features |= {"prompt_toolkit", "asyncio", "h11", "wsproto", "web", "hiredis", "cluster"}
    features |= {"hashlib"}  # and so OpenSSL
    patch = f"import atexit; atexit.register(lambda: print({features} & {{*sys.modules}}))"
    with Room(patch=patch) as room:
        alice = room.start_member("Alice", patch=patch)
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.server.shows("Alice joined the chatroom")
        alice.end_input()
        room.server.shows("Alice left the chatroom")
        alice.shows("set()")
        alice.exits(0)
        room.server.signal(signal.SIGTERM)
        room.server.shows("set()")
        room.server.exits(0)


@fault(36)
@pytest.mark.skipif(not HAS_PROC, reason="NOT TESTED: the kernel does not tell")
def test_drawn_client_with_nothing_to_do_does_not_wake_up(chat: Chat) -> None:
    window = chat.alice()
    chat.person("Bob").types("hello", "Alice?")
    window.sees("           Bob │ Alice?")  # by the frame that was due, so that none is any more
    window.keys("half")
    window.sees(typed="Alice·2❯ half")
    before = switches_once_asleep(window)
    for _ in range(2):  # the while of it
        passer_by = chat.start("client.py", "-version", forked=False)
        passer_by.stdout.take_line()
        passer_by.exits(0)
    assert switches_once_asleep(window) == before
    window.keys("\\x15\\x04")
    window.closes(0)
