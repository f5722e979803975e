"""`python -m tests.cluster.faults [--quick] [--only WORD]`: faults of the engine, the network and
a server, under load.

Each row starts a real Redis and two real servers. Four talkers say 8,000 numbered lines a second
together, two listeners account for each of them, and meanwhile the fault happens. Printed is a
table: what was done, how many lines were lost or doubled, and what was told. Where the
engine keeps its promise, nothing may be lost; where it forgets, members have to be told. The exit
status is 0 if that was so in each row, 1 if not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cluster.bus import CONNECTED_AGAIN, LINES_MISSING, NOT_CONNECTED
from tests.cluster.talk import Account, Peer, Talk
from tests.support import redis as support
from tests.support.redis import KEY, Cluster, Node, Redis

LINES_PER_SECOND = 8000
BEFORE_SECONDS = 2.0
AFTER_SECONDS = 3.0
LEFT_SECONDS = 30.0  # within which others read that members of a dead server left

PATIENCE_SECONDS = 30.0
FORGOTTEN_SECONDS = 6.0  # for lines that may never come

SHORT = {
    NOT_CONNECTED: "connection lost",
    CONNECTED_AGAIN: "connected again",
    LINES_MISSING: "lines may be missing",
}

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)

DAY_AHEAD = {
    "LD_PRELOAD": str(FAKETIME),
    "FAKETIME": "+1d",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}


class Scene:
    """A Redis, two servers, and those who talk there."""

    def __init__(
        self,
        resources: contextlib.ExitStack,
        redis: Redis,
        nodes: list[Node],
        cluster: Cluster,
        talk: Talk,
    ) -> None:
        self.resources = resources
        """What is to be let go of at the end."""
        self.redis = redis
        self.nodes = nodes
        self.cluster = cluster
        self.talk = talk
        self.began_at = 0.0
        """When the fault happened."""
        self.notes: list[str] = []


class Row(NamedTuple):
    """A fault. `aof` is Redis' appendfsync. `forgets`: the engine loses what it had taken."""

    title: str
    run: Callable[[Scene], None]
    aof: str = "everysec"
    forgets: bool = False
    is_quick: bool = False
    stage: str = ""
    """What is special about the scene: "namespace" or "clock"."""


# The faults.


def kill(scene: Scene) -> None:
    scene.redis.kill()
    scene.talk.talk(3)
    scene.redis.start()


def cut(scene: Scene) -> None:
    for _ in range(25):
        for kind in ("normal", "pubsub"):
            scene.redis.call("CLIENT", "KILL", "TYPE", kind)
        scene.talk.talk(0.2)


def stop_redis(seconds: float) -> Callable[[Scene], None]:
    def stop(scene: Scene) -> None:
        scene.redis.signal(signal.SIGSTOP)
        scene.talk.talk(seconds)
        scene.redis.signal(signal.SIGCONT)

    return stop


def stop_node(scene: Scene) -> None:
    scene.nodes[1].program.signal(signal.SIGSTOP)
    scene.talk.talk(5)
    scene.nodes[1].program.signal(signal.SIGCONT)


def fill_memory(scene: Scene) -> None:
    scene.redis.call("CONFIG", "SET", "maxmemory", "1mb")
    scene.talk.talk(3)
    scene.redis.call("CONFIG", "SET", "maxmemory", "0")


def evict(scene: Scene) -> None:
    scene.redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    scene.redis.call("CONFIG", "SET", "maxmemory", "1mb")
    scene.talk.talk(1)
    scene.redis.call("CONFIG", "SET", "maxmemory", "0")


def delete(scene: Scene) -> None:
    scene.redis.call("DEL", KEY)


