"""The colours of all pictures: those of the page they stand on, light and dark.

Text is legible in both: its contrast with the ground is at least 4.5 to 1 (WCAG 2.2, 1.4.3).
"""

from __future__ import annotations

LIGHT = {
    "page": "#ffffff",
    "band": "#f3f5f8",
    "ink": "#1f2328",
    "quiet": "#59636e",
    "lane": "#d0d7de",
    "bad": "#cf222e",
    "good": "#1a7f37",
    "cut": "#9a6700",
}
DARK = {
    "page": "#0d1117",
    "band": "#161b22",
    "ink": "#e6edf3",
    "quiet": "#9198a1",
    "lane": "#3d444d",
    "bad": "#ff7b72",
    "good": "#56d364",
    "cut": "#e3b341",
}
EDGE = f' stroke="{DARK["lane"]}" stroke-width="2"'
"""Of a terminal, which is as dark as a dark page."""

HUES = (
    ("#0969da", "#58a6ff"),
    ("#8250df", "#bc8cff"),
    ("#1b7c83", "#39c5cf"),
    ("#bc4c00", "#ffa657"),
    ("#bf3989", "#ff7eb6"),
    ("#57606a", "#b1bac4"),
)
"""What tells several things of one kind apart: on a light page, on a dark one."""
