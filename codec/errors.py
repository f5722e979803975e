"""The one way the codec says no."""

from __future__ import annotations


class ProtocolError(ValueError):
    """Input that the protocol does not allow.

    Its text is the reason, ready to be shown to whoever sent the input: one line of printable
    text, without the word ERROR and without a line end. Nothing else is ever raised for input,
    whatever that input is. `detail` is the part that differs from one input to the next, a name.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason + detail)
        self.kind = reason.rstrip(": ")
        """The reason without the detail, for whoever counts."""
