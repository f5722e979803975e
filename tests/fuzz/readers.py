"""Two readers of what others wrote: the keys of a terminal, and the file of a trace."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import strategies as st

from terminal.keys import INTERRUPT, Focus, KeyDecoder
from tests.fuzz.mutation import mutated
from tools.diagram.ladder import FIELDS, Builder, read_events
from tools.diagram.svg import draw_page

SEEDS = {
    name: [path.read_bytes() for path in sorted((Path(__file__).parent / name).iterdir())]
    for name in ("keys", "traces")
}


def mutants(name: str) -> st.SearchStrategy[bytes]:
    return st.builds(mutated, st.randoms(), st.sampled_from(SEEDS[name]), st.just(SEEDS[name]))


# The keys.

PASTE, PASTE_END = b"\x1b[200~", b"\x1b[201~"
SEQUENCES = [
    PASTE,
    PASTE_END,
    b"\x1b[I",
    b"\x1b[O",
    b"\x1b[A",
    b"\x1b",
    b"\xe6\x97\xa5",
    b"a",
    INTERRUPT,
]
KEYS = mutants("keys") | st.lists(st.sampled_from(SEQUENCES)).map(b"".join)


def look_at_keys(data: bytes) -> None:
    """Nothing is lost or made up, and the same comes out however `data` is cut, but behind an ESC,
    which is a key by itself. A paste comes whole; neither a report nor Ctrl-C is part of a key."""
    whole = _decoded([data])
    cuts = [place for place in range(1, len(data)) if data[place - 1 : place] != b"\x1b"]
    pieces = [data[start:end] for start, end in itertools.pairwise([0, *cuts, len(data)])]
    assert _joined(_decoded(pieces)) == _joined(whole)
    for part in whole:
        if isinstance(part, bytes) and not part.startswith(PASTE):
            assert not any(mark in part for mark in (b"\x1b[I", b"\x1b[O", PASTE))
            assert part == INTERRUPT or INTERRUPT not in part
        elif isinstance(part, bytes):
            assert part.endswith(PASTE_END)
    taken = b"".join(_joined(whole))
    rest = data.removeprefix(taken)
    assert taken + rest == data
    assert rest.startswith(PASTE) or len(rest) < len(PASTE)


def _decoded(pieces: list[bytes]) -> list[bytes | Focus]:
    decoder = KeyDecoder()
    return [part for piece in pieces for part in decoder.feed_data(piece)]


def _joined(parts: list[bytes | Focus]) -> list[bytes]:
    """Keys that follow each other as one; a report as it was sent."""
    groups = itertools.groupby(parts, lambda part: isinstance(part, Focus))
    return [
        b"".join(b"\x1b[" + x.value if isinstance(x, Focus) else x for x in y) for _, y in groups
    ]


# The trace.

VALUES: dict[str | type, st.SearchStrategy[object]] = {
    "peer": st.integers(0, 9),
    "side": st.sampled_from(["client", "server"]),
    "who": st.text(max_size=3).map("member {}".format),
    "data": st.text(max_size=20),
    bool: st.booleans(),
    int: st.integers(-1, 20_000),
    str: st.text(max_size=9) | st.just("reset"),
}
EVENTS = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda event: st.fixed_dictionaries(
        {"event": st.just(event), "t": st.floats(0, 9)}
        | {name: VALUES.get(name, VALUES[kind]) for name, kind in FIELDS[event].items()}
    )
)
BEGIN = {"event": "begin", "t": 0.0, "program": "p", "middle": "m"}
TRACES = mutants("traces") | st.lists(EVENTS, max_size=30).map(
    lambda events: "".join(f"{json.dumps(event)}\n" for event in [BEGIN, *events]).encode()
)


def look_at_trace(data: bytes) -> None:
    """It is refused, or drawn as a picture that is XML whatever its texts hold."""
    try:
        events = read_events(data.decode())
    except ValueError:
        return
    page = draw_page(Builder(events).ladder)
    picture = page[page.index("<svg") : page.rindex("</svg>") + len("</svg>")]
    ElementTree.fromstring(picture.encode())  # noqa: S314  our own text
