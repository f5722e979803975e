"""Each limit is in the table, with its reason; and where it is set, it holds."""

from __future__ import annotations

import ast
import py_compile
import socket
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import codec.framing
import codec.handshake
import reactor.connection
import reactor.fanout
import reactor.flow
import reactor.listener
import reactor.stdio
from chat import gate, journal, session
from cli.limits import LIMITED, format_limits, limits
from codec import ProtocolError
from reactor import listen, notice_vanished_peers
from terminal.dial import connect
from tests.test_layers import ROOT, program_files
from tests.test_room import House

NOT_IN_THE_TABLE = {
    # The client's.
    ("terminal.session", "ANSWER_SECONDS"),
    ("terminal.dial", "CONNECT_SECONDS"),
    ("terminal.plain", "HIGH_WATER_BYTES"),
    ("terminal.session", "GOODBYE_SECONDS"),
    ("terminal.session", "HIGH_WATER_BYTES"),
    ("terminal.dial", "LOOKUP_SECONDS"),
    ("terminal.session", "MAX_SERVER_LINE_BYTES"),
    # The kernel's.
    ("reactor.outbound", "MAX_PIECES"),
    # Of the file that is above the table.
    ("server", "OWN_DESCRIPTORS"),
    ("server", "SHUTDOWN_SECONDS"),
    # Not limits.
    ("cli.flags", "HELP_COLUMNS"),
    ("reactor.loop", "READ"),
    ("reactor.loop", "WRITE"),
}
"""Numbers that the server is not held to, or that the table cannot know."""

PARSED = [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in program_files()]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool | Enum)


# The table.


def test_every_number_is_in_the_table_or_known_not_to_be() -> None:
    """One without a docstring would be missing in the table, and nobody would notice."""
    found = {
        (module_name(path), target.id)
        for path, tree in PARSED
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in ast.walk(statement)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
        if target.id.isupper() and not target.id.startswith("_")
        if is_number(vars(import_module(module_name(path)))[target.id])
    }
    table = {(limit.module, limit.name) for limit in limits()}
    assert not table & NOT_IN_THE_TABLE
    assert found == table | NOT_IN_THE_TABLE


def test_each_limit_has_a_value_a_unit_and_a_reason() -> None:
    table = limits()
    assert len({(limit.module, limit.name) for limit in table}) == len(table)
    for limit in table:
        assert limit.value > 0, limit
        assert limit.name.isupper(), limit
        assert len(limit.reason.split()) >= 5, limit
        assert limit.reason.endswith("."), limit
        assert "\n" not in limit.reason


def test_the_table_follows_the_order_in_which_a_member_meets_them() -> None:
    modules = list(dict.fromkeys(limit.module for limit in limits()))
    assert modules == [module.__name__ for module in LIMITED]
    assert [limit.name for limit in limits() if limit.module == "chat.gate"] == [
        "POOL_CONNECTIONS",
        "BURST_ATTEMPTS",
        "ATTEMPT_SECONDS",
        "MAX_WAITING_REQUESTS",
        "MAX_SOURCES",
    ]


def test_each_limit_is_printed_with_its_reason_below_it() -> None:
    lines = format_limits().split("\n")
    assert len(lines) == 2 * len(limits())
    for limit, line, reason in zip(limits(), lines[::2], lines[1::2], strict=True):
        name, value = line.split(" = ")
        assert name == f"{limit.module}.{limit.name}"
        assert float(value.replace(",", "")) == limit.value
        assert reason == f"    {limit.reason}"
    assert "chat.gate.MAX_SOURCES = 4,096\n    Sources whose wrong passcodes" in format_limits()


def test_what_is_printed_is_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "POOL_CONNECTIONS", 32)
    monkeypatch.setattr(reactor.connection, "LINGER_SECONDS", 0.25)
    assert format_limits().startswith("chat.gate.POOL_CONNECTIONS = 32\n")
    assert "\nreactor.connection.LINGER_SECONDS = 0.25\n" in format_limits()


def test_number_without_a_reason_in_its_annotation_is_no_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = (
        "from __future__ import annotations\nfrom typing import Annotated\n"
        'A: Annotated[int, "Because of this."] = 1\nB = 2\nC: int = 3\n'
        'D: Annotated[float, "Last."] = 2.5\n'
    )
    some = ModuleType("some")
    exec(source, vars(some))  # noqa: S102  it was written above
    monkeypatch.setattr("cli.limits.LIMITED", (some,))
    assert limits() == [("some", "A", 1, "Because of this."), ("some", "D", 2.5, "Last.")]


