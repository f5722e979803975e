"""Plays one case against one solution. In: a Case, a Setting and a port. Out: an Outcome, a plain
value that can be sent from process to process. Nothing is raised: whatever a solution does is told
in the Outcome.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from grader import advice, forgive, instead, kernel, tcp, words
from grader.judge import JUDGES, Mismatch, describe, how_it_ended, problem_of
from grader.language import Step
from grader.patterns import Clock, Expectation
from grader.processes import Program, Session, Setting, TooManyProcessesError
from grader.room import ANSWER_SECONDS, START_SECONDS, Room
from grader.rubric import Case, Rubric

__all__ = ["Failed", "Mismatch", "Outcome", "play"]

LATE_SECONDS = 4.0
"""Rest after which an answer that is too late already is not waited for any longer."""

LAST_WORDS_SECONDS = 0.5
"""Rest after which a program that was interrupted has said its last words."""

_PORT_TAKEN = re.compile(r"address already in use|Errno (98|48)\b", re.IGNORECASE)
_SERVING = frozenset({"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"})  # noqa: S104  looked for
_BYTE_PAUSE_SECONDS = 0.01
_DAY_SECONDS = 86400
_TELLING_SECONDS = 60  # between two clocks, so that a case cannot last as long


@dataclass
class Outcome:
    """How one case ended. `transcript`: the sentences that were played. `faults`: if it failed by
    these alone, which show in every case, their names (forgive.py). `forgiven`: if they cost points
    in another case already, what to say of that. `learned`: what later cases need not find out
    again. `has_barriers`: lines that are no part of the case were typed. `is_port_taken`:
    somebody else was on the port, and the case says nothing about the solution. `ungraded`: why
    nothing is known of the case, if so."""

    case: str
    has_passed: bool
    summary: str = ""
    transcript: list[str] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    forgiven: str = ""
    learned: dict[str, float] = field(default_factory=dict)
    has_barriers: bool = False
    is_port_taken: bool = False
    ungraded: str = ""
    seconds: float = 0.0

    @property
    def is_hopeless(self) -> bool:
        """Whether cases that need this one are not worth playing."""
        return not self.has_passed and not self.faults

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Outcome:
        mismatches = [Mismatch(**mismatch) for mismatch in data.pop("mismatches")]
        return Outcome(**data, mismatches=mismatches)


class Failed(Exception):  # noqa: N818  it is how a case ends, and no error of ours
    """The case is over. Its text says why, in one line."""

    def __init__(self, summary: str, mismatches: list[Mismatch] | None = None) -> None:
        super().__init__(summary)
        self.mismatches = mismatches or []


def play(
    case: Case,
    rubric: Rubric,
    setting: Setting,
    port: int,
    is_strict: bool,
    known: dict[str, float],
    uses_barriers: bool = True,
) -> Outcome:
    """Play `case`. `known`: what earlier cases have learned."""
    began = time.monotonic()
    player = _Player(rubric, setting, port, known, uses_barriers)
    outcome = Outcome(case.id, has_passed=True)
    try:
        with player.session:
            try:
                player.play([step for step in case.steps if step.is_strict in (None, is_strict)])
                outcome.mismatches = player.excusable
            except TooManyProcessesError as error:
                outcome.has_passed = False
                outcome.summary = f"it started {error} processes; all of them were ended"
            except Failed as failure:
                outcome.has_passed = False
                outcome.summary = str(failure)
                outcome.mismatches = failure.mismatches
                outcome.is_port_taken = player.is_port_taken()
    except OSError as error:
        outcome.has_passed = False
        outcome.summary = f"a program could not be run: {error}"
        outcome.ungraded = outcome.summary
    if outcome.has_passed and outcome.mismatches:
        outcome.has_passed = False
        outcome.summary = outcome.mismatches[0].problem
        outcome.faults = sorted({fault for m in outcome.mismatches for fault in m.faults})
    outcome.transcript = player.transcript
    outcome.learned = player.room.learned
    outcome.has_barriers = bool(player.room.barriers)
    if not outcome.has_passed:
        told = [sentence for mismatch in outcome.mismatches for sentence in mismatch.advice]
        outcome.advice = list(dict.fromkeys(told)) or [case.advice][: bool(case.advice)]
    outcome.seconds = time.monotonic() - began
    return outcome


class _Player:
    def __init__(
        self,
        rubric: Rubric,
        setting: Setting,
        port: int,
        known: dict[str, float],
        uses_barriers: bool,
    ) -> None:
        self.transcript: list[str] = []
        self.excusable: list[Mismatch] = []
        self._rubric = rubric
        self._setting = setting
        self._port = port
        self._shift = time.localtime().tm_gmtoff
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(setting.directory),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "PYTHONHASHSEED": "0",  # so that a set of names has the same order each time
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._set_clock(self._shift)
        self.session = Session(setting, {port}, self._env)
        self._programs: dict[str, Program] = {}
        self.room = Room(self.session, self._programs, known, uses_barriers)
        self._ports: dict[str, int] = {}
        self._act: Step | None = None
        self._expectations: dict[str, list[Step]] = {}
        self._others: list[Step] = []
        self._acted = _coarse_time()
        self._asked = time.monotonic()

    def play(self, steps: list[Step]) -> None:
        """Raises Failed as soon as an act did not bring about what it should."""
        for step in steps:
            if step.is_act:
                self._look()
            self.transcript.append(words.tell(self._fill(step.sentence), self._clock()))
            if not step.is_act:
                self._note(step)
                continue
            if step.kind not in ("given", "clock"):
                self._act = step
                self._acted = _coarse_time()
            _ACTS[step.kind](self, step)
            self._asked = time.monotonic()
        self._look()

    def is_port_taken(self) -> bool:
        """Whether the server has said so, where none of ours was to be there."""
        server = self._programs.get("server")
        said = server.out.everything + server.err.everything if server else ""
        return bool(_PORT_TAKEN.search(said))

    # Acts.

    def given(self, step: Step) -> None:
        if "server" not in self._programs:
            self._given_server()
        for name in step.who:
            if name != "server":
                self._given_client(name, step.detail)
        self.room.finish(step.who[-1])
        self._forget()

    def clock(self, step: Step) -> None:
        hour, minute = map(int, step.detail.split(":"))
        self._set_clock(_shift_to(hour * 3600 + minute * 60, int(time.time())))
        self.session.set_environment(self._env)

    def start(self, step: Step) -> None:
        program = self._start(step.who[0], self._rubric.server)
        is_first = program.name == "server"
        self._wait_until_ready(
            program, lambda: program.out.everything or (is_first and self._is_listening())
        )

    def join(self, step: Step) -> None:
        name = step.who[0]
        passcode = step.lines[0] if step.lines else self._rubric.passcode
        before = self._connections(name)
        program = self._start(
            name, self._rubric.client, username=step.detail or name, passcode=passcode
        )
        self._wait_until_ready(
            program, lambda: program.out.everything or self._connections(name) - before
        )

    def type(self, step: Step) -> None:
        data = "".join(f"{self._fill(line)}\n" for line in step.lines).encode()
        program = self._program(step.who[0])
        if not step.detail:
            self.session.type(program, data)
            return
        for byte in data:
            self.session.type(program, bytes([byte]))
            self.session.wait(lambda: False, _BYTE_PAUSE_SECONDS)

    def end_input(self, step: Step) -> None:
        self.session.end_input(self._program(step.who[0]))

    def interrupt(self, step: Step) -> None:
        self.session.signal(self._program(step.who[0]), signal.SIGINT)

    def kill(self, step: Step) -> None:
        self.session.signal(self._program(step.who[0]), signal.SIGKILL)

    # What came of an act.

    def _look(self) -> None:
        """Wait for what was to come, and for what was not, and compare. Raises Failed."""
        names = list(self._expectations)
        late = self._wait_for_answers(names)
        if self._act:
            self._wait_for_hearers(self._act)
            self.room.finish(self._act.who[0])
        elif names or self._others:
            self.session.settle()
        clock = self._clock()
        mismatches = [self._mismatch(name, clock) for name in names]
        found = [mismatch for mismatch in mismatches if mismatch]
        found += [mismatch for step in self._others for mismatch in self._judge(step)]
        if found:
            self._advise(found)
        if unexcused := [mismatch for mismatch in found if not mismatch.faults]:
            raise Failed(unexcused[0].problem, found)
        if late:
            raise Failed(late[0].problem, late)
        self.excusable += found
        self._act = None
        self._expectations.clear()
        self._others.clear()
        self._forget()

    def _forget(self) -> None:
        for program in self._programs.values():
            program.out.forget()

    def _wait_for_answers(self, names: list[str]) -> list[Mismatch]:
        """Until all is there or cannot come. Returns what did come, but too late."""

        def missing() -> list[str]:
            clock = self._clock()
            absent = [name for step in self._others for name in self._missing(step)]
            return [name for name in names if not self._is_decided(name, clock)] + absent

        if not (names or self._others) or self.room.wait_for_answer(lambda: not missing()):
            return []
        late = missing()
        if self.session.is_final or not self.session.wait(lambda: not missing(), LATE_SECONDS):
            return []
        seconds = time.monotonic() - self._asked
        told = f"answered after {seconds:.1f} s; {ANSWER_SECONDS:g} s is the longest"
        return [
            Mismatch(
                name,
                f"{describe(self._program(name))} {told}",
                advice=advice.advise(advice.Evidence(name, [], delay=seconds)),
            )
            for name in dict.fromkeys(late)
        ]

    def _wait_for_hearers(self, act: Step) -> None:
        """Those who are told of an act by the rules of the room, whatever the case looks at."""
        name = act.who[0]
        if act.kind == "join" and not act.lines:
            self.room.wait_until_heard("join", [self._program(name), *self.room.others(name)])
            self.room.members.append(name)
        elif act.kind == "join":
            self.room.wait_until_heard("refusal", [self._program(name)])
        elif name == "server" or name in self.room.members:
            has_left = act.kind in ("end input", "interrupt", "kill") or act.lines[-1:] == (
                self._rubric.exit,
            )
            if has_left:
                self.room.leave(name)
                hearers = self.room.others(name) if name != "server" else []
                self.room.wait_until_heard("leave", hearers)

    def _note(self, step: Step) -> None:
        if step.kind == "see":
            for name in step.who:
                self._expectations.setdefault(name, []).append(step)
        else:
            self._others.append(step)

    def _expectation(self, name: str) -> Expectation:
        """All that `name` is to see of this act; several sentences are one after the other."""
        expectations = [s.expectation for s in self._expectations[name] if s.expectation]
        if len(expectations) == 1:
            first = expectations[0]
            alternatives = [self._fill_all(lines, name) for lines in first.alternatives]
            return Expectation(alternatives, first.in_order)
        lines = [line for e in expectations for line in e.alternatives[0]]
        return Expectation([self._fill_all(lines, name)])

    def _is_decided(self, name: str, clock: Clock) -> bool:
        program = self._program(name)
        return (
            program.out.has_ended
            or program.is_flooded
            or self._expectation(name).is_decided(program.out.unseen, clock)
        )

    def _missing(self, step: Step) -> list[str]:
        """Of whom it is about, those who have not done yet what it says."""
        programs = [self._program(name) for name in step.who]
        if step.kind == "end":
            return [program.name for program in programs if not program.is_out]
        silent = [p.name for p in programs if not p.is_out and not p.out.unseen]
        if step.kind == "something":
            return silent
        if step.kind == "anything" and not any(program.out.unseen for program in programs):
            return silent
        return []

    def _mismatch(self, name: str, clock: Clock) -> Mismatch | None:
        program = self._program(name)
        seen = program.out.unseen
        expectation = self._expectation(name)
        if expectation.is_met(seen, clock) and not program.is_flooded:
            return None
        expected = words.nearest(expectation, seen, clock)
        ended = how_it_ended(program)
        problem = problem_of(program, expected, seen) + (f" ({ended})" if ended else "")
        mismatch = Mismatch(name, problem, expected, seen)
        if not program.is_flooded:
            kind = "server" if name.startswith("server") else "client"
            before = program.out.everything.removesuffix(seen)
            faults = forgive.faults_of(expectation, before, seen, clock)
            mismatch.faults = [f"{fault} ({kind})" for fault in faults]
        return mismatch

    def _judge(self, step: Step) -> list[Mismatch]:
        lines = tuple(map(self._fill, step.lines))
        step = step._replace(detail=self._fill(step.detail), lines=lines)
        programs = [self._program(name) for name in step.who]
        if step.kind != "anything":
            return [m for p in programs for m in JUDGES[step.kind](p, step, self._port)]
        if any(program.out.unseen for program in programs):
            return []
        names = " nor ".join(map(describe, programs))
        found = Mismatch(step.who[0], f"neither {names} printed anything")
        if any(self._late_words(program) for program in programs):
            found.advice = [advice.NO_FLUSH]
        return [found]

    def _advise(self, found: list[Mismatch]) -> None:
        """Say what was seen of what is missing. Programs may be ended by that."""
        programs = self._programs
        printed = {name: program.out.unseen for name, program in programs.items()}
        errors = {name: program.err.everything for name, program in programs.items()}
        for mismatch in found:
            if not mismatch.advice:
                name = mismatch.who
                is_silent = mismatch.expected and not (mismatch.seen or mismatch.faults)
                evidence = advice.Evidence(
                    name,
                    mismatch.expected,
                    mismatch.seen,
                    self._late_words(programs[name]) if is_silent else "",
                    errors[name],
                    {other: text for other, text in printed.items() if other != name},
                    version=self._setting.version,
                )
                mismatch.advice = advice.advise(evidence)

    def _late_words(self, program: Program) -> str:
        """What a program that is silent prints when it is interrupted."""
        if program.has_ended or program.out.unseen:
            return ""
        for _ in range(2):
            self.session.signal(program, signal.SIGINT)
            self.session.wait(lambda: program.has_ended, LAST_WORDS_SECONDS)
        self.session.settle()
        return program.out.unseen

    # Details.

    def _given_server(self) -> None:
        program = self._start("server", self._rubric.server)
        is_ready = self._wait_until_ready(program, self._is_listening)
        self._require(program, is_ready, f"did not listen on port {self._port}")
        self.room.wait_until_heard("start", [program])

    def _given_client(self, name: str, network: str) -> None:
        if network:
            cuts = network == "cuts"
            self._ports[name] = self.session.add_proxy(self._rubric.host, self._port, cuts)
        self._forget()
        before = self._connections(name)
        values = {"username": name, "passcode": self._rubric.passcode}
        program = self._start(name, self._rubric.client, **values)
        is_ready = self._wait_until_ready(program, lambda: self._connections(name) - before)
        port = self._ports.get(name, self._port)
        self._require(program, is_ready, f"did not connect to port {port}")
        self.room.wait_until_heard("join", [program, *self.room.others(name)])
        self.room.members.append(name)

    def _wait_until_ready(self, program: Program, is_ready: Callable[[], object]) -> bool:
        """Until it is ready, has ended, or where that cannot be seen has said something. Returns
        whether it was ready, as far as that can be seen."""
        was_ready = False

        def has_started() -> bool:
            nonlocal was_ready
            was_ready = was_ready or bool(is_ready() if kernel.IS_HERE else program.out.everything)
            return was_ready or program.is_out

        self.session.wait(has_started, START_SECONDS)
        if program.has_ended:
            self.session.settle()  # its last words are read
        return was_ready or not kernel.IS_HERE

    def _is_listening(self) -> bool:
        return not _SERVING.isdisjoint(tcp.listening_addresses(self._port))

    def _connections(self, name: str) -> set[int]:
        port = self._ports.get(name, self._port)
        return tcp.connections_to(port) if kernel.IS_HERE else set()

    def _require(self, program: Program, holds: bool, complaint: str) -> None:
        who = describe(program)
        ended = how_it_ended(program)
        if program.is_flooded:
            complaint = "printed without end, and was stopped"
        elif ended:
            complaint = ended
        elif holds:
            return
        elif found := instead.describe(program.process.pid, program.out.everything):
            complaint = f"{complaint}: {found}"
        mismatch = Mismatch(program.name, f"{who} {complaint}")
        self._advise([mismatch])
        raise Failed(f"{who} {complaint}", [mismatch])

    def _start(self, name: str, arguments: tuple[str, ...], **values: str) -> Program:
        port = self._ports.get(name, self._port)
        values = {"passcode": self._rubric.passcode, **values}
        program = self.session.start(
            name,
            [
                words.fill(argument, port=str(port), host=self._rubric.host, **values)
                for argument in arguments
            ],
        )
        self._programs[name] = program
        return program

    def _program(self, name: str) -> Program:
        if name not in self._programs:
            raise Failed(f"the case is wrong: no one is called {name}")
        return self._programs[name]

    def _clock(self) -> Clock:
        return Clock(self._acted, time.time(), self._shift, self._rubric.time_formats)

    def _set_clock(self, shift: int) -> None:
        """A time zone of our own, as POSIX writes it: west is positive."""
        self._shift = shift
        sign = "-" if shift >= 0 else ""
        hours, rest = divmod(abs(shift), 3600)
        self._env["TZ"] = f"LMT{sign}{hours:02}:{rest // 60:02}:{rest % 60:02}"

    def _fill_all(self, lines: Any, name: str) -> list[str]:
        is_server = name.startswith("server")
        prefix = self._rubric.server_prefix if is_server else self._rubric.client_prefix
        return [prefix + self._fill(line, name) for line in lines]

    def _fill(self, text: str, name: str = "") -> str:
        port = self._ports.get(name, self._port)
        return words.fill(
            text, port=str(port), host=self._rubric.host, passcode=self._rubric.passcode
        )


def _shift_to(wanted: int, now: int) -> int:
    """Seconds by which a clock is ahead of universal time that shows `wanted`, in seconds since
    midnight. Never so few that universal time itself would be right: rather a day more."""
    shift = (wanted - now) % _DAY_SECONDS
    if shift >= _DAY_SECONDS // 2:
        shift -= _DAY_SECONDS
    if abs(shift) < _TELLING_SECONDS:
        shift += _DAY_SECONDS if shift >= 0 else -_DAY_SECONDS
    return shift


def _coarse_time() -> float:
    """Seconds since 1970 by the clock that is never ahead of another: time(2), and with it Python's
    `time.localtime()` and `time.strftime()`, is up to a timer's tick behind `time.time()`."""
    if sys.platform == "linux":
        return time.clock_gettime(5)  # CLOCK_REALTIME_COARSE, which Python has no name for
    return time.time()


_ACTS: dict[str, Callable[[_Player, Step], None]] = {
    "given": _Player.given,
    "clock": _Player.clock,
    "start": _Player.start,
    "join": _Player.join,
    "type": _Player.type,
    "end input": _Player.end_input,
    "interrupt": _Player.interrupt,
    "kill": _Player.kill,
}
