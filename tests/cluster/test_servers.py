"""Real servers on a real Redis. Larger runs, with more faults: `make cluster-faults`."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from cluster.bus import LINES_MISSING
from cluster.start import ClusterError, find_redis, parse_url
from tests.support import redis as support
from tests.support.programs import RawClient, numbered
from tests.support.redis import KEY, Cluster, Redis

needs_redis = pytest.mark.skipif(not support.IS_THERE, reason="NOT TESTED: needs redis-server")

NO_AOF = "appendonly is off: what was said is lost when Redis ends"

TOLD_OF_A_LOSS = (
    "warning: cluster: Redis has closed the connection",
    "warning: cluster: its end without a close_notify",  # the same over TLS
    "warning: cluster: connected again",
)
"""If Redis is away for 2 seconds."""


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as redis:
        yield redis


def play(cluster: Cluster, redis: Redis, **env: str) -> None:
    """Two servers are one room: names, order, and a Redis that is killed while they talk."""
    url = redis.url(host="localhost" if redis.is_tls else "127.0.0.1")
    nodes = [cluster.start_node(url, **env) for _ in range(2)]
    ann = nodes[0].join("Ann")
    nodes[1].enter("ANN").shows("ERROR Username already in use: ANN")
    bob = nodes[1].join("Bob")
    ann.shows("Bob joined the chatroom")
    listeners = [node.join(f"L{number}") for number, node in enumerate(nodes)]
    listeners[0].shows("L1 joined the chatroom")
    bob.shows("L0 joined the chatroom", "L1 joined the chatroom")
    ann.shows("L0 joined the chatroom", "L1 joined the chatroom")
    said = {"Ann": numbered("a", 3000), "Bob": numbered("b", 3000)}
    for speaker in (ann, bob):
        speaker.types(*said[speaker.name][:1500])
    lines = _read(listeners[0], 1)
    redis.kill()
    for speaker in (ann, bob):
        speaker.types(*said[speaker.name][1500:])
    redis.start()
    lines += _read(listeners[0], 6000 - 1)
    assert _read(listeners[1], 6000) == lines
    for name, texts in said.items():
        assert [line for line in lines if line.startswith(name)] == [f"{name}: {x}" for x in texts]
    for node in nodes:
        while node.program.stdout.take_line() != "L1 joined the chatroom":
            pass
        node.program.shows(*lines)
    nodes[1].ends(*TOLD_OF_A_LOSS)
    listeners[0].shows("Bob left the chatroom", "L1 left the chatroom")
    nodes[0].ends(*TOLD_OF_A_LOSS)


def _read(member: RawClient, count: int) -> list[str]:
    """So many lines of the room. Whether others are told depends on how long Redis was away."""
    lines: list[str] = []
    while len(lines) < count:
        line = member.stdout.take_line()
        if not line.startswith("* "):
            lines.append(line)
    return lines


def _read_said(member: RawClient) -> str:
    """The next line that a member has said, behind who has come and gone."""
    while (line := member.stdout.take_line()).endswith(" the chatroom"):
        pass
    return line


@needs_redis
def test_two_servers_lose_and_double_nothing_when_redis_is_killed(redis: Redis) -> None:
    with Cluster() as cluster:
        play(cluster, redis)


@needs_redis
def test_room_on_redis_with_tls_and_password() -> None:
    with Redis(is_tls=True, password="p@ss") as redis, Cluster() as cluster:
        play(cluster, redis, **support.trusted())


@needs_redis
def test_redis_that_will_not_do_is_refused_in_one_line() -> None:
    with Redis(password="right") as redis, Cluster() as cluster:
        place = f"error: -cluster: Redis at 127.0.0.1:{redis.port}:"

        def refuses(url: str, reason: str) -> None:
            cluster.start_server(url).exits(2, f"{place} {reason}")

        wrong = "WRONGPASS invalid username-password pair or user is disabled."
        refuses(redis.url("wrong"), wrong)
        refuses(redis.url().replace(":right@", ""), "NOAUTH Authentication required.")
        redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        policy = "maxmemory-policy allkeys-lru may delete the room; set it to noeviction"
        refuses(redis.url(), policy)
        redis.kill()
        refuses(redis.url(), "Connection refused")
        redis.start()


@needs_redis
def test_redis_without_a_file_is_warned_of() -> None:
    with Redis("--tcp-keepalive", "300", aof="") as redis, Cluster() as cluster:
        node = cluster.start_node(redis.url())
        place = f"warning: Redis at 127.0.0.1:{redis.port}:"
        keepalive = "members of a vanished server leave after 625 s; set it to 15"
        node.program.complains(f"{place} {NO_AOF}", f"{place} tcp-keepalive is 300: {keepalive}")
        node.ends()


def test_redis_that_is_too_old_is_refused() -> None:
    info = b"redis_version:6.0.16\r\n"
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            sock, _ = door.accept()
            with contextlib.closing(sock):
                while data := sock.recv(1 << 16):
                    sock.sendall(b"$%d\r\n%s\r\n" % (len(info), info) * data.count(b"*"))

        thread = threading.Thread(target=answer)
        thread.start()
        port = door.getsockname()[1]
        with pytest.raises(ClusterError, match=r"version 6\.0\.16; 6\.2 or newer is needed"):
            find_redis(parse_url(f"redis://127.0.0.1:{port}/room"))
        thread.join()


@needs_redis
def test_older_server_of_a_name_ends_with_one_line(redis: Redis) -> None:
    with Cluster() as cluster:
        older = cluster.start_node(redis.url(), "-node", "a")
        ann = older.join("Ann")
        older.program.shows("Ann joined the chatroom")
        newer = cluster.start_node(redis.url(), "-node", "a")
        ann.hears_goodbye()
        older.program.exits(1, "error: another server has entered the room as a")
        newer.join("Ann")
        newer.ends()


@needs_redis
def test_deleted_log_is_found_out_and_told(redis: Redis) -> None:
    with Cluster() as cluster:
        nodes = [cluster.start_node(redis.url()) for _ in range(2)]
        ann = nodes[0].join("Ann")
        bob = nodes[1].join("Bob")
        ann.shows("Bob joined the chatroom")
        redis.call("DEL", KEY)
        ann.types("still here")
        bob.shows(LINES_MISSING)
        ann.shows(LINES_MISSING)
        bob.types("so am I")
        heard = [_read_said(ann), _read_said(bob)]
        assert heard == ["Bob: so am I", "Ann: still here"]
        for node in nodes:
            node.program.complains(f"warning: cluster: {LINES_MISSING[2:]}")
        for node in nodes:
            node.ends()
