"""Compares what a program did with a sentence. In: Programs and Steps. Out: Mismatches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from grader import advice, kernel, tcp
from grader.language import Step
from grader.processes import Program
from grader.words import visible

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
    return advice.describe(program.name)


def how_it_ended(program: Program) -> str:
    """How it came to its end, if it did."""
    if program.is_flooded or not program.has_ended:
        return ""
    status = program.status or 0
    how = f"status {status}" if status >= 0 else f"signal {-status}"
    lines = program.err.everything.strip().splitlines()
    if not status and not lines and not program.out.everything:
        return "ended with status 0 and printed nothing: is main() ever called?"
    return f"ended with {how}" + (f": {lines[-1][:200]}" if lines else "")


def problem_of(program: Program, expected: list[str], seen: str) -> str:
    if program.is_flooded:
        return f"{describe(program)} printed without end, and was stopped"
    if not seen:
        return f"{describe(program)} printed nothing"
    if not expected:
        return f"{describe(program)} should have printed nothing"
    return f"{describe(program)} printed something else"


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
    return [Mismatch(program.name, f"{describe(program)} printed nothing at all")]


def _judge_without(program: Program, step: Step, port: int) -> list[Mismatch]:
    """It names the line: what else may stand there is another case's concern."""
    for line in program.out.unseen.split("\n"):
        for text in step.lines:
            if text in line:
                shown, wrong = visible(line[:200]), visible(text)
                told = f"printed \u201c{shown}\u201d, in which \u201c{wrong}\u201d should not be"
                return [Mismatch(program.name, f"{describe(program)} {told}")]
    return []


def _judge_traceback(program: Program, step: Step, port: int) -> list[Mismatch]:
    for stream in (program.err, program.out):
        if _TRACEBACK in stream.everything:
            where = advice.where_it_failed(stream.everything)
            problem = f"{describe(program)} showed a traceback: {where}"
            told = advice.advise(advice.Evidence(program.name, [], errors=stream.everything))
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
