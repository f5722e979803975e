"""The one way the codec says no."""

from __future__ import annotations


class ProtocolError(ValueError):
    """Input that the protocol does not allow.

    Its text is the reason, ready to be shown to whoever sent the input: one line of printable
    text, without the word ERROR and without a line end. Nothing else is ever raised for input,
    whatever that input is.
    """
