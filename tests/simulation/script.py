"""The steps of one seed: plain values, each of which can be done, or does nothing, wherever it
stands, so that any part of a script is a script.

    connect who number        from the source `number`; nothing while it is connected
    send who data             these bytes are next on its way
    flood who number data     this line, so many times
    piece who number          it sends so many bytes at a time, of much more; 0 is all
    appetite who number       it reads so many bytes at a time; 0 is none, -1 is all
    fin who                   it ends its half when everything is sent
    close, reset, vanish who  it is gone, politely, by RST or without a word
    fail who number           the network reports this errno to the server
    stop_in_call who number   the process is stopped for so many ms in its next call for this one
    stop number               the same in the loop's next wait
    accept number             the next accept fails with this errno
    descriptors number        so many more may be opened; -1 is any number
    turn number               so many turns of the loop, and no time for anything else
    rest                      turns until the loop would sleep
    pass number               so many ms pass
    shutdown                  the server is told to end
    settle                    all faults end and everyone reads; it is the last step of each run
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from typing import NamedTuple

from tests.simulation.limits import SCALES, Limits
from tests.simulation.network import Faults
from tests.support.protocol import PASSCODE

ACCEPT_ERRORS = (
    *(errno.ECONNABORTED, errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR),
    *(errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM),
)

NETWORK_ERRORS = (errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EPIPE)

SOURCES = 3

TEXTS = (
    *(b"hello", b"a", b"hello", b"how are you", b"well :) and :( there:)", b"x" * 60),
    *(b"", b" ", b"\t \t", b":mytime", b"it is :+1hr or :MyTime", b"\\:mytime \\\\:) \\o/"),
    *(b":Users", b":users \t", b":Users now", b" :Users", b":Msg", b":Msg U1", b":Help"),
    *(b"\x1b[2J \x07", b"\xff\xc3(", "caf\u00e9 \u202e \u2028".encode(), b"cr\rcr", b"\r"),
)


class Setting(NamedTuple):
    """What holds for the whole of a script."""

    seed: int = 0
    scale: str = "small"
    people: int = 4
    send_buffer: int = 1024
    receive_buffer: int = 1024
    turn_seconds: float = 0.0
    faults: Faults = Faults()
    is_scrambled: bool = False  # every second one comes through a transport as TLS is one
    is_announced: bool = False  # and somebody asks which rooms are up
    is_framed: bool = False  # or by WebSocket
    is_sealed: bool = False  # or over TLS

    @property
    def limits(self) -> Limits:
        return SCALES[self.scale]


class Step(NamedTuple):
    verb: str
    who: int = 0
    number: int = 0
    data: bytes = b""

    def __str__(self) -> str:
        return f"{self.verb} {self.who} {self.number} {self.data!r}"


class Script(NamedTuple):
    setting: Setting
    steps: list[Step]


def make_script(seed: int) -> Script:
    """The same for the same seed, for ever: all chance is the seed's."""
    chance = random.Random(seed)
    setting = _make_setting(chance, seed)
    make_steps = _crowd if setting.people > 100 else _talk
    return Script(setting, list(make_steps(chance, setting)))


def make_script_cut_short(seed: int) -> Script:
    """The seed's, in which the server is told to end at some moment, and a little happens yet."""
    script, chance = make_script(seed), random.Random(seed)
    moment = chance.randrange(len(script.steps) + 1)
    steps = [*script.steps[:moment], Step("shutdown"), *script.steps[moment : moment + 5]]
    return script._replace(steps=steps)


def name_of(who: int) -> bytes:
    return b"U%d" % who


def _make_setting(chance: random.Random, seed: int) -> Setting:
    kind = chance.choices(("tiny", "small", "real", "crowd"), (50, 38, 8, 4))[0]
    scale = {"crowd": chance.choice(("small", "real"))}.get(kind, kind)
    buffers = {
        "tiny": [16, 64, 200, 1000],
        "small": [64, 500, 2000, 10000],
        "real": [8192, 65536, 131072, 131072],
    }[scale]
    faults = Faults(
        short=chance.choice((0, 0.1, 0.5)),
        again=chance.choice((0, 0.02, 0.2)),
        spurious=chance.choice((0, 0.05, 0.2)),
        fatal=chance.choice((0, 0, 0, 0.001, 0.01)),
        interrupted=chance.choice((0, 0, 0.05)),
    )
    people = chance.randint(120, 300) if kind == "crowd" else chance.randint(2, 8)
    if kind == "crowd":
        buffers = buffers[2:]
        # Of so many somebody would always be said to be ready.
        faults = faults._replace(spurious=chance.choice((0, 0.001)))
    turn_seconds = chance.choice((0.0, 0.0, 0.001, 0.005))
    if scale == "real":
        # Bytes move in pieces of a real size, or a flood takes for ever.
        faults = faults._replace(short=chance.choice((0, 0.01)))
    return Setting(
        *(seed, scale, people, chance.choice(buffers), chance.choice(buffers)),
        *(turn_seconds, faults),
    )


