"""The one way the codec says no."""

from __future__ import annotations


class ProtocolError(ValueError):
    """Input that the protocol does not allow.

    Its text is the reason, ready to be shown to the sender: one line of printable text, without
    the word ERROR and without a line end. Nothing else is ever raised for input, whatever it is.

    `code` says what went wrong: a constant of codec.handshake or codec.framing, or what a server
    has sent in its place. Programs compare the code and never the text. The text is the code, then
    `why` in our own words, then `name`, which the sender chose, or a detail.
    """

    def __init__(self, code: str, why: str = "", name: str = "") -> None:
        super().__init__(code + why + name)
        self.code = code
        self.kind = (code + why).rstrip(": ")
        """The text without the name, for counting."""
