"""How long Redis may take, and how much of it is read: apart from what acts on it, to be shown
without a package."""

from __future__ import annotations

from typing import Annotated

ATTEMPT_SECONDS: Annotated[float, "Longest time for one attempt to connect."] = 5.0

FIRST_PAUSE_SECONDS: Annotated[float, "Time before the second attempt; then it doubles."] = 0.05

MAX_PAUSE_SECONDS: Annotated[
    float,
    "Longest time between two attempts: an engine that is back is found soon.",
] = 1.0

SILENT_SECONDS: Annotated[float, "How long an answer may take before members are told."] = 2.0

LOST_SECONDS: Annotated[
    float,
    "How long it may take before the connection is given up: a stopped engine may go on.",
] = 30.0

MAX_REASON_CHARACTERS: Annotated[
    int,
    "Most of an answer that is told to the operator: it may be anything but an answer of Redis.",
] = 200

READ_ENTRIES: Annotated[
    int,
    "Most entries in one answer, of 256 KiB at most each.",
] = 16

START_SECONDS: Annotated[float, "Longest time for an answer of Redis at the start."] = 5.0

MAX_KEEPALIVE_SECONDS: Annotated[
    int,
    "How long Redis may take to notice that a host has vanished, for its members to leave in time; "
    "above it, a warning.",
] = 15