def test_limits_need_no_source_files(tmp_path: Path) -> None:
    for path in program_files():
        copy = tmp_path / path.relative_to(ROOT).with_suffix(".pyc")
        copy.parent.mkdir(exist_ok=True)
        py_compile.compile(str(path), str(copy), doraise=True)
    command = [sys.executable, str(tmp_path / "server.pyc"), "-limits"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown == format_limits() + "\n"


# Nobody keeps a copy, which would not follow.


def copies(tree: ast.Module) -> Iterator[str]:
    """Where a limit is taken by its value as the file is loaded, and not as it is used."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"import {alias.name}" for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                yield from (f"default {name}" for name in names_in(default))
    for node in statements_run_when_loaded(tree.body):
        yield from (f"value {name}" for name in names_in(node))


def statements_run_when_loaded(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield from statements_run_when_loaded(statement.body)
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            yield statement.value


def names_in(node: ast.AST | None) -> Iterator[str]:
    for inner in ast.walk(node) if node else ():
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Attribute):
            yield inner.attr


def copied_limits(tree: ast.Module) -> set[str]:
    names = {limit.name for limit in limits()}
    return {copy for copy in copies(tree) if copy.split()[-1] in names}


KNOWN_COPIES: dict[str, set[str]] = {
    # For those who only read them: tests, and whoever uses the package for something else.
    "codec": {"import MAX_LINE_BYTES", "import MAX_JOIN_BYTES", "import MAX_PASSCODE_BYTES"},
    "reactor": {"import PAGE_BYTES"},
    # One limit that follows from others, and is in the table itself.
    "codec.handshake": {"value MAX_JOIN_BYTES", "value MAX_USERNAME_CHARACTERS"},
}


@pytest.mark.parametrize(
    ("path", "tree"),
    [pytest.param(path, tree, id=module_name(path)) for path, tree in PARSED],
)
def test_no_file_keeps_a_copy_of_a_limit(path: Path, tree: ast.Module) -> None:
    assert copied_limits(tree) == KNOWN_COPIES.get(module_name(path), set())


@pytest.mark.parametrize(
    "source",
    [
        "from chat.gate import POOL_CONNECTIONS",
        "def later():\n    from chat.gate import POOL_CONNECTIONS as pool",
        "def wait(seconds=LINGER_SECONDS): pass",
        "class A:\n    def wait(self, *, seconds=1 + connection.LINGER_SECONDS): pass",
        "wait = lambda seconds=LINGER_SECONDS: seconds",
        "HALF = LINGER_SECONDS / 2",
        "class A:\n    seconds: float = connection.LINGER_SECONDS",
    ],
)
def test_a_copy_is_found(source: str) -> None:
    assert copied_limits(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "from chat import gate\ndef size():\n    return gate.POOL_CONNECTIONS",
        "from chat.gate import Gate\nLINGER_SECONDS = 2.0",
        "def wait(seconds=None):\n    return LINGER_SECONDS if seconds is None else seconds",
    ],
)
def test_what_is_no_copy_is_left_in_peace(source: str) -> None:
    assert not copied_limits(ast.parse(source))


# What is set before a server is made holds for it.


@pytest.fixture
def houses() -> Iterator[list[House]]:
    houses: list[House] = []
    yield houses
    for house in houses:
        house.close()


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def opened(houses: list[House]) -> House:
    houses.append(House(is_verbose=True))
    return houses[-1]


def test_pool_connections(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gate, "POOL_CONNECTIONS", 2)
    house = opened(houses)
    first, second, third = house.connect(), house.connect(), house.connect()
    first.reads_to_end(b"ERROR Too many connections\n")
    second.reads_nothing()
    third.reads_nothing()


@pytest.mark.parametrize(("burst", "waiting", "seconds"), [(1, 1, 5.0), (3, 2, 0.5)])
def test_attempts(
    houses: list[House], patch: pytest.MonkeyPatch, burst: int, waiting: int, seconds: float
) -> None:
    patch.setattr(gate, "BURST_ATTEMPTS", burst)
    patch.setattr(gate, "MAX_WAITING_REQUESTS", waiting)
    patch.setattr(gate, "ATTEMPT_SECONDS", seconds)
    house = opened(houses)
    strangers = [house.connect() for _ in range(burst + waiting + 1)]
    for stranger in strangers:
        stranger.send(b"JOIN Bob wrong\n")
    for stranger in strangers[:burst]:
        stranger.reads_to_end(b"ERROR Incorrect passcode\n")
    strangers[-1].reads_to_end(b"ERROR Too many attempts, try again later\n")
    for stranger in strangers[burst:-1]:
        stranger.reads_nothing()
        house.loop.pass_seconds(seconds)
        stranger.reads_to_end(b"ERROR Incorrect passcode\n")


def test_handshake_seconds(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "HANDSHAKE_SECONDS", 3.0)
    house = opened(houses)
    stranger = house.connect()
    house.loop.pass_seconds(2.75)
    stranger.reads_nothing()
    house.loop.pass_seconds(0.25)
    stranger.reads_to_end(b"ERROR Handshake timed out\n")


def test_max_line_bytes(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(codec.framing, "MAX_LINE_BYTES", 20)
    house = opened(houses)
    ann = house.join("Ann")
    bob = house.join("Bob", ann)
    for text in (b"x" * 15, b":) " + b"x" * 20):  # what is plain and what is not
        bob.send(text + b"\n" + text + b"x\n")
    ann.reads(b"Bob: " + b"x" * 15 + b"\n")
    ann.reads_nothing()
    bob.reads(b"Message too long (limit 20 bytes); not sent\n" * 3)


def test_max_join_bytes(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(codec.handshake, "MAX_JOIN_BYTES", 14)
    house = opened(houses)
    ann = house.join("Ann")
    ann.reads_nothing()
    longer = house.connect()
    longer.send(b"JOIN Bobb abc12\n")
    longer.reads_to_end(b"ERROR Expected: JOIN <username> <passcode>\n")
    with pytest.raises(ProtocolError, match="longer than 8"):
        codec.format_join(codec.Join("Alexander", b""))


def test_page_bytes(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reactor.fanout, "PAGE_BYTES", 50_000)
    house = opened(houses)
    ann = house.join("Ann")
    ann.is_deaf = True
    ann.types(b":Users\n" * 100_000)
    most_bytes = 0
    for _ in range(100):
        house.busy(lambda: True)
        house.loop.turn()
        most_bytes = max(most_bytes, ann.spy.connection.outbound.owed_bytes)
    assert 50_000 <= most_bytes < 50_000 + 100
    assert house.room.fanout.free_bytes() == 50_000


def test_linger_seconds(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reactor.connection, "LINGER_SECONDS", 7.0)
    house = opened(houses)
    stranger = house.connect()
    stranger.send(b"hello\n")
    stranger.reads(b"ERROR Expected: JOIN <username> <passcode>\n")
    descriptor = stranger.spy.connection.descriptor
    house.loop.pass_seconds(6.75)
    assert house.loop.interest_in(descriptor)
    house.loop.pass_seconds(0.25)
    assert not house.loop.interest_in(descriptor)


def test_send_queue_bytes(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reactor.flow, "SEND_QUEUE_BYTES", 300_000)
    house = opened(houses)
    deaf = house.join("Deaf")
    ann = house.join("Ann", deaf)
    deaf.is_deaf = True
    ann.types((b"x" * 1000 + b"\n") * 4_000)
    house.busy(lambda: house.room.fanout.is_held)
    unsent_bytes = deaf.spy.connection.outbound.owed_bytes
    assert 300_000 < unsent_bytes <= 300_000 + 2 * reactor.fanout.PAGE_BYTES


def test_seconds_per_line(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal, "SECONDS_PER_LINE", 10.0)
    house = opened(houses)
    for _ in range(2):
        house.room.refuse_at_the_door(("127.0.0.1", 1))
    house.loop.pass_seconds(9.75)
    assert len(house.log) == 1
    house.loop.pass_seconds(0.25)
    assert house.log[1:] == ["refused 1 more: server full"]


def test_sink_bytes(houses: list[House], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reactor.stdio, "SINK_BYTES", 10)
    house = opened(houses)
    sink = reactor.Sink(house.loop.reactor, 1)
    sink.write(b"12345678901\n")
    sink.close()
    assert sink.unwritten_lines == 1
    assert not sink.owed_bytes


# The kernel is told, too.


def option(sock: socket.socket, name: str) -> int:
    level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
    return sock.getsockopt(level, getattr(socket, name))


def noticing(seconds: int = 25) -> dict[str, int]:
    """What is asked of the kernel, of all that this system has."""
    options = {
        "SO_KEEPALIVE": 1,
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": seconds,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 50_000,
    }
    return {name: value for name, value in options.items() if hasattr(socket, name)}


def options_of(sock: socket.socket) -> dict[str, int]:
    options = {name: option(sock, name) for name in noticing()}
    flags = ("SO_KEEPALIVE", "TCP_NODELAY")  # macOS answers with the flag's own bit
    return {name: bool(value) if name in flags else value for name, value in options.items()}


def accepted_by(listening: socket.socket) -> socket.socket:
    listening.setblocking(True)
    return listening.accept()[0]


def test_the_kernel_notices_vanished_peers_at_both_ends() -> None:
    with listen("127.0.0.1", 0) as listening:
        host, port = listening.getsockname()
        with connect(host, port) as near, accepted_by(listening) as far:
            assert options_of(near) == noticing()
            assert options_of(far) == noticing()
            assert not near.getblocking()


def test_all_questions_and_the_timeout_are_over_within_a_minute() -> None:
    idle, interval = (
        reactor.listener.KEEPALIVE_IDLE_SECONDS,
        reactor.listener.KEEPALIVE_INTERVAL_SECONDS,
    )
    assert idle + 3 * interval <= 60
    assert 30 <= reactor.listener.UNANSWERED_SECONDS <= 60


def test_what_the_kernel_is_asked_is_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor.listener, "KEEPALIVE_IDLE_SECONDS", 33)
    with socket.socket() as sock:
        notice_vanished_peers(sock)
        assert options_of(sock) == noticing(33)


def test_an_option_that_this_system_does_not_have_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket(socket.AF_UNIX) as no_tcp:
        notice_vanished_peers(no_tcp)
        assert option(no_tcp, "SO_KEEPALIVE")
    wanted = noticing()
    monkeypatch.delattr(socket, "TCP_KEEPINTVL")
    with socket.socket() as sock:
        notice_vanished_peers(sock)
        assert options_of(sock) == {
            name: value for name, value in wanted.items() if name != "TCP_KEEPINTVL"
        }