def kill_node(scene: Scene) -> None:
    """Its members leave, once each, at the other; those are no lost lines that it had not said."""
    talk = scene.talk
    gone: list[Peer] = [talk.listeners[1], talk.talkers[1], talk.talkers[3]]
    scene.nodes[1].program.process.kill()
    talk.lose(gone)
    told = talk.listeners[0].told
    expected = {f"{peer.name} left the chatroom" for peer in gone}
    talk.talk(LEFT_SECONDS, lambda: {line.text for line in told} >= expected)
    left = sorted(line.text for line in told if line.text.endswith(" left the chatroom"))
    seconds = max((line.seconds for line in told if line.text in left), default=0.0)
    if left == sorted(expected):
        scene.notes.append(f"3 members left, once each, after {seconds - scene.began_at:.0f} s")
    else:
        scene.notes.append(f"FAILED: {left}")
    heard = talk.listeners[0].heard
    for peer in gone[1:]:
        numbers = [int(number) for name, number in heard if name == peer.name.encode()]
        if numbers != [*range(len(numbers))]:
            scene.notes.append(f"FAILED: {peer.name} has gaps")


def promote(scene: Scene) -> None:
    """A replica takes over, which had not got the last second of lines."""
    first = scene.redis
    replica = scene.resources.enter_context(Redis("--replicaof", "127.0.0.1", str(first.port)))
    while b"master_link_status:up" not in replica.call("INFO", "replication"):
        scene.talk.talk(0.1)
    scene.talk.talk(1)
    replica.call("REPLICAOF", "NO", "ONE")
    scene.talk.talk(1)
    scene.began_at = scene.talk.now
    first.kill()
    replica.call("CONFIG", "SET", "port", first.port)
    replica.port = first.port


def part(scene: Scene) -> None:
    _ip("link set chat-a down")
    scene.talk.talk(6)
    _ip("link set chat-a up")


def change_clock(scene: Scene) -> None:
    """One server's is a day ahead. The last id of the log is a day ahead of Redis' clock too, as if
    that had been set back: under libfaketime Redis does not start."""
    seconds, _ = scene.redis.call("TIME")
    scene.redis.call("XSETID", KEY, f"{1000 * (int(seconds) + 24 * 60 * 60)}-0")


ROWS = (
    Row("kill -9 of Redis, 3 s, appendfsync everysec", kill),
    Row("kill -9 of Redis, 3 s, appendfsync always", kill, "always", is_quick=True),
    Row("25 times in 5 s all connections cut", cut, is_quick=True),
    Row("SIGSTOP of Redis for 5 s", stop_redis(5)),
    Row("SIGSTOP of Redis for 20 s", stop_redis(20)),
    Row("SIGSTOP of a server for 5 s", stop_node),
    Row("memory full for 3 s, noeviction", fill_memory, is_quick=True),
    Row("kill -9 of a server", kill_node),
    Row("a network namespace cut off for 6 s", part, stage="namespace"),
    Row("a server's clock and the log's last id a day ahead", change_clock, stage="clock"),
    Row("a replica promoted, 1 s behind", promote, forgets=True),
    Row("the log evicted (allkeys-lru)", evict, forgets=True),
    Row("the log deleted (DEL)", delete, forgets=True, is_quick=True),
)


# Play.


def _ip(words: str) -> None:
    command = [shutil.which("ip") or "ip", *words.split()]
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def namespace() -> Iterator[None]:
    """A network namespace, `chat`, with a wire from 10.231.7.1 to its 10.231.7.2."""
    made = "netns add chat", "link add chat-a type veth peer name chat-b netns chat"
    inside = "addr add 10.231.7.2/24 dev chat-b", "link set chat-b up"
    try:
        for words in (*made, "addr add 10.231.7.1/24 dev chat-a", "link set chat-a up"):
            _ip(words)
        for words in inside:
            _ip(f"-n chat {words}")
        yield
    finally:
        _ip("netns del chat")


def why_not(row: Row) -> str:
    """Why this row cannot be played here."""
    if row.stage == "clock" and FAKETIME is None:
        return "needs libfaketime"
    if row.stage == "namespace" and (os.geteuid() != 0 or not shutil.which("ip")):
        return "needs root and ip"
    return ""


