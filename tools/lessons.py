"""Draws the pictures of docs/LESSONS.md: `python3 -m tools.lessons FOLDER`.

Each is what a real server has just recorded (-trace) while a small session was played to it. The
short sleeps give TCP the time to deliver each piece by itself.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.programs import PASSCODE, Program, Room, Stage, free_port
from tools.diagram.ladder import Builder, read_events
from tools.diagram.svg import draw

PIECE_SECONDS = 0.05
SMALL_BUFFER_BYTES = 8 * 1024
PATIENT_CONSOLE = "import reactor.stdio; reactor.stdio.SINK_BYTES = 1 << 26"
FLOOD_LINES = 6000  # of 1,000 bytes: more than a server keeps for one that has never read
LINES_NOT_READ = 300


def one_line(room: Room) -> None:
    alice, bob, carol = (room.join_raw(name) for name in ("Alice", "Bob", "Carol"))
    alice.types("Hello Room")
    for reader in (room.server, bob, carol):
        reader.shows("Alice: Hello Room")


def cut_and_joined(room: Room) -> None:
    alice, bob = room.join_raw("Alice"), room.join_raw("Bob")
    alice.types("one", "two")
    bob.shows("Alice: one", "Alice: two")
    for piece in (b"thr", b"ee is o", b"ne line\n"):
        time.sleep(PIECE_SECONDS)
        alice.feed(piece)
    bob.shows("Alice: three is one line")


def slow_reader(room: Room) -> None:
    alice, carol = room.join_raw("Alice"), room.join_raw("Carol")
    with join_small(room, "Bob"):
        carol.shows("Bob joined the chatroom")
        alice.types(*long_lines(FLOOD_LINES))
        # The lines, and somewhere between them that Bob left.
        room.pump.wait(lambda: carol.stdout.unread.count(b"\n") > FLOOD_LINES)
        carol.stdout.unread.clear()


def half_close(room: Room) -> None:
    alice = room.join_raw("Alice")
    with join_small(room, "Bob") as bob:
        alice.shows("Bob joined the chatroom")
        alice.types(*long_lines(LINES_NOT_READ))
        time.sleep(PIECE_SECONDS)
        bob.shutdown(socket.SHUT_WR)
        alice.shows("Bob left the chatroom")
        while bob.recv(1 << 16):
            pass


def join_small(room: Room, username: str) -> socket.socket:
    """A member whose host keeps little for it, and who does not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    sock.connect(("127.0.0.1", room.port))
    sock.sendall(f"JOIN {username} {PASSCODE}\n".encode())
    return sock


def long_lines(count: int) -> list[str]:
    return [f"line {number} ".ljust(999, ".") for number in range(count)]


def reset(room: Room) -> None:
    alice, bob = room.join_raw("Alice"), room.join_raw("Bob")
    alice.types("Is Bob there?")
    bob.shows("Alice: Is Bob there?")
    bob.reset()
    alice.shows("Bob left the chatroom")


def wrong_passcode(room: Room) -> None:
    eve = room.connect("Eve")
    eve.types("JOIN Eve guess", "JOIN Eve another")
    eve.shows("ERROR Incorrect passcode")
    eve.goes_home()


def no_framing(trace: Path) -> None:
    """A solution that takes one recv for one message, behind the relay."""
    port, server_port = free_port(), free_port()
    folder = "tests/grader/solutions/no_framing"
    python, passcode = sys.executable, ("-passcode", PASSCODE)
    with Stage() as stage:

        def run(name: str, *words: object) -> Program:
            return stage.run(Program, name, [python, *map(str, words)])

        server = run("server", f"{folder}/server.py", "-start", "-port", server_port, *passcode)
        server.stdout.take_line()
        tap = run("tap", *("-m", "tools.tap", "-port", port, "-to", server_port, "-trace", trace))
        tap.stderr.take_line()
        client = (f"{folder}/client.py", "-join", "-host", "127.0.0.1", "-port", port, *passcode)
        bob = run("Bob", *client, "-username", "Bob")
        bob.stdout.take_line()
        alice = run("Alice", *client, "-username", "Alice")
        bob.stdout.take_line()
        alice.types("one", "two", "three")
        alice.end_input()
        time.sleep(10 * PIECE_SECONDS)
        tap.terminate()
        tap.process.wait()
        for program in (server, bob, alice, tap):
            program.process.kill()
            program.has_ended = True


IN_OUR_ROOM: dict[str, Callable[[Room], None]] = {
    "one-line": one_line,
    "cut-and-joined": cut_and_joined,
    "slow-reader": slow_reader,
    "half-close": half_close,
    "reset": reset,
    "wrong-passcode": wrong_passcode,
}

PICTURES = (*IN_OUR_ROOM, "no-framing")


def record(play: Callable[[Room], None], trace: Path) -> None:
    """Play a session to a server that writes `trace`."""
    room = Room("-trace", str(trace), patch=PATIENT_CONSOLE)
    try:
        room.open()
        play(room)
        time.sleep(PIECE_SECONDS)
        room.server.process.kill()  # or the end of its members would be in the picture
        room.server.process.wait()
    finally:
        room.close()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        trace = Path(scratch, "trace")
        for name, play in IN_OUR_ROOM.items():
            record(play, trace)
            save(trace, folder / f"{name}.svg")
        no_framing(trace)
        save(trace, folder / "no-framing.svg")


def save(trace: Path, picture: Path) -> None:
    events = read_events(trace.read_text("utf-8"))
    picture.write_text(draw(Builder(events).ladder), "utf-8")


if __name__ == "__main__":
    main()
