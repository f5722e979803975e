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

from grader import advice, instead, kernel, tcp, words
from grader.language import Step
from grader.patterns import Clock, Expectation
from grader.processes import Program, Session, Setting, TooManyProcessesError
from grader.rubric import Case, Rubric

START_PATIENCE_SECONDS = 3.0
"""Longest that a program at rest may neither listen nor connect."""

GREETING_PATIENCE_SECONDS = 1.0
"""Rest after which a program that has printed nothing is taken as it is."""

SILENT_PATIENCE_SECONDS = 0.2
"""The same for the rest of a solution whose programs were seen to print nothing at their start."""

PATIENCE_SECONDS = 1.0
"""Rest after which what is missing is not expected any more."""

LAST_WORDS_SECONDS = 0.5
"""Rest after which a program that was interrupted has said its last words."""

_TRACEBACK = "Traceback (most recent call last)"
_PORT_TAKEN = re.compile(r"address already in use|Errno (98|48)\b", re.IGNORECASE)
_BYTE_PAUSE_SECONDS = 0.01
_DAY_SECONDS = 86400
_TELLING_SECONDS = 60  # between two clocks, so that a case cannot last as long


@dataclass
class Mismatch:
    """What one program should have printed, and what it did."""

    who: str
    problem: str
    expected: list[str] = field(default_factory=list)
    seen: str = ""
    advice: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """How one case ended. `transcript`: the sentences that were played. `learned`: what later
    cases need not find out again. `is_port_taken`: somebody else was on the port, and the case
    says nothing about the solution. `ungraded`: why nothing is known of the case, if so."""

    case: str
    has_passed: bool
    summary: str = ""
    transcript: list[str] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    learned: dict[str, bool] = field(default_factory=dict)
    is_port_taken: bool = False
    ungraded: str = ""
    seconds: float = 0.0

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
    case: Case, rubric: Rubric, setting: Setting, port: int, is_strict: bool, known: dict[str, bool]
) -> Outcome:
    """Play `case`. `known`: what earlier cases have learned."""
    began = time.monotonic()
    player = _Player(rubric, setting, port, known, case)
    outcome = Outcome(case.id, has_passed=True)
    try:
        with player.session:
            try:
                player.play([step for step in case.steps if step.is_strict in (None, is_strict)])
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
    outcome.transcript = player.transcript
    outcome.learned = player.learned
    if not outcome.has_passed:
        told = [sentence for mismatch in outcome.mismatches for sentence in mismatch.advice]
        outcome.advice = list(dict.fromkeys(told)) or [case.advice][: bool(case.advice)]
    outcome.seconds = time.monotonic() - began
    return outcome


