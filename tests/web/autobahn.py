"""Autobahn's fuzzing client against our Transport: `python -m tests.web.autobahn PYTHON2`.

In: a Python 2.7 that has autobahntestsuite. Out: how many cases passed, of those that are about
what we speak: compression (12, 13) is not offered. Exit status 1 if one failed.

The room is no echo server, so this is one: the same Transport, which gives each message back
whole,
takes binary ones and has larger limits.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import h11
from wsproto.frame_protocol import CloseReason, Opcode, ParseFailed

import web.limits
import web.websocket
from reactor import Connection, Listener, Reactor, listen
from web.http import format_upgrade
from web.websocket import WebSocketTransport, frame_header

GOOD = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}
CASES = [
    "1.*",
    "2.*",
    "3.*",
    "4.*",
    "5.*",
    "6.*",
    "7.*",
    "9.1.*",
    "9.2.*",
    "9.3.*",
    "9.5.*",
    "10.*",
]
LARGEST_BYTES = 16 << 20


class EchoTransport(WebSocketTransport):
    """Its payload is whole messages, of either kind, as the frames that give them back."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)  # type: ignore[arg-type]
        self._parts: list[bytes] = []

    def take(self, data: bytes) -> bytes:
        echoes: list[bytes] = []
        self._parser.receive_bytes(data)
        try:
            for frame in self._parser.received_frames():
                payload: Any = frame.payload
                if frame.opcode.iscontrol():
                    self._obey(frame.opcode, payload)
                    continue
                is_text = frame.opcode is Opcode.TEXT
                self._parts.append(payload.encode() if is_text else bytes(payload))
                if frame.message_finished:
                    message = b"".join(self._parts)
                    self._parts.clear()
                    first = b"\x81" if is_text else b"\x82"
                    echoes.append(first + frame_header(len(message))[1:] + message)
        except ParseFailed as failure:
            self._fail(failure.code)
        return b"".join(echoes)

    def _note_state(self) -> None:
        self.plain_socket = None  # what is written here is frames already

    def _begin_frame(self, pieces: list[bytes | memoryview]) -> int:
        return sum(map(len, pieces)) if self._has_closed else self._transport.send(pieces)


class Echo:
    """Answers the upgrade, and then says what it is told."""

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection
        self._http = h11.Connection(h11.SERVER)
        self._is_open = False

    def data_received(self, data: bytes) -> None:
        if self._is_open:
            self.connection.write(data)
            return
        self._http.receive_data(data)
        request = self._http.next_event()
        if isinstance(request, h11.Request):
            key = dict(request.headers)[b"sec-websocket-key"]
            self.connection.transport = EchoTransport(
                self.connection.transport, format_upgrade(key)
            )
            self.connection.write(b"")
            self._is_open = True

    def eof_received(self) -> None:
        self.connection.close()

    def flushed(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        pass


def serve(sock: socket.socket) -> None:
    web.limits.MESSAGE_BYTES = LARGEST_BYTES
    web.limits.FRAGMENTS = LARGEST_BYTES
    web.limits.RECEIVE_BYTES = 1 << 16
    reactor = Reactor()
    Listener(reactor, sock, lambda address: Echo())
    reactor.run()


def main(python: str) -> int:
    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    threading.Thread(target=serve, args=(sock,), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        server = {"agent": "chatroom", "url": f"ws://127.0.0.1:{port}", "options": {"version": 18}}
        spec: dict[str, Any] = {
            "outdir": folder,
            "servers": [server],
            "cases": CASES,
            "exclude-cases": [],
        }
        spec |= {"exclude-agent-cases": {}, "options": {"failByDrop": False}}
        Path(folder, "spec.json").write_text(json.dumps(spec))
        command = "from autobahntestsuite.wstest import run; run()"
        flags = ["-m", "fuzzingclient", "-s", f"{folder}/spec.json"]
        subprocess.run([python, "-c", command, *flags], check=True, stdout=subprocess.DEVNULL)
        index = Path(folder, "index.json")
        results = json.loads(index.read_text())["chatroom"]
    return tell(results)


def tell(results: dict[str, dict[str, str]]) -> int:
    bad = {case: result for case, result in results.items() if result["behavior"] not in GOOD}
    badly_closed = {case for case, result in results.items() if result["behaviorClose"] not in GOOD}
    for case, result in sorted(bad.items()):
        print(f"{case}: {result['behavior']}")
    for case in sorted(badly_closed):
        print(f"{case}: closed as it should not")
    counts: dict[str, int] = {}
    for result in results.values():
        counts[result["behavior"]] = counts.get(result["behavior"], 0) + 1
    print(f"{len(results)} cases: {json.dumps(counts, sort_keys=True)}, {len(bad)} failed")
    return 1 if bad or badly_closed or not results else 0


class _Lenient(web.websocket.Bounds):
    """Takes binary messages, too."""

    def frame_inbound_header(self, proto, opcode, rsv, payload_length):  # type: ignore[no-untyped-def]
        found = super().frame_inbound_header(proto, opcode, rsv, payload_length)
        if opcode is Opcode.BINARY and found is CloseReason.UNSUPPORTED_DATA:
            return web.websocket._NO_RESERVED_BITS
        return found


web.websocket.Bounds = _Lenient  # type: ignore[misc]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
