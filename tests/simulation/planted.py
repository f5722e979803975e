"""Bugs planted by hand: `python -m tests.simulation.planted [NAME ...]` says which are caught.

Each is put into a copy of the tree, where the same seeds run as in test_simulation.py. It prints,
for each, how many of them fail and the first that does, and ends with status 1 if none does. Where
the product's text has changed so that a bug does not fit any more, it stops and says so.

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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from tests.simulation.script import make_script
from tests.simulation.shrink import failure_of

ROOT = Path(__file__).resolve().parent.parent.parent

SEEDS = range(300)

MOST_SECONDS_OF_A_SEED = 8.0
"""CPU time. Whoever takes more hangs within one turn, where the simulation has no say."""

COPIES_AT_A_TIME = 2

PARTS = ("codec", "reactor", "tests", "*.py", "pyproject.toml")


class Bug(NamedTuple):
    """In `file`, `old`, which stands there once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


# What is queued, sent and kept.

FANOUT = [
    Bug(
        "a line said when the page is full is dropped",
        "reactor/fanout.py",
        "        start = self.log.end\n        self.log.append(data)\n",
        "        start = self.log.end\n"
        "        if self.free_bytes() <= 0:\n            return\n"
        "        self.log.append(data)\n",
    ),
    Bug(
        "a byte is lost where two pages meet",
        "reactor/fanout.py",
        "            start += len(piece)\n",
        "            start += len(piece) + (start + len(piece) < end)\n",
    ),
    Bug(
        "the rest of a cut that was sent in part is forgotten",
        "reactor/fanout.py",
        "                if step < len(cut.data):\n",
        "                if False:\n",
    ),
    Bug(
        "a page that somebody still needs is dropped",
        "reactor/fanout.py",
        "            min((cursor.needed_from for",
        "            max((cursor.needed_from for",
    ),
    Bug(
        "Log.drop_before drops one page too many",
        "reactor/fanout.py",
        "count = max(0, bisect_right(self._starts, position) - 1)",
        "count = bisect_right(self._starts, position)",
    ),
    Bug(
        "Log.drop_before keeps the last page",
        "reactor/fanout.py",
        "        if position < self.sealed_end:\n",
        "        if position <= self.sealed_end:\n",
    ),
    Bug(
        "a private line in the wrong place",
        "reactor/fanout.py",
        "        self._add_cut(Cut(self._end, self._end, data))\n",
        "        place = self._end if self.cuts else self.position\n"
        "        self._add_cut(Cut(place, place, data))\n",
    ),
    Bug(
        "a recipient is skipped when the one before it dies",
        "reactor/fanout.py",
        "        for cursor in list(self._live):\n",
        "        index = -1\n"
        "        while (index := index + 1) < len(self._live):\n"
        "            cursor = list(self._live)[index]\n",
    ),
    Bug(
        "a page for one who has left",
        "reactor/fanout.py",
        "            cursor.stop()\n",
        "",
    ),
    Bug(
        "more pieces than one call takes",
        "reactor/fanout.py",
        "        return pieces[:MAX_PIECES]\n\n    def advance",
        "        return pieces\n\n    def advance",
    ),
    Bug(
        "Buffer.advance keeps an empty piece",
        "reactor/outbound.py",
        "len(pieces[0]) <= sent_bytes",
        "len(pieces[0]) < sent_bytes",
    ),
    Bug(
        "Buffer.advance forgets one byte",
        "reactor/outbound.py",
        "memoryview(pieces[0])[sent_bytes:]",
        "memoryview(pieces[0])[sent_bytes + 1 :]",
    ),
]

# Who waits, and who is cut.

