"""How a client that draws begins, loses its room, finds it again, and ends."""

from __future__ import annotations

import signal
import socket
import sys
import termios
from pathlib import Path

import pytest

from tests.support.programs import PASSCODE, Program, RawClient, Room, Stage, free_port
from tests.support.window import Window
from tests.terminal.conftest import Chat


class Stub(Chat):
    """A server that is what the test makes of it, beside the real one."""

    def open(self) -> None:
        super().open()
        self._listener = self._resources.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.stub_port: int = self._listener.getsockname()[1]

    def accept(self, *expected: str) -> RawClient:
        """The next connection, which has said so."""
        peer = self.take_over(self._listener.accept()[0], "the server's end")
        peer.shows(*expected)
        return peer


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return Stub(tmp_path / "clock")


CAME_BACK = "Connected to 127.0.0.1 on port {port}"
ENTER, JOIN = f"ENTER Alice {PASSCODE}", f"JOIN Alice {PASSCODE}"


def test_lost_room_is_joined_again_with_the_line_kept(stub: Stub) -> None:
    with stub:
        window = stub.sit_down(port=stub.stub_port)
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
        window.sees(f"             · │ waiting for 127.0.0.1 port {stub.stub_port} …")
        server.close()
        window.sees(
            "               │ connection closed by the server; trying again in 1 s",
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
            "               │ away for too long: what was said meanwhile is lost",
            "             ? │ not confirmed: half",
            f"             · │ Connected to 127.0.0.1 on port {stub.stub_port}",
            "               │ no one else is here yet",
        )
        window.keys("\\x04")
        server.shows(":Exit")
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


# The terminal is left as it was found.


def settings(window: Window) -> list[object]:
    return termios.tcgetattr(window.stdout.fileno())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP])
def test_signal_leaves_the_terminal_as_it_was(chat: Chat, number: int) -> None:
    window = chat.sit_down()
    before = settings(window)
    window.sees(typed="Alice·1❯")
    assert settings(window) != before
    window.keys("half")
    window.sees(typed="Alice·1❯ half")
    window.signal(number)
    window.closes(-number)
    assert "half" not in window.rows()[-1]
    # A terminal that no one else has open is as its last user has left it.
    assert settings(window) == before


def test_crash_leaves_the_terminal_as_it_was(chat: Chat) -> None:
    crash = "from terminal.conversation import Conversation; Conversation.take_first_list = crash"
    window = chat.sit_down(patch=f"crash = lambda *_: sys.exit(7); {crash}")
    before = settings(window)
    window.closes(7)
    assert settings(window) == before


def test_vanished_terminal_ends_the_client(chat: Chat) -> None:
    bob = chat.enter("Bob")
    window = chat.sit_down()
    window.sees(typed="Alice·2❯")
    bob.shows("Alice joined the chatroom")
    window.hang_up()
    bob.shows("Alice left the chatroom")
    window.ends(-signal.SIGHUP)


# Where it cannot be had.

WITHOUT = {
    "sys.modules['readline'] = None": "this Python has no readline module ",
    "import readline, types; sys.modules['readline'] = types.ModuleType('readline', 'libedit')": (
        "this Python has libedit in place of GNU readline"
    ),
    "from terminal import readline_binding as b; b._FUNCTIONS += ('rl_of_tomorrow',)": (
        "this Python's readline is too old "
    ),
}


@pytest.mark.parametrize("patch", WITHOUT)
def test_missing_readline_is_told_in_one_line(chat: Chat, patch: str) -> None:
    window = chat.sit_down(patch=patch)
    assert window.stderr.take_line().startswith(f"error: -ui line cannot be had: {WITHOUT[patch]}")
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


def test_plain_client_loads_nothing_of_it() -> None:
    drawing = "{'ctypes', 'readline', 'terminal.line', 'terminal.conversation'}"
    with Room() as room:
        patch = "import atexit; atexit.register(lambda: print(" + drawing + " & {*sys.modules}))"
        alice = room.start_member("Alice", patch=patch)
        alice.shows(f"Connected to 127.0.0.1 on port {room.port}")
        room.server.shows("Alice joined the chatroom")
        alice.end_input()
        room.server.shows("Alice left the chatroom")
        alice.shows("set()")
        alice.exits(0)