def _talk(chance: random.Random, setting: Setting) -> Iterator[Step]:
    """A few people, and everything that may happen."""
    for who in range(setting.people):
        if chance.random() < 0.9:
            yield from _enter(chance, setting, who)
    yield Step("turn", number=chance.randint(1, 4))
    verbs = _verbs(chance)
    steps = chance.randint(60, 220) if setting.scale != "real" else chance.randint(30, 80)
    for verb in chance.choices(list(verbs), list(verbs.values()), k=steps):
        yield from _steps_of(chance, setting, verb)


def _crowd(chance: random.Random, setting: Setting) -> Iterator[Step]:
    """Hundreds, of whom a few talk, a few do not read, and many come and go."""
    for who in range(setting.people):
        yield Step("connect", who, number=who % SOURCES)
        yield Step("send", who, data=_request(setting, who, who % SOURCES))
        if not who % 50:
            yield Step("rest")
    yield Step("rest")
    for who in chance.sample(range(setting.people), 10):
        yield Step("appetite", who, number=chance.choice((0, 0, 1000, 10000)))
    verbs = {"send": 30, "flood": 8, "reset": 6, "fin": 4, "exit": 4, "turn": 20, "pass": 5}
    for verb in chance.choices(list(verbs), list(verbs.values()), k=50):
        yield from _steps_of(chance, setting, verb)


_WEIGHTS = (
    "turn 40, rest 5, send 40, flood 8, tell 8, exit 1.5, enter 6, stranger 4, guess 1.5, "
    "appetite 8, piece 3, fin 2, reset 1.5, close 1.5, last words 1.5, vanish 0.5, fail 0.5, "
    "pass 12, sleep 1, stop 0.7, stop_in_call 0.7, accept 2, descriptors 0.7, shutdown 0.15"
)
"""How often each thing is done, in most worlds."""


def _verbs(chance: random.Random) -> dict[str, float]:
    """How often each thing is done in this world: some worlds are full of one of them."""
    parts = [part.rpartition(" ") for part in _WEIGHTS.split(", ")]
    weights = {verb: float(weight) for verb, _, weight in parts}
    for verb in chance.sample(list(weights), 3):
        weights[verb] *= chance.choice((0, 3))
    return weights


