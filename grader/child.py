"""A forked child that does one piece of work, answers through a pipe, and is gone.

In: the pipe's end, and the work. Out: what the work returns, as JSON; nothing if it was ended or
has failed, which the parent takes for the grader's own failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from grader import kernel


def answer_and_end(answers: int, work: Callable[[], Any]) -> NoReturn:
    """To be called in the child, first of all. SIGTERM ends it, and what `work` has begun is
    cleaned up by its `finally`. It takes over its own orphans, and ends with its parent."""
    try:
        # Ctrl-C goes to all of us; the parent hears it, and ends us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        kernel.adopt_orphans(end_with_parent=True)
        answer = json.dumps(work()).encode()
        with open(answers, "wb") as stream:
            stream.write(answer)
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def end_orphans(kept: Iterable[int]) -> None:
    """End those children of ours that are none of `kept`: processes that a killed one has left to
    us. Linux only."""
    ours = set(kept)
    while kernel.IS_HERE and (orphans := set(kernel.children(os.getpid())) - ours):
        for pid in orphans:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
