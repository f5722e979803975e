"""What clients at a terminal cost: `python -m tools.measure_clients` prints docs/CLIENT.md's table.

Each sits at a pseudo-terminal of 80 columns that is always read. It is measured idle for
IDLE_SECONDS, and then while LINES lines come, a hundred at once. WeeChat speaks IRC, so that it is
talked to by as much of a server of IRC as it needs. A second table is of what `-ui full` adds:
what it keeps, and how fast it draws. All of it is one run.

Needs /proc, weechat and rlwrap.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.programs import PASSCODE, Program, Room, Stage

IDLE_SECONDS = 20.0
LINES = 20_000
TEXT = "a line of chat that is about as long as most of them are"

_TICKS = os.sysconf("SC_CLK_TCK")


def usage(pid: int) -> tuple[float, int, float]:
    """CPU seconds, wake-ups, and MB of memory (proc(5): stat, status; private and shared)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    wakeups = int(status["voluntary_ctxt_switches"])
    return (
        (int(fields[11]) + int(fields[12])) / _TICKS,
        wakeups,
        int(status["VmRSS"].split()[0]) / 1024,
    )


def measure(program: Program, stage: Stage, say: Callable[[str], None]) -> str:
    """Its row of the table. Lines come by `say`; the last one is waited for."""

    pids = [program.pid, *_children(program.pid)]
    _pass_time(stage, program, 3.0)
    before = [usage(pid) for pid in pids]
    _pass_time(stage, program, IDLE_SECONDS)
    idle = [usage(pid) for pid in pids]
    for number in range(0, LINES, 100):
        say("".join(f"{TEXT} {x}\n" for x in range(number, number + 100)))
        wanted = f"{TEXT} {number + 99}".encode()
        stage.pump.wait(lambda wanted=wanted: wanted[-8:] in program.stdout.unread)  # type: ignore[misc]
        program.stdout.unread.clear()
    after = [usage(pid) for pid in pids]
    wakeups = sum(y[1] - x[1] for x, y in zip(before, idle, strict=True)) / IDLE_SECONDS * 60
    busy = sum(y[0] - x[0] for x, y in zip(idle, after, strict=True)) / LINES * 1e6
    memory = sum(x[2] for x in idle)
    return f"| {program.name} | {memory:.1f} MB | {wakeups:.0f} | {busy:.0f} µs |"