def _steps_of(chance: random.Random, setting: Setting, verb: str) -> Iterator[Step]:
    who = chance.randrange(setting.people)
    match verb:
        case "turn":
            yield Step(verb, number=chance.choice((1, 1, 2, 3)))
        case "rest" | "shutdown":
            yield Step(verb)
        case "send":
            yield Step(verb, who, data=_some_lines(chance, setting))
        case "flood":
            yield from _flood(chance, setting, who)
        case "tell":
            other = chance.randrange(setting.people + 1)
            data = b":Msg %s psst %d\n" % (name_of(other), chance.randrange(1000))
            yield Step("send", who, data=data)
        case "exit":
            yield Step("send", who, data=b":Exit\n" + chance.choice((b"", b"more\n:Exit\n", b"h")))
        case "enter":
            yield from _enter(chance, setting, who)
        case "stranger":
            yield Step("connect", who + setting.people, chance.randrange(SOURCES))
            yield Step("send", who + setting.people, data=_some_request(chance, setting))
        case "guess":
            yield from _guess(chance, setting)
        case "appetite":
            least = {"tiny": 5, "small": 30, "real": 3000}[setting.scale]
            appetites = (-1, -1, -1, 0, 0, least, 10 * least, 400 * least)
            yield Step(verb, who, number=chance.choice(appetites))
        case "piece":
            yield Step(verb, who, number=chance.choice((0, 0, 1, 7, 100)))
        case "fin" | "reset" | "close" | "vanish":
            yield Step(verb, who + chance.choice((0, 0, setting.people)))
        case "last words":
            # More than is read at once, and something is sent to who is gone meanwhile.
            line = b"x" * (setting.limits.max_line_bytes // 2) + b"\n"
            yield Step("send", chance.randrange(setting.people), data=b"hello\n")
            yield Step("send", who, data=line * chance.randint(1, 8))
            yield Step(chance.choice(("close", "reset")), who)
            yield Step("turn", number=1)
        case "fail":
            yield Step(verb, who, number=chance.choice(NETWORK_ERRORS))
        case "pass":
            yield Step(verb, number=chance.choice((10, 50, 100, 100, 300, 1000)))
        case "sleep":
            yield Step("pass", number=chance.choice((2000, 5000, 11000, 21000, 60000)))
        case "stop":
            yield Step(verb, number=chance.choice((1000, 3000, 30000)))
        case "stop_in_call":
            yield Step(verb, who, number=chance.choice((1000, 3000, 30000)))
        case "accept":
            yield Step(verb, number=chance.choice(ACCEPT_ERRORS))
        case "descriptors":
            yield Step(verb, number=chance.choice((-1, 0, 0, 1, 2)))
            yield from _enter(chance, setting, who)
            yield Step("turn", number=3)
            if chance.random() < 0.7:
                yield Step(verb, number=-1)


def _enter(chance: random.Random, setting: Setting, who: int) -> Iterator[Step]:
    source = chance.randrange(SOURCES)
    yield Step("connect", who, source)
    slow = 50 if setting.scale != "real" else 5000
    yield Step("appetite", who, chance.choice((-1, -1, -1, -1, slow, 0)))
    data = _request(setting, who, source)
    if chance.random() < 0.3:
        data += _some_lines(chance, setting)
    if chance.random() < 0.2:
        cut = chance.randrange(len(data))
        yield Step("send", who, data=data[:cut])
        yield Step("turn", number=1)
        data = data[cut:]
    yield Step("send", who, data=data)


def _request(setting: Setting, who: int, source: int) -> bytes:
    """From one of the sources all come by ENTER."""
    verb = b"ENTER" if source == setting.seed % SOURCES else b"JOIN"
    return b"%s %s %s\n" % (verb, name_of(who), PASSCODE)


def _guess(chance: random.Random, setting: Setting) -> Iterator[Step]:
    """More wrong passcodes from one source than are judged at once; behind them more requests than
    may wait, not all of them wrong, and not all from one who is still there when its turn comes."""
    limits = setting.limits
    source = chance.randrange(SOURCES)
    first = 2 * setting.people  # behind those who join, and the other strangers
    late = chance.random() < 0.5
    if late:
        # Its turn comes when its time is up.
        yield Step("connect", first, source)
        yield Step("pass", number=chance.choice((16000, 19000)))
    passcodes = [b"wrong"] * limits.burst_attempts
    passcodes += chance.choices((b"wrong", PASSCODE), k=limits.max_waiting_requests + 1)
    for who, passcode in enumerate(passcodes, first + 1):
        yield Step("connect", who, source)
        yield Step("send", who, data=b"JOIN Zed %s\n" % passcode)
        if chance.random() < 0.9:
            yield Step("turn", number=3)  # or the newest of them take the place of the oldest
    if chance.random() < 0.3:
        yield Step("reset", first + limits.burst_attempts + chance.choice((1, 2)))
    if late:
        yield Step("send", first, data=b"JOIN Zed %s\n" % chance.choice((b"wrong", PASSCODE)))
    if chance.random() < 0.5:
        yield Step("pass", number=5000)


def _some_request(chance: random.Random, setting: Setting) -> bytes:
    taken = name_of(chance.randrange(setting.people))
    return chance.choice(
        (
            *(b"", b"JOIN Zed", b"JOIN %s abc" % taken, b"\n", b"GET / HTTP/1.1\r\n\r\n"),
            *(b"JOIN Zed wrong\n", b"JOIN Zed wrong\nJOIN Zed abc12\n", b"ENTER Zed wrong\n"),
            *(b"JOIN %s abc12\n" % taken, b"ENTER %s abc12\r\n" % taken.lower()),
            *(b"JOIN Too.long9 abc12\n", b"JOIN \xff abc12\n", b"JOIN  abc12\n"),
            *(b"J" * 40, b"J" * 41, b"J" * 41 + b"\r\n", b"J" * 300, b"ENTER Zed abc12\nhi\n"),
        )
    )


def _some_lines(chance: random.Random, setting: Setting) -> bytes:
    """One line or a few, sometimes too long, sometimes not ended."""
    limit = setting.limits.max_line_bytes
    lines = b""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if chance.random() < 0.06:
            size = limit - 4 + chance.randrange(8)
            lines += b"y" * chance.choice((size, size, limit * 3))
        else:
            lines += chance.choice(TEXTS) + b"%d" % chance.randrange(100) * chance.randrange(2)
        lines += chance.choice((b"\n", b"\n", b"\n", b"\r\n"))
    return lines[: -1 if chance.random() < 0.05 else None]


def _flood(chance: random.Random, setting: Setting, who: int) -> Iterator[Step]:
    """So much that a page is filled, or a queue, or a queue to its last."""
    limits = setting.limits
    queue = chance.choice(
        (limits.page_bytes * 2, limits.send_queue_bytes, limits.max_send_queue_bytes * 5 // 4)
    )
    if setting.people > 100:
        queue = min(queue, 40_000)
    line = chance.choice((b"z" * 70, b"z" * 30, b"z", b"z" * 70 + b" :)", b":Msg U1 " + b"z" * 40))
    if setting.scale == "real":
        line = line + b"z" * 2000
    yield Step("flood", who, queue // (len(line) + 5), line + b"\n")
