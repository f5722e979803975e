"""What a program does with its sockets, recorded as it happens: turns, segments, lines, states.

In: a file, or standard error. Out: the parts of a program (a Reactor, its transports) that record
what they do, in place of the ordinary ones. Nothing of this is loaded, and no ordinary part looks
for it, unless a program was asked for a trace.

A trace is JSON, one object for each line (tracing.recorder lists them), or words for a person.
Passcodes, tokens and private texts of our protocol are never in it: tracing.masking.
"""

from tracing.recorder import Recorder
from tracing.trace import Trace

__all__ = ["Recorder", "Trace"]
