"""`python3 -m tests.fuzz.wire --port P --passcode C`: attack a server, and see whom it harms.

The passcode is the room's. Attackers come and go beside two honest members, Alice and Bob, whose
every line is predicted. Exit status 0: nothing was found; 1: something was, and what was sent
last is in a file that is named; 2: a mistake on the command line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fuzz.wire.fuzzer import Fuzzer
from tests.fuzz.wire.network import Network, TcpNetwork
from tests.fuzz.wire.schedule import Schedule
from tests.fuzz.wire.sessions import sessions_in
from tests.fuzz.wire.steps import parse_steps
from tests.fuzz.wire.witness import FindingError

SHOWN_STEPS = 20
"""Of the last before a finding; the file has all that are kept."""


def main(
    arguments: Sequence[str] | None = None,
    network_to: Callable[[str, int], Network] = TcpNetwork,
) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.fuzz.wire", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--passcode", required=True)
    parser.add_argument("--seed", type=int, default=None, help="another run like that one")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--sessions", type=int, default=None, help="how many, and no clock")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="send what a file holds")
    options = parser.parse_args(arguments)
    seed: int = time.time_ns() % 1_000_000 if options.seed is None else options.seed
    network = network_to(options.host, options.port)
    passcode = options.passcode.encode()
    fuzzer = Fuzzer(network, passcode)

    def is_over(count: int) -> bool:
        is_timed = options.sessions is None
        return bool(network.seconds >= options.seconds if is_timed else count >= options.sessions)

    print(f"seed {seed}", file=sys.stderr)
    try:
        if options.replay:
            steps = list(parse_steps(options.replay.read_text().splitlines()))
            fuzzer.run(steps, sessions_in(steps, passcode))
        else:
            schedule = Schedule(seed, passcode, _sources(options.host))
            fuzzer.run(schedule.steps(is_over), schedule.sessions)
    except FindingError as finding:
        _report(finding, fuzzer, seed)
        return 1
    finally:
        fuzzer.close()
    print(f"nothing found with --seed {seed}: {fuzzer.figures}")
    return 0


def _sources(host: str) -> list[bytes]:
    """Where wrong passcodes may come from: on loopback not from where the honest are."""
    if host.startswith("127.") and sys.platform == "linux":
        return [f"127.0.0.{last}".encode() for last in range(2, 250)]
    return [b""]


def _report(finding: FindingError, fuzzer: Fuzzer, seed: int) -> None:
    descriptor, path = tempfile.mkstemp(".txt", "chatroom-wire-")
    title = f"# seed {seed}: {finding}".replace("\n", " ")
    with open(descriptor, "w") as file:
        file.writelines(f"{line}\n" for line in [title, *fuzzer.record])
    for line in [*fuzzer.record][-SHOWN_STEPS:]:
        print(line[:200], file=sys.stderr)
    print(f"FOUND with --seed {seed}: {finding}", file=sys.stderr)
    print(f"{fuzzer.figures}; the last that was sent: {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
