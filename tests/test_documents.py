"""The examples in the documents are true: each is run, byte for byte, against the real programs."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cli.limits import limits
from tests.support import faults
from tools.session import ROOT, Step, read_sessions, run_session

_WIRE_STEP = re.compile(r"(\w+) +([<>]) (.*)")
_TIME = re.compile(rb"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4}")

README = ROOT / "README.md"
PROTOCOL = ROOT / "docs" / "PROTOCOL.md"
RELIABILITY = ROOT / "docs" / "RELIABILITY.md"


def wire_examples(document: Path) -> list[str]:
    return re.findall(r"^```wire\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


@contextmanager
def running_server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    command = [sys.executable, "server.py", "-start", "-port", "0", "-passcode", "abc12"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield server, int(server.stdout.readline().split()[4].rstrip(b"."))
        finally:
            server.kill()


def receive(peer: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes, or fewer if the stream ends before."""
    data = b""
    while len(data) < count and (piece := peer.recv(count - len(data))):
        data += piece
    return data


def literal(text: str) -> bytes:
    value = ast.literal_eval(f"b'{text}'")
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize("example", wire_examples(PROTOCOL))
def test_the_server_speaks_as_the_protocol_says(example: str) -> None:
    with running_server() as (server, port), ExitStack() as stack:
        peers: dict[str, socket.socket] = {}
        for line in example.splitlines():
            step = _WIRE_STEP.fullmatch(line)
            assert step, line
            name, mark, text = step.groups()
            if name not in peers:
                peers[name] = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            if text == "FIN":
                peers[name].shutdown(socket.SHUT_WR)
            elif text == "EOF":
                assert peers.pop(name).recv(1) == b""
            elif mark == ">":
                peers[name].sendall(literal(text))
            else:
                expected = literal(text)
                received = receive(peers[name], len(expected))
                assert _TIME.sub(b"<time>", received) == _TIME.sub(b"<time>", expected)
        server.terminate()
        for peer in peers.values():
            assert receive(peer, 1 << 16) == b"Server is shutting down\n"


def test_every_kind_of_example_was_found() -> None:
    assert len(wire_examples(PROTOCOL)) == PROTOCOL.read_text().count("```wire") > 0
    assert read_sessions(README)


@pytest.mark.parametrize("session", read_sessions(README))
def test_the_readme_tells_what_is_printed(session: list[Step]) -> None:
    seen = run_session(session)
    assert [step[:2] for step in seen] == [step[:2] for step in session]


def test_the_limits_are_those_of_the_source() -> None:
    documented = re.findall(r"^\| `([\w.]+)` \| ([\d.,]+) \|$", RELIABILITY.read_text(), re.M)
    assert documented == [
        (f"{limit.module}.{limit.name}", f"{limit.value:,}") for limit in limits()
    ]


def test_each_fault_has_a_test_or_says_later() -> None:
    rows = faults.in_table(RELIABILITY.read_text())
    assert list(rows) == list(range(1, 75))
    assert set(faults.marked()) == {row for row, deed in rows.items() if deed != faults.LATER}


def test_table_of_faults_names_the_tests_that_are_marked() -> None:
    document = RELIABILITY.read_text()
    assert document == faults.rewrite(document, faults.marked()), "make fault-table"