class _Player:
    def __init__(
        self, rubric: Rubric, setting: Setting, port: int, known: dict[str, bool], case: Case
    ) -> None:
        self.transcript: list[str] = []
        self.learned: dict[str, bool] = {}
        self._rubric = rubric
        self._port = port
        self._known = known
        self._case = case
        self._setting = setting
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
        self._ports: dict[str, int] = {}
        self._expectations: dict[str, list[Step]] = {}
        self._others: list[Step] = []
        self._acted = _coarse_time()
        self._clients = 0  # that were given

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
                self._acted = _coarse_time()
            _ACTS[step.kind](self, step)
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
        for program in self._programs.values():
            program.out.forget()

    def clock(self, step: Step) -> None:
        hour, minute = map(int, step.detail.split(":"))
        self._set_clock(_shift_to(hour * 3600 + minute * 60, int(time.time())))
        self.session.set_environment(self._env)

    def start(self, step: Step) -> None:
        self._start(step.who[0], self._rubric.server)

    def join(self, step: Step) -> None:
        name = step.who[0]
        passcode = step.lines[0] if step.lines else self._rubric.passcode
        self._start(name, self._rubric.client, username=step.detail or name, passcode=passcode)

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

        def is_there() -> bool:
            clock = self._clock()
            return all(self._is_decided(name, clock) for name in names) and all(
                self._has_come(step) for step in self._others
            )

        if names or self._others:
            self.session.wait(is_there, PATIENCE_SECONDS)
        if self._programs:
            self.session.settle()
        clock = self._clock()
        mismatches = [self._mismatch(name, clock) for name in names]
        found = [mismatch for mismatch in mismatches if mismatch]
        found += [mismatch for step in self._others for mismatch in self._judge(step)]
        if found:
            self._advise(found)
            raise Failed(found[0].problem, found)
        self._expectations.clear()
        self._others.clear()
        for program in self._programs.values():
            program.out.forget()

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
        return program.out.has_ended or self._expectation(name).is_decided(
            program.out.unseen, clock
        )

    def _has_come(self, step: Step) -> bool:
        programs = [self._program(name) for name in step.who]
        if step.kind == "end":
            return all(program.has_ended for program in programs)
        if step.kind == "something":
            return all(program.has_ended or program.out.unseen for program in programs)
        if step.kind == "anything":
            return any(program.out.unseen for program in programs)
        return True

    def _mismatch(self, name: str, clock: Clock) -> Mismatch | None:
        program = self._program(name)
        seen = program.out.unseen
        expectation = self._expectation(name)
        if expectation.is_met(seen, clock) and not program.is_flooded:
            return None
        expected = words.nearest(expectation, seen, clock)
        ended = self._how_it_ended(program)
        problem = _problem(program, expected, seen) + (f" ({ended})" if ended else "")
        return Mismatch(name, problem, expected, seen)

    def _judge(self, step: Step) -> list[Mismatch]:
        programs = [self._program(name) for name in step.who]
        if step.kind != "anything":
            return [m for program in programs for m in _JUDGES[step.kind](program, step)]
        if any(program.out.unseen for program in programs):
            return []
        names = " nor ".join(map(_describe, programs))
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
                is_silent = mismatch.expected and not mismatch.seen
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
        port = self._port
        is_ready = self._wait_until_ready(program, lambda: tcp.is_listening(port))
        self._require(program, is_ready, f"did not listen on port {port}")

    def _given_client(self, name: str, network: str) -> None:
        if network:
            cuts = network == "cuts"
            self._ports[name] = self.session.add_proxy(self._rubric.host, self._port, cuts)
        port = self._ports.get(name, self._port)
        values = {"username": name, "passcode": self._rubric.passcode}
        self._clients += 1
        program = self._start(name, self._rubric.client, **values)
        wanted = self._clients if port == self._port else 1
        is_ready = self._wait_until_ready(program, lambda: tcp.connections_to(port) >= wanted)
        self._require(program, is_ready, f"did not connect to port {port}")

    def _wait_until_ready(self, program: Program, is_ready: Callable[[], bool]) -> bool:
        """Until it has greeted and all is quiet; if its kind does not greet, until it is ready."""
        kind = "server" if program.name == "server" else "client"

        def has_greeted() -> bool:
            return program.has_ended or bool(program.out.everything)

        greets = self._known.get(f"{kind} greets", True)
        patience = GREETING_PATIENCE_SECONDS if greets else SILENT_PATIENCE_SECONDS
        began = time.monotonic()
        self.session.wait(has_greeted, patience)
        self.session.settle()
        self.learned[f"{kind} greets"] = bool(program.out.everything)
        if not kernel.IS_HERE:
            return True
        while not (ready := is_ready()) and not program.has_ended:
            if time.monotonic() - began > START_PATIENCE_SECONDS:
                break
            self.session.wait(has_greeted, SILENT_PATIENCE_SECONDS)
            self.session.settle()
        return ready

    def _require(self, program: Program, holds: bool, complaint: str) -> None:
        who = _describe(program)
        ended = self._how_it_ended(program)
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
                _fill(argument, port=str(port), host=self._rubric.host, **values)
                for argument in arguments
            ],
        )
        self._programs[name] = program
        return program

    def _program(self, name: str) -> Program:
        if name not in self._programs:
            raise Failed(f"the case is wrong: no one is called {name}")
        return self._programs[name]

    def _how_it_ended(self, program: Program) -> str:
        """How it came to its end, if it did."""
        if program.is_flooded or not program.has_ended:
            return ""
        status = program.status or 0
        how = f"status {status}" if status >= 0 else f"signal {-status}"
        lines = program.err.everything.strip().splitlines()
        if not status and not lines and not program.out.everything:
            return "ended with status 0 and printed nothing: is main() ever called?"
        return f"ended with {how}" + (f": {lines[-1][:200]}" if lines else "")

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
        return _fill(text, port=str(port), host=self._rubric.host, passcode=self._rubric.passcode)


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


def _fill(text: str, **values: str) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _describe(program: Program) -> str:
    return advice.describe(program.name)


def _problem(program: Program, expected: list[str], seen: str) -> str:
    if program.is_flooded:
        return f"{_describe(program)} printed without end, and was stopped"
    if not seen:
        return f"{_describe(program)} printed nothing"
    if not expected:
        return f"{_describe(program)} should have printed nothing"
    return f"{_describe(program)} printed something else"


def _judge_end(program: Program, step: Step) -> list[Mismatch]:
    if not program.has_ended:
        return [Mismatch(program.name, f"{_describe(program)} did not end")]
    if step.detail and program.status != int(step.detail):
        return [
            Mismatch(
                program.name, f"{_describe(program)} ended with {program.status}, not {step.detail}"
            )
        ]
    return []


def _judge_running(program: Program, step: Step) -> list[Mismatch]:
    return [Mismatch(program.name, f"{_describe(program)} has ended")] if program.has_ended else []


def _judge_something(program: Program, step: Step) -> list[Mismatch]:
    if program.out.unseen:
        return []
    return [Mismatch(program.name, f"{_describe(program)} printed nothing at all")]


def _judge_traceback(program: Program, step: Step) -> list[Mismatch]:
    for stream in (program.err, program.out):
        if _TRACEBACK in stream.everything:
            where = advice.where_it_failed(stream.everything)
            problem = f"{_describe(program)} showed a traceback: {where}"
            told = advice.advise(advice.Evidence(program.name, [], errors=stream.everything))
            return [Mismatch(program.name, problem, advice=told)]
    return []


def _judge_complaint(program: Program, step: Step) -> list[Mismatch]:
    if not program.err.everything:
        return []
    first = program.err.everything.splitlines()[0]
    return [Mismatch(program.name, f"{_describe(program)} wrote on standard error: {first[:200]}")]


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
_JUDGES: dict[str, Callable[[Program, Step], list[Mismatch]]] = {
    "end": _judge_end,
    "run on": _judge_running,
    "something": _judge_something,
    "no traceback": _judge_traceback,
    "no complaint": _judge_complaint,
}
