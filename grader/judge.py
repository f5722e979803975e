"""Compares what a program did with a sentence. In: Programs and Steps. Out: Mismatches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from grader import advice, kernel, tcp
from grader.language import Step
from grader.patterns import Expectation
from grader.processes import Program

_TRACEBACK = "Traceback (most recent call last)"


@dataclass
class Mismatch:
    """What one program should have printed, and what it did. `faults`: if it is wrong by these
    alone (forgive.py), their names."""

    who: str
    problem: str
    expected: list[str] = field(default_factory=list)
    seen: str = ""
    advice: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def describe(program: Program) -> str:
    return "server.py" if program.name.startswith("server") else f"{program.name}'s client.py"


def how_it_ended(program: Program) -> str:
    """How it came to its end, if it did."""
    if program.is_flooded or not program.has_ended:
        return ""
    status = program.status or 0
    how = f"status {status}" if status >= 0 else f"signal {-status}"
    lines = program.err.everything.strip().splitlines()
    return f"ended with {how}" + (f": {lines[-1][:200]}" if lines else "")


def transpose(expectation: Expectation) -> list[list[str]]:
    """The alternatives, line by line; if they differ in length, the first of them alone."""
    first = expectation.alternatives[0]
    if any(len(lines) != len(first) for lines in expectation.alternatives):
        return [[line] for line in first]
    return [list(dict.fromkeys(lines)) for lines in zip(*expectation.alternatives, strict=True)]


def problem_of(program: Program, expected: list[str], seen: str) -> str:
    name = program.name
    if program.is_flooded:
        return f"{name} printed without end, and was stopped"
    if not seen:
        return f"{name} saw nothing"
    if not expected:
        return f"{name} should have seen nothing"
    return f"{name} saw something else"


def _judge_end(program: Program, step: Step, port: int) -> list[Mismatch]:
    if not program.has_ended:
        return [Mismatch(program.name, f"{describe(program)} did not end")]
    if step.detail and program.status != int(step.detail):
        problem = f"{describe(program)} ended with {program.status}, not {step.detail}"
        return [Mismatch(program.name, problem)]
    return []


def _judge_running(program: Program, step: Step, port: int) -> list[Mismatch]:
    return [Mismatch(program.name, f"{describe(program)} has ended")] if program.has_ended else []


def _judge_something(program: Program, step: Step, port: int) -> list[Mismatch]:
    if program.out.unseen:
        return []
    return [Mismatch(program.name, f"{program.name} saw nothing at all")]


def _judge_without(program: Program, step: Step, port: int) -> list[Mismatch]:
    if not any(text in program.out.unseen for text in step.lines):
        return []
    problem = f"{program.name} saw {step.lines[0]!r}, which should not be there"
    return [Mismatch(program.name, problem, seen=program.out.unseen)]


def _judge_traceback(program: Program, step: Step, port: int) -> list[Mismatch]:
    for stream in (program.err, program.out):
        if _TRACEBACK in stream.everything:
            last = stream.everything.strip().splitlines()[-1]
            problem = f"{describe(program)} showed a traceback: {last[:200]}"
            told = advice.advise([], "", "", stream.everything, program.name)
            return [Mismatch(program.name, problem, advice=told)]
    return []


def _judge_complaint(program: Program, step: Step, port: int) -> list[Mismatch]:
    if not program.err.everything:
        return []
    first = program.err.everything.splitlines()[0]
    return [Mismatch(program.name, f"{describe(program)} wrote on standard error: {first[:200]}")]


def _judge_address(program: Program, step: Step, port: int) -> list[Mismatch]:
    """Where the kernel cannot be asked, it is not looked at."""
    found = tcp.listening_addresses(port) if kernel.IS_HERE else [step.detail]
    if set(found) == {step.detail}:
        return []
    places = " and ".join(sorted(set(found))) or "no address"
    return [Mismatch(program.name, f"server.py listens on {places}, not on {step.detail} alone")]


JUDGES: dict[str, Callable[[Program, Step, int], list[Mismatch]]] = {
    "end": _judge_end,
    "run on": _judge_running,
    "something": _judge_something,
    "see without": _judge_without,
    "no traceback": _judge_traceback,
    "no complaint": _judge_complaint,
    "listen": _judge_address,
}
"""By the kind of a Step. The last argument is the port of the case."""