FLOW = [
    Bug(
        "the room is held for ever",
        "reactor/fanout.py",
        "self.is_held = any(",
        "self.is_held = self.is_held or any(",
    ),
    Bug(
        "the room is never held",
        "reactor/fanout.py",
        "self.is_held = any(",
        "self.is_held = False and any(",
    ),
    Bug(
        "those who wait are never heard",
        "room.py",
        "is_held or self.fanout.free_bytes(WAITING_PAGES) <= 0:\n                return\n",
        "is_held or self.fanout.free_bytes(0) <= 0:\n                return\n",
    ),
    Bug(
        "those who wait are heard in any order",
        "room.py",
        "        for session in list(self._waiting):\n",
        "        for session in reversed(list(self._waiting)):\n",
    ),
    Bug(
        "one who waits does not go behind the others",
        "room.py",
        "                del self._waiting[session]\n                session.go_on()\n",
        "                session.go_on()\n"
        "                if session.connection._is_reading:\n"
        "                    del self._waiting[session]\n",
    ),
    Bug(
        "those who wait have both pages",
        "room.py",
        "            if self._take_lines(WAITING_PAGES):\n",
        "            if self._take_lines(ALL_PAGES):\n",
    ),
    Bug(
        "whoever speaks up has no page of its own",
        "room.py",
        "        self._take_lines(ALL_PAGES)\n",
        "        self._take_lines(WAITING_PAGES)\n",
    ),
    Bug(
        "how many pages may be fed does not count",
        "reactor/fanout.py",
        "        return max_pages * self._page_bytes - (",
        "        return 2 * self._page_bytes - (",
    ),
    Bug(
        "turns are never full",
        "reactor/fanout.py",
        "        return max_pages * self._page_bytes - (",
        "        return 100 * max_pages * self._page_bytes - (",
    ),
    Bug(
        "turns shrink to nothing",
        "reactor/fanout.py",
        "max(MIN_TURN_BYTES, self._turn_bytes // 2)",
        "self._turn_bytes // 2",
    ),
    Bug(
        "turns grow without end",
        "reactor/fanout.py",
        "min(MAX_TURN_BYTES, self._turn_bytes + TURN_STEP_BYTES)",
        "self._turn_bytes + TURN_STEP_BYTES",
    ),
    Bug(
        "a page for many members holds next to nothing",
        "reactor/fanout.py",
        "        return max(MIN_PAGE_BYTES, min(PAGE_BYTES, self._turn_bytes // "
        "max(1, len(self._live))))\n",
        "        return min(PAGE_BYTES, self._turn_bytes // max(1, len(self._live)))\n",
    ),
    Bug(
        "one who takes nothing is never cut",
        "reactor/flow.py",
        "        if now >= self.last_taken + STALL_SECONDS:\n",
        "        if False:\n",
    ),
    Bug(
        "one who is behind is never cut",
        "reactor/flow.py",
        "        if is_over or unsent_bytes",
        "        if False and unsent_bytes",
    ),
    Bug(
        "one who is behind and drains well is cut",
        "reactor/flow.py",
        "self.window_bytes >= DRAIN_BYTES)",
        "self.window_bytes > 1000 * DRAIN_BYTES)",
    ),
    Bug(
        "one who does not read is heard all the same",
        "room.py",
        " or cursor.is_owed_a_page_of_its_own)",
        ")",
    ),
    Bug(
        "what the process slept counts",
        "reactor/loop.py",
        "self.now - asleep_at > wait_seconds + GRACE_SECONDS:\n",
        "self.now - asleep_at > wait_seconds + 1e9:\n",
    ),
]

# Sockets, readiness, time.

REACTOR = [
    Bug(
        "write interest is lost",
        "reactor/connection.py",
        "        self._is_waiting = self.outbound.owed_bytes > 0\n"
        "        self._update_interest()\n",
        "        self._is_waiting = self.outbound.owed_bytes > 0\n",
    ),
    Bug(
        "write interest is kept",
        "reactor/connection.py",
        "        self._is_waiting = False\n        self._update_interest()\n",
        "        self._update_interest()\n",
    ),
    Bug(
        "the end of a stream is read for ever",
        "reactor/connection.py",
        "READ if self._is_reading and not self._has_eof else 0",
        "READ if self._is_reading else 0",
    ),
    Bug(
        "an event for a descriptor that was used again",
        "reactor/loop.py",
        "            if self._handlers.get(key.fd) is handler:\n",
        "            if handler := self._handlers.get(key.fd):\n",
    ),
    Bug(
        "EINTR in recv is death",
        "reactor/connection.py",
        "        except (BlockingIOError, InterruptedError):\n            return\n",
        "        except BlockingIOError:\n            return\n",
    ),
    Bug(
        "EINTR in send is death",
        "reactor/connection.py",
        "        except (BlockingIOError, InterruptedError):\n            return 0\n",
        "        except BlockingIOError:\n            return 0\n",
    ),
    Bug(
        "a failed send forgets the last words that were received",
        "reactor/connection.py",
        "        self._shut_half(socket.SHUT_RDWR)\n",
        "        self._shut_half(socket.SHUT_RDWR)\n        self._die(error)\n",
    ),
    Bug(
        "a close does not wait for the peer's end",
        "reactor/connection.py",
        "        if self.is_closing and self._has_eof:\n"
        "            self._die(None)\n\n    def _let",
        "        if self.is_closing:\n            self._die(None)\n\n    def _let",
    ),
    Bug(
        "a descriptor is leaked",
        "reactor/connection.py",
        "        with contextlib.suppress(OSError):\n            self._socket.close()\n",
        "",
    ),
    Bug(
        "one that lingers is never ended",
        "reactor/connection.py",
        "        self._linger_timer = self._reactor.call_later(LINGER_SECONDS, self.abort)\n",
        "",
    ),
    Bug(
        "accepting stops at ECONNABORTED",
        "reactor/listener.py",
        "            except (BlockingIOError, InterruptedError):\n",
        "            except (BlockingIOError, InterruptedError, ConnectionAbortedError):\n",
    ),
    Bug(
        "a rest at the door has no end",
        "reactor/listener.py",
        "        self._reactor.set_interest(self._socket.fileno(), 0, self)\n"
        "        self._reactor.call_later(REST_SECONDS, self._watch)\n",
        "        self._reactor.set_interest(self._socket.fileno(), 0, self)\n",
    ),
    Bug(
        "a cancelled timer fires",
        "reactor/timers.py",
        "            self.callback = None\n            self._timers",
        "            self._timers",
    ),
    Bug(
        "of two timers of one instant one is lost",
        "reactor/timers.py",
        "            due.append(heapq.heappop(self._heap))\n        return due\n",
        "            due.append(heapq.heappop(self._heap))\n"
        "        return [t for t in due if t is due[0] or t.deadline != due[0].deadline]\n",
    ),
]

