"""Lines for hypothesis to type: commands, what is nearly a command, and other text."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.protocol import UNSAFE

# As text. Lone surrogates are encoded as bytes that are not UTF-8.
WORDS = [
    *[":Users", ":Exit", ":Msg", ":msg", ":MSG", ":)", ":(", ":mytime", ":MyTime", ":+1hr"],
    *["\\:mytime", "\\:)", "\\\\", "\\", ":", "C:\\x", "hi", "x" * 40, "Alice", "bob", "Carol"],
    *["alice:", "JOIN", "OK", "ERROR", "abc12", "\u05d0\u200d", "\u00a0", "\u212aim", "é"],
    *["\U0001f600", "\x1b[2J", "\x00", "\r", "\x85", "\u2028", "\u202e", "\udcff"],
    "\udced\udca0\udc80",
]
BLANKS = [" ", " ", " ", "\t", "  ", " \t"]

PARTS = st.sampled_from(WORDS) | st.sampled_from([*BLANKS, *sorted(UNSAFE)]) | st.text(max_size=3)
TEXTS = st.builds(
    lambda parts, blank: blank.join(parts).replace("\n", ""),
    st.lists(PARTS, max_size=8),
    st.sampled_from(["", " "]),
)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


LINES = TEXTS.map(encoded) | st.binary(max_size=20).map(lambda data: data.replace(b"\n", b""))

COMMANDS = st.tuples(
    st.sampled_from([b":Msg Bob ", b":msg ALICE ", b":Msg \xe2\x84\xaaim ", b":Users", b":Exit"]),
    st.sampled_from([b"", b" \t"]) | LINES,
).map(b"".join)
