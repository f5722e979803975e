"""`python -m tests.faults [--only CALL[:ERROR[:N]]] [--jobs J]`: every system call fails once.

For each fault of `injection.all_faults` there is a session of the real server, in which the N-th
call of that name fails so (`session` says what is owed). Printed are a table of calls and errors,
and all that is known of each failure. The exit status is 0 when all passed, 1 when one failed, and
3 when nothing could be tried, because strace is missing or may not trace.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.faults.injection import Fault, TracingForbiddenError, all_faults
from tests.faults.session import Outcome, run_case

CANNOT_TRY = 3

JOBS_PER_CORE = 3
"""A session waits, for its peers or for nothing to happen, most of its time."""


def main() -> int:
    options = _parse_options()
    faults = _wanted_faults(options.only)
    if not faults:
        print(f"no such fault: {options.only}", file=sys.stderr)
        return 2
    started_at = time.monotonic()
    try:
        control = run_case(None)
        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = [control, *pool.map(run_case, faults)]
    except TracingForbiddenError as error:
        print(f"NOTHING WAS TRIED: {error}", file=sys.stderr)
        return CANNOT_TRY
    failed = [outcome for outcome in outcomes if outcome.verdict == "failed"]
    for outcome in failed:
        _print_failure(outcome)
    _print_table(outcomes[1:])
    verdicts = Counter(outcome.verdict for outcome in outcomes[1:])
    print(
        f"\n{verdicts['passed'] + verdicts['failed']} cases, {verdicts['failed']} failed; "
        f"{verdicts['not reached']} more were not reached; {time.monotonic() - started_at:.0f} s"
    )
    if not verdicts["passed"]:
        print("NOT ONE PASSED", file=sys.stderr)
    return 1 if failed or not verdicts["passed"] else 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", metavar="CALL[:ERROR[:N]]", help="these alone")
    parser.add_argument(
        "--jobs", type=int, default=(os.cpu_count() or 1) * JOBS_PER_CORE, help="sessions at once"
    )
    return parser.parse_args()


def _wanted_faults(only: str) -> list[Fault]:
    """All of them, or those of one call, one error, one occurrence."""
    if only.count(":") == 2:
        call, error, occurrence = only.split(":")
        return [Fault(call, error, int(occurrence))]
    return [fault for fault in all_faults() if f"{fault}:".startswith(f"{only}:" if only else "")]


def _print_failure(outcome: Outcome) -> None:
    print(f"FAILED {outcome.fault or 'without a fault'}")
    for complaint in outcome.complaints:
        print(f"    {complaint}")
    print(f"    again: python -m tests.faults --only {outcome.fault}")
    print("".join(f"    | {line}\n" for line in outcome.details.splitlines()))


def _print_table(outcomes: list[Outcome]) -> None:
    rows: dict[tuple[str, str], Counter[str]] = {}
    for outcome in outcomes:
        assert outcome.fault
        rows.setdefault((outcome.row, outcome.fault.error), Counter())[outcome.verdict] += 1
    print(f"{'call':<14}{'error':<16}{'passed':>8}{'failed':>8}{'not reached':>13}")
    for (call, error), counts in sorted(rows.items()):
        figures = f"{counts['passed']:>8}{counts['failed']:>8}{counts['not reached']:>13}"
        print(f"{call:<14}{error:<16}{figures}")


if __name__ == "__main__":
    sys.exit(main())