# Who is in the room, and who says what.

ROOM = [
    Bug(
        "read interest is lost after a pause",
        "room.py",
        "            if self._take_lines(WAITING_PAGES):\n"
        "                self.connection.resume_reading()\n",
        "            self._take_lines(WAITING_PAGES)\n",
    ),
    Bug(
        "left is announced twice",
        "room.py",
        "        self.fanout.unsubscribe(cursor)\n"
        "        self._print_and_broadcast(deliveries, skip=None)\n",
        "        self.fanout.unsubscribe(cursor)\n"
        "        self._print_and_broadcast(deliveries, skip=None)\n"
        "        self._print_and_broadcast(deliveries, skip=None)\n",
    ),
    Bug(
        "left is not announced when the connection is lost",
        "room.py",
        "        self._part()\n        self._room.leave(self)\n",
        "        self._room.leave(self)\n",
    ),
    Bug(
        "half a line is taken at the end of the stream",
        "room.py",
        '            self._room.journal.note_end("end of stream")\n',
        '            self._room.journal.note_end("end of stream")\n'
        '            self._decoder.feed_data(b"\\n")\n            self._take_lines(ALL_PAGES)\n',
    ),
    Bug(
        "what comes behind :Exit is obeyed",
        "room.py",
        "            self._end_membership(self._cursor, deliveries)\n"
        "            self.connection.close()\n",
        "            self._end_membership(self._cursor, deliveries)\n",
    ),
    Bug(
        "a name is not free after its owner has left",
        "codec/dispatcher.py",
        '        del self._members[_fold(username)]\n        self._users_line = b""\n',
        '        self._users_line = b""\n',
    ),
    Bug(
        "the list of members is out of date",
        "codec/dispatcher.py",
        '        del self._members[_fold(username)]\n        self._users_line = b""\n',
        "        del self._members[_fold(username)]\n",
    ),
    Bug(
        "a line that is too long is skipped with the one behind it",
        "codec/framing.py",
        "        self._skipping = end < 0\n",
        "",
    ),
    Bug(
        "a wrong passcode costs nothing",
        "gate.py",
        "        self._whole_at[source] = whole_at + ATTEMPT_SECONDS\n",
        "        self._whole_at[source] = whole_at\n",
    ),
    Bug(
        "however many wait to be judged",
        "gate.py",
        "        if len(queue) < MAX_WAITING_REQUESTS:\n",
        "        if True:\n",
    ),
    Bug(
        "who guesses too often is judged before it is turned away",
        "gate.py",
        "            stranger.turn_away(ProtocolError(TOO_MANY_ATTEMPTS))\n        return False\n",
        "            return True\n        return False\n",
    ),
    Bug(
        "one who is gone is judged when its turn comes",
        "room.py",
        "            if self._request and self.connection.is_lost():\n",
        "            if False:\n",
    ),
    Bug(
        "of those who wait to be judged only the first is",
        "gate.py",
        "        if queue:\n            self._call_when_due(source)\n        else:\n",
        "        if not queue:\n",
    ),
    Bug(
        "a stranger's last words are not sent when it is dropped",
        "reactor/connection.py",
        "        self.close()\n        self.flush()\n        self._die(None)\n",
        "        self._die(None)\n",
    ),
]

BUGS = [*FANOUT, *FLOW, *REACTOR, *ROOM]


def main() -> int:
    wanted = sys.argv[1:]
    bugs = [bug for bug in BUGS if not wanted or bug.name in wanted]
    for bug in bugs:
        _plant(bug, (ROOT / bug.file).read_text(encoding="utf-8"))  # all fit, or none is tried
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


def failing_seeds_in_copy(bug: Bug | None) -> list[int]:
    """Which seeds fail where `bug` is planted."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for path in _files():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, copy / path)
        if bug:
            file = copy / bug.file
            file.write_text(_plant(bug, file.read_text(encoding="utf-8")), encoding="utf-8")
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


def _plant(bug: Bug, text: str) -> str:
    if text.count(bug.old) != 1:
        raise SystemExit(
            f"{bug.name}: {bug.file} holds this {text.count(bug.old)} times:\n{bug.old}"
        )
    return text.replace(bug.old, bug.new)


def _files() -> Iterator[Path]:
    for part in PARTS:
        for path in ROOT.glob(part):
            found = path.rglob("*.py") if path.is_dir() else [path]
            yield from (file.relative_to(ROOT) for file in found)


def _environment() -> dict[str, str]:
    """Nothing that leads an import out of the copy."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


if __name__ == "__main__":
    sys.exit(main())
