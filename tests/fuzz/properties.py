"""What always holds, for hypothesis to attack: scripts are as documented, and so is the fan-out.

The same attacks run with few examples in tests/fuzz/test_properties.py and for as long as one
likes in `python -m tests.fuzz`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import codec
from cluster.records import RecordError, format_record, parse_records
from codec.presence import format_reply, format_request, parse_reply, parse_request
from tests.fuzz import admin, origin, readers
from tests.fuzz.core import core
from tests.fuzz.guided import CORPUS_SCRIPTS, mutated_script
from tests.fuzz.mutation import mutated
from tests.fuzz.wire.grammar import Maker
from tests.support import protocol
from tests.support.fanout import SCRIPTS, TAPES, play
from tests.support.lines import COMMANDS, LINES
from tests.support.protocol import PASSCODE
from tests.support.size import examples

MAKERS = st.builds(Maker, st.randoms(), name=st.just(b"Carol"), passcode=st.just(PASSCODE))


def seeds(folder: str) -> st.SearchStrategy[bytes]:
    """The files of a folder, changed blindly."""
    files = [path.read_bytes() for path in sorted((Path(__file__).parent / folder).iterdir())]
    return st.builds(mutated, st.randoms(), st.sampled_from(files))


REQUESTS = st.builds(
    mutated,
    st.randoms(),
    st.sampled_from([b"RESUME 1.0af 25", b"OK 1.0af 3", b"ERROR Too late", b"ENTER Alice abc12"]),
)
LINES_OF_ONE = st.builds(
    lambda verb, lines: verb + b" Alice abc12\n<2>JOIN Bob abc12\n<1>" + b"".join(lines),
    st.sampled_from([b"JOIN", b"ENTER"]),
    st.lists((COMMANDS | LINES).map(lambda line: line + b"\n"), min_size=1, max_size=3),
)
MUTATED = st.builds(mutated_script, st.randoms(), st.sampled_from(CORPUS_SCRIPTS))


def look_at_datagram(data: bytes) -> None:
    """What is taken for a request or a reply is one to the byte, with nothing before or behind."""
    if nonce := parse_request(data):
        assert format_request(nonce) == data
    if reply := parse_reply(data):
        assert format_reply(reply) == data
        assert 0 < reply.port < 65536


def look_at_request(line: bytes) -> None:
    """A first line means what the model says, and an answer to RESUME parses back."""
    request: tuple[object, ...] | None = None
    with contextlib.suppress(codec.ProtocolError):
        request = codec.parse_request(line)
    assert request == (protocol.split_resume(line) or protocol.split_join(line))
    with contextlib.suppress(codec.ProtocolError):
        place = codec.parse_resumed(line)
        assert codec.parse_resumed(codec.format_resumed(place).encode()) == place


def look_at_records(data: bytes) -> None:
    """What is taken for records has no other spelling; all else is a RecordError."""
    try:
        records = parse_records(data)
    except RecordError:
        return
    assert b"".join(map(format_record, records)) == data


ATTACKS: dict[str, tuple[Callable[[Any], None], st.SearchStrategy[Any]]] = {
    "lines": (core, LINES_OF_ONE),
    "sessions": (core, MAKERS.map(lambda maker: maker.make(b"script"))),
    "mutated corpus": (core, MUTATED),
    "requests": (look_at_request, REQUESTS | st.binary(max_size=70)),
    "datagrams": (look_at_datagram, seeds("datagrams") | st.binary(max_size=70)),
    "records": (look_at_records, seeds("records") | st.binary(max_size=40)),
    "keys": (readers.look_at_keys, readers.KEYS),
    "traces": (readers.look_at_trace, readers.TRACES),
    "origins": (origin.look_at_origin, seeds("origins") | st.binary(max_size=70)),
    "admin": (admin.obey, admin.LINES),
    "fan-out": (lambda example: play(*example), st.tuples(SCRIPTS, TAPES)),
}
"""Each function that raises when something does not hold, and what it is given."""


def attack(name: str, count: int, seed_number: int, findings: Path | None = None) -> None:
    """Let hypothesis look for an example that breaks a function, the same ones for the same seed.
    What it finds it raises, with the smallest example in the notes; a script is written to a file
    in `findings`, too."""
    function, strategy = ATTACKS[name]

    def look(example: Any) -> None:
        try:
            function(example)
        except Exception:
            if findings and isinstance(example, bytes):
                (findings / "finding").write_bytes(example)  # the last one is the smallest
            raise

    with_settings = settings(
        examples(count, count),
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    seed(seed_number)(with_settings(given(strategy)(look)))()
