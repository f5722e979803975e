"""The seam between a session and what a person sees and types.

A Screen shows lines and passes what is typed to its owner, the session. Neither knows what the
lines mean: only the server does.
"""

from __future__ import annotations

from typing import Protocol


class ScreenOwner(Protocol):
    """What a screen tells its owner."""

    def typed(self, data: bytes) -> None:
        """This was typed: bytes for the server as they are, whole lines or parts of one."""

    def typing_ended(self) -> None:
        """Nothing more will be typed. A last line may lack its end."""

    def screen_flushed(self) -> None:
        """All that was to be shown is shown."""

    def screen_failed(self, error: OSError) -> None:
        """Something could not be shown. After BrokenPipeError nothing ever can be."""


class Screen(Protocol):
    """Where one person reads and types. Nothing here blocks."""

    @property
    def owed_bytes(self) -> int:
        """How many bytes wait and can be shown; when none is left, `screen_flushed` follows."""

    @property
    def owed_lines(self) -> int:
        """How many lines that is; one that is shown in part is one."""

    @property
    def taken_at(self) -> float:
        """When, by the loop's clock, some of it was last shown."""

    def open(self, owner: ScreenOwner) -> None:
        """Tell `owner` from here on."""

    def start_typing(self) -> None:
        """Take what is typed from here on."""

    def pause_typing(self) -> None:
        """Take nothing until `resume_typing`."""

    def resume_typing(self) -> None:
        """Undo `pause_typing`; before `start_typing` it does nothing."""

    def discard_typing(self) -> None:
        """Discard what was typed and not taken: the session has ended, and the shell must not run
        it."""

    def show(self, text: str) -> None:
        """Show one line of the room; an empty one is not shown."""

    def complain(self, text: str) -> None:
        """Show something that is no part of the room: an error, or a warning."""

    def close(self, deadline: float) -> None:
        """Show the complaints that are left, until the loop's clock comes to `deadline`."""
