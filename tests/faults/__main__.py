"""`python -m tests.faults [--only [PROGRAM:]CALL[:ERROR[:N]]] [--jobs J]`: every call fails once.

For each fault of `injection.all_faults` there is a session of the real server, in which the N-th
call of that name fails so (`session` says what is owed). Printed are a table of calls and errors,
and all that is known of each failure. The exit status is 0 when all passed, 1 when one failed, and
3 when nothing could be tried, because strace is missing or may not trace.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.faults.injection import Fault, TracingForbiddenError, all_faults, all_start_faults
from tests.faults.session import Case, run_case
from tests.faults.startup import run_start

VERDICTS = ("passed", "failed", "not reached")

CANNOT_TRY = 3

JOBS_PER_CORE = 3
"""A session waits, for its peers or for nothing to happen, most of its time."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", metavar="CALL[:ERROR[:N]]", help="these alone")
    jobs = (os.cpu_count() or 1) * JOBS_PER_CORE
    parser.add_argument("--jobs", type=int, default=jobs, help="sessions at once")
    options = parser.parse_args()
    only = f"{options.only}:" if options.only else ""
    every = [*all_faults(), *all_start_faults()]
    faults = [fault for fault in every if f"{fault}:".startswith(only)]
    if not faults:
        print(f"no such fault: {options.only}", file=sys.stderr)
        return 2
    started_at = time.monotonic()
    try:
        control = run_case(None)
        with ThreadPoolExecutor(options.jobs) as pool:
            cases = list(pool.map(run, faults))
    except TracingForbiddenError as error:
        print(f"NOTHING WAS TRIED: {error}", file=sys.stderr)
        return CANNOT_TRY
    failed = [case for case in (control, *cases) if case.verdict == "failed"]
    for case in failed:
        print(f"FAILED {case.fault or 'without a fault'}")
        print(f"    again: python -m tests.faults --only {case.fault}")
        print("".join(f"    | {line}\n" for line in case.details.splitlines()))
    _print_table(cases)
    verdicts = Counter(case.verdict for case in cases)
    passed, not_passed, missed = (verdicts[verdict] for verdict in VERDICTS)
    print(f"\n{passed + not_passed} cases, {not_passed} failed; {missed} more were not reached")
    print(f"{time.monotonic() - started_at:.0f} s" if passed else "NOT ONE PASSED")
    return 1 if failed or not passed else 0


def run(fault: Fault) -> Case:
    return run_start(fault) if fault.program else run_case(fault)


def _print_table(cases: list[Case]) -> None:
    counts = Counter((_row(case), case.verdict) for case in cases)
    print(
        f"{'start of':<12}{'call':<16}{'error':<16}"
        + "".join(f"{verdict:>13}" for verdict in VERDICTS)
    )
    for row in sorted({row for row, _ in counts}):
        print(row + "".join(f"{counts[row, verdict]:>13}" for verdict in VERDICTS))


def _row(case: Case) -> str:
    """The call, where to it writes, and the error; before them the program that starts, if any."""
    assert case.fault
    match = re.search(r"write\((\d+), ", case.trace.injected)
    call = case.fault.call + (f" to {match[1]}" if match else "")
    return f"{case.fault.program or '(serving)':<12}{call:<16}{case.fault.error:<16}"


if __name__ == "__main__":
    sys.exit(main())
