"""Bugs planted by hand: `python -m tests.simulation.planted [NAME ...]` says which are caught.

Each is put into a copy of the tree, where the same seeds run as in test_simulation.py. It prints,
for each, how many of them fail and the first that does, and ends with status 1 if none does. Where
the product has changed so that a bug does not fit any more, it stops and says so.

It takes a minute or so for each bug.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from tests.simulation.script import make_script
from tests.simulation.shrink import failure_of
from tests.support.patches import Patch, product_files

ROOT = Path(__file__).resolve().parent.parent.parent

SEEDS = range(300)

MOST_SECONDS_OF_A_SEED = 8.0
"""CPU time. Whoever takes more hangs within one turn, where the simulation has no say."""

COPIES_AT_A_TIME = 2

# What is queued, sent and kept.

FANOUT = [
    Patch(
        "a line said when the page is full is dropped",
        "Fanout.broadcast",
        "self.log.append(data)",
        "if self.free_bytes() <= 0:\n    return\n...",
    ),
    Patch(
        "a byte is lost where two pages meet",
        "Log.between",
        "len(piece)",
        "len(piece) + (start + len(piece) < end)",
    ),
    Patch(
        "the rest of a splice that was sent in part is forgotten",
        "Cursor.advance",
        "step < len(splice.data)",
        "False",
    ),
    Patch(
        "a page that somebody still needs is dropped",
        "Fanout._judge",
        "min((cursor.needed_from for cursor in self._lags), default=self.log.sealed_end)",
        "max((cursor.needed_from for cursor in self._lags), default=self.log.sealed_end)",
    ),
    Patch(
        "Log.drop_before drops one page too many",
        "Log.drop_before",
        "max(0, bisect_right(self._starts, position) - 1)",
        "bisect_right(self._starts, position)",
    ),
    Patch(
        "Log.drop_before keeps the last page",
        "Log.drop_before",
        "position < self.sealed_end",
        "position <= self.sealed_end",
    ),
    Patch(
        "a private line in the wrong place",
        "Cursor.append",
        "Splice(self._end, self._end, data)",
        "place = self._end if self.splices else self.position\n"
        "self._add_splice(Splice(place, place, data))",
    ),
    Patch(
        "a recipient is skipped when the one before it dies",
        "Fanout._send_page",
        "list(self._live)",
        "(list(self._live)[at] for at in range(len(self._live)) if at < len(self._live))",
    ),
    Patch("a page for one who has left", "Fanout.unsubscribe", "cursor.stop()", ""),
    Patch(
        "more pieces than one call takes",
        "Cursor.pieces",
        "pieces += log.between(position, min(self._end, log.sealed_end))\n"
        "return pieces[:MAX_PIECES]",
        "pieces += log.between(position, min(self._end, log.sealed_end))\nreturn pieces",
    ),
    Patch(
        "Buffer.advance keeps an empty piece",
        "Buffer.advance",
        "len(pieces[0]) <= sent_bytes",
        "len(pieces[0]) < sent_bytes",
    ),
    Patch(
        "Buffer.advance forgets one byte",
        "Buffer.advance",
        "memoryview(pieces[0])[sent_bytes:]",
        "memoryview(pieces[0])[sent_bytes + 1 :]",
    ),
]

# Who waits, and who is cut.

FLOW = [
    Patch(
        "the room is held for ever",
        "Fanout._judge",
        "any(lag.holds_room for lag in self._lags.values())",
        "self.is_held or any(lag.holds_room for lag in self._lags.values())",
    ),
    Patch(
        "the room is never held",
        "Fanout._judge",
        "any(lag.holds_room for lag in self._lags.values())",
        "False and any(lag.holds_room for lag in self._lags.values())",
    ),
    Patch(
        "those who wait are never heard",
        "Room._let_waiting_talk",
        "self.free_bytes(session.WAITING_PAGES)",
        "self.free_bytes(0)",
    ),
    Patch(
        "those who wait are heard in any order",
        "Room._let_waiting_talk",
        "list(self._waiting)",
        "reversed(list(self._waiting))",
    ),
    Patch(
        "one who waits does not go behind the others",
        "Room._let_waiting_talk",
        "del self._waiting[member]\nmember.go_on()",
        "member.go_on()\n"
        "if member.connection._receiving.name != 'PAUSED':\n"
        "    del self._waiting[member]",
    ),
    Patch("those who wait have both pages", "Member.go_on", "WAITING_PAGES", "ALL_PAGES"),
    Patch(
        "whoever speaks up has no page of its own",
        "Member.data_received",
        "ALL_PAGES",
        "WAITING_PAGES",
    ),
    Patch(
        "how many pages may be fed does not count",
        "Fanout.free_bytes",
        "max_pages * self._page_bytes",
        "2 * self._page_bytes",
    ),
    Patch(
        "turns are never full",
        "Fanout.free_bytes",
        "max_pages * self._page_bytes",
        "100 * max_pages * self._page_bytes",
    ),
    Patch(
        "turns shrink to nothing",
        "Fanout._adapt_turn",
        "max(MIN_TURN_BYTES, self._turn_bytes // 2)",
        "self._turn_bytes // 2",
    ),
    Patch(
        "turns grow without end",
        "Fanout._adapt_turn",
        "min(MAX_TURN_BYTES, self._turn_bytes + TURN_STEP_BYTES)",
        "self._turn_bytes + TURN_STEP_BYTES",
    ),
    Patch(
        "a page for many members holds next to nothing",
        "Fanout._page_bytes",
        "max(MIN_PAGE_BYTES, min(PAGE_BYTES, self._turn_bytes // max(1, len(self._live))))",
        "min(PAGE_BYTES, self._turn_bytes // max(1, len(self._live)))",
    ),
    Patch(
        "one who takes nothing is never cut",
        "Lag.judge",
        "now >= self.last_taken + STALL_SECONDS",
        "False",
    ),
    Patch(
        "one who is behind is never cut",
        "Lag.judge",
        "is_over or unsent_bytes >= MAX_SEND_QUEUE_BYTES",
        "False and unsent_bytes >= MAX_SEND_QUEUE_BYTES",
    ),
    Patch(
        "one who is behind and drains well is cut",
        "Lag.judge",
        "self._begin_window(now, self.window_bytes >= DRAIN_BYTES)",
        "self._begin_window(now, self.window_bytes > 1000 * DRAIN_BYTES)",
    ),
    Patch(
        "one who does not read is heard all the same",
        "Cursor.has_private_backlog",
        "self.private_bytes >= PAGE_BYTES",
        "False",
    ),
    Patch("what the process slept counts", "Reactor.run_once", "GRACE_SECONDS", "1e9"),
]

# Sockets, readiness, time.

REACTOR = [
    Patch(
        "write interest is lost",
        "Connection.wait_until_writable",
        "self._update_interest()",
        "",
    ),
    Patch("write interest is kept", "Connection._send_owed", "self._is_waiting = False", ""),
    Patch(
        "the end of a stream is read for ever",
        "Connection._update_interest",
        "self._receiving is READING",
        "self._receiving is not PAUSED",
    ),
    Patch(
        "an event for a descriptor that was used again",
        "Reactor.run_once",
        "self._handlers.get(key.fd) is handler",
        "(handler := self._handlers.get(key.fd))",
    ),
    Patch(
        "EINTR in recv is death",
        "Connection._read",
        "(BlockingIOError, InterruptedError)",
        "BlockingIOError",
    ),
    Patch(
        "EINTR in send is death",
        "SocketTransport.send",
        "(BlockingIOError, InterruptedError)",
        "BlockingIOError",
    ),
    Patch(
        "a failed send forgets the last words that were received",
        "Connection._let_stream_end",
        "self._shut_half(socket.SHUT_RDWR)",
        "...\nself._die(error)",
    ),
    Patch(
        "a close does not wait for the peer's end",
        "Connection._die_if_done",
        "self.sending is SHUT and self._receiving is ENDED",
        "self.sending is SHUT",
    ),
    Patch(
        "a descriptor is leaked",
        "SocketTransport.close",
        "with contextlib.suppress(OSError):\n    self._socket.close()",
        "",
    ),
    Patch(
        "one that lingers is never ended",
        "Connection.close",
        "self._reactor.call_later(LINGER_SECONDS, self.abort)",
        "",
    ),
    Patch(
        "accepting stops at ECONNABORTED",
        "Listener.handle_events",
        "(BlockingIOError, InterruptedError)",
        "(BlockingIOError, InterruptedError, ConnectionAbortedError)",
    ),
    Patch(
        "a rest at the door has no end",
        "Listener._rest",
        "self._reactor.call_later(REST_SECONDS, self._watch)",
        "",
    ),
    Patch("a cancelled timer fires", "Timer.cancel", "self.callback = None", ""),
    Patch(
        "of two timers of one instant one is lost",
        "Timers.pop_due",
        "return due",
        "return [t for t in due if t is due[0] or t.deadline != due[0].deadline]",
    ),
]

# Who is in the room, and who says what.

ROOM = [
    Patch(
        "read interest is lost after a pause",
        "Member._resume",
        "if self._take_lines(max_pages):\n    self.connection.resume_reading()",
        "self._take_lines(max_pages)",
    ),
    Patch(
        "left is announced twice",
        "Dispatcher.leave",
        "Event(Kind.LEFT, username, left, left)",
        "Event(Kind.LEFT, username, left * 2, left * 2)",
    ),
    Patch(
        "left is not announced when the connection is lost",
        "Member.connection_lost",
        "",
        "self._has_left = True",
    ),
    Patch(
        "half a line is taken at the end of the stream",
        "Member.eof_received",
        "",
        'self._decoder.feed_data(b"\\n")\nself._take_lines(ALL_PAGES)',
    ),
    Patch(
        "what comes behind :Exit is obeyed",
        "Member._take_line",
        "self.connection.close()",
        "",
    ),
    Patch(
        "a name is not free after its owner has left",
        "Roster.apply",
        "self._members.pop(_fold(event.origin), None)",
        "",
    ),
    Patch(
        "the list of members is out of date",
        "Roster.apply",
        'self._members.pop(_fold(event.origin), None)\nself._users_line = b""',
        "self._members.pop(_fold(event.origin), None)",
    ),
    Patch(
        "a line that is too long is skipped with the one behind it",
        "LineDecoder._skip_line",
        "self._skipping = end < 0",
        "",
    ),
    Patch(
        "a wrong passcode costs nothing",
        "Gate.note_wrong_passcode",
        "whole_at + ATTEMPT_SECONDS",
        "whole_at",
    ),
    Patch(
        "however many wait to be judged",
        "Gate.ask",
        "len(queue) < MAX_WAITING_REQUESTS",
        "True",
    ),
    Patch(
        "who guesses too often is judged before it is turned away",
        "Gate.ask",
        "guest.turn_away(ProtocolError(TOO_MANY_ATTEMPTS))",
        "return True",
    ),
    Patch(
        "one who is gone is judged when its turn comes",
        "Guest._go_on",
        "self.connection.is_lost()",
        "False",
    ),
    Patch(
        "of those who wait to be judged only the first is",
        "Gate._serve",
        "if queue:\n    self._call_when_due(source)\nelse:\n    del self._queues[source]",
        "if not queue:\n    del self._queues[source]",
    ),
    Patch(
        "a stranger's last words are not sent when it is dropped",
        "Connection.close_at_once",
        "self.close()\nself.flush()",
        "",
    ),
]

BUGS = [*FANOUT, *FLOW, *REACTOR, *ROOM]


def main() -> int:
    wanted = sys.argv[1:]
    bugs = [bug for bug in BUGS if not wanted or bug.name in wanted]
    for bug in bugs:
        bug.apply(ROOT)  # all fit, or none is tried
    caught = 0
    sound = failing_seeds_in_copy(None)
    print(f"{len(sound)} of {len(SEEDS)} seeds fail without any: {sound[:10]}", flush=True)
    print("| bug | seeds that catch it | first |\n|---|---|---|", flush=True)
    with ThreadPoolExecutor(COPIES_AT_A_TIME) as pool:
        for bug, seeds in zip(bugs, pool.map(failing_seeds_in_copy, bugs), strict=True):
            new = [seed for seed in seeds if seed not in sound]
            first = f"{new[0]}" if new else "missed"
            print(f"| {bug.name} | {len(new)} of {len(SEEDS)} | {first} |", flush=True)
            caught += bool(new)
    print(f"{caught} of {len(bugs)} are caught")
    return 0 if caught == len(bugs) else 1


def failing_seeds_in_copy(bug: Patch | None) -> list[int]:
    """Which seeds fail where `bug` is planted."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for path in _files():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, copy / path)
        if bug:
            bug.write(copy)
        code = "from tests.simulation import planted; planted.print_failing_seeds()"
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, cwd=copy, env=_environment(), stdout=subprocess.PIPE)
        run.check_returncode()
        seeds: list[int] = json.loads(run.stdout)
        return seeds


def print_failing_seeds() -> None:
    """In the copy: run all seeds, each of them for a bounded time."""
    signal.signal(signal.SIGVTALRM, _give_up)
    print(json.dumps([seed for seed in SEEDS if _fails(seed)]))


def _fails(seed: int) -> bool:
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS_OF_A_SEED)
    try:
        return failure_of(make_script(seed)) is not None
    except Exception:  # the bug hurts the simulation itself, or it hangs
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("a seed hangs")


def _files() -> list[Path]:
    tests = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py")]
    return [*product_files(ROOT), *tests, Path("pyproject.toml")]


def _environment() -> dict[str, str]:
    """Nothing that leads an import out of the copy."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


if __name__ == "__main__":
    sys.exit(main())
