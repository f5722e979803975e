"""What must hold of a run that asks more than can be taken: Seen in, a Check out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.audience import Ear, Poured, Story
from bench.conversation import Conversation
from bench.load import LINE_BYTES

MAX_DELAY_SECONDS = 0.25
USUAL_DELAY_SECONDS = 0.1  # of a pour that nothing delays, on a machine that has time for it
MAX_P99_MS = 50.0

_CUT = re.compile(r"cut \S+ \((\S+)\): \d+ bytes unsent, (?:behind|none taken) for \d+\.\d s")
_CUT_MORE = re.compile(r"cut (\d+) more: slow reader")
_NOT_SHOWN = re.compile(r"warning: standard output: (\d+) lines not shown")


class Check(NamedTuple):
    """Something that must hold, and what was measured of it. `holds` is None where the machine was
    too busy to tell."""

    must: str
    measured: str
    holds: bool | None
    is_noisy: bool = False


NOTHING_POURED = Poured(0.0, 0.0, 0)


@dataclass
class Seen:
    """What came of one run; each kind of run fills in what its promises ask for."""

    rise_kib: int
    """How far the resident memory rose, of the process that is asked too much."""
    ears: list[Ear] = field(default_factory=list)
    poured: Poured = NOTHING_POURED
    without: tuple[Poured, ...] = ()
    """Pours before and after this one that nothing disturbs."""
    complaints: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0
    resting_seconds: float = 0.0
    """CPU time while there is nothing to do."""
    sleeps: int = 0
    console: bytes = b""
    joined: int = 0
    story: Story | None = None
    """What the console ought to show, after its banner and the names of who joined."""
    deaf: list[str] = field(default_factory=list)
    conversation: Conversation | None = None
    status: int = -1


Promise = Callable[[Seen], Check]


# Of a pour.


def every_line_arrives(seen: Seen) -> Check:
    due = sum(ear.due_bytes for ear in seen.ears) // LINE_BYTES
    lost = sum(ear.lost_lines for ear in seen.ears)
    astray = sum(not ear.is_in_order for ear in seen.ears)
    measured = f"{due:,} due, {lost:,} lost, {astray} ears astray"
    return Check("every line arrives, in order, once", measured, not lost and not astray)


def told_once(notice: str) -> Promise:
    def check(seen: Seen) -> Check:
        counts = Counter(ear.notices[notice.encode()] for ear in seen.ears)
        measured = ", ".join(f"{count} x by {ears}" for count, ears in sorted(counts.items()))
        must = f"`{notice}` is heard once by each"
        return Check(must, measured, counts == {1: len(seen.ears)})

    return check


def feels_back_pressure(who: str) -> Promise:
    def check(seen: Seen) -> Check:
        turns = seen.poured.blocked_turns
        return Check(f"{who} feels back-pressure", f"in {turns:,} turns it would block", turns > 0)

    return check


def memory_rises_less_than(max_mib: float, whose: str) -> Promise:
    def check(seen: Seen) -> Check:
        mib = seen.rise_kib / 1024
        must = f"{whose} memory rises by less than {max_mib:.0f} MiB"
        return Check(must, f"{mib:.1f} MiB", mib < max_mib, is_noisy=True)

    return check


def delays_no_others(seen: Seen) -> Check:
    """Where a pour that nothing disturbs was delayed too, by whatever else the machine does, the
    difference would say nothing."""
    usual_seconds = max(other.delay_seconds for other in seen.without)
    is_quiet = usual_seconds <= USUAL_DELAY_SECONDS
    is_met = seen.poured.delay_seconds - usual_seconds <= MAX_DELAY_SECONDS
    return Check(
        f"it delays the others by no more than {MAX_DELAY_SECONDS} s",
        f"{seen.poured}, without it {' and '.join(map(str, seen.without))}",
        is_met if is_quiet else None,
        is_noisy=True,
    )


def cpu_time_is_within_the_walls(seen: Seen) -> Check:
    wall_seconds = seen.poured.wall_seconds
    times = f"{seen.cpu_seconds:.2f} s of {wall_seconds:.2f} s, asleep {seen.sleeps:,} times"
    is_within = seen.cpu_seconds <= wall_seconds
    return Check("the server's CPU time is at most the wall's", times, is_within)


def rests_afterwards(seen: Seen) -> Check:
    measured = f"{1000 * seen.resting_seconds:.2f} ms"
    return Check("and none when all is heard", measured, not seen.resting_seconds)


def ends_well(seen: Seen) -> Check:
    return Check("the client's exit status is 0", str(seen.status), seen.status == 0)


# Of those that are cut.


def count_cuts(complaints: list[str]) -> int:
    """How many were cut, by lines that give the numbers or their sum; -1 if there is another."""
    count = 0
    for text in complaints:
        if more := _CUT_MORE.fullmatch(text):
            count += int(more[1])
        elif _CUT.fullmatch(text):
            count += 1
        else:
            return -1
    return count


def cut_is_told(name: str) -> Promise:
    def check(seen: Seen) -> Check:
        cuts = seen.complaints
        is_told = len(cuts) == 1 and count_cuts(cuts) == 1 and f"({name})" in cuts[0]
        return Check("the cut is told on standard error, with numbers", "; ".join(cuts), is_told)

    return check


def each_cut_is_told(seen: Seen) -> Check:
    cuts = count_cuts(seen.complaints)
    told = f"{cuts:,} told, in {len(seen.complaints):,} lines"
    must = "each cut is told on standard error, with numbers"
    return Check(must, told, cuts == len(seen.deaf))


# Of a conversation beside the pour.


def conversation_is_whole(seen: Seen) -> Check:
    talk = seen.conversation
    assert talk
    lines = f"{len(talk.poured) // LINE_BYTES:,} and {len(talk.paced):,} lines heard, "
    lines += f"{talk.story.heard_bytes // LINE_BYTES:,} and {len(talk.spoken_at):,} said"
    return Check("every line arrives, in order, once", lines, talk.is_whole)


def each_of_the_deaf_leaves_once(seen: Seen) -> Check:
    assert seen.conversation
    lefts = seen.conversation.lefts
    names = f"{len(lefts):,} names, {sum(lefts.values()):,} lines"
    return Check("each of the deaf has left once", names, lefts == Counter(seen.deaf))


def conversation_is_quick(seen: Seen) -> Check:
    assert seen.conversation
    latencies = seen.conversation.latencies()
    p50, p99 = (1000 * latencies[int(len(latencies) * part)] for part in (0.5, 0.99))
    times = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {1000 * latencies[-1]:.1f} ms"
    return Check(
        f"a line each 5 ms is heard with p99 below {MAX_P99_MS:.0f} ms",
        f"{times}, in {seen.conversation.seconds:.1f} s",
        p99 < MAX_P99_MS,
        is_noisy=True,
    )


# Of a console that was not read while there was talk.


def console_shows_or_counts_all(seen: Seen) -> Check:
    assert seen.story
    said_lines = 1 + seen.joined + seen.story.lines + 1  # banner, joins, story, last words
    *lines, _ = seen.console.split(b"\n")
    told = b"".join(line + b"\n" for line in lines[1 + seen.joined : -1])
    matches = [_NOT_SHOWN.fullmatch(text) for text in seen.complaints]
    not_shown = sum(int(match[1]) for match in matches if match)
    measured = f"{len(lines):,} shown and {not_shown:,} not, of {said_lines:,}; "
    return Check(
        "lines shown, in order, and lines counted in one line are the lines said",
        f"{measured}{len(matches)} lines on standard error",
        len(lines) + not_shown == said_lines
        and seen.story.has_at(0, told)
        and len(matches) == 1
        and matches[0] is not None,
    )