def _pass_time(stage: Stage, program: Program, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stage.pump.turn(max(0.0, end - time.monotonic()))
        program.stdout.unread.clear()


def _wait_until_it_prints(stage: Stage, program: Program) -> None:
    stage.pump.wait(lambda: bool(program.stdout.unread))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def measure_ours() -> None:
    with Room() as room, contextlib.suppress(BrokenPipeError):
        room.server.stdout.pause()
        bob = room.connect("Bob")
        bob.types(f"JOIN Bob {PASSCODE}")
        flags = ["-join", "-host=127.0.0.1", f"-port={room.port}", f"-passcode={PASSCODE}"]
        client = [sys.executable, "client.py", *flags]
        for name, command in {
            "`client.py -ui full`": [*client, "-username=Full", "-ui=full"],
            "`client.py -ui line`": [*client, "-username=Line", "-ui=line"],
            "`client.py`": [*client, "-username=Plain"],
            "`rlwrap nc`": ["rlwrap", "nc", "127.0.0.1", str(room.port)],
        }.items():
            program = room.run(
                Program, name, command, on_terminal=True, with_echo=True, env={"TERM": "xterm"}
            )
            if "nc" not in name:
                _wait_until_it_prints(room, program)
            if "nc" in name:
                time.sleep(0.5)
                program.feed(f"JOIN Nc {PASSCODE}\n".encode())
            print(measure(program, room, lambda text: bob.feed(text.encode())), flush=True)
            program.close()
            program.has_ended = True
        bob.close()
        room.server.stdout.resume()
        room.server.terminate()


def measure_weechat() -> None:
    folder = tempfile.mkdtemp()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    start = f"/server add x 127.0.0.1/{port} -notls -autojoin=#c;/connect x"
    try:
        with Stage() as stage:
            program = stage.run(
                Program,
                "WeeChat",
                ["weechat", "-d", folder, "-r", start],
                on_terminal=True,
                with_echo=True,
                env={"TERM": "xterm"},
            )
            stage.pump.watch(listener.fileno(), 1, lambda: None)
            stage.pump.wait(lambda: bool(program.stdout.unread))
            stage.pump.forget(listener.fileno())
            peer = listener.accept()[0]
            peer.sendall(b":s 001 me :hello\r\n")
            seen = b""
            while b"JOIN #c" not in seen:
                seen += peer.recv(4096)
            peer.sendall(b":me!u@h JOIN #c\r\n:s 353 me = #c :me bob\r\n:s 366 me #c :end\r\n")
            head = ":bob!u@h PRIVMSG #c :"

            def say(text: str) -> None:
                peer.sendall("".join(f"{head}{line}\r\n" for line in text.splitlines()).encode())

            print(measure(program, stage, say), flush=True)
            program.close()
            program.has_ended = True
    finally:
        shutil.rmtree(folder)


def measure_drawing(ui: str) -> None:
    """Its row of the second table. Lines come from a socket of ours: no server takes time."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Stage() as stage:
        port = listener.getsockname()[1]
        flags = ["-join", "-host=127.0.0.1", f"-port={port}", "-username=Alice", "-passcode=p"]
        command = [sys.executable, "client.py", *flags, f"-ui={ui}"]
        env = {"TERM": "xterm-256color"}
        program = stage.run(Program, ui, command, on_terminal=True, with_echo=True, env=env)
        _wait_until_it_prints(stage, program)
        peer = listener.accept()[0]
        peer.sendall(b"OK\nActive Users: Bob, Alice\n")
        _pass_time(stage, program, 2.0)
        start = usage(program.pid)
        _pass_time(stage, program, 10.0)
        idle = usage(program.pid)
        for number in range(1000):
            peer.sendall(_said(number, number + 1))
            _pass_time(stage, program, 1 / 200)
        steady = usage(program.pid)
        burst = sorted(_burst(stage, program, peer, n * LINES) for n in range(5))
        _pass_time(stage, program, 1.0)
        kept = usage(program.pid)
        print(
            f"| `-ui {ui}` | {start[2]:.1f} MB | {kept[2]:.1f} MB | {idle[1] - start[1]} "
            f"| {steady[0] - idle[0]:.2f} s | {burst[0]:.2f}, {burst[2]:.2f}, {burst[-1]:.2f} s |",
            flush=True,
        )
        program.close()
        program.has_ended = True


def _burst(stage: Stage, program: Program, peer: socket.socket, first: int) -> float:
    """Seconds until the last of LINES lines, sent at once, is drawn."""
    program.stdout.unread.clear()
    wanted = f" {first + LINES - 1}".encode()
    begun = time.monotonic()
    sender = threading.Thread(target=peer.sendall, args=(_said(first, first + LINES),))
    sender.start()
    stage.pump.wait(lambda: wanted in program.stdout.unread)
    sender.join()
    return time.monotonic() - begun


def _said(first: int, end: int) -> bytes:
    return "".join(f"Bob: {TEXT} {number}\n" for number in range(first, end)).encode()


def main() -> None:
    print("| client | memory | wake-ups a minute, idle | CPU a line |")
    print("|---|---:|---:|---:|")
    measure_ours()
    measure_weechat()
    print("\n| screen | memory | with 100,000 lines | wake-ups in 10 s, idle ", end="")
    print("| CPU, 1,000 lines at 200 a second | 20,000 at once: least, median, most |")
    print("|---|---:|---:|---:|---:|---:|")
    for ui in ("line", "full"):
        measure_drawing(ui)


if __name__ == "__main__":
    main()