@contextlib.contextmanager
def scene_of(row: Row, rate: int) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        options: list[str] = []
        if row.stage == "namespace":
            stack.enter_context(namespace())
            options = ["--bind", "127.0.0.1", "10.231.7.1", "--protected-mode", "no"]
        redis = stack.enter_context(Redis(*options, aof=row.aof))
        cluster = stack.enter_context(contextlib.closing(Cluster()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = DAY_AHEAD if row.stage == "clock" else {}
        nodes = [cluster.start_node(redis.url())]
        if row.stage == "namespace":
            prefix = ["ip", "netns", "exec", "chat"]
            url = redis.url(host="10.231.7.1")
            door = str(folder / "door")
            nodes.append(cluster.start_node(url, "-listen", door, prefix=prefix))
            nodes[1].address = door
        else:
            nodes.append(cluster.start_node(redis.url(), **env))
        talk = stack.enter_context(contextlib.closing(Talk([x.address for x in nodes], rate)))
        yield Scene(stack, redis, nodes, cluster, talk)


def play(row: Row, rate: int) -> tuple[str, bool]:
    """The row of the table, and whether all was as it has to be."""
    with scene_of(row, rate) as scene:
        talk = scene.talk
        talk.talk(BEFORE_SECONDS)
        scene.began_at = talk.now
        row.run(scene)
        talk.talk(AFTER_SECONDS)
        talk.settle(FORGOTTEN_SECONDS if row.forgets else PATIENCE_SECONDS)
        account = talk.account()
        told, is_told = _told(scene)
        is_good = _judge(row, account, is_told) and not any("FAILED" in x for x in scene.notes)
        cells = (
            row.title,
            f"{talk.pace:,.0f}",
            f"{account.said:,}",
            f"{account.lost:,}",
            f"{account.doubled:,}",
            "; ".join([*scene.notes, *told, *_operator_is_told(scene)]) or "nothing",
        )
    return f"| {' | '.join(cells)} |" + ("" if is_good else "  <- FAILED"), is_good


def _judge(row: Row, account: Account, is_told: bool) -> bool:
    if row.forgets:
        return is_told  # a line that was under way may have been read by some before
    return account[1:] == (0, 0, 0, True) and not is_told


def _told(scene: Scene) -> tuple[list[str], bool]:
    """What listeners were told, each once, and when it came first; and whether all of them were
    told that lines may be missing."""
    first: dict[str, float] = {}
    for listener in scene.talk.listeners:
        for line in listener.told:
            if line.text in SHORT:
                first.setdefault(SHORT[line.text], line.seconds - scene.began_at)
    is_told = all(
        LINES_MISSING in [line.text for line in listener.told] for listener in scene.talk.listeners
    )
    return [f"{text} after {seconds:.1f} s" for text, seconds in first.items()], is_told


def _operator_is_told(scene: Scene) -> list[str]:
    """What the servers say of a Redis that answers and refuses, as often as they say it."""
    texts: Counter[str] = Counter()
    for node in scene.nodes:
        for _ in range(10):
            scene.cluster.pump.turn(0)
        lines = bytes(node.program.stderr.unread).decode().splitlines()
        told = (line.removeprefix("warning: cluster: ") for line in lines)
        texts.update(x.partition(" ")[0] for x in told if x.endswith("it is tried again"))
    return [f"operators: {text} ({count} times)" for text, count in texts.items()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of them, under a minute")
    parser.add_argument("--only", default="", metavar="WORD", help="those with it in their title")
    parser.add_argument("--rate", type=int, default=LINES_PER_SECOND, help="lines a second")
    options = parser.parse_args()
    if not support.IS_THERE:
        print("NOT TESTED: needs redis-server", file=sys.stderr)
        return 3
    print("| what was done | lines/s | said | lost | doubled | what was told |")
    print("|---|--:|--:|--:|--:|---|", flush=True)
    failures = 0
    for row in ROWS:
        if (options.quick and not row.is_quick) or options.only not in row.title:
            continue
        if reason := why_not(row):
            print(f"| {row.title} | NOT TESTED: {reason} | | | | |", flush=True)
            continue
        text, is_good = play(row, options.rate)
        failures += not is_good
        print(text, flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
