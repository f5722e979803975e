"""What a browser may cost: apart from what acts on it, to be shown without a package."""

from __future__ import annotations

from typing import Annotated

REQUEST_HEAD_BYTES: Annotated[
    int,
    "Most bytes of a request and its headers, and of what comes in one read with it: a browser "
    "behind a proxy sends 2 KiB. Beyond them the answer is 431.",
] = 16 * 1024

RECEIVE_BYTES: Annotated[
    int,
    "Most bytes read from one browser in one turn. The smallest frames, six bytes, take their time "
    "each, and these are as many as a turn has room for.",
] = 8 * 1024

MESSAGE_BYTES: Annotated[
    int,
    "Most payload of one message, all its fragments together; beyond it the code is 1009.",
] = 64 * 1024

FRAGMENTS: Annotated[
    int,
    "Most fragments of one message: none has to be that small. Beyond them the code is 1008.",
] = 256

CONTROL_BYTES: Annotated[
    int,
    "Most unsent bytes of answers to pings. Beyond them pings are not answered, as RFC 6455, "
    "5.5.3 allows while another answer waits.",
] = 4 * 1024

DRAINED_BYTES: Annotated[
    int,
    "Most bytes dropped from a peer that broke the protocol, so that they do not turn our Close "
    "frame into a reset.",
] = 256 * 1024
